"""Files through the API: uploaded by editors, read by whoever sees the article."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from helpcenter.models import Attachment
from segments.models import Audience
from tests.factories_content import ArticleFactory, AttachmentFactory

API = "/api/v2/help_center/articles"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 20


@pytest.fixture
def article(cast, segment_of, guides):
    """An article for customers of Acme, in the care of Guides."""
    return ArticleFactory(audience=Audience.of(segment_of["acme"]), permission_group=guides)


def upload(client, path, name="a.png", content=PNG, **fields):
    """POST as a form, as clients send files."""
    file = SimpleUploadedFile(name, content)
    return Client.post(client, f"{API}/{path}", {"file": file, **fields})


def test_upload_and_read(api, article, cast):
    path = f"{article.pk}/attachments.json"
    made = upload(api("edda"), path, inline="true", locale="en-us")
    assert made.status_code == 201, made.content
    shown = made.json()["article_attachment"]
    assert (
        shown
        | {
            "article_id": article.pk,
            "file_name": "a.png",
            "content_type": "image/png",
            "size": len(PNG),
            "inline": True,
            "locale": "en-us",
        }
        == shown
    )
    for name, status in {"visitor": 404, "dan": 404, "maria": 200, "aki": 404, "ada": 200}.items():
        client = api(name)
        for address in (f"{API}/{path}", f"{API}/attachments/{shown['id']}"):
            assert client.get(address).status_code == status, name
        # The file itself obeys the same rule, on the site and with its session.
        browser = Client()
        if name != "visitor":
            browser.force_login(cast[name])
        assert browser.get(shown["relative_path"]).status_code == status, name
    upload(api("edda"), path, name="b.txt", content=b"text")
    maria = api("maria")
    kinds = {
        kind: [
            each["file_name"]
            for each in maria.get(f"{API}/{article.pk}/attachments/{kind}").json()[
                "article_attachments"
            ]
        ]
        for kind in ("inline", "block")
    }
    assert kinds == {"inline": ["a.png"], "block": ["b.txt"]}


@pytest.mark.parametrize(
    ("name", "status"),
    [("visitor", 401), ("maria", 403), ("lena", 404), ("aki", 404), ("edda", 201), ("ada", 201)],
)
def test_who_uploads(api, article, name, status):
    assert upload(api(name), f"{article.pk}/attachments").status_code == status
    assert Attachment.objects.exists() == (status == 201)


def test_who_deletes(api, article):
    file = AttachmentFactory(article=article)
    path = f"{API}/attachments/{file.pk}"
    statuses = [
        api(name).delete(path).status_code for name in ("visitor", "dan", "maria", "edda", "pia")
    ]
    assert statuses == [401, 404, 403, 403, 204]
    assert not Attachment.objects.exists()


def test_unused_files_are_their_uploaders(api, article, cast, client):
    assert upload(api("aki"), "attachments").status_code == 403
    shown = upload(api("edda"), "attachments").json()["article_attachment"]
    assert shown["article_id"] is None
    for name, status in {"pia": 404, "maria": 404, "edda": 200, "ada": 200}.items():
        assert api(name).get(f"{API}/attachments/{shown['id']}").status_code == status
        client.force_login(cast[name])
        assert client.get(shown["relative_path"]).status_code == status
    body = {"attachment_ids": [shown["id"]]}
    path = f"{API}/{article.pk}/bulk_attachments.json"
    refused = api("pia").post(path, body)
    assert [*refused.json()["errors"]] == ["attachment_ids"]
    assert api("pia").post(path, {"attachment_ids": [12345]}).status_code == 400
    both = api("edda").post(path, {"attachment_ids": [shown["id"], 12345]})
    assert both.status_code == 400 and Attachment.objects.get().article is None
    used = api("edda").post(path, body)
    assert used.status_code == 200
    assert used.json()["article_attachments"][0]["article_id"] == article.pk
    assert api("maria").get(f"{API}/attachments/{shown['id']}").status_code == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"content": b""}, 400),
        ({"locale": "xx"}, 400),
        ({"inline": "maybe"}, 400),
    ],
)
def test_refusals(api, article, fields, status):
    answer = upload(api("ada"), f"{article.pk}/attachments", **fields)
    assert answer.status_code == status, answer.content
    assert not Attachment.objects.exists()


def test_too_large(api, article, monkeypatch):
    monkeypatch.setattr("helpcenter.api.attachments.LARGEST", 10)
    assert upload(api("ada"), f"{article.pk}/attachments").status_code == 413


def test_no_file(api, article):
    answer = Client.post(api("ada"), f"{API}/{article.pk}/attachments", {"inline": "true"})
    assert answer.json() == {"errors": {"file": ["No file was submitted."]}}


def test_an_unused_file_is_nobody_elses(api, cast, client, guides):
    """Without an article there is no audience that could hide it: its uploader and admins."""
    shown = upload(api("edda"), "attachments").json()["article_attachment"]
    for name in ("visitor", "dan", "maria", "lena", "aki", "pia"):
        assert api(name).get(f"{API}/attachments/{shown['id']}").status_code == 404, name
        if name != "visitor":
            client.force_login(cast[name])
        assert client.get(shown["relative_path"]).status_code == 404, name
        client.logout()
    client.force_login(cast["edda"])
    assert client.get(shown["relative_path"]).status_code == 200
    cast["edda"].is_active = False
    cast["edda"].save()
    assert client.get(shown["relative_path"]).status_code == 404


@pytest.mark.parametrize("name", ["é" * 240 + ".png", "漢" * 250 + ".png", "a." + "é" * 200])
def test_a_name_that_is_too_long_for_a_disk(api, article, name):
    shown = upload(api("ada"), f"{article.pk}/attachments", name=name)
    assert shown.status_code == 201, shown.content
    assert 0 < len(shown.json()["article_attachment"]["file_name"].encode()) <= 200


def test_a_file_goes_when_anything_fails(api, article, monkeypatch, settings, tmp_path):
    """The database forgets the row; the storage has to be told."""

    def fails(self, row):
        raise RuntimeError

    settings.MEDIA_ROOT = tmp_path
    monkeypatch.setattr("helpcenter.api.attachments.AttachmentEndpoint.stored", fails)
    client = api("ada")
    client.raise_request_exception = False
    for path in (f"{article.pk}/attachments", "attachments"):
        assert upload(client, path).status_code == 500
    assert not Attachment.objects.exists()
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_bulk_answers_with_all_files(api, article, cast):
    files = [AttachmentFactory(article=None, uploaded_by=cast["edda"]) for _ in range(3)]
    path = f"{API}/{article.pk}/bulk_attachments?per_page=1&page=9"
    shown = api("edda").post(path, {"attachment_ids": [each.pk for each in files]})
    assert {each["id"] for each in shown.json()["article_attachments"]} == {
        each.pk for each in files
    }


def test_cost(api, article):
    client, found = api("maria"), []
    for count in (2, 10):
        for _ in range(count):
            AttachmentFactory(article=article)
        client.get(f"{API}/{article.pk}/attachments")
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"{API}/{article.pk}/attachments").status_code == 200
        found.append(len(queries))
    assert found[0] == found[1]

"""Files: who gets them, and what a browser is told to do with them."""

import zlib
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from helpcenter.models import Attachment
from segments.models import Audience
from tests.factories_content import ArticleFactory, AttachmentFactory, SectionFactory

PNG = b"\x89PNG\r\n\x1a\n" + zlib.compress(b"pixels")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"


@pytest.fixture
def article(db):
    return ArticleFactory(audience=Audience.everyone())


def sent(client, attachment, **headers):
    """The answer, with the file read to its end."""
    response = client.get(attachment.address(), headers=headers)
    response.body = response.getvalue()
    return response


def test_a_picture_is_shown(client, article):
    response = sent(client, AttachmentFactory(article=article, content=PNG, name="chart.png"))
    assert (response.status_code, response.body) == (200, PNG)
    assert response["Content-Type"] == "image/png"
    assert response["Content-Disposition"] == 'inline; filename="chart.png"'
    assert response["Content-Length"] == str(len(PNG))


@pytest.mark.parametrize(
    ("name", "content", "content_type"),
    [
        ("drawing.svg", SVG, "application/octet-stream"),
        ("page.html", HTML, "application/octet-stream"),
        ("page.png", HTML, "application/octet-stream"),
        ("picture.png", SVG, "application/octet-stream"),
        ("feed.xml", b"<?xml version='1.0'?>", "application/octet-stream"),
        ("code.js", b"alert(1)", "application/octet-stream"),
        ("sheet.css", b"*{}", "application/octet-stream"),
        ("manual.pdf", b"%PDF-1.7 <script>", "application/pdf"),
        ("table.csv", b"=cmd|' /C calc'!A0", "text/csv"),
        ("backup.tar.gz", b"\x1f\x8b\x08", "application/gzip"),
    ],
)
def test_everything_else_is_a_download(client, article, name, content, content_type):
    response = sent(client, AttachmentFactory(article=article, content=content, name=name))
    assert response.body == content
    assert response["Content-Type"] == content_type
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert "Content-Encoding" not in response


@pytest.mark.parametrize("content", [PNG, SVG, HTML])
def test_every_file_is_boxed_in(client, article, content):
    response = sent(client, AttachmentFactory(article=article, content=content, name="a.png"))
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ('a"b.txt', 'attachment; filename="a_b.txt"'),
        ("Grüße 日本.txt", "attachment; filename*=utf-8''Gr%C3%BC%C3%9Fe%20%E6%97%A5%E6%9C%AC.txt"),
        ("a;b=c.txt", 'attachment; filename="a;b=c.txt"'),
        ("a%0d%0ab.txt", 'attachment; filename="a%0d%0ab.txt"'),
        ("a\u202egnp.exe", 'attachment; filename="agnp.exe"'),
    ],
)
def test_the_name_is_encoded(client, article, name, disposition):
    attachment = AttachmentFactory(article=article, name=name)
    response = sent(client, attachment)
    assert (response.status_code, response["Content-Disposition"]) == (200, disposition)


def test_a_name_that_got_past_the_model_splits_no_header(client, article):
    attachment = AttachmentFactory(article=article, name="a.txt")
    Attachment.objects.update(file_name="a\r\nSet-Cookie: b=c.txt")
    attachment.refresh_from_db()
    response = sent(client, attachment)
    assert response.status_code == 200
    assert "\n" not in response["Content-Disposition"] and not response.cookies


# Who gets it --------------------------------------------------------------------------------------


@pytest.fixture
def hidden(article, segment_of):
    """A file of an article for the customers of Acme."""
    article = ArticleFactory(section=article.section, audience=Audience.of(segment_of["acme"]))
    return AttachmentFactory(article=article, content=PNG, name="plan.png")


@pytest.mark.surface(46, 48)
@pytest.mark.parametrize(
    ("name", "status"),
    [("visitor", 404), ("dan", 404), ("ines", 404), ("lena", 404), ("maria", 200), ("ada", 200)],
)
def test_a_file_goes_where_its_article_goes(cast, hidden, name, status):
    client = Client()
    if cast[name].is_authenticated:
        client.force_login(cast[name])
    assert sent(client, hidden).status_code == status


def test_a_file_in_a_hidden_section_is_missing(client, article):
    section = SectionFactory(category=article.section.category, audience=Audience.nobody())
    inside = ArticleFactory(section=section, audience=Audience.everyone())
    assert sent(client, AttachmentFactory(article=inside)).status_code == 404


def test_a_file_of_a_draft_is_missing(client, article):
    draft = ArticleFactory(section=article.section, audience=Audience.everyone(), draft=True)
    assert sent(client, AttachmentFactory(article=draft)).status_code == 404


@pytest.mark.surface(45)
def test_another_name_is_another_file(client, article):
    attachment = AttachmentFactory(article=article, name="a.txt")
    address = attachment.address()
    for other in ("b.txt", "A.TXT", "a.txt.css", "a.txt/", "a.tx"):
        assert client.get(address.replace("a.txt", other)).status_code == 404


CONDITIONS = [
    {},
    {"Range": "bytes=0-3"},
    {"Range": "bytes=0-3", "If-Range": "*"},
    {"If-None-Match": "*"},
    {"If-Match": '"x"'},
    {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    {"If-Unmodified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"},
]


@pytest.mark.surface(37, 38)
@pytest.mark.parametrize("headers", CONDITIONS)
@pytest.mark.parametrize("method", ["get", "head", "post", "options"])
def test_the_permission_comes_before_everything_else(client, hidden, method, headers):
    etag = {"If-None-Match": "*"} | headers
    address = hidden.address()
    ask = getattr(client, method)
    answers = [ask(address, headers=headers), ask(address, headers=etag)]
    hidden.delete()
    answers += [ask(address, headers=headers), ask(address, headers=etag)]
    wanted = 404 if method in ("get", "head") else 405
    assert {response.status_code for response in answers} == {wanted}
    assert len({response.content for response in answers}) == 1
    assert len({str(sorted(response.headers.items())) for response in answers}) == 1
    assert not {"ETag", "Last-Modified", "Accept-Ranges", "Content-Range"} & {*answers[0].headers}


def test_validators_work_for_those_who_may_have_it(client, article):
    attachment = AttachmentFactory(article=article, content=PNG, name="a.png")
    etag = sent(client, attachment)["ETag"]
    again = sent(client, attachment, **{"If-None-Match": etag})
    assert (again.status_code, again.body) == (304, b"")
    head = client.head(attachment.address())
    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Length"] == str(len(PNG))


@pytest.mark.surface(45, 46, 47)
def test_no_other_address_reaches_the_file(client, article, cast):
    attachment = AttachmentFactory(article=article, content=PNG, name="a.png")
    path = Path(attachment.file.path)
    assert path.is_relative_to(settings.MEDIA_ROOT)
    assert not path.is_relative_to(settings.STATIC_ROOT)
    relative = attachment.file.name
    client.force_login(cast["ada"])
    for address in (
        f"/{relative}",
        f"/media/{relative}",
        f"/attachments/{relative}",
        f"{settings.SENDFILE_URL}/{relative}",
        f"/static/{relative}",
        f"/static/../attachments/{relative}",
        f"/static/%2e%2e/attachments/{relative}",
        f"/hc/article_attachments/{relative}",
        f"/hc/article_attachments/{attachment.pk}/..%2f{relative}",
    ):
        assert client.get(address).status_code in (400, 404), address


def test_the_web_server_is_asked_to_send_the_file(client, article, settings):
    from django_sendfile.utils import _get_sendfile

    settings.SENDFILE_BACKEND = "django_sendfile.backends.nginx"
    _get_sendfile.cache_clear()
    try:
        attachment = AttachmentFactory(article=article, content=HTML, name="é a.html")
        response = sent(client, attachment)
    finally:
        settings.SENDFILE_BACKEND = "django_sendfile.backends.simple"
        _get_sendfile.cache_clear()
    assert response["X-Accel-Redirect"].startswith("/protected/")
    assert response.body == b""
    assert response["Content-Disposition"].startswith("attachment")
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"


@pytest.mark.parametrize("lost", ["file", "path"])
def test_a_lost_file_is_missing_and_logged(client, article, caplog, lost):
    attachment = AttachmentFactory(article=article)
    address = attachment.address()
    missing = client.get(address.replace(str(attachment.pk), "1"))
    if lost == "file":
        Path(attachment.file.path).unlink()
    else:
        Attachment.objects.update(file="")
    response = client.get(address)
    assert response.status_code == 404
    assert str(attachment.pk) in caplog.text
    here, there = str(attachment.pk).encode(), b"1"
    assert response.content.replace(b"%2F" + here, b"%2F" + there) == missing.content


def test_a_path_that_leads_out_of_the_folder_is_missing(client, article):
    attachment = AttachmentFactory(article=article)
    for path in ("../../etc/passwd", "/etc/passwd", "."):
        Attachment.objects.update(file=path)
        assert client.get(attachment.address()).status_code in (400, 404), path

"""Labels, and what every endpoint has in common."""

import base64

import pytest
from django.core.management import call_command

from helpcenter.models import Label
from segments.models import Audience
from tests.factories_content import ArticleFactory

LABELS = "/api/v2/help_center/articles/labels"


@pytest.fixture
def article(cast):
    return ArticleFactory(audience=Audience.everyone(), title="Public")


def test_labels_are_for_staff(api, cast):
    ArticleFactory(audience=Audience.everyone()).labels.create(name="bakery")
    ArticleFactory().labels.create(name="secret")
    assert api("visitor").get(LABELS).status_code == 401
    assert api("maria").get(LABELS).status_code == 403
    for suffix in ("", ".json"):
        answer = api("aki").get(LABELS + suffix)
        assert [each["name"] for each in answer.json()["labels"]] == ["bakery"]
        assert answer.json()["count"] == 1


def test_zendesks_form_of_a_token(api, cast, token_of, client):
    token = token_of(cast["ada"])

    def status(name):
        text = base64.b64encode(f"{name}:{token}".encode()).decode()
        return client.get(LABELS, headers={"Authorization": f"Basic {text}"}).status_code

    assert status(f"{cast['ada'].email}/token") == 200
    assert status(f"{cast['aki'].email}/token") == 401
    assert status(cast["ada"].email) == 401


def test_create_token_prints_a_token_that_works(cast, capsys, client):
    call_command("create_token", cast["ada"].email)
    token = capsys.readouterr().out.strip()
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get(LABELS, headers=headers).status_code == 200
    cast["ada"].is_active = False
    cast["ada"].save()
    assert client.get(LABELS, headers=headers).status_code == 401


def test_label_an_article(api, cast, article):
    address = f"/api/v2/help_center/articles/{article.pk}/labels"
    made = api("ada").post(address, {"label": {"name": "new"}})
    assert made.status_code == 201 and made.json()["label"]["name"] == "new"
    assert api("aki").post(address, {"label": {"name": "no"}}).status_code == 403
    assert api("ada").post(address, {}).json() == {
        "errors": {"label": ['is required: send {"label": {…}} as JSON']}
    }
    assert [each["name"] for each in api("ada").get(address).json()["labels"]] == ["new"]
    gone = api("ada").delete(f"{address}/{made.json()['label']['id']}")
    assert gone.status_code == 204
    assert Label.objects.filter(name="new").exists()
    assert not article.labels.exists()


def test_pages(api, cast):
    Label.objects.bulk_create(Label(name=f"l{n:02}") for n in range(25))
    ada = api("ada")
    first = ada.get(LABELS, {"per_page": 10}).json()
    assert (first["count"], first["page_count"], first["previous_page"]) == (25, 3, None)
    second = ada.get(first["next_page"]).json()
    assert [each["name"] for each in second["labels"]][:1] == ["l10"]
    names, address, query = [], LABELS, {"page[size]": 10}
    while address:
        answer = ada.get(address, query).json()
        names += [each["name"] for each in answer["labels"]]
        address, query = answer["links"]["next"], {}
    assert names == [f"l{n:02}" for n in range(25)]
    back = ada.get(answer["links"]["prev"]).json()
    assert [each["name"] for each in back["labels"]] == names[10:20]
    assert ada.get(LABELS, {"page": 101, "per_page": 100}).status_code == 400
    assert ada.get(LABELS, {"page": "x"}).status_code == 400
    assert ada.get(LABELS, {"page[after]": "x"}).status_code == 400
    assert ada.get(LABELS, {"name__startswith": "l"}).status_code == 400


def test_limits(api, cast, settings):
    settings.API_REQUESTS_PER_MINUTE = {"token": 2, "address": 1}
    ada = api("ada")
    answers = [ada.get(LABELS) for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert [a["X-Rate-Limit-Remaining"] for a in answers] == ["1", "0", "0"]
    assert 0 < int(answers[2]["Retry-After"]) <= 60

"""Articles through the API: who gets what, what the flat fields say, and what may be written."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from helpcenter.models import Article, ArticleTranslation, PermissionGroup
from segments.models import Audience, Change
from tests.factories_content import (
    ArticleFactory,
    CategoryFactory,
    HelpCenterFactory,
    SectionFactory,
)

API = "/api/v2/help_center"


@pytest.fixture
def place(cast, segment_of):
    """An open section, one for Acme, and the permission group Guides."""
    help_center = HelpCenterFactory(locales=["en-us", "fr"])
    category = CategoryFactory(help_center=help_center)

    class Place:
        open = SectionFactory(category=category, title="Open")
        acme = SectionFactory(
            category=category, title="Acme only", audience=Audience.of(segment_of["acme"])
        )
        guides = PermissionGroup.objects.create(
            name="Guides",
            edit=Audience.of(segment_of["editors"]),
            publish=Audience.of(segment_of["publishers"]),
        )

        def article(self, **fields):
            fields = {"section": self.open, "audience": Audience.everyone(), **fields}
            return ArticleFactory(permission_group=self.guides, **fields)

    return Place()


def titles(answer):
    return [each["title"] for each in answer.json()["articles"]]


def test_everybody_gets_what_they_may_see(api, place, segment_of):
    place.article(title="Public")
    place.article(title="Acme", audience=Audience.of(segment_of["acme"]))
    place.article(title="In Acme's section", section=place.acme)
    place.article(title="Draft", draft=True)
    place.article(title="Nobody", audience=Audience.nobody())
    seen = {
        name: set(titles(api(name).get(f"{API}/articles.json")))
        for name in ("visitor", "dan", "maria", "ines", "aki", "edda", "ada")
        if name != "ines"
    }
    public, acme = {"Public"}, {"Public", "Acme", "In Acme's section"}
    everything = acme | {"Draft", "Nobody"}
    assert seen == {
        "visitor": public,
        "dan": public,
        "maria": acme,
        "aki": public,
        "edda": everything,
        "ada": everything,
    }
    assert api("ines").get(f"{API}/articles").status_code == 401


def test_flat_fields_never_lie(api, place, segment_of):
    acme, premium = segment_of["acme"], segment_of["premium"]
    cases = {
        "public": (place.article(), []),
        "in a restricted section": (place.article(section=place.acme), [4]),
        "nobody": (place.article(audience=Audience.nobody()), [3]),
        "two": (
            place.article(audience=Audience.of(acme, premium)),
            sorted([acme.pk, premium.pk]),
        ),
    }
    ada = api("ada")
    for name, (article, ids) in cases.items():
        shown = ada.get(f"{API}/articles/{article.pk}").json()["article"]
        assert shown["user_segment_ids"] == ids, name
        assert shown["user_segment_id"] == (ids[0] if ids else None), name
        # Writing back what was read changes nothing.
        before = Change.objects.count()
        again = ada.put(f"{API}/articles/{article.pk}", {"article": shown})
        assert again.status_code == 200, again.content
        assert again.json()["article"]["user_segment_ids"] == ids
        assert Change.objects.count() == before, name
    # Maria is in the first segment only, and learns of no other.
    shown = api("maria").get(f"{API}/articles/{cases['two'][0].pk}").json()["article"]
    assert (shown["user_segment_id"], shown["user_segment_ids"]) == (acme.pk, [acme.pk])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"user_segment_id": None}, []),
        ({"user_segment_id": None, "user_segment_ids": []}, []),
        ({"user_segment_ids": []}, 400),
        ({"user_segment_id": "acme", "user_segment_ids": []}, 400),
        ({"user_segment_id": None, "user_segment_ids": ["acme"]}, 400),
        ({"user_segment_id": "premium"}, ["premium"]),
        ({"user_segment_ids": ["premium"]}, ["premium"]),
        ({"user_segment_id": "acme", "user_segment_ids": ["acme", "premium"]}, ["acme", "premium"]),
        ({"user_segment_id": "premium", "user_segment_ids": ["acme"]}, ["premium"]),
        ({"user_segment_id": 3}, [3]),
        ({"user_segment_ids": [3, "acme"]}, 400),
        ({"user_segment_id": 4}, 400),
        ({"user_segment_id": 5}, 400),
        ({"user_segment_id": "x"}, 400),
        ({"user_segment_ids": None}, 400),
        ({"user_segment_id": 2**70}, 400),
    ],
)
def test_only_an_explicit_null_widens(api, place, segment_of, fields, expected):
    article = place.article(audience=Audience.of(segment_of["acme"]))
    known = {"acme": segment_of["acme"].pk, "premium": segment_of["premium"].pk}

    def ids(value):
        if isinstance(value, list):
            return [ids(each) for each in value]
        return known.get(value, value)

    body = {"article": {name: ids(value) for name, value in fields.items()}}
    answer = api("ada").put(f"{API}/articles/{article.pk}", body)
    if expected == 400:
        assert answer.status_code == 400, answer.content
        assert set(answer.json()["errors"]) <= {
            "user_segment_id",
            "user_segment_ids",
            "user_segment_ids[0]",
        }
        assert Article.objects.get(pk=article.pk).audience == article.audience
    else:
        assert answer.json()["article"]["user_segment_ids"] == sorted(ids(expected))


def test_create(api, place, segment_of, cast):
    path = f"{API}/en-us/sections/{place.open.pk}/articles.json"
    body = {
        "article": {
            "title": "New",
            "body": "<p>Words<script>alert(1)</script></p>",
            "locale": "en-us",
            "user_segment_id": None,
            "permission_group_id": place.guides.pk,
            "label_names": ["a", "b", "a"],
            "promoted": True,
        },
        "notify_subscribers": False,
    }
    made = api("ada").post(path, body)
    assert made.status_code == 201, made.content
    shown = made.json()["article"]
    assert shown["body"] == "<p>Words</p>" and shown["label_names"] == ["a", "b"]
    assert shown["user_segment_id"] is None and not shown["draft"] and shown["promoted"]
    assert shown["author_id"] == cast["ada"].pk
    assert shown["html_url"].endswith(f"/hc/en-us/articles/{shown['id']}-New")
    assert titles(api("visitor").get(f"{API}/articles")) == ["New"]
    # An editor's article is a draft for agents and admins, whatever is asked for.
    made = api("edda").post(path, body).json()["article"]
    assert made["draft"] and made["user_segment_ids"] == [2] and not made["promoted"]
    assert api("aki").post(path, body).status_code == 403
    assert api("maria").post(path, body).status_code == 403
    assert api("visitor").post(path, body).status_code == 401


def test_a_mere_editor_learns_of_no_segment(api, place, segment_of):
    """The audience is not theirs to choose, so what they send of it is not looked at."""
    path = f"{API}/sections/{place.open.pk}/articles"
    body = {"title": "New", "permission_group_id": place.guides.pk}
    for pk in (segment_of["acme"].pk, 12345):
        answer = api("edda").post(path, {"article": {**body, "user_segment_id": pk}})
        assert answer.status_code == 201, answer.content
        assert answer.json()["article"]["user_segment_ids"] == [2]


def test_create_wants_permissions(api, place):
    path = f"{API}/sections/{place.open.pk}/articles"
    answer = api("ada").post(path, {"article": {"title": "New", "locale": "en-us"}})
    assert answer.status_code == 400
    assert answer.json() == {
        "title": "Invalid attribute",
        "message": "You passed an invalid value for the user_segment_id attribute. "
        "You must provide user_segment_id. Set to 'null' to make it visible to everyone.. "
        "You passed an invalid value for the permission_group_id attribute. "
        "You must provide permission_group_id.",
    }
    fields = {"user_segment_id": None, "permission_group_id": place.guides.pk}
    for wrong, name in [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": "x" * 301}, "title"),
        ({"title": "x", "locale": "xx"}, "locale"),
        ({"title": "x", "permission_group_id": 77}, "permission_group_id"),
        ({"title": "x", "author_id": 77}, "author_id"),
        ({"title": "x", "label_names": "a"}, "label_names"),
        ({"title": "x", "user_segment_id": 77}, "user_segment_ids"),
    ]:
        answer = api("ada").post(path, {"article": {**fields, **wrong}})
        assert answer.status_code == 400 and [*answer.json()["errors"]] == [name], answer.content
    assert not Article.objects.exists()


def test_hidden_is_missing_in_writes(api, place, segment_of, cast):
    hidden = ArticleFactory(section=place.acme, audience=Audience.everyone())
    mine = place.article()
    for client in (api("edda"), api("dan"), api("visitor")):
        for method in ("put", "delete", "get"):
            answers = [getattr(client, method)(f"{API}/articles/{pk}") for pk in (hidden.pk, 12345)]
            assert answers[0].status_code == answers[1].status_code
            assert answers[0].content == answers[1].content
    secret = SectionFactory(category__audience=Audience.nobody(), audience=Audience.nobody())
    for pk in (secret.pk, 12345):
        body = {"article": {"section_id": pk}}
        answer = api("pia").put(f"{API}/articles/{mine.pk}", body)
        assert answer.json() == {"errors": {"section_id": [f"there is no section {pk}"]}}


@pytest.mark.parametrize(
    ("name", "field", "value", "status"),
    [
        ("edda", "comments_disabled", True, 200),
        ("edda", "label_names", ["x"], 200),
        ("edda", "promoted", True, 403),
        ("edda", "position", "not a number", 403),
        ("edda", "user_segment_id", 2, 403),
        ("edda", "author_id", 5, 403),
        ("pia", "promoted", True, 200),
        ("pia", "user_segment_id", 2, 200),
        ("pia", "permission_group_id", 1, 403),
        ("pia", "author_id", 5, 403),
        ("ada", "permission_group_id", 1, 200),
        ("ada", "author_id", None, 200),
        ("aki", "comments_disabled", True, 403),
        ("maria", "comments_disabled", True, 403),
        ("visitor", "comments_disabled", True, 401),
    ],
)
def test_who_changes_what(api, place, name, field, value, status):
    article = place.article()
    before = Article._base_manager.filter(pk=article.pk).values().get()
    answer = api(name).put(f"{API}/articles/{article.pk}", {"article": {field: value}})
    assert answer.status_code == status, answer.content
    if status == 200:
        shown = answer.json()["article"][field]
        assert shown == value
    else:
        assert Article._base_manager.filter(pk=article.pk).values().get() == before


def test_words_are_not_changed_here(api, place):
    article = place.article(title="Old")
    body = {"article": {"title": "New", "body": "x", "draft": True, "locale": "fr"}}
    answer = api("ada").put(f"{API}/articles/{article.pk}", body).json()["article"]
    assert (answer["title"], answer["draft"], answer["locale"]) == ("Old", False, "en-us")


def test_archive(api, place, client, cast):
    article = place.article(title="Old", body="findme")
    path = f"{API}/articles/{article.pk}"
    assert api("edda").delete(path).status_code == 403
    assert api("pia").delete(path).status_code == 204
    for name in ("visitor", "edda", "pia", "ada"):
        assert api(name).get(path).status_code == 404
        assert titles(api(name).get(f"{API}/articles")) == []
    client.force_login(cast["ada"])
    assert "Old" not in client.get("/hc/en-us/search?query=findme").text
    assert client.get(f"/hc/en-us/articles/{article.pk}").status_code == 404
    assert not ArticleTranslation.objects.visible_to(cast["ada"]).exists()
    assert not Article._base_manager.get(pk=article.pk).published


def test_if_match(api, place):
    article = place.article()
    path = f"{API}/articles/{article.pk}"
    ada = api("ada")
    etag = ada.get(path)["ETag"]
    fresh = {"article": {"position": 1}}
    assert ada.put(path, fresh, headers={"If-Match": etag}).status_code == 200
    stale = ada.put(path, {"article": {"position": 2}}, headers={"If-Match": etag})
    assert stale.status_code == 412
    assert ada.delete(path, headers={"If-Match": etag}).status_code == 412
    assert Article.objects.get(pk=article.pk).position == 1


def test_lists(api, place):
    place.article(title="Beta", position=1)
    both = place.article(title="alpha", position=2)
    both.translations.create(locale="fr", title="Zoé", body="", draft=False)
    api("ada").post(f"{API}/articles/{both.pk}/labels", {"label": {"name": "Big"}})
    ada = api("ada")
    assert titles(ada.get(f"{API}/articles")) == ["Beta", "alpha"]
    assert titles(ada.get(f"{API}/articles?sort_order=desc")) == ["alpha", "Beta"]
    assert titles(ada.get(f"{API}/fr/articles")) == ["Zoé"]
    assert ada.get(f"{API}/de/articles").status_code == 404
    assert titles(ada.get(f"{API}/articles?label_names=Big")) == ["alpha"]
    assert titles(ada.get(f"{API}/articles?label_names=big")) == []
    assert titles(ada.get(f"{API}/articles?label_names=Big,other")) == []
    assert len(titles(ada.get(f"{API}/articles?sort_by=title&page[size]=1"))) == 1
    assert ada.get(f"{API}/articles?sort_by=body").status_code == 400
    assert ada.get(f"{API}/articles?section__audience=1").status_code == 400
    assert titles(ada.get(f"{API}/sections/{place.open.pk}/articles")) == ["Beta", "alpha"]
    assert titles(ada.get(f"{API}/categories/{place.open.category_id}/articles")) == [
        "Beta",
        "alpha",
    ]
    seen, address = [], f"{API}/en-us/articles?sort_by=title&page[size]=1"
    while address:
        answer = ada.get(address).json()
        seen += [each["title"] for each in answer["articles"]]
        address = answer["links"]["next"]
    assert sorted(seen) == ["Beta", "alpha"]


def test_incremental(api, place):
    place.article(title="A")
    place.article(title="B")
    assert api("maria").get(f"{API}/incremental/articles?start_time=0").status_code == 403
    answer = api("aki").get(f"{API}/incremental/articles.json?start_time=0").json()
    assert [each["title"] for each in answer["articles"]] == ["A", "B"]
    assert answer["count"] == 2 and answer["next_page"] is None
    later = api("aki").get(f"{API}/incremental/articles.json?start_time={answer['end_time'] + 5}")
    assert later.json()["articles"] == []
    assert api("aki").get(f"{API}/incremental/articles").status_code == 400


def test_incremental_pages(api, place, monkeypatch):
    monkeypatch.setattr("helpcenter.api.articles.ARTICLES_PER_EXPORT", 2)
    for title in "ABCDE":
        place.article(title=title)
    Article._base_manager.update(updated_at="2026-01-01T00:00:00Z")
    seen, address = [], f"{API}/incremental/articles.json?start_time=0"
    while address:
        answer = api("ada").get(address).json()
        seen += titles_of(answer)
        address = answer["next_page"]
    assert sorted(seen) == [*"ABCDE"]


def titles_of(data):
    return [each["title"] for each in data["articles"]]


@pytest.mark.parametrize("name", ["visitor", "maria", "edda", "ada"])
def test_cost(api, place, segment_of, name):
    def queries(path):
        client.get(path)  # compiles the rules, once for each change of them
        with CaptureQueriesContext(
            connection,
        ) as found:
            answer = client.get(path)
        assert answer.status_code == 200, answer.content
        return len(found)

    def grow(count):
        for number in range(count):
            article = place.article(
                title=f"T{number}", audience=Audience.of(segment_of["acme"], segment_of["premium"])
            )
            article.labels.create(name=f"label {article.pk}")
            place.article(title=f"P{number}")

    client = api(name)
    grow(2)
    small = queries(f"{API}/articles?per_page=2")
    grow(10)
    assert queries(f"{API}/articles?per_page=100") == small
    assert small <= 22

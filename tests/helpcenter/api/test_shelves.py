"""Categories, sections and translations: who gets them, and who writes them."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from helpcenter.models import (
    Article,
    ArticleTranslation,
    Attachment,
    Category,
    Section,
)
from segments.models import Audience
from tests.factories_content import (
    ArticleFactory,
    AttachmentFactory,
    CategoryFactory,
    HelpCenterFactory,
    SectionFactory,
)

API = "/api/v2/help_center"


@pytest.fixture
def center(cast):
    return HelpCenterFactory(locales=["en-us", "fr"])


@pytest.fixture
def section(center, segment_of, guides):
    """A section with a public article in the care of Guides."""
    section = SectionFactory(title="Basics", category=CategoryFactory(help_center=center))
    ArticleFactory(
        title="Start", section=section, audience=Audience.everyone(), permission_group=guides
    )
    return section


def names(answer, key="sections"):
    return [each["name"] for each in answer.json()[key]]


def test_who_sees_what(api, section, segment_of):
    acme = SectionFactory(
        title="Acme", category=section.category, audience=Audience.of(segment_of["acme"])
    )
    ArticleFactory(section=acme, audience=Audience.everyone())
    SectionFactory(title="Empty", category=section.category)
    seen = {
        name: sorted(names(api(name).get(f"{API}/sections.json"))) for name in ("visitor", "maria")
    }
    assert seen == {"visitor": ["Basics"], "maria": ["Acme", "Basics"]}
    assert sorted(names(api("ada").get(f"{API}/sections"))) == ["Acme", "Basics", "Empty"]
    for pk in (acme.pk, 12345):
        for path in (f"sections/{pk}", f"sections/{pk}/articles", f"sections/{pk}/translations"):
            assert api("dan").get(f"{API}/{path}").status_code == 404


def test_create_and_read(api, center):
    ada = api("ada")
    body = {"category": {"name": "Guides", "description": "All", "locale": "en-us", "position": 3}}
    made = ada.post(f"{API}/categories.json", body)
    assert made.status_code == 201, made.content
    category = made.json()["category"]
    assert (
        category
        | {
            "name": "Guides",
            "description": "All",
            "locale": "en-us",
            "source_locale": "en-us",
            "position": 3,
            "outdated": False,
            "user_segment_id": None,
            "user_segment_ids": [],
        }
        == category
    )
    path = f"{API}/categories/{category['id']}"
    section = ada.post(
        f"{path}/sections",
        {
            "section": {
                "translations": [
                    {"locale": "fr", "title": "Débuter"},
                    {"locale": "en-us", "title": "Begin"},
                ],
                "sorting": "title",
            }
        },
    ).json()["section"]
    assert (section["name"], section["locale"], section["sorting"]) == ("Débuter", "fr", "title")
    assert section["category_id"] == category["id"] and section["parent_section_id"] is None
    inside = {"section": {"name": "Inside", "parent_section_id": section["id"]}}
    inner = ada.post(f"{path}/sections", inside).json()["section"]
    assert names(ada.get(f"{API}/sections/{section['id']}/sections")) == ["Inside"]
    cycle = {"section": {"parent_section_id": inner["id"]}}
    answer = ada.put(f"{API}/sections/{section['id']}", cycle)
    assert (answer.status_code, answer.json()) == (
        400,
        {"errors": {"parent_section_id": ["would result in a cycle"]}},
    )
    again = ada.put(f"{API}/sections/{inner['id']}", {"section": inner}).json()["section"]
    assert {**again, "updated_at": ""} == {**inner, "updated_at": ""}


@pytest.mark.parametrize("name", ["visitor", "dan", "lena", "aki", "edda", "pia"])
def test_only_admins_write(api, section, name):
    client, status = api(name), 401 if name == "visitor" else 403
    category = section.category_id
    calls = [
        ("post", "categories", {"category": {"name": "New"}}),
        ("put", f"categories/{category}", {"category": {"position": 5}}),
        ("delete", f"categories/{category}", None),
        ("post", f"categories/{category}/sections", {"section": {"name": "New"}}),
        ("put", f"sections/{section.pk}", {"section": {"user_segment_id": None}}),
        ("delete", f"sections/{section.pk}", None),
        (
            "post",
            f"sections/{section.pk}/translations",
            {"translation": {"locale": "fr", "title": "x"}},
        ),
        ("put", f"sections/{section.pk}/translations/en-us", {"translation": {"title": "x"}}),
        ("put", f"sections/{section.pk}/source_locale", {"section_locale": "en-us"}),
    ]
    for method, path, body in calls:
        answer = getattr(client, method)(f"{API}/{path}", body)
        assert answer.status_code == status, (method, path, answer.content)
    assert Category.objects.count() == Section.objects.count() == 1


def test_audiences_of_shelves(api, section, segment_of):
    ada, path = api("ada"), f"{API}/sections/{section.pk}"
    acme = segment_of["acme"].pk
    shown = ada.put(path, {"section": {"user_segment_id": acme}}).json()["section"]
    assert (shown["user_segment_id"], shown["user_segment_ids"]) == (acme, [acme])
    assert api("visitor").get(path).status_code == 404
    assert "user_segment_id" not in api("maria").get(path).json()["section"]
    article = ada.get(f"{path}/articles").json()["articles"][0]
    assert article["user_segment_id"] == 4
    refused = ada.put(path, {"section": {"user_segment_ids": []}})
    assert refused.status_code == 400
    ada.put(path, {"section": {"user_segment_id": None}})
    assert api("visitor").get(path).status_code == 200


def test_delete_takes_all_along(api, section):
    article = section.articles.get()
    file = AttachmentFactory(article=article)
    storage, name = file.file.storage, file.file.name
    assert api("ada").delete(f"{API}/categories/{section.category_id}").status_code == 204
    assert not Article._base_manager.exists() and not Attachment._base_manager.exists()
    assert storage.exists(name)  # until the transaction, here the test's own, commits


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({}, "title"),
        ({"name": ""}, "name"),
        ({"name": "x", "locale": "xx"}, "locale"),
        ({"name": "x", "position": "first"}, "position"),
        ({"name": "x", "parent_section_id": 5}, "parent_section_id"),
        ({"name": "x", "sorting": "random"}, "sorting"),
        ({"name": "x", "user_segment_id": 5}, "user_segment_ids"),
        ({"name": "x", "translations": [{"locale": "en-us"}]}, "translations[0].title"),
    ],
)
def test_refusals_name_the_field(api, section, body, name):
    path = f"{API}/categories/{section.category_id}/sections"
    answer = api("ada").post(path, {"section": body})
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, [name]), answer.content


# Translations -------------------------------------------------------------------------------------


def test_an_editor_writes_drafts_and_a_publisher_publishes(api, section):
    article = section.articles.get()
    path = f"{API}/articles/{article.pk}/translations"
    body = {
        "translation": {"locale": "fr", "title": "Début", "body": "<p>ok</p><script>x</script>"}
    }
    assert api("aki").post(path, body).status_code == 403
    made = api("edda").post(f"{path}.json", body)
    assert made.status_code == 201, made.content
    shown = made.json()["translation"]
    assert (
        shown
        | {
            "source_id": article.pk,
            "source_type": "Article",
            "draft": True,
            "body": "<p>ok</p>",
            "outdated": False,
        }
        == shown
    )
    assert api("maria").get(f"{path}/fr").status_code == 404
    assert api("edda").put(f"{path}/fr", {"translation": {"draft": False}}).status_code == 403
    same = api("edda").put(f"{path}/FR", {"translation": {"draft": True, "title": "Début 2"}})
    assert same.json()["translation"]["title"] == "Début 2"
    assert api("edda").post(path, body).json() == {
        "errors": {"locale": ["fr has already been taken"]}
    }
    assert api("pia").put(f"{path}/fr", {"translation": {"draft": False}}).status_code == 200
    assert api("maria").get(f"{path}/fr").json()["translation"]["title"] == "Début 2"
    assert [t["locale"] for t in api("visitor").get(path).json()["translations"]] == ["en-us", "fr"]
    found = api("visitor").get(f"{path}?locales=fr").json()["translations"]
    assert [t["locale"] for t in found] == ["fr"]


def test_what_was_read_changes_nothing(api, section):
    article = section.articles.get()
    words = article.translations.get()
    words.body = "*Markdown*"
    words.save()
    path = f"{API}/articles/{article.pk}/translations/en-us"
    shown = api("pia").get(path).json()["translation"]
    before = ArticleTranslation.objects.values().get()
    assert api("pia").put(path, {"translation": shown}).status_code == 200
    assert ArticleTranslation.objects.values().get() == before
    changed = api("pia").put(path, {"translation": {"body": "<p>HTML</p>"}}).json()["translation"]
    assert changed["body"] == "<p>HTML</p>"
    assert ArticleTranslation.objects.get().format == "html"


def test_missing_and_source(api, section):
    article, pia = section.articles.get(), api("pia")
    path = f"{API}/articles/{article.pk}"
    assert pia.get(f"{path}/translations/missing.json").json() == {"locales": ["fr"]}
    assert api("aki").get(f"{path}/translations/missing").status_code == 403
    refused = pia.put(f"{path}/source_locale", {"article_locale": "fr"})
    assert [*refused.json()["errors"]] == ["article_locale"]
    made = pia.post(
        f"{path}/translations", {"translation": {"locale": "fr", "title": "Fr", "body": ""}}
    ).json()["translation"]
    english = article.translations.get(locale="en-us").pk
    assert pia.delete(f"{API}/translations/{english}").status_code == 400
    moved = pia.put(f"{path}/source_locale", {"article_locale": "fr"}).json()["article"]
    assert moved["source_locale"] == "fr"
    assert api("edda").delete(f"{API}/translations/{english}").status_code == 403
    assert api("maria").delete(f"{API}/translations/{english}").status_code == 403
    assert api("maria").delete(f"{API}/translations/12345").status_code == 404
    assert pia.delete(f"{API}/translations/{english}").status_code == 204
    assert pia.delete(f"{API}/translations/{made['id']}").status_code == 400


def test_shelf_translations(api, section):
    ada, path = api("ada"), f"{API}/sections/{section.pk}/translations"
    made = ada.post(path, {"translation": {"locale": "fr", "title": "Bases", "body": "Tout"}})
    assert made.json()["translation"]["source_type"] == "Section"
    assert api("visitor").get(f"{path}/fr").json()["translation"]["body"] == "Tout"
    changed = ada.put(f"{path}/fr", {"translation": {"title": "Débuts", "outdated": True}})
    assert changed.json()["translation"]["outdated"] is True
    assert names(api("visitor").get(f"{API}/fr/sections")) == ["Débuts"]
    assert ada.put(f"{path[:-13]}/source_locale", {"section_locale": "fr"}).status_code == 200


@pytest.mark.parametrize("name", ["visitor", "edda", "ada"])
@pytest.mark.parametrize(
    "path",
    [
        "sections?include=categories,translations",
        "categories?include=translations",
        "articles?include=users,sections,categories,translations",
    ],
)
def test_cost(api, section, name, path):
    def queries():
        client.get(f"{API}/{path}")
        with CaptureQueriesContext(connection) as found:
            assert client.get(f"{API}/{path}").status_code == 200
        return len(found)

    client = api(name)
    ArticleFactory(
        section__category__help_center=section.category.help_center, audience=Audience.everyone()
    )
    small = queries()
    for number in range(6):
        more = SectionFactory(
            title=f"S{number}", category=CategoryFactory(help_center=section.category.help_center)
        )
        ArticleFactory(section=more, audience=Audience.everyone())
    assert queries() == small

"""What lies in something hidden, or is a draft of something shown, is in no corner of the API."""

import pytest

from helpcenter.models import Comment, PermissionGroup
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
    return HelpCenterFactory(locales=["en-us", "fr"], default_locale="en-us")


@pytest.fixture
def secret(center):
    """An article for nobody, in a section and a category for nobody."""
    nobody = Audience.nobody()
    category = CategoryFactory(help_center=center, audience=nobody)
    return ArticleFactory(section=SectionFactory(category=category, audience=nobody))


INSIDE = {
    "categories/{category}": ["articles", "sections", "translations", "subscriptions"],
    "sections/{section}": ["articles", "sections", "translations", "subscriptions"],
    "articles/{article}": ["attachments", "attachments/inline", "comments", "labels"]
    + ["subscriptions", "translations", "votes", "audience", "translations/missing"],
}


def test_lists_inside_of_something_hidden_answer_as_missing(api, secret):
    section, category = secret.section, secret.section.category
    AttachmentFactory(article=secret)
    Comment.objects.create(article=secret, author=secret.author, locale="en-us", body="x")
    hidden = {"category": category.pk, "section": section.pk, "article": secret.pk}
    seen = {}
    for name in ("visitor", "dan", "lena"):
        client = api(name)
        for place, lists in INSIDE.items():
            for inside in lists:
                address = f"{API}/{place}/{inside}"
                answers = [
                    client.get(address.format(**ids))
                    for ids in (hidden, dict.fromkeys(hidden, 12345))
                ]
                assert answers[0].status_code == answers[1].status_code >= 400, (name, address)
                seen[name, place, inside] = answers[0].status_code
    # Staff may ask for all of them, so it is the hidden thing itself that is missing.
    assert {status for (name, *_), status in seen.items() if name == "lena"} <= {403, 404}
    assert list(seen.values()).count(404) > 30


def test_drafts_are_in_no_corner(api, center):
    section = SectionFactory(category__help_center=center)
    shown = ArticleFactory(title="Shown", section=section, audience=Audience.everyone())
    shown.translations.create(locale="fr", title="Brouillon", draft=True)
    dan, address = api("dan"), f"{API}/articles/{shown.pk}"
    assert "Brouillon" not in dan.get(f"{address}?include=translations").content.decode()
    assert [
        each["locale"]
        for each in dan.get(f"{API}/articles?include=translations").json()["articles"][0][
            "translations"
        ]
    ] == ["en-us"]
    assert dan.get(f"{address}?locale=fr").status_code == 404
    assert dan.get(f"{API}/fr/articles/{shown.pk}").status_code == 404
    listed = dan.get(f"{API}/fr/articles").json()
    assert (listed["count"], listed["articles"]) == (0, [])
    assert api("ada").get(f"{API}/fr/articles").json()["count"] == 1


def test_the_title_of_a_draft_sorts_nothing(api, center):
    """The order of a list tells nothing of words that its reader may not see."""
    section = SectionFactory(category__help_center=center)
    everyone = Audience.everyone()
    first = ArticleFactory(title="M", section=section, audience=everyone)
    # Its source is a draft called Z; what is published is French.
    second = ArticleFactory(title="Z", section=section, audience=everyone, draft=True)
    second.translations.create(locale="fr", title="N", draft=False)

    def shown(name):
        listed = api(name).get(f"{API}/articles?sort_by=title").json()["articles"]
        return [(each["id"], each["title"]) for each in listed]

    assert shown("dan") == [(second.pk, "N"), (first.pk, "M")]
    assert shown("ada") == [(first.pk, "M"), (second.pk, "Z")]


def test_an_archived_article_is_not_explained(api, secret):
    body = {"article_id": secret.pk}
    assert api("ada").post("/api/v2/access/explain", body).status_code == 200
    assert api("ada").delete(f"{API}/articles/{secret.pk}").status_code == 204
    assert api("ada").post("/api/v2/access/explain", body).status_code == 400


def test_a_new_article(api, cast, segment_of, secret):
    """Nobody writes into a hidden section, and an author who may not be chosen is not looked at."""
    guides = PermissionGroup.objects.create(
        name="Guides", publish=Audience.of(segment_of["publishers"])
    )
    open_section = SectionFactory(category__help_center=secret.section.category.help_center)
    words = {"title": "New", "locale": "en-us", "permission_group_id": guides.pk}
    body = {"article": {**words, "user_segment_id": None}}
    pia = api("pia")
    hidden, missing = (
        pia.post(f"{API}/sections/{pk}/articles", body) for pk in (secret.section_id, 12345)
    )
    assert (hidden.status_code, hidden.content) == (404, missing.content)
    for author in (cast["dan"].pk, 12345):
        body["article"]["author_id"] = author
        made = pia.post(f"{API}/sections/{open_section.pk}/articles", body)
        assert made.status_code == 201, made.content
        assert made.json()["article"]["author_id"] == cast["pia"].pk
    body["article"]["author_id"] = cast["dan"].pk
    made = api("ada").post(f"{API}/sections/{open_section.pk}/articles", body)
    assert made.json()["article"]["author_id"] == cast["dan"].pk

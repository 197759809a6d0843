"""Checks of the API that only one kind of caller meets."""

import pytest
from django.test.client import MULTIPART_CONTENT

from helpcenter.models import Comment, Subscription
from segments.models import Audience
from tests.factories_content import (
    ArticleFactory,
    CategoryFactory,
    HelpCenterFactory,
    SectionFactory,
)

API = "/api/v2/help_center"


@pytest.fixture
def article(guides):
    """A public article in the care of Guides."""
    center = HelpCenterFactory(locales=["en-us", "fr"])
    section = SectionFactory(category__help_center=center)
    return ArticleFactory(section=section, audience=Audience.everyone(), permission_group=guides)


@pytest.fixture
def secret_words(article):
    hidden = ArticleFactory(section=article.section, audience=Audience.nobody())
    return hidden.translations.create(locale="fr", title="Secret")


def test_whoever_sees_an_article_does_not_yet_change_its_files(api, article):
    """Staff who may add articles elsewhere, and see this one."""
    aki, address = api("aki"), f"{API}/articles/{article.pk}"
    assert aki.get(address).status_code == 200
    sent = aki.post(f"{address}/attachments", {"inline": "false"}, MULTIPART_CONTENT)
    assert sent.status_code == 403
    answer = aki.post(f"{address}/bulk_attachments", {"attachment_ids": [12345]})
    assert answer.status_code == 403
    answer = api("edda").post(f"{address}/bulk_attachments", {"attachment_ids": [12345]})
    assert answer.status_code == 400


def test_an_editor_sees_who_follows_and_changes_none_of_it(api, article, cast):
    row = Subscription.objects.create(article=article, user=cast["maria"], locale="en-us")
    address = f"{API}/articles/{article.pk}/subscriptions"
    edda = api("edda")
    assert [each["id"] for each in edda.get(address).json()["subscriptions"]] == [row.pk]
    assert edda.delete(f"{address}/{row.pk}").status_code == 403
    assert api("dan").delete(f"{address}/{row.pk}").status_code == 404
    assert api("maria").delete(f"{address}/{row.pk}").status_code == 204


def test_lists_count_only_what_they_show(api, article, cast):
    nobody = Audience.nobody()
    hidden = ArticleFactory(section=article.section, audience=nobody)
    category = CategoryFactory(help_center=article.section.category.help_center, audience=nobody)
    SectionFactory(category=category, audience=nobody)
    for each in (article, hidden):
        Comment.objects.create(article=each, author=cast["dan"], locale="en-us", body="x")
    dan = api("dan")
    for kind in ("articles", "sections", "categories", "users/me/comments"):
        shown = dan.get(f"{API}/{kind}").json()
        assert shown["count"] == 1, kind
    assert api("ada").get(f"{API}/articles").json()["count"] == 2


def test_a_hidden_help_center_is_missing(api, cast):
    HelpCenterFactory(audience=Audience.nobody())
    statuses = {name: api(name).get(f"{API}/locales").status_code for name in ("dan", "ada")}
    assert statuses == {"dan": 404, "ada": 200}


def test_labels_are_put_on_by_editors(api, article):
    address = f"{API}/articles/{article.pk}/labels"
    body = {"label": {"name": "x"}}
    assert api("aki").get(address).status_code == 200
    assert api("aki").post(address, body).status_code == 403
    assert api("edda").post(address, body).status_code == 201


def test_translations_are_written_by_editors_and_deleted_by_publishers(api, article, secret_words):
    address = f"{API}/articles/{article.pk}/translations"
    words = {"translation": {"locale": "fr", "title": "Nouveau", "body": "x"}}
    assert api("aki").post(address, words).status_code == 403
    assert api("edda").post(address, words).status_code == 201
    french = article.translations.get(locale="fr").pk
    statuses = {
        name: api(name).delete(f"{API}/translations/{french}").status_code
        for name in ("aki", "edda", "pia")
    }
    # To aki it is a draft, which is missing.
    assert statuses == {"aki": 404, "edda": 403, "pia": 204}
    hidden, missing = (
        api("dan").delete(f"{API}/translations/{pk}") for pk in (secret_words.pk, 12345)
    )
    assert (hidden.status_code, hidden.content) == (404, missing.content)


def test_the_words_of_shelves_are_deleted_by_admins(api, article):
    french = article.section.translations.create(locale="fr", title="Section")
    statuses = {
        name: api(name).delete(f"{API}/translations/{french.pk}").status_code
        for name in ("dan", "pia", "ada")
    }
    assert statuses == {"dan": 403, "pia": 403, "ada": 204}
    hidden = SectionFactory(category=article.section.category, audience=Audience.nobody())
    words = hidden.translations.get()
    assert api("dan").delete(f"{API}/translations/{words.pk}").status_code == 404


def test_archived_articles_are_not_listed_for_a_segment(api, article, segment_of):
    acme = segment_of["acme"]
    for archived in (False, True):
        each = ArticleFactory(section=article.section, audience=Audience.of(acme))
        if archived:
            each.archive()
    listed = api("ada").get(f"{API}/user_segments/{acme.pk}/articles").json()["articles"]
    assert len(listed) == 1

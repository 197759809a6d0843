"""Subscriptions: what a body may say of others. See test_comments.py for who lists them."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from helpcenter.models import Subscription
from segments.models import Audience
from tests.factories_content import ArticleFactory

API = "/api/v2/help_center"


@pytest.fixture
def article(cast, segment_of, guides):
    """An article for customers of Acme, in the care of Guides."""
    return ArticleFactory(audience=Audience.of(segment_of["acme"]), permission_group=guides)


@pytest.fixture
def path(article):
    return f"{API}/articles/{article.pk}/subscriptions"


def test_who_exists_is_not_told(api, path, cast):
    """Only admins subscribe others; to everybody else somebody and nobody are refused alike."""
    mine = api("maria").post(path, {"subscription": {}}).json()["subscription"]
    for pk in (cast["dan"].pk, 12345):
        assert api("maria").post(path, {"subscription": {"user_id": pk}}).status_code == 403
        changed = api("maria").put(f"{path}/{mine['id']}", {"subscription": {"user_id": pk}})
        assert changed.json()["subscription"]["user_id"] == cast["maria"].pk
    refused = api("ada").post(path, {"subscription": {"user_id": 12345}})
    assert (refused.status_code, [*refused.json()["errors"]]) == (400, ["user_id"])
    assert Subscription.objects.count() == 1


def test_following_again_changes_only_what_it_names(api, article):
    path = f"{API}/sections/{article.section_id}/subscriptions"

    def follow(**fields):
        shown = api("maria").post(path, {"subscription": fields}).json()["subscription"]
        return shown["id"], shown["include_comments"]

    first, comments = follow(include_comments=True)
    assert comments
    assert follow() == (first, True)
    assert follow(include_comments=False) == (first, False)


def test_nobody_follows_people(api, cast):
    path = f"{API}/users/{cast['maria'].pk}/user_subscriptions.json"
    for name, status in {"visitor": 401, "dan": 404, "maria": 200, "aki": 200}.items():
        assert api(name).get(path).status_code == status, name
    shown = api("maria").get(path).json()
    assert (shown["user_subscriptions"], shown["count"]) == ([], 0)


def test_cost(api, article, cast):
    def queries():
        address = f"{API}/users/{cast['maria'].pk}/subscriptions?include=users,articles,sections"
        client.get(address)
        with CaptureQueriesContext(connection) as found:
            assert client.get(address).status_code == 200
        return len(found)

    def grow(count):
        for _ in range(count):
            other = ArticleFactory(audience=article.audience)
            for content in ({"article": other}, {"section": other.section}):
                Subscription.objects.create(user=cast["maria"], locale="en-us", **content)

    client = api("maria")
    grow(1)
    small = queries()
    grow(6)
    assert queries() == small


@pytest.mark.parametrize("kind", ["comments", "votes", "subscriptions", "user_subscriptions"])
def test_me(api, path, kind):
    """One's own things, without knowing one's id, as Zendesk's clients ask for them."""
    api("maria").post(path, {})
    assert api("visitor").get(f"{API}/users/me/{kind}").status_code == 401
    shown = api("maria").get(f"{API}/users/me/{kind}.json").json()[kind]
    assert len(shown) == (kind == "subscriptions")

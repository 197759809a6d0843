"""Comments, votes and subscriptions: of people who see the article, and of nobody else."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from helpcenter.models import Comment, Subscription, Vote
from segments.models import Audience
from tests.factories_content import ArticleFactory

API = "/api/v2/help_center"


@pytest.fixture
def article(cast, segment_of, guides):
    """An article for customers of Acme, in the care of Guides."""
    return ArticleFactory(audience=Audience.of(segment_of["acme"]), permission_group=guides)


@pytest.fixture
def path(article):
    return f"{API}/articles/{article.pk}"


def say(client, path, body="<b>Thanks</b><script>x</script>", **fields):
    return client.post(f"{path}/comments.json", {"comment": {"body": body, **fields}})


def test_comment(api, path, article, cast):
    for name, status in {"visitor": 401, "dan": 404, "aki": 404, "maria": 201}.items():
        assert say(api(name), path, locale="en-us").status_code == status, name
    shown = api("maria").get(f"{path}/comments").json()["comments"][0]
    assert (
        shown
        | {
            "body": "<b>Thanks</b>",
            "author_id": cast["maria"].pk,
            "source_id": article.pk,
            "source_type": "Article",
            "vote_sum": 0,
        }
        == shown
    )
    assert api("dan").get(f"{path}/comments").status_code == 404
    for pk in (shown["id"], 12345):
        assert api("dan").get(f"{path}/comments/{pk}").json() == {
            "error": "RecordNotFound",
            "description": "Not found",
        }
    users = api("nadia").get(f"{path}/comments?include=users").json()["users"]
    assert users == [{**users[0], "name": "Maria"}] and "email" not in users[0]
    assert len(api("maria").get(f"{path}/comments?include=articles").json()["articles"]) == 1


def test_who_changes_a_comment(api, path, cast):
    shown = say(api("maria"), path).json()["comment"]
    one = f"{path}/comments/{shown['id']}"
    body = {"comment": {"body": "Better", "author_id": cast["dan"].pk}}
    assert api("nadia").put(one, body).status_code == 403
    assert api("nadia").delete(one).status_code == 403
    mine = api("maria").put(one, body).json()["comment"]
    assert (mine["body"], mine["author_id"]) == ("Better", cast["maria"].pk)
    assert mine["non_author_editor_id"] is None
    edited = api("edda").put(one, {"comment": {"body": "Edited"}}).json()["comment"]
    assert edited["non_author_editor_id"] == cast["edda"].pk
    assert api("maria").delete(one).status_code == 204


def test_only_admins_say_who_wrote_when(api, path, cast):
    fields = {"author_id": cast["dan"].pk, "created_at": "2020-01-01T00:00:00Z"}
    mine = say(api("maria"), path, **fields).json()["comment"]
    assert mine["author_id"] == cast["maria"].pk and not mine["created_at"].startswith("2020")
    imported = say(api("ada"), path, **fields).json()["comment"]
    assert imported["author_id"] == cast["dan"].pk and imported["created_at"].startswith("2020")


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"body": ""}, "body"),
        ({"body": "<script>x</script>"}, "body"),
        ({"body": "x" * 10_001}, "body"),
        ({"body": "x", "locale": "xx"}, "locale"),
        ({"body": ["x"]}, "body"),
    ],
)
def test_refused_comments(api, path, fields, name):
    answer = api("maria").post(f"{path}/comments", {"comment": fields})
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, [name])


def test_an_article_without_comments(api, path, article):
    article.comments_disabled = True
    article.save()
    assert say(api("maria"), path).status_code == 403


@pytest.mark.surface(52)
def test_the_comments_of_a_person(api, path, cast):
    say(api("maria"), path)
    mine = f"{API}/users/{cast['maria'].pk}/comments"
    assert len(api("maria").get(mine).json()["comments"]) == 1
    assert api("dan").get(mine).status_code == 404
    # Staff read them too, of articles that they see.
    assert api("aki").get(mine).json()["comments"] == []
    assert len(api("ada").get(mine).json()["comments"]) == 1


def test_votes(api, path, cast):
    for name, status in {"visitor": 401, "dan": 404, "maria": 200, "nadia": 200}.items():
        assert api(name).post(f"{path}/up.json").status_code == status
    assert api("nadia").post(f"{path}/down").json()["vote"]["value"] == -1
    assert Vote.objects.count() == 2
    shown = api("maria").get(path).json()["article"]
    assert (shown["vote_sum"], shown["vote_count"]) == (0, 2)
    assert len(api("maria").get(f"{path}/votes").json()["votes"]) == 1
    assert len(api("ada").get(f"{path}/votes").json()["votes"]) == 2
    mine = api("maria").get(f"{path}/votes").json()["votes"][0]["id"]
    assert api("nadia").delete(f"{API}/votes/{mine}").status_code == 404
    assert api("maria").delete(f"{API}/votes/{mine}").status_code == 204
    comment = say(api("maria"), path).json()["comment"]["id"]
    one = f"{path}/comments/{comment}"
    assert api("nadia").post(f"{one}/up").json()["vote"]["item_type"] == "Comment"
    assert api("maria").get(one).json()["comment"]["vote_sum"] == 1
    assert len(api("nadia").get(f"{API}/users/{cast['nadia'].pk}/votes").json()["votes"]) == 2


def test_a_vote_makes_no_version_stale(api, path):
    etag = api("pia").get(path)["ETag"]
    api("maria").post(f"{path}/up")
    body = {"article": {"promoted": True}}
    assert api("pia").put(path, body, headers={"If-Match": etag}).status_code == 200


@pytest.mark.parametrize("kind", ["articles", "sections"])
def test_subscriptions(api, article, cast, kind):
    pk = article.pk if kind == "articles" else article.section_id
    path = f"{API}/{kind}/{pk}/subscriptions"
    body = {"subscription": {"source_locale": "en-us", "include_comments": True}}
    for name, status in {"visitor": 401, "dan": 404, "maria": 201, "nadia": 201}.items():
        assert api(name).post(f"{path}.json", body).status_code == status
    api("maria").post(path, body)
    assert Subscription.objects.count() == 2
    shown = api("maria").get(path).json()["subscriptions"]
    assert [each["user_id"] for each in shown] == [cast["maria"].pk]
    assert len(api("ada").get(path).json()["subscriptions"]) == 2
    assert api("nadia").delete(f"{path}/{shown[0]['id']}").status_code == 404
    for_dan = {"subscription": {"user_id": cast["dan"].pk}}
    assert api("maria").post(path, for_dan).status_code == 403
    assert api("ada").post(path, for_dan).status_code == 201
    assert api("maria").delete(f"{path}/{shown[0]['id']}").status_code == 204


@pytest.mark.surface(52)
def test_a_subscription_shows_nothing_hidden(api, article, cast):
    path = f"{API}/articles/{article.pk}/subscriptions"
    api("maria").post(path, {})
    mine = f"{API}/users/{cast['maria'].pk}/subscriptions.json"
    assert len(api("maria").get(mine).json()["subscriptions"]) == 1
    article.audience = Audience.nobody()
    article.save()
    assert api("maria").get(mine).json()["subscriptions"] == []
    assert api("dan").get(mine).status_code == 404


@pytest.mark.parametrize("what", ["comments?include=users,articles", "votes", "subscriptions"])
def test_cost(api, article, cast, path, what):
    def queries():
        client.get(f"{path}/{what}")
        with CaptureQueriesContext(connection) as found:
            assert client.get(f"{path}/{what}").status_code == 200
        return len(found)

    def grow(people):
        for person in people:
            Comment.objects.create(article=article, author=person, locale="en-us", body="x")
            Vote.objects.create(article=article, user=person, value=1)
            Subscription.objects.create(article=article, user=person, locale="en-us")

    client = api("ada")
    people = [person for person in cast.values() if person.pk]
    grow(people[:2])
    small = queries()
    grow(people[2:])
    assert queries() == small


def test_who_exists_is_not_told(api, path, cast):
    """What only admins say is ignored of others, whether it names somebody or nobody."""
    for author in (cast["dan"].pk, 12345):
        made = say(api("maria"), path, author_id=author, created_at="2999-01-01T00:00:00Z")
        assert made.status_code == 201, made.content
        one = f"{path}/comments/{made.json()['comment']['id']}"
        changed = api("maria").put(one, {"comment": {"body": "Better", "author_id": author}})
        assert changed.status_code == 200, changed.content
        assert changed.json()["comment"]["author_id"] == cast["maria"].pk
    assert [*say(api("ada"), path, author_id=12345).json()["errors"]] == ["author_id"]


def test_a_new_comment_says_where_it_is(api, path):
    made = say(api("maria"), path)
    assert made["Location"] == made.json()["comment"]["url"]
    assert api("maria").get(made["Location"]).status_code == 200

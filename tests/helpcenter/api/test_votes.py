"""Votes: one's own, and for admins everybody's. See test_comments.py for how they are counted."""

import pytest

from helpcenter.models import Comment, Vote
from segments.models import Audience
from tests.factories_content import ArticleFactory

API = "/api/v2/help_center"


@pytest.fixture
def article(cast, segment_of, guides):
    """An article for customers of Acme, in the care of Guides."""
    return ArticleFactory(audience=Audience.of(segment_of["acme"]), permission_group=guides)


@pytest.fixture
def vote(article, cast):
    return Vote.objects.create(article=article, user=cast["maria"], value=1)


@pytest.mark.parametrize(
    ("name", "status"),
    [("visitor", 401), ("dan", 404), ("nadia", 404), ("edda", 403), ("maria", 204), ("ada", 204)],
)
def test_who_takes_a_vote_back(api, vote, name, status):
    assert api(name).delete(f"{API}/votes/{vote.pk}.json").status_code == status
    assert Vote.objects.exists() == (status != 204)


def test_a_vote_is_hidden_with_its_article(api, vote, article):
    path = f"{API}/votes/{vote.pk}"
    assert api("maria").get(path).json()["vote"]["item_id"] == article.pk
    article.audience = Audience.nobody()
    article.save()
    assert api("maria").get(path).json() == api("maria").get(f"{API}/votes/12345").json()
    assert api("maria").delete(path).status_code == 404
    assert Vote.objects.exists()


def test_a_comment_of_another_article_takes_no_vote(api, article, cast, segment_of):
    other = ArticleFactory(audience=Audience.of(segment_of["acme"]))
    comment = Comment.objects.create(
        article=other, author=cast["maria"], locale="en-us", body="Thanks"
    )
    path = "articles/{}/comments/{}/up"
    wrong = path.format(article.pk, comment.pk)
    assert api("maria").post(f"{API}/{wrong}").status_code == 404
    right = path.format(other.pk, comment.pk)
    assert api("maria").post(f"{API}/en-us/{right}.json").status_code == 200
    assert Vote.objects.get().comment == comment

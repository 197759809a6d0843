"""The leak matrix: every URL, asked by everybody who may not see what is hidden."""

import logging
import random

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection, transaction
from django.urls import get_resolver, path

from helpcenter.models import Article
from segments.querysets import RestrictedQuerySet
from tests import exits

pytestmark = pytest.mark.django_db


@pytest.fixture
def shown(cast, segment_of, settings):
    """Something for each of the cast; the API answers without limit."""
    settings.API_REQUESTS_PER_MINUTE = {"token": 10**6, "address": 10**6}
    return exits.show_something(segment_of)


@pytest.fixture
def logged():
    """What is written to the logs."""
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def seed(request):
    """Another one in every round of `make fuzz`."""
    return request.config.getoption("--hypothesis-seed") or random.randrange(2**32)


def walk_and_judge(cast, shown, logged, tally, size, seed):
    """Ask and judge; then again without what is hidden: the answers are the same."""
    clients = exits.members_of(cast)
    point = transaction.savepoint()
    hidden = exits.hide_something(shown)
    clients |= exits.near_ones(hidden)
    places = exits.places(hidden)
    asked = exits.questions(places, list(clients), size, seed)
    answers = exits.walk(clients, asked)
    tally["leak matrix: requests"] += len(answers)
    tally["leak matrix: canary assertions"] += len(answers) * len(hidden.canaries | hidden.numbers)
    assert len(clients) >= 24
    assert {each.who for each in asked} == {*clients}
    assert all(any(each.address in place.addresses for each in asked) for place in places)
    assert exits.leaks(hidden, answers) == []
    assert not hidden.canaries & exits.words_of(" ".join(logged)) - exits.told(asked)
    assert not [each for each, answer in answers.items() if answer.status >= 500]

    transaction.savepoint_rollback(point)
    assert not Article._base_manager.filter(translations__title__contains=exits.CANARY).exists()
    same = [each for each in asked if each.who in cast and not exits.may_know(each)]
    same = same[:: max(1, len(same) // (size // 8))]
    tally["leak matrix: compared with missing"] += len(same)
    without = exits.walk(clients, same)
    assert exits.differing(answers, without) == []


@pytest.mark.surface(1, 3, 4, 5, 9, 11, 20, 22, 23, 24, 29, 31, 34, 41, 43, 52, 53, 54)
def test_no_url_shows_anything_hidden(cast, shown, logged, tally, share):
    walk_and_judge(cast, shown, logged, tally, round(3800 * share), connection.vendor)


@pytest.mark.fuzz
def test_no_url_shows_anything_hidden_to_anybody(cast, shown, logged, tally, seed):
    walk_and_judge(cast, shown, logged, tally, 10_500, seed)


def some_places(hidden):
    """The pages of content and the API's articles, enough for the controls."""
    wanted = ("hc/<str:locale>", "hc/article_att", "api/v2/help_center/articles/<id:pk>")
    return [each for each in exits.places(hidden) if each.route.startswith(wanted)]


def test_the_walk_finds_what_is_shown(shown):
    """The positive control: those whom a hidden segment admits see canaries, and numbers."""
    hidden = exits.hide_something(shown)
    clients = exits.insiders(hidden)
    asked = exits.questions(some_places(hidden), list(clients), 160, "shown")
    found = exits.leaks(hidden, exits.walk(clients, asked))
    assert {question.who for question, _status, _words in found} == {*clients}
    seen = {question.address for question, _status, _words in found}
    article, attachment = hidden.things["article"][0], hidden.things["attachment"][0]
    assert "/hc/en-us" in seen
    assert any(f"/articles/{article.pk}" in address for address in seen)
    assert any(str(attachment.pk) in address for address in seen)
    assert any(str(article.pk) in words for _question, _status, words in found)


def test_a_planted_leak_is_found(cast, shown, monkeypatch):
    """The positive control: a `visible_to` that forgets the audience."""
    hidden = exits.hide_something(shown)
    clients = {"dan": exits.signed_in(cast["dan"])}
    asked = exits.questions(some_places(hidden), ["dan"], 40, "planted")
    assert not exits.leaks(hidden, exits.walk(clients, asked))
    monkeypatch.setattr(RestrictedQuerySet, "visible_to", lambda self, user: self.all())
    assert exits.leaks(hidden, exits.walk(clients, asked))


def test_an_unclassified_url_fails_the_check(monkeypatch):
    patterns = get_resolver().url_patterns
    monkeypatch.setattr(
        get_resolver(), "url_patterns", [*patterns, path("new/", lambda r: None, name="brand-new")]
    )
    with pytest.raises(SystemCheckError, match="brand-new"):
        call_command("check")


def test_every_url_is_classified():
    call_command("check")

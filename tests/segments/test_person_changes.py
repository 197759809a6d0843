"""Changes of people: what they see more or less of, and the way back."""

import pytest
from django.db.models import BooleanField

from accounts.models import Tag, User
from segments.models import Audience, Change
from segments.person_changes import Trial, _value, effect_between, put_back, viewer_now
from segments.recollection import moments_of
from tests.factories_content import ArticleFactory

pytestmark = pytest.mark.django_db


def test_who_gains_or_loses_is_the_person(cast, segment_of):
    article = ArticleFactory(audience=Audience.of(segment_of["premium"]))
    dan, premium = cast["dan"], Tag.objects.get(name="premium")
    was = viewer_now(dan)
    dan.tags.add(premium)
    now = viewer_now(dan)
    more, less = effect_between(dan, was, now), effect_between(dan, now, was)
    assert (more.gains, more.loses, [*more.gainers], [*more.losers]) == (1, 0, [dan], [])
    assert (less.gains, less.loses, [*less.gainers], [*less.losers]) == (0, 1, [], [dan])
    assert [[*each.gained] for each in more.content if each.counts["gained"]] == [[article]]
    assert [[*each.lost] for each in less.content if each.counts["lost"]] == [[article]]
    same = effect_between(dan, now, viewer_now(dan))
    assert same.changes_nothing and same.content == []


def test_a_trial_compares_the_same_people(cast, segment_of):
    """In whatever order they become known: those of after are compared with those of before."""
    ArticleFactory(audience=Audience.of(segment_of["premium"]))
    premium = Tag.objects.get(name="premium")
    people = User.objects.filter(pk__in=[cast[name].pk for name in ("nadia", "maria", "dan")])
    trial = Trial()
    # Somebody is known already: the same place is another one's in a crowd of its own.
    trial.begin(people, User.objects.filter(name__in=["Aki", "Lena", "Omar"]))
    cast["dan"].tags.add(premium)
    trial.people = dict.fromkeys([cast["dan"].pk, *sorted(trial.people, reverse=True)]).keys()
    effect = trial.end(people)
    assert ([*effect.gainers], [*effect.losers]) == ([cast["dan"]], [])


def test_what_came_goes_and_what_went_comes_back(cast):
    dan = cast["dan"]
    beta, gold, plain = (Tag.objects.create(name=name) for name in ("beta", "gold", "plain"))
    dan.tags.add(beta)
    moment = moments_of(dan)[0].pk
    # What is no attribute of anybody any more is not put back, and keeps nothing else from it.
    for field in ("hat", "shoe"):
        Change.objects.create(model="accounts.user", object_id=str(dan.pk), field=field, after="x")
    dan.tags.set([gold, plain])
    User.objects.filter(pk=dan.pk).update(language="fr", role="agent")
    dan = User.objects.get(pk=dan.pk)
    put_back(dan, [each for each in moments_of(dan) if each.pk > moment])
    dan = User.objects.get(pk=dan.pk)
    assert [*dan.tags.all()] == [beta]
    assert (dan.language, dan.role) == (None, "end_user")


def test_values_are_read_as_either_database_writes_them():
    field = User._meta.get_field("is_active")
    assert [_value(field, text) for text in ("true", "false", "1", "0")] == [True, False] * 2
    assert _value(field, "perhaps") is True  # the default
    field = BooleanField(default=False)
    assert [_value(field, text) for text in ("true", "false", "perhaps")] == [True, False, False]
    assert _value(User._meta.get_field("language"), None) is None

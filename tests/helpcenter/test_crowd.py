"""The rule asked of everybody at once says of each what it says of one alone."""

import pytest
from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import User
from segments import attributes, conditions, ruleset
from segments.attributes import read_person
from segments.crowd import read_crowd
from segments.ruleset import current_ruleset
from tests import worlds
from tests.worlds import quietly

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_rules():
    yield
    ruleset._compiled.clear()
    attributes._facts_statement.cache_clear()


def disagreements(world, among=None):
    """(person, segment) of whom a crowd and the person alone say different things."""
    with transaction.atomic():
        worlds.build(world)
        worlds.destroy(world)
        rules = current_ruleset("default").rules.values()
        people = sorted(User.objects.values_list("pk", flat=True))
        crowd = read_crowd(rules, "default", None if among is None else people[:among])
        alone = {pk: read_person(pk, "default") for pk in people[:among]}
        members = {rule.pk: rule.admits(crowd) for rule in rules}
        found = [
            (pk, rule.pk)
            for pk, person in alone.items()
            for rule in rules
            if bool(members[rule.pk] & crowd.those([pk])) != bool(rule.admits(person))
        ]
        transaction.set_rollback(True)
    return found


@settings(quietly, max_examples=60)
@given(world=worlds.worlds(), among=st.sampled_from([None, 0, 2, 5]))
def test_a_crowd_is_many_people(world, among):
    assert disagreements(world, among) == []


@pytest.mark.parametrize("operator", ["any", "all", "none"])
def test_an_operator_that_means_something_else_for_many_is_found(operator, monkeypatch):
    sound = conditions.OPERATORS[operator]

    def holds(who, attribute, named):
        those = sound.holds(who, attribute, named)
        return those if isinstance(who, attributes.Person) else ~those

    monkeypatch.setitem(conditions.OPERATORS, operator, sound._replace(holds=holds))
    world = st.builds(disagreements, worlds.worlds())

    @settings(quietly, max_examples=60)
    @given(found=world)
    def look(found):
        assert found == []

    with pytest.raises(AssertionError):
        look()


def test_the_cost_does_not_grow(cast, segment_of, django_assert_num_queries):
    rules = current_ruleset("default").rules.values()
    with django_assert_num_queries(1):
        read_crowd(rules, "default")
    with django_assert_num_queries(1):
        read_crowd(rules, "default", [cast["maria"].pk])

"""The rule of design §2.3 and its index, asked of single rules and people without a database."""

import pytest

from segments.attributes import ALL, NONE, Person
from segments.conditions import Condition
from segments.crowd import Crowd
from segments.ruleset import Rule, Ruleset


def any_of(attribute, *values):
    return Condition(attribute, "any", frozenset(values))


def none_of(attribute, *values):
    return Condition(attribute, "none", frozenset(values))


VIP, FRENCH, ACME = any_of("tag", "vip"), any_of("language", "fr"), any_of("organization", 1)
BROKEN = Condition("tag", "some", frozenset(), "There is no operator “some”.")


def rule(*conditions, pk=7, user_type="signed_in_users", whole=False, placeholder=False):
    return Rule(pk, user_type, whole, conditions, placeholder)


def person(is_staff=False, included=(), excluded=(), **values):
    values = {name: frozenset(each) for name, each in values.items()}
    names = {"included": frozenset(included), "excluded": frozenset(excluded)}
    return Person(1, is_staff=is_staff, values=values, **names)


BOTH = {"tag": ["vip"], "language": ["fr"]}


@pytest.mark.parametrize(
    ("asked", "who", "admits"),
    [
        (rule(VIP), person(tag=["vip"]), True),
        (rule(VIP), person(tag=["gold"]), False),
        (rule(VIP, FRENCH), person(**BOTH), True),
        (rule(VIP, FRENCH), person(tag=["vip"]), False),
        (rule(VIP, FRENCH), person(language=["fr"]), False),
        (rule(), person(**BOTH), False),
        (rule(whole=True), person(), True),
        (rule(VIP, placeholder=True), person(tag=["vip"], included=[7]), False),
        (rule(VIP), person(included=[7]), True),
        (rule(VIP), person(included=[8]), False),
        (rule(VIP), person(tag=["vip"], excluded=[7]), False),
        (rule(VIP), person(tag=["vip"], excluded=[8]), True),
        (rule(VIP), person(included=[7], excluded=[7]), False),
        (rule(VIP, user_type="staff"), person(tag=["vip"], included=[7]), False),
        (rule(VIP, user_type="staff"), person(is_staff=True, tag=["vip"]), True),
        (rule(VIP, user_type="end_users"), person(is_staff=True, included=[7]), False),
        (rule(VIP, user_type="robots"), person(tag=["vip"]), False),
        (rule(BROKEN), person(tag=["vip"]), False),
        (rule(VIP, BROKEN), person(tag=["vip"]), False),
    ],
)
def test_whom_a_rule_admits(asked, who, admits):
    assert asked.admits(who) == (ALL if admits else NONE)
    assert Ruleset([asked], []).segments_of(who) == ({7} if admits else set())
    gone = Person(1, is_active=False, values=who.values, included=who.included)
    assert asked.admits(gone) == NONE


def test_of_many_those_are_admitted_for_whom_every_condition_holds():
    crowd = Crowd()
    crowd.add("has tag", "vip", [1, 2])
    crowd.add("has language", "fr", [2, 3])
    assert crowd.ids(rule(VIP, FRENCH).admits(crowd)) == [2]
    assert crowd.ids(rule(FRENCH, VIP).admits(crowd)) == [2]


def test_staff_are_found_though_they_have_no_organization():
    """By whichever condition they may pass; one that does not limit them is no way in for them."""
    asked = rule(ACME, any_of("tag", "vip", "gold"))
    ruleset = Ruleset([asked, rule(VIP, pk=8), rule(VIP, pk=9)], [])
    assert ruleset.by_value[("organization", 1)] == [asked]
    assert 7 in ruleset.segments_of(person(is_staff=True, tag=["gold"]))
    assert 7 not in ruleset.segments_of(person(tag=["gold"]))
    assert 7 not in ruleset.segments_of(person(is_staff=True))


def test_only_rules_that_may_admit_are_looked_at():
    asked = [rule(VIP, pk=1), rule(none_of("tag", "vip"), pk=2), rule(FRENCH, pk=3)]
    asked += [rule(ACME, pk=4), rule(whole=True, pk=5), rule(BROKEN, pk=6)]
    ruleset = Ruleset(asked, [])

    def looked_at(who):
        return {each.pk for each in ruleset.candidates(who)}

    assert looked_at(person()) == {2, 5, 6}
    assert looked_at(person(tag=["vip"])) == {1, 2, 5, 6}
    assert looked_at(person(is_staff=True)) == {2, 4, 5, 6}
    assert looked_at(person(included=[3, 99])) == {2, 3, 5, 6}


def test_what_a_person_is_to_the_rule():
    ruleset = Ruleset([rule(VIP), rule(FRENCH, pk=8)], [(10, 7), (11, 7), (11, 8), (12, 8)])
    viewer = ruleset.viewer(person(is_staff=True, tag=["vip"]))
    assert (viewer.pk, viewer.is_staff, viewer.is_admin) == (1, True, False)
    assert (viewer.segments, viewer.audiences) == ({7}, {2, 10, 11})
    visitor = ruleset.viewer(Person(1, is_active=False, is_staff=True, is_admin=True))
    assert (visitor.pk, visitor.is_staff, visitor.is_admin) == (None, False, False)
    assert (visitor.segments, visitor.audiences) == (frozenset(), {2})

"""Conditions as they are written, stored and understood, whole messages included."""

import pytest
from django.core.exceptions import ValidationError
from django.db.models import Q

from accounts.models import Organization, Tag, User
from segments.attributes import ALL, NONE, read_person
from segments.conditions import Condition, check_missing, clean_conditions, read_conditions
from segments.conf import setting
from tests.factories_people import TagFactory

pytestmark = pytest.mark.django_db

SOUND = {"attribute": "tag", "operator": "any", "values": ["premium"]}
NOT_ONE = "The condition is not an attribute, an operator and values."
NO_VALUES = "The condition names no values."
NO_VALUE = "A value is not one of this attribute."


@pytest.mark.parametrize(
    ("entry", "attribute", "operator", "problem"),
    [
        ("tag", "?", "?", NOT_ONE),
        (["attribute", "operator", "values"], "?", "?", NOT_ONE),
        ({"attribute": "tag", "operator": "any"}, "?", "?", NOT_ONE),
        (SOUND | {"attribute": "hat"}, "hat", "?", "There is no attribute “hat”."),
        (SOUND | {"attribute": ["tag"]}, "['tag']", "?", "There is no attribute “['tag']”."),
        (SOUND | {"operator": "some"}, "tag", "some", "There is no operator “some”."),
        (SOUND | {"operator": ["any"]}, "tag", "['any']", "There is no operator “['any']”."),
        (SOUND | {"values": "premium"}, "tag", "any", NO_VALUES),
        (SOUND | {"values": []}, "tag", "any", NO_VALUES),
        (SOUND | {"values": [True]}, "tag", "any", NO_VALUE),
        (SOUND | {"attribute": "organization", "values": [2**70]}, "organization", "any", NO_VALUE),
    ],
)
def test_what_cannot_be_understood_holds_for_nobody(cast, entry, attribute, operator, problem):
    (read,) = read_conditions([entry])
    assert read == Condition(attribute, operator, frozenset(), problem)
    assert not read.skips_staff
    assert {read.holds_for(read_person(cast[name].pk, "default")) for name in ("omar", "ada")} == {
        NONE
    }
    assert not User.objects.filter(read.people()).exists()


def test_conditions_are_a_list():
    problem = "The conditions are not a list."
    assert read_conditions(SOUND) == [Condition("?", "?", frozenset(), problem)]
    with pytest.raises(ValidationError, match="Conditions are a list."):
        clean_conditions(SOUND, "end_users")


@pytest.mark.parametrize(
    ("attribute", "operator", "passes"),
    [
        ("organization", "any", True),
        ("organization", "all", True),
        ("organization", "none", False),
        ("tag", "any", False),
    ],
)
def test_staff_need_no_organization(cast, attribute, operator, passes):
    globex = Organization.objects.get(name="Globex").pk
    values = frozenset([globex if attribute == "organization" else "premium"])
    condition = Condition(attribute, operator, values)
    assert condition.skips_staff is passes
    # Aki belongs to Globex, Lena to nothing.
    lena = cast["lena"]
    holds = passes or operator == "none"
    assert condition.holds_for(read_person(lena.pk, "default")) == (ALL if holds else NONE)
    assert User.objects.filter(condition.people(), pk=lena.pk).exists() is holds
    claire = read_person(cast["claire"].pk, "default")
    assert condition.holds_for(claire) == (ALL if operator == "none" else NONE)


def test_of_values_that_are_gone_the_condition_says_which():
    TagFactory(name="premium")
    sound, broken, gone = (
        Condition("tag", "any", frozenset(["premium"])),
        Condition("tag", "?", frozenset(), "There is no operator “?”."),
        Condition("tag", "none", frozenset(["premium", "old"])),
    )
    problem = "It names a value that no longer exists: old."
    assert check_missing([sound, broken, gone]) == [
        sound,
        broken,
        Condition("tag", "none", gone.values, problem),
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("tag", "conditions[1]: expected attribute, operator and values."),
        (
            SOUND | {"b": 1, "a": 1},
            "conditions[1]: unknown key 'a', 'b'; accepted are attribute, operator, values.",
        ),
        (
            SOUND | {"attribute": 5},
            "conditions[1].attribute: 5 is not accepted; "
            "use one of role, organization, group, tag, language.",
        ),
        (
            SOUND | {"attribute": ["tag"]},
            "conditions[1].attribute: ['tag'] is not accepted; "
            "use one of role, organization, group, tag, language.",
        ),
        (
            SOUND | {"operator": "some"},
            "conditions[1].operator: 'some' is not accepted; use one of any, all, none.",
        ),
        (SOUND | {"values": "premium"}, "conditions[1].values: name at least one value."),
        (SOUND | {"values": []}, "conditions[1].values: name at least one value."),
        (
            SOUND | {"values": ["premium", True]},
            "conditions[1].values[1]: True is not a value of tag.",
        ),
        (
            SOUND | {"attribute": "organization", "values": ["Acme"]},
            "conditions[1].values[0]: “Acme” value must be an integer.",
        ),
        (
            SOUND | {"values": ["premium", "old", "lost"]},
            "conditions[1].values: there is no tag 'lost', 'old'.",
        ),
    ],
)
def test_a_refusal_names_the_place_and_what_is_accepted(entry, message):
    TagFactory(name="premium")
    with pytest.raises(ValidationError) as refused:
        clean_conditions([SOUND, entry], "end_users")
    assert refused.value.messages == [message]


def test_staff_are_not_limited_by_organizations():
    with pytest.raises(ValidationError) as refused:
        clean_conditions([SOUND | {"attribute": "organization"}], "staff")
    assert refused.value.messages == [
        "conditions[0].attribute: organization does not limit staff; use it on end users."
    ]


def test_what_a_field_says_of_a_value_is_said(monkeypatch):
    def overflow(value):
        raise OverflowError("too large")

    monkeypatch.setattr(Tag._meta.get_field("name"), "to_python", overflow)
    with pytest.raises(ValidationError) as refused:
        clean_conditions([SOUND], "end_users")
    assert refused.value.messages == ["conditions[0].values[0]: too large"]
    assert [each.problem for each in read_conditions([SOUND])] == [NO_VALUE]


def test_a_site_that_says_nothing_has_the_defaults(settings):
    settings.SEGMENTS = {}
    assert setting("STAFF") == Q(is_staff=True)
    del settings.SEGMENTS
    assert setting("STAFF") == Q(is_staff=True)

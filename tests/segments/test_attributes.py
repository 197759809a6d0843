"""What is known about people, from the paths in settings to the facts that rules ask for."""

from datetime import date, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import connection
from django.db.models import CharField, Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Organization, Tag, User
from segments.attributes import (
    Asked,
    Attribute,
    Lookup,
    Step,
    _facts_statement,
    _forget_attributes,
    as_json,
    attributes,
    made_up,
    read_facts,
    read_person,
)
from segments.models import Segment, SegmentPerson
from tests.factories_people import OrganizationFactory, PersonFactory

pytestmark = pytest.mark.django_db


def attribute(*paths):
    return Attribute("fact", tuple(Lookup(path) for path in paths))


def with_attributes(settings, **lookups):
    settings.SEGMENTS = settings.SEGMENTS | {"ATTRIBUTES": lookups}


def test_a_path_ends_with_the_key_of_what_it_leads_to():
    tags = Step(User, User._meta.get_field("tags"))
    assert Lookup("tags").steps == [tags, Step(Tag, Tag._meta.pk)]
    assert Lookup("tags__pk").steps == Lookup("tags__id").steps == Lookup("tags").steps
    assert Lookup("language").steps == [Step(User, User._meta.get_field("language"))]


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("colour", "User has no field 'colour'"),
        ("tags__colour", "Tag has no field 'colour'"),
        ("language__x", "a plain field has no field 'x'"),
    ],
)
def test_a_path_that_does_not_fit_says_where(path, place):
    words = f"SEGMENTS['ATTRIBUTES']: '{path}' does not fit the user model: {place}."
    with pytest.raises(ImproperlyConfigured) as raised:
        _ = Lookup(path).steps
    assert str(raised.value) == words


def test_people_are_joined_only_where_it_takes_them():
    through, person, value = Lookup("tags__name").links("default")
    assert (through.model, person, value) == (User.tags.through, "user__pk", "tag__name")
    assert Lookup("language").links("default")[0].model is User
    assert Lookup("tags__name", Q(role="admin")).links("default")[0].model is User


def test_a_lookup_for_some_is_for_no_others(cast):
    assert {*Lookup("language", Q(role="admin")).people()} == {cast["ada"]}
    assert Lookup("language").people().count() == User.objects.count()


@pytest.mark.parametrize(
    ("path", "is_listed"),
    [
        ("tags__name", True),
        ("organizations__id", True),
        ("email", False),
        ("id", False),
        ("language", False),
        ("organizations__created_at", False),
    ],
)
def test_values_are_listed_when_they_name_rows_of_their_own(path, is_listed):
    assert attribute(path).is_listed is is_listed


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("language", True),
        ("language", ["fr"]),
        ("language", None),
        ("language", "f\0r"),
        ("organizations__id", "Acme"),
        ("organizations__id", False),
        ("organizations__id", 2**63),
        ("is_active", 1),
        ("is_active", "yes"),
    ],
)
def test_what_cannot_be_a_value_is_refused(path, value):
    with pytest.raises(ValidationError):
        attribute(path).clean(value)


def test_a_value_is_stored_as_the_field_has_it():
    assert attribute("organizations__id").clean("12") == 12
    assert attribute("is_active").clean(False) is False
    assert as_json(date(2026, 1, 31)) == "2026-01-31"
    assert as_json(7) == 7


def test_of_values_those_exist_that_are_rows_or_choices(cast, django_assert_num_queries):
    acme = Organization.objects.get(name="Acme")
    assert attribute("organizations__id").existing([acme.pk, 7]) == {acme.pk}
    assert attribute("tags__name").existing(["premium", "gone"]) == {"premium"}
    assert attribute("role").existing(["admin", "gone"]) == {"admin"}
    with django_assert_num_queries(0):
        assert attribute("name").existing(["Whoever"]) == {"Whoever"}
        assert attribute("tags__name").existing([]) == set()


def test_values_have_the_names_of_their_rows_and_choices(cast):
    acme = Organization.objects.get(name="Acme")
    assert attribute("organizations__id").labels([acme.pk, 7]) == {acme.pk: "Acme", 7: "7"}
    assert attribute("role").labels(["admin", "gone"]) == {"admin": "Admin", "gone": "gone"}
    assert attribute("tags__name").labels(["premium"]) == {"premium": "premium"}
    assert attribute("name").labels(["Whoever"]) == {"Whoever": "Whoever"}


def test_who_has_none_of_the_values_has_them_by_no_way(cast):
    """Customers inherit the tag of Globex, and Aki, who is staff, does not; Ines has it herself."""
    only_own = PersonFactory(tags=["premium"])
    with_it = User.objects.filter(attributes()["tag"].people_with(["premium"]))
    without = User.objects.filter(attributes()["tag"].people_without(["premium"]))
    assert {*with_it} == {only_own} | {cast[name] for name in ("omar", "nadia", "ines")}
    assert {*without} == {*User.objects.all()} - {*with_it}


@pytest.mark.parametrize("name", ["SEGMENTS", "AUTH_USER_MODEL"])
def test_changed_settings_are_read_anew(name):
    before = attributes(), _facts_statement("default")
    _forget_attributes(setting="DEBUG")
    assert (attributes(), _facts_statement("default")) == before
    assert attributes() is before[0]
    _forget_attributes(setting=name)
    assert attributes() is not before[0]
    assert _facts_statement("default") is not before[1]


@pytest.mark.parametrize("is_active", [True, False])
def test_a_value_may_be_yes_or_no(settings, is_active):
    with_attributes(settings, works=["is_active"])
    person = PersonFactory(is_active=is_active)
    assert read_person(person.pk, "default").values == {"works": {is_active}}


def test_made_up_people_have_what_comes_with_their_values(settings):
    """Whatever else somebody named has, and whatever else names somebody."""
    acme = OrganizationFactory(name="Acme", tags=["gold", "early"])
    with_attributes(
        settings,
        place=["agent_groups__id", "organizations__id"],
        tag=["tags__name", ("organizations__tags__name", Q(role="end_user"))],
        role=["role"],
    )

    def values_of(**values):
        return made_up(values, "default", is_active=True, is_staff=False).values

    somebody = made_up({"role": ["agent"]}, "default", is_active=False, is_staff=True)
    assert (somebody.is_active, somebody.is_staff) == (False, True)
    customer = {"place": [acme.pk], "role": ["end_user"]}
    assert values_of(**customer) == {
        "place": {acme.pk},
        "role": {"end_user"},
        "tag": {"gold", "early"},
    }
    assert values_of(place=[acme.pk], role=["agent"]).get("tag") is None
    # Who has one tag of Acme is not of Acme.
    tagged = {"tag": ["gold"], "role": ["end_user"]}
    assert values_of(**tagged) == {"tag": {"gold"}, "role": {"end_user"}}


@pytest.fixture
def asked(cast):
    """About Acme, the tag premium, and whom a segment includes or excludes."""
    segment = Segment.objects.create(name="By name")
    for name, kind, days in [
        ("dan", "included", 1),
        ("claire", "included", -1),
        ("omar", "excluded", 1),
    ]:
        until = timezone.now() + timedelta(days=days)
        SegmentPerson.objects.create(segment=segment, user=cast[name], kind=kind, until=until)
    acme = Organization.objects.get(name="Acme")
    return Asked({"organization": [acme.pk], "tag": ["premium"]}, [segment.pk])


FACTS = {
    ("is staff", ""): {"lena", "aki", "edda", "pia", "ada"},
    ("is inactive", ""): {"ines"},
    ("has organization", "Acme"): {"maria", "nadia", "ines"},
    ("has tag", "premium"): {"omar", "nadia", "ines"},
    ("included", "By name"): {"dan"},
    ("excluded", "By name"): {"omar"},
}


def facts_of(asked, cast, among=None):
    names = {person.pk: name for name, person in cast.items()}
    values = {asked.values["organization"][0]: "Acme", asked.segments[0]: "By name"}
    found = {}
    for kind, value, pks in read_facts(asked, "default", among):
        assert all(isinstance(pk, int) for pk in pks)
        found.setdefault((kind, values.get(value, value)), set()).update(names[pk] for pk in pks)
    return {fact: people for fact, people in found.items() if people}


def test_facts_name_everybody_who_has_them(cast, asked):
    assert facts_of(asked, cast) == FACTS


def test_facts_among_some_name_no_others(cast, asked):
    some = {"dan", "ines", "lena"}
    found = facts_of(asked, cast, [cast[name].pk for name in some])
    assert found == {fact: people & some for fact, people in FACTS.items() if people & some}
    assert facts_of(asked, cast, []) == {}


def test_other_keys_of_people_than_integers_are_read_from_text(cast, asked, monkeypatch):
    monkeypatch.setattr(User._meta.pk, "to_python", lambda value: {"read": value})
    assert facts_of(asked, cast) == FACTS
    monkeypatch.setattr("segments.attributes.IntegerField", CharField)
    for _kind, _value, pks in read_facts(asked, "default"):
        assert pks and all(list(pk) == ["read"] for pk in pks)


def test_only_what_is_asked_is_read(cast, asked):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        list(read_facts(asked, "default"))
    assert len(queries) == 1
    sql = queries[0]["sql"]
    assert "accounts_organizationmembership" in sql
    assert "accounts_groupmembership" not in sql

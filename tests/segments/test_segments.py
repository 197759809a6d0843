"""Segments: what may be stored, who edits which version, and what may not be deleted."""

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.utils.translation import override

from accounts.models import AgentGroup, Organization, Tag
from segments.models import Audience, Segment, SegmentPerson, StaleSegment
from tests.factories_content import ArticleFactory
from tests.factories_people import OrganizationFactory, PersonFactory, TagFactory

pytestmark = pytest.mark.django_db


def tags_any(*names):
    return [{"attribute": "tag", "operator": "any", "values": list(names)}]


def messages_for(conditions, user_type="signed_in_users"):
    """What saving such conditions is refused with."""
    with pytest.raises(ValidationError) as caught:
        Segment.objects.create(name="New", user_type=user_type, conditions=conditions)
    assert not Segment.objects.filter(name="New").exists()
    return " ".join(caught.value.messages)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({}, ["Conditions are a list"]),
        ("tag any vip", ["Conditions are a list"]),
        (None, ["Conditions are a list"]),
        (["tag"], ["conditions[0]", "expected attribute, operator and values"]),
        (
            [{"attribute": "tag", "operator": "any", "values": ["vip"], "not": 1}],
            ["conditions[0]", "'not'", "accepted are attribute, operator, values"],
        ),
        (
            [{"attribute": "plan", "operator": "any", "values": ["gold"]}],
            ["conditions[0].attribute", "'plan'", "role, organization, group, tag, language"],
        ),
        (
            [{"operator": "any", "values": ["gold"]}],
            ["conditions[0].attribute", "None", "use one of role"],
        ),
        (
            [{"attribute": ["tag"], "operator": "any", "values": ["vip"]}],
            ["conditions[0].attribute", "['tag']"],
        ),
        (
            [{"attribute": "tag", "operator": "is", "values": ["vip"]}],
            ["conditions[0].operator", "'is'", "any, all, none"],
        ),
        ([{"attribute": "tag", "operator": "any", "values": []}], ["conditions[0].values"]),
        ([{"attribute": "tag", "operator": "any", "values": "vip"}], ["conditions[0].values"]),
        ([{"attribute": "tag", "operator": "any"}], ["conditions[0].values", "at least one"]),
        (
            [{"attribute": "tag", "operator": "any", "values": ["vip", None]}],
            ["conditions[0].values[1]", "None is not a value of tag"],
        ),
        (
            [{"attribute": "tag", "operator": "any", "values": ["vip", "gone"]}],
            ["conditions[0].values", "no tag 'gone'"],
        ),
        (
            [{"attribute": "tag", "operator": "none", "values": ["a\0b"]}],
            ["conditions[0].values[0]", "invisible"],
        ),
        (
            [{"attribute": "organization", "operator": "any", "values": ["acme"]}],
            ["conditions[0].values[0]", "acme"],
        ),
        (
            [{"attribute": "organization", "operator": "any", "values": [True]}],
            ["conditions[0].values[0]", "True"],
        ),
        (
            [{"attribute": "organization", "operator": "any", "values": [2**70]}],
            ["conditions[0].values[0]"],
        ),
        (
            [{"attribute": "role", "operator": "any", "values": ["owner"]}],
            ["conditions[0].values", "no role 'owner'"],
        ),
        (
            [*tags_any("vip"), {"attribute": "language", "operator": "any", "values": ["xx"]}],
            ["conditions[1].values", "no language 'xx'"],
        ),
    ],
)
def test_conditions_are_refused_with_the_place_and_what_is_accepted(conditions, words):
    TagFactory(name="vip")
    message = messages_for(conditions)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize("operator", ["any", "all", "none"])
def test_organizations_do_not_limit_a_staff_segment(operator):
    pk = OrganizationFactory(name="Acme").pk
    conditions = [{"attribute": "organization", "operator": operator, "values": [pk]}]
    assert "conditions[0].attribute" in messages_for(conditions, "staff")
    Segment.objects.create(name="Acme", user_type="end_users", conditions=conditions)


def test_conditions_are_stored_in_one_spelling():
    TagFactory(name="vip")
    pk = OrganizationFactory(name="Acme").pk
    segment = Segment.objects.create(
        name="  Our   best ",
        conditions=[
            *tags_any(" VIP ", "vip"),
            {"attribute": "organization", "operator": "any", "values": [str(pk)]},
        ],
    )
    segment.refresh_from_db()
    assert segment.name == "Our best"
    assert segment.conditions[0]["values"] == ["vip"]
    assert segment.conditions[1]["values"] == [pk]


@pytest.mark.parametrize("name", ["", "  ", "Signed-in users"])
def test_a_segment_needs_a_name_of_its_own(name):
    with pytest.raises(ValidationError) as caught:
        Segment.objects.create(name=name)
    assert set(caught.value.message_dict) == {"name"}


def test_only_names_that_nobody_chose_are_translated():
    with override("de"):
        assert str(Segment(name="Nobody", built_in="nobody")) == "Niemand"
        assert str(Segment(name="Nobody")) == "Nobody"
        assert str(Segment(name="", built_in="nobody")) == ""


def test_a_segment_without_conditions_has_only_its_included_people():
    segment = Segment.objects.create(name="Few")
    PersonFactory()
    maria, admin = PersonFactory(), PersonFactory(role="admin")
    segment.include(maria)
    assert set(segment.members()) == {maria}
    # An admin's right to see everything is no membership.
    assert segment not in Segment.objects.for_user(admin)


def test_taking_away_the_last_condition_never_opens_a_segment():
    TagFactory(name="vip")
    segment = Segment.objects.create(name="Best", conditions=tags_any("vip"))
    maria, _other = PersonFactory(tags=["vip"]), PersonFactory()
    assert set(segment.members()) == {maria}
    segment.conditions = []
    segment.save()
    assert not segment.members().exists()
    assert not Segment.objects.for_user(maria).filter(pk=segment.pk).exists()


def test_the_second_editor_of_a_version_is_refused_and_told_both():
    Segment.objects.create(name="Best")
    first, second = (Segment.objects.get(name="Best") for _ in range(2))
    first.description = "mine"
    first.save()
    second.description = "yours"
    with pytest.raises(StaleSegment) as caught:
        second.save()
    assert "version 1" in caught.value.message and "version 2" in caught.value.message
    assert caught.value.current.description == "mine"
    assert caught.value.code == "stale"
    stored = Segment.objects.get(name="Best")
    assert (stored.description, stored.version) == ("mine", 2)


def test_one_editor_may_save_again_and_again():
    segment = Segment.objects.create(name="Best")
    for number, options in enumerate([{}, {}, {"update_fields": ["description"]}, {}]):
        segment.description = str(number)
        segment.save(**options)
    segment.refresh_from_db()
    assert (segment.description, segment.version) == ("3", 5)


def test_an_edit_is_one_of_its_own_segment():
    segment, other = Segment.objects.create(name="Best"), Segment.objects.create(name="Other")
    segment.save()
    stored = Segment.objects.get(pk=segment.pk)
    assert segment.version == stored.version == 2
    other.refresh_from_db()
    assert other.version == 1


def test_a_refused_edit_leaves_the_version_as_it_was():
    segment = Segment.objects.create(name="Best")
    segment.conditions = tags_any("gone")
    with pytest.raises(ValidationError):
        segment.save()
    segment.conditions = []
    segment.save()
    assert Segment.objects.get(pk=segment.pk).version == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_editors_at_once_one_wins(elsewhere, order):
    """Whoever is first, on whichever connection, the other is refused."""
    Segment.objects.create(name="Best")
    editors = [
        Segment.objects.get(name="Best"),
        elsewhere(lambda: Segment.objects.get(name="Best")),
    ]
    first, second = (editors[place] for place in order)
    first.description = "first"
    elsewhere(first.save)
    second.description = "second"
    with pytest.raises(StaleSegment):
        second.save()
    assert Segment.objects.get(name="Best").description == "first"


def used_segment():
    segment = Segment.objects.create(name="Partners")
    return segment, ArticleFactory(title="Prices", audience=Audience.of(segment))


@pytest.mark.parametrize(
    "delete",
    [
        lambda segment: segment.delete(),
        lambda segment: Segment.objects.filter(pk=segment.pk).delete(),
        lambda segment: Segment.objects.filter(built_in=None).delete(),
        lambda segment: segment.audiences.get().delete(),
        lambda segment: Audience.objects.filter(segments=segment).delete(),
        lambda segment: segment.links.all().delete(),
    ],
    ids=["instance", "queryset", "many", "audience", "audiences", "links"],
)
def test_a_segment_in_use_is_not_deleted(delete):
    segment, article = used_segment()
    with pytest.raises(ProtectedError), transaction.atomic():
        delete(segment)
    article.refresh_from_db()
    assert list(article.audience.segments.all()) == [segment]


def test_the_refusal_lists_what_uses_the_segment():
    segment, article = used_segment()
    with pytest.raises(ProtectedError) as caught:
        segment.delete()
    assert "Prices" in str(caught.value)
    assert caught.value.protected_objects == {article}


def test_what_others_restrict_is_no_use_of_a_segment():
    used, unused = (Segment.objects.create(name=name) for name in ("Used", "Unused"))
    article = ArticleFactory(audience=Audience.of(used))
    assert [[*rows] for rows in used.uses()] == [[article]]
    assert unused.uses() == []


def test_an_unused_audience_goes_with_its_segment():
    segment, other = Segment.objects.create(name="One"), Segment.objects.create(name="Two")
    unused = [Audience.of(segment).pk, Audience.of(segment, other).pk]
    kept = Audience.of(other)
    segment.delete()
    assert not Audience.objects.filter(pk__in=unused).exists()
    # No audience is left behind with fewer segments than its key says.
    assert list(Audience.objects.filter(segments=other)) == [kept]


def test_a_used_audience_of_several_segments_keeps_each_of_them():
    one, two = Segment.objects.create(name="One"), Segment.objects.create(name="Two")
    ArticleFactory(audience=Audience.of(one, two))
    Audience.of(one)
    with pytest.raises(ProtectedError):
        one.delete()
    assert Audience.objects.filter(segments=one).count() == 2


def test_raw_sql_cannot_delete_a_segment_in_use():
    segment, _article = used_segment()
    with pytest.raises(Exception, match="(?i)foreign key"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM segments_segment WHERE id = %s", [segment.pk])
        connection.check_constraints()


@pytest.mark.parametrize("built_in", ["signed_in_users", "staff"])
class TestBuiltIn:
    def test_is_not_edited(self, built_in):
        segment = Segment.objects.get(built_in=built_in)
        segment.name = "Other"
        with pytest.raises(ValidationError, match="Built-in"):
            segment.save()

    def test_names_nobody(self, built_in):
        segment = Segment.objects.get(built_in=built_in)
        with pytest.raises(ValidationError, match="Built-in"):
            segment.include(PersonFactory())
        with pytest.raises(ValidationError, match="Built-in"):
            segment.exclude(PersonFactory())
        assert not SegmentPerson.objects.exists()

    def test_is_not_deleted(self, built_in):
        segment = Segment.objects.get(built_in=built_in)
        for delete in (segment.delete, Segment.objects.filter(pk=segment.pk).delete):
            with pytest.raises(ProtectedError, match="Built-in"), transaction.atomic():
                delete()

    def test_is_the_whole_type(self, built_in):
        customer, agent = PersonFactory(), PersonFactory(role="light_agent")
        PersonFactory(role="admin", is_active=False)
        segment = Segment.objects.get(built_in=built_in)
        expected = {agent} if built_in == "staff" else {customer, agent}
        assert set(segment.members()) == expected

    def test_does_not_become_another_type_by_an_update(self, built_in):
        segments = Segment.objects.filter(built_in=built_in)
        with pytest.raises(Exception, match="segments_segment_mark"), transaction.atomic():
            segments.update(user_type="end_users")


@pytest.mark.parametrize(
    ("built_in", "is_whole"),
    [("staff", True), ("signed_in_users", False), ("nobody", False), (None, False)],
)
def test_a_whole_type_is_the_built_in_of_its_type(built_in, is_whole):
    assert Segment(user_type="staff", built_in=built_in).is_whole_type is is_whole


def test_each_segment_names_its_own_people():
    one, two = Segment.objects.create(name="One"), Segment.objects.create(name="Two")
    maria, omar = PersonFactory(), PersonFactory()
    one.include(maria)
    two.include(omar)
    two.exclude(maria)
    assert (set(one.members()), set(two.members())) == ({maria}, {omar})


def test_naming_someone_again_changes_the_end_date():
    segment, maria = Segment.objects.create(name="Few"), PersonFactory()
    segment.include(maria)
    segment.include(maria, until="2001-01-01T00:00Z")
    assert segment.people.count() == 1
    assert not segment.members().exists()
    segment.include(maria, until="2999-01-01T00:00Z")
    segment.exclude(maria, until="2001-01-01T00:00Z")
    assert set(segment.members()) == {maria}
    segment.exclude(maria)
    assert not segment.members().exists()


class TestValuesNamedInConditions:
    @pytest.fixture
    def named(self):
        """Kind -> a value that a segment "Naming …" names."""
        values = {
            "tag": TagFactory(name="vip"),
            "organization": OrganizationFactory(name="Acme"),
            "group": AgentGroup.objects.create(name="Returns"),
        }
        for kind, thing in values.items():
            value = thing.name if kind == "tag" else thing.pk
            condition = {"attribute": kind, "operator": "none", "values": [value]}
            Segment.objects.create(name=f"Naming {kind}", conditions=[condition])
        return values

    @pytest.mark.parametrize("kind", ["tag", "organization", "group"])
    def test_are_not_deleted(self, named, kind):
        thing = named[kind]
        rows = type(thing).objects
        for delete in (thing.delete, rows.filter(pk=thing.pk).delete, rows.all().delete):
            refused = pytest.raises(ProtectedError, match=f"Naming {kind}")
            with refused as caught, transaction.atomic():
                delete()
            assert [s.name for s in caught.value.protected_objects] == [f"Naming {kind}"]
        assert rows.filter(pk=thing.pk).exists()

    def test_tags_are_not_renamed(self, named):
        tag = named["tag"]
        tag.name = "gold"
        with pytest.raises(ProtectedError, match="Naming tag"):
            tag.save()
        assert Tag.objects.get(pk=tag.pk).name == "vip"

    def test_organizations_may_be_renamed_because_conditions_name_their_ids(self, named):
        named["organization"].name = "Acme & Sons"
        named["organization"].save()

    def test_other_values_may_go(self, named):
        TagFactory(name="gold").delete()
        OrganizationFactory(name="Globex").delete()
        tag = TagFactory(name="silver")
        tag.name = "bronze"
        tag.save()

    def test_may_go_once_no_condition_names_them(self, named):
        Segment.objects.get(name="Naming tag").delete()
        named["tag"].delete()

    def test_deleted_by_raw_sql_make_the_condition_false(self, named):
        maria = PersonFactory()
        segment = Segment.objects.get(name="Naming tag")
        assert maria in segment.members() and segment in Segment.objects.for_user(maria)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM accounts_tag WHERE name = 'vip'")
        assert maria not in segment.members() and segment not in Segment.objects.for_user(maria)
        assert segment.read_conditions()[0].problem
        # The same word again is the same value again.
        TagFactory(name="vip")
        assert maria in segment.members() and segment in Segment.objects.for_user(maria)

    def test_renamed_in_bulk_make_the_condition_false(self, named):
        maria = PersonFactory()
        segment = Segment.objects.get(name="Naming tag")
        assert segment in Segment.objects.for_user(maria)
        Tag.objects.filter(name="vip").update(name="gold")
        assert segment not in Segment.objects.for_user(maria)
        assert maria not in segment.members()


def test_deleting_an_organization_takes_no_audience_along():
    acme = OrganizationFactory(name="Acme")
    PersonFactory(organizations=[acme])
    before = Audience.objects.count()
    acme.delete()
    assert Audience.objects.count() == before
    assert not Organization.objects.exists()


@pytest.mark.parametrize("way", ["own", "inherited"])
def test_none_of_a_tag_is_none_by_any_way(way):
    """Neither their own tag nor one that their organization gives them."""
    globex = OrganizationFactory(name="Globex", tags=["gold"] if way == "inherited" else [])
    tagged = PersonFactory(organizations=[globex], tags=["gold"] if way == "own" else [])
    plain = PersonFactory()
    condition = {"attribute": "tag", "operator": "none", "values": ["gold"]}
    segment = Segment.objects.create(name="Not gold", conditions=[condition])
    assert list(segment.members()) == [plain]
    assert segment not in Segment.objects.for_user(tagged)

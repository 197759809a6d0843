"""The compiled rules: the index, the token that says whether they are still valid, and its loss."""

import logging

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import AgentGroup, Organization, Tag
from helpcenter.models import Article, Category, HelpCenter, Section
from segments.attributes import NONE, Person
from segments.conditions import Condition
from segments.explain import explain
from segments.models import Audience, AudienceSegment, Segment, Token
from segments.ruleset import Rule, Ruleset, RulesUnavailable, current_ruleset, viewer_for
from tests.factories_content import ArticleFactory
from tests.factories_people import OrganizationFactory, PersonFactory, TagFactory

postgresql_only = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only PostgreSQL has TRUNCATE"
)

VALUES = {
    "tag": ["vip", "beta", "gold"],
    "organization": [1, 2, 3],
    "language": ["fr", "de"],
    "role": ["end_user", "agent"],
}


@st.composite
def compiled_conditions(draw):
    attribute = draw(st.sampled_from(list(VALUES)))
    values = draw(st.frozensets(st.sampled_from(VALUES[attribute]), min_size=1))
    operator = draw(st.sampled_from(["any", "all", "none"]))
    return Condition(attribute, operator, values, draw(st.sampled_from(["", "", "", "broken"])))


def rules():
    return st.lists(
        st.builds(
            Rule,
            pk=st.integers(1, 30),
            user_type=st.sampled_from(["signed_in_users", "staff", "end_users"]),
            is_whole_type=st.sampled_from([False, False, False, True]),
            conditions=st.lists(compiled_conditions(), max_size=3).map(tuple),
        ),
        max_size=30,
        unique_by=lambda rule: rule.pk,
    )


def persons():
    some = st.frozensets(st.integers(1, 30), max_size=5)
    return st.builds(
        Person,
        pk=st.just(1),
        is_active=st.sampled_from([True, True, True, False]),
        is_staff=st.booleans(),
        values=st.fixed_dictionaries(
            {}, optional={name: st.frozensets(st.sampled_from(v)) for name, v in VALUES.items()}
        ),
        included=some,
        excluded=some,
    )


@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(rules=rules(), person=persons())
def test_the_index_finds_what_asking_every_rule_finds(rules, person):
    ruleset = Ruleset(rules, [])
    assert ruleset.segments_of(person) == {rule.pk for rule in rules if rule.admits(person)}


def test_the_index_looks_at_few_of_many_rules():
    rules = [
        Rule(n, "signed_in_users", False, (Condition("tag", "any", frozenset([f"tag {n}"])),))
        for n in range(10_000)
    ]
    person = Person(1, values={"tag": frozenset(["tag 7", "tag 8"])}, included=frozenset([9]))
    assert {rule.pk for rule in Ruleset(rules, []).candidates(person)} == {7, 8, 9}


def test_of_several_conditions_the_one_that_fewest_rules_share_leads_to_a_rule():
    def has(tag):
        return Condition("tag", "any", frozenset([tag]))

    rules = [Rule(n, "signed_in_users", False, (has("all"), has(f"tag {n}"))) for n in range(99)]
    person = Person(1, values={"tag": frozenset(["all", "tag 7"])})
    assert {rule.pk for rule in Ruleset(rules, []).candidates(person)} == {7}


@pytest.mark.parametrize("user_type", ["", "everybody"])
def test_nobody_is_of_an_unknown_type(user_type):
    """The database stores no such type; whatever else made the rule, it admits nobody."""
    assert not Rule(1, user_type, True, ()).admits(Person(1))


def token():
    return Token.objects.get().value


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def rename(thing, name):
    thing.name = name
    thing.save()


@pytest.fixture
def stored(db):
    """One of everything that the rules are made from."""
    TagFactory(name="vip")
    AgentGroup.objects.create(name="Returns")
    OrganizationFactory(name="Acme")
    Audience.of(Segment.objects.create(name="One"), Segment.objects.create(name="Two"))
    return Segment.objects.create(name="Three")


CHANGES = {
    "create": lambda segment: Segment.objects.create(name="New"),
    "save": lambda segment: segment.save(),
    "update": lambda segment: Segment.objects.filter(pk=segment.pk).update(description="x"),
    "bulk_create": lambda segment: Segment.objects.bulk_create([Segment(name="New")]),
    "bulk_update": lambda segment: Segment.objects.bulk_update([segment], ["conditions"]),
    "delete": lambda segment: segment.delete(),
    "queryset delete": lambda segment: Segment.objects.filter(built_in=None).delete(),
    "_raw_delete": lambda segment: Segment.objects.filter(pk=segment.pk)._raw_delete("default"),
    "raw update": lambda segment: sql("UPDATE segments_segment SET conditions = '[]'"),
    "raw delete": lambda segment: sql("DELETE FROM segments_segment WHERE id = %s", segment.pk),
    "interning": lambda segment: Audience.of(segment),
    "deleting audiences": lambda segment: Audience.objects.exclude(key="nobody").delete(),
    "bulk links": lambda segment: AudienceSegment.objects.bulk_create(
        [AudienceSegment(audience=Audience.objects.last(), segment=segment)]
    ),
    "raw delete of links": lambda segment: sql("DELETE FROM segments_audiencesegment"),
    "raw update of links": lambda segment: sql(
        "UPDATE segments_audiencesegment SET segment_id = %s "
        "WHERE id = (SELECT min(id) FROM segments_audiencesegment)",
        segment.pk,
    ),
    "deleting a tag": lambda segment: Tag.objects.all().delete(),
    "renaming a tag": lambda segment: rename(Tag.objects.get(), "gold"),
    "renaming tags in bulk": lambda segment: Tag.objects.update(name="gold"),
    "renaming tags by SQL": lambda segment: sql("UPDATE accounts_tag SET name = 'gold'"),
    "deleting a tag by SQL": lambda segment: sql("DELETE FROM accounts_tag"),
    "deleting an organization": lambda segment: Organization.objects.all().delete(),
    "deleting a group by SQL": lambda segment: sql("DELETE FROM accounts_agentgroup"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_of_the_rules_changes_the_token(stored, change):
    before = token()
    change(stored)
    assert token() != before


@postgresql_only
@pytest.mark.parametrize(
    "tables",
    [
        "segments_audiencesegment",
        "segments_segment CASCADE",
        "accounts_user_tags, accounts_organization_tags, accounts_tag",
        "accounts_agentgroup CASCADE",
    ],
)
def test_truncate_changes_the_token(stored, tables):
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    before = token()
    sql(f"TRUNCATE {tables}")
    assert token() != before


UNRELATED = {
    "a new person": lambda segment: PersonFactory(),
    "a tag on a person": lambda segment: PersonFactory().tags.add(Tag.objects.get()),
    "a named person": lambda segment: segment.include(PersonFactory()),
    "a new tag": lambda segment: TagFactory(name="new"),
    "an organization's name": lambda segment: Organization.objects.update(name="Acme & Sons"),
    "content": lambda segment: ArticleFactory(audience=Audience.everyone()),
    "another audience": lambda segment: Article.objects.update(audience=Audience.everyone()),
}


@pytest.mark.parametrize("change", UNRELATED.values(), ids=UNRELATED)
def test_people_and_content_touch_no_token(stored, change):
    before = token()
    change(stored)
    assert token() == before


def test_a_change_that_is_rolled_back_is_never_taken_for_a_later_one(stored):
    maria = PersonFactory(tags=["vip"])
    before = token()
    with transaction.atomic():
        stored.conditions = [{"attribute": "tag", "operator": "any", "values": ["vip"]}]
        stored.save()
        rolled_back = token()
        assert stored in Segment.objects.for_user(maria)
        transaction.set_rollback(True)
    assert token() == before
    assert stored not in Segment.objects.for_user(maria)
    Segment.objects.filter(pk=stored.pk).update(description="something else")
    assert token() not in (before, rolled_back)
    assert stored not in Segment.objects.for_user(maria)


def test_rules_are_compiled_when_they_change_and_not_before(stored):
    maria = PersonFactory()
    viewer_for(maria)

    def tables_read():
        with CaptureQueriesContext(connection) as queries:
            viewer_for(maria)
        return {
            table
            for query in queries
            for table in ("segments_segment", "segments_audiencesegment")
            if f'FROM "{table}"' in query["sql"]
        }

    assert tables_read() == set()
    maria.tags.add(Tag.objects.get())
    stored.include(maria)
    assert tables_read() == set()
    stored.save()
    assert tables_read() == {"segments_segment", "segments_audiencesegment"}
    assert tables_read() == set()
    assert current_ruleset("default") is current_ruleset("default")


def test_a_value_that_comes_back_counts_again(stored):
    """No trigger fires for it: the rules know which values they miss."""
    TagFactory(name="lost")
    named = [{"attribute": "tag", "operator": "any", "values": ["lost"]}]
    segment = Segment.objects.create(name="Found", conditions=named)
    Tag.objects.filter(name="lost")._raw_delete("default")
    somebody = PersonFactory()
    assert segment.pk not in viewer_for(somebody).segments
    before = Token.objects.get().value
    somebody.tags.add(TagFactory(name="lost"))
    assert Token.objects.get().value == before
    assert segment.pk in viewer_for(somebody).segments


def test_built_in_segments_are_compiled_as_what_they_are(stored):
    rules = current_ruleset("default").rules
    found = {pk: (rules[pk].is_whole_type, rules[pk].is_placeholder) for pk in (1, 2, 3, 4)}
    assert found == {1: (True, False), 2: (True, False), 3: (False, True), 4: (False, True)}
    agent = PersonFactory(role="agent")
    assert {1, 2} <= viewer_for(agent).segments


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_token_nobody_sees_anything(stored, caplog, value):
    stored.include(maria := PersonFactory())
    admin = PersonFactory(role="admin")
    article = ArticleFactory(audience=Audience.everyone())
    assert article.is_visible_to(AnonymousUser()) and article.is_visible_to(admin)
    if value is None:
        Token.objects.all().delete()
    else:
        Token.objects.update(value=value)
    with caplog.at_level(logging.ERROR, "segments"):
        for user in (AnonymousUser(), maria, admin):
            for model in (HelpCenter, Category, Section, Article):
                assert not model.objects.visible_to(user).exists()
            assert not article.is_visible_to(user)
            assert not Segment.objects.for_user(user).exists()
    assert "Nothing is shown to anybody." in caplog.text
    assert "manage.py migrate" in caplog.text
    with pytest.raises(RulesUnavailable):
        explain(admin, article)


@pytest.mark.parametrize("operator", ["any", "all", "none"])
def test_a_condition_that_cannot_be_decided_holds_for_nobody(caplog, operator):
    """Such as when the facts about a person come back as something else: no page breaks by it."""
    condition = Condition("tag", operator, frozenset(["vip"]))
    with caplog.at_level(logging.ERROR, "segments"):
        assert condition.holds_for(Person(1, values={"tag": None})) == NONE
    assert "cannot be decided, so it holds for nobody" in caplog.text


def test_a_person_with_conditions_that_break_the_database_breaks_nobody(stored):
    """Whatever raw SQL wrote: the condition is false and everybody else's rules still work."""
    broken = [{"attribute": "organization", "operator": "none", "values": [2**70]}]
    Segment.objects.filter(pk=stored.pk).update(conditions=broken)
    maria = PersonFactory()
    assert [segment.built_in for segment in Segment.objects.for_user(maria)] == ["signed_in_users"]
    assert not stored.members().exists()

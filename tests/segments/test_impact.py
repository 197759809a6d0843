"""What a change of a segment would do, asked of a draft; and the segments that hold nobody."""

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from helpcenter.models import Article, Attachment, Section, Vote
from segments import builtin
from segments.attributes import Person
from segments.explain import _membership
from segments.impact import content_of, impact_of
from segments.models import Audience, Change, Segment, Token
from segments.reach import reach_of
from segments.ruleset import current_ruleset
from segments.wording import sentence_of
from tests.factories_content import ArticleFactory, AttachmentFactory, SectionFactory


def names(people):
    return sorted(person.email.partition("@")[0] for person in people)


CASES = {
    "nothing": {},
    "another condition": {
        "conditions": [{"attribute": "tag", "operator": "any", "values": ["premium"]}]
    },
    "none": {"conditions": [{"attribute": "tag", "operator": "none", "values": ["premium"]}]},
    "no condition": {"conditions": []},
    "another type": {"user_type": "staff", "conditions": []},
    "somebody more": {"included": ["dan", "aki", "ines"]},
    "somebody less": {"excluded": ["maria"]},
    "nobody by name": {"included": [], "excluded": []},
}


@pytest.mark.parametrize("case", CASES)
def test_the_draft_says_what_storing_does(cast, segment_of, case):
    segment = segment_of["acme"]
    segment.include(cast["omar"])
    segment.exclude(cast["nadia"])
    change = dict(CASES[case])
    for kind in ("included", "excluded"):
        if kind in change:
            change[kind] = [cast[name].pk for name in change[kind]]
    before = set(segment.members())
    recorded = Change.objects.count()
    impact = impact_of(segment, **change)
    said = {name: set(getattr(impact, name)) for name in ("before", "after", "gains", "loses")}
    assert Change.objects.count() == recorded
    segment.user_type = change.get("user_type", segment.user_type)
    segment.conditions = change.get("conditions", segment.conditions)
    segment.save()
    for kind in ("included", "excluded"):
        if kind in change:
            segment.people.filter(kind=kind).delete()
            for pk in change[kind]:
                segment.people.create(kind=kind, user_id=pk)
    after = set(segment.members())
    assert said == {
        "before": before,
        "after": after,
        "gains": after - before,
        "loses": before - after,
    }


def test_a_new_segment_has_nobody_before(cast, segment_of):
    draft = Segment(name="New", user_type="staff")
    impact = impact_of(
        draft, conditions=[{"attribute": "role", "operator": "any", "values": ["agent"]}]
    )
    assert names(impact.before) == []
    assert names(impact.gains) == ["aki", "edda", "pia"]


def test_whoever_a_new_segment_would_have_joins(cast, segment_of):
    draft = Segment(name="New", conditions=segment_of["premium"].conditions)
    impact = impact_of(draft)
    assert names(impact.before) == names(impact.loses) == []
    assert names(impact.gains) == ["nadia", "omar"]


def test_a_built_in_segment_stays_what_it_is(cast):
    segment = Segment.objects.get(built_in="staff")
    impact = impact_of(segment)
    assert names(impact.after) == names(impact.before) == ["ada", "aki", "edda", "lena", "pia"]
    for change in ({"conditions": []}, {"included": [cast["dan"].pk]}):
        with pytest.raises(ValidationError, match="Built-in segments cannot be changed"):
            impact_of(segment, **change)


def test_what_lies_as_deep_as_can_be_is_content_of_a_segment(segment_of):
    section = top = SectionFactory(audience=Audience.of(segment_of["acme"]))
    sections = [section]
    for _depth in range(4):
        everyone = Audience.everyone()
        section = SectionFactory(category=top.category, parent=section, audience=everyone)
        sections.append(section)
    article = ArticleFactory(section=section, audience=Audience.everyone())
    assert {*content_of(segment_of["acme"], Section)} == {*sections}
    assert {*content_of(segment_of["acme"], Article)} == {article}


def test_a_base_type_that_there_is_not_is_named(segment_of):
    with pytest.raises(ValidationError, match="“?'?robots'?”? is not a valid choice"):
        impact_of(segment_of["premium"], user_type="robots")


def test_a_draft_is_validated(cast, segment_of):
    with pytest.raises(ValidationError, match="conditions"):
        impact_of(segment_of["acme"], conditions=[{"attribute": "age"}])


def test_content_of_a_segment(cast, segment_of):
    acme = Audience.of(segment_of["acme"])
    outer = SectionFactory(audience=acme)
    inner = SectionFactory(category=outer.category, parent=outer, audience=Audience.everyone())
    inside = ArticleFactory(section=inner, audience=Audience.everyone())
    own = ArticleFactory(audience=Audience.of(segment_of["acme"], segment_of["french"]))
    ArticleFactory(audience=Audience.of(segment_of["french"]))
    assert set(content_of(segment_of["acme"], Article)) == {inside, own}
    assert set(content_of(segment_of["acme"], Section)) == {outer, inner}
    # By what is above it, and by itself where what is above is for others.
    shelf = SectionFactory(audience=acme, category__audience=Audience.of(segment_of["french"]))
    assert set(content_of(segment_of["acme"], Section)) == {outer, inner, shelf}
    assert set(content_of(segment_of["french"], Section)) == {shelf}
    file = AttachmentFactory(article=own)
    AttachmentFactory()
    assert set(content_of(segment_of["acme"], Attachment)) == {file}
    # What hangs from one of several things.
    vote = Vote.objects.create(user=cast["dan"], article=own, value=1)
    assert set(content_of(segment_of["acme"], Vote)) == {vote}


@pytest.mark.parametrize("mark", ["nobody", "ancestors"])
class TestPlaceholder:
    def test_holds_nobody(self, cast, mark):
        segment = Segment.objects.get(built_in=mark)
        assert not segment.members().exists()
        for person in cast.values():
            assert segment not in Segment.objects.for_user(person)

    def test_is_said_to_be_for_nobody(self, cast, mark):
        segment = Segment.objects.get(built_in=mark)
        assert sentence_of(segment) == "Nobody"
        rule = current_ruleset("default").rules[segment.pk]
        assert _membership(rule, Person(cast["maria"].pk)) == "nobody is ever in it"

    def test_is_in_no_audience(self, cast, mark):
        segment = Segment.objects.get(built_in=mark)
        with pytest.raises(ValueError, match="nobody"):
            Audience.of(segment)
        assert segment not in Segment.objects.assignable()

    def test_never_changes(self, cast, mark):
        segment = Segment.objects.get(built_in=mark)
        segment.name = "Everybody"
        with pytest.raises(ValidationError):
            segment.save()
        with pytest.raises(ValidationError):
            segment.include(cast["maria"])


@pytest.mark.parametrize("mark", ["nobody", "ancestors"])
def test_nobody_is_forced_into_a_placeholder(cast, mark):
    segment = Segment.objects.get(built_in=mark)
    segment.people.create(kind="included", user=cast["aki"])
    conditions = [{"attribute": "role", "operator": "any", "values": ["agent"]}]
    Segment.objects.filter(pk=segment.pk).update(conditions=conditions)
    segment = Segment.objects.get(pk=segment.pk)
    assert not segment.members().exists()
    assert segment not in Segment.objects.for_user(cast["aki"])


def test_a_placeholder_comes_even_where_its_name_is_taken(db):
    Segment.objects.filter(pk=3)._raw_delete("default")
    Segment.objects.create(name="Nobody")
    builtin.restore_rows("default")
    assert Segment.objects.get(pk=3).name == "Nobody (built-in)"


@pytest.mark.parametrize(
    "change", [{"user_type": "bogus"}, {"user_type": "staff"}, {"conditions": "x"}]
)
def test_what_cannot_be_stored_has_no_impact(segment_of, change):
    with pytest.raises(ValidationError):
        impact_of(segment_of["acme"], **change)


def test_built_ins_cannot_change(cast):
    segment = Segment.objects.get(built_in="staff")
    for change in ({"conditions": []}, {"excluded": [cast["aki"].pk]}):
        with pytest.raises(ValidationError):
            impact_of(segment, **change)


class TestReach:
    def test_nobody_without_rules(self, cast):
        article = ArticleFactory(audience=Audience.everyone())
        assert reach_of(article).members.exists()
        Token.objects.all().delete()
        found = reach_of(article)
        assert not any(people.exists() for people in (found.members, found.admins, found.editors))

    def test_nobody_sees_what_is_archived(self, cast):
        article = ArticleFactory(audience=Audience.everyone())
        article.archive()
        found = reach_of(article)
        assert not any(people.exists() for people in (found.members, found.admins, found.editors))

    def test_what_is_stored_counts(self, cast):
        article = ArticleFactory(audience=Audience.everyone())
        Article.objects.update(audience=Audience.nobody())
        assert not reach_of(article).is_public and not reach_of(article).members.exists()


def test_the_cost_of_content_of(segment_of):
    def grow(count):
        for _ in range(count):
            section = SectionFactory(audience=Audience.of(segment_of["acme"]))
            ArticleFactory(section=section, audience=Audience.everyone())

    def queries():
        with CaptureQueriesContext(connection) as found:
            list(content_of(segment_of["acme"], Article))
        return len(found)

    grow(2)
    few = queries()
    grow(6)
    assert queries() == few

"""The list of segments: what is found, in which order, and what is counted."""

import pytest
from django.core.cache import cache

from helpcenter.models import Article, PermissionGroup, Section
from segments import segment_list
from segments.models import Audience, Change, Segment, audience_fields
from segments.segment_list import (
    SegmentList,
    _address,
    _key,
    broken,
    count_members,
    last_changes,
    used_segments,
    uses_by_kind,
)
from tests.factories_content import ArticleFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_remembered():
    cache.clear()


@pytest.fixture
def listed(rf):
    return lambda **asked: SegmentList(rf.get("/", asked))


def names(found):
    return [row.segment.name for row in found.rows]


def test_a_text_is_looked_for_in_names_and_descriptions(listed, segment_of):
    Segment.objects.filter(pk=segment_of["french"].pk).update(description="Who read in Paris")
    assert names(listed(q="paris")) == ["French"]
    assert names(listed(q="customers acme")) == ["Customers of Acme"]
    assert names(listed(q="paris acme")) == []
    assert len(names(listed(q=""))) == len(names(listed())) == Segment.objects.assignable().count()


@pytest.mark.parametrize("asked", [{"q": "a" * 201}, {"state": "x"}, {"sort": "x"}])
def test_what_cannot_be_asked_finds_nothing(listed, segment_of, asked):
    found = listed(**asked)
    assert (found.is_valid, found.rows) == (False, [])


def test_a_row_says_what_it_knows(listed, segment_of, monkeypatch):
    monkeypatch.setattr(segment_list, "PATIENCE_OF_A_PAGE", 60)
    unused = Segment.objects.create(name="Unused")
    unused.description = "Changed"
    unused.save()
    (row,) = listed(q="unused").rows
    assert (row.segment, row.uses, row.members) == (unused, [], 0)
    assert (row.change.field, row.change.after) == ("Description", "Changed")
    found = listed(q="unused")
    found.deadline = 0
    assert [each.members for each in found.rows] == [None]
    assert found.uncounted == 0


def test_counts_are_remembered_for_sorting_only(listed, segment_of, monkeypatch):
    """The longest ago that they may be is ten minutes, and an edit ends it at once."""
    monkeypatch.setattr(segment_list, "PATIENCE_OF_SORTING", 0)
    premium = segment_of["premium"]
    assert count_members(premium) == 2
    assert cache.get(_key(premium)) == 2
    before = _key(premium)
    found = listed(sort="members")
    found._sorted()
    assert found.uncounted == Segment.objects.assignable().count() - 1
    assert [each.pk for each in found._sorted()][-1] == premium.pk
    nobody = Segment.objects.create(name="0")
    count_members(nobody)
    # Less than nobody is what is not known.
    assert [each.pk for each in listed(sort="members")._sorted()][-2:] == [nobody.pk, premium.pk]
    monkeypatch.setattr(segment_list, "PATIENCE_OF_SORTING", 60)
    monkeypatch.setattr(segment_list, "count_members", lambda segment: {}[segment.name])
    with pytest.raises(KeyError):
        listed(sort="members")._sorted()
    for segment in Segment.objects.assignable():
        count_members(segment)
    found = listed(sort="-members")
    assert found._sorted()[0].built_in == "signed_in_users"
    assert found.uncounted == 0
    premium.save()
    assert _key(premium) != before
    assert cache.get(_key(premium)) is None


def test_uses_are_counted_through_every_audience(segment_of):
    premium, french = segment_of["premium"], segment_of["french"]
    section = ArticleFactory(audience=Audience.of(premium)).section
    ArticleFactory(audience=Audience.of(premium), section=section)
    ArticleFactory(audience=Audience.of(premium, french), section=section)
    PermissionGroup.objects.create(
        name="G", edit=Audience.of(premium), publish=Audience.of(segment_of["staff"])
    )
    found = uses_by_kind([premium])
    assert found.keys() == {premium.pk}
    lists = {
        model: f"/admin/helpcenter/{model._meta.model_name}/"
        for model in (Article, PermissionGroup)
    }
    assert {(use.words, use.count, use.address) for use in found[premium.pk]} == {
        ("articles", 3, f"{lists[Article]}?shown_to={premium.pk}"),
        ("permission group (may edit)", 1, lists[PermissionGroup]),
    }
    assert {_address(each, 7) for each in audience_fields() if each.model is Section} == {
        "/admin/helpcenter/section/?shown_to=7"
    }


def test_used_is_what_any_kind_of_audience_names(segment_of):
    ArticleFactory(
        audience=Audience.of(segment_of["premium"]),
        section__audience=Audience.of(segment_of["french"]),
    )
    PermissionGroup.objects.create(
        name="G",
        edit=Audience.of(segment_of["editors"]),
        publish=Audience.of(segment_of["publishers"]),
    )
    Audience.of(segment_of["acme"])
    assert used_segments() == {
        segment_of[name].pk for name in ("premium", "french", "editors", "publishers")
    }


def test_broken_is_what_can_hold_nobody(cast, segment_of):
    empty, named, gone = (Segment.objects.create(name=name) for name in ("E", "N", "G"))
    named.include(cast["dan"])
    rubbish = [{"attribute": "tag", "operator": "any", "values": ["gone"]}]
    Segment.objects.filter(pk=gone.pk).update(conditions=rubbish)
    assert broken(Segment.objects.assignable()) == {empty.pk, gone.pk}


def test_the_newest_change_is_the_segments(segment_of):
    premium = segment_of["premium"]
    premium.description = "Changed"
    premium.save()
    newest = Change.objects.of(premium).first()
    Change.objects.create(model="other.thing", object_id=str(premium.pk), field="x", after="y")
    assert last_changes([premium]) == {str(premium.pk): newest}

"""What may not be deleted or renamed, and why, in words."""

from contextlib import contextmanager

import pytest
from django.db import transaction
from django.db.models import ProtectedError

from accounts.models import Tag
from segments.models import Audience, AudienceSegment, Segment
from segments.protection import ValueInUse, refusals, refuse_renaming
from tests.factories_people import TagFactory
from tests.segments.conftest import tags_any

pytestmark = pytest.mark.django_db


@contextmanager
def refused_with(error):
    """As pytest.raises, in a transaction of its own."""
    with pytest.raises(error) as refused, transaction.atomic():
        yield refused


@pytest.fixture
def gold():
    """A tag that one segment names."""
    tag = TagFactory(name="gold")
    Segment.objects.create(name="Best", conditions=tags_any("gold"))
    return tag


def test_who_is_protected_is_in_the_error():
    staff = Segment.objects.get(built_in="staff")
    with refused_with(ProtectedError) as refused:
        staff.delete()
    assert refused.value.args[0] == "Built-in segments cannot be deleted."
    assert refused.value.protected_objects == {staff}
    link = Audience.of(Segment.objects.create(name="Some")).links.get()
    for delete in (link.delete, AudienceSegment.objects.filter(pk=link.pk).delete):
        with refused_with(ProtectedError) as refused:
            delete()
        assert refused.value.args[0] == "An audience keeps its segments."
        assert refused.value.protected_objects == {link}


def test_links_go_with_a_segment_that_nothing_is_shown_to():
    segment = Segment.objects.create(name="Some")
    audience = Audience.of(segment, Segment.objects.get(built_in="staff"))
    segment.delete()
    assert not AudienceSegment.objects.filter(audience=audience, segment=segment.pk).exists()


def test_what_is_named_is_neither_deleted_nor_renamed(gold):
    words = "tag “gold” is named in the conditions of: “Best”."
    assert refusals([TagFactory(name="free"), gold]) == [words]
    with refused_with(ValueInUse) as refused:
        gold.delete()
    assert refused.value.args[0] == words
    assert refused.value.protected_objects == {Segment.objects.get(name="Best")}
    gold.name = "silver"
    with refused_with(ValueInUse):
        gold.save()
    assert Tag.objects.filter(name="gold").exists()


def test_loading_a_fixture_asks_nothing(gold, django_assert_num_queries):
    """Its rows come in any order, and the conditions may come after them."""
    gold.name = "silver"
    with django_assert_num_queries(0):
        refuse_renaming(Tag, gold, raw=True, using="default")
        refuse_renaming(Tag, Tag(name="new"), raw=False, using="default")


def test_the_name_is_kept_where_the_id_is_an_attribute_too(gold, settings):
    lookups = {"badge": ["tags__id"], "tag": ["tags__name"]}
    settings.SEGMENTS = settings.SEGMENTS | {"ATTRIBUTES": lookups}
    gold.name = "silver"
    with refused_with(ValueInUse):
        gold.save()

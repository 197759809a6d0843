"""Segments and audiences as rows: what is stored, and what is refused."""

import hashlib

import pytest
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError, Q
from django.db.models.deletion import Collector

from accounts.models import Organization, User
from helpcenter.models import Article, Section
from segments.models import (
    Audience,
    Change,
    Segment,
    cascade_unless_used,
    describe_uses,
    read_together,
)
from segments.moving import move_all
from tests.factories_content import ArticleFactory, SectionFactory
from tests.factories_people import TagFactory
from tests.segments.conftest import tags_any

pytestmark = pytest.mark.django_db


def test_a_name_is_stored_with_single_spaces(django_assert_num_queries):
    # The name, two constraints and the row, each of these in a savepoint; nothing asks for the id.
    with django_assert_num_queries(10):
        assert Segment.objects.create(name="  Two \t words ").name == "Two words"


def test_conditions_are_checked_for_the_base_type(cast):
    acme = Organization.objects.get(name="Acme").pk
    conditions = [{"attribute": "organization", "operator": "any", "values": [acme]}]
    with pytest.raises(ValidationError, match="does not limit staff"):
        Segment.objects.create(name="Staff of Acme", user_type="staff", conditions=conditions)


@pytest.mark.parametrize(
    ("mark", "whole", "placeholder"),
    [
        ("signed_in_users", True, False),
        ("staff", True, False),
        ("nobody", False, True),
        ("ancestors", False, True),
    ],
)
def test_what_a_built_in_segment_is(mark, whole, placeholder):
    segment = Segment.objects.get(built_in=mark)
    assert (segment.is_whole_type, segment.is_placeholder) == (whole, placeholder)
    mine = Segment(user_type="staff")
    assert (mine.is_whole_type, mine.is_placeholder) == (False, False)


def test_of_an_unknown_base_type_is_nobody(cast):
    everybody = ~Q(pk__in=[])
    assert not Segment(user_type="robots").members_with(everybody, Q(pk__in=[])).exists()


def test_each_of_the_conditions_counts(cast):
    french = {"attribute": "language", "operator": "any", "values": ["fr"]}
    segment = Segment.objects.create(name="Both", conditions=[*tags_any("premium"), french])
    cast["nadia"].language = "fr"
    cast["nadia"].save()
    assert {*segment.members()} == {cast["nadia"]}
    segment.conditions = [french]
    segment.save()
    assert {*segment.members()} == {cast["claire"], cast["nadia"]}
    segment.conditions = []
    segment.save()
    assert not segment.members().exists()
    assert not User.objects.filter(segment._satisfying()).exists()


FRENCH = {"attribute": "language", "operator": "any", "values": ["fr"]}


@pytest.mark.parametrize(
    ("conditions", "is_few"),
    [
        ([FRENCH], True),
        ([FRENCH | {"operator": "none"}], False),
        ([FRENCH | {"operator": "none"}, FRENCH], True),
        ([FRENCH | {"operator": "some"}], False),
        ([], False),
    ],
)
def test_few_are_found_by_one_union(cast, conditions, is_few):
    """Of an OR a database reads everybody. A broken condition admits nobody, and is no error."""
    segment = Segment(conditions=conditions)
    assert segment.is_few is is_few
    found = segment.members_with(Q(pk=cast["dan"].pk), Q(pk__in=[]))
    assert ("UNION" in str(found.query)) is is_few
    assert cast["dan"] in found


def test_what_is_read_together_is_read_once(segment_of, django_assert_num_queries):
    segments = Segment.objects.filter(built_in=None)
    expected = {each.pk: each.read_conditions() for each in segments}
    with django_assert_num_queries(3):  # the segments, organizations and groups, tags
        read = read_together(segments)
    with django_assert_num_queries(0):
        assert {each.pk: each.read_conditions() for each in read} == expected


def test_an_audience_is_of_segments_that_are_stored():
    stored = Segment.objects.create(name="Some")
    for other in (Segment(), "staff"):
        with pytest.raises(ValueError, match="takes segments that are saved"):
            Audience.of(stored, other)
    with pytest.raises(ValueError, match=r"use Audience\.nobody\(\)"):
        Audience.of(stored, Segment.objects.get(built_in="nobody"))
    with pytest.raises(ValueError, match="Name at least one segment"):
        Audience.of()


def test_a_set_of_segments_is_one_audience():
    """By the key that is stored: another one would make a second row for the same set."""
    segments = [Segment.objects.create(name=name) for name in "ab"]
    audience = Audience.of(*segments)
    ids = sorted(segment.pk for segment in segments)
    assert audience.key == hashlib.sha256(f"{ids[0]},{ids[1]}".encode()).hexdigest()
    assert Audience.of(*reversed(segments)) == audience
    # As another process that looked for it a moment earlier.
    assert Audience._intern(audience.key, ids) == audience
    assert [*audience.links.order_by("segment").values_list("segment", flat=True)] == ids


def test_uses_are_named_and_the_rest_counted():
    section = SectionFactory(title="Offers")
    articles = ArticleFactory.create_batch(3, section=section)
    kept = [section.__class__.objects.filter(pk=section.pk)]
    rows = [*kept, type(articles[0]).objects.filter(pk__in=[each.pk for each in articles])]
    first = rows[1][0]
    assert describe_uses(rows, 1) == (
        f"section “Offers”, article “{first}”, 2 more of kind article"
    )
    assert "more" not in describe_uses(rows, 3)


def test_a_segment_in_use_says_of_what():
    """To the admin, which asks with a queryset; Django has words of its own for one object."""
    segment = Segment.objects.create(name="Some")
    article = ArticleFactory(title="Prices", audience=Audience.of(segment))
    collector = Collector(using="default")
    with pytest.raises(ProtectedError) as refused:
        cascade_unless_used(collector, None, segment.links.all(), "default")
    assert refused.value.args == (
        "The segment is in use and cannot be deleted: article “Prices”.",
        {article},
    )


def test_audiences_are_moved_with_their_segments_read_at_once(
    segment_of, django_assert_num_queries
):
    for name in ("premium", "french"):
        ArticleFactory(audience=Audience.of(segment_of[name]))
    nobody = frozenset()
    # A savepoint and its end, the audiences, their segments; for each nobody's, and an UPDATE.
    with django_assert_num_queries(8):
        assert move_all(Article.objects.all(), lambda _old: nobody) == 2


def test_changes_are_of_one_object_of_one_kind():
    tag = TagFactory(name="a")
    tag.name = "b"
    tag.save()
    same_id = Section(pk=tag.pk)
    assert Change.objects.of(tag).exists()
    assert not Change.objects.of(same_id).exists()
    assert not Change.objects.of(User(pk=tag.pk)).exists()

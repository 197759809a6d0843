"""The rows that always exist come back as they were."""

from types import SimpleNamespace

import pytest
from django.db import connection
from django.db.models import CheckConstraint, Q
from django.test.utils import CaptureQueriesContext

from segments import builtin
from segments.builtin import restore_rows
from segments.models import Actor, Audience, AudienceSegment, Segment, Token
from tests.factories_people import TagFactory
from tests.segments.conftest import tags_any

pytestmark = pytest.mark.django_db

ROWS = {
    Segment: [
        (1, "Signed-in users", "signed_in_users", "signed_in_users", []),
        (2, "Agents and admins", "staff", "staff", []),
        (3, "Nobody", "staff", "nobody", []),
        (4, "Restricted by its section", "staff", "ancestors", []),
    ],
    Audience: [(1, "nobody"), (2, "everyone")],
    Actor: [(1,)],
    Token: [(1,)],
}
COLUMNS = {
    Segment: ["pk", "name", "user_type", "built_in", "conditions"],
    Audience: ["pk", "key"],
}
EACH = [(model, row) for model, rows in ROWS.items() for row in range(len(rows))]


def rows_of(model):
    return list(model.objects.order_by("pk").values_list(*COLUMNS.get(model, ["pk"])))


@pytest.mark.parametrize(("model", "place"), EACH)
def test_a_missing_row_comes_back(model, place):
    """Only this one, with its own id, and whatever the site has of its own."""
    pk = ROWS[model][place][0]
    AudienceSegment.objects.filter(segment=pk)._raw_delete("default")
    model.objects.filter(pk=pk)._raw_delete("default")
    restore_rows("default")
    assert {each: rows_of(each) for each in ROWS} == ROWS
    if model is Token:  # others renew it, by the trigger of the database
        assert len(Token.objects.get().value) == 32


def test_audiences_come_back_beside_others_and_the_next_one_is_another():
    TagFactory(name="a")
    some = Segment.objects.create(name="Some", conditions=tags_any("a"))
    mine = Audience.of(some)
    Audience.objects.filter(pk=Audience.EVERYONE)._raw_delete("default")
    restore_rows("default")
    assert Audience.objects.filter(pk=Audience.EVERYONE, key="everyone").exists()
    assert Audience.of(Segment.objects.get(pk=2), some).pk not in (1, 2, mine.pk)


def test_audiences_that_are_there_are_only_counted():
    """The sequence, set anew, would give out the id of one that is just being made once more."""
    with CaptureQueriesContext(connection) as queries:
        restore_rows("default")
    (counting,) = [q["sql"] for q in queries if "segments_audience" in q["sql"]]
    assert counting.startswith("SELECT COUNT(")


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite looks at the ids there are")
def test_the_sequence_goes_on_after_the_fixed_ids():
    some = Segment.objects.create(name="Some")
    Audience.objects.filter(pk=Audience.EVERYONE)._raw_delete("default")
    with connection.cursor() as cursor:
        sequence = "pg_get_serial_sequence('segments_audience', 'id')"
        cursor.execute(f"SELECT setval({sequence}, 1, false)")
    restore_rows("default")
    assert Audience.of(some).pk > 2


def test_migrations_before_placeholders_get_none():
    """Their constraint, which had another name, lets no such mark be stored."""
    old = CheckConstraint(condition=Q(pk=1), name="segments_segment_built_in")
    for constraints, allowed in ([old], False), ([], True):
        model = SimpleNamespace(_meta=SimpleNamespace(constraints=constraints))
        assert builtin._allows_placeholders(model) is allowed

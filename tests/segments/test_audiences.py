"""Audiences: one row for each distinct set of segments, which never changes."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connections, transaction
from django.db.models import ProtectedError

from helpcenter.models import Article, Category, HelpCenter, PermissionGroup, Section
from segments.models import Audience, AudienceSegment, Segment
from tests.factories_content import ArticleFactory
from tests.factories_people import PersonFactory

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db


@pytest.fixture
def pair():
    return Segment.objects.create(name="One"), Segment.objects.create(name="Two")


def test_nobody_and_everyone_are_fixed():
    assert (Audience.nobody().pk, Audience.everyone().pk) == (1, 2)
    assert (str(Audience.nobody()), str(Audience.everyone())) == ("Nobody", "Everyone")
    assert not AudienceSegment.objects.exists()


@pytest.mark.parametrize("model", [HelpCenter, Category, Section, Article])
def test_new_content_is_for_nobody(model):
    assert model().audience_id == Audience.NOBODY


def test_nobody_edits_by_default():
    assert (PermissionGroup().edit_id, PermissionGroup().publish_id) == (1, 1)


def test_a_set_is_one_row_whatever_its_order(pair):
    one, two = pair
    audience = Audience.of(one, two)
    assert audience == Audience.of(two, one) == Audience.of(two, one, two)
    assert audience != Audience.of(one)
    assert set(audience.segments.all()) == {one, two}
    assert str(audience) == "One, Two"


def test_a_set_without_segments_is_refused():
    with pytest.raises(ValueError, match="everyone"):
        Audience.of()
    with pytest.raises(ValueError, match="everyone"):
        Audience.of(*Segment.objects.none())


@pytest.mark.parametrize("wrong", [None, 1, "One", Segment(name="New")], ids=repr)
def test_only_stored_segments_make_an_audience(wrong):
    with pytest.raises(ValueError, match="saved"):
        Audience.of(wrong)


def test_interning_again_costs_one_query(pair, django_assert_num_queries):
    Audience.of(*pair)
    with django_assert_num_queries(1):
        Audience.of(*pair)


@pytest.mark.parametrize(
    "change",
    [
        lambda audience, other: audience.save(),
        lambda audience, other: audience.segments.add(other),
        lambda audience, other: audience.segments.set([other]),
        lambda audience, other: audience.segments.clear(),
        lambda audience, other: audience.segments.remove(audience.segments.get()),
        lambda audience, other: other.audiences.add(audience),
        lambda audience, other: AudienceSegment.objects.create(audience=audience, segment=other),
        lambda audience, other: audience.links.get().save(),
    ],
    ids=["save", "add", "set", "clear", "remove", "from the segment", "create", "save link"],
)
def test_an_audience_never_changes(pair, change):
    one, two = pair
    audience = Audience.of(one)
    with pytest.raises(TypeError, match="never changes"), transaction.atomic():
        change(audience, two)
    assert list(audience.segments.all()) == [one]


def test_only_interning_makes_an_audience(pair):
    with pytest.raises(TypeError, match="use Audience.of"):
        Audience.objects.create(key="nobody checked that this is the key of its segments")
    assert Audience.objects.count() == 2


def test_links_are_not_deleted_by_themselves(pair):
    audience = Audience.of(*pair)
    for delete in (audience.links.all().delete, audience.links.first().delete):
        with pytest.raises(ProtectedError):
            delete()


def test_an_audience_in_use_is_not_deleted(pair):
    article = ArticleFactory(audience=Audience.of(*pair))
    with pytest.raises(ProtectedError):
        article.audience.delete()


def test_the_members_of_any_of_the_segments_are_admitted(pair):
    one, two = pair
    ann, bob, eve = PersonFactory(), PersonFactory(), PersonFactory()
    one.include(ann)
    two.include(bob)
    article = ArticleFactory(audience=Audience.of(one, two))
    seen_by = [article.is_visible_to(user) for user in (ann, bob, eve, AnonymousUser())]
    assert seen_by == [True, True, False, False]


def test_two_threads_intern_one_set_once(pair, transactional_db):
    pair = [Segment.objects.create(name=name) for name in ("Three", "Four")]
    found, gate = [], threading.Barrier(4)

    def intern():
        gate.wait()
        for _ in range(5):
            found.append(Audience.of(*pair).pk)
        connections.close_all()

    threads = [threading.Thread(target=intern) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 20 and len(set(found)) == 1
    assert AudienceSegment.objects.filter(audience=found[0]).count() == 2


def test_two_processes_intern_one_set_once(process_env):
    pair = [Segment.objects.create(name=name).pk for name in ("Three", "Four")]
    code = (
        "import django; django.setup(); from segments.models import Audience, Segment;"
        f"print(Audience.of(*Segment.objects.filter(pk__in={pair})).pk)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=process_env, cwd=ROOT, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    found = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert len(found) == 1 and found != {b""}
    assert AudienceSegment.objects.count() == 2

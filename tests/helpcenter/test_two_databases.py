"""Whatever is asked of another database is answered from it: a replica that is behind, or a copy.

A random world is asked everything, and again in a copy of the database while the site's own one
holds another world. An answer that took anything from there would be an old decision about new
content, or the other way round.
"""

import contextlib
import random

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, OperationalError, connection, connections, transaction
from django.db.models import ProtectedError

from accounts.models import Organization, Tag, User
from helpcenter.models import Article, ArticleTranslation, Category, HelpCenter, Section
from segments import attributes, effects, impact, protection, reach, ruleset, snapshot
from segments.explain import explain
from segments.history import acting_as
from segments.models import Audience, Change, Segment, StaleSegment
from segments.person_changes import Trial, viewer_now
from tests import worlds
from tests.factories_content import ArticleFactory
from tests.factories_people import OrganizationFactory, PersonFactory, TagFactory

VIP = [{"attribute": "tag", "operator": "any", "values": ["vip"]}]
AGENTS = [{"attribute": "role", "operator": "any", "values": ["agent"]}]
CONTENT = [HelpCenter, Category, Section, Article, ArticleTranslation]

pytestmark = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="only SQLite copies what is not committed"
)


@pytest.fixture
def copied(db, tmp_path):
    """Called: copies the database as it is in this transaction; the copy's alias comes back."""

    def copy():
        path = tmp_path / "copy.sqlite3"
        path.write_bytes(connection.connection.serialize())
        connections.settings["copy"] = {**connections.settings["default"], "NAME": str(path)}
        connections["copy"].connect()  # Django allows a test those of the settings only
        return "copy"

    yield copy
    if "copy" in connections.settings:
        connections["copy"].close()
        del connections["copy"], connections.settings["copy"]


def sights(using):
    """What everybody sees there."""
    return {
        (viewer.pk, model): ids(each_of(using, model).visible_to(viewer))
        for viewer in [AnonymousUser(), *User.objects.using(using).order_by("pk")]
        for model in CONTENT
    }


def answers(using):
    """What every question says of what is in a database, by the name of the question."""
    chance = random.Random(5)  # noqa: S311
    people = list(User.objects.using(using).order_by("pk"))
    segments = list(Segment.objects.using(using).order_by("pk"))
    own = [each for each in segments if not each.built_in]
    articles = list(Article._base_manager.using(using).order_by("pk"))
    # Those that have editors of their own, and people who may be among them.
    some = sorted(articles, key=lambda each: each.permission_group_id)[-5:]
    few = sorted(people, key=lambda each: each.role == "end_user")[:4]
    first, second = chance.sample(own, 2)
    tag = attributes.attributes()["tag"]
    return {
        "members": {each.pk: ids(each.members()) for each in segments},
        "is in": {each.pk: ids(each_of(using, Segment).for_user(each)) for each in people},
        "visible": sights(using),
        "alone": [[each.is_visible_to(person) for each in some] for person in few],
        "explained": [[explain(person, each) for each in some] for person in few],
        "reach": [reached(reach.reach_of(each)) for each in some],
        "conditions": [each.read_conditions() for each in own],
        "made up": [
            attributes.made_up(
                {"role": ["end_user"], "organization": [pk]}, using, is_active=True, is_staff=False
            )
            for pk in worlds.ORGANIZATIONS
        ],
        "viewers": [viewer_now(each, using) for each in people],
        "named": [protection.segments_naming(tag, name, using) for name in worlds.TAGS],
        "refused": protection.refusals([*Tag.objects.using(using).order_by("pk"), *segments]),
        "restricted": [ids(impact.content_of(each, model)) for each in own for model in CONTENT],
        "used": [[ids(rows) for rows in each.uses()] for each in own],
        "impact": [told(impact.impact_of(each, conditions=AGENTS)) for each in own],
        "draft": foretold(effects.effect_of_draft(first, second.members())),
        "replaced": foretold(effects.effect_of_replacing(first, second)),
        "moved": foretold(
            effects.effect_of_moves(
                each_of(using, Article).filter(pk__in=[each.pk for each in some]),
                {"audience": lambda _old: frozenset([first.pk])},
            )
        ),
        "tried": foretold(tried(using)),
    }


def tried(using):
    """What it would mean that everybody has every tag."""
    trial = Trial(using=using)
    with transaction.atomic(using=using):
        trial.begin(User.objects.using(using))
        for person in User.objects.using(using):
            person.tags.set(Tag.objects.using(using))
        effect = trial.end(User.objects.using(using))
        transaction.set_rollback(True, using=using)
    return effect


def told(found):
    return [ids(getattr(found, name)) for name in ("before", "after", "gains", "loses")]


def foretold(effect):
    """All that an effect says."""
    names = ("gained", "lost", "becomes_public", "stops_being_public")
    return (
        (effect.gains, effect.loses, ids(effect.gainers), ids(effect.losers)),
        (effect.joins, effect.leaves),
        [
            (each.model, each.name, [ids(getattr(each, name)) for name in names], each.counts)
            for each in effect.content
        ],
    )


def each_of(using, model):
    return model.objects.using(using)


def reached(found):
    return found.is_public, ids(found.members), ids(found.admins), ids(found.editors)


def ids(rows):
    return frozenset(rows.values_list("pk", flat=True))


def differing(copied, seed, ask):
    """Where the answers from the copy are not those of the world that it is a copy of."""
    with transaction.atomic():
        world = worlds.draw(seed)
        worlds.build(world)
        worlds.destroy(world)  # values that are gone here and are there below
        said = ask("default")
        copy = copied()
        transaction.set_rollback(True)
    with transaction.atomic():
        worlds.build(worlds.draw(13))
        again = ask(copy)
        transaction.set_rollback(True)
    return [name for name in said if again[name] != said[name]]


@pytest.mark.parametrize("seed", [4, 7])
def test_a_copy_is_asked_alone(seed, copied):
    assert differing(copied, seed, answers) == []


def test_an_answer_from_elsewhere_is_found_out(copied, monkeypatch):
    read_person = attributes.read_person
    monkeypatch.setattr(ruleset, "read_person", lambda pk, using: read_person(pk, "default"))
    assert differing(copied, 4, sights)


def test_things_are_called_what_they_are_called_there(copied):
    vip = TagFactory(name="vip")
    acme = OrganizationFactory(name="Acme", tags=[vip])
    person = PersonFactory(organizations=[acme])
    from_acme = {"attribute": "organization", "operator": "any", "values": [acme.pk]}
    segment = Segment.objects.create(name="Acme's", conditions=[from_acme, *VIP])
    article = ArticleFactory(audience=Audience.of(segment))
    copy = copied()
    Organization.objects.using(copy).update(name="Zenith")
    there = Article._base_manager.using(copy).get(pk=article.pk)
    (reason,) = explain(User.objects.using(copy).get(pk=person.pk), there).chain[-1].segments
    belongs, tagged = reason.conditions
    assert "Zenith" in belongs.words
    assert belongs.has == ["Zenith"]
    assert tagged.has == ["vip (through Zenith)"]


def test_without_rules_there_nobody_sees_anything_there(copied):
    article = ArticleFactory(audience=Audience.everyone())
    PersonFactory()
    there = Article._base_manager.using(copied()).get(pk=article.pk)
    assert reach.reach_of(there).is_public
    with connections["copy"].cursor() as cursor:
        cursor.execute("DELETE FROM segments_token")
    assert reached(reach.reach_of(there)) == (False, *[frozenset()] * 3)
    assert reach.reach_of(article).is_public


def test_a_value_that_comes_back_there_counts_there(copied, segment):
    person = PersonFactory()
    worlds.delete("accounts_tag", "id", [*ids(Tag.objects.filter(name="vip"))])
    there = User.objects.using(copied()).get(pk=person.pk)
    assert segment.pk not in viewer_now(there, "copy").segments
    there.tags.add(Tag.objects.using("copy").create(name="vip"))
    assert segment.pk in viewer_now(there, "copy").segments
    assert segment.pk not in viewer_now(person).segments


@pytest.fixture
def elsewhere(copied, segment):
    """The segment, in a copy of the database that the site has."""
    copy = copied()
    return Segment.objects.using(copy).get(pk=segment.pk)


@pytest.fixture
def segment(db):
    TagFactory(name="vip")
    return Segment.objects.create(name="Partners", conditions=VIP)


def test_a_segment_is_stored_where_it_was_read(elsewhere, segment):
    elsewhere.name = "Partners elsewhere"
    elsewhere.save()
    assert Segment.objects.using("copy").get(pk=segment.pk).version == 2
    segment.refresh_from_db()
    assert (segment.name, segment.version) == ("Partners", 1)


def test_a_segment_is_stored_where_one_says(elsewhere, segment):
    segment.description = "Told"
    segment.save(using="copy")
    assert Segment.objects.using("copy").get(pk=segment.pk).description == "Told"
    assert Segment.objects.using("default").get(pk=segment.pk).description == ""


def test_an_edit_that_fails_there_takes_no_version(elsewhere):
    with pytest.raises(IntegrityError):
        elsewhere.save(force_insert=True)
    assert Segment.objects.using("copy").get(pk=elsewhere.pk).version == 1


def test_values_are_looked_for_where_the_segment_is(elsewhere, segment):
    TagFactory(name="gold")
    for each in (segment, elsewhere):
        each.conditions = [{"attribute": "tag", "operator": "any", "values": ["gold"]}]
    segment.save()
    with pytest.raises(ValidationError, match="there is no tag 'gold'"):
        elsewhere.save()
    with pytest.raises(ValidationError, match="there is no tag 'gold'"):
        impact.impact_of(elsewhere, conditions=segment.conditions)


def test_nobody_overwrites_an_edit_elsewhere(elsewhere, segment):
    Segment.objects.using("copy").get(pk=segment.pk).save()
    with pytest.raises(StaleSegment) as error:
        elsewhere.save()
    assert error.value.current.version == 2


def test_people_are_named_where_the_segment_is(copied, segment):
    person = PersonFactory()
    elsewhere = Segment.objects.using(copied()).get(pk=segment.pk)
    elsewhere.include(User.objects.using("copy").get(pk=person.pk))
    assert person in elsewhere.members()
    assert not segment.members().exists()


def test_nothing_is_stored_elsewhere_when_the_second_person_cannot_be(copied, segment):
    person = PersonFactory()
    elsewhere = Segment.objects.using(copied()).get(pk=segment.pk)
    with pytest.raises(IntegrityError):
        elsewhere.include(User.objects.using("copy").get(pk=person.pk), User())
    assert not elsewhere.members().exists()


def test_what_is_in_use_elsewhere_only_is_not_deleted_there(copied, segment):
    with transaction.atomic():
        article = ArticleFactory(audience=Audience.of(segment))
        copy = copied()
        transaction.set_rollback(True)
    elsewhere = Segment.objects.using(copy).get(pk=segment.pk)
    with pytest.raises(ProtectedError):
        elsewhere.delete()
    assert article.pk in ids(Article._base_manager.using(copy))
    segment.delete()


def test_an_unused_segment_is_deleted_there_with_its_audiences(copied, segment):
    Audience.of(segment)
    elsewhere = Segment.objects.using(copied()).get(pk=segment.pk)
    elsewhere.delete()
    assert not Segment.objects.using("copy").filter(pk=segment.pk).exists()
    assert Segment.objects.filter(pk=segment.pk).exists()


def test_a_value_that_is_named_elsewhere_keeps_its_name_there(elsewhere):
    tag = Tag.objects.using("copy").get(name="vip")
    Segment.objects.filter(built_in=None).delete()
    Tag.objects.get(name="vip").delete()
    tag.name = "gold"
    with pytest.raises(protection.ValueInUse):
        tag.save()


def test_who_acts_is_known_where_they_act(copied):
    with acting_as("Somebody", copied()):
        TagFactory.build(name="new").save(using="copy")
        assert [each.who for each in Change.objects.using("copy")][:1] == ["Somebody"]


def test_what_fails_there_is_undone_there(copied):
    copy = copied()
    with pytest.raises(ZeroDivisionError), acting_as("Somebody", copy):
        TagFactory.build(name="new").save(using=copy)
        1 / 0  # noqa: B018
    assert not Tag.objects.using(copy).filter(name="new").exists()


def test_one_reads_one_state_there(copied):
    copy = copied()
    with snapshot.read_only(copy):
        assert connections[copy].in_atomic_block
        transaction.on_commit(lambda: TagFactory.build(name="after").save(using=copy), copy)
        with pytest.raises(OperationalError), transaction.atomic(using=copy):
            TagFactory.build(name="inside").save(using=copy)
    assert [each.name for each in Tag.objects.using(copy)] == ["after"]


def test_one_writes_all_or_nothing_there(copied):
    copy = copied()
    with pytest.raises(ZeroDivisionError), snapshot.writing(copy):
        TagFactory.build(name="new").save(using=copy)
        with snapshot.writing(copy):
            TagFactory.build(name="newer").save(using=copy)
        1 / 0  # noqa: B018
    with snapshot.writing(copy):
        with contextlib.suppress(ZeroDivisionError), snapshot.writing(copy):
            TagFactory.build(name="undone").save(using=copy)
            1 / 0  # noqa: B018
        TagFactory.build(name="kept").save(using=copy)
    assert [each.name for each in Tag.objects.using(copy)] == ["kept"]


def test_what_is_given_up_there_need_not_last(copied):
    copy = copied()
    with snapshot.writing(copy):
        transaction.set_rollback(True, using=copy)
        connections[copy].connection.rollback()
    with pytest.raises(snapshot.Unavailable), snapshot.writing(copy):
        connections[copy].connection.rollback()


def test_what_is_built_in_comes_back_where_one_migrates(copied):
    copy = copied()
    with connections[copy].cursor() as cursor:
        cursor.execute("DELETE FROM segments_segment WHERE built_in IS NOT NULL")
    call_command("migrate", database=copy, verbosity=0)
    built_in = Segment.objects.using(copy).exclude(built_in=None)
    assert ids(built_in) == ids(Segment.objects.exclude(built_in=None))

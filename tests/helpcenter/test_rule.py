"""One rule: what the product shows in random worlds is what design §2 says (tests/oracle.py).

Four ways to ask the product (list, one object, members of a segment, explanation) are compared with
the oracle for every person and for visitors, and on PostgreSQL a fifth: what row-level security
shows to SQL that asks for everything. Planted bugs show that the comparison would notice.
"""

import dataclasses
import itertools
import random
import time
from collections import Counter
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.db.models import Q

from accounts.models import User
from helpcenter import models as content
from helpcenter import row_security as content_policies
from segments import (
    attributes,
    conditions,
    policies,
    querysets,
    reach,
    row_security,
    ruleset,
    snapshot,
)
from segments.explain import explain
from segments.models import Segment, SegmentPersonQuerySet
from segments.row_security import lifted
from tests import walls, worlds
from tests.oracle import World, once

PAIRS = "person × article pairs"
BEHIND_THE_WALL = f"{PAIRS} behind row-level security"
IN_MAKE_TEST, IN_MAKE_FUZZ = 20_000, 10_000_000
# Of so many worlds one is large. The small ones hold every odd shape; in a large one many people
# and many articles meet at the cost of asking about each once. PostgreSQL is slower.
WORLDS = 16 if connection.vendor == "sqlite" else 8


@pytest.fixture(autouse=True)
def fresh_rules(db):
    """Nothing that a planted bug compiled may outlive its test."""
    yield
    ruleset._compiled.clear()
    attributes._facts_statement.cache_clear()


@pytest.fixture
def walled(db, settings):
    """Row-level security is on, if this is PostgreSQL."""
    if connection.vendor == "postgresql":
        settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": True}
        walls.build()


def disagreements(
    world: World, compared: Counter | None = None, at_most: int = 10, ways: Any = None
) -> list[str]:
    """Where the product and the oracle differ in this world; empty when all is well.

    What was asked of is added to `compared`.
    """
    compared = Counter() if compared is None else compared
    ways = ways or [_memberships, _views, _samples, _behind_the_wall]
    with transaction.atomic(), lifted():
        worlds.build(world)
        # The rules are compiled here once, so that what is destroyed next has to be noticed.
        list(content.Article.objects.visible_to(User.objects.get(pk=min(world.people))))
        worlds.destroy(world)
        asked = itertools.chain.from_iterable(way(world, compared) for way in ways)
        found = list(itertools.islice(asked, at_most))
        transaction.set_rollback(True)
    return found


def _memberships(world, compared):
    """Both directions: the members of a segment, and the segments of a person."""
    of_person = {pk: ids(Segment.objects.for_user(User(pk=pk))) for pk in world.people}
    for segment in Segment.objects.all():
        expected = world.members.get(segment.pk, set())  # nobody is in a placeholder
        yield from differ(f"members of {segment.pk}", ids(segment.members()), expected)
        asked = {pk for pk, segments in of_person.items() if segment.pk in segments}
        yield from differ(f"people in {segment.pk}", asked, expected)


def _views(world, compared):
    for person in [None, *world.people.values()]:
        viewer = User(pk=person.id) if person else AnonymousUser()
        # As in a request: what is found out about the viewer is remembered until the end of it.
        with snapshot.read_only():
            for model, expected in expectations(world, person).items():
                shown = ids(model.objects.visible_to(viewer))
                yield from differ(f"{model.__name__} for {person}", shown, expected)
        compared[PAIRS] += len(world.articles)


def _behind_the_wall(world, compared):
    """What the web role finds in the tables, by SQL without any condition."""
    if not row_security.is_on():
        return
    for person in [None, *world.people.values()]:
        expected = expectations(world, person)
        with walls.seen_by(User(pk=person.id) if person else AnonymousUser()):
            shown = walls.rows_of(*expected)
        for model in expected:
            yield from differ(
                f"{model.__name__} behind the wall for {person}", shown[model], expected[model]
            )
        compared[BEHIND_THE_WALL] += len(world.articles)


@once
def expectations(world, person):
    """Model -> the ids that design §2 lets this person see."""
    articles = {a.id for a in world.articles.values() if world.sees_article(person, a)}
    sections = {pk for pk in world.sections if world.sees_section(person, pk)}
    categories = {pk for pk in world.categories if world.sees_category(person, pk)}
    return {
        content.HelpCenter: {pk for pk in world.help_centers if world.sees_help_center(person, pk)},
        content.Category: categories,
        content.CategoryTranslation: categories,
        content.Section: sections,
        content.SectionTranslation: sections,
        content.Article: articles,
        content.Attachment: {pk for pk in articles if pk % 2},
        content.ArticleTranslation: {
            worlds.translation_id(article, place)
            for article in world.articles.values()
            for place, draft in enumerate(article.drafts)
            if world.sees_translation(person, article, draft)
        },
    }


def _samples(world, compared):
    """One object at a time, outside of a snapshot, and the explanation's verdict."""
    chance = random.Random(len(world.articles) * 1000 + len(world.people))
    people, articles = [None, *world.people.values()], list(world.articles.values())
    for number in range(10):
        person, article = chance.choice(people), chance.choice(articles)
        viewer = User(pk=person.id) if person else AnonymousUser()
        thing = content.Article._base_manager.get(pk=article.id)
        said = {thing.is_visible_to(viewer)}
        if number == 0:
            said.add(explain(viewer, thing).visible)
            yield from _reached(world, article)
        yield from differ(f"{article} for {person}", said, {world.sees_article(person, article)})


def _reached(world, article):
    """The other direction: who can see an article, and each of its translations and files."""
    active = {pk for pk, person in world.people.items() if person.active}
    asked = [
        (content.Article, article.id, world.sees_article),
        *(
            (
                content.ArticleTranslation,
                worlds.translation_id(article, place),
                lambda person, article, draft=draft: world.sees_translation(person, article, draft),
            )
            for place, draft in enumerate(article.drafts)
        ),
        *([(content.Attachment, article.id, world.sees_article)] if article.id % 2 else []),
    ]
    for model, pk, sees in asked:
        thing = model._base_manager.filter(pk=pk).first()
        if thing is None:
            continue
        found = reach.reach_of(thing)
        said = ids(found.members) | ids(found.admins) | ids(found.editors)
        expected = {pk for pk in active if sees(world.people[pk], article)}
        yield from differ(f"who sees {model.__name__} of {article}", said, expected)
        yield from differ(f"public: {article}", {found.is_public}, {sees(None, article)})


def ids(rows):
    return set(rows.values_list("pk", flat=True))


def differ(what, said, expected):
    if said != expected:
        yield f"{what}: too many {sorted(said - expected)}, too few {sorted(expected - said)}"


def look(seed, tally, enough, large, end=float("inf")):
    """Compare in one world after the other until there are enough pairs, or until the time is over.

    Every so often one is `large` times as large. Fails in the first world with a disagreement, and
    names it: worlds.draw(name, times).
    """
    compared = Counter()
    for number in itertools.count(1):
        if compared[PAIRS] >= enough or time.monotonic() > end:
            break
        times = 1 if number % WORLDS else large
        name = f"{seed}-{number}"
        compared["random worlds" if times == 1 else "large random worlds"] += 1
        found = disagreements(worlds.draw(name, times), compared)
        assert found == [], f"worlds.draw({name!r}, {times}) after {compared}"
        if times == large:
            print(f"seed {seed}: {dict(compared)}", flush=True)
    tally.update(compared)
    return compared


def test_the_product_shows_what_the_design_says(walled, tally):
    compared = look("test", tally, IN_MAKE_TEST, large=4)
    assert compared["large random worlds"]
    if connection.vendor == "postgresql":
        assert compared[BEHIND_THE_WALL] >= IN_MAKE_TEST


@pytest.mark.fuzz
def test_ten_million_pairs(walled, tally, chance, budget):
    """The same in worlds of a new seed, until the time is over; a failure prints its seed."""
    look(chance.getrandbits(32), tally, IN_MAKE_FUZZ, large=10, end=time.monotonic() + budget)


# Planted bugs: each opens something, and each must be found.


def no_conditions_mean_everyone(patch):
    patch.setattr(
        ruleset.Rule, "is_satisfied_by", lambda r, p: all(c.holds_for(p) for c in r.conditions)
    )


def inclusion_skips_the_base_type(patch):
    patch.setattr(
        ruleset.Rule,
        "admits",
        lambda r, p: (
            p.is_active
            and r.pk not in p.excluded
            and (r.pk in p.included or r.is_for(p) and r.is_satisfied_by(p))
        ),
    )


def inclusion_wins_over_exclusion(patch):
    patch.setattr(
        ruleset.Rule,
        "admits",
        lambda r, p: (
            r.is_for(p) and (r.pk in p.included or r.pk not in p.excluded and r.is_satisfied_by(p))
        ),
    )


def none_of_a_missing_value_holds(patch):
    sound = conditions.mark_missing
    patch.setattr(
        conditions,
        "mark_missing",
        lambda c, missing: c if c.operator == "none" else sound(c, missing),
    )


def a_broken_condition_is_skipped(patch):
    sound = conditions.read_conditions
    patch.setattr(
        conditions, "read_conditions", lambda stored: [c for c in sound(stored) if not c.problem]
    )


def any_means_all(patch):
    patch.setitem(
        conditions.OPERATORS,
        "any",
        conditions.OPERATORS["any"]._replace(holds=conditions.OPERATORS["all"].holds),
    )


def all_of_them_means_any(patch):
    patch.setitem(
        conditions.OPERATORS,
        "all",
        conditions.OPERATORS["all"]._replace(people=conditions.OPERATORS["any"].people),
    )


def organizations_limit_staff(patch):
    patch.setattr(conditions.Condition, "skips_staff", property(lambda condition: False))


def none_of_organizations_skips_staff(patch):
    patch.setattr(
        conditions.Condition,
        "skips_staff",
        property(lambda c: not c.problem and c.attribute == "organization"),
    )


def staff_inherit_tags(patch):
    patch.setattr(attributes.Lookup, "people", lambda lookup: User._base_manager.all())


def end_dates_are_ignored(patch):
    patch.setattr(SegmentPersonQuerySet, "in_force", lambda rows: rows.all())


def inactive_people_are_members(patch):
    sound = attributes.read_person
    patch.setattr(
        ruleset,
        "read_person",
        lambda pk, using: dataclasses.replace(sound(pk, using), is_active=True),
    )


def drafts_are_visible(patch):
    patch.setattr(content.Article, "audience_published", {})
    patch.setattr(content.ArticleTranslation, "audience_published", {})


def any_staff_may_edit(patch):
    patch.setattr(
        querysets,
        "editable_ids",
        lambda model, *rest: list(model.objects.values_list("pk", flat=True)),
    )


def everyone_may_edit(patch):
    patch.setattr(
        querysets,
        "editable_ids",
        lambda model, name, viewer, using: ids(
            model.objects.filter(**{f"{name}__in": viewer.audiences})
        ),
    )


def end_users_may_edit(patch):
    viewer = ruleset.Ruleset.viewer
    patch.setattr(
        ruleset.Ruleset,
        "viewer",
        lambda rules, person: dataclasses.replace(viewer(rules, person), is_staff=True),
    )


def only_the_own_audience_counts(patch):
    patch.setattr(querysets, "_outer_parents", lambda *args: ~Q(pk__in=[]))


def a_missing_parent_counts_as_none(patch):
    sound = querysets._reachable

    def reachable(rows, depth):
        known = {pk for pk, _parent in rows}
        return sound([(pk, up if up in known else None) for pk, up in rows], depth)

    patch.setattr(querysets, "_reachable", reachable)


def sections_nest_without_end(patch):
    patch.setattr(content.Section, "audience_depth", 50)


def empty_sections_are_shown(patch):
    patch.setattr(content.SectionQuerySet, "visible_to", querysets.RestrictedQuerySet.visible_to)


def the_index_forgets_the_named(patch):
    sound = ruleset.Ruleset.candidates
    patch.setattr(
        ruleset.Ruleset,
        "candidates",
        lambda rules, p: sound(rules, dataclasses.replace(p, included=frozenset())),
    )


def the_token_never_changes(patch):
    patch.setattr(ruleset, "_compile", first_result_of(ruleset._compile))


def first_result_of(compile):
    """What a cache without validation does: the first rules of a world, for its whole life."""
    kept = {}

    def cached(token, using):
        if kept.get("world") != frozenset(Segment.objects.values_list("pk", "updated_at")):
            kept["world"] = frozenset(Segment.objects.values_list("pk", "updated_at"))
            kept["rules"] = compile(token, using)
        return dataclasses.replace(kept["rules"], token=token)

    return cached


def members_are_of_the_lowest_level_only(patch):
    """Of the reverse direction alone: `reach_of` forgets what is above."""
    sound = reach.ancestry
    patch.setattr(reach, "ancestry", lambda thing: sound(thing)[-1:])


BUGS = [
    members_are_of_the_lowest_level_only,
    no_conditions_mean_everyone,
    inclusion_skips_the_base_type,
    inclusion_wins_over_exclusion,
    none_of_a_missing_value_holds,
    a_broken_condition_is_skipped,
    any_means_all,
    all_of_them_means_any,
    organizations_limit_staff,
    none_of_organizations_skips_staff,
    staff_inherit_tags,
    end_dates_are_ignored,
    inactive_people_are_members,
    drafts_are_visible,
    any_staff_may_edit,
    everyone_may_edit,
    end_users_may_edit,
    only_the_own_audience_counts,
    a_missing_parent_counts_as_none,
    sections_nest_without_end,
    empty_sections_are_shown,
    the_index_forgets_the_named,
    the_token_never_changes,
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug, monkeypatch):
    bug(monkeypatch)
    assert is_found()


def is_found(ways=None):
    """One of a hundred worlds shows the difference; the first are those without any above."""
    drawn = (worlds.draw(f"test-{number}") for number in range(1, 101))
    return any(disagreements(world, at_most=1, ways=ways) for world in drawn)


# Bugs of the wall alone: whatever it opens, `visible_to` still hides it.


def the_wall_forgets_what_is_above(patch):
    patch.setattr(
        policies.Policies,
        "_around",
        lambda self, model, inside: iter(
            [f"{policies.column(model, 'audience')} {policies.IN_AUDIENCES}"]
            if querysets.has_audience(model)
            else []
        ),
    )


def the_wall_forgets_the_audience_itself(patch):
    patch.setattr(policies, "has_audience", lambda model: False)


def the_wall_lets_sections_nest_without_end(patch):
    sound = policies.Policies.level
    patch.setattr(policies.Policies, "level", lambda self, model, depth: sound(self, model, 50))


def the_wall_shows_drafts(patch):
    patch.setattr(policies.Policies, "_published", lambda self, model: iter([]))


def the_wall_lets_everyone_edit(patch):
    patch.setattr(policies, "IN_GRANTS", policies.IN_AUDIENCES)


def the_wall_shows_empty_shelves(patch):
    patch.setattr(content_policies, "MAY_ADD", "EXISTS (SELECT 1)")


def the_wall_hides_breadcrumbs(patch):
    patch.setattr(content_policies, "IN_CARE", "SELECT 1 WHERE false")


def the_wall_knows_no_staff(patch):
    viewer_for = row_security.viewer_for
    patch.setattr(
        row_security,
        "viewer_for",
        lambda *args: dataclasses.replace(viewer_for(*args), is_staff=False),
    )


BUGS_OF_THE_WALL = [
    the_wall_forgets_what_is_above,
    the_wall_forgets_the_audience_itself,
    the_wall_lets_sections_nest_without_end,
    the_wall_shows_drafts,
    the_wall_lets_everyone_edit,
    the_wall_shows_empty_shelves,
    the_wall_hides_breadcrumbs,
    the_wall_knows_no_staff,
]


@walls.only_postgresql
@pytest.mark.parametrize("bug", BUGS_OF_THE_WALL, ids=lambda bug: bug.__name__)
def test_a_planted_bug_of_the_wall_is_found(bug, walled, monkeypatch):
    bug(monkeypatch)
    walls.build()
    assert is_found([_behind_the_wall])

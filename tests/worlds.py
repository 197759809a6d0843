"""Random worlds: `draw` makes one up as plain data (tests.oracle), `build` stores it.

Rows are written in bulk and, where the product would refuse them, as the database lets through:
broken conditions, sections in cycles, parents that are missing. What breaks a foreign key is never
committed: build worlds inside a transaction that is rolled back.
"""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.models import AgentGroup, Organization, OrganizationMembership, Tag, User
from helpcenter import models as content
from segments import models as rules
from tests.oracle import (
    EVERYONE,
    NOBODY,
    STAFF,
    Article,
    Category,
    Named,
    Person,
    Section,
    Segment,
    World,
)

# For properties of worlds. One is drawn as a whole: there is no smaller one that fails.
quietly = hypothesis_settings(
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
MISSING = 999
TAGS = ["vip", "beta", "strasse", "vi p", "vip1", "\u03bd\u03b9\u03c1"]
# Rows as only raw SQL writes them: they look like a tag above and are another one.
LOOK_ALIKES = ["VIP", "vip ", "vi\u200bp", "v\u0456p", "stra\u00dfe"]
LANGUAGES = [code for code, _name in settings.LANGUAGES]
WHOLE_TYPES = {1: Segment(1, "signed_in_users", [], True), 2: Segment(2, "staff", [], True)}
MANAGERS = content.PermissionGroup.MANAGERS
RUBBISH = [
    None,
    0,
    "",
    [],
    {},
    {"attribute": "tag"},
    {"attribute": "tag", "operator": "any", "values": []},
    {"attribute": "tag", "operator": "none", "values": []},
    {"attribute": "tag", "operator": "none", "values": None},
    {"attribute": "tag", "operator": "none", "values": "vip"},
    {"attribute": "tag", "operator": "none", "values": [None]},
    {"attribute": "tag", "operator": "any", "values": [["vip"], {}]},
    {"attribute": "tag", "operator": "not any", "values": ["vip"]},
    {"attribute": "tag", "operator": ["any"], "values": ["vip"]},
    {"attribute": "plan", "operator": "none", "values": ["gold"]},
    {"attribute": ["tag"], "operator": "none", "values": ["vip"]},
    {"attribute": "tag", "operator": "any", "values": ["vip"], "negate": True},
    {"attribute": "tag", "operator": "none", "values": ["a\u0000b"]},
    {"attribute": "organization", "operator": "none", "values": ["acme"]},
    {"attribute": "organization", "operator": "none", "values": [True]},
    {"attribute": "organization", "operator": "none", "values": [200.0]},
    {"attribute": "organization", "operator": "none", "values": [2**70]},
    {"attribute": "group", "operator": "none", "values": [-(2**63) - 1]},
    {"attribute": "role", "operator": "none", "values": ["owner"]},
    {"attribute": "language", "operator": "none", "values": [""]},
]


class Chance(random.Random):
    """What a world is drawn from: the same seed, the same world."""

    def one_in(self, number: int) -> bool:
        """True once in so many times."""
        return self.randrange(number) == 0

    def subset(self, values: Any, at_least: int = 0, at_most: int = 3) -> frozenset[Any]:
        ordered = sorted(values)
        return frozenset(self.sample(ordered, self.randint(at_least, min(at_most, len(ordered)))))


ROLES = ["end_user"] * 5 + ["light_agent", "agent", "agent", "admin"]
ORGANIZATIONS = [200, 201, 202, 203]
GROUPS = [300, 301, 302]
NAMED_VALUES = {
    "tag": TAGS,
    "organization": ORGANIZATIONS,
    "group": GROUPS,
    "role": ["end_user", *STAFF],
    "language": LANGUAGES[:3],
}
# A value that was never there. "xx" is on people, by raw SQL, but no language of the site.
NO_VALUE = {
    "tag": "gone",
    "organization": MISSING,
    "group": MISSING,
    "role": "owner",
    "language": "xx",
}
KINDS_OF_CONDITION = ["tag"] * 3 + ["organization"] * 4 + [*NAMED_VALUES]


def _person(chance: Chance, pk: int) -> Person:
    return Person(
        id=pk,
        role=chance.choice(ROLES),
        active=not chance.one_in(7),
        organizations=chance.subset(ORGANIZATIONS, at_most=2),
        groups=chance.subset(GROUPS, at_most=2),
        tags=chance.subset([*TAGS, *LOOK_ALIKES]),
        language=chance.choice([None, *LANGUAGES[:3], "xx"]),
    )


def _segment(chance: Chance, pk: int) -> Segment:
    """Mostly with sound conditions; sometimes with one that means nothing, or with no list."""
    user_type = chance.choice(["signed_in_users", "end_users", "staff"])
    if chance.one_in(16):
        return Segment(pk, user_type, chance.choice([{}, None, "", 7]))
    size = chance.choice([1, 1, 1, 1, 2, 2, 3, 0])
    return Segment(pk, user_type, [_condition(chance) for _ in range(size)])


def _condition(chance: Chance) -> Any:
    if chance.one_in(10):
        return chance.choice(RUBBISH)
    attribute = chance.choice(KINDS_OF_CONDITION)
    values = sorted(chance.subset(NAMED_VALUES[attribute], at_least=1))
    if chance.one_in(8):
        values.append(NO_VALUE[attribute])
    operator = chance.choice(["any", "all", "none"])
    return {"attribute": attribute, "operator": operator, "values": values}


def _named(chance: Chance, times: int, segments: list[int], people: list[int]) -> frozenset[Named]:
    """Few of each, so that some are both included and excluded, at most once in each way."""
    found = {}
    for _ in range(times * chance.randint(8, 20)):
        named = Named(
            segment=chance.choice(segments[: 5 * times]),
            person=chance.choice(people[: 5 * times]),
            kind=chance.choice(["included", "included", "excluded"]),
            ended=chance.choice([None, False, True]),
        )
        found[named.segment, named.person, named.kind] = named
    return frozenset(found.values())


def _categories(chance: Chance, times: int, wide: list[Any]) -> dict[int, Category]:
    """By threes: one for everyone, one for some, and one whose help center may be missing."""
    found = {}
    for pk in range(500, 500 + 3 * times):
        center = 400 + chance.randrange(times)
        if pk % 3 == 500 % 3:
            found[pk] = Category(pk, EVERYONE, center)
        else:
            is_sure = pk % 3 == 501 % 3
            center = center if is_sure else chance.choice([center, center, MISSING])
            found[pk] = Category(pk, chance.choice(wide), center)
    return found


def _sections(chance: Chance, times: int, wide: list[Any]) -> dict[int, Section]:
    """Straight ways down, often too deep, and then whatever comes."""
    found: dict[int, Section] = {}
    for number in range(times):
        above = None
        for _ in range(chance.randint(0, 7)):
            pk = 600 + len(found)
            found[pk] = Section(pk, EVERYONE, 500 + 3 * number, above)
            above = pk
    for _ in range(times * chance.randint(4, 12)):
        pk = 600 + len(found)
        found[pk] = _section(chance, pk, times, [*found], chance.choice(wide))
    return found


def _section(chance: Chance, pk: int, times: int, before: list[int], audience: Any) -> Section:
    """Often below the one before; now and then in a cycle or below one that is missing."""
    parent = chance.choice([*[None] * 2 * times, *before[-1:] * 4 * times, *before])
    if chance.one_in(14):
        parent = chance.choice([pk, chance.choice([600, *before]), 603, MISSING])
    first = 500 + 3 * chance.randrange(times)
    others = [first + 1, first + 2, first + 2, MISSING]
    return Section(pk, audience, chance.choice(others) if chance.one_in(3) else first, parent)


def draw(seed: Any, times: int = 1) -> World:
    """One world: 12 to 20 people, 25 to 60 articles, 8 to 14 segments.

    A larger one has `times` as many of everything, and of articles so many times more again.
    """
    chance = Chance(seed)
    persons = [_person(chance, 1000 + n) for n in range(times * chance.randint(12, 20))]
    own = [_segment(chance, 100 + n) for n in range(times * chance.randint(6, 12))]
    segments = {segment.id: segment for segment in own} | WHOLE_TYPES
    pool = [chance.subset(segments, at_least=1) for _ in range(times * chance.randint(2, 7))]
    audiences = [*[EVERYONE] * times, *pool, *[NOBODY] * times]
    wide = [EVERYONE] * len(pool) + pool + [NOBODY] * times
    shelves = _sections(chance, times, wide)
    groups = {
        pk: (chance.choice(audiences), chance.choice(audiences))
        for pk in range(700, 700 + 2 * times)
    }
    places = [*shelves] * 4 + [MISSING] * times
    care = [MANAGERS] * 4 * len(groups) + [*groups]
    articles = [
        Article(
            pk,
            chance.choice(audiences),
            chance.choice(places),
            chance.choice(care),
            tuple(chance.one_in(3) for _ in range(chance.randint(0, 3))),
        )
        for pk in range(800, 800 + times * times * chance.randint(25, 60))
    ]
    return World(
        people={person.id: person for person in persons},
        organizations={pk: chance.subset(TAGS, at_least=1) for pk in ORGANIZATIONS},
        groups=frozenset(GROUPS),
        tags=frozenset([*TAGS, *LOOK_ALIKES]),
        languages=frozenset(LANGUAGES),
        segments=segments,
        named=_named(chance, times, [*segments], [person.id for person in persons]),
        help_centers={pk: chance.choice(wide) for pk in range(400, 400 + times)},
        categories=_categories(chance, times, wide),
        sections=shelves,
        permission_groups={MANAGERS: (NOBODY, NOBODY), **groups},
        articles={article.id: article for article in articles},
        gone={
            "tags": sorted(chance.subset(TAGS, at_most=2)),
            "organizations": sorted(chance.subset(ORGANIZATIONS, at_most=1)),
            "groups": sorted(chance.subset(GROUPS, at_most=1)),
        },
    )


def worlds() -> st.SearchStrategy[World]:
    """Worlds for tests that draw something else as well; what fails names the seed."""
    return st.integers(0, 2**64).map(draw)


def build(world: World) -> None:
    """Write the world to the database, all of it: what is `gone` is deleted by `destroy`."""
    _build_people(world)
    _build_segments(world)
    _build_content(world, _intern_audiences(world))


def _build_people(world: World) -> None:
    create(Organization, [(pk, {"name": f"Org {pk}"}) for pk in world.organizations])
    create(AgentGroup, [(pk, {"name": f"Group {pk}"}) for pk in world.groups])
    tags = {name: 900 + number for number, name in enumerate(sorted(world.tags))}
    # By raw SQL: the field would normalise what looks alike.
    insert("accounts_tag", ["id", "name"], [(pk, name) for name, pk in tags.items()])
    create(
        User,
        [
            (
                person.id,
                {
                    "email": f"person{person.id}@example.org",
                    "role": person.role,
                    "is_active": person.active,
                    "language": person.language,
                },
            )
            for person in world.people.values()
        ],
    )
    everybody = world.people.values()
    insert(
        OrganizationMembership._meta.db_table,
        ["user_id", "organization_id", "is_default", "source"],
        [(p.id, pk, False, "manual") for p in everybody for pk in sorted(p.organizations)],
    )
    link(User.agent_groups, [(p.id, pk) for p in everybody for pk in sorted(p.groups)])
    link(User.tags, [(p.id, tags[name]) for p in everybody for name in sorted(p.tags)])
    inherited = [(pk, tags[t]) for pk, names in world.organizations.items() for t in sorted(names)]
    link(Organization.tags, inherited)


def _build_segments(world: World) -> None:
    own = [segment for segment in world.segments.values() if not segment.whole_type]
    create(
        rules.Segment,
        [
            (s.id, {"name": f"Segment {s.id}", "user_type": s.user_type, "conditions": []})
            for s in own
        ],
    )
    placeholder = "%s::jsonb" if connection.vendor == "postgresql" else "%s"
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE segments_segment SET conditions = {placeholder} WHERE id = %s",
            [(as_database_json(segment.conditions), segment.id) for segment in own],
        )
    hour = timedelta(hours=1)
    end = {None: None, True: timezone.now() - hour, False: timezone.now() + hour}
    rules.SegmentPerson.objects.bulk_create(
        rules.SegmentPerson(segment_id=n.segment, user_id=n.person, kind=n.kind, until=end[n.ended])
        for n in world.named
    )


def as_database_json(value: Any) -> str:
    """PostgreSQL cannot store NUL in JSON; the text stays one that no tag has."""
    text = json.dumps(value)
    return text.replace("\\u0000", "\\u0001") if connection.vendor == "postgresql" else text


def _intern_audiences(world: World) -> dict[Any, int]:
    """Audience -> its id."""
    wanted = {thing.audience for thing in all_with_audience(world)}
    wanted |= {*world.help_centers.values()}
    wanted |= {grant for grants in world.permission_groups.values() for grant in grants}
    known: dict[Any, int] = {NOBODY: rules.Audience.NOBODY, EVERYONE: rules.Audience.EVERYONE}
    stored = {segment.pk: segment for segment in rules.Segment.objects.all()}
    for audience in wanted - known.keys():
        known[audience] = rules.Audience.of(*(stored[pk] for pk in audience)).pk
    return known


def all_with_audience(world: World) -> list[Any]:
    shelves = [*world.categories.values(), *world.sections.values()]
    return [*shelves, *world.articles.values()]


def _build_content(world: World, audience: dict[Any, int]) -> None:
    create(
        content.HelpCenter,
        [
            (pk, {"name": "Help", "audience_id": audience[a]})
            for pk, a in world.help_centers.items()
        ],
    )
    create(
        content.Category,
        [
            (c.id, {"audience_id": audience[c.audience], "help_center_id": c.help_center})
            for c in world.categories.values()
        ],
    )
    create(
        content.Section,
        [
            (
                s.id,
                {
                    "audience_id": audience[s.audience],
                    "category_id": s.category,
                    "parent_id": s.parent,
                },
            )
            for s in world.sections.values()
        ],
    )
    create(
        content.PermissionGroup,
        [
            (pk, {"name": f"Care {pk}", "edit_id": audience[edit], "publish_id": audience[publish]})
            for pk, (edit, publish) in world.permission_groups.items()
            if pk != MANAGERS
        ],
    )
    create(
        content.Article,
        [
            (
                a.id,
                {
                    "audience_id": audience[a.audience],
                    "section_id": a.section,
                    "permission_group_id": a.group,
                },
            )
            for a in world.articles.values()
        ],
    )
    _build_words(world)


def _build_words(world: World) -> None:
    """Translations (numbered by article and place) and one attachment for every other article."""
    create(
        content.ArticleTranslation,
        [
            (
                translation_id(article, place),
                {
                    "article_id": article.id,
                    "locale": LANGUAGES[place],
                    "title": "Words",
                    "draft": draft,
                },
            )
            for article in world.articles.values()
            for place, draft in enumerate(article.drafts)
        ],
    )
    for model, parent, shelves in [
        (content.CategoryTranslation, "category_id", world.categories),
        (content.SectionTranslation, "section_id", world.sections),
    ]:
        words = {"locale": LANGUAGES[0], "title": "Words"}
        create(model, [(pk, {parent: pk, **words}) for pk in shelves])
    create(
        content.Attachment,
        [(pk, {"article_id": pk, "file": f"{pk}/a.txt"}) for pk in world.articles if pk % 2],
    )


def translation_id(article: Article, place: int) -> int:
    return article.id * 10 + place


def create(model: Any, rows: list[tuple[int, dict[str, Any]]]) -> None:
    model._base_manager.bulk_create([model(pk=pk, **values) for pk, values in rows])


def link(relation: Any, pairs: list[tuple[int, int]]) -> None:
    """Rows of a many-to-many table of `relation`, which is the forward one."""
    table, field = relation.through._meta.db_table, relation.field
    insert(table, [field.m2m_column_name(), field.m2m_reverse_name()], pairs)


def insert(table: str, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    if not rows:
        return
    one = f"({', '.join(['%s'] * len(columns))})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * len(rows))}",
            [value for row in rows for value in row],
        )


def destroy(world: World) -> None:
    """Delete by raw SQL what is `gone`, links and all, though conditions may name it."""
    tags = list(Tag.objects.filter(name__in=world.gone["tags"]).values_list("pk", flat=True))
    delete("accounts_user_tags", "tag_id", tags)
    delete("accounts_organization_tags", "tag_id", tags)
    delete("accounts_tag", "id", tags)
    delete("accounts_organization_tags", "organization_id", world.gone["organizations"])
    delete("accounts_organizationmembership", "organization_id", world.gone["organizations"])
    delete("accounts_organization", "id", world.gone["organizations"])
    delete("accounts_user_agent_groups", "agentgroup_id", world.gone["groups"])
    delete("accounts_agentgroup", "id", world.gone["groups"])
    world.tags -= frozenset(world.gone["tags"])
    world.groups -= frozenset(world.gone["groups"])
    for pk in world.gone["organizations"]:
        del world.organizations[pk]


def delete(table: str, column: str, ids: list[int]) -> None:
    if ids:
        with connection.cursor() as cursor:
            marks = ", ".join(["%s"] * len(ids))
            cursor.execute(f"DELETE FROM {table} WHERE {column} IN ({marks})", ids)

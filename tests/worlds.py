"""Random worlds: Hypothesis draws one as plain data (tests.oracle), `build` stores it.

Rows are written in bulk and, where the product would refuse them, as the database lets through:
broken conditions, sections in cycles, parents that are missing. What breaks a foreign key is never
committed: build worlds inside a transaction that is rolled back.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone
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


def one_in(number: int) -> st.SearchStrategy[bool]:
    """True once in so many times; shrinks to False."""
    return st.integers(1, number).map(lambda drawn: drawn == number)


def subset(values: Any, at_most: int = 3) -> st.SearchStrategy[frozenset[Any]]:
    return st.frozensets(st.sampled_from(sorted(values)), max_size=at_most)


ROLES = st.sampled_from(["end_user"] * 5 + ["light_agent", "agent", "agent", "admin"])
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
KINDS_OF_CONDITION = st.sampled_from(["tag"] * 3 + ["organization"] * 4 + [*NAMED_VALUES])


@st.composite
def people(draw: Any, pk: int) -> Person:
    return Person(
        id=pk,
        role=draw(ROLES),
        active=not draw(one_in(7)),
        organizations=draw(subset(ORGANIZATIONS, 2)),
        groups=draw(subset(GROUPS, 2)),
        tags=draw(subset([*TAGS, *LOOK_ALIKES])),
        language=draw(st.sampled_from([None, *LANGUAGES[:3], "xx"])),
    )


@st.composite
def sound_conditions(draw: Any) -> dict[str, Any]:
    attribute = draw(KINDS_OF_CONDITION)
    values = sorted(draw(subset(NAMED_VALUES[attribute]).filter(bool)))
    if draw(one_in(8)):
        values.append(NO_VALUE[attribute])
    operator = draw(st.sampled_from(["any", "all", "none"]))
    return {"attribute": attribute, "operator": operator, "values": values}


def conditions() -> st.SearchStrategy[Any]:
    """Mostly sound ones; sometimes one that means nothing, or no list at all."""
    mostly = st.one_of(*[sound_conditions()] * 9, st.sampled_from(RUBBISH))
    several = st.sampled_from([1, 1, 1, 1, 2, 2, 3, 0]).flatmap(
        lambda size: st.lists(mostly, min_size=size, max_size=size)
    )
    return st.one_of(*[several] * 15, st.sampled_from([{}, None, "", 7]))


@st.composite
def segments(draw: Any, pk: int) -> Segment:
    user_type = draw(st.sampled_from(["signed_in_users", "end_users", "staff"]))
    return Segment(pk, user_type, draw(conditions()))


def named(segments: list[int], people: list[int]) -> st.SearchStrategy[frozenset[Named]]:
    return st.frozensets(
        st.builds(
            Named,
            # Few of each, so that some are both included and excluded.
            segment=st.sampled_from(segments[:5]),
            person=st.sampled_from(people[:5]),
            kind=st.sampled_from(["included", "included", "excluded"]),
            ended=st.sampled_from([None, False, True]),
        ),
        min_size=8,
        max_size=20,
    ).map(one_for_each)


def one_for_each(drawn: frozenset[Named]) -> frozenset[Named]:
    """At most one end date for each segment, person and kind, as the database has it."""
    ordered = sorted(drawn, key=repr)
    return frozenset({(n.segment, n.person, n.kind): n for n in ordered}.values())


@st.composite
def sections(draw: Any, pk: int, before: list[int], audiences: Any) -> Section:
    """Often below the one before; now and then in a cycle or below one that is missing."""
    parent = draw(st.sampled_from([None, None, *before[-1:] * 4, *before]))
    if draw(one_in(14)):
        parent = draw(st.sampled_from([pk, 600, 603, MISSING]))
    category = 500 if not draw(one_in(3)) else draw(st.sampled_from([501, 502, 502, MISSING]))
    return Section(pk, draw(audiences), category, parent)


@st.composite
def worlds(draw: Any) -> World:
    """One world: 12 to 20 people, 25 to 60 articles, 8 to 14 segments."""
    persons = [draw(people(1000 + n)) for n in range(draw(st.integers(12, 20)))]
    rules = [draw(segments(100 + n)) for n in range(draw(st.integers(6, 12)))]
    every = {rule.id: rule for rule in rules} | WHOLE_TYPES
    sets = subset(every).filter(bool)
    pool = draw(st.lists(sets, min_size=2, max_size=7))
    audience = st.sampled_from([EVERYONE, *pool, NOBODY])
    wide = st.sampled_from([EVERYONE] * len(pool) + pool + [NOBODY])
    # A straight way down, often too deep, and then whatever comes.
    way = range(600, 600 + draw(st.integers(0, 7)))
    shelves = {pk: Section(pk, EVERYONE, 500, pk - 1 if pk > 600 else None) for pk in way}
    for pk in range(600 + len(way), 604 + len(way) + draw(st.integers(0, 8))):
        shelves[pk] = draw(sections(pk, list(shelves), wide))
    groups = {pk: (draw(audience), draw(audience)) for pk in (700, 701)}
    place = st.sampled_from([*shelves] * 4 + [MISSING])
    care = st.sampled_from([MANAGERS] * 8 + [*groups])
    drafts = st.lists(one_in(3), max_size=3).map(tuple)
    articles = [
        Article(pk, draw(audience), draw(place), draw(care), draw(drafts))
        for pk in range(800, 800 + draw(st.integers(25, 60)))
    ]
    return World(
        people={person.id: person for person in persons},
        organizations={pk: draw(subset(TAGS).filter(bool)) for pk in ORGANIZATIONS},
        groups=frozenset(GROUPS),
        tags=frozenset([*TAGS, *LOOK_ALIKES]),
        languages=frozenset(LANGUAGES),
        segments=every,
        named=draw(named([*every], [person.id for person in persons])),
        help_centers={400: draw(wide)},
        categories={
            500: Category(500, EVERYONE, 400),
            501: Category(501, draw(wide), 400),
            502: Category(502, draw(wide), draw(st.sampled_from([400, 400, MISSING]))),
        },
        sections=shelves,
        permission_groups={MANAGERS: (NOBODY, NOBODY), **groups},
        articles={article.id: article for article in articles},
        gone={
            "tags": sorted(draw(subset(TAGS, 2))),
            "organizations": sorted(draw(subset(ORGANIZATIONS, 1))),
            "groups": sorted(draw(subset(GROUPS, 1))),
        },
    )


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

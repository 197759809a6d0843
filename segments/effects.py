"""What would a change do to who sees what? Asked before it is made: of nothing that is stored.

Two kinds of changes are understood: other members of a segment (a draft), and other audiences of
content (moves). Content is grouped by its chain, the audiences from the top down to it, and people
by the segments of these chains they are in; what each class of people gains or loses follows by the
rule of design §2. So the answer is exact. It costs a constant number of queries however many
articles there are; a change of audiences costs one more for each segment that it is about.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q, QuerySet

from .attributes import read_people
from .conf import setting
from .impact import without
from .models import (
    Audience,
    AudienceSegment,
    InheritsAudience,
    Segment,
    audience_fields,
    read_together,
)
from .querysets import Among, has_audience
from .ruleset import current_ruleset

# Who one level admits: the members of any of these segments. None is everyone, empty is nobody.
Admission = frozenset[int] | None
# The levels that limit somebody. No levels: everyone sees it, visitors included.
Chain = frozenset[frozenset[int]]
# How an admission becomes another one.
Becomes = Callable[[Admission], Admission]

NOBODY: frozenset[int] = frozenset()
# So many people are judged one by one; for more of them each segment is asked for its members.
ONE_BY_ONE = 20_000
# Stands in a chain for "staff only": management permissions count for no one else.
STAFF = -1


@dataclass(frozen=True)
class Move:
    """Other audiences for some rows of a model, or wherever it applies when no rows are given."""

    becomes: Becomes
    model: Any = None
    pks: frozenset[Any] | None = None
    # Which of the model's audiences; content has one.
    name: str = "audience"

    def is_of(self, model: Any, name: str) -> bool:
        """Does it touch this audience of this model?"""
        return self.model is None or (self.model, self.name) == (model, name)

    def after(self, model: Any, pk: Any, admission: Admission) -> Admission:
        """The admission of one row when the change is made."""
        if self.model is not None and (model is not self.model or pk not in (self.pks or ())):
            return admission
        return self.becomes(admission)


@dataclass(frozen=True)
class Group:
    """Content with the same chain before and the same chain after."""

    before: Chain
    after: Chain

    @property
    def becomes_public(self) -> bool:
        """Visitors see it after, and not before."""
        return not self.after and bool(self.before)

    @property
    def stops_being_public(self) -> bool:
        """Visitors see it before, and not after."""
        return not self.before and bool(self.after)


# Group -> the places, (audience id, *ids of the parents), whose content it holds.
Places = dict[Group, list[tuple[Any, ...]]]


@dataclass
class ContentEffect:
    """What happens to one kind of content, or to one kind of management permission."""

    model: Any
    # The audience's field; content has one, called "audience".
    name: str
    gained: QuerySet[Any]
    lost: QuerySet[Any]
    becomes_public: QuerySet[Any]
    stops_being_public: QuerySet[Any]

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many things are gained by somebody, lost by somebody, public then, public before."""
        return {
            name: getattr(self, name).count()
            for name in ("gained", "lost", "becomes_public", "stops_being_public")
        }


@dataclass
class Effect:
    """Who sees more, who sees less, and of what. Rights of admins and editors are left out."""

    # How many people see at least one thing more, or less.
    gains: int
    loses: int
    gainers: QuerySet[Any]
    losers: QuerySet[Any]
    content: list[ContentEffect] = field(default_factory=list)

    @property
    def widens(self) -> bool:
        """Somebody, or every visitor, sees more."""
        return bool(self.gains) or any(each.counts["becomes_public"] for each in self.content)

    def fingerprint(self, *said: Any) -> str:
        """Stands for a change and for the figures that were shown of it, in a confirmation."""
        counts = [tuple(each.counts.items()) for each in self.content]
        text = repr([*said, self.gains, self.loses, counts])
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def changes_nothing(self) -> bool:
        """Nobody sees more or less."""
        return not (self.gains or self.loses or any(any(c.counts.values()) for c in self.content))


def effect_of_draft(segment: Segment, after: QuerySet[Any]) -> Effect:
    """What everybody sees more or less of when these people are in the segment instead."""
    return _Question(drafts={segment.pk: after}, using=segment._state.db).answer()


def effect_of_moves(rows: QuerySet[Any], becomes: dict[str, Becomes]) -> Effect:
    """What everybody sees more or less of when these rows of one model get other audiences.

    `becomes` has one entry for each audience of theirs that changes, by the name of its field.
    """
    pks = frozenset(rows.values_list("pk", flat=True))
    moves = [Move(how, rows.model, pks, name) for name, how in becomes.items()]
    return _Question(moves=moves, using=rows.db).answer()


def effect_of_replacing(segment: Segment, by: Segment) -> Effect:
    """What everybody sees more or less of when `by` takes the segment's place everywhere."""
    move = Move(replacing(segment.pk, by.pk))
    return _Question(moves=[move], replaced=segment.pk, using=segment._state.db).answer()


def replacing(segment: int, by: int) -> Becomes:
    """Audiences that name the segment name the other one instead."""

    def becomes(admission: Admission) -> Admission:
        if admission is None or segment not in admission:
            return admission
        return admission - {segment} | {by}

    return becomes


class Class(NamedTuple):
    """People who are in the same of the segments that a change is about."""

    memberships: frozenset[int]
    how_many: int
    # None: everybody whom no other class has.
    people: list[Any] | None


class _Question:
    """One change, asked of everything it touches."""

    def __init__(
        self,
        using: str | None,
        drafts: dict[int, QuerySet[Any]] | None = None,
        moves: Iterable[Move] = (),
        replaced: int | None = None,
    ) -> None:
        self.using = using
        self.drafts = drafts or {}
        self.moves = list(moves)
        self.replaced = replaced
        # Everybody who is in one of the classes by id.
        self.others: frozenset[Any] = frozenset()

    @cached_property
    def admissions(self) -> dict[int, Admission]:
        """Audience id -> whom it admits. Two columns of the link table, read once."""
        found: dict[int, set[int]] = defaultdict(set)
        links = AudienceSegment.objects.using(self.using).values_list("audience_id", "segment_id")
        for audience, segment in links.iterator():
            found[audience].add(segment)
        admissions: dict[int, Admission] = {pk: frozenset(ids) for pk, ids in found.items()}
        admissions[Audience.EVERYONE] = None
        return admissions

    def answer(self) -> Effect:
        """Ask for each kind of content, then for all people at once."""
        kinds = [
            (model, name, self._groups(model, name)) for model, name in _kinds_with_audiences()
        ]
        kinds = [(model, name, groups) for model, name, groups in kinds if groups]
        changed = {group for _model, _name, groups in kinds for group in groups}
        classes = self._classes(changed)
        gaining, gainers = _concerning(changed, classes, self._gains)
        losing, losers = _concerning(changed, classes, self._loses)
        return Effect(
            gains=sum(each.how_many for each in gainers),
            loses=sum(each.how_many for each in losers),
            gainers=self._people(gainers),
            losers=self._people(losers),
            content=[
                ContentEffect(
                    model,
                    name,
                    gained=_content(model, name, groups, gaining, self.using),
                    lost=_content(model, name, groups, losing, self.using),
                    becomes_public=_content(
                        model, name, groups, {g for g in groups if g.becomes_public}, self.using
                    ),
                    stops_being_public=_content(
                        model, name, groups, {g for g in groups if g.stops_being_public}, self.using
                    ),
                )
                for model, name, groups in kinds
            ],
        )

    # Content ----------------------------------------------------------------------------------

    def _groups(self, model: Any, name: str) -> Places:
        """Group -> the places (audience id and parents' ids) whose content it holds."""
        content = issubclass(model, InheritsAudience)
        parents = list(model.audience_parents) if content else []
        columns = [model._meta.get_field(parent).attname for parent in parents]
        # The base manager: whoever may make the change learns of everything it touches.
        rows = model._base_manager.using(self.using)
        if content:
            rows = rows.filter(**model.audience_published)
        rows = self._touched(rows, model, name, columns)
        above = [self._above(model._meta.get_field(parent)) for parent in parents]
        found: dict[Group, list[tuple[Any, ...]]] = defaultdict(list)
        places = rows.order_by().values_list(f"{name}_id", *columns).distinct()
        for audience, *ids in places:
            group = self._group(model, name, audience, ids, above)
            if group.before != group.after or self._has_draft(group):
                found[group].append((audience, *ids))
        return found

    def _group(
        self, model: Any, name: str, audience: int, ids: list[Any], above: list[Any]
    ) -> Group:
        own = self.admissions.get(audience, NOBODY)
        moved = own
        for move in self.moves:
            # Rows of the model itself were picked by `_touched`, so all of these move.
            moved = move.becomes(moved) if move.is_of(model, name) else moved
        levels = [[own], [moved]]
        for which in (0, 1):
            for pk, chains in zip(ids, above, strict=True):
                levels[which] += chains[which].get(pk, [NOBODY])
            if not issubclass(model, InheritsAudience):
                levels[which].append(frozenset([STAFF]))
        return Group(_chain(levels[0]), _chain(levels[1]))

    def _touched(self, rows: Any, model: Any, name: str, columns: list[str]) -> Any:
        """Only the rows that the change can touch, so that a large world is not read for it."""
        segments = {*self.drafts, *([self.replaced] if self.replaced else [])}
        ids = [pk for pk, named in self.admissions.items() if named and named & segments]
        touched = _among(f"{name}_id", ids)
        for move in self.moves:
            if move.model is model and move.name == name:
                touched |= _among("pk", sorted(move.pks or ()))
        for column, parent in zip(columns, model.audience_parents if columns else [], strict=True):
            touched |= _among(column, self._changed(model._meta.get_field(parent)))
        return rows.filter(touched)

    def _changed(self, parent: Any) -> list[Any]:
        """The ids of the parents whose chain the change touches."""
        before, after = self._above(parent)
        touched = {*self.drafts}
        return [
            pk
            for pk, levels in before.items()
            if pk is not None
            and (levels != after[pk] or any(level and level & touched for level in levels))
        ]

    def _above(self, parent: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Id of a parent -> the admissions from the top down to it, before and after.

        What is missing there (a cycle, too deep a chain, a row that is gone) denies.
        """
        model = parent.related_model
        if model not in self._levels:
            self._levels[model] = self._find_levels(model)
        before, after = self._levels[model]
        if parent.null:
            return {**before, None: []}, {**after, None: []}
        return before, after

    @cached_property
    def _levels(self) -> dict[Any, tuple[dict[Any, Any], dict[Any, Any]]]:
        return {}

    def _find_levels(self, model: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
        own, nested_by, outer = ["audience_id"] if has_audience(model) else [], None, []
        for name in model.audience_parents:
            parent = model._meta.get_field(name)
            if parent.related_model is model:
                nested_by = parent.attname
            else:
                outer.append((parent.attname, self._above(parent)))
        columns = ["pk", *([nested_by] if nested_by else []), *own, *(name for name, _ in outer)]
        rows = {row["pk"]: row for row in model._base_manager.using(self.using).values(*columns)}
        found: tuple[dict[Any, Any], dict[Any, Any]] = ({}, {})
        for which in (0, 1):
            alone = {}
            for pk, row in rows.items():
                levels = [self._own(model, pk, row["audience_id"], which)] if own else []
                for name, chains in outer:
                    levels = [*levels, *chains[which].get(row[name], [NOBODY])]
                alone[pk] = levels
            found[which].update(_nested(model, rows, alone, nested_by))
        return found

    def _own(self, model: Any, pk: Any, audience: int, which: int) -> Admission:
        admission = self.admissions.get(audience, NOBODY)
        for move in self.moves if which else []:
            admission = move.after(model, pk, admission)
        return admission

    def _has_draft(self, group: Group) -> bool:
        return any(level & self.drafts.keys() for level in group.before)

    # People -----------------------------------------------------------------------------------

    def _classes(self, groups: Collection[Group]) -> list[Class]:
        """The people whom the change could concern, by which of the segments they are in."""
        if not groups:
            return []
        involved = self._involved(groups)
        if self.drafts:
            few = list(self._concerned().values_list("pk", flat=True)[: ONE_BY_ONE + 1])
            if len(few) <= ONE_BY_ONE:
                return self._classes_of(few, involved)
        return self._classes_of_many(involved)

    def _classes_of_many(self, involved: list[int]) -> list[Class]:
        """By the members of each segment. Whoever is in none of them is not read at all."""
        everyone: set[int] = set()
        found: dict[Any, list[int]] = defaultdict(list)
        for pk in involved:
            if self._is_everybody(pk):
                everyone.add(pk)
                continue
            members = self._members(pk).order_by().values_list("pk", flat=True)
            for person in members.iterator(10_000):
                found[person].append(pk)
        self.others = frozenset(found)
        classes: dict[frozenset[int], list[Any]] = defaultdict(list)
        for person, memberships in found.items():
            classes[frozenset(memberships) | everyone].append(person)
        # Whom a draft concerns is a member before or after, and so has been found.
        rest = 0 if self.drafts else self._concerned().count() - len(found)
        return [
            Class(frozenset(everyone), rest, None),
            *(Class(memberships, len(people), people) for memberships, people in classes.items()),
        ]

    def _is_everybody(self, pk: int) -> bool:
        segment = self._segments.get(pk)
        return bool(
            segment and segment.is_whole_type and segment.user_type == Segment.SIGNED_IN_USERS
        )

    def _classes_of(self, pks: list[Any], involved: list[int]) -> list[Class]:
        """The same for a few people, by the compiled rules: they know which segments to look at."""
        using = self.using or DEFAULT_DB_ALIAS
        rules, decisive = current_ruleset(using), frozenset(involved)
        drafted = {
            _after(pk): set(people.filter(Among("pk", pks)).values_list("pk", flat=True))
            for pk, people in self.drafts.items()
            if pks
        }
        found: dict[frozenset[int], list[Any]] = defaultdict(list)
        for person in read_people(pks, using):
            memberships = decisive & rules.segments_of(person)
            memberships |= {pk for pk, people in drafted.items() if person.pk in people}
            found[memberships | ({STAFF} if person.is_staff else frozenset())].append(person.pk)
        return [Class(memberships, len(people), people) for memberships, people in found.items()]

    def _people(self, classes: list[Class]) -> QuerySet[Any]:
        """The people of these classes."""
        listed = {pk for each in classes if each.people is not None for pk in each.people}
        if any(each.people is None for each in classes):
            # All but those of the other classes.
            left_out = self.others - listed
            people = self._concerned()
            return people.exclude(Among("pk", left_out)) if left_out else people
        people = get_user_model()._base_manager.using(self.using)
        return people.filter(_among("pk", sorted(listed)))

    def _involved(self, groups: Collection[Group]) -> list[int]:
        """The segments that decide, in a fixed order. One with a draft is two: id and `_after`."""
        named = {
            pk
            for group in groups
            for chain in (group.before, group.after)
            for s in chain
            for pk in s
        }
        return sorted(named | {_after(pk) for pk in self.drafts})

    def _concerned(self) -> QuerySet[Any]:
        people = get_user_model()._base_manager.using(self.using).filter(setting("ACTIVE"))
        if not self.drafts:
            return people
        changed = []
        for pk, after in self.drafts.items():
            before = self._segments[pk].members()
            changed += [without(before, after), without(after, before)]
        ids = [each.order_by().values("pk") for each in changed]
        return people.filter(pk__in=ids[0].union(*ids[1:]))

    @cached_property
    def _segments(self) -> dict[int, Segment]:
        segments = Segment.objects.using(self.using)
        return {segment.pk: segment for segment in read_together(segments, self.using)}

    def _members(self, pk: int) -> QuerySet[Any]:
        """The active members of a segment, of a draft for a negative id, or the active staff."""
        if pk == STAFF:
            return self._concerned().filter(setting("STAFF"))
        if pk < 0:
            return self.drafts[_after(pk)]
        return self._segments[pk].members()

    def _gains(self, group: Group, memberships: frozenset[int]) -> bool:
        return self._sees(group.after, memberships, after=True) and not self._sees(
            group.before, memberships, after=False
        )

    def _loses(self, group: Group, memberships: frozenset[int]) -> bool:
        return self._sees(group.before, memberships, after=False) and not self._sees(
            group.after, memberships, after=True
        )

    def _sees(self, chain: Chain, memberships: frozenset[int], after: bool) -> bool:
        """The rule: some segment of each level has them."""
        return all(
            any((_after(pk) if after and pk in self.drafts else pk) in memberships for pk in level)
            for level in chain
        )


def _after(pk: int) -> int:
    # -1 is taken by the staff; built-in segments, whose ids are small, have no drafts.
    return -pk


def _chain(levels: Iterable[Admission]) -> Chain:
    """The levels that limit somebody; one that admits nobody decides for all."""
    limits = frozenset(level for level in levels if level is not None)
    return frozenset([NOBODY]) if NOBODY in limits else limits


def _nested(
    model: Any, rows: dict[Any, Any], alone: dict[Any, Any], nested_by: str | None
) -> Iterator[tuple[Any, list[Admission]]]:
    """Each row that hangs from a root, with the admissions of what it is nested in."""
    for pk in rows:
        levels: list[Admission] = []
        place, depth = pk, 0
        while place is not None and place in rows and depth < model.audience_depth:
            levels = [*levels, *alone[place]]
            place = rows[place][nested_by] if nested_by else None
            depth += 1
        if place is None:
            yield pk, levels


def _kinds_with_audiences() -> list[tuple[Any, str]]:
    """(model, field) of what people gain or lose: content that holds no other, and permissions.

    What holds other content is seen for the sake of that.
    """
    holders = {
        model._meta.get_field(name).related_model
        for model in apps.get_models()
        if issubclass(model, InheritsAudience) and has_audience(model)
        for name in model.audience_parents
    }
    return [(each.model, each.name) for each in audience_fields() if each.model not in holders]


def _concerning(
    groups: Collection[Group],
    classes: list[Class],
    concerns: Callable[[Group, frozenset[int]], bool],
) -> tuple[set[Group], list[Class]]:
    """The groups of which somebody gains (or loses) something, and the people who do of any."""
    found: set[Group] = set()
    people = []
    for each in classes:
        if theirs := {group for group in groups if concerns(group, each.memberships)}:
            found |= theirs
            people.append(each)
    return found, people


def _content(
    model: Any,
    name: str,
    groups: dict[Group, list[tuple[Any, ...]]],
    wanted: set[Group],
    using: Any,
) -> QuerySet[Any]:
    """The rows at the places of the wanted groups."""
    content = issubclass(model, InheritsAudience)
    columns = [
        model._meta.get_field(parent).attname
        for parent in (model.audience_parents if content else [])
    ]
    rows = model._base_manager.using(using).filter(**(model.audience_published if content else {}))
    found = Q(pk__in=[])
    for audience, ids in _by_audience(groups, wanted).items():
        place = Q(**{f"{name}_id": audience})
        for column, values in zip(columns, zip(*ids, strict=True), strict=True):
            known = sorted({value for value in values if value is not None})
            somewhere = _among(column, known)
            place &= somewhere | Q(**{column: None}) if None in values else somewhere
        found |= place
    return rows.filter(found)


def _among(column: str, ids: list[Any]) -> Q:
    return Q(Among(column, ids)) if ids else Q(pk__in=[])


def _by_audience(groups: Places, wanted: set[Group]) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for group in wanted & groups.keys():
        for audience, *ids in groups[group]:
            found[audience].append(tuple(ids))
    return found

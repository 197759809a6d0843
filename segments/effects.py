"""What would a change do to who sees what? Asked before it is made: of nothing that is stored.

Two kinds of changes are understood: other members of segments (drafts), and other audiences or
other places of content (moves). Content is grouped by its chain, the audiences from the top down to
it; the rule of design §2 is asked of all people at once (crowd.py) about the segments of these
chains; who gains or loses follows for each chain. So the answer is exact, and costs a constant
number of queries however many articles, people and segments there are.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from heapq import nsmallest
from itertools import islice
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q, QuerySet

from .attributes import ALL, NONE, Those
from .conf import setting
from .crowd import Crowd, read_crowd
from .impact import without
from .models import (
    Audience,
    AudienceSegment,
    InheritsAudience,
    Segment,
    audience_fields,
)
from .querysets import Among, has_audience
from .row_security import lifted
from .ruleset import Rule, current_ruleset

# Who one level admits: the members of any of these segments. None is everyone, empty is nobody.
Admission = frozenset[int] | None
# The levels that limit somebody. No levels: everyone sees it, visitors included.
Chain = frozenset[frozenset[int]]
# How an admission becomes another one.
Becomes = Callable[[Admission], Admission]

NOBODY: frozenset[int] = frozenset()
# So many people are shown by name.
SHOWN_AT_MOST = 30
# Stands in a chain for "staff only": management permissions count for no one else.
STAFF = -1


def _unchanged(admission: Admission) -> Admission:
    return admission


@dataclass(frozen=True)
class Move:
    """Other audiences for some rows of a model, or wherever it applies when no rows are given."""

    becomes: Becomes = _unchanged
    model: Any = None
    pks: frozenset[Any] | None = None
    # Which of the model's audiences; content has one.
    name: str = "audience"
    # Column -> id of another parent, for rows that are put elsewhere.
    into: Mapping[str, Any] = field(default_factory=dict)

    def is_of(self, model: Any, name: str) -> bool:
        """Does it touch this audience of this model?"""
        return self.model is None or (self.model, self.name) == (model, name)

    def after(self, model: Any, pk: Any, admission: Admission) -> Admission:
        """The admission of one row when the change is made."""
        if self.model is not None and (model is not self.model or pk not in (self.pks or ())):
            return admission
        return self.becomes(admission)


class Draft(NamedTuple):
    """Other members of a segment."""

    segment: int
    joins: frozenset[Any]
    leaves: frozenset[Any]

    @property
    def marker(self) -> int:
        """Stands in a chain for the segment as it will be."""
        return -self.segment - 1  # neither another segment nor STAFF


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

    # How many people see at least one thing more, or less; and the first of them, by id.
    gains: int
    loses: int
    gainers: QuerySet[Any]
    losers: QuerySet[Any]
    content: list[ContentEffect] = field(default_factory=list)
    # The ids of the people who would be in the changed segment, and of those who no longer would.
    joins: frozenset[Any] = frozenset()
    leaves: frozenset[Any] = frozenset()

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
    before = segment.members()
    joins, leaves = (
        frozenset(people.values_list("pk", flat=True))
        for people in (without(after, before), without(before, after))
    )
    effect = _Question(segment._state.db, drafts=[Draft(segment.pk, joins, leaves)]).answer()
    effect.joins, effect.leaves = joins, leaves
    return effect


def effect_of_difference(before: Judged, then: Judged, people: Collection[Any]) -> Effect:
    """What these people, who have been judged twice, see more or less of than before."""
    crowd, drafts = before.crowd, []
    those = crowd.those(people)
    for segment in before.members.keys() | then.members.keys():
        was, now = (judged.members.get(segment, NONE) for judged in (before, then))
        if (was ^ now) & those:
            joins, leaves = map(crowd.ids, (now & ~was & those, was & ~now & those))
            drafts.append(Draft(segment, frozenset(joins), frozenset(leaves)))
    return _Question(before.using, drafts=drafts, before=before).answer()


def effect_of_moves(rows: QuerySet[Any], becomes: dict[str, Becomes]) -> Effect:
    """What everybody sees more or less of when these rows of one model get other audiences.

    `becomes` has one entry for each audience of theirs that changes, by the name of its field.
    """
    pks = frozenset(rows.values_list("pk", flat=True))
    return effect_of_all(
        [Move(how, rows.model, pks, name) for name, how in becomes.items()], rows.db
    )


def effect_of_all(moves: Iterable[Move], using: str | None) -> Effect:
    """What everybody sees more or less of when all of this is done at once.

    All rows of one kind of content that are named go to the same place, if to another one at all.
    """
    return _Question(using, moves).answer()


def effect_of_replacing(segment: Segment, by: Segment) -> Effect:
    """What everybody sees more or less of when `by` takes the segment's place everywhere."""
    move = Move(replacing(segment.pk, by.pk))
    return _Question(segment._state.db, [move], replaced=segment.pk).answer()


def replacing(segment: int, by: int) -> Becomes:
    """Audiences that name the segment name the other one instead."""

    def becomes(admission: Admission) -> Admission:
        if admission is None or segment not in admission:
            return admission
        return admission - {segment} | {by}

    return becomes


class _Question:
    """One change, asked of everything it touches."""

    def __init__(
        self,
        using: str | None,
        moves: Iterable[Move] = (),
        replaced: int | None = None,
        drafts: Iterable[Draft] = (),
        before: Judged | None = None,
    ) -> None:
        self.using = using or DEFAULT_DB_ALIAS
        self.moves = list(moves)
        self.replaced = replaced
        self.drafts = {draft.segment: draft for draft in drafts}
        # The people whom the drafts concern, if they are known already.
        self.before = before

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
        """The effect on everybody, whatever is hidden from the one who asks."""
        with lifted(self.using):
            return self._answer()

    def _answer(self) -> Effect:
        """Ask for each kind of content, then for all people at once."""
        kinds = [
            (model, name, self._groups(model, name)) for model, name in _kinds_with_audiences()
        ]
        kinds = [(model, name, groups) for model, name, groups in kinds if groups]
        changed = {group for _model, _name, groups in kinds for group in groups}
        judged = self._judge(changed)
        gaining, gainers = judged.gaining({g: (g.before, g.after) for g in changed})
        losing, losers = judged.gaining({g: (g.after, g.before) for g in changed})
        return Effect(
            gains=judged.count(gainers),
            loses=judged.count(losers),
            gainers=judged.first(gainers),
            losers=judged.first(losers),
            content=[
                ContentEffect(
                    model,
                    name,
                    gained=self._content(model, name, groups, gaining),
                    lost=self._content(model, name, groups, losing),
                    becomes_public=self._content(
                        model, name, groups, {g for g in groups if g.becomes_public}
                    ),
                    stops_being_public=self._content(
                        model, name, groups, {g for g in groups if g.stops_being_public}
                    ),
                )
                for model, name, groups in kinds
            ],
        )

    # Content ----------------------------------------------------------------------------------

    def _groups(self, model: Any, name: str) -> Places:
        """Group -> the places (audience id and parents' ids) whose content it holds."""
        columns = _columns(model)
        above = [self._above(model._meta.get_field(column)) for column in columns]
        found: dict[Group, list[tuple[Any, ...]]] = defaultdict(list)
        rows = self._touched(model, name)
        places = rows.order_by().values_list(f"{name}_id", *columns).distinct()
        for audience, *ids in places:
            group = self._group(model, name, audience, ids, above)
            if group.before != group.after:
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
        then = self._placed(model, dict(zip(_columns(model), ids, strict=True))).values()
        for which, parents in enumerate((ids, then)):
            for pk, chains in zip(parents, above, strict=True):
                levels[which] += chains[which].get(pk, [NOBODY])
            if not issubclass(model, InheritsAudience):
                levels[which].append(frozenset([STAFF]))
        return Group(_chain(levels[0]), _chain(map(self._drafted, levels[1])))

    def _drafted(self, level: Admission) -> Admission:
        """The level as it is when the drafts are stored."""
        if level is None or self.drafts.keys().isdisjoint(level):
            return level
        return frozenset(self.drafts[pk].marker if pk in self.drafts else pk for pk in level)

    def _placed(self, model: Any, row: dict[str, Any], pk: Any = None) -> dict[str, Any]:
        """The row of parents' ids as the change leaves it; without a pk that of a touched row."""
        for move in self.moves:
            if move.model is model and (pk is None or pk in (move.pks or ())):
                row = row | dict(move.into)
        return row

    def _published(self, model: Any) -> QuerySet[Any]:
        # The base manager: whoever may make the change learns of everything it touches.
        rows = model._base_manager.using(self.using)
        return rows.filter(**getattr(model, "audience_published", {}))

    def _touched(self, model: Any, name: str) -> QuerySet[Any]:
        """Only the rows that the change can touch, so that a large world is not read for it."""
        segments = {self.replaced, *self.drafts}
        ids = [pk for pk, named in self.admissions.items() if named and named & segments]
        touched = _among(f"{name}_id", ids)
        for move in self.moves:
            if move.model is model and move.name == name:
                touched |= _among("pk", sorted(move.pks or ()))
        for column in _columns(model):
            touched |= _among(column, self._changed(model._meta.get_field(column)))
        return self._published(model).filter(touched)

    def _content(self, model: Any, name: str, groups: Places, wanted: set[Group]) -> QuerySet[Any]:
        """The rows at the places of the wanted groups."""
        rows = self._published(model).filter(_at_places(model, name, groups, wanted))
        picked = [move.pks or () for move in self.moves if (move.model, move.name) == (model, name)]
        # Where rows were picked, others at the same place stay as they are.
        return rows.filter(_among("pk", sorted(set().union(*picked)))) if picked else rows

    def _changed(self, parent: Any) -> list[Any]:
        """The ids of the parents whose chain the change touches."""
        before, after = self._above(parent)
        return [
            pk
            for pk in before | after
            if pk is not None
            and before.get(pk) != [self._drafted(each) for each in after.get(pk, [NOBODY])]
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
        then = {pk: self._placed(model, row, pk) for pk, row in rows.items()}
        for which, placed in enumerate((rows, then)):
            alone = {}
            for pk, row in placed.items():
                levels = [self._own(model, pk, row["audience_id"], which)] if own else []
                for name, chains in outer:
                    levels = [*levels, *chains[which].get(row[name], [NOBODY])]
                alone[pk] = levels
            found[which].update(_nested(model, placed, alone, nested_by))
        return found

    def _own(self, model: Any, pk: Any, audience: int, which: int) -> Admission:
        admission = self.admissions.get(audience, NOBODY)
        for move in self.moves if which else []:
            admission = move.after(model, pk, admission)
        return admission

    # People -----------------------------------------------------------------------------------

    def _judge(self, groups: Collection[Group]) -> Judged:
        """Everybody whom the change could concern, by the segments that decide."""
        chains = {chain for group in groups for chain in (group.before, group.after)}
        decisive = {pk for chain in chains for level in chain for pk in level}
        drafts = [draft for draft in self.drafts.values() if draft.marker in decisive]
        decisive.update(draft.segment for draft in drafts)
        judged = self.before or judge(self._concerned(), self.using, decisive)
        for draft in drafts:
            judged.enact(draft)
        return judged

    def _concerned(self) -> frozenset[Any] | None:
        """Who joins or leaves a segment; None when it is not about people, but about content."""
        if not self.drafts:
            return None
        drafts = self.drafts.values()
        return frozenset[Any]().union(*(draft.joins | draft.leaves for draft in drafts))


class Judged:
    """Whom segments admit, of a crowd; and whom levels and chains of them admit."""

    def __init__(self, crowd: Crowd, rules: Iterable[Rule], using: str) -> None:
        self.crowd = crowd
        self.using = using
        self.members = {rule.pk: rule.admits(crowd) for rule in rules}
        self.members[STAFF] = crowd.staff

    def enact(self, draft: Draft) -> None:
        """Let the draft's marker stand for the segment as it will be."""
        joins, leaves = map(self.crowd.those, (draft.joins, draft.leaves))
        members = self.members.get(draft.segment, NONE)
        self.members[draft.marker] = members & ~leaves | joins

    def gaining(self, groups: Mapping[Group, tuple[Chain, Chain]]) -> tuple[set[Group], Those]:
        """The groups of which somebody is admitted by the second chain only, and all who are."""
        found, everybody = set(), NONE
        for group, (first, second) in groups.items():
            those = self._admitted(second) & ~self._admitted(first)
            if self.count(those):
                found.add(group)
                everybody |= those
        return found, everybody

    def _admitted(self, chain: Chain) -> Those:
        """The rule: some segment of each level has them."""
        those = ALL
        for level in chain:
            of_level = NONE
            for segment in level:
                of_level |= self.members.get(segment, NONE)
            those &= of_level
        return those

    def count(self, those: Those) -> int:
        """How many active people they are."""
        known = self.crowd.known & self.crowd.active
        count = (those & known).bit_count()
        return count if those >= 0 else count + self._active - known.bit_count()

    def first(self, those: Those) -> QuerySet[Any]:
        """The first active people among them, by id: as many as are shown."""
        people = _active_people(self.using).order_by("pk")
        if those >= 0:
            found = nsmallest(SHOWN_AT_MOST, self.crowd.ids(those & self.crowd.active))
        else:
            # Nearly everybody: so the first are soon found, and need not be told from the others.
            every = people.values_list("pk", flat=True).iterator()
            found = [*islice((pk for pk in every if self.crowd.has(those, pk)), SHOWN_AT_MOST)]
        return people.filter(pk__in=found)

    @cached_property
    def _active(self) -> int:
        return _active_people(self.using).count()


def _active_people(using: str) -> QuerySet[Any]:
    return get_user_model()._base_manager.using(using).filter(setting("ACTIVE"))


def judge(
    people: Collection[Any] | None,
    using: str,
    segments: Collection[int] | None = None,
    like: Judged | None = None,
) -> Judged:
    """These people, given by id, or everybody: by these segments, or by all there are."""
    known = current_ruleset(using).rules
    rules = [rule for pk, rule in known.items() if segments is None or pk in segments]
    return Judged(read_crowd(rules, using, people, like.crowd if like else None), rules, using)


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


def content_kinds() -> list[Any]:
    """The kinds of content that hold no other: what people gain or lose."""
    return [m for m, _name in _kinds_with_audiences() if issubclass(m, InheritsAudience)]


def _columns(model: Any) -> list[str]:
    """The columns of the parents whose audiences limit the model's rows, too."""
    parents = model.audience_parents if issubclass(model, InheritsAudience) else []
    return [model._meta.get_field(parent).attname for parent in parents]


def _at_places(model: Any, name: str, groups: Places, wanted: set[Group]) -> Q:
    """At the places of the wanted groups."""
    columns = _columns(model)
    found = Q(pk__in=[])
    for audience, ids in _by_audience(groups, wanted).items():
        place = Q(**{f"{name}_id": audience})
        for column, values in zip(columns, zip(*ids, strict=True), strict=True):
            known = sorted({value for value in values if value is not None})
            somewhere = _among(column, known)
            place &= somewhere | Q(**{column: None}) if None in values else somewhere
        found |= place
    return found


def _among(column: str, ids: list[Any]) -> Q:
    return Q(Among(column, ids))


def _by_audience(groups: Places, wanted: set[Group]) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for group in wanted & groups.keys():
        for audience, *ids in groups[group]:
            found[audience].append(tuple(ids))
    return found

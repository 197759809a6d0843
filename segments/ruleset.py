"""The compiled rules: person → segments → audiences.

Compiled once per process and kept while the token in the database stays the same. What belongs to
a person (attributes, inclusions, exclusions) is not compiled: it is read for each request.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser

from . import conditions, snapshot
from .attributes import ALL, NONE, Person, Those, Who, attributes, read_person
from .conditions import Condition
from .models import Audience, AudienceSegment, Segment, Token

logger = logging.getLogger("segments")


@dataclass(frozen=True)
class Viewer:
    """Somebody who is looking: what the rule found out about a person, or about no one."""

    pk: Any = None
    is_staff: bool = False
    is_admin: bool = False
    segments: frozenset[int] = frozenset()
    audiences: frozenset[int] = frozenset()


# Compared by identity: hashing every condition again would cost more than asking it.
@dataclass(frozen=True, eq=False)
class Rule:
    """One segment, ready to be asked."""

    pk: int
    user_type: str
    is_whole_type: bool
    conditions: tuple[Condition, ...]
    is_placeholder: bool = False

    def is_for(self, who: Who) -> Those:
        """Those of the base type. Of a placeholder's nobody is."""
        if self.is_placeholder:
            return NONE
        of_type = {
            Segment.SIGNED_IN_USERS: ALL,
            Segment.STAFF: who.staff,
            Segment.END_USERS: ~who.staff,
        }
        return who.active & of_type.get(self.user_type, NONE)

    def is_satisfied_by(self, who: Who) -> Those:
        """For whom every condition holds, and there is one (or the segment is a whole type)."""
        if self.is_whole_type:
            return ALL
        those = ALL if self.conditions else NONE
        for condition in self.conditions:
            those &= condition.holds_for(who)
            if not those:
                break
        return those

    def admits(self, who: Who) -> Those:
        """The members among them. Inclusion skips the conditions, never the base type."""
        possible = self.is_for(who) & ~who.excluded_from(self.pk)
        if not possible:
            return NONE
        return possible & (who.included_in(self.pk) | self.is_satisfied_by(who))


class Ruleset:
    """All rules, indexed so that finding a person's segments looks at few of them."""

    def __init__(self, rules: Iterable[Rule], audiences: Iterable[tuple[int, int]]) -> None:
        self.rules = {rule.pk: rule for rule in rules}
        # (attribute, value) -> rules that only somebody with this value can satisfy.
        self.by_value: dict[tuple[str, Any], list[Rule]] = defaultdict(list)
        self.for_any_value: list[Rule] = []
        self.for_any_staff: list[Rule] = []
        self.audiences: dict[int, list[int]] = defaultdict(list)
        for audience, segment in audiences:
            self.audiences[segment].append(audience)
        self._index()

    def _index(self) -> None:
        keys = {pk: _keys(rule) for pk, rule in self.rules.items()}
        popularity = Counter(key for each in keys.values() for group in each for key in group)
        for pk, rule in self.rules.items():
            if not keys[pk]:
                self.for_any_value.append(rule)
                continue
            # Any one condition will do as the way in: the one that the fewest rules share.
            for key in min(keys[pk], key=lambda group: sum(popularity[k] for k in group)):
                self.by_value[key].append(rule)
            if any(condition.skips_staff for condition in rule.conditions):
                self.for_any_staff.append(rule)

    def candidates(self, person: Person) -> set[Rule]:
        """The rules that may admit the person; every other one certainly does not."""
        named = (self.rules[pk] for pk in person.included if pk in self.rules)
        found = {*self.for_any_value, *named}
        if person.is_staff:
            found.update(self.for_any_staff)
        for attribute, values in person.values.items():
            for value in values:
                found.update(self.by_value.get((attribute, value), ()))
        return found

    def segments_of(self, person: Person) -> frozenset[int]:
        """The ids of the segments that the person is in."""
        return frozenset(rule.pk for rule in self.candidates(person) if rule.admits(person))

    def audiences_of(self, segments: Iterable[int]) -> frozenset[int]:
        """The ids of the audiences that admit a member of any of the segments, and everyone's."""
        named = (self.audiences.get(pk, ()) for pk in segments)
        return frozenset([Audience.EVERYONE]).union(*named)

    def viewer(self, person: Person) -> Viewer:
        """What this person is to the rule. Somebody inactive is an anonymous visitor."""
        if not person.is_active:
            return Viewer(audiences=self.audiences_of([]))
        segments = self.segments_of(person)
        return Viewer(
            pk=person.pk,
            is_staff=person.is_staff,
            is_admin=person.is_admin,
            segments=segments,
            audiences=self.audiences_of(segments),
        )


def _keys(rule: Rule) -> list[list[tuple[str, Any]]]:
    """For each condition that needs a value, the (attribute, value) pairs that would do."""
    if rule.is_whole_type:
        return []
    return [
        [(condition.attribute, value) for value in condition.values]
        for condition in rule.conditions
        if not condition.problem and conditions.OPERATORS[condition.operator].needs_a_value
    ]


class RulesUnavailable(snapshot.Unavailable):
    """The rules could not be read, so nobody may see anything."""


@dataclass(frozen=True)
class _Compiled:
    token: str
    ruleset: Ruleset
    # Attribute -> named values that were gone; if one comes back, the rules must be read again.
    missing: dict[str, set[Any]]


_compiled: dict[str, _Compiled] = {}


def current_ruleset(using: str) -> Ruleset:
    """The rules as this snapshot has them. RulesUnavailable without a token."""
    token = Token.objects.using(using).values_list("value", flat=True).first()
    if not token:
        raise RulesUnavailable("The token of the rules is missing: run `manage.py migrate`.")
    known = _compiled.get(using)
    if known is None or known.token != token or _has_returned(known.missing, using):
        known = _compiled[using] = _compile(token, using)
    return known.ruleset


def _has_returned(missing: dict[str, set[Any]], using: str) -> bool:
    return any(attributes()[name].existing(gone, using) for name, gone in missing.items())


def _compile(token: str, using: str) -> _Compiled:
    segments = Segment.objects.using(using).only("user_type", "built_in", "conditions")
    read = {segment: conditions.read_conditions(segment.conditions) for segment in segments}
    missing = conditions.missing_values([c for found in read.values() for c in found], using)
    rules = [
        Rule(
            segment.pk,
            segment.user_type,
            segment.is_whole_type,
            tuple(conditions.mark_missing(condition, missing) for condition in found),
            segment.is_placeholder,
        )
        for segment, found in read.items()
    ]
    links = AudienceSegment.objects.using(using).values_list("audience_id", "segment_id")
    return _Compiled(token, Ruleset(rules, links.iterator()), missing)


def viewer_for(user: Any, using: str = "default") -> Viewer:
    """The viewer that a user is, now. TypeError unless somebody is named.

    Whatever the user object in memory says, the person is read from the database.
    Without rules the viewer is nobody and sees nothing, public content included.
    """
    if isinstance(user, Viewer):
        return user
    # True of the lazy request.user, too: its __class__ is the user's.
    if not isinstance(user, get_user_model() | AnonymousUser):
        raise TypeError(f"Say who is looking: a user, AnonymousUser() or a Viewer, not {user!r}.")
    return snapshot.remember(("viewer", using, user.pk), lambda: _find_viewer(user.pk, using))


def _find_viewer(pk: Any, using: str) -> Viewer:
    try:
        ruleset = current_ruleset(using)
    except RulesUnavailable:
        logger.exception("Nothing is shown to anybody.")
        return Viewer()
    if pk is None:
        return ruleset.viewer(Person(None, is_active=False))
    return ruleset.viewer(read_person(pk, using))

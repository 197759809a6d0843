"""Why may, or may not, this person see this thing?

Nothing is decided here: the verdict is `visible_to`'s, and the reasons ask the same conditions,
rules and audiences one at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Value
from django.utils.translation import gettext as _

from .attributes import Attribute, Person, attributes, read_person
from .conditions import Condition
from .models import Audience, Segment
from .phrases import joined, kind_and_name, quoted, separated
from .querysets import editable_ids, has_audience
from .row_security import lifted
from .ruleset import Rule, Ruleset, Viewer, current_ruleset, viewer_for
from .wording import labels_for, words_for

# So many values of a condition are named; somebody who asks why wants to know them.
NAMED_AT_MOST = 50


@dataclass(frozen=True)
class ConditionReason:
    """One condition of a segment and how the person fares."""

    holds: bool
    words: str
    # What the person has of the attribute, each with where it comes from.
    has: list[str]


@dataclass(frozen=True)
class SegmentReason:
    """One segment of an audience and why the person is in it or not."""

    segment: Segment
    is_member: bool
    words: str
    conditions: list[ConditionReason] = field(default_factory=list)


@dataclass(frozen=True)
class Level:
    """One link of the chain from the top down to the object."""

    thing: Any
    admits: bool
    words: str
    segments: list[SegmentReason] = field(default_factory=list)

    def __str__(self) -> str:
        return _("%(thing)s %(is_for)s") % {
            "thing": kind_and_name(self.thing),
            "is_for": self.words,
        }


@dataclass(frozen=True)
class Explanation:
    """The verdict and everything that decided it, for people who may know it all."""

    visible: bool
    person: str
    thing: Any
    bypass: str
    chain: list[Level]
    would_change: list[str]


def explain(user: Any, thing: Any) -> Explanation:
    """Why `user` may or may not see `thing`. For administrators: it names segments and values."""
    using = thing._state.db
    viewer = viewer_for(user, using)
    person = read_person(user.pk, using) if user.pk else Person(None, is_active=False)
    rules = current_ruleset(using)
    chain = [_level(each, viewer, person, rules) for each in ancestry(thing)]
    visible = thing.is_visible_to(viewer)
    bypass = _bypass(thing, viewer, using)
    return Explanation(
        visible=visible,
        person=str(user) if user.pk else _("an anonymous visitor"),
        thing=thing,
        bypass=bypass,
        chain=chain,
        would_change=list(_would_change(thing, visible, bypass, chain, person)),
    )


def ancestry(thing: Any) -> list[Any]:
    """The object and its ancestors, the topmost first. Stops where the chain is broken."""
    found: list[Any] = []
    waiting = [thing]
    while waiting:
        each = waiting.pop(0)
        if each in found:
            continue
        found.insert(0, each)
        for name in type(each).audience_parents:
            parent = _parent(each, name)
            if parent is not None:
                waiting.append(parent)
    return _topmost_first(found)


def _parent(thing: Any, name: str) -> Any:
    parent_field = thing._meta.get_field(name)
    # The base manager: an explanation names what hides the object, hidden or not.
    rows = parent_field.related_model._base_manager.using(thing._state.db)
    with lifted(thing._state.db):
        return rows.filter(pk=getattr(thing, parent_field.attname)).first()


def _topmost_first(things: list[Any]) -> list[Any]:
    """Each after all of its ancestors; whatever a cycle leaves over comes last, as it was."""
    placed: list[Any] = []
    left = list(things)
    while left:
        ready = [
            each
            for each in left
            if all(_parent(each, name) not in left for name in type(each).audience_parents)
        ]
        if not ready:
            return placed + left
        placed += ready
        left = [each for each in left if each not in ready]
    return placed


def _level(thing: Any, viewer: Viewer, person: Person, rules: Ruleset) -> Level:
    if not has_audience(type(thing)):
        return Level(thing, True, _("has no audience of its own"))
    audience = thing.audience
    if audience.pk == Audience.NOBODY:
        return Level(thing, False, _("is for nobody"))
    if audience.pk == Audience.EVERYONE:
        admits = Audience.EVERYONE in viewer.audiences
        return Level(thing, admits, _("is for everyone"))
    reasons = [_segment(segment, person, rules) for segment in audience.segments.all()]
    names = joined(quoted(reason.segment) for reason in reasons)
    words = _("is for the members of any of: %s") % names
    return Level(thing, audience.pk in viewer.audiences, words, reasons)


def _segment(segment: Segment, person: Person, rules: Ruleset) -> SegmentReason:
    rule = rules.rules[segment.pk]
    asked = [] if rule.is_whole_type else rule.conditions
    reasons = [_condition(each, person, segment._state.db) for each in asked]
    return SegmentReason(segment, bool(rule.admits(person)), _membership(rule, person), reasons)


def _membership(rule: Rule, person: Person) -> str:
    """Which part of design §2.3 decided."""
    if rule.is_placeholder:
        return _("nobody is ever in it")
    if not person.is_active:
        return _("an anonymous or inactive visitor is in no segment")
    if not rule.is_for(person):
        return _("it is for others: %s") % dict(Segment.USER_TYPES)[rule.user_type]
    if rule.pk in person.excluded:
        return _("the person is always excluded")
    if rule.pk in person.included:
        return _("the person is always included")
    if rule.is_whole_type:
        return _("everybody of the base type is in it")
    if not rule.conditions:
        return _("it has no conditions, so only included people are in it")
    if rule.is_satisfied_by(person):
        return _("every condition holds")
    return _("not every condition holds")


def _condition(condition: Condition, person: Person, using: str | None) -> ConditionReason:
    if condition.problem:
        return ConditionReason(False, condition.problem, [])
    attribute = attributes()[condition.attribute]
    words = words_for(condition, labels_for([condition], using), at_most=NAMED_AT_MOST)
    if condition.skips_staff and person.is_staff:
        words = _("%s (does not limit staff)") % words
    has = _values(attribute, person, using)
    return ConditionReason(bool(condition.holds_for(person)), words, has)


def _values(attribute: Attribute, person: Person, using: str | None) -> list[str]:
    """The person's values in words, with the rows through which they have them."""
    labels = attribute.labels(sorted(person.has(attribute.name), key=str), using)
    found = []
    for value, label in labels.items():
        sources = sorted(set(_sources(attribute, value, person, using)))
        through = _("%(value)s (through %(sources)s)")
        words = through % {"value": label, "sources": joined(sources)} if sources else label
        found.append(words)
    return found


def _sources(attribute: Attribute, value: Any, person: Person, using: str | None) -> Iterator[str]:
    """Names of what is between the person and the value: “vip” through the organization Acme."""
    for lookup in attribute.lookups:
        # What has the value: a row that the path meets before it reaches the value itself.
        steps = lookup.steps[: -2 if attribute.is_listed else -1]
        if all(step.field.one_to_one for step in steps):
            continue
        path = "__".join(step.field.name for step in steps)
        # As an expression, because the field could refuse or change what raw SQL has stored.
        owners = lookup.people().filter(**{"pk": person.pk, lookup.path: Value(value)})
        rows = steps[-1].field.related_model._base_manager.using(using)
        rest = lookup.path.removeprefix(f"{path}__")
        for row in rows.filter(**{"pk__in": owners.values(path), rest: Value(value)}):
            yield str(row)


def _bypass(thing: Any, viewer: Viewer, using: str) -> str:
    """Why the audiences do not matter for this viewer; empty when they do."""
    if viewer.is_admin:
        return _("Admins see everything.")
    if viewer.is_staff and any(_may_edit(thing, path, viewer, using) for path in _editors(thing)):
        return _("Management permissions let this staff member edit it.")
    return ""


def _editors(thing: Any) -> list[str]:
    return list(type(thing).audience_editors)


def _may_edit(thing: Any, lookup: str, viewer: Viewer, using: str) -> bool:
    path, _dot, name = lookup.rpartition("__")
    model = type(thing)
    for part in path.split("__"):
        model = model._meta.get_field(part).related_model
    ids = editable_ids(model, name, viewer, using)
    rows = type(thing)._base_manager.using(using)
    return rows.filter(pk=thing.pk, **{f"{path}__in": ids}).exists()


def _would_change(
    thing: Any, visible: bool, bypass: str, chain: list[Level], person: Person
) -> Iterator[str]:
    """What would have to be different for the opposite verdict."""
    if bypass:
        yield _("Without this right, the chain decides.")
        return
    if visible:
        yield _("One of these levels must stop admitting the person:")
        for level in chain:
            yield f"– {level}"
        return
    for level in chain:
        if not level.admits:
            yield from _opening(level, person)
    for name, value in type(thing).audience_published.items():
        if getattr(thing, name) != value:
            yield _("%s must be published.") % kind_and_name(thing)
    if all(level.admits for level in chain):
        yield _(
            "Every audience admits the person: it is unpublished, empty, or its place is broken."
        )


def _opening(level: Level, person: Person) -> Iterator[str]:
    """The ways to be admitted to one level."""
    if not person.is_active:
        yield _("%s: only for members; sign in with an active account.") % kind_and_name(
            level.thing
        )
    if not level.segments:
        yield _("%s must be given an audience.") % kind_and_name(level.thing)
    for reason in level.segments:
        failing = [c.words for c in reason.conditions if not c.holds]
        needs = separated(failing) if failing else reason.words
        yield _("%(thing)s: join “%(segment)s” (%(needs)s).") % {
            "thing": kind_and_name(level.thing),
            "segment": reason.segment,
            "needs": needs,
        }

"""The history in words, and what a segment was at any moment of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.dateparse import parse_datetime
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from .attributes import attributes
from .choosing import people_with
from .conditions import Condition, read_conditions
from .history import recorded_fields
from .models import Audience, Change, Segment, SegmentPerson, audience_fields
from .phrases import joined, labelled, separated
from .wording import label_of, labels_for, words_for

FIELDS = ("name", "description", "user_type", "conditions")


@dataclass
class State:
    """What a segment was at one moment: its fields, and the people it named."""

    name: str = ""
    description: str = ""
    user_type: str = ""
    conditions: Any = field(default_factory=list)
    # (person's id as text, kind) -> until
    people: dict[tuple[str, str], Any] = field(default_factory=dict)


@dataclass
class Moment:
    """What somebody changed at once, and what the object was afterwards."""

    # The newest of its changes: names the moment in addresses. 0 is before all of them.
    pk: int
    at: Any
    who: str
    words: list[tuple[str, str, str]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    # Of segments only: of other things it is not all known, but what changed is.
    state: State | None = None


def moments_of(thing: Model) -> list[Moment]:
    """Every moment at which a segment, an audience or a person changed, the newest first.

    The states of a segment are the present one with the changes undone, one after the other.
    """
    changes = list(Change.objects.of(thing))
    words = in_words(changes)
    state = state_of(thing) if isinstance(thing, Segment) else None
    found: list[Moment] = []
    for change, said in zip(changes, words, strict=True):
        same = found and (found[-1].at, found[-1].who) == (change.at, said.who)
        if not same:
            found.append(Moment(change.pk, change.at, said.who, state=_copy(state)))
        found[-1].changes.append(change)
        if said.before != said.after:
            found[-1].words.append((said.field, said.before, said.after))
        if state is not None:
            _undo(state, change)
    # A segment's first change is its creation; other things were something before theirs.
    if found and state is None:
        found.append(Moment(0, None, ""))
    return found


# Field -> the recorded values that went, and those that came.
Net = dict[str, tuple[list[str], list[str]]]


def net_changes(moments: Iterable[Moment]) -> Net:
    """What changed in these moments, the newest first, all in all."""
    return _net([change for moment in moments for change in moment.changes])


def changes_in_words(thing: Model, changes: Iterable[Change]) -> list[tuple[str, str, str]]:
    """(field, before, after) in words, for what these changes, the newest first, come to."""
    return _in_words_all_in_all(thing, _net(list(changes)))


def _net(changes: list[Change]) -> Net:
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for change in reversed(changes):
        gone, come = found.setdefault(change.field, ({}, {}))
        for text, undone, done in ((change.before, come, gone), (change.after, gone, come)):
            if text in undone:
                del undone[text]
            elif text is not None:
                done[text] = None
    return {name: (list(gone), list(come)) for name, (gone, come) in found.items() if gone or come}


def _in_words_all_in_all(thing: Model, net: Net) -> list[tuple[str, str, str]]:
    """(field, before, after) in words."""
    pairs = [
        Change(model=thing._meta.label_lower, field=name, before=before, after=after)
        for name, (gone, come) in net.items()
        for before, after in zip_longest(gone, come)
    ]
    found: dict[str, tuple[list[str], list[str]]] = {}
    for pair, said in zip(pairs, in_words(pairs), strict=True):
        befores, afters = found.setdefault(said.field, ([], []))
        befores += [said.before] if pair.before is not None else []
        afters += [said.after] if pair.after is not None else []
    return [(name, joined(b) or "–", joined(a) or "–") for name, (b, a) in found.items()]


def compared(thing: Model, moments: list[Moment], a: Moment, b: Moment) -> Any:
    """(field, as it was after the one, after the other) in words, for all that differs."""
    if a.state is not None and b.state is not None:
        return differences(a.state, b.state)
    older, newer = sorted([a, b], key=lambda moment: moment.pk)
    between = [moment for moment in moments if older.pk < moment.pk <= newer.pk]
    rows = _in_words_all_in_all(thing, net_changes(between))
    return rows if older is a else [(name, after, before) for name, before, after in rows]


def state_of(segment: Segment) -> State:
    """What the segment is now."""
    rows = segment.people.values_list("user", "kind", "until")
    people = {(str(user), kind): until for user, kind, until in rows}
    return State(segment.name, segment.description, segment.user_type, segment.conditions, people)


def _copy(state: State | None) -> State | None:
    return state and replace(state, people=dict(state.people))


def _undo(state: State, change: Change) -> None:
    """Turn the state after a change into the one before it."""
    if change.field == "people":
        if change.after is not None:
            user, kind, _until = _named(change.after)
            state.people.pop((user, kind), None)
        if change.before is not None:
            user, kind, until = _named(change.before)
            state.people[user, kind] = until
    elif change.field in FIELDS:
        setattr(state, change.field, _value(change.field, change.before))


def _value(name: str, text: str | None) -> Any:
    if name != "conditions":
        return text or ""
    try:
        return json.loads(text or "")
    except ValueError:
        return []


def _named(text: str) -> tuple[str, str, Any]:
    """(person's id, kind, until) of what the triggers wrote about a named person."""
    words, _until, until = text.partition(" until ")
    kind, _space, user = words.partition(" ")
    moment = parse_datetime(until)
    if moment is not None and moment.tzinfo is None:
        # SQLite writes UTC without saying so.
        moment = parse_datetime(f"{until}+00:00")
    return user, kind, moment


# Words --------------------------------------------------------------------------------------------


@dataclass
class Said:
    """One change in words."""

    at: Any
    who: str
    field: str
    before: str
    after: str


def in_words(changes: Iterable[Change]) -> list[Said]:
    """Changes with names instead of ids: a constant number of queries for all of them."""
    changes = list(changes)
    people = _people(changes)
    audiences = {f.name for f in audience_fields()}
    texts = [t for c in changes if c.field in audiences for t in (c.before, c.after) if t]
    ids = [int(text) for text in texts if _is_id(text)]
    known = Audience.objects.prefetch_related("segments").in_bulk(ids)
    conditions = [
        each
        for c in changes
        if c.field == "conditions"
        for text in (c.before, c.after)
        for each in read_conditions(_value("conditions", text))
    ]
    labels = labels_for(conditions)
    values = _labels(changes) | _rows_named(changes)

    def words(change: Change, text: str | None) -> str:
        if text is None:
            return "–"
        if change.field in audiences and _is_id(text):
            return str(known.get(int(text), _("an audience that is gone")))
        if change.field == "conditions":
            return _conditions(_value("conditions", text), labels)
        if change.field == "people":
            return _person(text, people)
        if change.field == "user_type":
            return str(dict(Segment.USER_TYPES).get(text, text))
        return values.get((change.field, text), text) or "–"

    return [
        Said(c.at, _who(c, people), _field(c.field), words(c, c.before), words(c, c.after))
        for c in changes
    ]


def _is_id(text: str) -> bool:
    return text.isdecimal()


def _field(name: str) -> str:
    names = {
        "name": _("Name"),
        "description": _("Description"),
        "user_type": _("Base type"),
        "conditions": _("Conditions"),
        "people": _("People"),
        "audience": _("Who may see it"),
    }
    if name in names:
        return names[name]
    if name in attributes():
        return label_of(name)
    known = {f.name: f.verbose_name for f in get_user_model()._meta.concrete_fields}
    known |= {each.name: each.verbose_name for each in audience_fields()}
    return capfirst(str(known.get(name, name)))


def _who(change: Change, people: dict[str, str]) -> str:
    if not change.actor:
        return _("unknown")
    if change.actor.isdigit():
        return people.get(change.actor, _("somebody who was erased"))
    return change.actor


def _people(changes: Iterable[Change]) -> dict[str, str]:
    """Id as text -> the name of the person, of those who are still there."""
    ids = {c.actor for c in changes if c.actor and c.actor.isdigit()}
    for change in changes:
        if change.field == "people":
            ids |= {_named(text)[0] for text in (change.before, change.after) if text}
    return {pk: str(person) for pk, person in people_with(ids).items()}


def _person(text: str, people: dict[str, str]) -> str:
    user, kind, until = _named(text)
    name = people.get(user, _("somebody who was erased"))
    words = labelled(dict(SegmentPerson.KINDS).get(kind, kind), name)
    if until is None:
        return words
    date = date_format(localtime(until), "DATETIME_FORMAT")
    return _("%(words)s until %(date)s") % {"words": words, "date": date}


def _conditions(stored: Any, labels: dict[str, dict[Any, str]]) -> str:
    read = read_conditions(stored)
    return separated(_condition(each, labels) for each in read) or _("none")


def _condition(condition: Condition, labels: dict[str, dict[Any, str]]) -> str:
    return condition.problem or words_for(condition, labels)


def _labels(changes: Iterable[Change]) -> dict[tuple[str, str], str]:
    """(attribute, value as text) -> its name, for changes of people's attributes."""
    wanted: dict[str, set[str]] = {}
    for change in changes:
        if change.field in attributes():
            wanted.setdefault(change.field, set()).update(
                text for text in (change.before, change.after) if text
            )
    found: dict[tuple[str, str], str] = {}
    for name, texts in wanted.items():
        attribute = attributes()[name]
        by_text = {}
        for text in texts:
            try:
                by_text[attribute.last.field.to_python(text)] = text
            except (ValidationError, ValueError, TypeError):
                continue  # raw SQL may have stored anything
        rows = attribute.labels(by_text)
        found |= {
            (name, by_text[value]): label for value, label in rows.items() if value in by_text
        }
    return found


def _rows_named(changes: Iterable[Change]) -> dict[tuple[str, str], str]:
    """(field, id as text) -> the name of a row that a person is linked to: tags, organizations."""
    person = get_user_model()
    linked = {n: f for n, f in recorded_fields(person).items() if f.many_to_many}
    wanted: dict[str, set[str]] = {}
    for change in changes:
        if change.model == person._meta.label_lower and change.field in linked:
            wanted.setdefault(change.field, set()).update(
                text for text in (change.before, change.after) if text and _is_id(text)
            )
    found: dict[tuple[str, str], str] = {}
    for name, texts in wanted.items():
        rows = linked[name].related_model._base_manager.filter(pk__in=texts)
        found |= {(name, str(row.pk)): str(row) for row in rows}
    return found


def differences(one: State, other: State) -> list[tuple[str, str, str]]:
    """(field, in the one, in the other) in words, for all that differs."""
    labels = labels_for(c for s in (one, other) for c in read_conditions(s.conditions))
    ids = {user for state in (one, other) for user, _kind in state.people}
    people = {pk: str(person) for pk, person in people_with(ids).items()}

    def words(state: State, name: str) -> str:
        if name == "conditions":
            return _conditions(state.conditions, labels)
        if name == "people":
            return separated(_of(person, until, people) for person, until in state.people.items())
        if name == "user_type":
            return str(dict(Segment.USER_TYPES).get(state.user_type, state.user_type))
        return str(getattr(state, name))

    rows = [(_field(n), words(one, n), words(other, n)) for n in (*FIELDS, "people")]
    return [row for row in rows if row[1] != row[2]]


def _of(person: tuple[str, str], until: Any, people: dict[str, str]) -> str:
    user, kind = person
    return _person(f"{kind} {user}" + (f" until {until.isoformat()}" if until else ""), people)


def history_of(thing: Model, at_most: int = 200) -> list[Said]:
    """The newest changes of an object in words."""
    return in_words(Change.objects.of(thing)[:at_most])

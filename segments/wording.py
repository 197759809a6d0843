"""Segments and audiences in plain sentences: “End users of Acme or Globex, tagged vip”."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

from django.utils.translation import gettext as _

from .attributes import attributes
from .conditions import Condition
from .conf import setting
from .models import Segment, SegmentPerson, read_together
from .phrases import all_of, any_of, joined

# So many values or people are named in a sentence; the others are counted.
AT_MOST = 3


def label_of(attribute: str) -> str:
    """What an attribute is called: settings.SEGMENTS["WORDS"] says, or its name."""
    return str(setting("WORDS").get(attribute, {}).get("label", attribute))


def sentences_of(segments: Iterable[Segment]) -> dict[Any, str]:
    """Segment id -> who is in it, for all segments with a constant number of queries."""
    segments = read_together(copy(segment) for segment in segments)
    conditions = {segment.pk: segment.read_conditions() for segment in segments}
    labels = labels_for(c for found in conditions.values() for c in found)
    people = _people(segments)
    return {s.pk: _sentence(s, conditions[s.pk], labels, people.get(s.pk, {})) for s in segments}


def sentence_of(segment: Segment) -> str:
    """Who is in the segment."""
    return sentences_of([segment])[segment.pk]


def kind_of(model: Any, name: str, count: int) -> str:
    """What one thing, or several, with this audience are called: “articles”."""
    options = model._meta
    kind = str(options.verbose_name if count == 1 else options.verbose_name_plural)
    if name == "audience":
        return kind
    words = _("%(kind)s (%(which)s)")
    return words % {"kind": kind, "which": options.get_field(name).verbose_name}


def words_for(
    condition: Condition, labels: dict[str, dict[Any, str]], at_most: int = AT_MOST
) -> str:
    """One condition, as a part of a sentence: “tagged vip or gold”."""
    known = labels.get(condition.attribute, {})
    values = sorted(known.get(value, str(value)) for value in condition.values)
    listed = (all_of if condition.operator == "all" else any_of)(values, at_most)
    phrases = setting("WORDS").get(condition.attribute, {})
    if condition.operator in phrases:
        return str(phrases[condition.operator]) % listed
    without = condition.operator == "none"
    words = _("without %(attribute)s %(values)s") if without else _("with %(attribute)s %(values)s")
    return words % {"attribute": label_of(condition.attribute), "values": listed}


def labels_for(
    conditions: Iterable[Condition], using: str | None = None
) -> dict[str, dict[Any, str]]:
    """Attribute -> value -> its name, one query for each attribute."""
    named: dict[str, set[Any]] = {}
    for condition in conditions:
        if not condition.problem:
            named.setdefault(condition.attribute, set()).update(condition.values)
    return {name: attributes()[name].labels(values, using) for name, values in named.items()}


def _sentence(
    segment: Segment,
    conditions: list[Condition],
    labels: dict[str, dict[Any, str]],
    people: dict[str, list[str]],
) -> str:
    included, excluded = people.get(SegmentPerson.INCLUDED, []), people.get("excluded", [])
    if segment.is_whole_type:
        return str(_whole_types()[segment.user_type])
    if segment.is_placeholder:
        return _("Nobody")
    problems = [c.problem for c in conditions if c.problem]
    if problems and not included:
        return _("Nobody: %s") % problems[0]
    if conditions and not problems:
        words = _("%(people)s %(conditions)s") % {
            "people": _base_types()[segment.user_type],
            "conditions": joined(words_for(condition, labels) for condition in conditions),
        }
        if included:
            always = {"who": words, "people": all_of(included, AT_MOST)}
            words = _("%(who)s; always %(people)s") % always
    elif included:
        words = _("Only %s") % all_of(included, AT_MOST)
    else:
        return _("Nobody: no condition and no person is named")
    if excluded:
        words = _("%(who)s; never %(people)s") % {"who": words, "people": any_of(excluded, AT_MOST)}
    return words


def _base_types() -> dict[str, str]:
    return {
        Segment.SIGNED_IN_USERS: _("People"),
        Segment.END_USERS: _("End users"),
        Segment.STAFF: _("Staff"),
    }


def _whole_types() -> dict[str, str]:
    return {
        Segment.SIGNED_IN_USERS: _("Everybody who is signed in"),
        Segment.STAFF: _("All staff"),
        Segment.END_USERS: _("All end users"),
    }


def _people(segments: list[Segment]) -> dict[Any, dict[str, list[str]]]:
    """Segment id -> kind -> the names of the people in force, a few of them."""
    rows = SegmentPerson.objects.in_force().filter(segment__in=segments)
    found: dict[Any, dict[str, list[str]]] = {}
    for row in rows.select_related("user").order_by("segment_id", "user_id"):
        found.setdefault(row.segment_id, {}).setdefault(row.kind, []).append(str(row.user))
    return found

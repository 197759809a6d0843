"""Segments and audiences in plain sentences: “End users of Acme or Globex, tagged vip”."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from .attributes import attributes
from .conditions import Condition
from .conf import setting
from .models import Segment, SegmentPerson, read_together

# So many values or people are named in a sentence; the others are counted.
AT_MOST = 3


def label_of(attribute: str) -> str:
    """What an attribute is called: settings.SEGMENTS["WORDS"] says, or its name."""
    return str(setting("WORDS").get(attribute, {}).get("label", attribute))


def sentences_of(segments: Iterable[Segment]) -> dict[Any, str]:
    """Segment id -> who is in it, for all segments with a constant number of queries."""
    segments = read_together(copy(segment) for segment in segments)
    conditions = {segment.pk: segment.read_conditions() for segment in segments}
    labels = _labels(c for found in conditions.values() for c in found)
    people = _people(segments)
    return {s.pk: _sentence(s, conditions[s.pk], labels, people.get(s.pk, {})) for s in segments}


def sentence_of(segment: Segment) -> str:
    """Who is in the segment."""
    return sentences_of([segment])[segment.pk]


def kind_of(model: Any, name: str, count: int) -> str:
    """What one thing, or several, with this audience are called: “articles”."""
    options = model._meta
    kind = str(options.verbose_name if count == 1 else options.verbose_name_plural)
    return kind if name == "audience" else f"{kind} ({options.get_field(name).verbose_name})"


def words_for(
    condition: Condition, labels: dict[str, dict[Any, str]], at_most: int = AT_MOST
) -> str:
    """One condition, as a part of a sentence: “tagged vip or gold”."""
    known = labels.get(condition.attribute, {})
    values = [known.get(v, str(v)) for v in sorted(condition.values, key=str)]
    listed = listing(values, _("and") if condition.operator == "all" else _("or"), at_most)
    return str(_phrase(condition)) % listed


def labels_for(conditions: Iterable[Condition]) -> dict[str, dict[Any, str]]:
    """Attribute -> value -> its name, one query for each attribute."""
    return _labels(conditions)


def _phrase(condition: Condition) -> Promise | str:
    known = setting("WORDS").get(condition.attribute, {})
    if condition.operator in known:
        return known[condition.operator]
    label = label_of(condition.attribute).replace("%", "%%")
    with_it = _("with %(attribute)s %%s") % {"attribute": label}
    without = _("without %(attribute)s %%s") % {"attribute": label}
    return without if condition.operator == "none" else with_it


def listing(words: list[str], last: str, at_most: int = AT_MOST) -> str:
    """“Acme, Globex or 12 more”."""
    left = len(words) - at_most
    if left > 0:
        words = [*words[:at_most], ngettext("%d more", "%d more", left) % left]
    if len(words) < 2:
        return "".join(words)
    return _("%(first)s %(and_or)s %(last)s") % {
        "first": pgettext("between the items of a list", ", ").join(words[:-1]),
        "and_or": last,
        "last": words[-1],
    }


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
    base = str(_base_types()[segment.user_type])
    if conditions and not problems:
        parts = [words_for(condition, labels) for condition in conditions]
        words = pgettext("between the items of a list", ", ").join(
            [f"{base} {parts[0]}", *parts[1:]]
        )
        words += _("; always %s") % listing(included, _("and")) if included else ""
    elif included:
        words = _("Only %s") % listing(included, _("and"))
    else:
        return _("Nobody: no condition and no person is named")
    return words + (_("; never %s") % listing(excluded, _("or")) if excluded else "")


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


def _labels(conditions: Iterable[Condition]) -> dict[str, dict[Any, str]]:
    named: dict[str, set[Any]] = {}
    for condition in conditions:
        if not condition.problem:
            named.setdefault(condition.attribute, set()).update(condition.values)
    return {name: attributes()[name].labels(values) for name, values in named.items()}


def _people(segments: list[Segment]) -> dict[Any, dict[str, list[str]]]:
    """Segment id -> kind -> the names of the people in force, a few of them."""
    rows = SegmentPerson.objects.in_force().filter(segment__in=segments)
    found: dict[Any, dict[str, list[str]]] = {}
    for row in rows.select_related("user").order_by("segment_id", "user_id"):
        found.setdefault(row.segment_id, {}).setdefault(row.kind, []).append(str(row.user))
    return found

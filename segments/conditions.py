"""What a condition means: in Python for one person or a crowd, for all people as a Q.

The one place to add an operator: give it both meanings in `OPERATORS`, and the property tests
compare them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .attributes import NONE, Attribute, Those, Who, among_any, attributes, staff
from .phrases import joined

logger = logging.getLogger("segments")


class Operator(NamedTuple):
    """One way to compare the values a condition names with those a person has."""

    label: Any
    # In Python, for one person or for many: (who, attribute, named) -> who of them.
    holds: Callable[[Who, str, frozenset[Any]], Those]
    # For all people: (attribute, named) -> Q.
    people: Callable[[Attribute, frozenset[Any]], Q]
    # True when only a person who has one of the named values can satisfy it.
    needs_a_value: bool


def _has_each(attribute: Attribute, named: frozenset[Any]) -> Q:
    # One sub-select for each value: `Q & Q` on a join asks one row to have both, and finds nobody.
    each = Q()
    for value in sorted(named, key=str):
        each &= attribute.people_with([value])
    return each


OPERATORS: dict[str, Operator] = {
    "any": Operator(
        label=gettext_lazy("has at least one of"),
        holds=lambda who, attribute, named: who.with_any(attribute, named),
        people=lambda attribute, named: attribute.people_with(named),
        needs_a_value=True,
    ),
    "all": Operator(
        label=gettext_lazy("has each of"),
        holds=lambda who, attribute, named: who.with_each(attribute, named),
        people=_has_each,
        needs_a_value=True,
    ),
    "none": Operator(
        label=gettext_lazy("has none of"),
        holds=lambda who, attribute, named: ~who.with_any(attribute, named),
        people=lambda attribute, named: attribute.people_without(named),
        needs_a_value=False,
    ),
}


@dataclass(frozen=True)
class Condition:
    """An attribute, an operator and values. What cannot be understood holds for nobody."""

    attribute: str
    operator: str
    values: frozenset[Any]
    # Why it holds for nobody, in words for an administrator; empty when it is sound.
    problem: str = ""

    @property
    def skips_staff(self) -> bool:
        """True when the condition holds for every staff member, as organizations do at Zendesk."""
        return (
            not self.problem
            and OPERATORS[self.operator].needs_a_value
            and not attributes()[self.attribute].limits_staff
        )

    def holds_for(self, who: Who) -> Those:
        """Who of them may pass, as far as this condition is concerned?"""
        if self.problem:
            return NONE
        skipped = who.staff if self.skips_staff else NONE
        try:
            return skipped | OPERATORS[self.operator].holds(who, self.attribute, self.values)
        except Exception:
            # One broken condition denies; it does not take the whole site with it.
            logger.exception("The condition %s cannot be decided, so it holds for nobody.", self)
            return skipped

    def people(self) -> Q:
        """Everyone who passes, as a Q over the user model."""
        if self.problem:
            return Q(pk__in=[])
        found = OPERATORS[self.operator].people(attributes()[self.attribute], self.values)
        if not self.skips_staff:
            return found
        return among_any([get_user_model()._base_manager.filter(found), staff()])


def read_conditions(stored: Any) -> list[Condition]:
    """The stored JSON as conditions, in order. What is malformed becomes one with a problem."""
    if not isinstance(stored, list):
        return [_broken(_("The conditions are not a list."))]
    return [_read(entry) for entry in stored]


def _read(entry: Any) -> Condition:
    if not isinstance(entry, dict) or set(entry) != {"attribute", "operator", "values"}:
        return _broken(_("The condition is not an attribute, an operator and values."))
    attribute, operator, values = entry["attribute"], entry["operator"], entry["values"]
    if not isinstance(attribute, str) or attribute not in attributes():
        return _broken(_("There is no attribute “%s”.") % attribute, str(attribute))
    if not isinstance(operator, str) or operator not in OPERATORS:
        return _broken(_("There is no operator “%s”.") % operator, attribute, str(operator))
    if not isinstance(values, list) or not values:
        return _broken(_("The condition names no values."), attribute, operator)
    try:
        named = frozenset(attributes()[attribute].clean(value) for value in values)
    except (ValidationError, ValueError, TypeError, OverflowError):
        return _broken(_("A value is not one of this attribute."), attribute, operator)
    return Condition(attribute, operator, named)


def _broken(problem: str, attribute: str = "?", operator: str = "?") -> Condition:
    return Condition(attribute, operator, frozenset(), problem)


def named_values(conditions: Iterable[Condition]) -> dict[str, set[Any]]:
    """Attribute -> every value that a sound condition names."""
    named: dict[str, set[Any]] = {}
    for condition in conditions:
        if not condition.problem:
            named.setdefault(condition.attribute, set()).update(condition.values)
    return named


def missing_values(
    conditions: Iterable[Condition], using: str | None = None
) -> dict[str, set[Any]]:
    """Attribute -> named values that no longer exist. One query for each attribute with rows."""
    missing = {
        name: values - attributes()[name].existing(values, using)
        for name, values in named_values(conditions).items()
    }
    return {name: values for name, values in missing.items() if values}


def mark_missing(condition: Condition, missing: Mapping[str, Collection[Any]]) -> Condition:
    """The condition, or one that holds for nobody because it names a value that is gone."""
    gone = condition.values & set(missing.get(condition.attribute, ()))
    if condition.problem or not gone:
        return condition
    names = joined(sorted(map(str, gone)))
    problem = _("It names a value that no longer exists: %s.") % names
    return Condition(condition.attribute, condition.operator, condition.values, problem)


def check_missing(conditions: list[Condition], using: str | None = None) -> list[Condition]:
    """The conditions, those that name a value that is gone marked as holding for nobody."""
    missing = missing_values(conditions, using)
    return [mark_missing(condition, missing) for condition in conditions]


def clean_conditions(raw: Any, user_type: str, using: str | None = None) -> list[dict[str, Any]]:
    """The conditions as they are stored; ValidationError names the place and what it accepts."""
    if not isinstance(raw, list):
        raise ValidationError(_("Conditions are a list."))
    return [
        _clean(entry, f"conditions[{place}]", user_type, using) for place, entry in enumerate(raw)
    ]


def _clean(entry: Any, place: str, user_type: str, using: str | None) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValidationError(_("%s: expected attribute, operator and values.") % place)
    if unknown := set(entry) - {"attribute", "operator", "values"}:
        raise ValidationError(
            _("%(place)s: unknown key %(keys)s; accepted are attribute, operator, values.")
            % {"place": place, "keys": ", ".join(sorted(map(repr, unknown)))}
        )
    attribute = _one_of(entry.get("attribute"), attributes(), f"{place}.attribute")
    operator = _one_of(entry.get("operator"), OPERATORS, f"{place}.operator")
    if user_type == "staff" and not attributes()[attribute].limits_staff:
        raise ValidationError(
            _("%(place)s: %(attribute)s does not limit staff; use it on end users.")
            % {"place": f"{place}.attribute", "attribute": attribute}
        )
    values = entry.get("values")
    values = _clean_values(attributes()[attribute], values, f"{place}.values", using)
    return {"attribute": attribute, "operator": operator, "values": values}


def _one_of(value: Any, accepted: Collection[str], place: str) -> str:
    if not isinstance(value, str) or value not in accepted:
        raise ValidationError(
            _("%(place)s: %(value)r is not accepted; use one of %(accepted)s.")
            % {"place": place, "value": value, "accepted": ", ".join(accepted)}
        )
    return value


def _clean_values(attribute: Attribute, values: Any, place: str, using: str | None) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise ValidationError(_("%s: name at least one value.") % place)
    cleaned = []
    for number, value in enumerate(values):
        try:
            cleaned.append(attribute.clean(value))
        except (ValidationError, ValueError, TypeError, OverflowError) as error:
            words = "; ".join(error.messages) if isinstance(error, ValidationError) else str(error)
            raise ValidationError(f"{place}[{number}]: {words}") from error
    if gone := set(cleaned) - attribute.existing(cleaned, using):
        raise ValidationError(
            _("%(place)s: there is no %(attribute)s %(gone)s.")
            % {
                "place": place,
                "attribute": attribute.name,
                "gone": ", ".join(sorted(map(repr, gone))),
            }
        )
    return list(dict.fromkeys(cleaned))

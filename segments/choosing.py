"""Finding what was typed: values of attributes and people, among a million of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin.sites import AdminSite, site
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import BooleanField, Q, QuerySet
from django.utils.translation import gettext as _

from .attributes import Attribute, as_json
from .phrases import joined
from .querysets import Among
from .wording import label_of

# So many suggestions are shown; a list that is shorter is offered as it is.
AT_MOST = 12
SHORTEST = 2


def choices_of(attribute: Attribute) -> list[tuple[Any, str]] | None:
    """All values of an attribute that has few of them by definition; None for all others."""
    field = attribute.last.field
    if isinstance(field, BooleanField):
        return [(True, _("Yes")), (False, _("No"))]
    if field.choices:
        return [(value, str(name)) for value, name in field.flatchoices if value]
    return None


def suggest(attribute: Attribute, text: str, request: Any) -> list[str]:
    """The names of some values that go on as the text does."""
    if (choices := choices_of(attribute)) is not None:
        return [name for _value, name in choices if text.casefold() in name.casefold()]
    if not attribute.is_listed or len(text) < SHORTEST:
        return []
    rows = attribute.last.model._default_manager.all()
    return [str(row) for row in searched(rows, text, request)[:AT_MOST]]


def value_called(attribute: Attribute, text: str) -> Any:
    """The value that the text names. ValidationError when none does, or several do."""
    if (choices := choices_of(attribute)) is not None:
        found = [
            v for v, name in choices if text.casefold() in (str(v).casefold(), name.casefold())
        ]
        return _only(found, label_of(attribute.name), text, [name for _value, name in choices])
    if not attribute.is_listed:
        return attribute.clean(text)
    rows = [row for row in _called(attribute.last.model, text) if _is_name(row, text)]
    values = [as_json(getattr(row, attribute.last.field.attname)) for row in rows]
    return _only(values, label_of(attribute.name), text)


def suggest_people(text: str, request: Any) -> list[tuple[str, str]]:
    """(what to type, name) of some people who go on as the text does."""
    if len(text) < SHORTEST:
        return []
    people = searched(get_user_model()._base_manager.all(), text, request)[:AT_MOST]
    return [(str(person.get_username()), str(person)) for person in people]


def person_called(text: str) -> Any:
    """The person with this user name (an e-mail address) or exact name. ValidationError if none."""
    people = get_user_model()
    found = _exactly(people, people.USERNAME_FIELD, text)
    found = found or [row for row in _called(people, text) if _is_name(row, text)]
    return _only(found, _("person"), text)


def _only(found: list[Any], kind: str, text: str, accepted: Iterable[str] = ()) -> Any:
    words = {"kind": kind, "text": text, "accepted": joined(accepted)}
    if len(found) > 1:
        raise ValidationError(_("%(kind)s: several are called “%(text)s”.") % words)
    if not found and accepted:
        raise ValidationError(_("%(kind)s: “%(text)s” is none of %(accepted)s.") % words)
    if not found:
        raise ValidationError(_("%(kind)s: there is none called “%(text)s”.") % words)
    return found[0]


def _is_name(row: Any, text: str) -> bool:
    return str(row).casefold() == text.strip().casefold()


def searched(
    rows: QuerySet[Any], text: str, request: Any, where: AdminSite = site
) -> QuerySet[Any]:
    """Those that the admin's own list of the model finds: there a site says what is fast.

    By id. Without a text all of them; without such a list those whose name begins with it.
    """
    registered = where._registry.get(rows.model)
    if not text:
        return rows.order_by("pk")
    if registered is None or not registered.get_search_fields(request):
        return rows.filter(_any_field(rows.model, text, "istartswith")).order_by("pk")
    found, has_duplicates = registered.get_search_results(request, rows.order_by(), text)
    if has_duplicates:
        found = rows.filter(pk__in=found.values("pk"))
    return found.order_by("pk")


def people_with(ids: Iterable[str]) -> dict[str, Any]:
    """Id as text -> person, for those who exist. What can be no id is left out."""
    pk = get_user_model()._meta.pk
    asked = []
    for each in ids:
        try:
            value = pk.to_python(each)
            pk.run_validators(value)
        except (ValidationError, ValueError, OverflowError):
            continue
        asked.append(value)
    people = get_user_model()._base_manager
    return {str(person.pk): person for person in people.filter(Among("pk", asked))}


def _called(model: Any, text: str) -> list[Any]:
    """The rows one of whose texts is exactly this, in any case."""
    found = [
        row for name in _text_fields(model) for row in _exactly(model, f"{name}__iexact", text)
    ]
    return list(dict.fromkeys(found))


def _exactly(model: Any, lookup: str, text: str) -> list[Any]:
    """The rows with this text, a few of them; none where the field says that it can have none."""
    try:
        return list(model._base_manager.filter(**{lookup: text.strip()})[:50])
    except (ValidationError, ValueError):
        return []


def _any_field(model: Any, text: str, how: str) -> Q:
    found = Q(pk__in=[])
    for name in _text_fields(model):
        found |= Q(**{f"{name}__{how}": text})
    return found


def _text_fields(model: Any) -> Iterable[str]:
    """The columns by which a row can be called."""
    for name in ("name", "title", getattr(model, "USERNAME_FIELD", "slug")):
        try:
            model._meta.get_field(name)
        except FieldDoesNotExist:
            continue
        yield name

"""What does it do to who sees what when other things are known of a person, or of many at once?

A change of people is made, looked at by the rule itself, and then kept or undone: so whatever
follows from it (a membership by an e-mail domain, say) counts, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, QuerySet

from .attributes import read_person
from .conf import setting
from .effects import (
    ContentEffect,
    Effect,
    Judged,
    content_kinds,
    effect_of_difference,
    judge,
)
from .history import recorded_fields
from .querysets import Among
from .recollection import Moment, net_changes
from .ruleset import Viewer, current_ruleset


def viewer_now(person: Any, using: str = DEFAULT_DB_ALIAS) -> Viewer:
    """What a person is to the rule at this moment of the transaction; nothing is remembered."""
    return current_ruleset(using).viewer(read_person(person.pk, using))


def effect_between(person: Any, was: Viewer, now: Viewer) -> Effect:
    """What a person sees more or less of than when they were this. Their right to edit counts."""
    gained: dict[Any, set[Any]] = {}
    lost: dict[Any, set[Any]] = {}
    for model in content_kinds() if replace(was, pk=None) != replace(now, pk=None) else ():
        saw, sees = (
            set(model._default_manager.visible_to(viewer).values_list("pk", flat=True))
            for viewer in (was, now)
        )
        gained[model], lost[model] = sees - saw, saw - sees
    gains, loses = any(gained.values()), any(lost.values())
    everybody = get_user_model()._base_manager
    they, nobody = everybody.filter(pk=person.pk), everybody.none()
    return Effect(
        gains=int(gains),
        loses=int(loses),
        gainers=they if gains else nobody,
        losers=they if loses else nobody,
        content=[
            ContentEffect(
                model,
                "audience",
                gained=_rows(model, gained[model]),
                lost=_rows(model, lost[model]),
                becomes_public=model._base_manager.none(),
                stops_being_public=model._base_manager.none(),
            )
            for model in gained
        ],
    )


def _rows(model: Any, pks: set[Any]) -> Any:
    return model._base_manager.filter(Among("pk", sorted(pks)))


class ConcernsMore(Exception):  # noqa: N818  (no error: undo the change and begin again)
    """A change concerns people of whom it is not known what they were before it."""

    def __init__(self, people: set[Any]) -> None:
        self.people = people
        super().__init__(f"{len(people)} more")


@dataclass
class Trial:
    """What a change of many people does, to be known before it is kept.

    Whoever is staff or active before has to be so afterwards.
    """

    # The ids of everybody concerned.
    people: set[Any] = field(default_factory=set)
    using: str = DEFAULT_DB_ALIAS
    before: Judged | None = None

    def begin(self, *people: QuerySet[Any]) -> None:
        """These users will be concerned; the change is not made yet."""
        self.people = self.people.union(*map(_active, people))
        self.before = judge(self.people, self.using)

    def end(self, people: QuerySet[Any]) -> Effect:
        """What everybody sees more or less of; these are concerned by the change that is made."""
        if more := _active(people) - self.people:
            raise ConcernsMore(self.people | more)
        before = self.before or judge((), self.using)
        then = judge(self.people, self.using, like=before)
        return effect_of_difference(before, then, self.people)


def _active(people: QuerySet[Any]) -> set[Any]:
    """Their ids. Whoever is inactive sees what visitors see."""
    return set(people.filter(setting("ACTIVE")).values_list("pk", flat=True))


def put_back(person: Model, moments: Iterable[Moment]) -> None:
    """Undo for the person what was recorded in these moments, the newest first.

    What a row was linked to that is gone stays gone.
    """
    fields = recorded_fields(type(person))
    for name, (gone, come) in net_changes(moments).items():
        field = fields.get(name)
        if field is None:
            continue
        if field.many_to_many:
            links = getattr(person, field.name)
            links.remove(*_existing(field.related_model, come))
            links.add(*_existing(field.related_model, gone))
        else:
            setattr(person, field.attname, _value(field, gone[0] if gone else None))
    # Also what follows from it: whatever an address gives, it gives again.
    person.save()


def _existing(model: Any, texts: list[str]) -> list[Any]:
    return list(model._base_manager.filter(pk__in=[text for text in texts if text.isdecimal()]))


def _value(field: Any, text: str | None) -> Any:
    try:
        return field.to_python({"true": True, "false": False}.get(text or "", text))
    except ValidationError:
        return field.get_default()

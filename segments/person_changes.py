"""What does it do to who sees what when other things are known of a person, or of many at once?

A change of people is made, looked at by the rule itself, and then kept or undone: so whatever
follows from it (a membership by an e-mail domain, say) counts, too.
"""

from __future__ import annotations

from collections import defaultdict
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
    Draft,
    Effect,
    classes_among,
    content_kinds,
    effect_of_memberships,
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
    rows = model._base_manager
    return rows.filter(Among("pk", sorted(pks))) if pks else rows.none()


@dataclass
class Trial:
    """A change of many people at once, which is made, looked at and undone before it is asked of.

    Before it is made, and again when it is, say whom it concerns; then `look`, and undo it. Whoever
    is staff, active or an admin before has to be so afterwards.
    """

    using: str = DEFAULT_DB_ALIAS
    people: set[Any] = field(default_factory=set)
    then: dict[Any, frozenset[int]] = field(default_factory=dict)
    # What is changed, in words: as it was, and as it will be.
    words: list[str] = field(default_factory=list)

    def concerns(self, people: QuerySet[Any]) -> None:
        """These users, those who are inactive left out: they see what visitors see."""
        self.people.update(people.filter(setting("ACTIVE")).values_list("pk", flat=True))

    def look(self) -> None:
        """Remember which segments they are in now that the change is made."""
        self.then = self._memberships()

    def effect(self) -> Effect:
        """What everybody sees more or less of. The change has been undone."""
        joins: dict[int, set[Any]] = defaultdict(set)
        leaves: dict[int, set[Any]] = defaultdict(set)
        for pk, now in self._memberships().items():
            then = self.then[pk]
            for segment in then - now:
                joins[segment].add(pk)
            for segment in now - then:
                leaves[segment].add(pk)
        drafts = [
            Draft(pk, frozenset(joins[pk]), frozenset(leaves[pk]))
            for pk in joins.keys() | leaves.keys()
        ]
        return effect_of_memberships(drafts, self.using)

    def _memberships(self) -> dict[Any, frozenset[int]]:
        classes = classes_among(self.people, current_ruleset(self.using), self.using)
        return {pk: memberships for memberships, pks in classes.items() for pk in pks}


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

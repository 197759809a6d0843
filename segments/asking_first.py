"""Changes of many people at once in the admin: made, looked at, and asked about before they stay.

Whatever follows from the change counts, such as memberships by the domain of an organization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from .audience_admin import Unconfirmed, ask
from .confirmation import is_confirmed
from .person_changes import ConcernsMore, Trial


class AsksFirst(admin.ModelAdmin):
    """Shows what a change of many people does to who sees what, before it is stored."""

    def people_of(self, pks: list[Any]) -> QuerySet[Any]:
        """The people who are something else to the rule when these objects are changed."""
        raise NotImplementedError

    def in_words(self, pks: list[Any]) -> str:
        """What these objects are now, as far as it decides anything."""
        raise NotImplementedError

    def people_to_come(self, request: HttpRequest) -> QuerySet[Any]:
        """Whom what was sent may concern, too. To leave somebody out costs time, nothing else."""
        return get_user_model()._base_manager.none()

    def asked_first(
        self, request: HttpRequest, view: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """What the view answers once its impact is confirmed or is none; otherwise the question."""
        if request.method != "POST":
            return view(request, *args, **kwargs)
        people: set[Any] = set()
        while True:
            request.trial = Trial(people)  # type: ignore[attr-defined]
            try:
                # Of its own: the change has been made when the question is asked, and is undone.
                with transaction.atomic():
                    return view(request, *args, **kwargs)
            except ConcernsMore as found:
                people = found.people
            except Unconfirmed as asked:
                return ask(self, request, asked)

    def begin(self, request: HttpRequest, pks: list[Any]) -> str:
        """Nothing of the change of these objects is written yet. What they are, in words."""
        trial: Trial = request.trial  # type: ignore[attr-defined]
        trial.begin(self.people_of(pks), self.people_to_come(request))
        return self.in_words(pks)

    def end(self, request: HttpRequest, pks: list[Any], before: str) -> None:
        """Everything is written by now, and not yet said to be stored."""
        trial: Trial = request.trial  # type: ignore[attr-defined]
        effect, after = trial.end(self.people_of(pks)), self.in_words(pks)
        seen = effect.fingerprint(before, after, sorted(trial.people))
        if not (effect.changes_nothing or is_confirmed(request, seen, effect.widens)):
            raise Unconfirmed(effect, before or "–", after or "–", seen)

    @contextmanager
    def asking(self, request: HttpRequest, rows: QuerySet[Any]) -> Iterator[None]:
        """Around what changes all of these rows."""
        pks = list(rows.order_by().values_list("pk", flat=True))
        before = self.begin(request, pks)
        yield
        self.end(request, pks, before)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As usual; actions ask first."""
        return self.asked_first(request, super().changelist_view, *args, **kwargs)


class ConcernsMany(AsksFirst):
    """For objects that decide what many people are: storing and deleting them asks first."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As usual; asks first."""
        return self.asked_first(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As usual; asks first."""
        return self.asked_first(request, super().delete_view, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """As usual; what the object was is kept, to be compared."""
        obj.was = self.begin(request, [obj.pk])
        super().save_model(request, obj, form, change)

    def response_add(self, request: HttpRequest, obj: Any, *args: Any) -> Any:
        """As usual."""
        self.end(request, [obj.pk], obj.was)
        return super().response_add(request, obj, *args)

    def response_change(self, request: HttpRequest, obj: Any) -> Any:
        """As usual."""
        self.end(request, [obj.pk], obj.was)
        return super().response_change(request, obj)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """As usual."""
        with self.asking(request, self.model._base_manager.filter(pk=obj.pk)):
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """As usual."""
        with self.asking(request, queryset):
            super().delete_queryset(request, queryset)

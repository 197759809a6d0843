"""Form fields for audiences and segments."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .models import Audience, Segment

NOBODY, EVERYONE = "nobody", "everyone"
# What a segment is called by.
NAMES = ("name", "built_in")


class AudienceSelect(forms.SelectMultiple):
    """A list of segments that can be searched, where scripts run and it is long."""

    class Media:
        js = [forms.Script("segments/choose.js", defer=True)]
        css = {"all": ["segments/segments.css"]}

    def __init__(self) -> None:
        super().__init__({"size": 12, "data-search": gettext_lazy("Search segments")})


class AudienceField(forms.MultipleChoiceField):
    """Nobody, everyone, or segments; the cleaned value is the `Audience`."""

    widget = AudienceSelect
    default_error_messages = {
        "required": gettext_lazy("Say who may see this: nobody, everyone, or segments."),
        "mixed": gettext_lazy("Nobody and everyone cannot be combined with anything else."),
    }

    def __init__(self, *, with_everyone: bool = True, **kwargs: Any) -> None:
        self.with_everyone = with_everyone
        super().__init__(choices=self._segments, **kwargs)

    def _segments(self) -> list[tuple[str, Any]]:
        fixed = [(NOBODY, _("Nobody (admins and editors only)"))]
        if self.with_everyone:
            fixed.append((EVERYONE, _("Everyone, without signing in")))
        return fixed + [(str(s.pk), str(s)) for s in Segment.objects.assignable().only(*NAMES)]

    def prepare_value(self, value: Any) -> Any:
        """The choices that stand for a stored audience."""
        pk = value.pk if isinstance(value, Audience) else value
        if not isinstance(pk, int):
            return value
        fixed = {Audience.NOBODY: [NOBODY], Audience.EVERYONE: [EVERYONE]}
        named = Segment.objects.filter(audiences=pk).values_list("pk", flat=True)
        return fixed.get(pk) or [str(segment) for segment in named]

    def clean(self, value: Any) -> Any:
        """The audience that the choices mean; interned when it is a new set."""
        chosen = set(super().clean(value))
        if chosen & {NOBODY, EVERYONE}:
            if len(chosen) > 1:
                raise ValidationError(self.error_messages["mixed"], code="mixed")
            return Audience.nobody() if NOBODY in chosen else Audience.everyone()
        return Audience.of(*Segment.objects.filter(pk__in=chosen))

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare as choices: what is stored is one number."""
        return set(self.prepare_value(initial) or []) != set(data or [])

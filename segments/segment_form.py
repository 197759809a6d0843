"""The form of a segment: its conditions and people as rows, and what they would mean."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.forms.formsets import DELETION_FIELD_NAME
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .attributes import Attribute, attributes
from .choosing import choices_of, people_with, person_called, value_called
from .conditions import OPERATORS, check_missing, read_conditions
from .impact import Impact, impact_of
from .models import Segment, SegmentPerson
from .querysets import Among
from .recollection import State, state_of
from .wording import label_of, sentence_of

# More named people than this are managed by the API.
MOST_ROWS = 1000


class ConditionForm(forms.Form):
    """One condition. Values are ticked, and new ones are typed by name."""

    attribute = forms.ChoiceField(label=gettext_lazy("Attribute"), required=False)
    operator = forms.ChoiceField(
        label=gettext_lazy("Operator"),
        choices=[(name, operator.label) for name, operator in OPERATORS.items()],
    )
    add = forms.CharField(label=gettext_lazy("Add a value"), required=False, max_length=500)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = [(name, label_of(name)) for name in attributes()]
        present = str(self["attribute"].value() or "")
        if present and present not in attributes():
            # Shown as what it is, and refused: an empty row would be a condition less.
            known.append((present, _("%s (unknown)") % present))
        self.fields["attribute"].choices = [("", _("Choose…")), *known]  # type: ignore[attr-defined]

    @property
    def chosen(self) -> Attribute | None:
        """The attribute that is chosen at present, if there is such a one."""
        return attributes().get(str(self["attribute"].value()))

    @property
    def ticked(self) -> list[Any]:
        """The values that are named at present, as they came."""
        if not self.is_bound:
            return list(self.initial.get("values", []))
        return self.data.getlist(self.add_prefix("values"))  # type: ignore[attr-defined]

    @property
    def shown_values(self) -> list[tuple[Any, str, bool]]:
        """(value, name, is ticked): all there are, where these are few, or those that are named."""
        attribute = self.chosen
        ticked = self._shown_as_ticked()
        if attribute is None:
            return [(value, str(value), True) for value in ticked]
        if (choices := choices_of(attribute)) is not None:
            known = [(value, name, value in ticked) for value, name in choices]
            return known + [(v, str(v), True) for v in ticked if v not in dict(choices)]
        return [(value, name, True) for value, name in attribute.labels(ticked).items()]

    @property
    def has_choices(self) -> bool:
        """True when all values are shown, so that none needs to be typed."""
        return self.chosen is not None and choices_of(self.chosen) is not None

    def _shown_as_ticked(self) -> list[Any]:
        if self.is_bound and self.is_valid() and "values" in self.cleaned_data:
            return list(self.cleaned_data["values"])
        if self.chosen is None:
            return self.ticked
        return [value for each in self.ticked for value in self._cleaned(self.chosen, each)]

    def _cleaned(self, attribute: Attribute, value: Any) -> Iterator[Any]:
        """The value of this attribute; nothing when it is one of another."""
        try:
            yield attribute.clean(_as_typed(attribute, value))
        except (ValidationError, ValueError, TypeError, OverflowError):
            return

    def clean(self) -> None:
        """Values: what is ticked and what is typed. A row with an attribute needs a value.

        Of a row that goes the formset asks for no reasons.
        """
        cleaned = self.cleaned_data
        name, typed = cleaned.get("attribute"), cleaned.get("add", "").strip()
        if not name:
            if typed or self.ticked:
                raise ValidationError({"attribute": _("Choose what the values are of.")})
            return
        if name not in attributes():
            words = _("There is no attribute “%s”. Choose another one, or remove the row.")
            raise ValidationError({"attribute": words % name})
        attribute = attributes()[name]
        try:
            values = [attribute.clean(_as_typed(attribute, each)) for each in self.ticked]
        except (ValueError, TypeError, OverflowError):
            raise ValidationError(_("A value is not one of this attribute.")) from None
        for text in filter(None, map(str.strip, typed.split(";"))):
            values.append(self._called(attribute, text))
        if not values:
            raise ValidationError({"add": _("Name at least one value.")})
        cleaned["values"] = list(dict.fromkeys(values))

    def _called(self, attribute: Attribute, text: str) -> Any:
        try:
            return value_called(attribute, text)
        except (ValueError, TypeError, OverflowError) as error:
            raise ValidationError({"add": str(error)}) from error
        except ValidationError as error:
            raise ValidationError({"add": error.messages}) from error


def _as_typed(attribute: Attribute, value: Any) -> Any:
    """A posted text as the attribute's type of value, where the field would not read it."""
    choices = dict(choices_of(attribute) or [])
    return {str(each): each for each in choices}.get(value, value)


class PersonForm(forms.Form):
    """Somebody always in the segment, or never."""

    user = forms.CharField(required=False, widget=forms.HiddenInput)
    add = forms.CharField(label=gettext_lazy("Person"), required=False, max_length=300)
    kind = forms.ChoiceField(label=gettext_lazy("Always or never"), choices=SegmentPerson.KINDS)
    until = forms.DateTimeField(
        label=gettext_lazy("Until (UTC)"),
        required=False,
        widget=forms.DateTimeInput(
            {"type": "datetime-local", "step": 1}, format="%Y-%m-%dT%H:%M:%S"
        ),
    )

    def __init__(self, *args: Any, known: dict[str, Any], **kwargs: Any) -> None:
        """`known` holds the people of all rows by id as text: one query instead of one for each."""
        super().__init__(*args, **kwargs)
        self.known = known

    @property
    def person(self) -> Any:
        """The person whom the row is about; None in a row that is to be filled in."""
        return self.known.get(str(self["user"].value()))

    def clean(self) -> None:
        """`person` is who is named; without one the row says nothing."""
        cleaned = self.cleaned_data
        if cleaned.get("user"):
            cleaned["person"] = self.known.get(cleaned["user"])
            if cleaned["person"] is None:
                raise ValidationError(_("This person does not exist any more. Remove the row."))
        elif typed := cleaned.get("add", "").strip():
            try:
                cleaned["person"] = person_called(typed)
            except ValidationError as error:
                raise ValidationError({"add": error.messages}) from error
        elif cleaned.get("until"):
            raise ValidationError({"add": _("Say who.")})


def _rows(form: type[forms.Form]) -> Any:
    return forms.formset_factory(form, can_delete=True, max_num=MOST_ROWS, absolute_max=MOST_ROWS)


class _Nothing(forms.HiddenInput):
    """Never left out: without rows there are no conditions, rather than those there were."""

    def value_omitted_from_data(self, *args: Any) -> bool:
        return False


class SegmentForm(forms.ModelForm):
    """Edits a segment, and says so when somebody else was faster."""

    # Not `version`: the model field is not editable, and this is what the editor saw.
    seen_version = forms.IntegerField(widget=forms.HiddenInput, required=False)
    conditions = forms.Field(required=False, widget=_Nothing)

    class Meta:
        model = Segment
        fields = ["name", "description", "user_type", "conditions"]
        widgets = {"description": forms.Textarea({"rows": 3})}
        labels = {"user_type": gettext_lazy("Base type")}

    def __init__(
        self, data: Any = None, *args: Any, state: State | None = None, **kwargs: Any
    ) -> None:
        """`state` is what the form starts from, when it is not what is stored."""
        super().__init__(data, *args, **kwargs)
        self.stored = Segment.objects.filter(pk=self.instance.pk).first()
        self.initial["seen_version"] = self.instance.version
        self.initial["conditions"] = None
        # Not both: a row that equals the stored one would count as empty, and be left out.
        if data is None and state is None and self.stored is not None:
            state = state_of(self.stored)
        if state is not None:
            for name in ("name", "description", "user_type"):
                self.initial[name] = getattr(state, name)
        self.rows = _rows(ConditionForm)(
            data, prefix="conditions", initial=_initial_conditions(state)
        )
        named = _initial_people(state)
        ids = [row["user"] for row in named] if data is None else _posted_ids(data)
        self.people = _rows(PersonForm)(
            data, prefix="people", initial=named, form_kwargs={"known": people_with(ids)}
        )

    def is_valid(self) -> bool:
        """The form and each of its rows."""
        return all([self.rows.is_valid(), self.people.is_valid(), super().is_valid()])

    def clean_conditions(self) -> list[dict[str, Any]]:
        """The rows as they are stored."""
        return [
            {name: row.cleaned_data[name] for name in ("attribute", "operator", "values")}
            for row in self.rows
            if row.is_valid() and row.cleaned_data.get("values") and not _is_removed(row)
        ]

    @cached_property
    def named(self) -> dict[tuple[Any, str], Any]:
        """(person's id, kind) -> until, for the rows as they are now."""
        return {
            (row.cleaned_data["person"].pk, row.cleaned_data["kind"]): row.cleaned_data["until"]
            for row in self.people
            if row.is_valid() and row.cleaned_data.get("person") and not _is_removed(row)
        }

    def in_force(self, kind: str) -> list[Any]:
        """The ids of the people whom the draft includes or excludes now."""
        now = timezone.now()
        return [
            pk
            for (pk, each), until in self.named.items()
            if each == kind and (until is None or until > now)
        ]

    def clean(self) -> None:
        super().clean()
        edited = self.cleaned_data.get("seen_version")
        if self.stored is not None and edited != self.stored.version:
            self._report_conflict(self.stored)

    def _report_conflict(self, stored: Segment) -> None:
        """Show both versions; what was typed stays, and saving once more is a decision."""
        for name in ("name", "description", "user_type"):
            if self.cleaned_data.get(name) != getattr(stored, name):
                words = _("Stored meanwhile: %s") % (getattr(stored, name) or "–")
                self.add_error(name, words)
        words = _("Stored meanwhile: %s") % sentence_of(stored)
        self.add_error("conditions", words)
        self.add_error(
            None,
            _(
                "Somebody else changed this segment (version %(stored)s) after you opened it "
                "(version %(yours)s). Nothing was saved. Your version is below; save again to "
                "replace the stored one."
            )
            % {"stored": stored.version, "yours": self.cleaned_data.get("seen_version")},
        )
        data: Any = self.data.copy()  # type: ignore[attr-defined]
        data[self.add_prefix("seen_version")] = str(stored.version)
        self.data = data

    # What the draft means ---------------------------------------------------------------------

    @cached_property
    def draft(self) -> Segment:
        """The segment as it would be stored; its members are asked of `members`."""
        draft = Segment(
            pk=self.instance.pk,
            name=self.cleaned_data.get("name", ""),
            user_type=self.cleaned_data.get("user_type") or Segment.SIGNED_IN_USERS,
            # Of the rows: a form with an error elsewhere has no cleaned conditions.
            conditions=self.clean_conditions(),
        )
        draft._state.db = "default"
        return draft

    @property
    def members(self) -> Any:
        """Who would be in the segment now, even if it could not be stored like this."""
        included, excluded = (
            Q(Among("pk", ids))
            for ids in map(self.in_force, (SegmentPerson.INCLUDED, SegmentPerson.EXCLUDED))
        )
        return self.draft.members_with(included, excluded)

    def impact(self) -> Impact:
        """Who joins and who leaves when the form, which is valid, is stored."""
        assert self.stored is not None
        return impact_of(
            self.stored,
            user_type=self.draft.user_type,
            conditions=self.draft.conditions,
            included=self.in_force(SegmentPerson.INCLUDED),
            excluded=self.in_force(SegmentPerson.EXCLUDED),
        )

    @property
    def changes_members(self) -> bool:
        """The base type, the conditions or the people are other than what is stored."""
        stored = self.stored
        assert stored is not None
        return (
            self.draft.user_type != stored.user_type
            or self.draft.conditions != stored.conditions
            or self.named != _stored_people(stored)
        )

    @property
    def widens_later(self) -> list[Any]:
        """Exclusions that end one day, and are not stored like that already."""
        assert self.stored is not None
        known = _stored_people(self.stored)
        return [
            (pk, until)
            for (pk, kind), until in self.named.items()
            if kind == SegmentPerson.EXCLUDED and until and known.get((pk, kind)) != until
        ]

    def said(self) -> list[Any]:
        """What is confirmed with the figures: this draft of this version."""
        people = sorted((str(pk), kind, str(until)) for (pk, kind), until in self.named.items())
        version = self.cleaned_data.get("seen_version")
        return [self.instance.pk, version, self.draft.user_type, self.draft.conditions, people]

    @transaction.atomic
    def store(self) -> Segment:
        """Write the segment and its people, or nothing."""
        segment = self.instance
        segment.save()
        known = _stored_people(segment)
        for (pk, kind), until in self.named.items():
            if (pk, kind) not in known or known[pk, kind] != until:
                SegmentPerson.objects.update_or_create(
                    segment=segment, user_id=pk, kind=kind, defaults={"until": until}
                )
        for pk, kind in known.keys() - self.named.keys():
            SegmentPerson.objects.filter(segment=segment, user=pk, kind=kind).delete()
        return segment


def warnings_of(segment: Segment) -> list[str]:
    """What whoever edits the segment may not have meant, or not know."""
    conditions = check_missing(read_conditions(segment.conditions))
    found = [c.problem for c in conditions if c.problem]
    skipping = [c.skips_staff for c in conditions]
    if conditions and all(skipping) and segment.user_type != Segment.END_USERS:
        found.append(
            _(
                "These conditions do not limit staff, so every agent is in. Choose the base "
                "type “End users” to leave them out."
            )
        )
    if [c.attribute for c in conditions] == ["language"]:
        found.append(_("Language is the only condition: whoever is given this language is in."))
    return found


def _is_removed(row: Any) -> bool:
    return bool(row.cleaned_data.get(DELETION_FIELD_NAME))


def _initial_conditions(state: State | None) -> list[dict[str, Any]]:
    """The stored conditions as rows. One that cannot be read stays a row, so that nothing opens."""
    if state is None:
        return []
    stored = state.conditions if isinstance(state.conditions, list) else [state.conditions]
    rows = []
    for each in stored:
        entry = each if isinstance(each, dict) else {}
        values = entry.get("values")
        rows.append(
            {
                "attribute": str(entry.get("attribute") or "?"),
                "operator": entry.get("operator"),
                "values": values if isinstance(values, list) else [],
            }
        )
    return rows


def _posted_ids(data: Any) -> list[str]:
    return [text for name, text in data.items() if name.endswith("-user")]


def _initial_people(state: State | None) -> list[dict[str, Any]]:
    found = state.people if state is not None else {}
    return [{"user": pk, "kind": kind, "until": until} for (pk, kind), until in found.items()]


def _stored_people(segment: Segment) -> dict[tuple[Any, str], Any]:
    rows = segment.people.order_by("kind", "pk").values_list("user", "kind", "until")
    return {(user, kind): until for user, kind, until in rows}

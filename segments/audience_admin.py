"""Audiences in the admin: picked with an eye on what is above, and changed after their impact.

Nothing that lets more people see something is stored before somebody has seen whom, and said yes.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .choosing import person_called
from .confirmation import is_confirmed, question
from .effects import Admission, Becomes, Effect, Move, effect_of_all, effect_of_moves
from .explain import ancestry
from .forms import NAMES, AudienceField
from .history_pages import audience_ids_then, history_context, moments_since
from .models import Audience, InheritsAudience, Segment
from .moving import admission_of, move_all
from .phrases import counted, kind_and_name, labelled, separated
from .querysets import Among, has_audience
from .recollection import Moment
from .ruleset import viewer_for


class Unconfirmed(Exception):  # noqa: N818  (no error: a question to whoever changes something)
    """A change of audiences or places whose impact has not been confirmed. Nothing is stored."""

    def __init__(self, effect: Effect, before: str, after: str, seen: str) -> None:
        self.effect, self.before, self.after, self.seen = effect, before, after, seen
        super().__init__(after)


def ask(model_admin: Any, request: HttpRequest, asked: Unconfirmed, **more: Any) -> HttpResponse:
    """The page that shows an impact, with all that was sent, to be sent again."""
    words = question(request, asked.effect, asked.seen, asked.effect.widens)
    if not is_admin(request):
        # Who is in a segment is for admins; how many it concerns is for whoever publishes.
        words |= {"gainers": [], "losers": []}
    context = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": _("What this change does"),
        "before": asked.before,
        "after": asked.after,
        "files": [(name, str(file)) for name, file in request.FILES.items()],
        "cancel": request.get_full_path(),
        **words,
        **more,
    }
    return TemplateResponse(request, "admin/segments/audience_impact.html", context)


def is_admin(request: HttpRequest) -> bool:
    """Is the request made by an admin, whom names of segments and people may be shown to?"""
    return viewer_for(request.user).is_admin


class AudiencePicker(admin.ModelAdmin):
    """Foreign keys to audiences are chosen as nobody, everyone or segments."""

    object_history_template = "admin/segments/object_history.html"

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """The picker for audiences; the usual field for everything else."""
        if db_field.remote_field.model is Audience:
            return AudienceField(
                label=capfirst(db_field.verbose_name),
                initial=db_field.get_default(),
                help_text=db_field.help_text,
                with_everyone=issubclass(self.model, InheritsAudience),
            )
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def get_form(self, request: HttpRequest, obj: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The picker also says what is above and already restricts."""
        form = super().get_form(request, obj, *args, **kwargs)
        picker = form.base_fields.get("audience")
        if obj is not None and picker is not None and has_audience(type(obj)):
            picker.help_text = restricted_above(obj, named=is_admin(request))
        if obj is not None and self.may_see_audience(request, obj):
            for name, audience in self._restored(request, obj).items():
                setattr(obj, name, audience)
        return form

    def _restored(self, request: HttpRequest, obj: Any) -> dict[str, Audience]:
        """The audiences to go back to, which the form is filled in with; nothing is stored."""
        if request.method != "GET" or "restore" not in request.GET:
            return {}
        then = audience_ids_then(obj, moments_since(obj, request.GET["restore"]))
        return {name: get_object_or_404(Audience, pk=pk) for name, pk in then.items()}

    def may_see_audience(self, request: HttpRequest, thing: Any) -> bool:
        """Names of segments are content: may this staff member learn who the audience is?"""
        return is_admin(request)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Django's log, and above it who changed the audience, for those who may know it."""
        thing = self.get_object(request, object_id)
        found: dict[str, Any] = {}
        if thing is not None and self.may_see_audience(request, thing):
            name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
            address = reverse(name, args=[thing.pk])
            may_change = self.has_change_permission(request, thing)
            existing = set(map(str, Audience.objects.values_list("pk", flat=True)))

            def way_back(moments: list[Moment], moment: Moment) -> str:
                then = audience_ids_then(thing, [m for m in moments if m.pk > moment.pk])
                can_be = may_change and then and existing.issuperset(then.values())
                return f"{address}?restore={moment.pk}" if can_be else ""

            found = history_context(request, thing, way_back)
        return super().history_view(request, object_id, {**(extra_context or {}), **found})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Store what was confirmed. Unconfirmed is raised where the impact is to be shown first."""
        if change:
            self._require_confirmation(request, obj, form)
        super().save_model(request, obj, form, change)

    def goes_along(self, obj: Any) -> Move | None:
        """What else is put elsewhere when the object, not yet stored, is."""
        return None

    def _require_confirmation(self, request: HttpRequest, obj: Any, form: Any) -> None:
        """For other audiences and for another place: what is above there may restrict less."""
        model, pks = type(obj), frozenset([obj.pk])
        changed = set(form.changed_data)
        picked = [n for n in form.fields if n in changed and _is_audience(form.fields[n])]
        parents = [name for name in getattr(model, "audience_parents", []) if name in changed]
        if not (picked or parents):
            return
        stored = model._base_manager.select_related(*picked, *parents).get(pk=obj.pk)
        moves = [Move(_always(admission_of(getattr(obj, n))), model, pks, n) for n in picked]
        columns = [model._meta.get_field(name).attname for name in parents]
        if columns:
            moves.append(Move(model=model, pks=pks, into={c: getattr(obj, c) for c in columns}))
            moves += filter(None, [self.goes_along(obj)])
        effect = effect_of_all(moves, stored._state.db)
        before, after = (
            separated([*(getattr(each, n) for n in picked), *_places(each, parents)])
            for each in (stored, obj)
        )
        # Not by the ids of the audiences: asking undoes the new one, which gets another id then.
        whom = [sorted(admission_of(getattr(obj, n)) or ()) for n in picked]
        seen = effect.fingerprint(obj.pk, whom, [getattr(obj, c) for c in columns], before, after)
        if not is_confirmed(request, seen, effect.widens):
            raise Unconfirmed(effect, before, after, seen)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As usual; a change of audiences is shown with its impact before it is stored."""
        try:
            # Of its own: what was written before the question was asked is undone.
            with transaction.atomic():
                response = super().changeform_view(request, *args, **kwargs)
        except Unconfirmed as asked:
            return ask(self, request, asked)
        if request.method == "GET" and "restore" in request.GET:
            words = _("The form says who saw it then. Nothing is stored until you save.")
            messages.info(request, words)
        return response


def _is_audience(form_field: Any) -> bool:
    return isinstance(form_field, AudienceField)


def _places(thing: Any, parents: list[str]) -> list[str]:
    """Where a thing lies, in words: “section: First days”."""
    options = type(thing)._meta
    return [labelled(options.get_field(n).verbose_name, getattr(thing, n) or "–") for n in parents]


def _always(admission: Admission) -> Becomes:
    return lambda _old: admission


def restricted_above(thing: Any, named: bool) -> str:
    """What the ancestors of a thing already restrict, in words.

    Whom they are shown to is `named` to admins only: others may publish the thing, not those.
    """
    above = [each for each in ancestry(thing)[:-1] if has_audience(type(each))]
    limits = [
        labelled(kind_and_name(each), each.audience) if named else kind_and_name(each)
        for each in above
        if each.audience_id != Audience.EVERYONE
    ]
    if not limits:
        return _("Nothing above restricts it further.")
    return _("What is above restricts it, too: %s.") % separated(limits)


# Many at once -------------------------------------------------------------------------------------


class BulkAudienceForm(forms.Form):
    """What happens to the audiences of many things."""

    HOW = [
        ("replace", gettext_lazy("Show them to exactly these")),
        ("add", gettext_lazy("Show them to these segments, too")),
        ("remove", gettext_lazy("No longer show them to these segments")),
    ]
    how = forms.ChoiceField(label=gettext_lazy("What to do"), choices=HOW)
    audience = AudienceField(label=gettext_lazy("Audience"))

    @cached_property
    def chosen(self) -> Admission:
        """Whom the picked audience admits."""
        return admission_of(self.cleaned_data["audience"])

    def becomes(self, admission: Admission) -> Admission:
        """What one audience turns into. Nothing widens but by `add` and `replace`."""
        chosen = self.chosen
        if self.cleaned_data["how"] == "replace":
            return chosen
        if admission is None or chosen is None:
            return admission
        if self.cleaned_data["how"] == "add":
            return admission | chosen
        return admission - chosen

    def clean(self) -> None:
        audience = self.cleaned_data.get("audience")
        fixed = audience is not None and audience.pk in (Audience.NOBODY, Audience.EVERYONE)
        if fixed and self.cleaned_data.get("how") != "replace":
            words = _("Choose segments; nobody and everyone can only replace what there is.")
            raise ValidationError({"audience": words})


class ChangesAudiences(AudiencePicker):
    """A list whose audiences are changed many at once, and that can be filtered by them."""

    actions = ["change_audience"]

    def whose_audience_may_change(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Those of the rows whose audience this member of staff may change."""
        return rows if is_admin(request) else rows.none()

    @admin.action(description=gettext_lazy("Change who sees them"), permissions=["change"])
    def change_audience(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        """Add, remove or replace the audience of many things, after its impact was seen.

        After None Django goes back to the list.
        """
        rows = rows.model._base_manager.filter(pk__in=rows.order_by().values("pk"))
        allowed = self.whose_audience_may_change(request, rows).values("pk")
        if missing := rows.exclude(pk__in=allowed).count():
            words = _("You may not change who sees %d of them. Nothing was changed.")
            messages.error(request, words % missing)
            return None
        form = BulkAudienceForm(request.POST if "how" in request.POST else None)
        if not form.is_valid():
            return self._choose(request, rows, form)
        pks = list(rows.values_list("pk", flat=True))
        chosen = rows.model._base_manager.filter(Among("pk", pks))
        effect = effect_of_moves(chosen, {"audience": form.becomes})
        how = dict(form.fields["how"].choices)[form.cleaned_data["how"]]  # type: ignore[attr-defined]
        after = labelled(how, form.cleaned_data["audience"])
        seen = effect.fingerprint(sorted(pks), after)
        if not is_confirmed(request, seen, effect.widens):
            before = counted(len(pks), self.opts.verbose_name_plural)
            return ask(self, request, Unconfirmed(effect, before, after, seen))
        changed = move_all(chosen, form.becomes)
        words = _("Who sees them has changed for %(changed)d of %(all)d.")
        messages.success(request, words % {"changed": changed, "all": len(pks)})
        return None

    def _choose(
        self, request: HttpRequest, rows: QuerySet[Any], form: BulkAudienceForm
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Change who sees them"),
            "count": rows.count(),
            "form": form,
            "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
            "across": request.POST.get("select_across", "0"),
        }
        return TemplateResponse(request, "admin/segments/bulk_audience.html", context)


class AudienceFilter(admin.SimpleListFilter):
    """By whom the own audience of a thing names."""

    title = gettext_lazy("shown to")
    parameter_name = "shown_to"
    template = "admin/segments/audience_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("everyone", _("Everyone")),
            ("segments", _("Segments")),
            ("nobody", _("Nobody")),
        ]

    def choices(self, changelist: Any) -> Any:
        """The usual ones as links; the segments, of which there may be many, in a form."""
        self.others = {k: v for k, v in changelist.params.items() if k != self.parameter_name}
        return super().choices(changelist)

    def segments(self) -> list[tuple[str, str]]:
        """What the form offers."""
        return [(str(s.pk), str(s)) for s in Segment.objects.assignable().only(*NAMES)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        fixed = {"everyone": Audience.EVERYONE, "nobody": Audience.NOBODY}
        if value is None:
            return queryset
        if value in fixed:
            return queryset.filter(audience=fixed[value])
        if value == "segments":
            return queryset.exclude(audience__in=fixed.values())
        if not value.isdecimal() or len(value) > 18:
            return queryset.none()
        return queryset.filter(audience__in=Audience.objects.filter(segments=int(value)))


class SeenByFilter(admin.SimpleListFilter):
    """By what one person can see."""

    title = gettext_lazy("visible to this person")
    parameter_name = "seen_by"
    template = "admin/segments/seen_by_filter.html"
    problem = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        # One entry, so that Django shows the filter at all: the person is typed.
        return [("", "")]

    def choices(self, changelist: Any) -> Any:
        """The other filters, which the form has to keep."""
        others = {k: v for k, v in changelist.params.items() if k != self.parameter_name}
        yield {"others": others, "value": self.value() or "", "problem": self.problem}

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if not self.value():
            return queryset
        try:
            person = person_called(str(self.value()))
        except ValidationError as error:
            self.problem = error.messages[0]
            return queryset.none()
        return queryset.filter(
            pk__in=queryset.model._default_manager.visible_to(person).values("pk")
        )

"""The pages that manage segments. All of them are for those whom the project lets manage them.

Without JavaScript every button sends the whole form; with htmx (where the site's
`admin/segments/scripts.html` loads it) only the part that changes is drawn anew.
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import nsmallest
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .attributes import attributes
from .choosing import searched, suggest, suggest_people
from .confirmation import is_confirmed, question, titled
from .effects import SHOWN_AT_MOST, effect_of_draft, effect_of_replacing
from .history_pages import history_context, number_in
from .models import Segment
from .moving import replace_segment
from .phrases import counted
from .recollection import Moment, State, moments_of
from .refusing import RefusesGracefully
from .segment_form import SegmentForm, warnings_of
from .segment_list import SegmentList, count_members
from .wording import sentence_of

LISTED_USES = 100


class ReplaceForm(forms.Form):
    """Which segment takes the place of one that is deleted."""

    by = forms.ModelChoiceField(
        Segment.objects.none(),
        label=gettext_lazy("Replace by"),
        error_messages={"required": gettext_lazy("Choose the segment that takes its place.")},
    )

    def __init__(self, segment: Segment, *args: Any) -> None:
        super().__init__(*args)
        others = Segment.objects.assignable().exclude(pk=segment.pk)
        self.fields["by"].queryset = others  # type: ignore[attr-defined]


@admin.register(Segment)
class SegmentAdmin(RefusesGracefully):
    """Segments: the list, the form with its preview, the impact of a change, deletion."""

    object_history_template = "admin/segments/object_history.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Without the placeholders, which mean nothing to somebody who chooses an audience."""
        rows: Any = super().get_queryset(request)
        return rows.assignable()

    def get_urls(self) -> list[Any]:
        """Django's pages, and what the form asks while somebody types."""

        def at(route: str, view: Any, name: str) -> Any:
            return path(route, self.admin_site.admin_view(view), name=f"segments_segment_{name}")

        own = [
            at("suggest/", self.suggest_view, "suggest"),
            at("draft/", self.draft_view, "draft"),
            at("<path:object_id>/draft/", self.draft_view, "draft"),
            at("<path:object_id>/count/", self.count_view, "count"),
        ]
        return own + super().get_urls()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes built-in segments."""
        return not (obj and obj.built_in) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes built-in segments."""
        return not (obj and obj.built_in) and super().has_delete_permission(request, obj)

    # The list ---------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Every segment with who is in it, where it is used and who changed it last."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        shown = SegmentList(request)
        return self._page(request, "list", _("User segments"), {"list": shown, "form": shown.form})

    def count_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """How many members one segment has: for a list that did not wait for it."""
        segment = self._segment(request, object_id)
        words = {"row": {"segment": segment, "members": count_members(segment)}}
        return TemplateResponse(request, "admin/segments/segment/members.html", words)

    # The form ---------------------------------------------------------------------------------

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """The form of a segment. A change of who is in it shows its impact before it is stored."""
        segment = self._segment_or_none(request, object_id)
        if segment is not None and segment.built_in:
            return self._built_in(request, segment)
        if request.method != "POST":
            return self._form(request, SegmentForm(instance=segment, state=_past(request, segment)))
        form = SegmentForm(request.POST, instance=segment)
        if "_draft" in request.POST or not form.is_valid():
            return self._form(request, form)
        if form.stored is not None and form.changes_members:
            return self._after_confirmation(request, form, form.stored)
        return self._stored(request, form)

    def draft_view(self, request: HttpRequest, object_id: str | None = None) -> HttpResponse:
        """What the form would mean as it is typed: its rows drawn anew, and the preview."""
        segment = self._segment_or_none(request, object_id)
        if request.method != "POST" or (segment is not None and segment.built_in):
            raise Http404
        form = SegmentForm(request.POST, instance=segment)
        part = "form_part" if "_draft" in request.POST else "preview"
        return self._form(request, form, f"admin/segments/segment/{part}.html")

    def suggest_view(self, request: HttpRequest) -> HttpResponse:
        """Options for what is being typed in one row: `row` says in which. Or for a `person`."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        row = request.GET.get("row", "")
        typed = request.GET.get(f"{row}-add") or request.GET.get("person", "")
        text = typed.strip()[:200].replace("\0", "")
        attribute = attributes().get(request.GET.get(f"{row}-attribute", ""))
        if attribute is not None:
            options = [(name, "") for name in suggest(attribute, text, request)]
        else:
            options = suggest_people(text, request) if row.startswith("people-") else []
        return TemplateResponse(
            request, "admin/segments/segment/options.html", {"options": options}
        )

    def _segment(self, request: HttpRequest, object_id: str) -> Segment:
        if not self.has_view_permission(request):
            raise PermissionDenied
        segment = self.get_queryset(request).filter(pk=number_in(object_id)).first()
        if segment is None:
            raise Http404
        return segment

    def _segment_or_none(self, request: HttpRequest, object_id: str | None) -> Segment | None:
        if object_id is None:
            if not self.has_add_permission(request):
                raise PermissionDenied
            return None
        segment = self._segment(request, object_id)
        if not segment.built_in and not self.has_change_permission(request, segment):
            raise PermissionDenied
        return segment

    def _form(
        self, request: HttpRequest, form: SegmentForm, template: str = "form"
    ) -> HttpResponse:
        if form.is_bound:
            form.is_valid()
        segment = form.stored
        title = _("Change %s") % segment if segment else _("New segment")
        found = {"form": form, "segment": segment, "preview": self._preview(request, form)}
        # Afterwards: the preview is of what was typed, which the new rows know nothing of.
        if "_draft" in request.POST:
            _show_typed_as_rows(form)
        return self._page(request, template, title, found)

    def _preview(self, request: HttpRequest, form: SegmentForm) -> dict[str, Any]:
        """Who would be in now; without anything typed yet, who is."""
        if not form.is_bound and form.stored is None:
            return {"count": 0, "people": [], "warnings": [], "sentence": ""}
        if form.is_bound:
            members, segment = form.members, form.draft
        else:
            assert form.stored is not None
            members, segment = form.stored.members(), form.stored
        sentence, warnings = sentence_of(segment), warnings_of(segment)
        count = members.count()
        if not count:
            warnings = [_("Nobody is in this segment."), *warnings]
        wanted = request.POST.get("search", "").strip().replace("\0", "")
        people = searched(members, wanted, request)
        return {
            "count": count,
            "people": people.order_by("pk")[:SHOWN_AT_MOST],
            "warnings": warnings,
            "sentence": sentence,
            "search": wanted,
        }

    def _built_in(self, request: HttpRequest, segment: Segment) -> HttpResponse:
        if request.method == "POST":
            raise PermissionDenied
        members = segment.members()
        found = {"segment": segment, "sentence": sentence_of(segment), "count": members.count()}
        return self._page(request, "built_in", str(segment), found)

    # Impact -----------------------------------------------------------------------------------

    def _after_confirmation(
        self, request: HttpRequest, form: SegmentForm, stored: Segment
    ) -> HttpResponse:
        """Store what was confirmed as it is now; otherwise show what it would do."""
        effect = effect_of_draft(stored, form.impact().after)
        widens = effect.widens or bool(form.widens_later) or bool(effect.joins)
        seen = effect.fingerprint(*form.said(), len(effect.joins), len(effect.leaves))
        if is_confirmed(request, seen, widens):
            return self._stored(request, form)
        found = {
            "segment": stored,
            "before": sentence_of(stored),
            "after": sentence_of_draft(form),
            "joins": {"count": len(effect.joins), "people": _first(effect.joins)},
            "leaves": {"count": len(effect.leaves), "people": _first(effect.leaves)},
            "ends": form.widens_later,
            "can_go_back": True,
            **question(request, effect, seen, widens),
        }
        return self._page(request, "impact", _("What this change does"), found)

    def _stored(self, request: HttpRequest, form: SegmentForm) -> HttpResponse:
        try:
            with transaction.atomic():
                segment = form.store()
        except ValidationError as error:
            form.add_error(None, error.messages)
            return self._form(request, form)
        words = _("%s is stored.") % segment
        messages.success(request, words)
        if "_continue" in request.POST:
            address = reverse("admin:segments_segment_change", args=[segment.pk])
            return HttpResponseRedirect(address)
        return HttpResponseRedirect(reverse("admin:segments_segment_changelist"))

    # Deletion ---------------------------------------------------------------------------------

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Delete a segment that nothing uses, or put another one in its place everywhere."""
        segment = self._segment_or_none(request, object_id)
        if segment is None or not self.has_delete_permission(request, segment):
            raise PermissionDenied
        uses = segment.uses()
        form = ReplaceForm(segment, request.POST if "by" in request.POST else None)
        if request.method == "POST" and not uses:
            segment.delete()
            messages.success(request, _("%s is deleted.") % segment)
            return HttpResponseRedirect(reverse("admin:segments_segment_changelist"))
        if form.is_bound and form.is_valid():
            return self._replaced(request, segment, form.cleaned_data["by"])
        found = {"segment": segment, "uses": [_listed(rows) for rows in uses], "form": form}
        return self._page(request, "delete", _("Delete %s") % segment, found)

    def _replaced(self, request: HttpRequest, segment: Segment, by: Segment) -> HttpResponse:
        """Replace and delete in one transaction, after the impact was seen. Never wider."""
        effect = effect_of_replacing(segment, by)
        seen = effect.fingerprint(segment.pk, segment.version, by.pk, by.version)
        if not effect.widens and is_confirmed(request, seen, widens=False):
            replace_segment(segment, by)
            words = _("%(by)s takes the place of %(segment)s, which is deleted.")
            messages.success(request, words % {"by": by, "segment": segment})
            return HttpResponseRedirect(reverse("admin:segments_segment_changelist"))
        found = {
            "segment": segment,
            "before": sentence_of(segment),
            "after": sentence_of(by),
            "refused": effect.widens,
            "cancel": reverse("admin:segments_segment_change", args=[segment.pk]),
            **question(request, effect, seen, effect.widens),
        }
        return self._page(request, "impact", _("What this change does"), found)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """What changed from what to what, two moments compared, and the way back to one."""
        segment = self._segment(request, object_id)
        address = reverse("admin:segments_segment_change", args=[segment.pk])
        can_restore = self.has_change_permission(request, segment)

        def way_back(_moments: Any, moment: Moment) -> str:
            return f"{address}?restore={moment.pk}" if can_restore else ""

        found = {"segment": segment, **history_context(request, segment, way_back)}
        return self._page(request, "history", _("History of %s") % segment, found)

    def _page(
        self, request: HttpRequest, template: str, title: str, found: dict[str, Any]
    ) -> HttpResponse:
        if "/" not in template:
            template = f"admin/segments/segment/{template}.html"
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "has_add_permission": self.has_add_permission(request),
            **found,
        }
        return TemplateResponse(request, template, context)


def _first(pks: Collection[Any]) -> QuerySet[Any]:
    people = get_user_model()._base_manager.order_by("pk")
    return people.filter(pk__in=nsmallest(SHOWN_AT_MOST, pks))


def _past(request: HttpRequest, segment: Segment | None) -> State | None:
    """What the segment was at the moment to go back to; 404 when there was no such moment."""
    if segment is None or "restore" not in request.GET:
        return None
    wanted = number_in(request.GET["restore"])
    for moment in moments_of(segment):
        if moment.pk == wanted:
            return moment.state
    raise Http404


def sentence_of_draft(form: SegmentForm) -> str:
    """Who would be in, with the people of the draft counted."""
    words = sentence_of(form.draft)
    if not form.named:
        return words
    named = len(form.named)
    said = ngettext("%(who)s; %(count)d person by name", "%(who)s; %(count)d people by name", named)
    return said % {"who": words, "count": named}


def _listed(rows: QuerySet[Any]) -> dict[str, Any]:
    """One kind of use: how many, and the first hundred with their addresses in the admin."""
    options = rows.model._meta
    page = Paginator(titled(rows), LISTED_USES).page(1)
    count = page.paginator.count
    return {
        "words": counted(
            count, options.verbose_name if count == 1 else options.verbose_name_plural
        ),
        "more": count - len(page.object_list),
        "rows": [(str(row), _change_address(row)) for row in page.object_list],
    }


def _change_address(row: Any) -> str:
    if type(row) not in admin.site._registry:
        return ""
    options = row._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[row.pk])


def _show_typed_as_rows(form: SegmentForm) -> None:
    """Draw sound rows as if they had come from the database, and a fresh one below them."""
    if not (form.rows.is_valid() and form.people.is_valid()):
        return
    kept = [row.cleaned_data for row in form.rows if row.cleaned_data.get("values")]
    named = [row.cleaned_data for row in form.people if row.cleaned_data.get("person")]
    form.rows = type(form.rows)(
        prefix="conditions", initial=[each for each in kept if not each.get("DELETE")]
    )
    known = {str(each["person"].pk): each["person"] for each in named}
    form.people = type(form.people)(
        prefix="people",
        form_kwargs={"known": known},
        initial=[
            {**each, "user": str(each["person"].pk)} for each in named if not each.get("DELETE")
        ],
    )

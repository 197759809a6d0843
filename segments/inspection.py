"""Who can see this, what can this person see, and why: pages of the admin, for admins only.

Nothing is decided here: `reach_of`, `visible_to` and `explain` are asked, and what they say is
shown in pages, can be searched, and can be had as CSV.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, Q, QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .audience_admin import Unconfirmed, ask, is_admin
from .choosing import person_called, searched
from .confirmation import is_confirmed
from .explain import explain
from .history_pages import history_context, moments_since
from .models import Change, Restricted, Segment, read_together
from .person_changes import effect_between, put_back, viewer_now
from .phrases import labelled, separated
from .reach import reach_of
from .recollection import Moment, changes_in_words
from .segment_list import uses_by_kind

PER_PAGE = 50
# So many lines are sent at once to whoever fetches a long list part by part.
PART = 5000
# The first characters by which a spreadsheet takes a text for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class PersonField(forms.CharField):
    """A person by user name (an e-mail address), by exact name, or nothing for a visitor."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value).strip()
        return person_called(text) if text else AnonymousUser()


class ExplainForm(forms.Form):
    """For whom something is explained."""

    person = PersonField(
        label=gettext_lazy("Person"),
        required=False,
        max_length=300,
        widget=forms.TextInput({"size": 36, "list": "people", "autocomplete": "off"}),
        help_text=gettext_lazy(
            "An e-mail address or an exact name. Empty means a visitor who is not signed in."
        ),
    )


class Inspects(admin.ModelAdmin):
    """Adds pages about one object to its admin: for admins, and refused to all others alike."""

    change_form_template = "admin/segments/inspected_change_form.html"
    # One sentence on the form of an object: what is decided there.
    decides: Any = ""

    def inspected(self, request: HttpRequest, object_id: str) -> Any:
        """The object. Permission comes before existence: else the answer would tell of it."""
        if not is_admin(request):
            raise PermissionDenied
        thing = self.get_object(request, object_id)
        if thing is None:
            raise Http404
        return thing

    def at(self, route: str, view: Callable[..., Any], name: str) -> Any:
        """One address below that of the object."""
        options = self.opts
        full = f"{options.app_label}_{options.model_name}_{name}"
        return path(f"<path:object_id>/{route}/", self.admin_site.admin_view(view), name=full)

    def address_of(self, name: str, thing: Any) -> str:
        """The address of one of these pages."""
        options = self.opts
        return reverse(f"admin:{options.app_label}_{options.model_name}_{name}", args=[thing.pk])

    def tools(self, thing: Any) -> list[tuple[str, str]]:
        """(address, words) of the pages about the object."""
        return []

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """With links to the pages, for those who may open them."""
        thing = context.get("original")
        context["tools"] = self.tools(thing) if thing is not None and is_admin(request) else []
        context["decides"] = self.decides
        return super().render_change_form(request, context, *args, **kwargs)

    def page(self, request: HttpRequest, template: str, thing: Any, **found: Any) -> HttpResponse:
        """One page about the object."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "thing": thing,
            "back": self.address_of("change", thing),
            **found,
        }
        return TemplateResponse(request, f"admin/segments/{template}.html", context)


def listing(request: HttpRequest, rows: QuerySet[Any], site: admin.AdminSite) -> dict[str, Any]:
    """The rows that were searched for, one page of them, for the template."""
    text = request.GET.get("q", "").strip()[:200]
    rows = searched(rows, text, request, site)
    page = Paginator(rows, PER_PAGE).get_page(request.GET.get("p"))
    query = request.GET.copy()
    query.pop("p", None)
    return {"page": page, "q": text, "query": query.urlencode(), "export": query.urlencode()}


def as_csv(
    request: HttpRequest,
    rows: QuerySet[Any],
    head: list[str],
    line: Callable[[Any], list[str]],
    name: str,
) -> HttpResponse:
    """The rows as CSV: all of them, or with `after` the next few thousand behind that id.

    `X-Next` says where the next part begins; without it there is none. Each part is a request of
    its own, which obeys the rule anew.
    """
    after = request.GET.get("after")
    response: Any
    if after is None:
        lines = _lines(rows.iterator(PART), head, line)
        response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    else:
        part = _part(rows, after)
        text = "".join(_lines(iter(part[:PART]), head if after == "" else [], line))
        response = HttpResponse(text, content_type="text/csv; charset=utf-8")
        if len(part) > PART:
            response["X-Next"] = str(part[PART - 1].pk)
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response


def _part(rows: QuerySet[Any], after: str) -> list[Any]:
    if after:
        try:
            rows = rows.filter(pk__gt=after)
        except (ValueError, ValidationError) as error:
            raise Http404 from error
    return list(rows[: PART + 1])


def _lines(rows: Any, head: list[str], line: Callable[[Any], list[str]]) -> Iterator[str]:
    if head:
        yield _line(head)
    for row in rows:
        yield _line(line(row))


def _line(cells: list[str]) -> str:
    out = io.StringIO()
    # A cell that a spreadsheet would calculate becomes one that it shows.
    safe = [f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells]
    csv.writer(out).writerow(safe)
    return out.getvalue()


class ExplainsAccess(Inspects):
    """For content: who can see it, and why somebody can or cannot."""

    decides = gettext_lazy(
        "The audience decides who can see this. What is above can only narrow it."
    )
    REASONS = {
        "members": gettext_lazy("By segments"),
        "editors": gettext_lazy("By the right to edit"),
        "admins": gettext_lazy("Admins, who see everything"),
    }

    def get_urls(self) -> list[Any]:
        """Django's pages, and those about who can see an object."""
        return [
            self.at("who-can-see", self.who_can_see, "who_can_see"),
            self.at("who-can-see-csv", self.who_can_see_csv, "who_can_see_csv"),
            self.at("explain", self.explain_view, "explain"),
            *super().get_urls(),
        ]

    def tools(self, thing: Any) -> list[tuple[str, str]]:
        """Links on the form of the object."""
        return [
            (self.address_of("who_can_see", thing), _("Who can see this")),
            (self.address_of("explain", thing), _("Explain")),
        ]

    def who_can_see(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Everybody who can see the object, by why they can."""
        thing = self.inspected(request, object_id)
        reach, why = reach_of(thing), self._why(request)
        groups = [
            {"name": name, "words": words, "count": getattr(reach, name).count()}
            for name, words in self.REASONS.items()
        ]
        return self.page(
            request,
            "who_can_see",
            thing,
            title=_("Who can see “%s”") % thing,
            is_public=reach.is_public,
            groups=groups,
            why=why,
            csv=self.address_of("who_can_see_csv", thing),
            **listing(request, getattr(reach, why), self.admin_site),
        )

    def who_can_see_csv(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The same as a file."""
        thing = self.inspected(request, object_id)
        why = self._why(request)
        text = request.GET.get("q", "").strip()[:200]
        rows = searched(getattr(reach_of(thing), why), text, request, self.admin_site)
        head, reason = [_("Person"), _("User name"), _("Why")], str(self.REASONS[why])
        return as_csv(
            request,
            rows,
            head,
            lambda person: [str(person), str(person.get_username()), reason],
            f"who-can-see-{thing.pk}",
        )

    def _why(self, request: HttpRequest) -> str:
        why = request.GET.get("why", "members")
        return why if why in self.REASONS else "members"

    def explain_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Why somebody can, or cannot, see the object."""
        thing = self.inspected(request, object_id)
        form = ExplainForm(request.GET if "person" in request.GET else None)
        explanation = None
        others: dict[Any, dict[str, Any]] = {}
        if form.is_bound and form.is_valid():
            explanation = explain(form.cleaned_data["person"], thing)
            others = _others([r.segment for level in explanation.chain for r in level.segments])
        return self.page(
            request,
            "explain",
            thing,
            title=_("Who sees “%s”, and why") % thing,
            form=form,
            explanation=explanation,
            others=others,
        )


def _others(segments: list[Segment]) -> dict[Any, dict[str, Any]]:
    """Segment id -> how many people, and what else, a change of the segment would concern."""
    together = read_together({segment.pk: segment for segment in segments}.values())
    people = get_user_model()._base_manager.aggregate(
        **{
            f"in_{each.pk}": Count("pk", filter=Q(pk__in=each.members().values("pk")))
            for each in together
        }
    )
    uses = uses_by_kind(together)
    return {
        each.pk: {"people": people[f"in_{each.pk}"], "uses": uses.get(each.pk, [])}
        for each in together
    }


class Was:
    """What a person was to the rule, and the newest change of them, before something is changed."""

    def __init__(self, person: Any) -> None:
        self.viewer = viewer_now(person)
        self.newest = Change.objects.of(person).values_list("pk", flat=True).first() or 0


class PersonAccess(Inspects):
    """For people: what one of them can see, and what a change of them does to it."""

    decides = gettext_lazy(
        "What is stored here decides which segments the person is in, and so what they can see."
    )

    def get_urls(self) -> list[Any]:
        """Django's pages, and those about what a person can see."""
        return [
            self.at("can-see", self.can_see, "can_see"),
            self.at("can-see-csv", self.can_see_csv, "can_see_csv"),
            self.at("go-back", self.go_back, "go_back"),
            *super().get_urls(),
        ]

    object_history_template = "admin/segments/object_history.html"

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """Django's log, and above it what changed of what decides what the person sees."""
        person = self.inspected(request, object_id)
        address = self.address_of("go_back", person)

        def way_back(moments: list[Moment], moment: Moment) -> str:
            return address if moment is not moments[0] else ""

        found = history_context(request, person, way_back) | {"by_post": True}
        return super().history_view(request, object_id, {**(extra_context or {}), **found})

    def go_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make the person again what they were at a moment, after the impact was seen."""
        person = self.inspected(request, object_id)
        # Of what is sent only: an address that is followed names no moment, and is not found.
        since = moments_since(person, request.POST.get("moment", ""))
        history = self.address_of("history", person)
        was = Was(person)
        try:
            with transaction.atomic():
                put_back(person, since)
                self._require_confirmation(request, person, was)
        except Unconfirmed as asked:
            return ask(self, request, asked, cancel=history, own_rights=True)
        words = _("%s is as they were then; what is gone since could not come back.") % person
        messages.success(request, words)
        return HttpResponseRedirect(history)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As usual; what the person sees more or less of is shown before it is stored."""
        try:
            # Of its own: the change has been made when the question is asked, and is undone.
            with transaction.atomic():
                return super().changeform_view(request, *args, **kwargs)
        except Unconfirmed as asked:
            return ask(self, request, asked, own_rights=True)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """As usual; what the person was is kept, to be compared."""
        if change:
            obj.was = Was(obj)
        super().save_model(request, obj, form, change)

    def response_change(self, request: HttpRequest, obj: Any) -> Any:
        """As usual. Everything is written by now, and not yet said to be stored."""
        if not effect_between(obj, obj.was.viewer, viewer_now(obj)).changes_nothing:
            self._require_confirmation(request, obj, obj.was)
        return super().response_change(request, obj)

    def _require_confirmation(self, request: HttpRequest, person: Any, was: Was) -> None:
        effect = effect_between(person, was.viewer, viewer_now(person))
        rows = changes_in_words(person, Change.objects.of(person).filter(pk__gt=was.newest))
        before, after = (separated(labelled(row[0], row[side]) for row in rows) for side in (1, 2))
        seen = effect.fingerprint(person.pk, before, after)
        if not is_confirmed(request, seen, effect.widens):
            raise Unconfirmed(effect, before or "–", after or "–", seen)

    def tools(self, thing: Any) -> list[tuple[str, str]]:
        """A link on the form of the person."""
        return [(self.address_of("can_see", thing), _("What this person can see"))]

    def can_see(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Everything of one kind that the person can see now."""
        person = self.inspected(request, object_id)
        kinds = self._kinds()
        kind = self._kind(request)
        rows = self._rows(person, kinds[kind])
        return self.page(
            request,
            "can_see",
            person,
            title=_("What %s can see") % person,
            kinds=[(name, model._meta.verbose_name_plural) for name, model in kinds.items()],
            kind=kind,
            csv=self.address_of("can_see_csv", person),
            explain=f"admin:{kinds[kind]._meta.app_label}_{kinds[kind]._meta.model_name}_explain",
            username=person.get_username(),
            **listing(request, rows, self.admin_site),
        )

    def can_see_csv(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The same as a file."""
        person = self.inspected(request, object_id)
        model = self._kinds()[self._kind(request)]
        text = request.GET.get("q", "").strip()[:200]
        rows = searched(self._rows(person, model), text, request, self.admin_site)
        head = [_("Id"), str(model._meta.verbose_name)]
        name = f"visible-to-{person.pk}"
        return as_csv(request, rows, head, lambda row: [str(row.pk), str(row)], name)

    def _kinds(self) -> dict[str, Any]:
        """The kinds of content that the admin knows, the largest first."""
        found = [
            model
            for model in self.admin_site._registry
            if issubclass(model, Restricted) and not model._meta.proxy
        ]
        # What holds nothing else comes first: mostly that is what somebody asks for.
        found.sort(key=lambda model: model.audience_passes_ids)
        return {model._meta.label_lower: model for model in found}

    def _kind(self, request: HttpRequest) -> str:
        kinds = self._kinds()
        kind = request.GET.get("kind", "")
        return kind if kind in kinds else next(iter(kinds))

    def _rows(self, person: Any, model: Any) -> Any:
        rows = model._default_manager.visible_to(person)
        return rows.titled() if hasattr(rows, "titled") else rows

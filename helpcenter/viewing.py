"""View as: staff see the help center's pages as somebody else does, and can change nothing there.

Only pages below /hc are shown like that; the admin and the API stay those of the real person. Never
upwards: admins view as anybody but other admins, other staff as end users and visitors, and what
they are shown is what both may see. Each time is recorded as a `Viewing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_out
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now
from django.dispatch import receiver
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from accounts.models import Role
from segments.attributes import attributes, made_up
from segments.choosing import person_called, value_called
from segments.phrases import joined
from segments.ruleset import RulesUnavailable, Viewer, current_ruleset, viewer_for
from segments.snapshot import SAFE_METHODS

from .models import Viewing

SESSION_KEY = "view_as"
# It ends by itself after so many seconds.
LASTS = 3600
PAGES = "/hc"
VISITOR = "visitor"
# The attributes that other staff than admins may make up.
FOR_ALL_STAFF = {"language"}


@dataclass(frozen=True)
class Seen(Viewer):
    """As whom a page is shown: the viewer of the rule, and what templates ask of a user."""

    words: str = ""
    is_visitor: bool = False

    is_active = True
    is_superuser = False

    def __str__(self) -> str:
        return self.words

    @property
    def is_authenticated(self) -> bool:
        """Whether the pages greet somebody who is signed in."""
        return not self.is_visitor

    @property
    def is_anonymous(self) -> bool:
        """The opposite, as Django asks for both."""
        return self.is_visitor


def view_as(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Any:
    """Middleware, after the authentication: pages are shown as the session says."""

    def middleware(request: Any) -> HttpResponseBase:
        seen = seen_in(request)
        if seen is None:
            return get_response(request)
        if request.method not in SAFE_METHODS:
            words = _("While you view as somebody else nothing can be changed.")
            return HttpResponse(words, "text/plain; charset=utf-8", 403)
        request.viewing, request.user = request.user, seen
        # What a cache or a validator knows was said to somebody else.
        for name in ("HTTP_IF_NONE_MATCH", "HTTP_IF_MODIFIED_SINCE"):
            request.META.pop(name, None)
        response = get_response(request)
        response.headers["Cache-Control"] = "private, no-store"
        for name in ("ETag", "Last-Modified"):
            response.headers.pop(name, None)
        return response

    return middleware


def seen_in(request: Any) -> Seen | None:
    """As whom this page is to be shown; None where the real person sees it themselves."""
    if not (request.path_info == PAGES or request.path_info.startswith(f"{PAGES}/")):
        return None
    # Without a session's cookie nothing is read at all.
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return None
    state = request.session.get(SESSION_KEY)
    if state is None:
        return None
    seen = _seen_by_state(request, state)
    if seen is None:
        # Ended for good. A safe request cannot write before its snapshot has ended. (The session
        # is empty already if it was found out to be over itself.)
        request.session.pop(SESSION_KEY, None)
        transaction.on_commit(lambda: _record_end(state))
    return seen


def _seen_by_state(request: Any, state: Any) -> Seen | None:
    if not isinstance(state, dict) or not _is_in_force(state.get("record")):
        return None
    real = request.user
    if not real.is_authenticated or str(real.pk) != state.get("by"):
        return None
    return seen_by(viewer_for(real), state.get("person"), state.get("profile"))


def _is_in_force(record: Any) -> bool:
    """The viewing has not ended, by the database's clock, which all processes share."""
    began = Now() - timedelta(seconds=LASTS)
    rows = Viewing.objects.filter(ended_at=None, started_at__gt=began)
    return isinstance(record, int) and rows.filter(pk=record).exists()


def seen_by(real: Viewer, person: Any, profile: Any) -> Seen | None:
    """The person or the made-up profile as the real viewer may see them; None when they may not."""
    try:
        if person:
            return _seen_person(real, person)
        return _seen_profile(real, profile or {})
    except RulesUnavailable:
        return None


def _seen_person(real: Viewer, pk: str) -> Seen | None:
    people = get_user_model()._base_manager
    found = people.filter(pk=pk, is_active=True).first()
    if found is None:
        return None
    return _narrowed(real, viewer_for(found), str(found), is_visitor=False)


def _seen_profile(real: Viewer, profile: dict[str, Any]) -> Seen | None:
    role = profile.get("role", VISITOR)
    values = profile.get("values", {})
    if not real.is_admin and set(values) - FOR_ALL_STAFF:
        # Chosen by an admin who is none any more: the names would be shown in the banner.
        return None
    person = made_up(
        {**values, "role": [role]},
        "default",
        is_active=role != VISITOR,
        is_staff=role in (Role.AGENT, Role.LIGHT_AGENT),
    )
    viewer = current_ruleset("default").viewer(person)
    return _narrowed(real, viewer, profile_words(profile), is_visitor=role == VISITOR)


def _narrowed(real: Viewer, viewer: Viewer, words: str, is_visitor: bool) -> Seen | None:
    """Never upwards. For others than admins only what both see, without anybody's right to edit."""
    if not real.is_staff or viewer.is_admin or (viewer.is_staff and not real.is_admin):
        return None
    known = {each.name: getattr(viewer, each.name) for each in fields(Viewer)}
    if not real.is_admin:
        known |= {
            "pk": 0,
            "segments": viewer.segments & real.segments,
            "audiences": viewer.audiences & real.audiences,
        }
    return Seen(**known, words=words, is_visitor=is_visitor)


def profile_words(profile: dict[str, Any]) -> str:
    """A made-up profile as the banner names it."""
    role = profile.get("role", VISITOR)
    parts = [str(_("a visitor") if role == VISITOR else dict(Role.choices)[role])]
    for name, named in profile.get("values", {}).items():
        parts += map(str, attributes()[name].labels(named).values())
    return joined(parts)


class ViewAsForm(forms.Form):
    """A person, or what a made-up person is like."""

    person = forms.CharField(
        label=gettext_lazy("Person"),
        required=False,
        max_length=300,
        help_text=gettext_lazy("An e-mail address. Or leave it empty and describe somebody below."),
    )
    role = forms.ChoiceField(label=gettext_lazy("Role"), required=False)
    organization = forms.CharField(
        label=gettext_lazy("Organizations"),
        required=False,
        max_length=1000,
        help_text=gettext_lazy("Names, with semicolons between them."),
    )
    tag = forms.CharField(
        label=gettext_lazy("Tags"),
        required=False,
        max_length=1000,
        help_text=gettext_lazy("With semicolons between them."),
    )
    language = forms.CharField(label=gettext_lazy("Language"), required=False, max_length=100)

    def __init__(self, real: Viewer, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.real = real
        roles = [Role.END_USER, *([Role.LIGHT_AGENT, Role.AGENT] if real.is_admin else [])]
        choices = [(VISITOR, _("Visitor who is not signed in")), *((r, r.label) for r in roles)]
        self.fields["role"].choices = choices  # type: ignore[attr-defined]
        if not real.is_admin:
            # Which organizations and tags there are is for admins.
            del self.fields["organization"], self.fields["tag"]

    def clean(self) -> dict[str, Any]:
        cleaned = self.cleaned_data
        if typed := cleaned.get("person", "").strip():
            cleaned["chosen"] = self._person(typed)
            return cleaned
        values = {}
        for name in ("organization", "tag", "language"):
            texts = [each.strip() for each in cleaned.get(name, "").split(";") if each.strip()]
            if texts:
                values[name] = [self._value(name, text) for text in texts]
        role = cleaned.get("role") or VISITOR
        if values and role == VISITOR:
            raise ValidationError({"role": _("A visitor has no attributes. Choose another role.")})
        cleaned["profile"] = {"role": role, "values": values}
        return cleaned

    def _person(self, typed: str) -> Any:
        try:
            found = person_called(typed)
        except ValidationError as error:
            raise ValidationError({"person": error.messages}) from error
        if seen_by(self.real, str(found.pk), None) is None:
            words = _("You may not view as this person: only downwards, and only active people.")
            raise ValidationError({"person": words})
        return found

    def _value(self, name: str, text: str) -> Any:
        try:
            return value_called(attributes()[name], text)
        except ValidationError as error:
            raise ValidationError({name: error.messages}) from error


def choose(request: HttpRequest) -> HttpResponse:
    """The page on which staff choose as whom to see the help center."""
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path(), reverse("account_login"))
    real = viewer_for(request.user)
    if not real.is_staff:
        raise Http404
    if request.method != "POST":
        form = ViewAsForm(real, initial={"person": request.GET.get("person", "")})
        return TemplateResponse(request, "view_as.html", {"form": form})
    form = ViewAsForm(real, request.POST)
    if not form.is_valid():
        return TemplateResponse(request, "view_as.html", {"form": form})
    person, profile = form.cleaned_data.get("chosen"), form.cleaned_data.get("profile")
    _end(request)
    record = Viewing.objects.create(by=request.user, person=person, profile=profile)
    request.session[SESSION_KEY] = {
        "by": str(request.user.pk),
        "person": str(person.pk) if person else None,
        "profile": profile,
        "record": record.pk,
    }
    return HttpResponseRedirect(reverse("hc"))


@require_POST
def stop(request: HttpRequest) -> HttpResponse:
    """Back to one's own eyes."""
    _end(request)
    return HttpResponseRedirect(reverse("hc"))


def _end(request: HttpRequest) -> None:
    _record_end(request.session.pop(SESSION_KEY, None))


def _record_end(state: Any) -> None:
    if isinstance(state, dict):
        record = state.get("record", 0)
        Viewing.objects.filter(pk=record, ended_at=None).update(ended_at=Now())


@receiver(user_logged_out)
def end_with_the_session(request: Any, **kwargs: Any) -> None:
    """Signing out ends it, and is recorded as the end."""
    if hasattr(request, "session"):
        _end(request)

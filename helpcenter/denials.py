"""Who was refused what, and by which rule: one line in the log for each request, without words.

`denied who=… from=… what=… method=… status=… rule=…`, to the logger `segments.access`. It names
people and things by their ids only. Nothing is read from the database unless something is refused,
and then the same for what is hidden and for what is not there, so that neither takes longer.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

from allauth.account.adapter import get_adapter
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import Error, connection, transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from segments.models import InheritsAudience, Restricted
from segments.row_security import lifted
from segments.ruleset import viewer_for

from .models import Article, Attachment, Category, Section

logger = logging.getLogger("segments.access")

# What the arguments and the names of URLs stand for.
MODELS = {"article": Article, "section": Section, "category": Category, "attachment": Attachment}
METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}


def log_denials(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Any:
    """Middleware, after the authentication and inside the snapshot: a line for each refusal."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        # An address that leads nowhere refuses nothing.
        if request.resolver_match is not None and is_denial(request, response):
            model, pk = asked_for(request.resolver_match)
            what = f"{model._meta.label} {pk}" if model else request.resolver_match.view_name
            log_denial(request, what, response.status_code, _rule(request, response, model, pk))
        return response

    return middleware


def is_denial(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether this answer refuses something, or asks to sign in first."""
    if response.status_code in (401, 403, 404, 429):
        return True
    # Whoever signs in there comes back. (The admin's own sign-in page leads on to ours.)
    logins = (reverse("account_login"), reverse("admin:login"))
    address, _, query = response.headers.get("Location", "").partition("?")
    is_way_in = address in logins and "next=" in query
    return response.status_code == 302 and is_way_in and request.path_info not in logins


def asked_for(match: Any) -> tuple[Any, int | None]:
    """(model, id) of the content that an address names; (None, None) when it names none."""
    if "pk" in match.kwargs:
        view = getattr(match.func, "cls", None)
        model = getattr(getattr(view, "queryset", None), "model", None)
        pk = match.kwargs["pk"]
        # Text that is no number names nothing.
        return model or MODELS.get(match.view_name), pk if isinstance(pk, int) else None
    for name, model in MODELS.items():
        if name in match.kwargs:
            return model, match.kwargs[name]
        if match.view_name == name and (number := re.match(r"\d{1,18}", match.kwargs["name"])):
            return model, int(number[0])
    changed = re.fullmatch(r"admin:helpcenter_(\w+)_(?:change|delete|history)", match.view_name)
    if changed and changed[1] in MODELS and re.fullmatch(r"\d{1,18}", match.kwargs["object_id"]):
        return MODELS[changed[1]], int(match.kwargs["object_id"])
    return None, None


def _rule(request: HttpRequest, response: HttpResponseBase, model: Any, pk: int | None) -> str:
    """The rule that refused, as far as one look at the thing itself tells."""
    by_status = {302: "sign-in", 401: "credentials", 403: "permission", 429: "rate"}
    if response.status_code in by_status:
        return by_status[response.status_code]
    if model is None or not issubclass(model, InheritsAudience):
        return "missing"
    if connection.in_atomic_block and transaction.get_rollback():
        return "unknown"
    try:
        return _first_obstacle(request.user, model, pk)
    except Error:
        return "unknown"


def _first_obstacle(user: Any, model: Any, pk: int | None) -> str:
    names = [*model.audience_published]
    if issubclass(model, Restricted):
        names.append("audience_id")
    # Both are asked for what is not there, too.
    with lifted():
        row = model._base_manager.filter(pk=pk).values("pk", *names).first()
    audiences = viewer_for(user).audiences
    if row is None:
        return "missing"
    if "audience_id" in row and row["audience_id"] not in audiences:
        return "audience"
    if any(row[name] != value for name, value in model.audience_published.items()):
        return "draft"
    # It is not this row that refused: what it lies in, or something in it that was asked for.
    return "above or inside"


@receiver(user_login_failed, dispatch_uid="helpcenter.denials.sign_in")
def log_failed_sign_in(request: HttpRequest | None = None, **kwargs: Any) -> None:
    """A line for wrong credentials. What was typed may be a password: it is not logged."""
    if request is not None:
        log_denial(request, "sign-in", 401, "credentials")


def log_denial(request: Any, what: str, status: int, rule: str) -> None:
    """The line itself. Whoever calls it for `what` sees to it that this names no words."""
    method = request.method if request.method in METHODS else "other"
    words = "denied who=%s from=%s what=%s method=%s status=%s rule=%s"
    logger.info(words, _who(request), _address(request), what, method, status, rule)


def _who(request: Any) -> str:
    pk = getattr(getattr(request, "user", None), "pk", None)
    viewing = getattr(request, "viewing", None)
    if viewing is not None:
        return f"{viewing.pk} as {pk or 'visitor'}"
    return str(pk or "visitor")


def _address(request: HttpRequest) -> str:
    try:
        return str(get_adapter().get_client_ip(request))
    except (ImproperlyConfigured, PermissionDenied):
        return "unknown"

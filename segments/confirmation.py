"""What the pages that ask before they store have in common."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from .effects import SHOWN_AT_MOST, Effect
from .wording import kind_of


def is_confirmed(request: HttpRequest, seen: str, widens: bool) -> bool:
    """Was exactly this shown and agreed to, with the tick where more people see something?"""
    was_shown = request.POST.get("_seen") == seen
    return was_shown and (not widens or request.POST.get("_widen") == "yes")


def question(request: HttpRequest, effect: Effect, seen: str, widens: bool) -> dict[str, Any]:
    """What a page shows that asks: the effect, and all that was sent, to be sent again."""
    return {
        "effect": effect,
        "gainers": effect.gainers,
        "losers": effect.losers,
        "content": [
            {
                "kind": kind_of(each.model, each.name, each.counts[name]),
                "change": name,
                "count": each.counts[name],
                "first": [str(row) for row in titled(getattr(each, name))[:SHOWN_AT_MOST]],
            }
            for each in effect.content
            for name in ("becomes_public", "gained", "stops_being_public", "lost")
            if each.counts[name]
        ],
        "seen": seen,
        "widens": widens,
        # Shown already, so what is missing is the tick.
        "unconfirmed": request.POST.get("_seen") == seen,
        "posted": _posted(request),
    }


def _posted(request: HttpRequest) -> list[tuple[str, str]]:
    own = {"csrfmiddlewaretoken", "_seen", "_widen"}
    sent = [(name, text) for name, texts in request.POST.lists() for text in texts]
    return [(name, text) for name, text in sent if name not in own]


def titled(rows: QuerySet[Any]) -> QuerySet[Any]:
    """By id, and with the titles in the same query where the content's queryset knows how."""
    rows = rows.order_by("pk")
    manager = rows.model._default_manager
    if hasattr(manager, "titled"):
        return manager.filter(pk__in=rows.values("pk")).titled().order_by("pk")
    return rows

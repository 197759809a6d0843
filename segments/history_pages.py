"""The history of a segment, an audience or a person as a page: compared, and gone back to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Model
from django.http import Http404, HttpRequest

from .models import audience_fields
from .recollection import Moment, compared, moments_of, net_changes

PER_PAGE = 50


def number_in(text: str) -> int | None:
    """The number that a text from an address is; None when it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def history_context(
    request: HttpRequest, thing: Model, way_back: Callable[[list[Moment], Moment], str]
) -> dict[str, Any]:
    """What the template shows. `way_back` is the address that goes back to a moment, or empty."""
    moments = moments_of(thing)
    known: dict[int | None, Moment] = {moment.pk: moment for moment in moments}
    a, b = (known.get(number_in(request.GET.get(name, ""))) for name in "ab")
    page = Paginator(moments, PER_PAGE).get_page(request.GET.get("page"))
    return {
        "moments": page,
        "rows": [(moment, way_back(moments, moment)) for moment in page],
        "a": a,
        "b": b,
        "compared": compared(thing, moments, a, b) if a and b else None,
    }


def moments_since(thing: Model, text: str) -> list[Moment]:
    """The moments after the one that is named, the newest first; 404 when there is no such one."""
    moments, number = moments_of(thing), number_in(text)
    if number is None or number not in {moment.pk for moment in moments}:
        raise Http404
    return [moment for moment in moments if moment.pk > number]


def audience_ids_then(thing: Model, since: list[Moment]) -> dict[str, str]:
    """Field -> the id of the audience that a thing had before these moments, where it changed."""
    fields = {field.name for field in audience_fields() if field.model is type(thing)}
    net = net_changes(since)
    return {name: gone[0] for name, (gone, _come) in net.items() if name in fields and gone}

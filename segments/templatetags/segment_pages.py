"""For the plugin's pages of the admin: links that keep what a list is filtered by, and lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from segments import phrases

register = template.Library()


@register.simple_tag(takes_context=True)
def page_link(context: Any, number: int) -> str:
    """The address of another page of the same list."""
    return _link(context, p=number)


@register.simple_tag(takes_context=True)
def sort_header(context: Any, name: str, label: str) -> SafeString:
    """A table header whose link sorts by its column, and the other way round the second time."""
    current = context["list"].sort
    turned = f"-{name}" if current == name else name
    order = {name: "ascending", f"-{name}": "descending"}.get(current, "none")
    return format_html(
        '<th scope="col" aria-sort="{}"><a href="{}">{}</a></th>',
        order,
        _link(context, sort=turned, p=1),
        label,
    )


def _link(context: Any, **changed: Any) -> str:
    query = context["request"].GET.copy()
    for name, value in changed.items():
        query[name] = value
    return f"?{query.urlencode()}"


@register.filter
def joined(words: Iterable[Any]) -> str:
    """The items with what the language puts between those of a list."""
    return phrases.joined(words)


@register.filter
def of(found: dict[Any, Any], key: Any) -> Any:
    """What was found for a key."""
    return found.get(key)

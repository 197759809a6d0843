"""`{% load helpcenter %}`: links to content with all that a reader should know of them."""

from __future__ import annotations

from typing import Any

from django import template

from segments.models import Audience

register = template.Library()


@register.inclusion_tag("includes/item.html", takes_context=True)
def item(context: Any, thing: Any) -> dict[str, Any]:
    """A link to a category, section or article: its title, language, draft mark and lock."""
    locale = context["here"].locale
    return {
        "thing": thing,
        "address": thing.address(locale),
        "lang": _other_language(thing.words, locale),
        "is_draft": getattr(thing.words, "draft", False),
        "is_restricted": is_restricted(context, thing),
    }


@register.simple_tag(takes_context=True)
def url_of(context: Any, thing: Any) -> str:
    """The page of a category, section or article in the page's locale."""
    return str(thing.address(context["here"].locale))


@register.simple_tag(takes_context=True)
def is_restricted(context: Any, thing: Any) -> bool:
    """Whether to show a lock: to staff only, on what not everyone may see."""
    return bool(context["here"].viewer.is_staff) and thing.audience_id != Audience.EVERYONE


@register.simple_tag(takes_context=True)
def other_language(context: Any, words: Any) -> str:
    """The language of the words where it is not the page's own, for a `lang` attribute."""
    return _other_language(words, context["here"].locale)


def _other_language(words: Any, locale: str) -> str:
    return "" if words.locale == locale else words.locale

"""`{% load segments %}` and then `{{ reports|visible_to:user }}`."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.filter
def visible_to(objects: Any, user: Any) -> Any:
    """Those of a queryset (or manager) that the user may see."""
    return objects.visible_to(user)

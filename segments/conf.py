"""The SEGMENTS setting with its defaults, read at call time so that tests may override it."""

from typing import Any

from django.conf import settings
from django.db.models import Q

DEFAULTS: dict[str, Any] = {
    # Attribute name -> lookups from the user model, united. (lookup, Q) is for those users only.
    "ATTRIBUTES": {},
    # Who is staff, who sees everything, and who may sign in at all.
    "STAFF": Q(is_staff=True),
    "ADMIN": Q(is_superuser=True),
    "ACTIVE": Q(is_active=True),
    # Attributes whose `any` and `all` conditions limit end users but not staff.
    "END_USER_ATTRIBUTES": [],
    # For sentences and forms: attribute name -> {"label": …, "any": "tagged %s", "all": …, …}.
    "WORDS": {},
    # PostgreSQL's setting -> time, for what a request asks: {"statement_timeout": "20s"}.
    "TIMEOUTS": {},
    # URL name (* allowed) -> "public", "filtered", "staff" or "signed-in". None: not checked, and
    # neither are REST views and the admin (view_checks.py).
    "URLS": None,
    # True where PostgreSQL's row-level security hides rows a second time: see row_security.py.
    "ROW_SECURITY": False,
}


def setting(name: str) -> Any:
    """The project's value of SEGMENTS[name], or the default."""
    return getattr(settings, "SEGMENTS", {}).get(name, DEFAULTS[name])

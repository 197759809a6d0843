"""Who is calling: a token, Zendesk's `email/token:TOKEN`, or a session with CSRF protection."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.db.models.functions import Now
from knox.crypto import hash_token
from knox.models import get_token_model
from rest_framework import authentication, exceptions

from accounts.normalisation import normalise_email
from segments.row_security import see_as


def credentials_of(header: str) -> tuple[str | None, str] | None:
    """(e-mail or None, token) of an Authorization header; None when it is not one of the forms.

    `Bearer TOKEN`, or `Basic` with `email/token:TOKEN` in base64 as Zendesk's clients send it.
    """
    scheme, _, rest = header.strip().partition(" ")
    rest = rest.strip()
    if scheme.lower() == "bearer":
        return (None, rest) if rest else None
    if scheme.lower() != "basic":
        return None
    try:
        name, _, token = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    email, mark, empty = name.rpartition("/token")
    return (email, token) if mark and not empty and email and token else None


def find_token(token: str) -> Any:
    """The stored token, with its user; None when it is unknown or has expired."""
    # knox's own look-up deletes expired tokens, and a read-only snapshot cannot write.
    in_force = Q(expiry=None) | Q(expiry__gt=Now())
    # A random text of 256 bits needs no slow hash, and the digest is the primary key.
    digest = hash_token(token)
    return get_token_model().objects.filter(in_force, digest=digest).select_related("user").first()


class TokenAuthentication(authentication.BaseAuthentication):
    """A token of an active person. The same refusal whatever is wrong with it."""

    def authenticate(self, request: Any) -> tuple[Any, Any] | None:
        """(user, token); None without a header, so that a session or nobody may be calling."""
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if not header:
            return None
        given = credentials_of(header)
        found = find_token(given[1]) if given else None
        if found is None or not found.user.is_active or not _is_owner(given, found.user):
            raise exceptions.AuthenticationFailed()
        see_as(found.user)
        return found.user, found

    def authenticate_header(self, request: Any) -> str:
        """What a 401 asks for. Not Basic, which makes browsers ask for a password."""
        return 'Bearer realm="api"'


def _is_owner(given: Any, user: Any) -> bool:
    email = given[0]
    if email is None:
        return True
    try:
        return normalise_email(email) == user.email
    except ValidationError:
        return False


class SessionAuthentication(authentication.SessionAuthentication):
    """The person who is signed in on the site; unsafe methods need the CSRF token."""

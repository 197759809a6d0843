"""The session of a visitor of the site, for scripts in its pages."""

from __future__ import annotations

from typing import Any

from django.middleware.csrf import get_token
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from .base import Endpoint, anybody


class SessionSerializer(serializers.Serializer):
    """Who the visitor is, and the token that unsafe requests of the session need."""

    user_id = serializers.IntegerField(allow_null=True)
    csrf_token = serializers.CharField(allow_null=True)


class CurrentSessionSerializer(serializers.Serializer):
    """The envelope."""

    current_session = SessionSerializer()


class SessionEndpoint(Endpoint):
    """The caller's session."""

    serializer_class = SessionSerializer
    filter_backends: Any = []
    who_sees = "everybody their own"
    allowed = {"retrieve": anybody}

    @extend_schema(responses={200: CurrentSessionSerializer})
    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """The caller's session; who calls with a token needs no CSRF token."""
        with_session = request.auth is None and self.viewer.pk is not None
        token = get_token(request._request) if with_session else None
        return Response({"current_session": {"user_id": self.viewer.pk, "csrf_token": token}})

"""Callers of the API: one client for each person of the cast, with a token of their own."""

from contextlib import contextmanager

import pytest
from django.db import transaction
from django.test import Client
from knox.models import get_token_model

from helpcenter.models import PermissionGroup
from segments.models import Audience


@pytest.fixture
def token_of():
    """person -> a new API token."""
    return lambda person: get_token_model().objects.create(person)[1]


@pytest.fixture
def api(cast, token_of):
    """name -> a client that calls as this person of the cast; "visitor" has no token.

    api("ada").get("/api/v2/…") and .post(path, body), .put(path, body) with JSON bodies.
    """

    def client_of(name):
        person = cast[name]
        return ApiClient(token_of(person) if person.is_authenticated else None)

    return client_of


@pytest.fixture
def api_of(token_of):
    """person -> a client that calls as them."""
    return lambda person: ApiClient(token_of(person))


@pytest.fixture
def guides(segment_of):
    """A permission group: edda may edit its articles, pia may publish them."""
    return PermissionGroup.objects.create(
        name="Guides",
        edit=Audience.of(segment_of["editors"]),
        publish=Audience.of(segment_of["publishers"]),
    )


@pytest.fixture
def unlimited(settings):
    """No limits of requests."""
    settings.API_REQUESTS_PER_MINUTE = {"token": 10**6, "address": 10**6}


@pytest.fixture
def rollback(db):
    """A context in which everything is undone at the end."""

    @contextmanager
    def undone():
        with transaction.atomic():
            yield
            transaction.set_rollback(True)

    return undone


class ApiClient(Client):
    """Django's test client that speaks JSON and sends a token."""

    def __init__(self, token=None):
        super().__init__(headers={"Authorization": f"Bearer {token}"} if token else {})

    def post(self, path, data=None, content_type="application/json", **extra):
        return super().post(path, data if data is not None else {}, content_type, **extra)

    def put(self, path, data=None, content_type="application/json", **extra):
        return super().put(path, data if data is not None else {}, content_type, **extra)

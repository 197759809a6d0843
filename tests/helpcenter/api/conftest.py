"""Callers of the API: one client for each person of the cast, with a token of their own."""

import pytest
from django.test import Client
from knox.models import get_token_model


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


class ApiClient(Client):
    """Django's test client that speaks JSON and sends a token."""

    def __init__(self, token=None):
        super().__init__(headers={"Authorization": f"Bearer {token}"} if token else {})

    def post(self, path, data=None, content_type="application/json", **extra):
        return super().post(path, data if data is not None else {}, content_type, **extra)

    def put(self, path, data=None, content_type="application/json", **extra):
        return super().put(path, data if data is not None else {}, content_type, **extra)

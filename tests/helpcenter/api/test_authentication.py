"""Who is calling: tokens that expire and stop, sessions with CSRF protection, and the history."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from knox.models import get_token_model

from segments.models import Change
from tests.factories_content import ArticleFactory

ME = "/api/v2/users/me.json"
SEGMENTS = "/api/v2/help_center/user_segments"


def caller(client, header):
    headers = {"Authorization": header} if header else {}
    answer = client.get(ME, headers=headers)
    return answer.json()["user"]["id"] if answer.status_code == 200 else answer.status_code


def test_many_tokens_that_expire(cast, token_of, client):
    ada = cast["ada"]
    first, second = token_of(ada), token_of(ada)
    assert caller(client, f"Bearer {first}") == caller(client, f"Bearer {second}") == ada.pk
    tokens = get_token_model().objects.all()
    assert not any(first in str(vars(token)) for token in tokens)
    tokens.update(expiry=timezone.now() - timedelta(seconds=1))
    assert caller(client, f"Bearer {first}") == 401
    # Reading deletes nothing: a snapshot cannot write.
    assert tokens.count() == 2


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer x y",
        "Basic",
        "Basic !!!",
        "Basic Og==",
        "Basic YTpi",
        "Digest x",
        "Bearer \xe9",
    ],
)
def test_broken_headers(cast, client, header):
    assert caller(client, header) == 401


def test_a_session_needs_the_csrf_token_to_write(cast, segment_of):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(cast["ada"])
    body = {"user_segment": {"name": "New", "user_type": "staff"}}
    refused = browser.post(SEGMENTS, body, content_type="application/json")
    assert refused.status_code == 403 and "CSRF" in refused.json()["description"]
    session = browser.get("/api/v2/help_center/sessions.json").json()["current_session"]
    assert session["user_id"] == cast["ada"].pk
    headers = {"X-CSRFToken": session["csrf_token"]}
    made = browser.post(SEGMENTS, body, content_type="application/json", headers=headers)
    assert made.status_code == 201


def test_the_session_of_a_token_or_of_nobody(api, cast, client):
    nobody = {"current_session": {"user_id": None, "csrf_token": None}}
    assert client.get("/api/v2/help_center/sessions").json() == nobody
    shown = api("maria").get("/api/v2/help_center/sessions").json()["current_session"]
    assert shown == {"user_id": cast["maria"].pk, "csrf_token": None}


def test_the_history_knows_who_wrote(api, cast, segment_of):
    article = ArticleFactory()
    body = {"article": {"user_segment_id": 2}}
    assert api("ada").put(f"/api/v2/help_center/articles/{article.pk}", body).status_code == 200
    assert Change.objects.of(article).first().who == "Ada"


def test_a_token_wins_over_a_session(cast, token_of, client):
    client.force_login(cast["ada"])
    assert caller(client, f"Bearer {token_of(cast['maria'])}") == cast["maria"].pk
    assert caller(client, "Bearer nonsense") == 401
    assert caller(client, None) == cast["ada"].pk

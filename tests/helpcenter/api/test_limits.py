"""Rates: counted for all processes together, and for whoever guesses tokens."""

import subprocess
import sys

from helpcenter.models import RateCounter

LABELS = "/api/v2/help_center/articles/labels"
COUNTS = """
import django; django.setup()
from helpcenter.api.limits import count_request
for _ in range(100): count_request("token x")
"""


def test_processes_count_together(process_env):
    environment = process_env | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    processes = [
        subprocess.Popen([sys.executable, "-c", COUNTS], env=environment) for _ in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    # Unless a minute ended meanwhile, the one counter has every request.
    counter = RateCounter.objects.get(key="token x")
    minutes = set(RateCounter.objects.values_list("minute", flat=True))
    assert len(minutes) == 1 and 0 < counter.count <= 300
    again = subprocess.run([sys.executable, "-c", COUNTS], env=environment, timeout=60)
    assert again.returncode == 0
    later = RateCounter.objects.get(key="token x")
    if later.minute == counter.minute:
        assert later.count == counter.count + 100 == 400


def test_guessing_tokens_is_counted(client, db, settings):
    settings.API_REQUESTS_PER_MINUTE = {"token": 100, "address": 3}
    statuses = [
        client.get(LABELS, headers={"Authorization": f"Bearer guess{n}"}).status_code
        for n in range(5)
    ]
    assert statuses == [401, 401, 401, 429, 429]


def test_the_site_itself_is_not_counted(client, db, settings):
    settings.API_REQUESTS_PER_MINUTE = {"token": 1, "address": 1}
    assert [client.get("/accounts/login/").status_code for _ in range(3)] == [200, 200, 200]


def test_refusals_below_api_are_json(client, db):
    for address, status in {
        "/api/v2/nothing": 404,
        "/api/v2/help_center/articles/abc": 404,
        f"/api/v2/users?x={'y' * 9000}": 414,
        "/api/v2/users?x=%00": 400,
    }.items():
        answer = client.get(address)
        assert answer.status_code == status and "error" in answer.json()
    assert client.post("/api/v2/users", b"{", content_type="application/json").status_code == 401


def test_bad_bodies(db, api, cast):
    ada = api("ada")
    for body in (b"{", b"[1]", b'"x"', b"\xff", b'{"user": "\\ud800"}', b"[" * 100_000, b""):
        answer = ada.generic("POST", "/api/v2/users", body, content_type="application/json")
        assert answer.status_code in (400, 422), body[:20]
    form = ada.generic("POST", "/api/v2/users", b"a=b", content_type="text/plain")
    assert form.status_code == 415

"""Nobody learns who has an account: not by the answer, and not by the work that it takes."""

import re
from collections import Counter

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from tests.committing_client import CommittingClient
from tests.factories_people import PASSWORD, PersonFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def people():
    """Somebody, somebody inactive, somebody who never set a password."""
    cache.clear()
    PersonFactory(email="maria@example.org", verified=True)
    PersonFactory(email="gone@example.org", verified=True, is_active=False)
    PersonFactory(email="made@example.org", verified=True, password=None)


@pytest.fixture
def work(monkeypatch):
    """work(route, data) -> (status and page, statements by kind, hashes computed)."""
    hashes = []
    encode = MD5PasswordHasher.encode

    def counted(self, password, salt):
        hashes.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", counted)

    def work(route, **data):
        hashes.clear()
        client = CommittingClient()
        with CaptureQueriesContext(connection) as queries:
            response = client.post(reverse(route), data)
        page = response.content.decode()
        for typed in data.values():
            page = page.replace(typed, "")
        page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)
        answer = (response.status_code, response.headers.get("Location"), page, {*client.cookies})
        return answer, Counter(map(kind, queries)), len(hashes)

    return work


def kind(query):
    """What a statement does to which table: the same for the same work."""
    sql = query["sql"].replace('"', "")
    found = re.match(r"(INSERT INTO|UPDATE|DELETE FROM|SAVEPOINT|RELEASE|ROLLBACK)( \w+)?", sql)
    if not found:
        found = re.match(r"(SELECT) .*?FROM (\w+)", sql, re.DOTALL)
    verb, table = (found[1], found[2]) if found else (sql.split()[0], "")
    return verb if verb in ("SAVEPOINT", "RELEASE", "ROLLBACK") else f"{verb} {table.strip()}"


def assert_alike(cases):
    """The same answers, writes and hashes; a few reads of one row each may be more."""
    (first, *others) = cases.values()
    for answer, statements, hashes in others:
        assert answer == first[0]
        assert hashes == first[2]
        assert writes(statements) == writes(first[1])
        assert abs(statements.total() - first[1].total()) <= 5


def writes(statements):
    verbs = ("INSERT", "UPDATE", "DELETE")
    return {kind: n for kind, n in statements.items() if kind.startswith(verbs)}


def test_sign_in(work):
    cases = {
        "unknown": work("account_login", login="nobody@example.org", password=PASSWORD),
        "wrong": work("account_login", login="maria@example.org", password="wrong"),
        "inactive": work("account_login", login="gone@example.org", password=PASSWORD),
        "inactive and wrong": work("account_login", login="gone@example.org", password="wrong"),
        "no password": work("account_login", login="made@example.org", password=PASSWORD),
    }
    assert_alike(cases)
    assert cases["unknown"][2] == 1


WHO = ["nobody", "maria", "gone", "made"]


def test_reset(work, mailoutbox):
    assert_alike({who: work("account_reset_password", email=f"{who}@example.org") for who in WHO})
    # Somebody writes to the mailbox in each case.
    assert len(mailoutbox) == len(WHO)


def sign_up(work, who):
    passwords = {"password1": PASSWORD, "password2": PASSWORD}
    return work("account_signup", email=f"{who}@example.org", **passwords)


def test_sign_up(work, mailoutbox):
    cases = {who: sign_up(work, who) for who in WHO}
    assert_alike(cases)
    assert cases["maria"][2] == 1
    assert len(mailoutbox) == len(WHO)
    # What was made for the sake of time is gone.
    known = {f"{who}@example.org" for who in WHO}
    assert {*User.objects.values_list("email", flat=True)} == known


def test_the_form_of_allauth_is_found(work, settings):
    """The positive control: it computes no hash for an address that somebody has."""
    settings.ACCOUNT_FORMS = {
        **settings.ACCOUNT_FORMS,
        "signup": "allauth.account.forms.SignupForm",
    }
    with pytest.raises(AssertionError):
        assert_alike({who: sign_up(work, who) for who in WHO})


def test_a_weak_password_is_refused_alike(work):
    data = {"password1": "12345", "password2": "12345"}
    cases = {who: work("account_signup", email=f"{who}@example.org", **data) for who in WHO}
    assert_alike(cases)
    assert cases["nobody"][0][0] == 200


LIMITED = {
    "account_login": {"login": "who{}@example.org", "password": PASSWORD},
    "account_reset_password": {"email": "who{}@example.org"},
    "account_signup": {"email": "who{}@example.org", "password1": "x", "password2": "x"},
}


@pytest.mark.parametrize("route", LIMITED)
def test_limits(client, route):
    """An address on the network cannot go through other people's addresses, whatever it says."""
    statuses = []
    for number in range(31):
        data = {name: text.format(number) for name, text in LIMITED[route].items()}
        said = {"X-Forwarded-For": f"192.0.2.{number}"}
        statuses.append(client.post(reverse(route), data, headers=said).status_code)
    page = client.post(reverse(route), LIMITED[route])
    assert 429 in statuses or b"Too many failed login attempts" in page.content
    assert set(statuses) <= {200, 302, 429}

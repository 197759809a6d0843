"""What people are signed in with ends with their activation, their role and their password."""

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from knox.models import get_token_model

from accounts.models import User
from segments import triggers
from tests.committing_client import CommittingClient
from tests.factories_people import PASSWORD, PersonFactory

pytestmark = pytest.mark.django_db
ME = "/api/v2/users/me.json"
NEW_PASSWORD = "staple battery horse correct"


@pytest.fixture
def maria():
    return PersonFactory(email="maria@example.org", role="agent", verified=True)


@pytest.fixture
def nora():
    """Somebody else, whom none of it concerns."""
    return PersonFactory(email="nora@example.org", role="agent", verified=True)


def in_a_session(person):
    client = Client()
    client.force_login(User.objects.get(pk=person.pk))
    return client


def with_a_token(person):
    token = get_token_model().objects.create(person)[1]
    return Client(headers={"Authorization": f"Bearer {token}"})


def is_in(client, person):
    return client.get(ME).json().get("user", {}).get("id") == person.pk


def save(person, name, value):
    person = User.objects.get(pk=person.pk)
    setattr(person, name, value)
    person.save()


def save_one_field(person, name, value):
    setattr(person, name, value)
    person.save(update_fields=[name])


def update(person, name, value):
    User.objects.filter(pk=person.pk).update(**{name: value})


def bulk_update(person, name, value):
    person = User.objects.get(pk=person.pk)
    setattr(person, name, value)
    User.objects.bulk_update([person], [name])


def raw(person, name, value):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE accounts_user SET {name} = %s WHERE id = %s", [value, person.pk])


WAYS = [save, save_one_field, update, bulk_update, raw]
# What changes: the value that ends everything, and the one from before.
CHANGES = {"is_active": (False, True), "role": ("end_user", "agent")}


@pytest.mark.parametrize("write", WAYS)
@pytest.mark.parametrize("name", CHANGES)
def test_sessions_and_tokens_do_not_come_back(maria, nora, name, write):
    clients = [in_a_session(maria), with_a_token(maria)]
    others = [in_a_session(nora), with_a_token(nora)]
    assert all(is_in(client, maria) for client in clients)
    for value in CHANGES[name]:
        write(maria, name, value)
        assert not any(is_in(client, maria) for client in clients)
    assert all(is_in(client, nora) for client in others)
    assert is_in(in_a_session(maria), maria) and is_in(with_a_token(maria), maria)


@pytest.mark.parametrize("write", WAYS)
def test_a_new_password_ends_them_too(maria, nora, write):
    clients = [in_a_session(maria), with_a_token(maria)]
    others = [in_a_session(nora), with_a_token(nora)]
    write(maria, "password", PersonFactory.build(password=NEW_PASSWORD).password)
    assert not any(is_in(client, maria) for client in clients)
    assert all(is_in(client, nora) for client in others)


def test_many_at_once(maria, nora):
    clients = [in_a_session(maria), with_a_token(maria), in_a_session(nora), with_a_token(nora)]
    User.objects.update(is_active=False)
    User.objects.update(is_active=True)
    assert not any(is_in(client, maria) or is_in(client, nora) for client in clients)


def test_other_changes_end_nothing(maria):
    clients = [in_a_session(maria), with_a_token(maria)]
    for name, value in {"name": "Maria", "language": "fr", "email": "m@example.org"}.items():
        for write in (save, update):
            write(maria, name, value)
    User.objects.update(role="agent", is_active=True)
    assert all(is_in(client, maria) for client in clients)


def test_an_old_instance_brings_nothing_back(maria):
    """It holds the version from before the change; what it stores must not."""
    old, client = User.objects.get(pk=maria.pk), in_a_session(maria)
    for value in CHANGES["role"]:
        update(maria, "role", value)
    old.save()
    User.objects.bulk_update([old], ["name"])
    assert not is_in(client, maria)


def test_who_changes_the_password_stays_signed_in_there_only(maria):
    here, elsewhere, token = in_a_session(maria), in_a_session(maria), with_a_token(maria)
    passwords = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD}
    here.post(reverse("account_change_password"), passwords)
    assert is_in(here, maria)
    assert not is_in(elsewhere, maria) and not is_in(token, maria)


def test_a_reset_ends_what_a_thief_has(maria, mailoutbox):
    session, token = in_a_session(maria), with_a_token(maria)
    client = CommittingClient()
    client.post(reverse("account_reset_password"), {"email": maria.email})
    link = mailoutbox[0].body.partition("http://testserver")[2].split()[0]
    form = client.get(link, follow=True).redirect_chain[-1][0]
    client.post(form, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
    assert not is_in(session, maria) and not is_in(token, maria)


@pytest.mark.parametrize("name", CHANGES)
def test_without_the_triggers_they_would_come_back(maria, name):
    """The positive control."""
    clients = [in_a_session(maria), with_a_token(maria)]
    triggers.uninstall(connection)
    try:
        for value in CHANGES[name]:
            update(maria, name, value)
        assert all(is_in(client, maria) for client in clients)
    finally:
        triggers.install(connection)

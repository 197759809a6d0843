"""Finding people: by how an address, or a word of a name, begins; the index helps."""

import pytest
from django.db import connection

from accounts.finding import people_called
from accounts.models import User
from tests.factories_people import PersonFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(db):
    for name, email in [
        ("Maria de Souza", "maria.s@example.com"),
        ("Óscar O'Neil", "oscar@example.com"),
        ("Jean-Luc Picard", "captain@example.org"),
        ("", "nameless@example.com"),
    ]:
        PersonFactory(name=name, email=email)


def found(text):
    return sorted(person.email for person in people_called(User.objects.all(), text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mar", ["maria.s@example.com"]),
        ("MARIA.S@", ["maria.s@example.com"]),
        ("sou", ["maria.s@example.com"]),
        ("maria sou", ["maria.s@example.com"]),
        ("sou maria", ["maria.s@example.com"]),
        ("pic", ["captain@example.org"]),
        ("capt", ["captain@example.org"]),
        ("nameless", ["nameless@example.com"]),
        ("maria pic", []),
        ("nobody", []),
    ],
)
def test_by_beginnings(people, text, expected):
    assert found(text) == expected


@pytest.mark.parametrize(
    "text", ["'", "\\", "%", "_", "&", "|", "!", ":*", "a:*b", "('", "''''", "é" * 400]
)
def test_hostile_text_is_only_text(people, text):
    assert len(found(text)) < 4


def test_nothing_typed_finds_everybody(people):
    assert len(found("  ")) == 4


def test_the_index_is_used(people):
    """By PostgreSQL. SQLite has none, and reads the table."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            known = connection.introspection.get_constraints(cursor, User._meta.db_table)
        assert "accounts_user_name_words" not in known
        return
    User.objects.bulk_create(
        User(email=f"crowd{n}@example.com", name=f"Somebody Number{n}") for n in range(3000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_user")
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = people_called(User.objects.order_by(), "souz").explain()
    assert "accounts_user_name_words" in plan
    assert "Seq Scan" not in plan

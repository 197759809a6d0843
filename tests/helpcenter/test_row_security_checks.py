"""`manage.py check --database default` refuses a wall with a hole: one test for each hole."""

import pytest
from django.conf import settings as project
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection, transaction

from segments import policies
from segments.row_security_checks import (
    MIDDLEWARE,
    _role,
    check_row_security,
    check_row_security_settings,
)
from tests import walls
from tests.walls import execute, only_postgresql

VIEW = "CREATE VIEW titles {} AS SELECT title FROM helpcenter_articletranslation"
FUNCTION = (
    "CREATE FUNCTION titles() RETURNS SETOF text LANGUAGE sql {} "
    "AS 'SELECT title FROM helpcenter_articletranslation'"
)


@pytest.fixture
def wall(db, settings):
    """A sound wall; everything is undone with the transaction of the test."""
    settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": True}
    walls.build()


def found(role=walls.WEB):
    """The ids of the messages that the role gets."""
    with transaction.atomic():
        if role:
            execute(f"SET LOCAL ROLE {role}")
        messages = check_row_security(["default"])
        assert all(isinstance(message.msg, str) and message.hint for message in messages)
        transaction.set_rollback(True)
    return [message.id for message in messages]


@only_postgresql
def test_a_sound_wall_passes(wall):
    assert found() == []


@pytest.mark.django_db
def test_without_a_wall_nothing_is_asked():
    assert check_row_security(["default"]) == []
    assert check_row_security_settings(None) == []


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="a refusal on SQLite")
def test_sqlite_has_no_wall(settings, monkeypatch):
    settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": True}
    with monkeypatch.context() as before_migrating:
        before_migrating.setattr(connection.introspection, "table_names", lambda: [])
        assert check_row_security(["default"]) == []
    (message,) = check_row_security(["default"])
    words = "Database 'default' has no row-level security: it is PostgreSQL's."
    assert (message.id, message.msg) == ("segments.E031", words)
    monkeypatch.setattr("sys.argv", ["manage.py", "migrate", "--plan"])
    assert check_row_security(["default"]) == []


@only_postgresql
def test_a_wall_that_the_settings_do_not_know(wall, settings):
    settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": False}
    assert found() == ["segments.E032"]


@only_postgresql
def test_settings_without_a_wall(db, settings):
    settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": True}
    policies.grant(connection, walls.WEB)
    assert found() == ["segments.E033", "segments.E035", "segments.E036"]


@only_postgresql
def test_the_owner(wall):
    assert found(role=None) == ["segments.E038"]


HOLES = {
    "policy that is missing": (
        "DO $$ DECLARE name text; BEGIN SELECT polname INTO name FROM pg_policy "
        "WHERE polrelid = 'helpcenter_article'::regclass; "
        "EXECUTE 'DROP POLICY ' || name || ' ON helpcenter_article'; END $$",
        ["segments.E033"],
    ),
    "policy of somebody else": (
        "CREATE POLICY all_of_it ON helpcenter_article FOR SELECT USING (true)",
        ["segments.E034"],
    ),
    "no ENABLE": (
        "ALTER TABLE helpcenter_comment DISABLE ROW LEVEL SECURITY",
        ["segments.E035"],
    ),
    "no FORCE": (
        "ALTER TABLE helpcenter_comment NO FORCE ROW LEVEL SECURITY",
        ["segments.E036"],
    ),
    "materialized view": (VIEW.format("").replace("VIEW", "MATERIALIZED VIEW"), ["segments.E039"]),
    "view of its owner": (VIEW.format(""), ["segments.E040"]),
    "view on a view": (
        VIEW.format("WITH (security_invoker)") + "; CREATE VIEW few AS SELECT * FROM titles",
        ["segments.E040"],
    ),
    "setting of the session": (
        "SELECT set_config('segments.audiences', '{2}', false)",
        ["segments.E041"],
    ),
    "function of its owner": (FUNCTION.format("SECURITY DEFINER"), ["segments.E042"]),
    # And what is none.
    "view of whoever asks": (VIEW.format("WITH (security_invoker = on)"), []),
    "view of other things": ("CREATE VIEW labels AS SELECT name FROM helpcenter_label", []),
    "function of whoever asks": (FUNCTION.format("SECURITY INVOKER"), []),
    "function that the role may not call": (
        FUNCTION.format("SECURITY DEFINER") + "; REVOKE EXECUTE ON FUNCTION titles() FROM PUBLIC",
        [],
    ),
    "restrictive policy": (
        "CREATE POLICY fewer ON helpcenter_article AS RESTRICTIVE USING (promoted)",
        [],
    ),
}


@only_postgresql
@pytest.mark.parametrize("hole", HOLES)
def test_a_hole(wall, hole):
    statement, expected = HOLES[hole]
    execute(statement)
    assert found() == expected


@only_postgresql
@pytest.mark.parametrize("word", ["ENABLE", "FORCE"])
def test_it_is_said_what_is_lacking_and_where(wall, word):
    execute(HOLES[f"no {word}"][0])
    (message,) = check_row_security(["default"])[:1]
    assert message.msg == f"Row-level security lacks {word} on: helpcenter_comment."


@only_postgresql
def test_it_is_said_who_owns_the_tables(wall):
    (message,) = check_row_security(["default"])
    assert message.msg.startswith("The role helpcenter_test is, or can become, the owner")


@only_postgresql
@pytest.mark.parametrize("role", ["postgres", "helpcenter_exempt"])
def test_a_role_that_policies_do_not_bind(db, settings, role):
    """The superuser, and a role with BYPASSRLS; both on connections of their own."""
    settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": True}
    other = connection.copy("other")
    other.settings_dict = {**connection.settings_dict, "USER": role}
    try:
        with other.cursor() as cursor:
            (message,) = (m for m in _role(other, cursor) if m.id == "segments.E037")
    finally:
        other.close()
    assert role in message.msg


@pytest.mark.parametrize(
    "order",
    [
        lambda order: [each for each in order if each != MIDDLEWARE],
        lambda order: [each for each in order if "SnapshotMiddleware" not in each],
        lambda order: [MIDDLEWARE, *(each for each in order if each != MIDDLEWARE)],
    ],
    ids=["without it", "without transactions", "too early"],
)
def test_the_middleware(settings, order):
    settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": True}
    assert check_row_security_settings(None) == []
    settings.MIDDLEWARE = order(list(project.MIDDLEWARE))
    (message,) = check_row_security_settings(None)
    assert message.id == "segments.E030"
    assert message.msg.startswith("Row-level security needs in MIDDLEWARE, in this order: ")


@only_postgresql
def test_the_command_stops(wall):
    """As `manage.py check --database default` is run by whoever deploys."""
    with pytest.raises(SystemCheckError, match="segments.E038"):
        call_command("check", "--database", "default")

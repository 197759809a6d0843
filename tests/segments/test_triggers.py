"""The triggers are there, are the right ones, and come back when something took them away."""

from io import StringIO

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, models

from segments import triggers
from segments.apps import restore
from segments.checks import check_triggers
from segments.models import Audience, Segment, Token

pytestmark = pytest.mark.django_db


def names_on(table):
    return {name for name, where in triggers.installed(connection).items() if where == table}


def drop(name, table):
    on = f' ON "{table}"' if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {name}{on}")


def migrate():
    """What the handler of post_migrate does after the last app."""
    last = [config for config in apps.get_app_configs() if config.models_module][-1]
    restore(last, "default")


def test_all_are_installed_and_no_others():
    expected = triggers.expected(connection)
    assert set(triggers.installed(connection)) == set(expected) != set()
    assert triggers.missing(connection) == []
    assert check_triggers(["default"]) == []


@pytest.mark.parametrize(
    "table",
    [
        "segments_segment",
        "segments_audience",
        "segments_audiencesegment",
        "segments_segmentperson",
        "accounts_tag",
        "accounts_organization",
        "accounts_agentgroup",
        "accounts_user",
        "accounts_user_tags",
        "accounts_user_agent_groups",
        "accounts_organizationmembership",
        "accounts_organization_tags",
        "helpcenter_helpcenter",
        "helpcenter_category",
        "helpcenter_section",
        "helpcenter_article",
        "helpcenter_permissiongroup",
        "helpcenter_articletranslation",
    ],
)
def test_the_check_fails_for_each_one_that_is_dropped(table):
    assert names_on(table)
    for name in names_on(table):
        drop(name, table)
        (error,) = check_triggers(["default"])
        assert error.id == "segments.E011" and table in error.msg and "migrate" in error.hint
        migrate()
        assert check_triggers(["default"]) == []


def test_the_command_fails_while_one_is_missing():
    drop(min(names_on("segments_segment")), "segments_segment")
    with pytest.raises(CommandError, match="segments.E011"):
        call_command("check", databases=["default"], stderr=StringIO())


def alter_description(before, after):
    """Change a column: on SQLite Django makes a new table for it, and the triggers are gone."""
    for field in (before, after):
        field.set_attributes_from_name("description")
        field.model = Segment
    with connection.schema_editor() as editor:
        editor.alter_field(Segment, before, after)


@pytest.mark.django_db(transaction=True)
def test_a_table_that_is_rebuilt_gets_them_back():
    before = names_on("segments_segment")
    long, short = models.TextField(blank=True), models.CharField(max_length=123, blank=True)
    alter_description(long, short)
    try:
        if connection.vendor == "sqlite":
            assert names_on("segments_segment") == set()
            assert check_triggers(["default"])[0].id == "segments.E011"
        call_command("migrate", verbosity=0)
        assert names_on("segments_segment") == before
        value = Token.objects.get().value
        Segment.objects.create(name="New")
        assert Token.objects.get().value != value
    finally:
        alter_description(short, long)
        call_command("migrate", verbosity=0)
    assert check_triggers(["default"]) == []


def test_an_outdated_one_is_replaced(monkeypatch):
    table = "segments_audience"
    before = names_on(table)

    def renamed():
        for trigger in triggers.token_triggers():
            yield trigger._replace(
                sqlite=trigger.sqlite and trigger.sqlite + " WHERE 1",
                postgresql=trigger.postgresql + " WHERE true"
                if "WHERE" not in trigger.postgresql
                else trigger.postgresql,
            )

    monkeypatch.setattr(triggers, "providers", [renamed])
    assert table in triggers.missing(connection)
    assert check_triggers(["default"])
    migrate()
    assert names_on(table).isdisjoint(before) and names_on(table)
    assert check_triggers(["default"]) == []
    # Those of the providers that are gone went too.
    assert names_on("segments_segmentperson") == set()


def test_a_disabled_one_counts_as_missing():
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL disables triggers")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE segments_segment DISABLE TRIGGER USER")
    assert check_triggers(["default"])[0].id == "segments.E011"


def test_a_trigger_of_somebody_else_is_left_alone():
    body = (
        "BEGIN SELECT 1; END"
        if connection.vendor == "sqlite"
        else "FOR EACH STATEMENT EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    )
    when = "AFTER INSERT" if connection.vendor == "sqlite" else "BEFORE UPDATE"
    if connection.vendor == "postgresql":
        body = "FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TRIGGER theirs {when} ON segments_token {body}")
    migrate()
    assert "theirs" not in triggers.installed(connection)
    drop("theirs", "segments_token")


def test_the_name_of_a_trigger_tells_its_text():
    one = triggers.Trigger("a", "INSERT", "x", "y")
    assert one.name == triggers.Trigger("a", "INSERT", "x", "y").name
    others = [one._replace(**{field: "z"}) for field in one._fields]
    assert len({trigger.name for trigger in [one, *others]}) == 6
    assert all(len(trigger.name) <= 63 for trigger in others)


@pytest.mark.django_db(transaction=True)
def test_flushing_the_database_leaves_it_ready_for_use():
    """Rows that always exist are back, and the next audience does not collide with them."""
    call_command("flush", interactive=False, verbosity=0)
    assert check_triggers(["default"]) == []
    assert {s.built_in for s in Segment.objects.all()} == {"signed_in_users", "staff"}
    assert (Audience.nobody().pk, Audience.everyone().pk) == (1, 2)
    assert Token.objects.get().value
    assert Audience.of(*Segment.objects.all()).pk > 2


@pytest.mark.django_db(transaction=True)
def test_migrating_again_changes_nothing():
    before = triggers.installed(connection), [*Segment.objects.values(), *Audience.objects.values()]
    call_command("migrate", verbosity=0)
    after = triggers.installed(connection), [*Segment.objects.values(), *Audience.objects.values()]
    assert after == before

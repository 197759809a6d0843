"""What is recorded of changes, value by value, and the SQL that records it."""

from collections import Counter

import pytest

from accounts.models import User
from segments import history
from segments.history import Watched, acting_as, history_triggers, recorded_fields
from segments.models import Actor, Audience, Change
from tests.factories_content import ArticleFactory
from tests.factories_people import PersonFactory

NOBODY = 1
# Table -> (whose change it is, column of the object, field, default of what is unremarkable).
COLUMNS = [
    ("segments_segment", "segments.segment", "name", "name", None),
    ("segments_segment", "segments.segment", "description", "description", None),
    ("segments_segment", "segments.segment", "user_type", "user_type", None),
    ("segments_segment", "segments.segment", "conditions", "conditions", None),
    ("helpcenter_helpcenter", "helpcenter.helpcenter", "audience_id", "audience", NOBODY),
    ("helpcenter_category", "helpcenter.category", "audience_id", "audience", NOBODY),
    ("helpcenter_section", "helpcenter.section", "audience_id", "audience", NOBODY),
    ("helpcenter_article", "helpcenter.article", "audience_id", "audience", NOBODY),
    ("helpcenter_permissiongroup", "helpcenter.permissiongroup", "edit_id", "edit", NOBODY),
    ("helpcenter_permissiongroup", "helpcenter.permissiongroup", "publish_id", "publish", NOBODY),
    ("accounts_user", "accounts.user", "role", "role", "end_user"),
    ("accounts_user", "accounts.user", "language", "language", None),
    ("accounts_user", "accounts.user", "is_active", "is_active", True),
    ("accounts_tag", "accounts.tag", "name", "tag", None),
]
LINKS = [
    ("accounts_organizationmembership", "accounts.user", "user_id", "organization_id"),
    ("accounts_user_agent_groups", "accounts.user", "user_id", "agentgroup_id"),
    ("accounts_user_tags", "accounts.user", "user_id", "tag_id"),
    ("accounts_organization_tags", "accounts.organization", "organization_id", "tag_id"),
]
NAMES = {"organization_id": "organization", "agentgroup_id": "group", "tag_id": "tag"}
PEOPLE = Watched(
    "segments_segmentperson",
    "segments.segment",
    "segment_id",
    "id",
    "{row}.kind || ' ' || {row}.user_id || COALESCE(' until ' || {row}.until, '')",
    "people",
    None,
    True,
)
INTO = "INSERT INTO segments_change (at, actor, model, object_id, field, before, after) SELECT"
ON_SQLITE = f"{INTO} STRFTIME('%Y-%m-%d %H:%M:%f', 'now'), (SELECT name FROM segments_actor), "
ON_POSTGRESQL = (
    f"{INTO} statement_timestamp(), NULLIF(current_setting('segments.actor', true), ''), "
)


def test_everything_that_decides_is_watched():
    columns = {
        Watched(table, model, "id", "id", f'{{row}}."{column}"', field, default, "segment" in model)
        for table, model, column, field, default in COLUMNS
        if model != "segments.segment"
    }
    of_segments = {
        Watched(table, model, "id", "id", f'{{row}}."{column}"', field, default, True)
        for table, model, column, field, default in COLUMNS
        if model == "segments.segment"
    }
    links = {
        Watched(table, model, ours, "id", f'{{row}}."{theirs}"', NAMES[theirs], None, True)
        for table, model, ours, theirs in LINKS
    }
    # Of people also as what brings them the tags of their organizations.
    by_tag = Watched(
        "accounts_organizationmembership",
        "accounts.user",
        "user_id",
        "id",
        '{row}."organization_id"',
        "tag",
        None,
        True,
    )
    assert {*history._watched()} == columns | of_segments | links | {PEOPLE, by_tag}


def test_there_is_a_trigger_for_each_event():
    """What goes away with its object is recorded only where something that stays has changed."""
    found = Counter((each.table, each.event) for each in history_triggers())
    expected: Counter = Counter()
    for table, model, *_rest in COLUMNS:
        expected.update([(table, "INSERT"), (table, "UPDATE")])
        if model == "segments.segment":
            expected[table, "DELETE"] += 1
    for table in ["segments_segmentperson", *(link[0] for link in LINKS)]:
        expected.update([(table, event) for event in ("INSERT", "UPDATE", "DELETE")])
    assert found == expected


WATCHED = Watched("a_table", "app.thing", "owner_id", "key", '{row}."x"', "colour", 7, True)


@pytest.mark.parametrize(
    ("event", "sqlite", "when", "postgresql"),
    [
        (
            "INSERT",
            "'app.thing', CAST(NEW.\"owner_id\" AS text), 'colour', NULL, CAST(NEW.\"x\" AS text)",
            'NEW."x" IS NOT 7',
            "'app.thing', CAST(new_rows.\"owner_id\" AS text), 'colour', NULL, "
            'CAST(new_rows."x" AS text) FROM new_rows WHERE new_rows."x" IS DISTINCT FROM 7',
        ),
        (
            "UPDATE",
            "'app.thing', CAST(NEW.\"owner_id\" AS text), 'colour', CAST(OLD.\"x\" AS text), "
            'CAST(NEW."x" AS text)',
            'OLD."x" IS NOT NEW."x"',
            "'app.thing', CAST(new_rows.\"owner_id\" AS text), 'colour', "
            'CAST(old_rows."x" AS text), CAST(new_rows."x" AS text) '
            'FROM old_rows JOIN new_rows ON old_rows."key" = new_rows."key" '
            'WHERE old_rows."x" IS DISTINCT FROM new_rows."x"',
        ),
        (
            "DELETE",
            "'app.thing', CAST(OLD.\"owner_id\" AS text), 'colour', CAST(OLD.\"x\" AS text), NULL",
            'OLD."x" IS NOT NULL',
            "'app.thing', CAST(old_rows.\"owner_id\" AS text), 'colour', "
            'CAST(old_rows."x" AS text), NULL '
            'FROM old_rows WHERE old_rows."x" IS DISTINCT FROM NULL',
        ),
    ],
)
def test_one_change_is_written_of_each_value(event, sqlite, when, postgresql):
    trigger = history._record(WATCHED, event)
    assert (trigger.table, trigger.event) == ("a_table", event)
    assert (trigger.sqlite, trigger.when) == (ON_SQLITE + sqlite, when)
    assert trigger.postgresql == ON_POSTGRESQL + postgresql


@pytest.mark.parametrize(
    ("value", "on_sqlite", "on_postgresql"),
    [
        (None, "NULL", "NULL"),
        (True, "1", "true"),
        (False, "NOT 1", "NOT true"),
        (7, "7", "7"),
        ("it's", "'it''s'", "'it''s'"),
    ],
)
def test_defaults_are_written_as_literals(value, on_sqlite, on_postgresql):
    trigger = history._record(WATCHED._replace(default=value), "INSERT")
    assert trigger.when == f'NEW."x" IS NOT {on_sqlite}'
    assert trigger.postgresql.endswith(f" IS DISTINCT FROM {on_postgresql}")


def test_which_field_of_a_person_a_name_in_the_history_means():
    names = {name: field.name for name, field in recorded_fields(User).items()}
    assert names == {
        "organization": "organizations",
        "group": "agent_groups",
        "tag": "tags",
        "role": "role",
        "language": "language",
        "is_active": "is_active",
    }


@pytest.mark.django_db
def test_of_an_actor_nobody_wrote_down_nothing_is_known():
    """Raw SQL may have emptied the table that SQLite asks."""
    Actor.objects.all().delete()
    article = ArticleFactory(audience=Audience.nobody())
    with acting_as("somebody"):
        article.audience = Audience.everyone()
        article.save()
    assert Change.objects.of(article).filter(field="audience").exists()


@pytest.mark.django_db
def test_actors_are_named_while_they_act():
    article, ada = ArticleFactory(audience=Audience.nobody()), PersonFactory()
    for audience, actor in [(Audience.everyone(), str(ada.pk)), (Audience.nobody(), "a command")]:
        with acting_as(actor):
            article.audience = audience
            article.save()
    with acting_as("outside"):
        with acting_as("inside"):
            article.audience = Audience.everyone()
            article.save()
        article.audience = Audience.nobody()
        article.save()
    with acting_as(None):
        article.audience = Audience.everyone()
        article.save()
    actors = Change.objects.of(article).order_by("pk").values_list("actor", flat=True)
    assert [*actors] == [str(ada.pk), "a command", "inside", "outside", None]

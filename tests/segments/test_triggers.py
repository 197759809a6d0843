"""The triggers are there, are the right ones, and come back when something took them away."""

import subprocess
import sys
import threading
import time
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import DatabaseError, OperationalError, connection, models, transaction

from accounts.models import User
from helpcenter import search
from helpcenter.builtin import restore_after_migrate
from helpcenter.models import Article, ArticleTranslation, PermissionGroup, Section
from segments import triggers
from segments.apps import make_way, restore
from segments.checks import check_triggers
from segments.models import Actor, Audience, Change, Segment, Token
from tests.factories_content import ArticleFactory

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


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
    marks = {"signed_in_users", "staff", "nobody", "ancestors"}
    assert {s.built_in for s in Segment.objects.all()} == marks
    assert (Audience.nobody().pk, Audience.everyone().pk) == (1, 2)
    assert Token.objects.get().value
    assert Audience.of(*Segment.objects.assignable()).pk > 2


@pytest.mark.django_db(transaction=True)
def test_migrating_again_changes_nothing():
    before = triggers.installed(connection), [*Segment.objects.values(), *Audience.objects.values()]
    call_command("migrate", verbosity=0)
    after = triggers.installed(connection), [*Segment.objects.values(), *Audience.objects.values()]
    assert after == before


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def on_postgresql(test):
    return pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's")(test)


def on_sqlite(test):
    return pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's")(test)


@on_postgresql
@pytest.mark.parametrize("how", ["DISABLE TRIGGER", "ENABLE REPLICA TRIGGER"])
def test_one_that_does_not_fire_is_repaired(how):
    for name in names_on("segments_segment"):
        sql(f"ALTER TABLE segments_segment {how} {name}")
        assert check_triggers(["default"])[0].id == "segments.E011"
        migrate()
        assert check_triggers(["default"]) == []
    before = Token.objects.get().value
    Segment.objects.create(name="New")
    assert Token.objects.get().value != before


def test_what_changed_while_they_were_missing_is_noticed_afterwards():
    """Processes that compiled the rules before would never learn of it otherwise."""
    segment = Segment.objects.create(name="Old")
    before = Token.objects.get().value
    for name in names_on("segments_segment"):
        drop(name, "segments_segment")
    Segment.objects.filter(pk=segment.pk).update(user_type="staff")
    assert Token.objects.get().value == before
    migrate()
    assert Token.objects.get().value != before


def rebuild(model):
    """What Django does on SQLite to change a column."""
    with connection.schema_editor() as editor:
        editor._remake_table(model)


@on_sqlite
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", [Segment, Audience, User, Section, PermissionGroup])
def test_a_rebuilt_table_loses_them_until_migrate(model):
    table = model._meta.db_table
    before = names_on(table)
    rebuild(model)
    assert before and names_on(table) == set()
    assert check_triggers(["default"])[0].id == "segments.E011"
    migrate()
    assert names_on(table) == before and check_triggers(["default"]) == []


@on_sqlite
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("model", [Change, Actor, Token, Article, ArticleTranslation])
def test_a_table_that_other_triggers_name_is_rebuilt_without_them(model):
    with pytest.raises(OperationalError, match="error in trigger"):
        rebuild(model)
    # Nothing was lost by the attempt.
    assert check_triggers(["default"]) == []
    triggers.uninstall(connection)
    rebuild(model)
    migrate()
    assert check_triggers(["default"]) == []


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "table", ["segments_segment", "segments_audience", "segments_audiencesegment", "accounts_tag"]
)
def test_truncating_renews_the_token(table):
    before = Token.objects.get().value
    sql(f"TRUNCATE {table} CASCADE")
    assert Token.objects.get().value != before


@pytest.mark.django_db(transaction=True)
def test_after_two_flushes_audiences_have_fresh_ids():
    """Test suites flush after each test: no id of before may mean another audience now."""
    for _ in range(3):
        tokens = {Token.objects.get().value}
        audience = Audience.of(*Segment.objects.assignable())
        assert audience.pk > 2
        assert (Audience.nobody().key, Audience.everyone().key) == ("nobody", "everyone")
        call_command("flush", interactive=False, verbosity=0)
        assert Token.objects.get().value not in tokens
        assert PermissionGroup.objects.get().built_in


@pytest.mark.django_db(transaction=True)
def test_the_commands_of_a_real_process(process_env):
    """`check` fails, `migrate` repairs although the same check would stop it, `check` passes."""

    def manage(*arguments):
        command = [sys.executable, "manage.py", *arguments]
        environment = process_env | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)

    check = ["check", "--database", "default"]
    drop(min(names_on("helpcenter_article")), "helpcenter_article")
    failed = manage(*check)
    assert failed.returncode == 1 and "segments.E011" in failed.stderr
    assert "helpcenter_article" in failed.stderr
    assert manage("migrate", "--verbosity=0").returncode == 0
    assert check_triggers(["default"]) == []


# Article.published -------------------------------------------------------------------------------


def translation(article, locale):
    return article.translations.filter(locale=locale)


def raw_draft(value):
    def write(article):
        sql(
            "UPDATE helpcenter_articletranslation SET draft = %s WHERE article_id = %s",
            value,
            article.pk,
        )

    return write


def save_draft(value):
    def write(article):
        words = article.translations.get()
        words.draft = value
        words.save()

    return write


def add(draft):
    return lambda article: article.translations.create(locale="fr", title="Deux", draft=draft)


def move_words(article):
    """The words go to another article, which is published by them."""
    other = ArticleFactory(draft=True)
    other.translations.all().delete()
    article.translations.update(article=other)
    other.refresh_from_db()
    assert other.published


def set_by_hand(value):
    def write(article):
        article.published = value
        article.save()

    return write


# Before, what happens, after.
PUBLISHED = {
    "save draft": (True, save_draft(True), False),
    "save published": (False, save_draft(False), True),
    "update draft": (True, lambda a: a.translations.update(draft=True), False),
    "update published": (False, lambda a: a.translations.update(draft=False), True),
    "raw draft": (True, raw_draft(True), False),
    "raw published": (False, raw_draft(False), True),
    "another draft": (True, add(draft=True), True),
    "another published": (False, add(draft=False), True),
    "deleted": (True, lambda a: a.translations.all().delete(), False),
    "raw deleted": (True, lambda a: sql("DELETE FROM helpcenter_articletranslation"), False),
    "moved": (True, move_words, False),
    "by hand": (False, set_by_hand(True), False),
    "by hand, taken": (True, set_by_hand(False), True),
    "update by hand": (False, lambda a: Article.objects.update(published=True), False),
    "raw by hand": (True, lambda a: sql("UPDATE helpcenter_article SET published = false"), True),
    "no change": (True, lambda a: a.translations.update(title="Un"), True),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_an_article_is_published_while_one_translation_is(name):
    before, change, after = PUBLISHED[name]
    article, bystander = ArticleFactory(draft=not before), ArticleFactory(draft=before)
    assert article.published == before
    change(article)
    article.refresh_from_db()
    assert article.published == after
    bystander.refresh_from_db()
    is_published = bystander.translations.filter(draft=False).exists()
    assert bystander.published == is_published


def test_an_article_is_not_created_published():
    section = ArticleFactory().section
    Article.objects.bulk_create([Article(section=section, published=True)])
    assert not Article.objects.get(translations=None).published


def test_deleting_the_author_or_the_shelf_keeps_it_true():
    article, other = ArticleFactory(), ArticleFactory()
    article.section.delete()
    other.refresh_from_db()
    assert other.published and Article.objects.count() == 1


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_two_who_unpublish_the_last_two_translations_at_once(elsewhere):
    """Each sees the other's translation still published; the article is not, in the end."""
    article = ArticleFactory()
    article.translations.create(locale="fr", title="Deux", draft=False)
    other = threading.Thread(
        target=lambda: elsewhere(lambda: translation(article, "fr").update(draft=True))
    )
    with transaction.atomic():
        translation(article, "en-us").update(draft=True)
        other.start()
        # Until it waits for the row of the article.
        wait_for("SELECT 1 FROM pg_locks WHERE NOT granted")
    other.join(20)
    article.refresh_from_db()
    assert not article.translations.filter(draft=False).exists()
    assert not article.published


def wait_for(statement):
    end = time.monotonic() + 10
    with connection.cursor() as cursor:
        while time.monotonic() < end:
            cursor.execute(statement)
            if cursor.fetchone():
                return
    raise AssertionError(f"never true: {statement}")


# The index of the search -------------------------------------------------------------------------


def found(word):
    translations = ArticleTranslation.objects.all()
    return set(search.search(translations, word).values_list("pk", flat=True))


def rewrite(words):
    words.title, words.body = "Two", "second"
    words.save()


INDEXED = {
    "save": rewrite,
    "update": lambda words: ArticleTranslation.objects.update(
        search_title="two", search_text="second"
    ),
    "raw": lambda words: sql(
        "UPDATE helpcenter_articletranslation SET search_title = 'two', search_text = 'second'"
    ),
}


@pytest.mark.parametrize("way", INDEXED)
def test_search_finds_what_is_written_and_nothing_older(way):
    words = ArticleFactory(title="One", body="first").translations.get()
    assert found("first") == found("one") == {words.pk}
    INDEXED[way](words)
    assert found("first") == found("one") == set()
    assert found("second") == found("two") == {words.pk}
    check_index()


@pytest.mark.parametrize(
    "delete",
    [
        lambda words: words.delete(),
        lambda words: ArticleTranslation.objects.all().delete(),
        lambda words: words.article.section.delete(),
        lambda words: sql("DELETE FROM helpcenter_articletranslation"),
    ],
    ids=["row", "queryset", "cascade", "raw"],
)
def test_search_forgets_what_is_deleted(delete):
    words = ArticleFactory(body="first").translations.get()
    delete(words)
    assert found("first") == set()
    check_index()


def check_index():
    """SQLite compares its index with the table itself; an error if they differ."""
    if connection.vendor == "sqlite":
        sql(f"INSERT INTO {search.INDEX} ({search.INDEX}, rank) VALUES ('integrity-check', 1)")


@on_sqlite
@pytest.mark.parametrize("event", ["INSERT", "UPDATE", "DELETE"])
def test_an_index_out_of_step_would_be_noticed(event):
    words = ArticleFactory(body="first").translations.get()
    for trigger in search.triggers():
        if trigger.event == event:
            drop(trigger.name, trigger.table)
    {
        "INSERT": lambda: ArticleFactory(body="second"),
        "UPDATE": lambda: rewrite(words),
        "DELETE": lambda: words.delete(),
    }[event]()
    with pytest.raises(DatabaseError), transaction.atomic():
        check_index()


@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_migrations_run_without_triggers_and_catch_up_afterwards():
    """What `migrate` does around its plan: SQLite rebuilds tables, data migrations write words."""
    article = ArticleFactory(title="Before", audience=Audience.everyone())
    make_way("default", plan=["a migration"])
    assert triggers.installed(connection) == {}
    rebuild(Article)
    sql("UPDATE helpcenter_articletranslation SET draft = true, search_title = 'afterwards'")
    restore_after_migrate("default", plan=["a migration"])
    migrate()
    assert check_triggers(["default"]) == []
    assert not Article._base_manager.get(pk=article.pk).published
    assert search.search(ArticleTranslation._base_manager.all(), "afterwards").count() == 1
    assert search.search(ArticleTranslation._base_manager.all(), "before").count() == 0


def by_place(found):
    return {(each.table, each.event): each for each in found}


def test_a_token_is_renewed_by_whatever_rules_are_made_from():
    found = by_place(triggers.token_triggers())
    rules = ["segments_segment", "segments_audience", "segments_audiencesegment"]
    values = ["accounts_organization", "accounts_agentgroup", "accounts_tag"]
    assert found.keys() == {
        *((table, event) for table in rules for event in triggers.TRANSITION_TABLES),
        *((table, event) for table in values for event in ("DELETE", "TRUNCATE", "UPDATE")),
    }
    on_sqlite = "UPDATE segments_token SET value = lower(hex(randomblob(16)))"
    on_postgresql = "UPDATE segments_token SET value = gen_random_uuid()::text"
    for (table, event), trigger in found.items():
        column = "name" if table == "accounts_tag" else "id"
        is_renaming = table in values and event == "UPDATE"
        old, new = (f'SELECT "{column}" FROM {rows}' for rows in ("old_rows", "new_rows"))
        where = f" WHERE EXISTS ({old} EXCEPT {new})" if is_renaming else ""
        assert trigger.postgresql == on_postgresql + where
        assert trigger.sqlite == ("" if event == "TRUNCATE" else on_sqlite)
        when = f'OLD."{column}" IS NOT NEW."{column}"' if is_renaming else ""
        assert trigger.when == when


@pytest.mark.parametrize(
    ("when", "words"), [("OLD.x IS NOT NEW.x", "WHEN OLD.x IS NOT NEW.x "), ("", "")]
)
def test_how_a_trigger_is_created(when, words):
    trigger = triggers.Trigger("a_table", "UPDATE", "SELECT 1", "SELECT 2", when)
    name = trigger.name
    assert trigger.create("sqlite") == [
        f'CREATE TRIGGER {name} AFTER UPDATE ON "a_table" FOR EACH ROW {words}BEGIN SELECT 1; END'
    ]
    assert trigger.create("postgresql") == [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN SELECT 2; RETURN NULL; END$$",
        f'CREATE OR REPLACE TRIGGER {name} AFTER UPDATE ON "a_table" '
        "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()",
    ]


def test_without_a_migration_nothing_makes_way():
    make_way("default")
    assert triggers.missing(connection) == []

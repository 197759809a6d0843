"""The full-text indexes, which Django's models cannot describe, and the built-in permission group."""

from django.db import migrations

from helpcenter import builtin, search

TITLE, TEXT = "search_title", "search_text"


def create_index(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        # Without content of its own: the triggers of search.py keep it in step with the table.
        schema_editor.execute(
            f"CREATE VIRTUAL TABLE {search.INDEX} USING fts5({TITLE}, {TEXT}, "
            f"content='{search.TABLE}', content_rowid='id', tokenize='unicode61')"
        )
    else:
        vector = search.vector(TITLE, TEXT)
        schema_editor.execute(
            f"CREATE INDEX {search.INDEX} ON {search.TABLE} USING gin (({vector}))"
        )


def drop_index(apps, schema_editor):
    kind = "TABLE" if schema_editor.connection.vendor == "sqlite" else "INDEX"
    schema_editor.execute(f"DROP {kind} {search.INDEX}")


def create_managers(apps, schema_editor):
    builtin.restore_rows(schema_editor.connection.alias, apps.get_model)


class Migration(migrations.Migration):
    dependencies = [("helpcenter", "0001_initial"), ("segments", "0002_builtin_rows")]

    operations = [
        migrations.RunPython(create_index, drop_index),
        migrations.RunPython(create_managers, migrations.RunPython.noop),
    ]

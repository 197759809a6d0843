"""An index by the words of names, for PostgreSQL: accounts.finding searches by it."""

from django.db import migrations

CREATE = """
CREATE INDEX IF NOT EXISTS accounts_user_name_words ON accounts_user
USING gin (to_tsvector('simple'::regconfig, COALESCE("accounts_user"."name", '')))
"""


def create(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(CREATE)


def drop(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX IF EXISTS accounts_user_name_words")


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_zendesk_shape")]

    operations = [migrations.RunPython(create, drop)]

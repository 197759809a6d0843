"""The rows that always exist, early enough for content tables whose default audience is a row."""

from django.db import migrations

from segments.builtin import restore_rows


def create(apps, schema_editor):
    restore_rows(schema_editor.connection.alias, apps.get_model)


class Migration(migrations.Migration):
    dependencies = [("segments", "0001_initial")]

    operations = [migrations.RunPython(create, migrations.RunPython.noop)]

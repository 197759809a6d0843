"""Two built-in segments that nobody is in, and the constraint that lets their marks be stored."""

from django.db import migrations, models

from segments.builtin import restore_rows


def create(apps, schema_editor):
    restore_rows(schema_editor.connection.alias, apps.get_model)


class Migration(migrations.Migration):
    dependencies = [("segments", "0002_builtin_rows")]

    operations = [
        migrations.RemoveConstraint("segment", "segments_segment_built_in"),
        migrations.AddConstraint(
            "segment",
            models.CheckConstraint(
                condition=models.Q(
                    ("built_in", None),
                    ("built_in", models.F("user_type")),
                    ("built_in__in", ["nobody", "ancestors"]),
                    _connector="OR",
                ),
                name="segments_segment_mark",
            ),
        ),
        migrations.RunPython(create, migrations.RunPython.noop),
    ]

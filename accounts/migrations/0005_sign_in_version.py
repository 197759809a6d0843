from django.db import migrations

import accounts.fields


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0004_role_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="sign_in_version",
            field=accounts.fields.TriggerField(db_default=0, default=0, editable=False),
        ),
    ]

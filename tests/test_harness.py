"""The tests do not run with more rights than a site has, nor write where its data could be."""

import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent


def test_whatever_tests_write_is_outside_the_checkout():
    assert ROOT not in settings.DATA_DIR.parents
    assert settings.DATA_DIR in settings.MEDIA_ROOT.parents


@pytest.mark.django_db
def test_the_database_role_is_not_a_superuser():
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            assert cursor.fetchone() == (False,)


def test_another_process_sees_what_a_test_writes(process_env, django_user_model):
    person = django_user_model.objects.create(email="maria@example.com")
    code = (
        "import django; django.setup();"
        "from django.contrib.auth import get_user_model as model;"
        "print(model().objects.get().pk)"
    )
    second = [sys.executable, "-c", code]
    shown = subprocess.run(second, env=process_env, cwd=ROOT, capture_output=True, text=True)
    assert shown.stdout.split() == [str(person.pk)], shown.stderr

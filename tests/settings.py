"""The site's settings for the tests: whatever they write goes into a temporary folder."""

import os
import secrets
import tempfile
from pathlib import Path

import pytest  # noqa: F401  helpcenter.settings recognises a test run by it

# conftest.py makes the folder and removes it; second processes are told theirs by process_env.
os.environ["DATA_DIR"] = os.environ.get("TEST_DATA_DIR") or str(
    Path(tempfile.gettempdir()) / f"helpcenter-tests-{secrets.token_hex(8)}"
)
os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(50))
for name in ("DEBUG", "DEMO"):
    os.environ.pop(name, None)

from helpcenter.settings import *  # noqa: E402, F403
from helpcenter.settings import DATA_DIR, DATABASES  # noqa: E402

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file: an in-memory database would be invisible to live servers and second processes.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"]["init_command"] += " PRAGMA synchronous=OFF;"
    if wait := os.environ.get("TEST_SQLITE_TIMEOUT"):
        DATABASES["default"]["OPTIONS"]["timeout"] = int(wait)
else:
    # Its own name, because two runs may share one server (DATABASE_URL).
    DATABASES["default"]["TEST"] = {"NAME": f"test_helpcenter_{secrets.token_hex(4)}"}
    DATABASES["default"]["CONN_MAX_AGE"] = int(os.environ.get("TEST_CONN_MAX_AGE", 0))
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

"""`segments` without this repository: its wheel, in another project, on the same database."""

import os
import re
import secrets
import subprocess
import sys
import textwrap
import zipfile
from email import message_from_string
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import words

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "tests" / "otherproject"
README = ROOT / "README.md"
# Imports all of the plugin but its file for REST framework, and says what came along.
IMPORT_ALL = """
import importlib, pkgutil, sys
import django, segments
django.setup()
for module in pkgutil.walk_packages(segments.__path__, "segments."):
    if module.name != "segments.rest_framework":
        importlib.import_module(module.name)
print(segments.__file__)
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of `segments`, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder that has the plugin as an installer leaves it: a pure wheel is only unpacked."""
    folder = tmp_path_factory.mktemp("installed")
    wheel.extractall(folder)
    return folder


@pytest.fixture
def env(installed, tmp_path):
    """Where the other project runs: with the installed plugin, a new database, and nothing else."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("DJANGO_")}
    with_database = plain | {
        "PYTHONPATH": os.pathsep.join(map(str, [installed, PROJECT])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DJANGO_SETTINGS_MODULE": "settings",
    }
    server = os.environ.get("DATABASE_URL", "")
    if not server.startswith("postgres"):
        yield with_database | {"DATABASE_URL": f"sqlite:///{tmp_path / 'library.sqlite3'}"}
        return
    name = f"library_{secrets.token_hex(4)}"
    url = urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield with_database | {"DATABASE_URL": url}
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def run(*arguments, cwd, env=None):
    """What Python prints when it is given the arguments; a failure shows everything it said."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_contains_only_the_plugin(wheel):
    tracked = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "segments").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == tracked
    compiled = [f"locale/{language}/LC_MESSAGES/django.mo" for language in words.LANGUAGES]
    for needed in ("migrations/0001_initial.py", "templatetags/segments.py", *compiled):
        assert f"segments/{needed}" in packed
    assert any(name.startswith("segments/templates/") for name in packed)


def test_the_wheel_requires_only_django(wheel):
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    required = message_from_string(wheel.read(metadata).decode()).get_all("Requires-Dist")
    always = [each for each in required if "extra ==" not in each]
    assert [re.match(r"[\w-]+", each)[0].lower() for each in always] == ["django"]
    assert {each.split("extra == ")[1].strip("'\"") for each in required if each not in always} == {
        "rest"
    }


def test_the_plugin_imports_nothing_else(env, installed, tmp_path):
    file, modules = run("-c", IMPORT_ALL, cwd=tmp_path, env=env).splitlines()
    assert Path(file) == installed / "segments" / "__init__.py"
    assert not {"helpcenter", "accounts", "rest_framework", "allauth"} & set(modules.split())


def test_the_other_project_works(env, installed, tmp_path):
    def manage(*arguments):
        return run("-W", "error", PROJECT / "manage.py", *arguments, cwd=tmp_path, env=env)

    where = manage("shell", "--no-imports", "-c", "import segments; print(segments.__file__)")
    assert Path(where.strip()).is_relative_to(installed)
    manage("migrate", "--no-color")
    manage("check", "--database", "default", "--fail-level", "WARNING")
    manage("makemigrations", "--check", "--dry-run")
    manage("test", "tests", "--noinput")


def test_a_missing_trigger_is_noticed_and_comes_back(env, tmp_path):
    drop = (
        "from django.db import connection; from segments import triggers; "
        "name, table = next(iter(triggers.installed(connection).items())); "
        "on = f' ON {table}' if connection.vendor == 'postgresql' else ''; "
        "connection.cursor().execute(f'DROP TRIGGER {name}{on}')"
    )

    def manage(*arguments):
        return run(PROJECT / "manage.py", *arguments, cwd=tmp_path, env=env)

    manage("migrate")
    manage("shell", "--no-imports", "-c", drop)
    with pytest.raises(AssertionError, match="segments.E011"):
        manage("check", "--database", "default")
    manage("migrate")
    manage("check", "--database", "default")


def quotable(path):
    """The parts of a file of the other project that the README may show, without indentation."""
    text = (ROOT / path).read_text()
    parts = re.findall(
        r"^[^\n]*\[readme:\w+\][^\n]*\n(.*?)^[^\n]*\[/readme\]", text, re.DOTALL | re.MULTILINE
    )
    return [textwrap.dedent(part).strip() for part in parts]


def code_blocks(text):
    """(the file that a `<!-- from … -->` comment right above names, or "", language, code)."""
    pattern = r"(?:<!-- from (\S+) -->\n+)?^```(\w+)[^\n]*\n(.*?)^```$"
    return re.findall(pattern, text, re.DOTALL | re.MULTILINE)


def strangers(text):
    """The code of the README that is not, letter for letter, code of the other project."""
    return [
        code
        for path, language, code in code_blocks(text)
        if path or language in {"python", "django", "html"}
        if not path or not code.strip() or not any(code.strip() in p for p in quotable(path))
    ]


def test_the_readme_shows_the_code_of_this_project():
    shown = [path for path, _language, _code in code_blocks(README.read_text()) if path]
    assert shown, "The README shows nothing that a `<!-- from tests/otherproject/… -->` precedes."
    assert strangers(README.read_text()) == []


def test_a_changed_example_is_noticed():
    quoted = quotable("tests/otherproject/library/admin.py")[0]
    comment = "<!-- from tests/otherproject/library/admin.py -->\n"
    assert strangers(f"{comment}```python\n{quoted}\n```\n") == []
    assert strangers(f"{comment}```python\n{quoted.replace('Folder', 'Shelf')}\n```\n")
    assert strangers(f"{comment}```python\n```\n")
    assert strangers(f"```python\n{quoted}\n```\n")

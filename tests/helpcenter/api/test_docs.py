"""docs/api.md: every command runs, and its tables name every address there is."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from segments.checks import walk_urls
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory, HelpCenterFactory, SectionFactory
from tests.factories_people import PersonFactory

PAGE = Path(__file__).parents[3] / "docs" / "api.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.S)


def offered():
    """(verb, path with {} for arguments) of every address."""
    for name, route, pattern in walk_urls():
        if name.startswith("api:") and not re.search(r"\.json$|<locale:locale>", route):
            path = "/" + re.sub(r"<(\w+:)?\w+>", "{}", route.removeprefix("api/v2/"))
            yield from ((verb.upper(), path) for verb in pattern.callback.actions if verb != "head")


def rows():
    """(verb, path, what the row says of it) of every row of the tables."""
    for line in TEXT.splitlines():
        if match := re.match(r"\| (GET|POST|PUT|DELETE) \| `([^`]+)` \|(.*)$", line):
            verb, path, rest = match.groups()
            yield (
                verb,
                re.sub(r"{\w+}", "{}", path),
                [each.strip() for each in rest.removesuffix("|").split("|")],
            )


def test_the_tables_are_complete():
    here, absent = set(), set()
    for verb, path, words in rows():
        (absent if "not offered" in words else here).add((verb, path))
        assert "not offered" not in words or words[-1], f"{verb} {path}: why not?"
    assert here == set(offered())
    assert not absent & here


@pytest.fixture
def curl():
    """The program that the page's commands use; `.ci/run` installs it and cannot do without."""
    if not shutil.which("curl"):
        if os.environ.get("BROWSER_TESTS") == "required":
            pytest.fail("no curl on this machine")
        pytest.skip("no curl on this machine: the commands of docs/api.md were not run")


@pytest.mark.parametrize("block", BLOCKS)
def test_the_commands_run(block, curl, live_server, transactional_db, token_of, tmp_path):
    admin = PersonFactory(
        email="ada@example.com", role="admin", organizations=["Acme"], verified=True
    )
    section = SectionFactory(category__help_center=HelpCenterFactory())
    article = ArticleFactory(section=section, audience=Audience.everyone())
    segment = Segment.objects.create(
        name="Staff", conditions=[{"attribute": "role", "operator": "any", "values": ["agent"]}]
    )
    (tmp_path / "plan.txt").write_text("a plan")
    names = {
        "HELP": live_server.url,
        "EMAIL": admin.email,
        "TOKEN": token_of(admin),
        "SECTION": section.pk,
        "ARTICLE": article.pk,
        "SEGMENT": segment.pk,
        "PERMISSION_GROUP": article.permission_group_id,
        "ORGANIZATION": admin.organizations.get().pk,
        "FILE": tmp_path / "plan.txt",
    }
    environment = os.environ | {name: str(value) for name, value in names.items()}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    # One JSON object for each command.
    decoder, text, count = json.JSONDecoder(), done.stdout.strip(), 0
    while text:
        _answer, end = decoder.raw_decode(text)
        text, count = text[end:].strip(), count + 1
    assert count == len(re.findall(r"^curl", block, re.M))

"""What the folders promise: who imports whom, and where nothing may hide."""

from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent


def test_no_import_runs_backwards(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


@pytest.mark.parametrize("name", ["utils", "helpers", "services", "managers", "constants"])
def test_segments_has_no_second_place_for_the_rule(name):
    assert not list((ROOT / "segments").rglob(f"{name}*"))


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_name_no_host_and_no_path(name):
    requirements = (ROOT / name).read_text()
    assert "--hash=sha256:" in requirements
    for trace in ("://", "file:", "--index-url", "--find-links", "/"):
        assert trace not in requirements

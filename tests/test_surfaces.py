"""docs/surfaces.md: complete, and as the tests say."""

import ast

import pytest

from tests import surfaces

pytestmark = pytest.mark.once


def test_every_surface_is_watched_or_cannot_exist():
    watched = {number for number, _name in surfaces.marked_tests()}
    assert set(surfaces.CHANNELS) == set(range(1, 57)) == watched | set(surfaces.CANNOT)
    assert all(name.rpartition("::")[2].startswith("test_") for _n, name in surfaces.marked_tests())


def test_the_page_is_as_the_tests_say():
    assert surfaces.PAGE.read_text() == surfaces.page(), "run `python -m tests.surfaces`"


@pytest.mark.parametrize(
    ("text", "found"), [("surface(3, 4)", [3, 4]), ("fuzz", []), ("surface", [])]
)
def test_marks_are_read_from_the_sources(text, found):
    (function,) = ast.parse(f"@pytest.mark.{text}\ndef test_x(): pass").body
    assert list(surfaces._channels(function)) == found

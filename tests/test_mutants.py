"""Tests miss what a function of segments/ does when it does something else (mutants.py)."""

import pytest

from tests import mutants
from tests.call_sites import hunt_apart

SOURCE = """
LIMIT = 5
first = lambda row: row[0]

class Shelf:
    name = "shelf"

    @property
    def is_open(self, at_least=1) -> bool:
        if self.books > at_least and not self.locked:
            return True
        return False

    def lend(self, book):
        self.check(book, strict=True)
        raise ValueError("There is none.")
"""

MADE = [
    "<lambda>::first = lambda row: [row[0] → None]#0",
    "<lambda>::first = lambda row: row[[0 → 1]]#0",
    "Shelf.is_open::def is_open(self, at_least=[1 → 2]) -> bool:#0",
    "Shelf.is_open::if [self.books > at_least and not self.locked → "
    "not (self.books > at_least and not self.locked)]:#0",
    "Shelf.is_open::if self.books > at_least [and → or] not self.locked:#0",
    "Shelf.is_open::if self.books>[ → =] at_least and not se#0",
    "Shelf.is_open::if self.books > at_least and [not  → ]self.locked:#0",
    "Shelf.is_open::return [Tru → Non]e#0",
    "Shelf.is_open::return [Tru → Fals]e#0",
    "Shelf.is_open::return [Fals → Tru]e#0",
    "Shelf.lend::[self.check(book, strict=True) → pass]#0",
    "Shelf.lend::self.check([book → None], strict=True)#0",
    "Shelf.lend::self.check(book, [strict=True → ])#0",
    "Shelf.lend::self.check(book, strict=[Tru → Fals]e)#0",
    'Shelf.lend::[raise ValueError("There is none.") → pass]#0',
]


@pytest.mark.once
def test_a_mutant_is_noticed_or_found(tmp_path):
    """The positive control: one test notices what its function does, and nothing of a view."""
    known = "segments/ruleset.py::Ruleset.candidates::[found.update(self.by_value"
    missed = "segments/views.py::VisibleToViewerMixin.get_queryset::return"
    test = "tests/segments/test_ruleset.py::test_the_index_looks_at_few_of_many_rules"
    status, killed, alive, names = hunt_apart(
        "tests.mutants", "--log", tmp_path / "log", known, missed, "--tests", test
    )
    assert (status, killed, alive) == (1, 1, 1)
    assert [name.startswith(missed) for name in names] == [True]


@pytest.mark.once
def test_mutants_are_made_by_the_form_of_the_code(monkeypatch):
    monkeypatch.setattr(mutants, "source_of", lambda path: SOURCE)
    names = [mutant.name.partition("::")[2] for mutant in mutants.mutants_of("shelf.py")]
    assert names == MADE


@pytest.mark.fuzz
def test_random_mutants_are_noticed(budget, tally, request, tmp_path):
    seed = request.config.getoption("--hypothesis-seed") or 0
    status, killed, _alive, names = hunt_apart(
        "tests.mutants", "--log", tmp_path / "log", "--seconds", str(budget), "--seed", str(seed)
    )
    tally["mutants of segments/: noticed"] += killed
    assert (status, names) == (0, [])

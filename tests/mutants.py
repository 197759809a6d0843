"""Mutants of segments/: whether a test notices when a function does something a little different.

The changes are those of mutmut (comparisons, operators, arguments, constants, …) and a few more:
a condition turned round, a `return` without its value, a statement that is left out. Texts for
people are left alone, and so is what runs when a module is imported, as mutmut does it, but for
the functions that are written as a lambda there.

`python -m tests.mutants` tries all of them, or those whose name has one of the given texts in it.
mutmut itself would start pytest for each. Here every mutant is a fork of one process that has
imported everything and made the database, and runs the tests that went through the changed line:
first those that noticed its neighbours, then those that go through little else.
"""

from __future__ import annotations

import argparse
import ast
import functools
import gc
import importlib
import itertools
import json
import os
import random
import re
import resource
import signal
import sqlite3
import sys
import time
import traceback
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import libcst as cst
import libcst.matchers as m
import psycopg
import pytest
from coverage import CoverageData
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation import mutators

from tests import call_sites

ROOT = Path(__file__).resolve().parent.parent
KNOWN = Path(__file__).with_name("mutants.json")
TEXTS = {"_", "gettext", "gettext_lazy", "ngettext", "cast", "len", "isinstance", "TypeVar"}
LOGGED = {"debug", "info", "warning", "error", "exception"}
SECONDS = 20  # for one test; whatever takes longer with a mutant has noticed it
SURVIVED, NOTICED, BROKEN = 0, 1, 2
MEMORY = 6 * 2**30
ANY_AND_ALL = {"any": "all", "all": "any"}
UNREACHABLE = m.Raise(exc=m.Call(m.Name("AssertionError")))
# Modules that say what the triggers and policies in the database are.
INSTALLED = {f"segments/{name}.py" for name in ("history", "triggers", "policies")}


@dataclass(frozen=True)
class Mutant:
    """One change of one function. `owner` leads to the outermost function around it."""

    path: str
    owner: tuple[str, ...]
    number: int
    start: int
    end: int
    text: str
    lines: range
    is_default: bool
    is_none: bool

    @property
    def function(self) -> str:
        return f"{self.path}::{'.'.join(self.owner)}"

    @property
    def name(self) -> str:
        """Stays the same when other lines change: what is changed, in its surroundings."""
        source = source_of(self.path)
        before, after = source[self.start : self.end], self.text
        same = len(os.path.commonprefix([before, after]))
        rest = len(os.path.commonprefix([before[same:][::-1], after[same:][::-1]]))
        head = source[max(0, self.start + same - 40) : self.start + same]
        tail = source[self.end - rest : self.end - rest + 20]
        changed = f"[{before[same : len(before) - rest]} → {after[same : len(after) - rest]}]"
        words = " ".join(f"{head}{changed}{tail}".split())
        return f"{self.function}::{words}#{self.number}"

    def source(self) -> str:
        """The module with the change."""
        source = source_of(self.path)
        return source[: self.start] + self.text + source[self.end :]

    def plant(self) -> None:
        """Give the function, however it is decorated, the changed code in this process."""
        module = importlib.import_module(self.path.removesuffix(".py").replace("/", "."))
        wanted = ".".join(self.owner)
        functions = call_sites.functions_by_name()[module.__file__, wanted]
        of_line = {each.__code__.co_firstlineno: each for each in functions}
        tree = ast.parse(self.source())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and (function := of_line.get(_first_line(node))):
                if "__class__" in function.__code__.co_freevars:
                    # A function cannot get the code of one that has no such variable.
                    node.body += ast.parse("if False: __class__").body
                if self.is_default:
                    _plant_defaults(function, node.args, vars(module))
        compiled = compile(ast.fix_missing_locations(tree), str(module.__file__), "exec")
        codes = call_sites._codes(compiled, wanted)
        assert codes.keys() & of_line.keys(), f"{self.name}: no such function"
        for function in functions:
            if code := codes.get(function.__code__.co_firstlineno):
                function.__code__ = code
        _forget(functions_with_a_cache())
        if self.path in INSTALLED:
            _install()


def _first_line(node: ast.FunctionDef) -> int:
    return min([node.lineno, *(each.lineno for each in node.decorator_list)])


def _plant_defaults(function: Any, arguments: ast.arguments, names: dict[str, Any]) -> None:
    def value(node: ast.expr) -> Any:
        return eval(compile(ast.Expression(node), "default", "eval"), names)

    function.__defaults__ = tuple(map(value, arguments.defaults)) or None
    function.__kwdefaults__ = {
        argument.arg: value(default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default
    } or None


@functools.cache
def functions_with_a_cache() -> list[Any]:
    return [each for each in gc.get_objects() if type(each) is functools._lru_cache_wrapper]


def _forget(cached: list[Any]) -> None:
    """What the unchanged code found is not to be found again."""
    for each in cached:
        if each.__module__.startswith("segments"):
            each.cache_clear()


def _install() -> None:
    """Make the database as `migrate` would with the changed code; that it cannot is noticed."""
    from django.db import connections

    from segments import policies, triggers

    connection = connections["default"]
    try:
        triggers.uninstall(connection)
        triggers.install(connection)
        if policies.is_installed(connection):
            policies.install(connection)
    except Exception:
        os._exit(NOTICED)
    connection.close()


# Finding them -------------------------------------------------------------------------------------


@functools.cache
def source_of(path: str) -> str:
    return (ROOT / path).read_text()


def mutants() -> list[Mutant]:
    """Every mutant of the plugin, in the order of the source."""
    paths = sorted((ROOT / "segments").glob("*.py"))
    return [each for path in paths for each in mutants_of(path.relative_to(ROOT).as_posix())]


def mutants_of(path: str) -> list[Mutant]:
    """The mutants of one module."""
    wrapper = MetadataWrapper(cst.parse_module(source_of(path)), unsafe_skip_copy=True)
    finder = _Finder(path)
    wrapper.visit(finder)
    return finder.found


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.line_starts = [0]
        for line in source_of(path).splitlines(keepends=True):
            self.line_starts.append(self.line_starts[-1] + len(line))
        self.within: list[str] = []
        self.functions = 0  # how many functions deep
        self.defaults = 0
        self.found: list[Mutant] = []
        self.numbers: Counter[str] = Counter()

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.Annotation | cst.Decorator) or _is_text(node):
            if isinstance(node, cst.Raise) and self.functions and not m.matches(node, UNREACHABLE):
                self._add(node, "pass")
            return False
        if isinstance(node, cst.ClassDef | cst.FunctionDef | cst.Lambda) and not self.functions:
            self.within.append("<lambda>" if isinstance(node, cst.Lambda) else node.name.value)
        self.functions += isinstance(node, cst.FunctionDef | cst.Lambda)
        self.defaults += isinstance(node, cst.Param)
        if self.functions:
            for part, changed in changes(node):
                self._add(part, changed)
        return True

    def on_leave(self, node: cst.CSTNode) -> None:
        if isinstance(node, cst.Annotation | cst.Decorator) or _is_text(node):
            return
        self.functions -= isinstance(node, cst.FunctionDef | cst.Lambda)
        self.defaults -= isinstance(node, cst.Param)
        if isinstance(node, cst.ClassDef | cst.FunctionDef | cst.Lambda) and not self.functions:
            self.within.pop()

    def _add(self, node: cst.CSTNode, changed: str) -> None:
        place = self.get_metadata(PositionProvider, node)
        start = self.line_starts[place.start.line - 1] + place.start.column
        end = self.line_starts[place.end.line - 1] + place.end.column
        lines = range(place.start.line, place.end.line + 1)
        owner, is_default = tuple(self.within), self.defaults > 0
        is_none = isinstance(node, cst.Assign | cst.AnnAssign) or (
            isinstance(node, cst.Call) and "None" in changed and len(node.args) - changed.count("=") > 0
            and cst.Module([]).code_for_node(node).count("None") < changed.count("None")
        )
        mutant = Mutant(self.path, owner, 0, start, end, changed, lines, is_default, is_none)
        self.numbers[mutant.name] += 1
        self.found.append(replace(mutant, number=self.numbers[mutant.name] - 1))


def _is_text(node: cst.CSTNode) -> bool:
    """Words for people, and calls that are of no interest: their arguments stay as they are."""
    if isinstance(node, cst.Raise) and isinstance(node.exc, cst.Call):
        return all(isinstance(each.value, cst.SimpleString) for each in node.exc.args)
    if not isinstance(node, cst.Call):
        return False
    if isinstance(node.func, cst.Attribute):
        return isinstance(node.func.value, cst.Name) and node.func.value.value == "logger"
    return isinstance(node.func, cst.Name) and node.func.value in TEXTS


def changes(node: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, str]]:
    """(the node or a part of it, what it may become, as source)"""
    code = cst.Module([]).code_for_node
    for kind, operator in mutators.mutation_operators:
        if isinstance(node, kind) and operator is not mutators.operator_arg_removal:
            # Of the changes of a text the first will do: it is another text.
            at_most = 1 if operator is mutators.operator_string else None
            for changed in itertools.islice(operator(node), at_most):
                yield node, code(changed)
    if isinstance(node, cst.Call):
        yield from ((node, code(changed)) for changed in _calls(node))
    elif isinstance(node, cst.If | cst.CompIf):
        yield node.test, f"not ({code(node.test)})"
    elif isinstance(node, cst.Return) and node.value and not m.matches(node.value, m.Name("False") | m.Name("None")):
        yield node, "return None"
    elif isinstance(node, cst.Raise):
        yield node, "pass"
    elif isinstance(node, cst.Expr) and not (
        isinstance(node.value, cst.BaseString) or _is_text(node.value)
    ):
        yield node, "pass"


def _calls(node: cst.Call) -> Iterator[cst.Call]:
    """Without each argument that has a name, and with None for each that has none."""
    for place, argument in enumerate(node.args):
        before, after = node.args[:place], node.args[place + 1 :]
        if argument.keyword:
            yield node.with_changes(args=[*before, *after])
        elif not argument.star and not m.matches(argument.value, m.Name("None")):
            yield node.with_changes(
                args=[*before, argument.with_changes(value=cst.Name("None")), *after]
            )
    name = getattr(node.func, "value", None)
    if name in ANY_AND_ALL:
        yield node.with_changes(func=cst.Name(ANY_AND_ALL[name]))


# Killing them -------------------------------------------------------------------------------------


class Coverage:
    """Which tests go through which lines, from a run with `--cov-context=test`."""

    def __init__(self, file: str, durations: str) -> None:
        data = CoverageData(file)
        data.read()
        self.tests: dict[tuple[str, int], set[str]] = defaultdict(set)
        self.size: Counter[str] = Counter()
        for name in data.measured_files():
            path = name.removeprefix(f"{ROOT}/")
            for line, contexts in data.contexts_by_lineno(name).items():
                for test in {context.partition("|")[0] for context in contexts} - {""}:
                    self.tests[path, line].add(test)
                    self.size[test] += 1
        # Test -> seconds, as junit names it.
        self.seconds = {
            (case.get("classname"), case.get("name")): float(case.get("time"))
            for case in ElementTree.parse(durations).iter("testcase")
        }

    def seconds_of(self, test: str) -> float:
        function, bracket, parameters = test.partition("[")
        place, _, name = function.rpartition("::")
        name += bracket + parameters
        return self.seconds.get((place.replace(".py", "").replace("/", ".").replace("::", "."), name), 0.5)

    def tests_of(self, mutant: Mutant) -> set[str]:
        """Those of the changed lines; of a default, which is evaluated earlier, the next 20."""
        found: set[str] = set()
        last = mutant.lines.stop + (20 if mutant.is_default else 0)
        for line in range(mutant.lines.start, last):
            found |= self.tests.get((mutant.path, line), set())
        return found


class Hunt:
    """A pytest plugin: instead of the collected tests, for each mutant those that may notice it."""

    def __init__(self, wanted: list[Mutant], coverage: Coverage, tries: int, log: Any) -> None:
        self.wanted = wanted
        self.coverage = coverage
        self.tries = tries
        self.log = log
        self.killed = 0
        self.alive: list[str] = []
        self.sound: dict[str, bool] = {}
        self.kills: dict[str, Counter[str]] = defaultdict(Counter)  # of a function, of a module

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from django.db import connection

        items = {item.nodeid: item for item in session.items}
        # Makes the database.
        call_sites.run(next(each for each in session.items if each.get_closest_marker("django_db")))
        if connection.vendor == "sqlite":
            # The forks copy the main file.
            sqlite3.connect(connection.settings_dict["NAME"]).execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for path in {mutant.path for mutant in self.wanted}:
            importlib.import_module(path.removesuffix(".py").replace("/", "."))
        call_sites.functions_by_name(), functions_with_a_cache()
        gc.freeze()
        started = time.monotonic()
        for number, mutant in enumerate(self.wanted, 1):
            tests = self.likely(mutant, items)[: self.tries]
            killer = self.killer(mutant, [items[test] for test in tests])
            if killer:
                self.killed += 1
                for place in (mutant.function, mutant.path):
                    self.kills[place][killer] += 1
            else:
                self.alive.append(mutant.name)
            seconds = int(time.monotonic() - started)
            line = {"mutant": mutant.name, "killer": killer, "tried": len(tests), "line": mutant.lines[0]}
            print(json.dumps(line, ensure_ascii=False), file=self.log, flush=True)
            if number % 50 == 0:
                print(f"{seconds} s: {number} of {len(self.wanted)}, {len(self.alive)} alive", file=sys.__stderr__, flush=True)
        return True

    def likely(self, mutant: Mutant, items: Iterable[str]) -> list[str]:
        """The tests that go through its lines: those that killed its neighbours come first, then
        those of a like name, then one of each file and function after another.
        """
        near, far = self.kills[mutant.function], self.kills[mutant.path]
        words = Path(mutant.path).stem
        through = {each for each in self.coverage.tests_of(mutant) if each in items and self.coverage.seconds_of(each) < 2} or self.coverage.tests_of(mutant) & set(items)
        seen: Counter[str] = Counter()
        ranks = {}
        for test in sorted(through, key=lambda each: (self.coverage.seconds_of(each), each)):
            file, function = test.partition("::")[0], test.partition("[")[0]
            ranks[test] = (-near[test], -far[test], seen[function] > 0, words not in file, seen[file])
            seen[function] += 1
            seen[file] += 1
        return sorted(ranks, key=ranks.__getitem__)

    def killer(self, mutant: Mutant, tests: list[pytest.Item]) -> str | None:
        while tests:
            place = first_failing(mutant, tests)
            if place is None:
                return None
            name = tests[place].nodeid
            if name not in self.sound:
                self.sound[name] = first_failing(None, [tests[place]]) is None
            if self.sound[name]:
                return name
            tests = tests[place + 1 :]
        return None


def first_failing(mutant: Mutant | None, tests: list[pytest.Item]) -> int | None:
    """The place of the first test that fails, in a process of its own; None when all pass."""
    from django.db import connections

    connections.close_all()
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _try(mutant, tests, writer)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    _pid, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == BROKEN:
        raise RuntimeError(f"{mutant and mutant.name} could not be tried")
    return None if code == SURVIVED else len(said) - 1


def _try(mutant: Mutant | None, tests: list[pytest.Item], writer: int) -> None:
    """Plant the mutant, run the tests up to one that fails, and end."""
    from pytest_django.plugin import blocking_manager_key

    code = BROKEN
    try:
        remove = _own_database()
        reports: list[Any] = []
        tests[0].config.pluginmanager.register(call_sites._Listener(reports))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.write(writer, b".")
        if mutant:
            with tests[0].config.stash[blocking_manager_key].unblock():
                mutant.plant()
        for number, test in enumerate(tests):
            if number:
                os.write(writer, b".")
            signal.alarm(SECONDS)
            call_sites.run(test)
            if any(report.failed for report in reports):
                code = NOTICED
                break
        else:
            code = SURVIVED
        remove()
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def _own_database() -> Callable[[], Any]:
    """Go on with a copy of the database, for tests that commit; calling the result removes it."""
    from django.db import connection

    if connection.vendor == "sqlite":
        return call_sites._own_database().unlink
    name, server = connection.settings_dict["NAME"], os.environ["DATABASE_URL"]
    own = connection.settings_dict["NAME"] = f"mutant_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as postgres:
        postgres.execute(f"CREATE DATABASE {own} TEMPLATE {name}")

    def remove() -> None:
        with psycopg.connect(server, autocommit=True) as postgres:
            postgres.execute(f"DROP DATABASE IF EXISTS {own} WITH (FORCE)")

    return remove


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", help="parts of the names of the mutants to try")
    parser.add_argument("--coverage", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--tries", type=int, default=25, help="how many tests for a mutant")
    options = parser.parse_args()
    wanted = [
        each
        for each in mutants()
        if not options.only or any(part in f"{each.name}{' none' * each.is_none}" for part in options.only)
    ]
    coverage = Coverage(options.coverage, f"{options.coverage}.xml")
    done = set()
    if Path(options.log).exists():
        done = {json.loads(line)["mutant"] for line in Path(options.log).read_text().splitlines()}
    wanted = [each for each in wanted if each.name not in done]
    order = {part: place for place, part in enumerate(options.only)}
    wanted.sort(key=lambda each: (each.is_none, order.get(each.path, 99)))
    with open(options.log, "a") as log:
        hunt = Hunt(wanted, coverage, options.tries, log)
        files = sorted({test.partition("::")[0] for test in coverage.size})
        status = pytest.main(
            ["-q", "--no-header", "-p", "no:cacheprovider", "--part", "plain", "--everything", *files],
            plugins=[hunt],
        )
    print(f"{hunt.killed} mutants were killed, {len(hunt.alive)} survived")
    return status


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    sys.exit(main())

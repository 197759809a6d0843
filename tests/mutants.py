"""Mutants of segments/: whether a test notices when a function does something a little different.

The changes are mutmut's (comparisons, operators, constants, arguments, …) and a few more: a
condition turned round, a `return` without its value, a statement left out. Of the arguments those
with a name are left out, and the others become None. Left alone is what people read (translated
texts, log entries, the words of an exception) and, as mutmut does it, what runs when a module is
imported or an app is set up; but lambdas made there are changed.

mutmut itself would start pytest for each. Here every mutant is a fork of one process that has
imported everything and made the database, and runs the tests that go through the changed lines:
first those that noticed its neighbours. Where the module says what is stored in the database
(triggers, policies), the fork stores it anew.

python -m tests.mutants [NAME…]     tries those whose names begin so, or all: hours. What was found
                                    out is in .mutants/, and the next run leaves it out
    --alive                         only those that survived and are not explained: by other tests,
                                    or on another database (python -m tests.postgres python -m …)
    --again                         only those that were killed, by the test that did
    --tests TEST…                   by the tests whose names begin so: much faster than by all that
                                    go through the changed lines
    --seconds N --seed SEED         random ones for so long, by the tests in mutants.json
python -m tests.mutants --write     sums it up in mutants.json: which tests notice the mutants of a
                                    function, and which survive without being explained there
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
import subprocess
import sys
import time
import traceback
import xml.etree.ElementTree as ElementTree
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
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
PATHS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "segments").glob("*.py"))
KNOWN = Path(__file__).with_name("mutants.json")
LOG = ROOT / ".mutants" / "log.jsonl"
# Of the tests, those that go through segments/ and need no other process.
MEASURED = [
    "tests/segments",
    "tests/helpcenter",
    "tests/accounts/test_people.py",
    "tests/test_words.py",
]
TEXTS = {"_", "gettext", "gettext_lazy", "ngettext", "cast", "len", "isinstance", "TypeVar"}
SLOW = 1
# Of the processor, for one test; whatever takes longer with a mutant has noticed it.
SECONDS = 10
SURVIVED, NOTICED, BROKEN = 0, 1, 2
MEMORY = 6 * 2**30
ANY_AND_ALL = {"any": "all", "all": "any"}
# What asks the whole rule, of everything and everybody.
STRONG = {
    "tests/helpcenter/api/test_access.py::test_what_somebody_sees",
    "tests/helpcenter/api/test_access.py::test_who_sees_an_article",
}
NOTHING = m.Name("None") | m.Name("False")
PROSE = m.SimpleString() | m.ConcatenatedString()
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

    @property
    def function(self) -> str:
        return f"{self.path}::{'.'.join(self.owner)}"

    @property
    def name(self) -> str:
        """Stays the same when other lines change: what is changed, in its surroundings."""
        source = source_of(self.path)
        # White space is nothing that changes: a shorter call is laid out anew.
        before = " ".join(source[self.start : self.end].split())
        after = " ".join(self.text.split())
        same = len(os.path.commonprefix([before, after]))
        rest = len(os.path.commonprefix([before[same:][::-1], after[same:][::-1]]))
        head = source[: self.start].rpartition("\n")[2].lstrip() + before[:same]
        tail = before[len(before) - rest :] + source[self.end :].partition("\n")[0]
        changed = f"[{before[same : len(before) - rest]} → {after[same : len(after) - rest]}]"
        return f"{self.function}::{head[-40:]}{changed}{tail[:20]}#{self.number}"

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
    from segments import ruleset

    for each in cached:
        if each.__module__.startswith("segments"):
            each.cache_clear()
    ruleset._compiled.clear()


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


def mutants(beginnings: tuple[str, ...] = ("",)) -> list[Mutant]:
    """The mutants of the plugin whose names begin so, in the order of the source."""
    modules = tuple(each.partition("::")[0] for each in beginnings)
    found = (each for path in PATHS if path.startswith(modules) for each in mutants_of(path))
    return [each for each in found if each.name.startswith(beginnings)]


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
        if self.functions and self.within[-1] != "ready":
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
        mutant = Mutant(self.path, owner, 0, start, end, changed, lines, is_default)
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
    elif isinstance(node, cst.Return) and node.value and not m.matches(node.value, NOTHING):
        yield node, "return None"
    elif isinstance(node, cst.Raise) or (
        isinstance(node, cst.Expr) and not _is_text(node.value) and not m.matches(node.value, PROSE)
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
    """Which tests go through which lines, and how long they take: `pytest --cov-context=test`."""

    def __init__(self, database: str) -> None:
        file = LOG.with_name(database)
        if not file.exists():
            _measure(file)
        data = CoverageData(str(file))
        data.read()
        self.tests: dict[tuple[str, int], set[str]] = defaultdict(set)
        for name in data.measured_files():
            path = Path(name).relative_to(ROOT).as_posix()
            for line, contexts in data.contexts_by_lineno(name).items():
                self.tests[path, line] |= {context.partition("|")[0] for context in contexts} - {""}
        self.seconds = {
            (case.get("classname"), case.get("name")): float(case.get("time", 0))
            for case in ElementTree.parse(file.with_suffix(".xml")).iter("testcase")
        }

    def seconds_of(self, test: str) -> float:
        function, bracket, parameters = test.partition("[")
        place, _, name = function.rpartition("::")
        place = place.replace(".py", "").replace("/", ".").replace("::", ".")
        return self.seconds.get((place, name + bracket + parameters), 0.5)

    def tests_of(self, mutant: Mutant) -> set[str]:
        """Those of the changed lines, or of what is nearest to a line that nothing goes through:
        parts of a constant, and defaults, which are evaluated when the module is imported.
        """
        first, last = mutant.lines.start, mutant.lines.stop
        near = [range(first, last), range(first - 1, first - 20, -1), range(last, last + 20)]
        for lines in near[:1] + near[1 + mutant.is_default :] + near[1:]:
            found = [self.tests[mutant.path, line] for line in lines]
            if any(found):
                return set().union(*found) if lines is near[0] else next(filter(None, found))
        return set()


def _measure(file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    # Not beside the data by that name: what is called so and ends otherwise is erased.
    settings = file.with_name(f"measuring-{file.name}.ini")
    settings.write_text(f"[run]\nsource_pkgs = segments\ndata_file = {file}\n")
    options = ["--part", "plain", "--everything", "--cov", f"--cov-config={settings}"]
    options += ["--cov-context=test", "--cov-report=", f"--junitxml={file.with_suffix('.xml')}"]
    subprocess.run([sys.executable, "-m", "pytest", "-q", *options, *MEASURED], cwd=ROOT)


class Hunt:
    """A pytest plugin: instead of the collected tests, for each mutant those that may notice it."""

    def __init__(self, wanted: Iterable[Mutant], likely: Callable[..., list[str]]) -> None:
        self.wanted = wanted
        self.likely = likely  # (mutant, tests that killed: of function or module -> count) -> tests
        self.killed = 0
        self.alive: list[str] = []
        self.sound: dict[str, bool] = {}  # test -> does it pass without a mutant?
        self.kills: dict[str, Counter[str]] = defaultdict(Counter)
        for name, line in read_log().items():
            self._count(name, line["killer"])

    def pytest_configure(self, config: pytest.Config) -> None:
        """That a test or an example fails is enough: not to be made smaller nor shown nicely."""
        config.option.tbstyle = "native"
        # Imported before pytest rewrites it, it would be a warning.
        import hypothesis

        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile("hunt", hypothesis.settings(), phases=phases)
        hypothesis.settings.load_profile("hunt")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        _prepare(session.items)
        for mutant in self.wanted:
            names = [name for name in self.likely(mutant, self.kills, items) if name in items]
            killer = self._killer(mutant, [items[name] for name in names])
            self._count(mutant.name, killer)
            self.killed += killer is not None
            if killer is None:
                self.alive.append(mutant.name)
            _write_log(mutant, killer, len(names))
            done = self.killed + len(self.alive)
            print(f"{done}: {killer or 'SURVIVES'}: {mutant.name}", file=sys.__stderr__, flush=True)
        return True

    def _count(self, mutant: str, killer: str | None) -> None:
        path, owner = mutant.split("::")[:2]
        if killer:
            self.kills[f"{path}::{owner}"][killer] += 1
            self.kills[path][killer] += 1

    def _killer(self, mutant: Mutant, tests: list[pytest.Item]) -> str | None:
        """The first test that, run alone, fails with the mutant and passes without."""
        while tests:
            place = first_failing(mutant, tests)
            if place is None:
                return None
            alone = [tests[place]]
            name = alone[0].nodeid
            if name not in self.sound:
                self.sound[name] = first_failing(None, alone) is None
            # What failed after others may have failed because of them.
            if self.sound[name] and (not place or first_failing(mutant, alone) is not None):
                return name
            tests = tests[place + 1 :]
        return None


def _prepare(items: list[pytest.Item]) -> None:
    """Import everything, make the database and find the functions, before there are forks."""
    from django.db import connection

    with_database: dict[Path, pytest.Item] = {}
    for item in items:
        marker = item.get_closest_marker("django_db")
        commits = marker and marker.kwargs.get("transaction")
        if "db" in item.fixturenames or (marker and not commits):
            with_database.setdefault(item.path, item)
    # One of each file: what is imported and compiled on the way is there for all forks.
    for item in with_database.values():
        call_sites.run(item)
    if with_database and connection.vendor == "sqlite":
        # The forks copy the file; what is in its journal would be missing there.
        name = connection.settings_dict["NAME"]
        sqlite3.connect(name).execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for path in PATHS:
        importlib.import_module(path.removesuffix(".py").replace("/", "."))
    call_sites.functions_by_name()
    functions_with_a_cache()
    gc.freeze()


def by_coverage(coverage: Coverage, tries: int) -> Callable[..., list[str]]:
    """How a hunt finds tests: what goes through the lines, the likeliest first."""

    lines_of = Counter(test for tests in coverage.tests.values() for test in tests)
    in_module = Counter((t, path) for (path, _line), tests in coverage.tests.items() for t in tests)

    def likely(mutant: Mutant, kills: Mapping[str, Mapping[str, int]], _items: Any) -> list[str]:
        near, path = kills[mutant.function], mutant.path
        # Those first that are about little else, and of a test with many parameters one.
        through = sorted(
            coverage.tests_of(mutant), key=lambda t: (-in_module[t, path] / lines_of[t], t)
        )
        seen: Counter[str] = Counter()
        ranks = {}
        for place, test in enumerate(through):
            function = test.partition("[")[0]
            is_slow = coverage.seconds_of(test) > SLOW
            ranks[test] = (is_slow, -near[test], test not in STRONG, seen[function], place)
            seen[function] += 1
        return sorted(ranks, key=ranks.__getitem__)[:tries]

    return likely


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
        for each in (signal.SIGALRM, signal.SIGPROF):
            signal.signal(each, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        os.write(writer, b".")
        if mutant:
            with tests[0].config.stash[blocking_manager_key].unblock():
                mutant.plant()
        code = NOTICED  # whatever ends the tests from now on
        for number, test in enumerate(tests):
            if number:
                os.write(writer, b".")
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(10 * SECONDS)
            call_sites.run(test)
            if any(report.failed for report in reports):
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
        exists = Path(connection.settings_dict["NAME"]).exists()
        return call_sites._own_database().unlink if exists else lambda: None
    name, server = connection.settings_dict["NAME"], os.environ["DATABASE_URL"]
    own = connection.settings_dict["NAME"] = f"mutant_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as postgres:
        postgres.execute(f"CREATE DATABASE {own} TEMPLATE {name}")

    def remove() -> None:
        with psycopg.connect(server, autocommit=True) as postgres:
            postgres.execute(f"DROP DATABASE IF EXISTS {own} WITH (FORCE)")

    return remove


# What is known of them ----------------------------------------------------------------------------


def read_log() -> dict[str, dict[str, Any]]:
    """Mutant -> what was found out about it last."""
    lines = LOG.read_text().splitlines() if LOG.exists() else []
    return {line["mutant"]: line for line in map(json.loads, lines)}


def _write_log(mutant: Mutant, killer: str | None, tried: int) -> None:
    from django.db import connection

    line = {"mutant": mutant.name, "killer": killer, "tried": tried, "on": connection.vendor}
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("a") as log:
        print(json.dumps(line, ensure_ascii=False), file=log)


def reason_for(name: str) -> str | None:
    """Why no test can, or need, notice the mutant."""
    for pattern, reason in known()["survive because"].items():
        if re.search(pattern, name):
            return str(reason)
    return None


@functools.cache
def known() -> dict[str, Any]:
    """mutants.json."""
    found: dict[str, Any] = json.loads(KNOWN.read_text())
    return found


def write_down() -> None:
    """Sum the log up in mutants.json, and print what there is.

    Of functions that the log does not name, what is known of them stays.
    """
    tried, before, every = read_log(), known(), list(mutants())
    noticed: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    unexplained = []
    # Of these functions it is not known yet which tests notice all there is to notice.
    unknown = {
        mutant.function
        for mutant in every
        if mutant.name not in tried and not reason_for(mutant.name)
    }
    elsewhere = unknown - {mutant.function for mutant in every if mutant.name in tried}
    for engine, of_engine in before["noticed by"].items():
        noticed[engine] |= {name: of_engine[name] for name in of_engine if name in elsewhere}
    for mutant in every:
        name = mutant.name
        if killer := tried.get(name, {}).get("killer"):
            outcome = "killed"
            if mutant.function not in unknown:
                tests = noticed[tried[name]["on"]][mutant.function]
                tests += [killer] * (killer not in tests)
        elif reason_for(name):
            outcome = "explained"
        elif name not in tried:
            outcome = "not tried"
            if mutant.function in elsewhere and name in before["unexplained"]:
                unexplained.append(name)
        else:
            outcome = "unexplained"
            unexplained.append(name)
        counts[mutant.path][outcome] += 1
    content = {
        "survive because": before["survive because"],
        "unexplained": unexplained,
        "noticed by": noticed,
    }
    KNOWN.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    for path, of_path in counts.items():
        print(path, *(f"{number} {outcome}" for outcome, number in of_path.items()), sep=", ")
    total = sum(counts.values(), Counter())
    print("all", *(f"{number} {outcome}" for outcome, number in total.items()), sep=", ")


def main() -> int:
    global LOG
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("beginnings", nargs="*", help="how the names of the mutants begin")
    parser.add_argument("--alive", action="store_true", help="those that the log says are alive")
    parser.add_argument("--again", action="store_true", help="those that the log says are killed")
    parser.add_argument("--seconds", type=float, help="random ones, for so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tests", nargs="+", help="what to kill them with")
    parser.add_argument("--tries", type=int, default=40, help="how many tests for a mutant")
    parser.add_argument("--write", action="store_true", help="sum the log up in mutants.json")
    parser.add_argument("--log", type=Path, default=LOG, help="where to write what is found out")
    options = parser.parse_args()
    LOG = options.log
    if options.write:
        write_down()
        return 0
    wanted: Iterable[Mutant] = mutants(tuple(options.beginnings) or ("",))
    database = "postgresql" if os.environ.get("DATABASE_URL") else "sqlite"
    if options.again:
        killers = {name: line["killer"] for name, line in read_log().items() if line["killer"]}
        wanted = [each for each in wanted if each.name in killers]
        random.Random(options.seed).shuffle(wanted)
        tests, likely = set(killers.values()), lambda mutant, *_more: [killers[mutant.name]]
    elif options.tests:
        tests, likely = options.tests, by_place(tuple(options.tests))
        wanted = not_killed(wanted, options.alive)
    elif options.seconds:
        noticed = noticed_on(database)
        tests, likely = sorted(set(itertools.chain(*noticed.values()))), by_name(noticed)
        wanted = for_a_while(wanted, noticed, options.seconds, random.Random(options.seed))
    else:
        coverage = Coverage(database)
        tests = sorted(set().union(*coverage.tests.values()))
        likely = by_coverage(coverage, options.tries)
        wanted = not_killed(wanted, options.alive)
    hunt = Hunt(wanted, likely)
    files = sorted({test.partition("::")[0] for test in tests})
    arguments = ["-q", "--no-header", "-p", "no:cacheprovider", "--part", "plain", "--everything"]
    status = pytest.main([*arguments, *files], plugins=[hunt])
    unexplained = [name for name in hunt.alive if not reason_for(name)]
    print(f"{hunt.killed} mutants were killed, {len(hunt.alive)} survived")
    print(*unexplained, sep="\n")
    return 0 if status == 0 and not unexplained else 1


def not_killed(wanted: Iterable[Mutant], alive: bool) -> list[Mutant]:
    """What is not in the log yet; with `alive` what is and survived. Neither what is explained."""
    tried = read_log()
    survivors = {name for name, line in tried.items() if not line["killer"]}
    return [
        each
        for each in wanted
        if (each.name in survivors if alive else each.name not in tried)
        and not reason_for(each.name)
    ]


def noticed_on(database: str) -> dict[str, list[str]]:
    """Function -> tests that notice its mutants, where no other database is needed for some."""
    on = known()["noticed by"]
    others = {function for each in on.keys() - {database} for function in on[each]}
    return {name: tests for name, tests in on.get(database, {}).items() if name not in others}


def for_a_while(
    wanted: Iterable[Mutant], noticed: Container[str], seconds: float, chance: random.Random
) -> Iterator[Mutant]:
    """Random mutants of functions with tests that notice, without what is known to survive."""
    alive = set(known()["unexplained"])
    chosen = [
        each
        for each in wanted
        if each.function in noticed and each.name not in alive and not reason_for(each.name)
    ]
    chance.shuffle(chosen)
    end = time.monotonic() + seconds
    yield from itertools.takewhile(lambda _each: time.monotonic() < end, chosen)


def by_place(places: tuple[str, ...]) -> Callable[..., list[str]]:
    """How a hunt finds tests: all of some files, those first that killed most of the module, and
    those last that try many examples.
    """

    def likely(
        mutant: Mutant, kills: Mapping[str, Mapping[str, int]], items: Mapping[str, Any]
    ) -> list[str]:
        def rank(name: str) -> tuple[int, int, bool]:
            near, far = kills[mutant.function][name], kills[mutant.path][name]
            return -near, -far, hasattr(items[name].obj, "hypothesis")

        return sorted((name for name in items if name.startswith(places)), key=rank)

    return likely


def by_name(noticed: Mapping[str, list[str]]) -> Callable[..., list[str]]:
    """How a hunt finds tests: those that are written down for the function."""
    return lambda mutant, kills, items: noticed[mutant.function]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    sys.exit(main())

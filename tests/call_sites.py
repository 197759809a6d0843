"""Mutants of the call sites: whether a test notices when one check is taken away.

The rule is in one place, but it is asked in two hundred. Here each of these places is found in the
source, by its form, so that a new one is a new mutant:

    rows.visible_to(user)                    → rows.all()
    thing.is_visible_to(user)                → True
    permissions.may_edit(user, thing)        → True        (may_…, self.has_…_permission)
    refuse_unless(condition)                 → None
    allowed = {"list": staff}                → anybody     (for each action)
    permission_classes, filter_backends      → without the class
    on_delete=PROTECT, cascade_unless_used   → CASCADE

`python -m tests.call_sites` runs, for each mutant, the test that call_sites.json names for it, each
in a process of its own that was forked after everything was imported and the database was made.
For a mutant without such a test it tries those that kill its neighbours. With `--search` it looks
for a test where none is named, and writes it down.
"""

from __future__ import annotations

import argparse
import ast
import copy
import functools
import gc
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import types
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ["segments", "accounts", "helpcenter"]
KILLERS = Path(__file__).with_name("call_sites.json")
CLASSES = {"MayCall", "VisibleToViewerFilter", "VisibleToViewerMixin"}
CHECKS = {"staff", "signed_in", "admin"}
KEPT = {"PROTECT", "cascade_unless_used"}
NOT_KILLED, KILLED, BROKEN = 0, 1, 2
_SUPER_AND_TRUE = ast.parse("(super(), True)[1]", mode="eval").body


@dataclass(frozen=True)
class Site:
    """One place where somebody is kept out. `owner` is the outermost function or class body."""

    path: str
    owner: tuple[str, ...]
    what: str
    number: int
    node: ast.AST
    mutated: ast.AST

    @property
    def name(self) -> str:
        """Stays the same when lines above it change."""
        return f"{self.path}::{'.'.join(self.owner)}::{self.what}#{self.number}"

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").replace("/", ".")

    @property
    def line(self) -> int:
        return self.node.lineno  # type: ignore[attr-defined]


# Finding them -------------------------------------------------------------------------------------


def sites() -> list[Site]:
    """Every call site of the product, in the order of the source."""
    found: list[Site] = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                found += sites_of(path.relative_to(ROOT).as_posix(), path.read_text())
    return found


def sites_of(path: str, source: str) -> list[Site]:
    """The call sites in one module."""
    found: list[Site] = []
    numbers: Counter[tuple[Any, ...]] = Counter()
    for owner, statement in _owned(ast.parse(source).body, ()):
        for node, what, mutated in _mutations(statement):
            key = (owner, what)
            found.append(Site(path, owner, what, numbers[key], node, mutated))
            numbers[key] += 1
    return found


def _owned(body: list[ast.stmt], within: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(the names that lead to it, a function or a statement of a class or of the module)."""
    for statement in body:
        if isinstance(statement, ast.ClassDef):
            yield from _owned(statement.body, (*within, statement.name))
        elif isinstance(statement, ast.FunctionDef):
            yield (*within, statement.name), statement
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            yield within, statement


def _mutations(statement: ast.stmt) -> Iterator[tuple[ast.AST, str, ast.AST]]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Call):
            yield from _of_call(node)
        elif isinstance(node, ast.List):
            for element in node.elts:
                if isinstance(element, ast.Name) and element.id in CLASSES:
                    kept = [each for each in node.elts if each is not element]
                    yield node, element.id, ast.List(kept, ast.Load())
    yield from _of_allowed(statement)


def _of_call(node: ast.Call) -> Iterator[tuple[ast.AST, str, ast.AST]]:
    called = _last(node)
    if called == "visible_to" and isinstance(node.func, ast.Attribute):
        everything = ast.Attribute(node.func.value, "all", ast.Load())
        yield node, called, ast.Call(everything, [], [])
    elif called == "is_visible_to" or _is_check(called):
        # `super()` stays: a function cannot get the code of one that has no such variable.
        has_super = isinstance(node.func, ast.Attribute) and _last(node.func.value) == "super"
        yield node, called, _SUPER_AND_TRUE if has_super else ast.Constant(True)
    elif called == "refuse_unless":
        inside = [_last(each) for each in ast.walk(node.args[0]) if isinstance(each, ast.Call)]
        if not any(map(_is_check, inside)):  # otherwise it would be the same mutant twice
            yield node, called, ast.Constant(None)
    for keyword in node.keywords:
        if keyword.arg == "on_delete" and _last(keyword.value) in KEPT:
            yield keyword.value, "on_delete", ast.Name("CASCADE", ast.Load())


def _of_allowed(statement: ast.stmt) -> Iterator[tuple[ast.AST, str, ast.AST]]:
    """Who may call an action at all: `allowed = {…}` in a view, and what it is without an entry."""
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        if _last(target) != "allowed" or statement.value is None:
            return
        looked_at: ast.AST = statement.value
    elif isinstance(statement, ast.FunctionDef) and statement.name == "has_permission":
        looked_at = statement
    else:
        return
    for node in ast.walk(looked_at):
        if isinstance(node, ast.Name) and node.id in CHECKS:
            yield node, f"allowed {node.id}", ast.Name("anybody", ast.Load())


def _last(node: ast.AST) -> str:
    """`visible_to` of `Article.objects.visible_to` and of a call of it."""
    if isinstance(node, ast.Call):
        node = node.func
    return str(getattr(node, "attr", getattr(node, "id", "")))


def _is_check(name: str) -> bool:
    is_permission = name.startswith("has_") and name.endswith("_permission")
    return name.lstrip("_").startswith("may_") or is_permission


# Planting them ------------------------------------------------------------------------------------


class _Exchange(ast.NodeTransformer):
    def __init__(self, site: Site) -> None:
        self.place = _place(site.node)
        self.mutated = site.mutated
        self.done = 0

    def visit(self, node: ast.AST) -> ast.AST:
        if _place(node) == self.place:
            self.done += 1
            return ast.copy_location(copy.deepcopy(self.mutated), node)
        return self.generic_visit(node)


def _place(node: ast.AST) -> tuple[Any, ...]:
    names = ("lineno", "col_offset", "end_lineno", "end_col_offset")
    return (type(node), *(getattr(node, name, None) for name in names))


def plant(site: Site) -> None:
    """Take the check away in this process."""
    tree = ast.parse((ROOT / site.path).read_text())
    exchange = _Exchange(site)
    tree = ast.fix_missing_locations(exchange.visit(tree))
    assert exchange.done == 1, site.name
    module = importlib.import_module(site.module)
    if site.what == "on_delete":
        _plant_on_delete(module, site)
        return
    owner = next((each for names, each in _owned(tree.body, ()) if names == site.owner), None)
    if isinstance(owner, ast.FunctionDef):
        _plant_code(module, tree, site)
    else:
        _plant_attribute(module, tree, site)


def _plant_code(module: types.ModuleType, tree: ast.Module, site: Site) -> None:
    """Give the function, however it is decorated, the code of the mutated source."""
    wanted = ".".join(site.owner)
    mutated = _codes(compile(tree, str(module.__file__), "exec"), wanted)
    functions = functions_by_name()[module.__file__, wanted]
    assert functions, f"{site.name}: no such function"
    for function in functions:
        function.__code__ = mutated[function.__code__.co_firstlineno]


@functools.cache
def functions_by_name() -> dict[tuple[Any, str], list[types.FunctionType]]:
    """(file, qualified name) -> the functions, of everything that is imported by now."""
    found = defaultdict(list)
    for each in gc.get_objects():
        if type(each) is types.FunctionType:  # isinstance would wake up lazy objects
            found[each.__code__.co_filename, each.__code__.co_qualname].append(each)
    return found


def _codes(code: types.CodeType, wanted: str) -> dict[int, types.CodeType]:
    """First line -> the code of each function of that name."""
    found = {code.co_firstlineno: code} if code.co_qualname == wanted else {}
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            found |= _codes(each, wanted)
    return found


def _plant_attribute(module: types.ModuleType, tree: ast.Module, site: Site) -> None:
    """Evaluate the mutated statement of a class body in the module, and set the attribute."""
    lines = range(site.node.lineno, site.node.lineno + 1)  # type: ignore[attr-defined]
    (statement,) = [
        each
        for names, each in _owned(tree.body, ())
        if names == site.owner and each.lineno <= lines.start <= each.end_lineno
    ]
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    value = eval(compile(ast.Expression(statement.value), site.path, "eval"), _names(module))
    thing: Any = module
    for name in site.owner:
        thing = getattr(thing, name)
    setattr(thing, target.id, value)


def _names(module: types.ModuleType) -> dict[str, Any]:
    from helpcenter.api.base import anybody

    return {"anybody": anybody, **vars(module)}


def _plant_on_delete(module: types.ModuleType, site: Site) -> None:
    """Let every model that has the field delete what refers to the deleted."""
    from django.apps import apps
    from django.db import models

    owner: Any = module
    for name in site.owner:
        owner = getattr(owner, name)
    tree = ast.parse((ROOT / site.path).read_text())
    (field,) = [
        each.targets[0].id
        for names, each in _owned(tree.body, ())
        if names == site.owner
        and isinstance(each, ast.Assign)
        and each.lineno <= site.line <= (each.end_lineno or 0)
    ]
    for model in apps.get_models():
        if issubclass(model, owner):
            model._meta.get_field(field).remote_field.on_delete = models.CASCADE


# Killing them -------------------------------------------------------------------------------------


class Hunt:
    """A pytest plugin: instead of the collected tests, for each mutant those that may kill it."""

    def __init__(
        self,
        wanted: list[Site],
        killers: dict[str, str],
        tries: int,
        write_down: Callable[[Site, str], None] | None,
    ) -> None:
        self.wanted = wanted
        self.killers = killers
        self.tries = tries
        self.write_down = write_down
        self.killed = 0
        self.alive: list[str] = []
        self.sound: dict[str, bool] = {}  # test -> does it pass without a mutant?

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run them. What is found is added to the killers."""
        items = {item.nodeid: item for item in session.items}
        first = session.items[0]
        run(first)  # makes the database
        for site in self.wanted:
            importlib.import_module(site.module)
        functions_by_name()
        gc.freeze()  # so that the children share what is there
        for site in self.wanted:
            known = self.killers.get(site.name)
            if self.write_down and known in items:  # only others are looked for
                self.killed += 1
                continue
            names = [known] if known in items else likely(site, items, self.killers)
            tried = (name for name in names[: self.tries] if self.is_kill(site, items[name]))
            killer = next(tried, None)
            if killer is None:
                self.alive.append(site.name)
            else:
                self.killed += 1
                self.killers[site.name] = killer
                if self.write_down:
                    self.write_down(site, killer)
            print(f"{killer or 'SURVIVES'}: {site.name}", file=sys.__stderr__, flush=True)
        return True

    def is_kill(self, site: Site, item: pytest.Item) -> bool:
        """The test fails with the mutant and, unless it is known to, passes without."""
        if not kills(site, item):
            return False
        if self.killers.get(site.name) == item.nodeid:
            return True
        if item.nodeid not in self.sound:
            self.sound[item.nodeid] = not kills(None, item)
        return self.sound[item.nodeid]


def run(item: pytest.Item) -> None:
    """Run one test; what belongs to the session does not end with it."""

    class Next:
        def listchain(self) -> list[Any]:
            return [item.session]

    item.config.hook.pytest_runtest_protocol(item=item, nextitem=Next())


def kills(site: Site | None, item: pytest.Item) -> bool:
    """True when the test fails with the mutant (or without any), in a process of its own."""
    from django.db import connections

    connections.close_all()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        _die(site, item)
    _pid, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (NOT_KILLED, KILLED):
        raise RuntimeError(f"{item.nodeid} could not be run with {site}: {code}")
    return code == KILLED


def _die(site: Site | None, item: pytest.Item) -> None:
    """Plant the mutant, run the test, and end with its result."""
    code = BROKEN
    try:
        own = _own_database()
        if site:
            plant(site)
        reports: list[Any] = []
        item.config.pluginmanager.register(_Listener(reports))
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            run(item)
        failed = [report for report in reports if report.failed]
        if any(report.when == "setup" for report in failed):
            print(*(report.longrepr for report in failed), file=sys.__stderr__)
        else:
            code = KILLED if failed else NOT_KILLED
        own.unlink(missing_ok=True)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _own_database() -> Path:
    """A copy of the tests' database, for a test that commits."""
    from django.db import connection

    name = Path(connection.settings_dict["NAME"])
    own = name.with_name(f"mutant-{os.getpid()}.sqlite3")
    shutil.copy(name, own)
    connection.settings_dict["NAME"] = str(own)
    return own


class _Listener:
    def __init__(self, reports: list[Any]) -> None:
        self.reports = reports

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.reports.append(report)


def likely(site: Site, tests: Iterable[str], killers: dict[str, str]) -> list[str]:
    """The tests, those first that may notice: what kills its neighbours, then by common words."""
    nearby = [killers[name] for name in killers if name.startswith(f"{site.path}::")]
    counted = Counter(nearby)
    stem, *owner = [_words(each) for each in (Path(site.path).stem, *site.owner)]
    words = stem.union(*owner)

    seen: Counter[str] = Counter()
    ranks = {}
    for test in tests:
        file, _, name = test.partition("::")
        function = test.partition("[")[0]
        same_folder = Path(file).parent.parts[1:] == Path(site.path).parent.parts
        in_file = len(words & _words(Path(file).stem))
        # Of a test with many parameters one comes before the next test, the others later.
        ranks[test] = (-counted[test], -2 * in_file - same_folder, seen[function] > 0)
        ranks[test] += (-len(words & _words(name)), seen[function])
        seen[function] += 1
    return sorted(ranks, key=ranks.__getitem__)


def _words(name: str) -> set[str]:
    """ "SectionEndpoint.get_queryset" -> {"section", "endpoint", "get", "queryset"}"""
    found = re.findall(r"[A-Z]?[a-z]+", name)
    return {each.lower().removesuffix("s") for each in found} - {"test", "get", "a", "the", "i"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", help="what to kill them with, instead of what is named")
    parser.add_argument("--search", action="store_true", help="find tests for mutants without one")
    parser.add_argument("--tries", type=int, default=40, help="how many tests for a mutant")
    parser.add_argument("--only", default="", help="part of the names of the mutants to look at")
    options = parser.parse_args()
    killers, survivors = named()
    wanted = [s for s in sites() if options.only in s.name and s.name not in survivors]
    if options.search:
        killers = {name: killers[name] for name in killers if name in {s.name for s in sites()}}
    if options.search and options.tests:
        wanted = [site for site in wanted if site.name not in killers]
    known = {} if options.tests and not options.search else killers
    tests = options.tests or ["tests"]
    if not options.search and not options.tests:
        tests = sorted({killers[site.name] for site in wanted if site.name in killers})

    def write_down(site: Site, killer: str) -> None:
        killers[site.name] = killer
        content = {"killed by": dict(sorted(killers.items())), "survive because": survivors}
        KILLERS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    hunt = Hunt(wanted, known, options.tries, write_down if options.search else None)
    status = pytest.main(
        ["-q", "--no-header", "-p", "no:cacheprovider", "--part", "plain", "--everything", *tests],
        plugins=[hunt],
    )
    print(f"{hunt.killed} mutants were killed, {len(hunt.alive)} survived")
    print(*hunt.alive, sep="\n")
    return 0 if status == 0 and hunt.killed == len(wanted) else 1


def hunt_apart(module: str, *arguments: Any) -> tuple[int, int, int, list[str]]:
    """(exit status, number of the killed, of the survivors, their names) of a hunt of its own.

    `module` is run as a process: this one, or mutants.py, which says the same at its end.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    print(done.stdout[-3000:], done.stderr[-3000:])
    counts = re.search(r"^(\d+) mutants were killed, (\d+) survived$", done.stdout, re.MULTILINE)
    assert counts, "It ended before it could count; see above."
    names = [line for line in done.stdout[counts.end() :].splitlines() if line]
    return done.returncode, int(counts[1]), int(counts[2]), names


def named() -> tuple[dict[str, str], dict[str, str]]:
    """Mutant -> the test that kills it, and mutant -> why none can."""
    known = json.loads(KILLERS.read_text())
    return known["killed by"], known["survive because"]


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    sys.exit(main())

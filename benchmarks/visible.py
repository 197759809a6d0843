"""What does access control cost? `python -m benchmarks.visible --articles 1000000`.

Three ways to list articles, on SQLite and on PostgreSQL in turns: without access control, with
`visible_to`, and as textbooks do it, by `Exists` on link tables. The second and third must agree.
Ratios say more than milliseconds: the machine is shared, and every way pays for that alike.
"""

import argparse
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import django
import environ
from django.conf import settings

from tests.postgres import PostgresUnavailable, postgres

ENGINES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
PAGE = 25
# A case that has taken so many seconds is not tried again.
PATIENCE = 3
ROUNDS = 9


@dataclass
class Case:
    """One statement to be timed: it is read to its last row each time."""

    using: str
    viewer: str
    what: str
    way: str
    sql: str
    params: Any
    times: list[float] = field(default_factory=list)

    def run(self, number: int) -> None:
        """Time it once, in milliseconds. `number` makes it a statement that is in no cache."""
        from django.db import connections

        with connections[self.using].cursor() as cursor:
            started = time.perf_counter()
            cursor.execute(f"{self.sql} /* {number} */", self.params)
            cursor.fetchall()
            self.times.append((time.perf_counter() - started) * 1000)

    @property
    def is_tired(self) -> bool:
        """It has taken long enough."""
        return sum(self.times) > PATIENCE * 1000


def main() -> None:
    """Build both databases, measure, print."""
    arguments = read_arguments()
    with tempfile.TemporaryDirectory(prefix="helpcenter-bench-") as folder:
        try:
            with postgres(arguments.postgres) as url:
                set_up(Path(folder), url)
                run(arguments)
                close()
        except PostgresUnavailable as error:
            sys.exit(str(error))


def read_arguments() -> argparse.Namespace:
    """How large a world, and which PostgreSQL."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--articles", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--postgres", type=Path, help="a folder such as /usr/lib/postgresql/15/bin")
    return parser.parse_args()


def set_up(folder: Path, url: str) -> None:
    """Configure Django with one database of each kind."""
    os.environ.update(DATA_DIR=str(folder), SECRET_KEY="benchmark", DEBUG="0", DEMO="0")
    os.environ["DATABASE_URL"] = f"sqlite:///{folder / 'bench.sqlite3'}"
    os.environ["DJANGO_SETTINGS_MODULE"] = "helpcenter.settings"
    sqlite = settings.DATABASES["default"]
    settings.DATABASES = {
        "default": sqlite,
        "sqlite": sqlite,
        "postgresql": environ.Env.db_url_config(url),
    }
    django.setup()


def close() -> None:
    """Let go of the databases, so that they can be removed."""
    from django.db import connections

    connections.close_all()


def run(arguments: argparse.Namespace) -> None:
    """All measurements, in the order in which they are printed."""
    from benchmarks.world import Size

    size = Size(articles=arguments.articles, people=arguments.people)
    worlds = {using: build(using, size) for using in ENGINES}
    print_machine(size)
    print_lists()
    print_requests()
    print_people()
    for world in worlds.values():
        world.more_segments(10_000 - size.segments)
    print_rules()


def build(using: str, size: Any) -> Any:
    """A migrated and filled database; says how far it is."""
    from django.core.management import call_command
    from django.db import connections

    from benchmarks.world import World

    call_command("migrate", database=using, verbosity=0)
    if using == "sqlite":
        connections[using].cursor().execute("PRAGMA synchronous = OFF")
    world = World(using, size)
    started = time.perf_counter()

    def say(step: str) -> None:
        print(f"  {ENGINES[using]}: {time.perf_counter() - started:3.0f} s, {step}", flush=True)

    world.build(say)
    return world


def print_machine(size: Any) -> None:
    """What was measured, and on what."""
    from django.db import connections

    with connections["sqlite"].cursor() as cursor:
        cursor.execute("SELECT sqlite_version()")
        sqlite = cursor.fetchone()[0]
    with connections["postgresql"].cursor() as cursor:
        cursor.execute("SHOW server_version")
        server = cursor.fetchone()[0].split()[0]
    print(
        f"\n{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {processor()}, "
        f"Python {platform.python_version()}, Django {django.__version__}, SQLite {sqlite}, "
        f"PostgreSQL {server}\n{size.articles:,} articles in {size.sections:,} sections, "
        f"{size.segments:,} segments, {size.audiences:,} audiences, {size.people:,} people"
    )


def processor() -> str:
    """The name of the processor, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


# Lists


def print_lists() -> None:
    """Page one and the count of all, per engine and viewer, as ratios to no access control."""
    cases = [case for using in ENGINES for case in list_cases(using)]
    for number in range(ROUNDS):
        for case in cases:
            if not case.is_tired:
                case.run(number)
    times: dict[tuple[str, ...], float] = {
        (case.using, case.viewer, case.what, case.way): statistics.median(case.times)
        for case in cases
    }
    title("The statement alone. ms without access control, then how many times as long.")
    head = ["", "viewer", "page ms", "ours", "textbook", "count ms", "ours", "textbook"]
    rows = []
    for using, viewer in dict.fromkeys((case.using, case.viewer) for case in cases):
        row = [ENGINES[using], viewer]
        for what in ("page", "count"):
            none, ours, textbook = (
                times[using, viewer, what, way] for way in ("none", "ours", "textbook")
            )
            row += [f"{none:.2f}", f"×{ours / none:.1f}", f"×{textbook / none:.1f}"]
        rows.append(row)
    table(head, rows)


def list_cases(using: str) -> list[Case]:
    """Every statement to be compared on one engine."""
    from django.db.models import QuerySet

    from helpcenter.models import Article
    from segments import snapshot

    found = []
    published = Article.objects.using(using).filter(published=True).order_by("position", "id")
    for name, user in viewers(using).items():
        with snapshot.read_only(using):
            ways: dict[str, QuerySet[Article]] = {
                "none": published,
                "ours": published.visible_to(user),
                "textbook": published.filter(textbook(user, using)),
            }
            seen = {}
            for way, rows in ways.items():
                with counted(using) as sent:
                    page, seen[way] = list(rows[:PAGE]), rows.count()
                assert len(page) == PAGE
                found.append(Case(using, name, "page", way, *sent[-2]))
                found.append(Case(using, name, "count", way, *sent[-1]))
            assert seen["ours"] == seen["textbook"], f"{name} on {using}: {seen}"
    return found


def viewers(using: str) -> dict[str, Any]:
    """Name -> who is looking."""
    from django.contrib.auth.models import AnonymousUser

    from accounts.models import User
    from benchmarks.world import AGENT, VIEWERS

    people = User.objects.using(using)
    found: dict[str, Any] = {"anonymous": AnonymousUser()}
    found |= {name: people.get(pk=number) for number, name in enumerate(VIEWERS, 1)}
    return found | {"agent": people.get(pk=AGENT)}


def textbook(user: Any, using: str) -> Any:
    """The rule by link tables, up to five sections high. Categories are left out, in its favour."""
    from django.db.models import Exists, OuterRef, Q

    from benchmarks.world import ArticleSegment, SectionSegment
    from helpcenter.models import Section
    from segments.models import Audience
    from segments.ruleset import viewer_for

    segments = list(viewer_for(user, using).segments)

    def may_see(links: Any, owner: str) -> Any:
        mine = links.objects.filter(**{owner: OuterRef("pk")}, segment__in=segments)
        return Q(audience=Audience.EVERYONE) | Exists(mine)

    def section(reference: str, depth: int) -> Any:
        shown = Section._base_manager.filter(pk=OuterRef(reference))
        shown = shown.filter(may_see(SectionSegment, "section"))
        above = Exists(section("parent_id", depth - 1)) if depth > 1 else Q(pk__in=[])
        return shown.filter(Q(parent=None) | above)

    return may_see(ArticleSegment, "article") & Exists(
        section("section_id", Section.audience_depth)
    )


@contextmanager
def counted(using: str) -> Any:
    """A list that fills with the statements sent."""
    from django.db import connections

    sent: list[tuple[str, Any]] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.append((sql, params))
        return execute(sql, params, many, context)

    with connections[using].execute_wrapper(note):
        yield sent


# Requests


def print_requests() -> None:
    """What a request pays in Python and SQL: to know the viewer, for page one and its count."""
    title("A whole request, Python included. Queries and ms; whole = page one and its count.")
    head = ["", "viewer", "find viewer", "find shelves", "whole", "without control", "ratio"]
    rows = []
    for using in ENGINES:
        for name, user in viewers(using).items():
            steps = defaultdict(list)
            queries: dict[str, int] = {}
            for _ in range(ROUNDS * 2):
                for step, (sent, spent) in request_costs(user, using).items():
                    steps[step].append(spent)
                    queries[step] = sent
            cells = [f"{queries[step]} / {statistics.median(steps[step]):.1f}" for step in steps]
            whole, plain = (statistics.median(steps[step]) for step in ("whole", "plain"))
            rows.append([ENGINES[using], name, *cells, f"×{whole / plain:.1f}"])
    table(head, rows)


def request_costs(user: Any, using: str) -> dict[str, tuple[int, float]]:
    """Step -> (statements sent, ms), each from the start, as in a new request."""
    from helpcenter.models import Article, Section
    from segments import snapshot
    from segments.querysets import visible_ids
    from segments.ruleset import viewer_for

    published = Article.objects.using(using).filter(published=True).order_by("position", "id")

    def read(rows: Any) -> None:
        rows.count()
        list(rows[:PAGE])

    costs = {}
    with snapshot.read_only(using):
        costs["viewer"] = cost(using, lambda: viewer_for(user, using))
        viewer = viewer_for(user, using)
        costs["shelves"] = cost(using, lambda: visible_ids(Section, viewer, using))
    with snapshot.read_only(using):
        costs["whole"] = cost(using, lambda: read(published.visible_to(user)))
    with snapshot.read_only(using):
        costs["plain"] = cost(using, lambda: read(published))
    return costs


def cost(using: str, work: Callable[[], Any]) -> tuple[int, float]:
    """(statements sent, milliseconds) of the work."""
    with counted(using) as sent:
        started = time.perf_counter()
        work()
        return len(sent), (time.perf_counter() - started) * 1000


# Both directions


def print_people() -> None:
    """Who is in a segment: the count and the first page."""
    from segments.models import Segment

    title("segment.members() in ms.")
    rows = []
    for using in ENGINES:
        tagged = Segment.objects.using(using).get(name="segment 1")
        kinds = {
            "has a tag": tagged,
            "has not that tag": inverted(tagged),
            "signed-in users": Segment.objects.using(using).get(built_in="signed_in_users"),
        }
        for kind, segment in kinds.items():
            people = segment.members()
            count = typical(people.count, 3)
            page = typical(lambda people=people: list(people.order_by("pk")[:PAGE]), 3)
            row = [ENGINES[using], kind, f"{people.count():,}", f"{count:.1f}", f"{page:.1f}"]
            rows.append(row)
    table(["", "segment", "members", "count ms", "page ms"], rows)


def inverted(segment: Any) -> Any:
    """The segment of those who do not satisfy the only condition; not stored."""
    conditions = [{**segment.conditions[0], "operator": "none"}]
    other = type(segment)(pk=segment.pk, user_type=segment.user_type, conditions=conditions)
    other._state.db = segment._state.db
    return other


def print_rules() -> None:
    """The compiled rules at 10,000 segments: to compile them, and to find a person's segments."""
    from segments.attributes import read_person
    from segments.models import Token
    from segments.ruleset import current_ruleset

    def after_a_change(using: str) -> None:
        Token.objects.using(using).update(value=f"{random.random()}")
        current_ruleset(using)

    title("The rules at 10,000 segments, in ms. Finding looks at few rules; the loop at all.")
    rows = []
    for using in ENGINES:
        compiled = typical(lambda using=using: after_a_change(using), 3)
        rules = current_ruleset(using)
        for name, user in viewers(using).items():
            if user.pk is not None:
                row = finding(rules, read_person(user.pk, using))
                rows.append([ENGINES[using], name, f"{compiled:.0f}", *row])
    table(["", "viewer", "compile", "is in", "find", "loop", "ratio"], rows)


def finding(rules: Any, person: Any) -> list[str]:
    """How many segments the person is in; the time to find them by index and by loop; the ratio."""

    def loop() -> set[int]:
        return {rule.pk for rule in rules.rules.values() if rule.admits(person)}

    assert rules.segments_of(person) == loop()
    found = typical(lambda: rules.segments_of(person), ROUNDS)
    looped = typical(loop, ROUNDS)
    return [str(len(loop())), f"{found:.2f}", f"{looped:.1f}", f"×{looped / found:.0f}"]


def typical(work: Callable[[], Any], rounds: int) -> float:
    """The median time of the work in milliseconds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


# Output


def title(words: str) -> None:
    """The heading of a table."""
    print(f"\n{words}")


def table(head: list[str], rows: Iterable[list[str]]) -> None:
    """Columns as wide as they need to be; the first two to the left, numbers to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells).rstrip(), flush=True)


if __name__ == "__main__":
    main()

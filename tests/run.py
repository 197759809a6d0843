"""Run the suite on SQLite and on PostgreSQL, side by side, and the browser tests.

`python -m tests.run [pytest arguments]`, or with --fuzz MINUTES first: the tests marked `fuzz`,
again and again with new seeds. Those that take all the time they get (the fixture `budget`) share
half of it, in the first round, which is finished even if it takes longer. What was counted is
printed with 3/N, below which the rate of failures is with 95 % confidence when there were none in N
trials.
The last line but one says how long each run took, as "SQLite 5:12"; the last line sums up all of
it: "N passed, N failed, N skipped".

DATABASE_URL    a PostgreSQL server to use instead of the one from the wheel; it needs the roles
                that tests/postgres.py makes
ALSO_TEST_ON    a folder of PostgreSQL programs (…/postgresql/15/bin) for one more run
BROWSER_TESTS   "required": a missing Chromium is a failure
PROXY_TESTS     "required": a missing nginx is a failure
"""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.postgres import PostgresUnavailable, postgres

# How much of the time of `make fuzz` is for the tests that take all they get.
SHARE = 0.5
NOTHING_RAN = 5  # pytest's own exit status
ROOT = Path(__file__).resolve().parent.parent
OUTCOMES = {"passed": "passed", "failed": "failed", "error": "failed", "errors": "failed"} | {
    "xpassed": "passed",
    "skipped": "skipped",
    "xfailed": "skipped",
}


@dataclass
class Run:
    """The tests on one engine, and what came of them: one pytest process, or many for `fuzz`."""

    name: str
    part: str
    url: str | None
    log: Path
    process: subprocess.Popen | None = None
    rounds: int = 0
    seconds: float = 0
    seeds: list[int] = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    tallies: Counter = field(default_factory=Counter)

    def start(self, arguments: list[str]) -> None:
        """Run pytest to its end; its output is in the log, its results are added to the counts."""
        # Whatever the tests leave behind when they are interrupted goes with the log's folder.
        environment = os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": str(self.log.parent)}
        environment.pop("DATABASE_URL", None)
        if self.url:
            environment["DATABASE_URL"] = self.url
        cache = f"cache_dir=.pytest_cache/{self.name.lower().replace(' ', '-')}"
        options = ["--part", self.part, *arguments]
        started = time.monotonic()
        with self.log.open("w") as log:
            print("pytest", *options, file=log, flush=True)
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pytest", "-o", cache, *options],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        status = self.process.wait()
        counts = self.summary()
        if status not in (0, NOTHING_RAN) and not counts["failed"]:
            counts["failed"] += 1  # it ended before it could count
        self.rounds += 1
        self.seconds += time.monotonic() - started
        self.counts += counts
        for name, number in re.findall(r"^tally: (.+): (\d+)$", self.output(), re.MULTILINE):
            self.tallies[name] += int(number)

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def summary(self) -> Counter:
        """How many tests had which outcome, from pytest's closing line."""
        counts: Counter = Counter()
        closing = re.findall(r"^=*\s?(\d+ \w+.*) in [\d.]+s.*$", self.output(), re.MULTILINE)
        for number, outcome in re.findall(r"(\d+) (\w+)", closing[-1] if closing else ""):
            if outcome in OUTCOMES:
                counts[OUTCOMES[outcome]] += int(number)
        return counts

    def state(self) -> str:
        """`PostgreSQL 18 45%`, for the line of progress."""
        if self.process is None:
            return f"{self.name} waiting"
        if self.part == "fuzz":
            return f"{self.name} round {self.rounds + 1}"
        if self.process.poll() is not None:
            return f"{self.name} done"
        percent = re.findall(r"\[ *(\d+%)\]", self.output())
        return f"{self.name} {percent[-1] if percent else 'starting'}"


def main() -> int:
    minutes = 0.0
    arguments = sys.argv[1:]
    if arguments[:1] == ["--fuzz"]:
        minutes, arguments = float(arguments[1]), arguments[2:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="helpcenter-run-")))
        folder.chmod(0o711)  # a test may start a PostgreSQL in it, which root starts as nobody
        servers, problems = start_servers(stack)
        part = "fuzz" if minutes else "plain"
        runs = [Run(name, part, url, folder / f"{name}.log") for name, url in servers.items()]
        runs.insert(1, Run("SQLite", part, None, folder / "SQLite.log"))
        if minutes:
            carry_out(runs, lambda run: fuzz(run, minutes, arguments))
        else:
            runs.append(Run("Browser", "browser", None, folder / "Browser.log"))
            carry_out(runs, lambda run: run.start(arguments))
        return report(runs, problems)


def start_servers(stack: ExitStack) -> tuple[dict[str, str], list[str]]:
    """The PostgreSQL servers by name, and why one that should be there is not."""
    servers: dict[str, str] = {}
    problems: list[str] = []
    wanted: list[Path | None] = [None]
    if os.environ.get("DATABASE_URL", "").startswith("postgres"):
        servers["PostgreSQL"] = os.environ["DATABASE_URL"]
        wanted = []
    if os.environ.get("ALSO_TEST_ON"):
        wanted.append(Path(os.environ["ALSO_TEST_ON"]))
    for programs in wanted:
        try:
            name = f"PostgreSQL {programs.parent.name}" if programs else "PostgreSQL"
            servers[name] = stack.enter_context(postgres(programs))
        except (PostgresUnavailable, OSError) as error:
            problems.append(str(error))
    return servers, problems


def carry_out(runs: list[Run], work: Callable[[Run], None]) -> None:
    """Do the work for every run, two at a time, and show how far they are."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        futures = [pool.submit(work, run) for run in runs]
        started = time.monotonic()
        every = 1 if sys.stdout.isatty() else 30
        try:
            while wait(futures, timeout=every).not_done:
                line = " · ".join(run.state() for run in runs)
                print(
                    f"{clock(time.monotonic() - started)} {line}",
                    end="\033[K\r" if every == 1 else "\n",
                    flush=True,
                )
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            for run in runs:
                if run.process:
                    run.process.terminate()
            raise SystemExit("\nInterrupted.") from None
        for future in futures:
            future.result()


def fuzz(run: Run, minutes: float, arguments: list[str]) -> None:
    """Repeat the run with new seeds until the time is over or a test fails."""
    end = time.monotonic() + minutes * 60
    while time.monotonic() < end and not run.counts["failed"]:
        budget = 0 if run.rounds else minutes * 60 * SHARE
        run.seeds.append(random.randrange(2**32))
        # A test may take its whole budget; pyproject.toml ends those of `make test` after a while.
        options = [f"--hypothesis-seed={run.seeds[-1]}", f"--fuzz-seconds={budget}"]
        options += ["-o", "faulthandler_timeout=0"]
        run.start([*options, *arguments])
        if not run.counts:
            break


def report(runs: list[Run], problems: list[str]) -> int:
    """Print every run's last log and the sum of all; 0 when everything passed."""
    total: Counter = Counter(failed=len(problems))
    tallies: Counter = Counter()
    for run in runs:
        seeds = ", ".join(map(str, run.seeds))
        rounds = f", round {run.rounds}, seeds {seeds}" if run.part == "fuzz" else ""
        print(f"\n===== {run.name}{rounds}\n{run.output().strip()}", flush=True)
        total += run.counts
        tallies += run.tallies
    print()
    are_trials = runs[0].part == "fuzz" and not total["failed"]
    for name, number in tallies.items():
        bound = f" (none failed: ≤ 3/N = {3 / number:.1e})" if are_trials and number else ""
        print(f"{name}: {number:,}{bound}")
    for problem in problems:
        print(problem)
    print(" · ".join(f"{run.name} {clock(run.seconds)}" for run in runs))
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    if total["failed"]:
        return 1
    return 0 if total["passed"] else NOTHING_RAN


def clock(seconds: float) -> str:
    """Minutes and seconds: 8:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


if __name__ == "__main__":
    sys.exit(main())

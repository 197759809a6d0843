"""gunicorn on the tests' database, as a deployment runs it: four workers, kept connections."""

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 4
# What is written while nobody may see it.
SECRET = "quicksilver"
# How long an answer may take: gunicorn ends a worker after 30 seconds.
PATIENCE = 40


class NoAnswer(Exception):
    """The connection ended without an answer, as when the worker has died."""


@dataclass
class Answer:
    """What came back; `text` has the headers too, as a redirect names a title in its address."""

    status: int
    headers: dict
    text: str

    @property
    def worker(self):
        return self.headers["x-worker"]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Web:
    """A running site. Every request makes its own connection, so that any worker may answer."""

    def __init__(self, environment, **more):
        self.folder = Path(tempfile.mkdtemp(prefix="helpcenter-web-"))
        self.socket = str(self.folder / "socket")
        self.log = self.folder / "log"
        command = [sys.executable, "-m", "gunicorn", "tests.web_process:application", "--preload"]
        command += ["--workers", str(WORKERS), "--threads", "2", "--bind", f"unix:{self.socket}"]
        command += ["--worker-tmp-dir", str(self.folder), "--no-control-socket"]
        known = {"DJANGO_SETTINGS_MODULE": "tests.settings", "TEST_CONN_MAX_AGE": "60"}
        # Short, because tests wait for them.
        known |= {"STATEMENT_TIMEOUT": "3", "LOCK_TIMEOUT": "1", "TEST_SQLITE_TIMEOUT": "2"}
        # Load tests are about other limits.
        known |= {
            "API_REQUESTS_PER_MINUTE": "1000000",
            "API_REQUESTS_PER_MINUTE_ANONYMOUS": "1000000",
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                env=environment | known | more,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        self.pool = ThreadPoolExecutor(16)
        self._wait_until_it_answers()

    def _wait_until_it_answers(self):
        end = time.monotonic() + 60
        while not os.path.exists(self.socket):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"gunicorn did not start:\n{self.log.read_text()}")
            time.sleep(0.05)
        # The first request of each worker compiles the addresses and the rules.
        self.from_all("/hc")

    def request(self, method, address, body=None, session="", faults="", **headers):
        """The answer to one request; NoAnswer when there is none."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if session:
            sent["Cookie"] = f"sessionid={session}"
        if faults:
            sent["X-Fault"] = faults
        if isinstance(body, dict):
            body = urlencode(body)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection = _Connection(self.socket)
        try:
            connection.request(method, address, body, sent)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (http.client.HTTPException, OSError) as error:
            raise NoAnswer(f"{method} {address}: {error!r}") from error
        finally:
            connection.close()
        said = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, said, f"{response.headers}{text}")

    def get(self, address, session="", **more):
        """The answer to a GET."""
        return self.request("GET", address, session=session, **more)

    def from_one(self, address, session="", **more):
        """The answer of any worker, in a list as `from_all` has it."""
        return [self.get(address, session, **more)]

    def from_all(self, address, session="", **more):
        """As many answers as there are workers, asked for at once, so that all may take part."""
        asked = [
            self.pool.submit(self.get, address, session=session, **more) for _ in range(WORKERS)
        ]
        return [each.result() for each in asked]

    def stop(self):
        """End it with its workers."""
        self.pool.shutdown()
        self.process.terminate()
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

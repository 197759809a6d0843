"""Everything at once, on four workers: nothing hidden is seen, no write is lost, nothing waits for
ever, and no answer is an error."""

import json
import re
import threading
import time
from collections import Counter

import pytest
from django.db import connection, connections
from knox.models import get_token_model

from helpcenter.models import Article
from segments.models import Audience
from tests.factories_content import ArticleFactory, AttachmentFactory
from tests.factories_people import PASSWORD, PersonFactory
from tests.test_now import (
    CANARY,
    NARROWING,
    address_of,
    search_for,
    section_address,
    session_of,
    world,  # noqa: F401  (a fixture)
    write_secret,
)
from tests.web_server import SECRET

API = "/api/v2/help_center"
FILE = "vermilion"
# Seconds of it in `make test`.
LOAD = 4


class Load:
    """What the threads share: until when they go on, and what came of their requests."""

    def __init__(self, web, world, seconds, faults=""):  # noqa: F811
        self.web, self.world, self.faults = web, world, faults
        self.end = time.monotonic() + seconds
        self.answers, self.counted, self.labels, self.secrets = Counter(), 0, set(), 0
        self.wrong = []
        # Two: a label changes the version of its article.
        self.public, self.labelled = (
            ArticleFactory(audience=Audience.everyone(), section=world.section) for _ in range(2)
        )
        self.file = AttachmentFactory(article=world.articles["tag"], content=FILE.encode())
        # Now, while no secret is in the addresses.
        article = world.articles["tag"]
        self.pages = [address_of(article), section_address(world), search_for(CANARY)]
        self.pages += [self.file.address(), f"{API}/en-us/articles/{article.pk}.json"]
        self.admin, self.person = PersonFactory(role="admin"), PersonFactory(verified=True)
        self.session = session_of(self.admin)
        _stored, self.token = get_token_model().objects.create(self.admin)
        self.lock = threading.Lock()

    def goes_on(self):
        """Until the time is over; on a slow machine until each kind of write was made."""
        longest = self.end if self.is_enough() else self.end + 30
        return time.monotonic() < longest and not self.wrong

    def is_enough(self):
        return min(self.counted, len(self.labels), self.secrets) >= 3

    def ask(self, method, address, *, expected, secrets=False, **more):
        """The answer; another status than the expected ones is wrong, and so is a secret."""
        answer = self.web.request(method, address, faults=self.faults, **more)
        with self.lock:
            self.answers[answer.status] += 1
        if answer.status not in expected or (SECRET in answer.text and not secrets):
            self.wrong.append((method, address, answer))
        return answer

    def call(self, method, address, body=None, **more):
        """The same by the API, as the admin."""
        more |= {"Authorization": f"Bearer {self.token}", "Content_Type": "application/json"}
        return self.ask(method, f"{API}/{address}", body=body and json.dumps(body), **more)

    # The threads

    def read(self):
        """Maria reads what is hidden from her again and again."""
        session = self.world.sessions["maria"]
        while self.goes_on():
            for page in self.pages:
                # The API counts its requests, and on SQLite waits for whoever writes to do so.
                waits = page.startswith(API) and connection.vendor == "sqlite"
                busy = {503} if waits else set()
                self.ask("GET", page, session=session, expected={200, 404} | busy)
                self.ask("HEAD", page, session=session, expected={200, 404, 405} | busy)

    def administer(self):
        """Pages that are rendered late, and answers that are streamed."""
        article = self.public.pk
        pages = ["article/", f"article/{article}/change/", f"article/{article}/who-can-see-csv/"]
        while self.goes_on():
            for page in pages:
                address, more = f"/admin/helpcenter/{page}", {"expected": {200}, "secrets": True}
                self.ask("GET", address, session=self.session, **more)

    def narrow(self):
        """Hide, write a secret, show again."""
        while self.goes_on():
            write_secret(self.world, NARROWING[self.secrets % len(NARROWING)], 0.01)
            self.secrets += 1

    def count(self):
        """Read a number and store the next one, unless somebody else was faster."""
        address = f"articles/{self.public.pk}.json"
        while self.goes_on():
            read = self.call("GET", address, expected={200, 503})
            if read.status != 200:
                continue
            number = int(re.search(r'"position": ?(\d+)', read.text)[1])
            body = {"article": {"position": number + 1}}
            more = {"If_Match": read.headers["etag"], "expected": {200, 412, 503}}
            if self.call("PUT", address, body, **more).status == 200:
                with self.lock:
                    self.counted += 1

    def label(self):
        """Everybody makes the same labels at the same time."""
        number = 0
        while self.goes_on():
            name = f"label {number}"
            body = {"label": {"name": name}}
            address = f"articles/{self.labelled.pk}/labels.json"
            if self.call("POST", address, body, expected={200, 201, 503}).status != 503:
                self.labels.add(name)
                number += 1

    def sign_in_and_out(self):
        """A session sees what its owner may, until it has ended."""
        hidden = address_of(self.world.articles["signed in"])
        while self.goes_on():
            page = self.ask("GET", "/accounts/login/", expected={200})
            token = re.search(r"csrftoken=(\w+)", page.headers["set-cookie"])[1]
            form = {"login": self.person.email, "password": PASSWORD, "csrfmiddlewaretoken": token}
            # 429: too many sign-ins from one address.
            expected = {"expected": {302, 429, 503}}
            done = self.ask(
                "POST", "/accounts/login/", body=form, Cookie=f"csrftoken={token}", **expected
            )
            if done.status != 302:
                time.sleep(0.5)
                continue
            session = re.search(r"sessionid=(\w+)", done.text)[1]
            token = re.search(r"csrftoken=(\w+)", done.text)[1]
            self.ask("GET", hidden, session=session, expected={200, 404})
            cookies = f"csrftoken={token}; sessionid={session}"
            form = {"csrfmiddlewaretoken": token}
            out = self.ask("POST", "/accounts/logout/", body=form, Cookie=cookies, **expected)
            if out.status == 302:
                self.ask("GET", hidden, session=session, expected={404})

    def carry_out(self, *works):
        """Run these at once, to their end."""
        threads = [threading.Thread(target=self.watched, args=[work]) for work in works]
        last = self.end + 90
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0, last - time.monotonic()))
            assert not thread.is_alive(), "Something waits for ever."

    def watched(self, work):
        try:
            work()
        except BaseException as error:
            self.wrong.append(error)
        finally:
            connections.close_all()

    def stored(self):
        return Article._base_manager.values_list("position", flat=True).get(pk=self.public.pk)


def open_transactions():
    """Connections that have been left in a transaction."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            # There would be a lock.
            cursor.execute("PRAGMA busy_timeout = 100")
            cursor.execute("UPDATE segments_actor SET name = NULL")
            return 0
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%'"
        )
        return cursor.fetchone()[0]


def goes_well(load, tally):
    load.carry_out(
        *[load.read] * 3,
        load.administer,
        load.narrow,
        *[load.count] * 2,
        *[load.label] * 2,
        load.sign_in_and_out,
    )
    assert not load.wrong
    assert load.is_enough()
    assert load.stored() == load.counted
    assert load.labels <= {each.name for each in load.labelled.labels.all()}
    assert load.answers[200]
    assert not open_transactions()
    tally["requests under mixed load"] += load.answers.total()
    tally["writes under mixed load"] += load.counted + len(load.labels) + load.secrets


def test_everything_at_once(web, world, tally):  # noqa: F811
    goes_well(Load(web, world, LOAD), tally)


@pytest.mark.fuzz
def test_everything_at_once_for_as_long_as_we_look(web, world, budget, tally):  # noqa: F811
    goes_well(Load(web, world, budget), tally)


def test_a_build_that_loses_writes_is_found_out(web, world):  # noqa: F811
    """Without one transaction for the version and the write, two writers pass with one version."""
    load = Load(web, world, 20, "no-snapshot")

    def until_lost():
        while load.goes_on():
            time.sleep(0.2)
            if load.stored() < load.counted - 4:
                load.end = 0

    load.is_enough = lambda: True
    load.carry_out(*[load.count] * 4, until_lost)
    assert not load.wrong
    assert load.stored() < load.counted

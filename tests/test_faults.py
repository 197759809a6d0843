"""Whatever breaks around the site: the answer is right, or 404, or 503, and it recovers by itself.

In real gunicorn workers on the real database. docs/faults.md says what happens in each fault.
"""

import contextlib
import json
import subprocess
import time
from contextlib import contextmanager

import environ
import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from knox.models import get_token_model

from helpcenter.models import Article, Section, Viewing
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory, SectionFactory
from tests.factories_people import PersonFactory, TagFactory
from tests.postgres import new_server
from tests.test_now import session_of
from tests.web_server import NoAnswer, Web

PUBLIC = "celadon"
# Nobody asks for the second, so it comes back from nowhere but the article.
SOUGHT, HIDDEN = "amaranthine", "cinnabar"
# Within so many seconds everything works again.
RECOVERY = 5

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's fault")
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's fault")


class Scene:
    """A public article, one for the members of a segment, and an admin who writes."""

    def __init__(self, web):
        self.web, self.stored = web, 0
        tag = TagFactory(name="vip")
        self.segment = Segment.objects.create(
            name="VIP", conditions=[{"attribute": "tag", "operator": "any", "values": ["vip"]}]
        )
        self.public = ArticleFactory(body=PUBLIC, audience=Audience.everyone(), position=0)
        self.hidden = ArticleFactory(
            body=f"{SOUGHT} {HIDDEN}",
            audience=Audience.of(self.segment),
            section=self.public.section,
        )
        self.member, self.admin = PersonFactory(tags=[tag]), PersonFactory(role="admin")
        self.sessions = {
            "visitor": "",
            "member": session_of(self.member),
            "admin": session_of(self.admin),
        }
        _stored, self.token = get_token_model().objects.create(self.admin)
        self.page_of_public = self.page(self.public)
        self.pages = [self.page_of_public, self.page(self.hidden), "/hc/en-us"]
        self.pages += [f"/hc/en-us/search?query={SOUGHT}", "/api/v2/help_center/articles.json"]

    def page(self, article):
        """Its address."""
        article.words = article.translations.get()
        return article.address("en-us")

    def look(self, who, address, faults=""):
        """The answer, which is none of a site that is broken, and shows nothing hidden."""
        answer = self.web.get(address, session=self.sessions[who], faults=faults)
        self.judge(answer)
        if who == "visitor":
            assert HIDDEN not in answer.text, address
        return answer

    def judge(self, answer):
        assert answer.status in (200, 302, 404, 503), answer
        if answer.status == 503:
            assert answer.headers["retry-after"], answer
            assert answer.headers["cache-control"] == "private, no-store"

    def write(self, faults=""):
        """Count one up in the public article; what the answer says was stored is remembered."""
        number = self.stored + 1
        answer = self.web.request(
            "PUT",
            f"/api/v2/help_center/articles/{self.public.pk}.json",
            json.dumps({"article": {"position": number}}),
            faults=faults,
            Authorization=f"Bearer {self.token}",
            Content_Type="application/json",
        )
        self.judge(answer)
        if answer.status == 200:
            self.stored = number
        return answer

    def position(self):
        """What is stored."""
        return Article._base_manager.values_list("position", flat=True).get(pk=self.public.pk)

    def works(self):
        """Everybody sees what they may and the admin can write, from every worker."""
        for answer in self.web.from_all(self.page(self.public)):
            if answer.status != 200 or PUBLIC not in answer.text:
                return False
        if HIDDEN not in self.look("member", self.page(self.hidden)).text:
            return False
        if self.look("visitor", self.page(self.hidden)).status != 404:
            return False
        return self.write().status == 200

    def recovers(self):
        """It works again soon, and what was said to be stored still is."""
        lost = self.position() != self.stored
        began = time.monotonic()
        while True:
            try:
                if self.works():
                    break
            except NoAnswer:
                pass
            assert time.monotonic() - began < RECOVERY
        assert not lost and self.position() == self.stored


@pytest.fixture
def scene(web):
    return Scene(web)


@pytest.fixture
def survived(tally):
    """survived(name) counts a fault."""

    def survived(name):
        tally[f"survived: {name}"] += 1

    return survived


# The connection -----------------------------------------------------------------------------------


@on_postgresql
def test_the_connection_is_lost_between_decision_and_content(scene, survived):
    for address in (scene.page(scene.public), "/hc/en-us/search?query=a"):
        answer = scene.look("visitor", address, "lose-connection")
        assert answer.status == 503
        assert "try again in a moment" in answer.text
    answer = scene.look("visitor", "/api/v2/help_center/articles.json", "lose-connection")
    assert answer.status == 503
    assert "ServiceUnavailable" in answer.text
    scene.recovers()
    survived("connection lost in a reading request")


@on_postgresql
def test_the_connection_is_lost_before_the_commit(scene, survived):
    assert scene.write().status == 200
    assert scene.write("lose-connection-at-commit").status == 503
    scene.recovers()
    survived("connection lost in a writing request")


@on_postgresql
def test_all_connections_are_lost_between_requests(scene, survived):
    """Kept connections that died while nobody used them are not even noticed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.rowcount
    assert scene.works()
    scene.recovers()
    survived("idle connections lost")


@contextmanager
def on_database(url):
    """Let this process work on another database."""
    connection.close()
    before = dict(connection.settings_dict)
    connection.settings_dict.update(
        {name: value for name, value in environ.Env.db_url_config(url).items() if name != "ENGINE"}
    )
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.clear()
        connection.settings_dict.update(before)


@pytest.mark.fuzz
@on_postgresql
def test_postgresql_is_restarted(process_env, survived):
    """A server of its own, because others use the tests' one."""
    with new_server() as server, on_database(server.url):
        call_command("migrate", verbosity=0)
        web = Web(process_env | {"DATABASE_URL": server.url})
        try:
            scene = Scene(web)
            assert scene.works()
            connection.close()
            server.stop()
            for who in scene.sessions:
                for address in scene.pages:
                    assert scene.look(who, address).status == 503
            assert scene.write().status == 503
            server.start()
            scene.recovers()
        finally:
            web.stop()
    survived("PostgreSQL restarted")


# Waiting ------------------------------------------------------------------------------------------


@on_postgresql
def test_a_statement_takes_too_long(scene, survived):
    answer = scene.look("visitor", scene.page(scene.public), "endless-statement")
    assert answer.status == 503
    scene.recovers()
    survived("statement timeout")


def test_a_lock_is_held_for_too_long(scene, survived):
    """By somebody at a database shell. Readers do not even notice."""
    with transaction.atomic():
        Article._base_manager.filter(pk=scene.public.pk).update(promoted=True)
        began = time.monotonic()
        assert scene.write().status == 503
        assert time.monotonic() - began < 20
        assert PUBLIC in scene.look("visitor", scene.page(scene.public)).text
    scene.recovers()
    survived("lock timeout")


# The worker ---------------------------------------------------------------------------------------


def test_the_worker_dies_before_the_commit(scene, survived):
    with pytest.raises(NoAnswer):
        scene.write("die-before-commit")
    scene.recovers()
    survived("worker killed before the commit")


def test_the_worker_dies_between_commit_and_answer(scene, survived):
    with pytest.raises(NoAnswer):
        scene.write("die-after-commit")
    # Nobody was told, but it is stored.
    scene.stored += 1
    scene.recovers()
    survived("worker killed between commit and answer")


# What is stored is broken -------------------------------------------------------------------------


def test_a_condition_raises(scene, survived):
    """It holds for nobody; all else goes on."""
    faults = "broken-condition"
    assert scene.look("member", scene.page(scene.hidden), faults).status == 404
    assert scene.look("admin", scene.page(scene.hidden), faults).status == 200
    for who in ("visitor", "member"):
        assert PUBLIC in scene.look(who, scene.page(scene.public), faults).text
    scene.recovers()
    survived("exception in a condition")


@pytest.mark.parametrize(
    "conditions",
    [
        [{"attribute": "tag", "operator": "xor", "values": ["vip"]}],
        [{"attribute": "shoe size", "operator": "none", "values": [46]}],
        {"operator": "any"},
        ["any"],
    ],
    ids=["operator", "attribute", "object", "text"],
)
def test_conditions_are_not_understood(conditions, scene, survived):
    before = scene.segment.conditions
    with connection.cursor() as cursor:
        statement = "UPDATE segments_segment SET conditions = %s WHERE id = %s"
        cursor.execute(statement, [json.dumps(conditions), scene.segment.pk])
    assert scene.look("member", scene.page(scene.hidden)).status == 404
    assert scene.look("admin", scene.page(scene.hidden)).status == 200
    pages = ["", f"{scene.segment.pk}/change/", f"{scene.segment.pk}/history/"]
    for page in pages:
        answer = scene.look("admin", f"/admin/segments/segment/{page}")
        assert answer.status == 200, (page, answer)
    Segment.objects.filter(pk=scene.segment.pk).update(conditions=before)
    scene.recovers()
    survived("unknown operator")


def test_sections_lie_in_a_circle(scene, survived):
    """Nobody but admins sees what is in it, and no page runs for ever."""
    category = scene.public.section.category
    one, two = SectionFactory(category=category), SectionFactory(category=category)
    inside = ArticleFactory(body=HIDDEN, section=one, audience=Audience.everyone())
    for section, parent in ((one, two), (two, one)):
        Section._base_manager.filter(pk=section.pk).update(parent=parent)
    api = "/api/v2/help_center/en-us"
    for who, expected in (("visitor", 404), ("member", 404), ("admin", 200)):
        for address in (scene.page(inside), scene.page(one), f"{api}/sections/{one.pk}.json"):
            assert scene.look(who, address).status == expected, (who, address)
        for address in ("/hc/en-us", f"{api}/sections.json", f"{api}/articles.json"):
            assert scene.look(who, address).status == 200
    for address in (f"section/{one.pk}/change/", f"article/{inside.pk}/change/", "section/"):
        assert scene.look("admin", f"/admin/helpcenter/{address}").status == 200
    scene.recovers()
    survived("section cycle")


def test_the_token_of_the_rules_is_gone(scene, survived):
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, value FROM segments_token")
        row = cursor.fetchone()
        cursor.execute("DELETE FROM segments_token")
    for who in scene.sessions:
        for address in scene.pages:
            answer = scene.look(who, address)
            assert PUBLIC not in answer.text and HIDDEN not in answer.text
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO segments_token (id, value) VALUES (%s, %s)", row)
    scene.recovers()
    survived("token of the rules missing")


# Time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [-10, 10])
def test_the_clock_of_a_worker_is_wrong(minutes, scene, survived):
    """The database's clock counts: five minutes ago is over, in five minutes is not."""
    faults = f"clock {minutes * 60}"
    soon, ago = (timezone.now() + timezone.timedelta(minutes=m) for m in (5, -5))
    hidden = scene.page(scene.hidden)
    dan = PersonFactory()
    scene.sessions["dan"] = session_of(dan)
    for until, expected in ((soon, 200), (ago, 404)):
        scene.segment.include(dan, until=until)
        assert scene.look("dan", hidden, faults).status == expected
    for until, expected in ((soon, 404), (ago, 200)):
        scene.segment.exclude(scene.member, until=until)
        assert scene.look("member", hidden, faults).status == expected
    tokens = get_token_model().objects.filter(user=scene.admin)
    for until, expected in ((soon, 200), (ago, 401)):
        tokens.update(expiry=until)
        answer = scene.web.get(
            "/api/v2/users/me.json", faults=faults, Authorization=f"Bearer {scene.token}"
        )
        assert answer.status == expected
    tokens.update(expiry=None)
    for until, expected in ((soon, 200), (ago, 404)):
        Session.objects.filter(pk=scene.sessions["member"]).update(expire_date=until)
        assert scene.look("member", hidden, faults).status == expected
    scene.sessions["member"] = session_of(scene.member)
    scene.recovers()
    survived("clock of a worker wrong by ten minutes")


@pytest.mark.parametrize(("minutes", "until", "wrong"), [(-10, -5, 200), (10, 5, 404)])
def test_a_build_that_trusts_its_own_clock_is_found_out(minutes, until, wrong, scene):
    until = timezone.now() + timezone.timedelta(minutes=until)
    Session.objects.filter(pk=scene.sessions["member"]).update(expire_date=until)
    faults = f"own-clock, clock {minutes * 60}"
    assert scene.look("member", scene.page(scene.hidden), faults).status == wrong


@pytest.mark.parametrize("minutes", [-10, 10])
def test_viewing_as_somebody_ends_by_the_databases_clock(minutes, scene, survived):
    faults = f"clock {minutes * 60}"
    session = scene.sessions["admin"]
    page = scene.web.get("/view-as/", session=session, faults=faults)
    csrf = page.headers["set-cookie"].split("csrftoken=")[1].split(";")[0]
    answer = scene.web.request(
        "POST",
        "/view-as/",
        {"role": "visitor", "csrfmiddlewaretoken": csrf},
        Cookie=f"sessionid={session}; csrftoken={csrf}",
        faults=faults,
    )
    assert answer.status == 302
    hidden = scene.page(scene.hidden)
    assert scene.look("admin", hidden, faults).status == 404
    for age, expected in ((55, 404), (65, 200)):
        Viewing.objects.update(started_at=Now() - timezone.timedelta(minutes=age), ended_at=None)
        assert scene.look("admin", hidden, faults).status == expected
    survived("view as, with a wrong clock")


# The disk -----------------------------------------------------------------------------------------


@on_sqlite
def test_the_database_file_cannot_grow(scene, survived):
    assert scene.write().status == 200
    # What other tests deleted has left room in the file, which needs not grow then.
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")
    words = "long " * 2_000
    address = f"/api/v2/help_center/articles/{scene.public.pk}/comments.json"
    answer = scene.web.request(
        "POST",
        address,
        json.dumps({"comment": {"body": words, "locale": "en-us"}}),
        faults="full-disk",
        Authorization=f"Bearer {scene.token}",
        Content_Type="application/json",
    )
    assert answer.status == 503
    assert not scene.public.comments.exists()
    scene.recovers()
    survived("database file full")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 MB, as far as this machine lets us make one."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "helpcenter-tests", str(tmp_path)],
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        pytest.skip(f"no file system of a given size can be made here: {made.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.mark.fuzz
@on_sqlite
def test_the_disk_is_full(small_disk, process_env, survived):
    """A real one, with the database and the attachments on it."""
    url = f"sqlite:///{small_disk}/db.sqlite3"
    with on_database(url):
        call_command("migrate", verbosity=0)
        web = Web(process_env | {"DATABASE_URL": url, "TEST_DATA_DIR": str(small_disk)})
        try:
            scene = Scene(web)
            assert scene.works()
            connection.close()
            filler = small_disk / "filler"
            with filler.open("wb") as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * 2**16)
                    file.flush()
            for _ in range(20):
                for who in scene.sessions:
                    scene.look(who, scene.page_of_public)
                if scene.write().status == 503:
                    break
            else:
                raise AssertionError("The disk was not full.")
            filler.unlink()
            scene.recovers()
        finally:
            web.stop()
    survived("disk full")

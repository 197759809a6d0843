"""Where the database cannot answer, the answer is 503; a conflict is tried again, a bug is a 500.

The faults themselves, in real processes, are in tests/test_faults.py.
"""

import contextlib
import errno
import sqlite3
import threading

import psycopg
import pytest
from django.contrib.auth import login
from django.core import mail
from django.db import (
    DatabaseError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)
from django.http import Http404, HttpResponse
from django.urls import path, reverse

from accounts.models import Organization, OrganizationMembership, Tag, User
from segments import snapshot
from tests.factories_people import OrganizationFactory, PersonFactory

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
# With transactions of its own; costs a flush of the database.
transactional = pytest.mark.django_db(transaction=True)

# What the view of this test does; the tests set it.
acts = {}
urlpatterns = [path("act", lambda request: acts["now"](request), name="act")]
only_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite lets the second writer wait"
)


@pytest.fixture(autouse=True)
def stack(request, settings):
    if request.node.get_closest_marker("urls").args == (__name__,):
        settings.MIDDLEWARE = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "segments.snapshot.SnapshotMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
    yield
    acts.clear()


@pytest.fixture
def client(client):
    client.raise_request_exception = False
    return client


def caused(error, cause):
    """The error as Django raises it for one of the driver."""
    error.__cause__ = error.__context__ = cause
    return error


def lost():
    return caused(OperationalError("gone"), psycopg.OperationalError("the connection is lost"))


def sqlite(code, words=""):
    cause = sqlite3.OperationalError(words)
    cause.sqlite_errorname = code
    return caused(OperationalError(words), cause)


def locked():
    return sqlite("SQLITE_BUSY", "database is locked")


def because_of(error):
    """What is raised while the error is handled."""
    try:
        raise error
    except Exception:
        try:
            raise ProgrammingError("the transaction is broken")
        except ProgrammingError as second:
            return second


OUTAGES = {
    "no connection": lost(),
    "closed": caused(InterfaceError("closed"), psycopg.InterfaceError("closed")),
    "terminated": caused(OperationalError(), psycopg.errors.AdminShutdown()),
    "statement timeout": caused(OperationalError(), psycopg.errors.QueryCanceled()),
    "lock timeout": caused(OperationalError(), psycopg.errors.LockNotAvailable()),
    "disk": caused(OperationalError(), psycopg.errors.DiskFull()),
    "idle": caused(DatabaseError(), psycopg.errors.IdleInTransactionSessionTimeout()),
    "conflict": caused(OperationalError(), psycopg.errors.SerializationFailure()),
    "sqlite full": sqlite("SQLITE_FULL"),
    "sqlite disk": sqlite("SQLITE_IOERR_WRITE"),
    "sqlite busy": locked(),
    "no token": snapshot.Unavailable(),
    "file": OSError(errno.ENOSPC, "No space left on device"),
    "quota": OSError(errno.EDQUOT, "Quota exceeded"),
    "broken disk": OSError(errno.EIO, "Input/output error"),
    "read-only disk": OSError(errno.EROFS, "Read-only file system"),
    "no cache server": ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
    "slow cache server": TimeoutError("timed out"),
    "consequence": because_of(lost()),
}
BUGS = {
    "no such table": sqlite("SQLITE_ERROR"),
    "syntax": caused(ProgrammingError(), psycopg.errors.SyntaxError()),
    "read-only": caused(DatabaseError(), psycopg.errors.ReadOnlySqlTransaction()),
    "without a cause": OperationalError("made up"),
    "missing file": FileNotFoundError(errno.ENOENT, "No such file"),
    "other": KeyError("x"),
}


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("what", OUTAGES)
def test_an_outage_in_a_view_is_503(what, method, client):
    def act(request):
        if method == "post":
            Tag.objects.create(name="new")
        raise OUTAGES[what]

    acts["now"] = act
    answer = getattr(client, method)("/act")
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert answer["Content-Type"] == "text/plain"
    assert answer.content == b"This cannot be answered right now. Try again in a moment."
    assert not Tag.objects.exists()


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("what", BUGS)
def test_a_bug_is_not_an_outage(what, method, client):
    def act(request):
        raise BUGS[what]

    acts["now"] = act
    assert getattr(client, method)("/act").status_code == 500


@pytest.mark.parametrize(("error", "status"), [(lost(), 503), (KeyError("x"), 500)])
def test_whoever_writes_cannot_be_named(error, status, client, monkeypatch):
    def set_actor(name):
        raise error

    asked = []
    acts["now"] = asked.append
    monkeypatch.setattr(snapshot.history, "set_actor", set_actor)
    assert client.post("/act").status_code == status
    assert not asked


@pytest.mark.parametrize(("said", "status"), [(200, 500), (302, 500), (400, 400), (404, 404)])
def test_only_a_refusal_is_said_where_the_transaction_cannot_go_on(
    said, status, client, monkeypatch
):
    def set_actor(name):
        if name is None:
            raise DatabaseError("The view broke the transaction, and hid it.")

    def act(request):
        Tag.objects.create(name="new")
        return HttpResponse(status=said)

    acts["now"] = act
    monkeypatch.setattr(snapshot.history, "set_actor", set_actor)
    client.force_login(PersonFactory())
    assert client.post("/act").status_code == status
    assert not Tag.objects.exists()


def test_what_a_view_says_while_it_handles_an_outage_is_its_answer():
    try:
        try:
            raise lost()
        except OperationalError:
            raise Http404 from None
    except Http404 as error:
        assert not snapshot.is_outage(error)


def test_the_project_says_503_in_its_own_words(client, monkeypatch):
    page = HttpResponse("ours", status=503, headers={"Retry-After": "9"})
    monkeypatch.setitem(globals(), "handler503", lambda request: page)

    def act(request):
        raise lost()

    acts["now"] = act
    answer = client.get("/act")
    assert (answer.content, answer["Retry-After"]) == (b"ours", "9")


@pytest.mark.parametrize("error", [OUTAGES["no connection"], OUTAGES["conflict"]], ids=repr)
def test_a_session_that_was_rolled_back_is_not_stored(error, client):
    """Or else SessionMiddleware would find it gone and answer 400."""
    maria = PersonFactory()

    def act(request):
        login(request, maria)
        raise error

    acts["now"] = act
    answer = client.post("/act")
    assert answer.status_code == 503
    assert not answer.cookies


@pytest.mark.parametrize("status", [400, 503])
def test_nor_is_one_of_a_view_that_undoes_what_it_did(status, client):
    def act(request):
        login(request, PersonFactory())
        transaction.set_rollback(status == 400)
        return HttpResponse(status=status)

    acts["now"] = act
    answer = client.post("/act")
    assert answer.status_code == status
    assert not answer.cookies
    assert not User.objects.exists()


def test_a_conflict_that_is_tried_again_is_no_error_in_the_log(client, caplog):
    tries = iter([locked(), None])

    def act(request):
        if error := next(tries):
            raise error
        return HttpResponse("done")

    acts["now"] = act
    assert client.post("/act").content == b"done"
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_the_next_try_begins_with_nothing_but_the_request(client):
    """What views and middleware keep on the request belongs to the state of one transaction."""
    seen = []

    def act(request):
        seen.append((hasattr(request, "kept"), request.META.get("kept")))
        request.kept = request.META["kept"] = len(seen)
        if len(seen) < 3:
            raise OperationalError("database is locked")
        return HttpResponse("done")

    acts["now"] = act
    assert client.post("/act", {"a": "b"}).status_code == 200
    assert seen == [(False, None)] * 3


@pytest.mark.urls("helpcenter.urls")
def test_the_help_center_is_looked_at_again_in_the_next_try(client, rf, monkeypatch):
    """`request.here` remembers what the visitor may see, which is true of one state only."""
    from helpcenter.context import site_of

    sites = []

    def answer(request):
        sites.append(site_of(request))
        if len(sites) == 1:
            raise OperationalError("database is locked")
        return HttpResponse()

    snapshot.SnapshotMiddleware(answer)(rf.post("/"))
    assert sites[0] is not sites[1]


@transactional
def test_what_was_committed_is_not_tried_again(client):
    """Whatever goes wrong afterwards: a second try would store everything twice."""

    def act(request):
        Tag.objects.create(name=f"try {Tag.objects.count()}")

        def afterwards():
            raise locked()

        transaction.on_commit(afterwards)
        return HttpResponse("done")

    acts["now"] = act
    assert client.post("/act").status_code == 503
    assert [tag.name for tag in Tag.objects.all()] == ["try 0"]


def test_who_has_waited_for_long_is_not_tried_again(client, monkeypatch):
    """A web server ends a worker after 30 seconds, and then there is no answer at all."""
    monkeypatch.setattr(snapshot, "PATIENCE", -1)
    tries = []

    def act(request):
        tries.append(1)
        raise locked()

    acts["now"] = act
    assert client.post("/act").status_code == 503
    assert len(tries) == 1


@only_postgresql
def test_a_row_that_a_faster_writer_made_is_found_in_the_next_try(client, elsewhere):
    """get_or_create() meets a row that its snapshot cannot see."""
    maria, acme, made = PersonFactory(), OrganizationFactory(), []

    def act(request):
        assert not maria.memberships.exists()
        if not made:
            elsewhere(lambda: OrganizationMembership.objects.create(user=maria, organization=acme))
            made.append(1)
        maria.memberships.get_or_create(organization_id=acme.pk)
        return HttpResponse("done")

    def again(request):
        try:
            return act(request)
        except AssertionError:
            maria.memberships.get_or_create(organization_id=acme.pk)
            return HttpResponse("found")

    acts["now"] = again
    assert client.post("/act").content == b"found"
    assert maria.memberships.count() == 1


@only_postgresql
def test_what_a_faster_writer_deleted_is_missing_in_the_next_try(client, elsewhere):
    """Foreign keys are looked at when the transaction ends: there it is that the row is gone."""
    maria, acme, tries = PersonFactory(), OrganizationFactory(), []

    def act(request):
        tries.append(Organization.objects.filter(pk=acme.pk).exists())
        if not tries[-1]:
            return HttpResponse("missing", status=404)
        if len(tries) == 1:
            elsewhere(lambda: Organization.objects.filter(pk=acme.pk).delete())
        OrganizationMembership.objects.bulk_create(
            [OrganizationMembership(user=maria, organization_id=acme.pk)]
        )
        return HttpResponse("done")

    acts["now"] = act
    assert client.post("/act").status_code == 404
    assert tries == [True, False]


def test_a_duplicate_that_is_nobodys_fault_but_ours_stays_an_error(client):
    def act(request):
        Tag.objects.bulk_create([Tag(name="new"), Tag(name="new")])

    acts["now"] = act
    assert client.post("/act").status_code == 500


def test_success_is_not_said_of_what_is_rolled_back(client):
    """An error inside of atomic(savepoint=False) undoes all, whoever catches it."""

    def act(request):
        Tag.objects.create(name="lost")
        with contextlib.suppress(ValueError), transaction.atomic(savepoint=False):
            raise ValueError
        return HttpResponse("stored")

    acts["now"] = act
    assert client.post("/act").status_code == 500
    assert not Tag.objects.exists()


@transactional
@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite rolls back by itself")
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_transaction_that_ended_by_itself_is_no_success(method, client):
    """As SQLite does for a full disk; a view may hide the error, and Django does not notice."""

    def act(request):
        if method == "post":
            Tag.objects.create(name="lost")
        with connection.cursor() as cursor:
            cursor.execute("ROLLBACK")
        return HttpResponse("done")

    acts["now"] = act
    assert getattr(client, method)("/act").status_code == 503
    assert not Tag.objects.exists()
    acts["now"] = lambda request: HttpResponse(Tag.objects.create(name="kept").name)
    assert client.post("/act").status_code == 200


@transactional
@only_postgresql
@pytest.mark.parametrize("method", ["get", "post"])
def test_requests_have_limits(method, client, settings):
    settings.SEGMENTS = settings.SEGMENTS | {"TIMEOUTS": {"statement_timeout": "50ms"}}

    def act(request):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")

    acts["now"] = act
    assert getattr(client, method)("/act").status_code == 503
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


@transactional
@only_postgresql
def test_a_lock_that_is_not_to_be_had_is_503(client, settings):
    settings.SEGMENTS = settings.SEGMENTS | {"TIMEOUTS": {"lock_timeout": "50ms"}}
    maria = PersonFactory()
    held, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            User.objects.filter(pk=maria.pk).update(name="theirs")
            held.set()
            done.wait(20)
        connection.close()

    other = threading.Thread(target=hold)
    other.start()
    assert held.wait(20)

    def act(request):
        User.objects.filter(pk=maria.pk).update(name="ours")
        return HttpResponse("done")

    acts["now"] = act
    assert client.post("/act").status_code == 503
    done.set()
    other.join(20)
    assert client.post("/act").status_code == 200


# In the help center -------------------------------------------------------------------------------


class TestTheHelpCenter:
    pytestmark = pytest.mark.urls("helpcenter.urls")

    @pytest.fixture
    def fails(self, monkeypatch):
        """fails(owner, name): calling it is an outage."""

        def fail(owner, name):
            def method(*args, **kwargs):
                raise lost()

            monkeypatch.setattr(owner, name, method)

        return fail

    @pytest.mark.parametrize(
        "address",
        ["/hc/en-us", "/hc/en-us/search?query=a", "/accounts/login/", "/nowhere"],
    )
    def test_has_a_page_for_it(self, client, fails, address):
        from django.db.backends.base.base import BaseDatabaseWrapper

        fails(BaseDatabaseWrapper, "ensure_connection")
        answer = client.get(address)
        assert (answer.status_code, answer["Retry-After"]) == (503, "1")
        assert answer["Cache-Control"] == "private, no-store"
        assert "try again in a moment" in answer.content.decode()

    def test_the_api_says_it_in_json(self, client, fails):
        from helpcenter.api import limits

        fails(limits, "caller_of")
        answer = client.get("/api/v2/help_center/articles")
        assert (answer.status_code, answer["Retry-After"]) == (503, "1")
        assert answer.json()["error"] == "ServiceUnavailable"

    def test_so_it_does_when_a_view_meets_it(self, client, fails):
        from segments import ruleset

        fails(ruleset, "current_ruleset")
        for address in ("/api/v2/help_center/articles", "/api/v2/help_center/articles/1.json"):
            answer = client.get(address)
            assert (answer.status_code, answer["Retry-After"]) == (503, "1")
            assert answer.json()["error"] == "ServiceUnavailable"

    def test_middleware_above_and_below_the_snapshot_may_meet_it(self, client, fails, monkeypatch):
        """The session is stored after the snapshot; the person is recognised before the view."""
        from accounts.sessions import SessionStore
        from helpcenter import viewing

        client.force_login(PersonFactory(role="admin"))
        with monkeypatch.context() as patch:
            patch.setattr(viewing, "seen_in", lambda request: (_ for _ in ()).throw(lost()))
            assert client.get("/hc/en-us").status_code == 503
            assert client.post("/hc/en-us").status_code == 503
        fails(SessionStore, "save")
        assert client.post(reverse("account_logout")).status_code in (302, 503)

    def test_mails_are_sent_once_and_only_if_their_reason_is_stored(
        self, client, monkeypatch, settings
    ):
        """A sign-up that meets faster writers at its end."""
        # It counts in the cache, which knows no transactions.
        settings.ACCOUNT_RATE_LIMITS = {"confirm_email": None}
        really, conflicts = snapshot.SnapshotMiddleware._forget_actor, [3]

        def forget_actor(middleware, response):
            if conflicts[0]:
                conflicts[0] -= 1
                raise locked()
            really(middleware, response)

        monkeypatch.setattr(snapshot.SnapshotMiddleware, "_forget_actor", forget_actor)
        words = "correct horse battery staple"
        form = {"email": "new@example.org", "password1": words, "password2": words}
        assert client.post(reverse("account_signup"), form).status_code == 503
        assert not mail.outbox and not User.objects.filter(email="new@example.org").exists()
        conflicts[0] = 1
        answer = client.post(reverse("account_signup"), form)
        assert answer.status_code == 302
        assert conflicts == [0]
        assert [message.to for message in mail.outbox] == [["new@example.org"]]

    def test_a_mail_server_that_fails_undoes_nothing(self, client, settings):
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
        words = "correct horse battery staple"
        form = {"email": "new@example.org", "password1": words, "password2": words}
        assert client.post(reverse("account_signup"), form).status_code == 302
        assert User.objects.filter(email="new@example.org").exists()

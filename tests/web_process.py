"""The site as gunicorn runs it for tests, with faults that a request may ask for.

`X-Fault: stale-rules, slow` breaks the build, or the machine under it, for this request only: tests
that fail for no broken build prove nothing. `X-Worker` of the answer is the process that made it.
"""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager

from tests.web_server import SECRET

# How long the builds with a cache trust it.
LIFETIME = 2.0

_asked = threading.local()


def asked(fault):
    """Whether this request wants the fault."""
    return fault in getattr(_asked, "faults", ())


@contextmanager
def asking(faults):
    _asked.faults = faults
    try:
        yield
    finally:
        _asked.faults = ()


def replace(owner, name):
    """Decorator: `owner.name` becomes this function, which gets the original first."""

    def decorate(function):
        really = getattr(owner, name)
        setattr(owner, name, lambda *args, **kwargs: function(really, *args, **kwargs))
        return function

    return decorate


def remembering(fault):
    """A function that finds things as a cache with a lifetime does, for requests with the fault."""
    known = {}

    def find(key, really, *args):
        if not asked(fault):
            return really(*args)
        at, found = known.get(key, (0, None))
        if time.monotonic() - at > LIFETIME:
            at, found = known[key] = (time.monotonic(), really(*args))
        return found

    return find


def break_caches():
    """stale-rules: the compiled rules are trusted for a while; stale-people: what people have."""
    from segments import ruleset

    rules, people = remembering("stale-rules"), remembering("stale-people")

    @replace(ruleset, "current_ruleset")
    def current_ruleset(really, using):
        return rules(using, really, using)

    @replace(ruleset, "read_person")
    def read_person(really, pk, using):
        return people(pk, really, pk, using)


def break_snapshot():
    """no-snapshot: every statement sees what is committed by then."""
    from segments import snapshot

    really = snapshot.SnapshotMiddleware.__call__

    def call(middleware, request):
        if asked("no-snapshot"):
            return middleware.get_response(request)
        return really(middleware, request)

    snapshot.SnapshotMiddleware.__call__ = call


def wait_for_the_secret():
    """Let as much time pass as a reader needs who wants to see it, and who never could: 300 ms."""
    from helpcenter.models import ArticleTranslation

    end = time.monotonic() + (3 if asked("no-snapshot") else 0.3)
    there = ArticleTranslation._base_manager.filter(title__contains=SECRET)
    while time.monotonic() < end and not there.exists():
        time.sleep(0.03)


def break_between_decision_and_content():
    """slow: there the worst happens; two-steps: the words are read once more by their id alone."""
    from helpcenter import views
    from helpcenter.models import ArticleTranslation
    from segments import querysets

    @replace(querysets, "admitted")
    def admitted(really, model, *args, **options):
        decision = really(model, *args, **options)
        if model is ArticleTranslation:
            if asked("slow"):
                wait_for_the_secret()
            if asked("lose-connection"):
                lose_connection()
            if asked("endless-statement"):
                sleep_in_the_database()
        return decision

    @replace(views, "_find")
    def find(really, manager, site, locale, name):
        thing = really(manager, site, locale, name)
        if asked("two-steps"):
            wait_for_the_secret()
            thing.words = thing.translations.get(pk=thing.words.pk)
        return thing


def break_writing():
    """The same at the end of a transaction, and the death of the worker before and after it."""
    from segments import snapshot

    middleware = snapshot.SnapshotMiddleware

    @replace(middleware, "_forget_actor")
    def forget_actor(really, *args):
        really(*args)
        if asked("die-before-commit"):
            os.kill(os.getpid(), signal.SIGKILL)
        if asked("lose-connection-at-commit"):
            lose_connection()

    @replace(middleware, "_write")
    def write(really, *args):
        response = really(*args)
        if asked("die-after-commit"):
            os.kill(os.getpid(), signal.SIGKILL)
        return response


def break_conditions():
    """broken-condition: an operator raises."""
    from segments import conditions

    for name, operator in conditions.OPERATORS.items():
        conditions.OPERATORS[name] = operator._replace(holds=broken(operator.holds))


def broken(holds):
    def maybe(who, attribute, named):
        if asked("broken-condition"):
            raise ZeroDivisionError("a broken operator")
        return holds(who, attribute, named)

    return maybe


def lose_connection():
    """End the server's side of this thread's connection, as an administrator does."""
    import psycopg
    from django.db import connection

    pid = connection.connection.info.backend_pid
    params = connection.get_connection_params()
    known = {key: params[key] for key in ("dbname", "user", "password", "host") if key in params}
    with psycopg.connect(**known, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])
        while other.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone():
            time.sleep(0.01)


def sleep_in_the_database():
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")


def shift_clocks():
    """clock SECONDS: every clock that Django and its apps look at is so wrong.

    own-clock: and sessions end by it, as Django's own do.
    """
    from django.contrib.auth.tokens import PasswordResetTokenGenerator
    from django.contrib.sessions.backends import db
    from django.utils import timezone

    from accounts.sessions import SessionStore

    @replace(time, "time")
    def wrong_time(really):
        return really() + shift()

    @replace(timezone, "now")
    def now(really):
        return really() + timezone.timedelta(seconds=shift())

    really = PasswordResetTokenGenerator._now
    PasswordResetTokenGenerator._now = lambda self: (
        really(self) + timezone.timedelta(seconds=shift())
    )

    @replace(SessionStore, "_get_session_from_db")
    def get_session(really, store):
        if asked("own-clock"):
            return db.SessionStore._get_session_from_db(store)
        return really(store)


def shift():
    """By how many seconds this request's clock is wrong."""
    named = [fault for fault in getattr(_asked, "faults", ()) if fault.startswith("clock ")]
    return float(named[0].removeprefix("clock ")) if named else 0


def limit_the_disk():
    """full-disk: SQLite may not make its file larger."""
    from segments import snapshot

    @replace(snapshot.history, "set_actor")
    def set_actor(really, *args):
        if asked("full-disk"):
            from django.db import connection

            with connection.cursor() as cursor:
                pages = cursor.execute("PRAGMA page_count").fetchone()[0]
                cursor.execute(f"PRAGMA max_page_count = {pages}")
        really(*args)


def end_with_the_tests():
    """Stop gunicorn when the process that started it is gone, however it ended."""
    arbiter = os.getpid()

    def wait():
        sys.stdin.buffer.read()
        os.kill(arbiter, signal.SIGTERM)

    threading.Thread(target=wait, daemon=True).start()


def make_application():
    """The WSGI application around the real one."""
    from django.core.wsgi import get_wsgi_application

    end_with_the_tests()
    site = get_wsgi_application()
    break_caches()
    break_snapshot()
    break_between_decision_and_content()
    break_writing()
    break_conditions()
    shift_clocks()
    limit_the_disk()

    def application(environ, start_response):
        def start(status, headers, *rest):
            return start_response(status, [*headers, ("X-Worker", str(os.getpid()))], *rest)

        # A socket in a folder has no address.
        environ["REMOTE_ADDR"] = "127.0.0.1"
        faults = {name.strip() for name in environ.get("HTTP_X_FAULT", "").split(",")}
        with asking(faults):
            return site(environ, start)

    return application


application = make_application()

"""One database snapshot for each request: decision and content come from the same state.

Put `SnapshotMiddleware` between the session and the authentication middleware. Safe methods read
in one read-only transaction that lasts until the whole answer is rendered; other methods write in
one transaction and are tried again when the database says that another writer was faster. Where
the database cannot answer (lost, locked, full, too slow) the answer is 503: docs/faults.md.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any, TypeVar

from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    Error,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connections,
    transaction,
)
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import get_callable, get_resolver, get_urlconf

from . import history
from .conf import setting

logger = logging.getLogger("segments")
Result = TypeVar("Result")
Limits = Mapping[str, str]

NO_LIMITS: Limits = {}
SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
TRIES = 3
# After so many seconds nothing is tried again: web servers kill workers that take too long.
PATIENCE = 10

# What a transaction meets that another one was faster than: a row it wants to change was changed,
# or a row that it cannot see is in the way, or one that it refers to is gone.
CONFLICTS = {"40001", "40P01", "23503", "23505", "23P01"}
# What PostgreSQL says when it cannot do its work now, by the beginnings of SQLSTATE: connection,
# resources, operator, system; a lock not to be had, a transaction that lasted too long.
OUTAGES = ("08", "53", "57", "58", "55P03", "25P03", "25P04")
SQLITE_OUTAGES = tuple(
    f"SQLITE_{name}"
    for name in ("BUSY", "LOCKED", "FULL", "IOERR", "CANTOPEN", "INTERRUPT", "NOMEM", "PROTOCOL")
)
# Full, or taken out of service by the system.
BAD_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS}
# What one read-only request has already found out; None outside of one.
_memory: ContextVar[dict[Any, Any] | None] = ContextVar("segments_snapshot", default=None)


def remember(key: Any, find: Callable[[], Result]) -> Result:
    """What `find` returns, found once in each read-only snapshot and every time outside of one."""
    memory = _memory.get()
    if memory is None:
        return find()
    if key not in memory:
        memory[key] = find()
    return memory[key]


@contextmanager
def read_only(using: str = DEFAULT_DB_ALIAS, limits: Limits = NO_LIMITS) -> Iterator[None]:
    """Read one unchanging state of the database; a write inside is an error.

    `limits` are settings of PostgreSQL for this transaction, such as `statement_timeout`.
    Within another transaction (in tests) it joins that one and promises nothing of its own.
    """
    remembered = _memory.set({})
    try:
        if connections[using].in_atomic_block:
            yield
            return
        try:
            with _mode(using, "DEFERRED"), transaction.atomic(using=using):
                _start(using, "REPEATABLE READ, READ ONLY", limits, "PRAGMA query_only = 1")
                # First in the queue: what others do on commit happens after the snapshot.
                transaction.on_commit(lambda: _allow_writing(using), using=using)
                yield
                _check_that_it_lasted(using)
        finally:
            # Not inside: in a transaction that a failed write broke, Django executes nothing.
            _allow_writing(using)
    finally:
        _memory.reset(remembered)


def _allow_writing(using: str) -> None:
    if connections[using].vendor == "sqlite":
        _execute(using, "PRAGMA query_only = 0")


@contextmanager
def writing(using: str = DEFAULT_DB_ALIAS, limits: Limits = NO_LIMITS) -> Iterator[None]:
    """Read and write one state of the database; OperationalError when that is impossible."""
    if connections[using].in_atomic_block:
        with transaction.atomic(using=using):
            yield
        return
    with _mode(using, "IMMEDIATE"), transaction.atomic(using=using):
        _start(using, "REPEATABLE READ", limits)
        yield
        if not transaction.get_rollback(using):
            _check_that_it_lasted(using)


@contextmanager
def _mode(using: str, mode: str) -> Iterator[None]:
    """SQLite decides at BEGIN whether a transaction may write; this says which it will be."""
    connection: Any = connections[using]
    # Connecting resets the mode to that of the settings, so it has to come first.
    connection.ensure_connection()
    before = getattr(connection, "transaction_mode", None)
    connection.transaction_mode = mode
    try:
        yield
    finally:
        connection.transaction_mode = before


def _start(using: str, isolation: str, limits: Limits, pragma: str = "") -> None:
    if connections[using].vendor == "postgresql":
        # LOCAL: a pooler hands the connection to others afterwards.
        local = "".join(f"; SET LOCAL {name} = '{value}'" for name, value in limits.items())
        _execute(using, f"SET TRANSACTION ISOLATION LEVEL {isolation}{local}")
    elif pragma:
        _execute(using, pragma)


def _execute(using: str, sql: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql)


def _check_that_it_lasted(using: str) -> None:
    """Unavailable when SQLite has ended the transaction by itself, as it may for a full disk.

    Django would not notice: what followed was read and written without any transaction.
    """
    connection: Any = connections[using]
    if connection.vendor == "sqlite" and not connection.connection.in_transaction:
        raise Unavailable("SQLite has rolled the transaction back.")


class Unavailable(DatabaseError):
    """Something that every answer needs is not there now."""


def is_conflict(error: BaseException | None) -> bool:
    """True when another transaction was faster and the same work may succeed if done again."""
    if not isinstance(error, OperationalError | IntegrityError):
        return False
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate in CONFLICTS or "database is locked" in str(error)


def is_outage(error: BaseException | None) -> bool:
    """True when the database, the disk or another server could not do its work now."""
    if isinstance(error, OSError):
        return isinstance(error, ConnectionError | TimeoutError) or error.errno in BAD_DISK
    while isinstance(error, Error):
        if _says_outage(error):
            return True
        # It may have been raised because of one: a query in a transaction that is broken now.
        error = error.__context__
    return False


def _says_outage(error: Error) -> bool:
    if isinstance(error, Unavailable):
        return True
    if isinstance(error, OperationalError) and is_conflict(error):
        return True
    if name := getattr(error.__cause__, "sqlite_errorname", None):
        return name.startswith(SQLITE_OUTAGES)
    if sqlstate := getattr(error.__cause__, "sqlstate", None):
        return sqlstate.startswith(OUTAGES)
    # Without a code there was no server to give one.
    return isinstance(error, OperationalError | InterfaceError) and error.__cause__ is not None


def unavailable(request: HttpRequest) -> HttpResponseBase:
    """503 and when to try again: the project's `handler503`, beside its handler500, or words."""
    handler = getattr(get_resolver(get_urlconf()).urlconf_module, "handler503", None)
    if handler is None:
        words = "This cannot be answered right now. Try again in a moment."
        response: HttpResponseBase = HttpResponse(words, "text/plain", 503)
    else:
        response = get_callable(handler)(request)
    response.headers.setdefault("Retry-After", "1")
    return response


class SnapshotMiddleware:
    """Runs each request in one snapshot of the default database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            if request.method in SAFE_METHODS:
                return self._read(request)
            _read_body(request)
            return self._write_or_retry(request)
        except Exception as error:
            if not is_outage(error):
                raise
            logger.error("No answer to %s: %r", request.path, error)
            _forget_session(request)
            return unavailable(request)

    def _read(self, request: Any) -> HttpResponseBase:
        """The answer to a safe request. Raises an outage that its view met."""
        request.segments_error = None
        with read_only(limits=setting("TIMEOUTS")):
            response = _whole(self.get_response(request))
            if _is_for_us(request.segments_error):
                raise request.segments_error
        return response

    def _write_or_retry(self, request: Any) -> HttpResponseBase:
        """Try until no other writer is faster; the last conflict is raised."""
        began, before = time.monotonic(), _Before(request)
        for tries_left in reversed(range(TRIES)):
            try:
                return self._write(request)
            except DatabaseError as error:
                if request.segments_committed:
                    # Something else failed, after it was stored. Once more would store it twice.
                    raise
                before.restore(request)
                is_late = time.monotonic() - began > PATIENCE
                if not is_conflict(error) or not tries_left or is_late:
                    raise
                logger.info("Another writer was faster at %s.", request.path)
        raise AssertionError("unreachable")

    def _write(self, request: Any) -> HttpResponseBase:
        """One try. Raises the conflict or the outage of a view, so that all is rolled back."""
        request.segments_error, request.segments_committed = None, False
        with writing(limits=setting("TIMEOUTS")):
            transaction.on_commit(lambda: setattr(request, "segments_committed", True))
            response = _whole(self.get_response(request))
            error = request.segments_error
            if _is_for_us(error):
                raise error
            if transaction.get_rollback() and response.status_code < 400:
                # The view hid an error that undoes everything, and speaks of success.
                raise transaction.TransactionManagementError("Nothing of this can be stored.")
            if error is not None or response.status_code >= 500 or transaction.get_rollback():
                transaction.set_rollback(True)
                _forget_session(request)
            else:
                self._forget_actor(response)
        return response

    def _forget_actor(self, response: HttpResponseBase) -> None:
        try:
            history.set_actor(None)
        except DatabaseError:
            # The view went on after an error that broke its transaction. To say so is its right,
            # to say that all went well is not.
            if response.status_code < 400:
                raise
            transaction.set_rollback(True)

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponse | None:
        """Name the person who writes, so that the history can. They are known only by now."""
        if request.method in SAFE_METHODS:
            return None
        try:
            user = getattr(request, "user", None)
            history.set_actor(str(user.pk) if user is not None and user.pk else None)
        except Exception as error:
            if answer := self.process_exception(request, error):
                return answer
            raise
        return None

    def process_exception(self, request: Any, error: Exception) -> HttpResponse | None:
        """Remember what a view raised: Django turns it into an answer before it gets back here."""
        request.segments_error = error
        # Without an answer of ours a conflict would be logged as a server error before each retry.
        return HttpResponse(status=503) if _is_for_us(error) else None


def _is_for_us(error: BaseException | None) -> bool:
    return is_conflict(error) or is_outage(error)


def _whole(response: HttpResponseBase) -> HttpResponseBase:
    """The answer with nothing left to read from the database after the snapshot has ended."""
    if response.streaming and not isinstance(response, FileResponse):
        content = response.streaming_content  # type: ignore[attr-defined]
        response.streaming_content = list(content)  # type: ignore[attr-defined]
    return response


def _read_body(request: HttpRequest) -> None:
    """Take in the body once, so that a second try finds it."""
    if request.method == "POST" and request.content_type == "multipart/form-data":
        request.POST  # noqa: B018  (parses the body, files go to temporary files)
    else:
        request.body  # noqa: B018


class _Before:
    """What a request was before the first try, so that the next one starts from nothing else."""

    def __init__(self, request: Any) -> None:
        self.attributes = dict(request.__dict__)
        self.meta = dict(request.META)

    def restore(self, request: Any) -> None:
        """Forget the user, whatever was read for them, the session, and what was read of files."""
        request.__dict__.clear()
        request.__dict__.update(self.attributes)
        # In place: the web server's environment is the same object.
        request.META.clear()
        request.META.update(self.meta)
        _forget_session(request)
        if hasattr(request, "_body"):
            request._stream.seek(0)
        if hasattr(request, "_files"):
            for uploads in request.FILES.lists():
                for upload in uploads[1]:
                    _put_back(upload)


def _forget_session(request: Any) -> None:
    """Whatever a try did to the session was undone with it, and must not be stored after it."""
    if hasattr(request, "session"):
        store = import_module(settings.SESSION_ENGINE).SessionStore
        request.session = store(request.COOKIES.get(settings.SESSION_COOKIE_NAME))


def _put_back(upload: Any) -> None:
    """Let an upload be read from its start; a storage may have moved a large one away."""
    upload.seek(0)
    where = getattr(upload, "temporary_file_path", None)
    if where is not None and not os.path.exists(where()):
        # Moved or even deleted, it can still be read by those who have it open.
        with open(where(), "wb") as file:
            shutil.copyfileobj(upload.file, file)
        upload.seek(0)

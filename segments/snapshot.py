"""One database snapshot for each request: decision and content come from the same state.

Put `SnapshotMiddleware` between the session and the authentication middleware. Safe methods read
in one read-only transaction that lasts until the whole answer is rendered; other methods write in
one transaction and are tried again when the database says that another writer was faster.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import Any, TypeVar

from django.conf import settings
from django.db import (
    DEFAULT_DB_ALIAS,
    DatabaseError,
    OperationalError,
    connections,
    transaction,
)
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase

from . import history

logger = logging.getLogger("segments")
Result = TypeVar("Result")

SAFE_METHODS = {"GET", "HEAD", "OPTIONS", "TRACE"}
TRIES = 3
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
def read_only(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Read one unchanging state of the database; a write inside is an error.

    Within another transaction (in tests) it joins that one and promises nothing of its own.
    """
    remembered = _memory.set({})
    try:
        if connections[using].in_atomic_block:
            yield
            return
        try:
            with _mode(using, "DEFERRED"), transaction.atomic(using=using):
                _start(using, "REPEATABLE READ, READ ONLY", "PRAGMA query_only = 1")
                # First in the queue: what others do on commit happens after the snapshot.
                transaction.on_commit(lambda: _allow_writing(using), using=using)
                yield
        finally:
            # Not inside: in a transaction that a failed write broke, Django executes nothing.
            _allow_writing(using)
    finally:
        _memory.reset(remembered)


def _allow_writing(using: str) -> None:
    if connections[using].vendor == "sqlite":
        _execute(using, "PRAGMA query_only = 0")


@contextmanager
def writing(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """Read and write one state of the database; OperationalError when that is impossible."""
    if connections[using].in_atomic_block:
        with transaction.atomic(using=using):
            yield
        return
    with _mode(using, "IMMEDIATE"), transaction.atomic(using=using):
        _start(using, "REPEATABLE READ")
        yield


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


def _start(using: str, isolation: str, pragma: str = "") -> None:
    if connections[using].vendor == "postgresql":
        _execute(using, f"SET TRANSACTION ISOLATION LEVEL {isolation}")
    elif pragma:
        _execute(using, pragma)


def _execute(using: str, sql: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(sql)


def is_conflict(error: BaseException | None) -> bool:
    """True when another transaction was faster and the same work may succeed if done again."""
    if not isinstance(error, OperationalError):
        return False
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate in {"40001", "40P01"} or "database is locked" in str(error)


class SnapshotMiddleware:
    """Runs each request in one snapshot of the default database."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in SAFE_METHODS:
            with read_only():
                return _whole(self.get_response(request))
        _read_body(request)
        for _ in range(TRIES):
            try:
                return self._write(request)
            except OperationalError as error:
                if not is_conflict(error):
                    raise
                logger.info("Another writer was faster at %s.", request.path)
                _rewind(request)
        words = "Too many people are writing at once. Try again in a moment."
        return HttpResponse(words, "text/plain", 503, headers={"Retry-After": "1"})

    def _write(self, request: Any) -> HttpResponseBase:
        """One try. Raises the conflict of a view, so that the transaction is rolled back."""
        request.segments_error = None
        with writing():
            response = _whole(self.get_response(request))
            error = request.segments_error
            if is_conflict(error):
                raise error
            if error is not None or response.status_code >= 500 or transaction.get_rollback():
                transaction.set_rollback(True)
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

    def process_view(self, request: HttpRequest, *args: Any) -> None:
        """Name the person who writes, so that the history can. They are known only by now."""
        if request.method not in SAFE_METHODS:
            user = getattr(request, "user", None)
            history.set_actor(str(user.pk) if user is not None and user.pk else None)

    def process_exception(self, request: Any, error: Exception) -> HttpResponse | None:
        """Remember what a view raised: Django turns it into an answer before it gets back here."""
        request.segments_error = error
        # Without an answer of ours a conflict would be logged as a server error before each retry.
        return HttpResponse(status=503) if is_conflict(error) else None


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


def _rewind(request: Any) -> None:
    """Forget what the failed try left on the request: the user, the session, what was read."""
    if hasattr(request, "_cached_user"):
        del request._cached_user
    if hasattr(request, "session"):
        store = import_module(settings.SESSION_ENGINE).SessionStore
        request.session = store(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    if hasattr(request, "_body"):
        request._stream.seek(0)
    for uploads in request.FILES.lists():
        for upload in uploads[1]:
            _put_back(upload)


def _put_back(upload: Any) -> None:
    """Let an upload be read from its start; a storage may have moved a large one away."""
    upload.seek(0)
    where = getattr(upload, "temporary_file_path", None)
    if where is not None and not os.path.exists(where()):
        # Moved or even deleted, it can still be read by those who have it open.
        with open(where(), "wb") as file:
            shutil.copyfileobj(upload.file, file)
        upload.seek(0)

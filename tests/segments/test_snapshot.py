"""The snapshot middleware: one request, one state of the database, on real connections."""

import io
import json
import threading

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.core.files.storage import default_storage
from django.db import (
    DatabaseError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.http import FileResponse, Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.template.response import SimpleTemplateResponse
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import path

from accounts.models import Tag
from helpcenter.models import Article, ArticleTranslation
from segments import snapshot
from segments.models import Audience, Change, Segment
from tests.factories_content import ArticleFactory
from tests.factories_people import PersonFactory

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls(__name__)]

SNAPSHOT = "segments.snapshot.SnapshotMiddleware"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    SNAPSHOT,
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
# What the view of this test does; the tests set it.
acts = {}

urlpatterns = [path("act", lambda request: acts["now"](request), name="act")]


@pytest.fixture(autouse=True)
def stack(settings):
    settings.MIDDLEWARE = MIDDLEWARE
    yield
    acts.clear()


@pytest.fixture
def client():
    return Client(raise_request_exception=False)


class Meeting:
    """Two threads that wait for each other: the reader in its view, the writer in the test."""

    def __init__(self):
        self.decided, self.changed = threading.Event(), threading.Event()

    def view(self, request):
        """Decides, lets others change everything, and then reads the words."""
        article = Article.objects.visible_to(request.user).first()
        self.decided.set()
        assert self.changed.wait(20)
        words = ArticleTranslation.objects.filter(article=article).values_list("body", flat=True)
        again = Article.objects.visible_to(request.user).first()
        return JsonResponse({"body": words.first(), "still": again is not None})


def read_while(change):
    """The answer to a reader whose article is changed between decision and content."""
    meeting, answers = Meeting(), []
    acts["now"] = meeting.view

    def read():
        answers.append(Client().get("/act").json())
        connections.close_all()

    reader = threading.Thread(target=read)
    reader.start()
    assert meeting.decided.wait(20)
    change()
    meeting.changed.set()
    reader.join(20)
    return answers[0]


def narrow_and_add_a_secret():
    with transaction.atomic():
        Article.objects.update(audience=Audience.nobody())
    ArticleTranslation.objects.update(body="secret")


def test_a_reader_never_sees_what_came_after_it_lost_access():
    ArticleFactory(body="harmless", audience=Audience.everyone())
    assert read_while(narrow_and_add_a_secret) == {"body": "harmless", "still": True}
    assert not Article.objects.visible_to(AnonymousUser()).exists()


def test_without_the_snapshot_it_would(settings):
    """The control: the same test finds the leak when the middleware is missing."""
    settings.MIDDLEWARE = [name for name in MIDDLEWARE if name != SNAPSHOT]
    ArticleFactory(body="harmless", audience=Audience.everyone())
    assert read_while(narrow_and_add_a_secret) == {"body": "secret", "still": False}


@pytest.mark.parametrize("method", ["get", "head", "options", "trace"])
@pytest.mark.parametrize(
    "write",
    [lambda: Tag.objects.create(name="new"), lambda: PersonFactory()],
    ids=["savepoint", "no savepoint"],
)
def test_a_safe_method_cannot_write(client, method, write):
    def act(request):
        write()
        return HttpResponse("written")

    acts["now"] = act
    assert getattr(client, method)("/act").status_code == 500
    assert not Tag.objects.exists()
    # And the connection is as it was.
    write()
    assert client.get("/act").status_code == 500


def test_a_view_that_hides_a_failed_write_still_answers(client):
    def act(request):
        try:
            with transaction.atomic():
                Tag.objects.create(name="new")
        except Exception:
            return HttpResponse("sorry")

    acts["now"] = act
    assert client.get("/act").content == b"sorry"
    Tag.objects.create(name="new")


class Conflict:
    """A view that writes, and meets a faster writer in its first tries."""

    def __init__(self, times):
        self.times, self.tries = times, []

    def __call__(self, request):
        Tag.objects.create(name=f"try {len(self.tries)}")
        files = {name: file.read().decode() for name, file in request.FILES.items()}
        is_form = request.content_type == "multipart/form-data"
        body = None if is_form else request.body.decode()
        seen = [request.POST.dict(), files, body, str(request.user), dict(request.session)]
        request.session["try"] = len(self.tries)
        self.tries.append(json.dumps(seen))
        if len(self.tries) <= self.times:
            raise OperationalError("database is locked")
        return HttpResponse("done")


@pytest.mark.parametrize("times", [0, 1, 2])
@pytest.mark.parametrize(
    "data",
    [
        {"data": {"name": "Maria"}},
        {"data": {"name": "Maria", "file": True}},
        {"data": {"name": "Maria"}, "content_type": "application/json"},
        {"data": b"\xff\x00raw", "content_type": "application/octet-stream"},
    ],
    ids=["form", "upload", "json", "bytes"],
)
def test_a_conflict_is_tried_again_with_the_same_request(client, times, data):
    acts["now"] = conflict = Conflict(times)
    if isinstance(data["data"], dict) and data["data"].get("file"):
        data = {"data": {"name": "Maria", "file": io.BytesIO(b"words")}}
    if isinstance(data["data"], bytes):
        data = {**data, "data": b"raw"}
    client.force_login(PersonFactory(name="Maria"))
    response = client.post("/act", **data)
    assert (response.status_code, response.content) == (200, b"done")
    assert len(conflict.tries) == times + 1
    assert len(set(conflict.tries)) == 1
    # Only the last try is kept.
    assert [tag.name for tag in Tag.objects.all()] == [f"try {times}"]
    assert client.session["try"] == times


@pytest.mark.parametrize("method", ["put", "patch"])
def test_uploads_by_other_methods_can_be_read_again(client, method):
    tries = []

    def act(request):
        tries.append(request.read())
        if len(tries) < 3:
            raise OperationalError("database is locked")
        return HttpResponse("done")

    acts["now"] = act
    data = encode_multipart(BOUNDARY, {"file": io.BytesIO(b"words")})
    assert getattr(client, method)("/act", data, content_type=MULTIPART_CONTENT).content == b"done"
    assert tries == [data] * 3


@pytest.mark.parametrize("with_users", [True, False])
def test_a_visitor_who_writes_has_no_name(client, settings, with_users):
    if not with_users:
        settings.MIDDLEWARE = MIDDLEWARE[:-1]
    acts["now"] = lambda request: HttpResponse(Segment.objects.create(name="New").name)
    assert client.post("/act").content == b"New"
    recorded = Change.objects.filter(model="segments.segment")
    assert {change.actor for change in recorded} == {None}


def test_after_three_conflicts_it_fails_and_nothing_is_written(client):
    acts["now"] = conflict = Conflict(99)
    answer = client.post("/act")
    assert (answer.status_code, answer["Retry-After"]) == (503, "1")
    assert len(conflict.tries) == 3
    assert not Tag.objects.exists()


def test_a_view_that_meets_a_faster_writer_wins_at_last(client, elsewhere):
    """A real conflict where there can be one: SQLite lets the second writer wait instead."""
    maria = PersonFactory(name="0")
    people = type(maria).objects.filter(pk=maria.pk)
    tries = []

    def act(request):
        name = people.get().name
        tries.append(name)
        if connection.vendor == "postgresql" and len(tries) < 3:
            elsewhere(lambda: people.update(name=str(len(tries))))
        people.update(name=f"{name} and me")
        return HttpResponse("done")

    acts["now"] = act
    assert client.post("/act").status_code == 200
    expected = "2 and me" if connection.vendor == "postgresql" else "0 and me"
    assert people.get().name == expected


@pytest.mark.skipif(connection.vendor != "sqlite", reason="one writer at a time is SQLite's way")
def test_a_writer_who_never_gets_his_turn_fails(client, elsewhere):
    acts["now"] = lambda request: HttpResponse("done")
    with snapshot.writing():

        def post():
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA busy_timeout = 10")
            return client.post("/act").status_code

        assert elsewhere(post) == 503
    assert client.post("/act").status_code == 200


def write_and(outcome):
    def act(request):
        Tag.objects.create(name="new")
        if isinstance(outcome, Exception):
            raise outcome
        return HttpResponse(status=outcome)

    return act


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (200, True),
        (302, True),
        (400, True),
        (500, False),
        (503, False),
        (ValueError("wrong"), False),
        (Http404(), False),
        (PermissionDenied(), False),
        (OperationalError("no conflict"), False),
    ],
    ids=repr,
)
def test_what_fails_leaves_nothing_behind(client, outcome, kept):
    acts["now"] = write_and(outcome)
    client.post("/act")
    assert Tag.objects.exists() is kept


def test_a_streamed_answer_is_read_inside_the_snapshot(client):
    Tag.objects.create(name="one")

    def parts():
        for _ in range(2):
            yield f"{connection.in_atomic_block} {Tag.objects.count()};"

    acts["now"] = lambda request: StreamingHttpResponse(parts())
    response = client.get("/act")
    # Whatever happens before the server sends the answer.
    Tag.objects.all().delete()
    assert response.getvalue() == b"True 1;True 1;"


def test_a_lazy_template_is_rendered_inside_the_snapshot(client, settings):
    settings.TEMPLATES = [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"a": "{{ is }}"})]},
        }
    ]

    class Lazy:
        def __str__(self):
            return str(connection.in_atomic_block)

    acts["now"] = lambda request: SimpleTemplateResponse("a", {"is": Lazy()})
    assert client.get("/act").content == b"True"


def test_a_file_is_sent_as_it_is(rf, tmp_path):
    (tmp_path / "a.txt").write_text("words")
    answer = FileResponse((tmp_path / "a.txt").open("rb"))
    response = snapshot.SnapshotMiddleware(lambda request: answer)(rf.get("/act"))
    assert response is answer and response.file_to_stream.tell() == 0
    assert response.getvalue() == b"words"
    response.close()


class TestMemory:
    def test_lasts_for_one_read_only_snapshot(self):
        found = []

        def ask():
            return snapshot.remember("key", lambda: found.append(1) or len(found))

        assert (ask(), ask()) == (1, 2)
        with snapshot.read_only():
            assert (ask(), ask()) == (3, 3)
            with snapshot.read_only():
                assert ask() == 4
            assert ask() == 3
        with snapshot.writing():
            assert (ask(), ask()) == (5, 6)
        assert ask() == 7

    def test_is_not_shared_between_threads(self, elsewhere):
        with snapshot.read_only():
            snapshot.remember("key", lambda: "mine")
            assert elsewhere(lambda: snapshot.remember("key", lambda: "yours")) == "yours"

    def test_ends_with_an_error(self):
        with pytest.raises(ValueError), snapshot.read_only():
            snapshot.remember("key", lambda: "old")
            raise ValueError
        assert snapshot.remember("key", lambda: "new") == "new"


def test_a_snapshot_begins_where_the_request_does(elsewhere):
    """What was committed before the first look is seen, what comes after it is not."""
    Tag.objects.create(name="before")
    with snapshot.read_only():
        elsewhere(lambda: Tag.objects.create(name="between"))
        first = Tag.objects.count()
        elsewhere(lambda: Tag.objects.create(name="after"))
        assert Tag.objects.count() == first
    assert Tag.objects.count() == 3


def test_reading_needs_no_lock(elsewhere):
    """A reader neither waits for a writer nor stops one."""
    with snapshot.writing():
        Tag.objects.create(name="new")

        def read():
            with snapshot.read_only():
                return Tag.objects.count()

        assert elsewhere(read) == 0
    with snapshot.read_only():
        assert Tag.objects.count() == 1
        elsewhere(lambda: Tag.objects.create(name="newer"))
    assert Tag.objects.count() == 2


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has no such modes")
@pytest.mark.parametrize("scope", [snapshot.read_only, snapshot.writing])
def test_the_mode_of_a_site_comes_back(scope):
    """SQLite's transactions outside of requests are what the site's settings say."""
    connection.ensure_connection()  # which says it anew
    before = getattr(connection, "transaction_mode", None)
    connection.transaction_mode = "EXCLUSIVE"
    try:
        with scope():
            assert connection.transaction_mode in ("DEFERRED", "IMMEDIATE")
        assert connection.transaction_mode == "EXCLUSIVE"
    finally:
        connection.transaction_mode = before


def test_a_new_connection_begins_in_the_right_mode(elsewhere):
    """Django opens one for each request; connecting resets the mode of its transactions."""

    def begins():
        with snapshot.writing():
            return connection.transaction_mode

    assert elsewhere(begins) == "IMMEDIATE"


@pytest.mark.parametrize("deleted", [False, True], ids=["moved", "moved and deleted"])
def test_a_large_upload_that_a_storage_moved_away_can_be_read_again(client, settings, deleted):
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 10
    contents = []

    def act(request):
        assert request.FILES["file"].tell() == 0
        name = default_storage.save("large", request.FILES["file"])
        with default_storage.open(name) as file:
            contents.append(file.read())
        if deleted:
            default_storage.delete(name)
        if len(contents) < 3:
            raise OperationalError("database is locked")
        return HttpResponse("done")

    acts["now"] = act
    assert client.post("/act", {"file": io.BytesIO(b"large words")}).content == b"done"
    assert contents == [b"large words"] * 3


def test_signing_in_can_be_tried_again(client):
    """The session that the failed try began is not the one that is kept."""
    maria, tries = PersonFactory(), []

    def act(request):
        login(request, maria)
        tries.append(request.session.session_key)
        if len(tries) < 3:
            raise OperationalError("database is locked")
        return HttpResponse("done")

    acts["now"] = act
    assert client.post("/act").content == b"done"
    assert len(set(tries)) == 3
    assert client.session.session_key == tries[-1]
    acts["now"] = lambda request: HttpResponse(str(request.user.pk))
    assert client.get("/act").content.decode() == str(maria.pk)


class TestABrokenTransaction:
    """PostgreSQL refuses all that follows an error; SQLite goes on, and the view decides."""

    def answer(self, client, status, method="post"):
        def act(request):
            try:
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO accounts_tag (id, name) VALUES (1, 'new')")
                    cursor.execute("INSERT INTO accounts_tag (id, name) VALUES (2, 'new')")
            except DatabaseError:
                return HttpResponse("sorry", status=status)

        acts["now"] = act
        return getattr(client, method)("/act").status_code

    @pytest.mark.parametrize("method", ["post", "get"])
    def test_does_not_turn_a_refusal_into_an_error(self, client, method):
        assert self.answer(client, 400, method) == 400
        if connection.vendor == "postgresql":
            assert not Tag.objects.exists()
        # And the connection is as it was.
        acts["now"] = write_and(200)
        Tag.objects.all().delete()
        assert client.post("/act").status_code == 200
        assert Tag.objects.exists()

    def test_does_not_pass_for_success(self, client):
        """What says that it was saved is saved."""
        assert (self.answer(client, 200) == 200) == Tag.objects.exists()


def test_a_streamed_answer_that_fails_half_way_leaves_nothing_behind(client):
    def parts():
        Tag.objects.create(name="new")
        yield "words"
        raise ValueError

    acts["now"] = lambda request: StreamingHttpResponse(parts())
    assert client.post("/act").status_code == 500
    assert not Tag.objects.exists()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no levels of isolation")
@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("get", "repeatable read on"),
        ("post", "repeatable read off"),
        ("put", "repeatable read off"),
    ],
)
def test_the_isolation_of_each_method(client, method, expected):
    def act(request):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('transaction_isolation'),"
                " current_setting('transaction_read_only')"
            )
            return HttpResponse(" ".join(cursor.fetchone()))

    acts["now"] = act
    assert getattr(client, method)("/act").content.decode() == expected


class TestInsideAnotherTransaction:
    def test_reading_joins_it(self):
        with transaction.atomic():
            Tag.objects.create(name="new")
            with snapshot.read_only():
                assert Tag.objects.exists()
            transaction.set_rollback(True)
        assert not Tag.objects.exists()

    def test_writing_is_undone_alone(self):
        with transaction.atomic():
            Tag.objects.create(name="outside")
            with pytest.raises(ValueError), snapshot.writing():
                Tag.objects.create(name="inside")
                raise ValueError
        assert [tag.name for tag in Tag.objects.all()] == ["outside"]


def test_what_is_done_on_commit_of_a_safe_request_may_write(client):
    """Such as ending a session: it decides nothing, and comes after the answer was made."""

    def act(request):
        transaction.on_commit(lambda: Tag.objects.create(name="new"))
        return HttpResponse(str(Tag.objects.count()))

    acts["now"] = act
    assert client.get("/act").content == b"0"
    assert Tag.objects.count() == 1

"""The history: every change of who may see what, whatever made it, and who it was."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import path

from accounts.models import Organization, OrganizationMembership, User
from helpcenter.models import Article, PermissionGroup
from segments.history import acting_as, set_actor
from segments.models import Audience, Change, Segment, SegmentPerson
from tests.factories_content import ArticleFactory
from tests.factories_people import (
    AgentGroupFactory,
    OrganizationFactory,
    PersonFactory,
    TagFactory,
)

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

acts = {}
urlpatterns = [path("act", lambda request: acts["now"](request) or HttpResponse())]


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def changes_of(thing, change):
    """(field, before, after) of what the change recorded about the thing, oldest first."""
    last = max(Change.objects.values_list("pk", flat=True), default=0)
    change()
    rows = Change.objects.of(thing).filter(pk__gt=last).order_by("pk")
    return [(row.field, row.before, row.after) for row in rows]


@pytest.mark.parametrize("way", ["save", "update", "bulk_update", "raw"])
def test_a_segment(way):
    segment = Segment.objects.create(name="Old")

    def change():
        segment.name = "New"
        {
            "save": segment.save,
            "update": lambda: Segment.objects.filter(pk=segment.pk).update(name="New"),
            "bulk_update": lambda: Segment.objects.bulk_update([segment], ["name"]),
            "raw": lambda: sql(
                "UPDATE segments_segment SET name = 'New' WHERE id = %s", segment.pk
            ),
        }[way]()

    assert changes_of(segment, change) == [("name", "Old", "New")]


def test_conditions_and_type_of_a_segment():
    TagFactory(name="vip")
    segment = Segment.objects.create(name="Best")
    segment.conditions = [{"attribute": "tag", "operator": "any", "values": ["vip"]}]
    segment.user_type = "end_users"
    found = {field: (old, new) for field, old, new in changes_of(segment, segment.save)}
    assert found.keys() == {"conditions", "user_type"}
    assert found["conditions"][0] == "[]" and "vip" in found["conditions"][1]
    assert found["user_type"] == ("signed_in_users", "end_users")


def test_a_new_and_a_deleted_segment():
    segment = Segment.objects.create(name="Best")
    assert ("name", None, "Best") in [
        (c.field, c.before, c.after) for c in Change.objects.of(segment)
    ]
    gone = Segment(pk=segment.pk)
    assert ("name", "Best", None) in changes_of(gone, segment.delete)


def test_saving_without_a_change_is_not_recorded():
    segment = Segment.objects.create(name="Best")
    article, maria = ArticleFactory(), PersonFactory()
    assert changes_of(segment, segment.save) == []
    assert changes_of(article, article.save) == []
    assert changes_of(maria, maria.save) == []


def test_people_that_a_segment_names():
    segment, maria = Segment.objects.create(name="Few"), PersonFactory()
    words = f"included {maria.pk}"
    assert changes_of(segment, lambda: segment.include(maria)) == [("people", None, words)]
    until = "2030-01-01T00:00Z"
    ((field, before, after),) = changes_of(segment, lambda: segment.include(maria, until=until))
    assert (field, before) == ("people", words) and after.startswith(f"{words} until 2030-01-01")
    assert changes_of(segment, SegmentPerson.objects.all().delete) == [("people", after, None)]


@pytest.mark.parametrize("way", ["save", "update", "bulk_update", "raw"])
def test_the_audience_of_content(way):
    article = ArticleFactory()

    def change():
        article.audience = Audience.everyone()
        {
            "save": article.save,
            "update": lambda: Article.objects.update(audience=Audience.everyone()),
            "bulk_update": lambda: Article.objects.bulk_update([article], ["audience"]),
            "raw": lambda: sql("UPDATE helpcenter_article SET audience_id = 2"),
        }[way]()

    assert changes_of(article, change) == [("audience", "1", "2")]


def test_one_statement_records_every_row():
    articles = [ArticleFactory() for _ in range(5)]
    before = Change.objects.count()
    Article.objects.update(audience=Audience.everyone())
    assert Change.objects.count() == before + 5
    assert all(Change.objects.of(article).count() == 1 for article in articles)


def test_audiences_of_permission_groups():
    group = PermissionGroup.objects.create(name="Guides")
    editors = Audience.of(Segment.objects.get(built_in="staff"))
    found = changes_of(
        group, lambda: PermissionGroup.objects.filter(pk=group.pk).update(edit=editors)
    )
    assert found == [("edit", "1", str(editors.pk))]


@pytest.mark.parametrize(
    ("field", "value", "before", "after"),
    [
        ("role", "admin", "end_user", "admin"),
        ("language", "fr", None, "fr"),
        ("is_active", False, None, None),
    ],
)
@pytest.mark.parametrize("way", ["save", "update", "raw"])
def test_what_is_known_of_a_person(way, field, value, before, after):
    maria = PersonFactory()

    def change():
        setattr(maria, field, value)
        {
            "save": maria.save,
            "update": lambda: User.objects.filter(pk=maria.pk).update(**{field: value}),
            "raw": lambda: sql(f"UPDATE accounts_user SET {field} = %s", value),
        }[way]()

    ((name, old, new),) = changes_of(maria, change)
    assert name == field
    # The engines write booleans differently.
    if field != "is_active":
        assert (old, new) == (before, after)
    else:
        assert (old, new) in [("true", "false"), ("1", "0")]


def link_tables():
    tag, group, acme = TagFactory(), AgentGroupFactory(), OrganizationFactory()
    memberships = OrganizationMembership.objects
    return {
        "tag": (tag, lambda p: p.tags.add(tag), lambda p: p.tags.clear()),
        "group": (group, lambda p: p.agent_groups.add(group), lambda p: p.agent_groups.clear()),
        "organization": (
            acme,
            lambda p: memberships.create(user=p, organization=acme),
            lambda p: sql("DELETE FROM accounts_organizationmembership"),
        ),
    }


@pytest.mark.parametrize("name", ["tag", "group", "organization"])
def test_what_is_linked_to_a_person(name):
    value, add, remove = link_tables()[name]
    maria = PersonFactory()
    assert changes_of(maria, lambda: add(maria)) == [(name, None, str(value.pk))]
    assert changes_of(maria, lambda: remove(maria)) == [(name, str(value.pk), None)]


def test_tags_of_an_organization():
    acme, tag = OrganizationFactory(), TagFactory()
    assert changes_of(acme, lambda: acme.tags.add(tag)) == [("tag", None, str(tag.pk))]
    assert changes_of(acme, acme.tags.clear) == [("tag", str(tag.pk), None)]


def test_the_name_of_a_tag():
    tag = TagFactory(name="old")
    tag.name = "new"
    assert changes_of(tag, tag.save) == [("tag", "old", "new")]


def test_deleting_a_person_keeps_their_history():
    maria = PersonFactory()
    maria.tags.add(TagFactory())
    gone = User(pk=maria.pk)
    kept = list(Change.objects.of(maria))
    assert kept
    maria.delete()
    assert set(kept) <= set(Change.objects.of(gone))


def test_what_is_rolled_back_is_not_recorded():
    article = ArticleFactory()
    with transaction.atomic():
        Article.objects.update(audience=Audience.everyone())
        transaction.set_rollback(True)
    assert not Change.objects.of(article).exists()


class TestActor:
    def latest(self):
        return Change.objects.first()

    def test_is_unknown_for_raw_sql_and_shells(self):
        ArticleFactory()
        sql("UPDATE helpcenter_article SET audience_id = 2")
        assert (self.latest().actor, self.latest().who) == (None, "unknown")

    def test_is_the_command_that_said_so(self):
        ArticleFactory()
        with acting_as("import_markdown"):
            Article.objects.update(audience=Audience.everyone())
        assert self.latest().who == "import_markdown"
        Article.objects.update(audience=Audience.nobody())
        assert self.latest().actor is None

    def test_is_a_person_for_as_long_as_there_is_one(self):
        _omar, maria = PersonFactory(name="Omar"), PersonFactory(name="Maria")
        with acting_as(str(maria.pk)):
            ArticleFactory(audience=Audience.everyone())
        change = self.latest()
        assert change.who == "Maria"
        pk = str(maria.pk)
        maria.delete()
        assert Change.objects.get(pk=change.pk).who == pk

    def test_inside_another_is_for_the_inside_only(self):
        article = ArticleFactory()
        with acting_as("outside"):
            with acting_as("inside"):
                Article.objects.update(audience=Audience.everyone())
            Article.objects.update(audience=Audience.nobody())
        found = [change.actor for change in Change.objects.of(article).order_by("pk")]
        assert found == ["inside", "outside"]

    def test_ends_with_an_error(self):
        ArticleFactory()
        with pytest.raises(ValueError), acting_as("somebody"):
            raise ValueError
        Article.objects.update(audience=Audience.everyone())
        assert self.latest().actor is None

    @pytest.mark.django_db(transaction=True)
    def test_ends_with_the_transaction(self, elsewhere):
        ArticleFactory()
        with transaction.atomic():
            set_actor("somebody")
            set_actor(None)
        elsewhere(lambda: Article.objects.update(audience=Audience.everyone()))
        assert self.latest().actor is None


class TestActorOfARequest:
    @pytest.fixture
    def maria(self, settings, transactional_db):
        settings.MIDDLEWARE = [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "segments.snapshot.SnapshotMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
        ]
        ArticleFactory()
        yield PersonFactory(name="Maria")
        acts.clear()

    def post(self, user=None):
        client = Client(raise_request_exception=False)
        if user:
            client.force_login(user)
        return client.post("/act")

    def widen(self, request):
        Article.objects.update(audience=Audience.everyone())

    def test_is_the_person_signed_in(self, maria):
        acts["now"] = self.widen
        self.post(maria)
        assert Change.objects.first().who == "Maria"

    def test_is_unknown_for_a_visitor(self, maria):
        acts["now"] = self.widen
        self.post()
        assert Change.objects.first().who == "unknown"

    def test_is_not_left_to_the_next_one(self, maria):
        acts["now"] = self.widen
        self.post(maria)
        Article.objects.update(audience=Audience.nobody())
        assert Change.objects.first().actor is None
        self.post()
        assert Change.objects.first().actor is None

    def test_is_not_left_after_a_failure(self, maria):
        def act(request):
            self.widen(request)
            raise ValueError

        acts["now"] = act
        assert self.post(maria).status_code == 500
        article = Article.objects.get()
        assert not Change.objects.of(article).exists()
        Article.objects.update(audience=Audience.everyone())
        assert Change.objects.first().actor is None

    def test_is_found_again_when_the_request_is_tried_again(self, maria):
        from django.db import OperationalError

        tries = []

        def act(request):
            self.widen(request)
            tries.append(request.user)
            if len(tries) == 1:
                raise OperationalError("database is locked")

        acts["now"] = act
        assert self.post(maria).status_code == 200
        assert [change.who for change in Change.objects.of(Article.objects.get())] == ["Maria"]


def test_who_may_see_is_not_confused_by_a_visitor():
    assert Change(actor=str(AnonymousUser().pk)).who in ("unknown", "None")
    assert Change(actor="9" * 40).who == "9" * 40
    assert Organization.objects.count() == 0


def test_many_rows_are_recorded_by_one_statement():
    """As many changes as rows changed, each with its own values before and after."""
    public, hidden = Audience.everyone(), Audience.nobody()
    for audience in (public, hidden, hidden, hidden):
        ArticleFactory(audience=audience)
    last = Change.objects.first().pk
    with CaptureQueriesContext(connection) as statements:
        assert Article.objects.update(audience=public) == 4
    assert len(statements) == 1
    changes = Change.objects.filter(pk__gt=last)
    assert [(c.field, c.before, c.after) for c in changes] == [("audience", "1", "2")] * 3
    assert len({change.object_id for change in changes}) == 3
    if connection.vendor == "postgresql":
        # The number of the command within the transaction that inserted each row.
        with connection.cursor() as cursor:
            cursor.execute("SELECT DISTINCT cmin::text FROM segments_change WHERE id > %s", [last])
            assert len(cursor.fetchall()) == 1


def recorded(thing):
    return {row.field: row.after for row in Change.objects.of(thing)}


def test_creation_records_what_differs_from_the_default():
    assert recorded(PersonFactory()) == {}
    unusual = recorded(PersonFactory(role="agent", language="fr", is_active=False))
    assert unusual.keys() == {"role", "language", "is_active"}
    assert (unusual["role"], unusual["language"]) == ("agent", "fr")
    assert recorded(ArticleFactory()) == {}
    assert recorded(ArticleFactory(audience=Audience.everyone())) == {"audience": "2"}


def test_rows_written_in_bulk():
    people, tags = [PersonFactory() for _ in range(3)], [TagFactory() for _ in range(2)]
    through = User.tags.through
    links = [through(user=person, tag=tag) for person in people for tag in tags]
    through.objects.bulk_create(links)
    through.objects.all().delete()
    for person in people:
        found = [(c.field, c.before, c.after) for c in Change.objects.of(person).order_by("pk")]
        pks = [str(tag.pk) for tag in tags]
        assert sorted(found[:2], key=str) == sorted([("tag", None, pk) for pk in pks], key=str)
        assert sorted(found[2:], key=str) == sorted([("tag", pk, None) for pk in pks], key=str)


def test_deleting_a_person_removes_the_name():
    """Their history stays, with numbers where they were named."""
    maria = PersonFactory(name="Maria Canary", email="canary@example.com")
    segment, pk = Segment.objects.create(name="Few"), str(maria.pk)
    segment.include(maria)
    with acting_as(pk):
        article = ArticleFactory(audience=Audience.everyone())
    maria.delete()
    words = str([*Change.objects.values_list(), *(c.who for c in Change.objects.all())])
    assert "canary" not in words.lower()
    assert Change.objects.of(article).get().who == pk
    assert Change.objects.of(segment).filter(field="people", after=None).exists()


def test_an_edit_in_the_admin_is_the_admins():
    ada = PersonFactory(role="admin", name="Ada", verified=True)
    segment = Segment.objects.create(name="Old")
    client = Client()
    client.force_login(ada)
    data = {"name": "New", "user_type": "signed_in_users", "seen_version": "1"}
    for rows in ("conditions", "people"):
        data |= {f"{rows}-TOTAL_FORMS": "0", f"{rows}-INITIAL_FORMS": "0"}
    with override_settings(ROOT_URLCONF="helpcenter.urls"):
        response = client.post(f"/admin/segments/segment/{segment.pk}/change/", data)
    assert response.status_code == 302, response.content
    change = Change.objects.of(segment).first()
    assert (change.field, change.before, change.after) == ("name", "Old", "New")
    assert (change.who, change.actor) == ("Ada", str(ada.pk))
    Segment.objects.update(description="by somebody else")
    assert Change.objects.of(segment).first().actor is None

"""Corners that no other test goes through: what a developer sees, and what seldom happens."""

import pytest
from allauth.account.models import EmailAddress
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, Group
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import ProtectedError, Q
from django.test import RequestFactory
from django.utils import timezone
from rest_framework import serializers

from accounts.models import Tag, User
from helpcenter.models import Article, HelpCenter, Label, Section, Subscription
from segments import (
    checks,
    choosing,
    confirmation,
    history,
    moving,
    person_changes,
    recollection,
)
from segments.admin import AsksFirst, RestrictedAdmin, VisibleRelatedFilter
from segments.apps import restore
from segments.attributes import AsList, Step, among_any, attributes
from segments.audience_admin import AudiencePicker, ChangesAudiences
from segments.effects import _Question
from segments.inspection import Inspects, PersonAccess
from segments.models import (
    Actor,
    Audience,
    Change,
    Segment,
    Token,
    describe_uses,
)
from segments.querysets import Among, visible_ids
from segments.recollection import Moment
from segments.refusing import RefusesGracefully
from segments.rest_framework import VisibleToViewerField
from segments.ruleset import viewer_for
from segments.segment_admin import _change_address
from segments.segment_list import _address
from tests.factories_content import ArticleFactory, HelpCenterFactory, SectionFactory
from tests.factories_people import OrganizationFactory, PersonFactory, TagFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def request_of_admin():
    request = RequestFactory().get("/")
    request.user = PersonFactory(role="admin")
    return request


def test_rows_say_what_they_are():
    segment = Segment.objects.get(built_in="staff")
    link = Audience.of(segment).links.get()
    assert str(link) == f"{link.audience_id}: {segment}"
    assert (str(Token(value="abc")), str(Actor(name="5")), str(Actor())) == ("abc", "5", "")
    change = Change(model="a.b", object_id="1", field="name", before="x", after="y")
    assert str(change) == "a.b 1 name: x → y"


def test_of_many_uses_the_first_are_named_and_the_rest_counted():
    articles = [ArticleFactory(title=f"Article {n}") for n in range(12)]
    words = describe_uses([Article.objects.filter(pk__in=[each.pk for each in articles])])
    assert words.count("Article") == 10 and "2 more of kind article" in words


class TestAnswersOfChecks:
    def test_nothing_while_migrate_puts_triggers_back(self, monkeypatch):
        monkeypatch.setattr("segments.triggers.missing", lambda connection: ["segments_segment"])
        monkeypatch.setattr("sys.argv", ["manage.py", "migrate", "--plan"])
        assert checks.check_triggers(["default"]) == []
        monkeypatch.setattr("sys.argv", ["manage.py", "check"])
        (message,) = checks.check_triggers(["default"])
        assert (message.id, "segments_segment" in message.msg) == ("segments.E011", True)

    def test_nothing_before_there_are_tables(self, monkeypatch):
        monkeypatch.setattr("segments.triggers.missing", lambda connection: ["segments_segment"])
        tables = iter([[], ["segments_token"]])
        monkeypatch.setattr(connection.introspection, "table_names", lambda: next(tables))
        # The second is looked at even if the first has none.
        assert len(checks.check_triggers(["default", "default"])) == 1


class TestChoosing:
    def test_too_little_is_too_little(self, request_of_admin):
        TagFactory(name="vip")
        assert choosing.suggest(attributes()["tag"], "v", request_of_admin) == []
        assert choosing.suggest(attributes()["tag"], "vi", request_of_admin) == ["vip"]
        assert choosing.suggest_people("a", request_of_admin) == []

    def test_what_has_few_values_suggests_all_that_hold_the_text(self, request_of_admin):
        found = choosing.suggest(attributes()["role"], "AGENT", request_of_admin)
        assert sorted(found) == ["Agent", "Light agent"]

    def test_free_text_is_what_it_says(self, settings):
        settings.SEGMENTS = {**settings.SEGMENTS, "ATTRIBUTES": {"called": ["name"]}}
        assert choosing.value_called(attributes()["called"], "Bo") == "Bo"

    def test_nobody_is_guessed_where_two_are_called_the_same(self):
        PersonFactory(name="Kim"), PersonFactory(name="Kim")
        with pytest.raises(ValidationError, match="several are called"):
            choosing.person_called("Kim")

    def test_rows_without_an_admin_are_found_by_how_their_names_begin(self, request_of_admin):
        Group.objects.bulk_create([Group(name="Editors"), Group(name="Writers")])
        found = choosing.searched(Group.objects.all(), "edit", request_of_admin, admin.AdminSite())
        assert [group.name for group in found] == ["Editors"]


def test_an_audience_that_is_found_again():
    """Whom an audience admits, and the audience that admits them."""
    staff = Segment.objects.get(built_in="staff")
    for audience in (Audience.everyone(), Audience.nobody(), Audience.of(staff)):
        assert moving.audience_for(moving.admission_of(audience)) == audience


def test_nobody_is_among_no_groups():
    PersonFactory()
    assert not User.objects.filter(among_any([])).exists()


def test_a_stored_audience_is_never_stored_again():
    with pytest.raises(TypeError, match="never changes"):
        Audience.everyone().save()


def test_saving_what_conditions_name_without_renaming_it():
    tag = TagFactory(name="vip")
    conditions = [{"attribute": "tag", "operator": "any", "values": ["vip"]}]
    Segment.objects.create(name="VIP", conditions=conditions)
    tag.save()
    tag.name = "other"
    with pytest.raises(ProtectedError):
        tag.save()


def test_ids_that_are_no_numbers():
    Session.objects.create(session_key="abc", session_data="", expire_date=timezone.now())
    assert Session.objects.filter(Among("session_key", ["abc", "x"])).count() == 1
    assert not Session.objects.filter(Among("session_key", ["x"])).exists()


def test_a_list_of_ids_is_like_no_other():
    one = Among("pk", [1])
    assert one == one and one != Among("pk", [1])


def test_admins_see_every_id():
    section = SectionFactory(audience=Audience.nobody())
    admin, visitor = PersonFactory(role="admin"), AnonymousUser()
    assert visible_ids(Section, viewer_for(admin), "default") == [section.pk]
    assert visible_ids(Section, viewer_for(visitor), "default") == []


def test_what_lies_in_nothing_is_limited_by_nothing_above():
    """A parent of another model that may be missing: whoever the own audience admits sees it."""
    above = _Question("default")._above(Subscription._meta.get_field("section"))
    assert [levels[None] for levels in above] == [[], []]


def test_nothing_is_put_back_before_there_are_tables(monkeypatch):
    last = [each for each in apps.get_app_configs() if each.models_module][-1]
    Segment.objects.filter(built_in="staff")._raw_delete("default")
    with monkeypatch.context() as patched:
        patched.setattr(connection.introspection, "table_names", lambda: [])
        restore(last, "default")
    assert not Segment.objects.filter(built_in="staff").exists()
    restore(last, "default")
    assert Segment.objects.filter(built_in="staff").exists()


class TestHistory:
    def test_follows_what_points_at_a_person(self):
        field = User._meta.get_field("emailaddress")
        (watched,) = history._step(Step(User, field), "address")
        assert (watched.table, watched.field) == (EmailAddress._meta.db_table, "address")

    def test_follows_links_from_their_other_end(self):
        there = User._meta.get_field("tags")
        forward = history._link(User, there, "x")
        reverse = history._link(Tag, there.remote_field, "x")
        assert forward.table == reverse.table
        assert (forward.value, reverse.value) == ('{row}."tag_id"', '{row}."user_id"')

    def test_leaves_out_what_two_fields_share(self, settings):
        settings.SEGMENTS = {**settings.SEGMENTS, "ATTRIBUTES": {"word": ["language", "name"]}}
        assert "word" not in history.recorded_fields(User)
        settings.SEGMENTS = {**settings.SEGMENTS, "ATTRIBUTES": {"word": ["language"]}}
        assert history.recorded_fields(User)["word"].name == "language"

    def test_what_no_field_holds_is_not_put_back(self):
        person = PersonFactory(role="agent")
        changes = [
            Change(field="shoe", before="1", after="2"),
            Change(field="role", before="admin"),
        ]
        person_changes.put_back(person, [Moment(1, None, "", changes=changes)])
        assert User.objects.get(pk=person.pk).role == "admin"

    def test_a_text_that_is_no_value_becomes_the_default(self):
        field = User._meta.get_field("is_active")
        assert person_changes._value(field, "false") is False
        assert person_changes._value(field, "perhaps") is True

    def test_of_a_segment_knows_what_it_undoes(self):
        state = recollection.State("Now", "", "staff", [], {})
        recollection._undo(state, Change(field="version", before="1", after="2"))
        assert state == recollection.State("Now", "", "staff", [], {})
        recollection._undo(state, Change(field="name", before="Old", after="Now"))
        assert state.name == "Old"

    def test_a_text_that_is_no_id_has_no_name(self):
        acme = OrganizationFactory(name="Acme")
        changes = [Change(field="organization", before="x", after=str(acme.pk))]
        assert recollection._labels(changes) == {("organization", str(acme.pk)): "Acme"}


class TestAdmin:
    """What an admin of a project gets that says nothing of its own."""

    def test_pages_have_no_tools(self):
        assert Inspects(Article, admin.AdminSite()).tools(ArticleFactory()) == []

    def test_only_admins_change_many_audiences(self, request_of_admin):
        model_admin, rows = ChangesAudiences(Article, admin.AdminSite()), Article.objects.all()
        article = ArticleFactory()
        assert list(model_admin.whose_audience_may_change(request_of_admin, rows)) == [article]
        request_of_admin.user = PersonFactory(role="agent")
        assert not model_admin.whose_audience_may_change(request_of_admin, rows).exists()

    def test_whoever_asks_first_says_of_whom(self):
        model_admin = AsksFirst(Article, admin.AdminSite())
        for method in (model_admin.people_of, model_admin.in_words):
            with pytest.raises(NotImplementedError):
                method([1])

    def test_what_is_new_was_nothing_before(self, request_of_admin):
        for kind, new in (
            (AudiencePicker, Tag(name="new")),
            (PersonAccess, User(email="new@example.com", name="New")),
        ):
            kind(type(new), admin.AdminSite()).save_model(request_of_admin, new, None, False)
            assert type(new).objects.filter(pk=new.pk).exists() and not hasattr(new, "was")

    def test_rows_below_are_all_shown_where_none_is_hidden(self, request_of_admin):
        class Inline(admin.TabularInline):
            model = Article.labels.through

        article = ArticleFactory()
        article.labels.add(Label.objects.create(name="a"))
        model_admin = RestrictedAdmin(Article, admin.AdminSite())
        inline = Inline(Article, model_admin.admin_site)
        found = model_admin.get_formset_kwargs(request_of_admin, article, inline, "labels")
        assert found["queryset"].get().label.name == "a"

    def test_a_refusal_is_a_message(self, request_of_admin, monkeypatch):
        def refused(*args, **kwargs):
            raise ProtectedError("Conditions name it.", set())

        said = []
        monkeypatch.setattr(admin.ModelAdmin, "changeform_view", refused)
        monkeypatch.setattr("django.contrib.messages.error", lambda *given: said.extend(given))
        model_admin = RefusesGracefully(Tag, admin.AdminSite())
        answer = model_admin.changeform_view(request_of_admin)
        assert (answer.status_code, answer.url) == (302, "/")
        assert said == [request_of_admin, "Conditions name it."]

    def test_rows_without_a_page_have_no_link(self):
        assert _change_address(Change()) == ""


def test_a_hidden_object_is_refused_like_a_missing_one(request_of_admin):
    """By Django REST framework's serializers."""

    class Chosen(serializers.Serializer):
        article = VisibleToViewerField(queryset=Article.objects.all())

    def errors(pk):
        form = Chosen(data={"article": pk}, context={"request": request_of_admin})
        return (
            []
            if form.is_valid()
            else [str(e).replace(str(pk), "…") for e in form.errors["article"]]
        )

    hidden, shown = ArticleFactory(), ArticleFactory(audience=Audience.everyone())
    assert errors(hidden.pk) == []
    request_of_admin.user = AnonymousUser()
    assert errors(shown.pk) == []
    assert errors(hidden.pk) == errors(12345) != []


def test_the_fields_that_a_filter_of_people_asks_for():
    assert set(history._paths(Q(Among("pk", [1])) & Q(role="agent"))) == {"role"}
    assert set(history._paths(Q(role__in=["agent"]) & (Q(is_active=True) | Q(nothing=1)))) == {
        "role",
        "is_active",
    }


def test_things_without_titles_are_listed_by_id():
    centers = [HelpCenterFactory() for _ in range(2)]
    rows = confirmation.titled(HelpCenter.objects.order_by("-pk"))
    assert [row.pk for row in rows] == sorted(center.pk for center in centers)


def test_what_has_no_page_in_the_admin_has_no_address():
    assert _address(Change.objects.all(), 1) == ""


def test_a_stored_text_that_is_no_json_is_no_condition():
    assert recollection._value("conditions", "[") == []
    assert recollection._value("conditions", None) == []
    assert recollection._value("name", None) == ""


class TestFilters:
    def test_by_a_model_without_titles(self, request_of_admin):
        HelpCenterFactory(name="Help")
        field = SectionFactory().category._meta.get_field("help_center")
        model_admin = RestrictedAdmin(type(SectionFactory().category), admin.AdminSite())
        offered = VisibleRelatedFilter.field_choices(None, field, request_of_admin, model_admin)
        assert "Help" in [name for _pk, name in offered]

    def test_of_other_kinds_offer_no_rows(self):
        model_admin = RestrictedAdmin(Article, admin.AdminSite())
        assert model_admin._related_by(admin.SimpleListFilter) is None
        assert model_admin._related_by(("section", admin.BooleanFieldListFilter)) is None
        assert model_admin._related_by("section").__name__ == "Section"

    def test_many_to_many_offers_what_is_visible(self, request_of_admin):
        field = Article._meta.get_field("labels")
        model_admin = RestrictedAdmin(Article, admin.AdminSite())
        found = model_admin.formfield_for_manytomany(field, request_of_admin)
        assert found.queryset.model is field.related_model


def test_lists_are_made_of_texts_as_of_numbers():
    """Of texts PostgreSQL makes them in another way; a comma in one is no end of it."""
    people = [PersonFactory(name=name) for name in ('a, "b"', "c")]
    rows = User.objects.filter(pk__in=[each.pk for each in people]).order_by()
    (names,) = rows.values("role").annotate(all=AsList("name")).values_list("all", flat=True)
    (pks,) = rows.values("role").annotate(all=AsList("pk")).values_list("all", flat=True)
    assert sorted(names) == ['a, "b"', "c"]
    assert sorted(pks) == sorted(each.pk for each in people)

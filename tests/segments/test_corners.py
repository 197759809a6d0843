"""Corners that no other test goes through: what a developer sees, and what seldom happens."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Q
from django.test import RequestFactory

from accounts.models import User
from helpcenter.models import Article, HelpCenter
from segments import checks, choosing, confirmation, history, moving, recollection
from segments.admin import RestrictedAdmin, VisibleRelatedFilter
from segments.attributes import among_any, attributes
from segments.models import (
    Actor,
    Audience,
    Change,
    Segment,
    Token,
    describe_uses,
)
from segments.segment_list import _address
from tests.factories_content import ArticleFactory, HelpCenterFactory, SectionFactory
from tests.factories_people import PersonFactory, TagFactory

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
        monkeypatch.setattr("sys.argv", ["manage.py", "migrate"])
        monkeypatch.setattr("segments.triggers.missing", lambda connection: ["segments_segment"])
        assert checks.check_triggers(["default"]) == []

    def test_nothing_before_there_are_tables(self, monkeypatch):
        monkeypatch.setattr(connection.introspection, "table_names", lambda: [])
        assert checks.check_triggers(["default"]) == []


class TestChoosing:
    def test_too_little_is_too_little(self, request_of_admin):
        TagFactory(name="vip")
        assert choosing.suggest(attributes()["tag"], "v", request_of_admin) == []
        assert choosing.suggest(attributes()["tag"], "vi", request_of_admin) == ["vip"]
        assert choosing.suggest_people("a", request_of_admin) == []

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


def test_the_fields_that_a_filter_of_people_asks_for():
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

"""What was typed, and the value or the person that it names."""

import pytest
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.test import RequestFactory

from accounts.models import AgentGroup, Organization, Tag, User
from helpcenter.models import ArticleTranslation, Vote
from segments import choosing
from segments.attributes import Attribute, Lookup, attributes
from tests.factories_content import ArticleFactory
from tests.factories_people import OrganizationFactory, PersonFactory, TagFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def request_of_admin():
    request = RequestFactory().get("/")
    request.user = PersonFactory(role="admin", name="Zoe")
    return request


def refusal(ask, *args):
    with pytest.raises(ValidationError) as refused:
        ask(*args)
    return refused.value.messages


def test_yes_and_no_are_all_there_is():
    works = Attribute("works", (Lookup("is_active"),))
    assert choosing.choices_of(works) == [(True, "Yes"), (False, "No")]
    assert choosing.value_called(works, "no") is False


def test_a_choice_is_called_by_its_value_or_its_name():
    role = attributes()["role"]
    assert choosing.value_called(role, "END_USER") == "end_user"
    assert choosing.value_called(role, "light Agent") == "light_agent"
    assert refusal(choosing.value_called, role, "boss") == [
        "Role: “boss” is none of End user, Light agent, Agent, Admin."
    ]


def test_a_row_is_called_by_its_name():
    vip, acme = TagFactory(name="vip"), OrganizationFactory(name="Acme")
    assert choosing.value_called(attributes()["tag"], " VIP") == vip.name
    assert choosing.value_called(attributes()["organization"], "acme") == acme.pk
    assert refusal(choosing.value_called, attributes()["tag"], "gold") == [
        "Tag: there is none called “gold”."
    ]


def test_two_of_a_name_are_too_many():
    people = [PersonFactory(name="Kim"), PersonFactory(name="kim")]
    assert refusal(choosing.person_called, "Kim") == ["person: several are called “Kim”."]
    assert choosing.person_called(people[1].email.upper()) == people[1]
    assert refusal(choosing.person_called, "Lee") == ["person: there is none called “Lee”."]


def test_people_are_suggested_from_two_letters_on(request_of_admin):
    kim = PersonFactory(name="Kim", email="xy@example.com")
    assert choosing.suggest_people("x", request_of_admin) == []
    assert choosing.suggest_people("xy", request_of_admin) == [(kim.email, "Kim")]


def test_what_the_list_in_the_admin_finds_is_suggested(request_of_admin):
    acme = OrganizationFactory(name="Acme", domains=["roadrunner.example"])
    OrganizationFactory(name="Globex")
    found = choosing.suggest(attributes()["organization"], "roadrunner", request_of_admin)
    assert found == [str(acme)]


def test_what_is_found_twice_is_there_once(request_of_admin):
    where = admin.AdminSite()
    where.register(
        User, type("ByPlace", (admin.ModelAdmin,), {"search_fields": ["organizations__name"]})
    )
    for number in range(2):
        OrganizationFactory(name=f"Acme {number}")
    twice = PersonFactory(organizations=["Acme 0", "Acme 1"])
    once = PersonFactory(organizations=["Acme 1"])
    found = choosing.searched(User.objects.all(), "acme", request_of_admin, where)
    assert [*found] == sorted([twice, once], key=lambda person: person.pk)
    assert [*choosing.searched(User.objects.all(), "", request_of_admin, where)] == [
        *User.objects.order_by("pk")
    ]


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (User, ["name", "email"]),
        (Tag, ["name"]),
        (AgentGroup, ["name"]),
        (Organization, ["name"]),
        (ArticleTranslation, ["title"]),
    ],
)
def test_by_which_columns_a_row_is_called(model, fields):
    assert [*choosing._text_fields(model)] == fields


def test_without_a_list_the_beginning_of_any_column_counts(request_of_admin):
    where = admin.AdminSite()
    bo, kim = (
        PersonFactory(name="Bo", email="kim@example.com"),
        PersonFactory(name="Kim", email="b@example.com"),
    )
    PersonFactory(name="Mikim", email="c@example.com")
    found = choosing.searched(User.objects.all(), "ki", request_of_admin, where)
    assert [*found] == sorted([bo, kim], key=lambda person: person.pk)


def test_what_has_no_texts_is_found_by_none(request_of_admin):
    Vote.objects.create(user=PersonFactory(), article=ArticleFactory(), value=1)
    found = choosing.searched(Vote.objects.all(), "1", request_of_admin, admin.AdminSite())
    assert not found.exists()


def test_a_column_that_cannot_have_the_text_has_it_nowhere():
    assert choosing._exactly(User, "pk", "Kim") == []


def test_people_are_found_by_their_ids_as_text():
    kim = PersonFactory()
    assert choosing.people_with(["x", "9" * 30, str(kim.pk), "12"]) == {str(kim.pk): kim}
    assert choosing.people_with([]) == choosing.people_with(["x"]) == {}

"""Changes of many people at once in the admin: who gains and loses what is shown first."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Organization, OrganizationDomain, User
from helpcenter.admin import OrganizationTools
from segments.models import Audience
from tests.factories_content import ArticleFactory
from tests.factories_people import PersonFactory, TagFactory
from tests.helpcenter.test_audience_admin import admin, confirmed

__all__ = ["admin"]
pytestmark = pytest.mark.django_db
LIST = reverse("admin:accounts_organization_changelist")
ADD = reverse("admin:accounts_organization_add")
PEOPLE = reverse("admin:accounts_user_changelist")


@pytest.fixture
def acme(segment_of):
    ArticleFactory(audience=Audience.of(segment_of["premium"]), title="For premium")
    ArticleFactory(audience=Audience.of(segment_of["acme"]), title="For Acme")
    return Organization.objects.get(name="Acme")


def page_of(organization, name="change"):
    return reverse(f"admin:accounts_organization_{name}", args=[organization.pk])


def form(organization=None, tags=(), domains=(), name="Initech"):
    """What the form of the organization sends; its domains are those of these that are new."""
    stored = list(organization.domains.all()) if organization else []
    sent = {
        "name": organization.name if organization else name,
        "tags": [TagFactory(name=each).pk for each in tags],
        "domains-INITIAL_FORMS": len(stored),
    }
    new = [each for each in domains if each not in {str(row) for row in stored}]
    for number, row in enumerate([*stored, *new]):
        sent[f"domains-{number}-domain"] = str(row)
        if row in stored:
            sent[f"domains-{number}-id"] = row.pk
            sent[f"domains-{number}-organization"] = organization.pk
            if str(row) not in domains:
                sent[f"domains-{number}-DELETE"] = "on"
    return sent | {"domains-TOTAL_FORMS": len(stored) + len(new)}


def tags_of(organization):
    return {str(tag) for tag in organization.tags.all()}


def test_a_tag_that_widens_needs_a_tick(admin, acme):
    answer = admin.post(page_of(acme), form(acme, ["premium"]))
    page = answer.content.decode()
    # Omar and Aki see it already, and so does Nadia, by way of Globex; Ines is inactive.
    assert "1 person sees more" in page and "<li>Maria</li>" in page and "Nadia" not in page
    assert "Seen by more people: 1 article" in page and "For premium" in page
    assert "Acme; tags: –; domains: –" in page and "Acme; tags: premium; domains: –" in page
    assert tags_of(acme) == set()
    again = admin.post(page_of(acme), confirmed(answer))
    assert "Tick the box" in again.content.decode() and tags_of(acme) == set()
    assert admin.post(page_of(acme), confirmed(answer, _widen="yes")).status_code == 302
    assert tags_of(acme) == {"premium"}


def test_an_answer_is_to_one_question(admin, acme):
    """Other tags with the same effect are another question, and another organization is, too."""
    TagFactory(name="premium")
    seen = [
        admin.post(page_of(acme), form(acme, tags)).context["seen"]
        for tags in (["premium"], ["premium", "harmless"])
    ]
    Organization.objects.filter(pk=acme.pk).update(name="Renamed")
    seen.append(admin.post(page_of(acme), form(acme, ["premium"])).context["seen"])
    assert len({*seen}) == 3


def test_only_what_is_deleted_is_said(admin, acme):
    globex = Organization.objects.get(name="Globex")
    answer = admin.post(page_of(globex, "delete"), {"post": "yes"})
    assert answer.context["before"] == "Globex; tags: premium; domains: –"
    assert answer.context["after"] == "–"
    assert ("post", "yes") in answer.context["posted"]


def test_what_is_asked_again_is_what_was_sent(admin, acme):
    answer = admin.post(page_of(acme), form(acme, ["premium"]) | {"csrfmiddlewaretoken": "x"})
    first = answer.context["posted"]
    again = admin.post(page_of(acme), confirmed(answer, _widen="not yet")).context["posted"]
    assert again == first
    assert {name for name, _text in first} == {
        "name",
        "tags",
        "domains-INITIAL_FORMS",
        "domains-TOTAL_FORMS",
    }


def test_it_is_said_once_that_it_is_stored(admin, acme):
    answer = admin.post(page_of(acme), form(acme, ["premium"]))
    sent = confirmed(answer, _widen="yes")
    page = admin.post(page_of(acme), sent, follow=True).content.decode()
    assert page.count("was changed successfully") == 1
    assert "“<a href" in page and ">Acme</a>” was changed successfully" in page


def test_what_only_narrows_is_shown_and_needs_no_tick(admin, acme):
    globex = Organization.objects.get(name="Globex")
    answer = admin.post(page_of(globex), form(globex))
    page = answer.content.decode()
    assert "2 people see less" in page and "<li>Omar</li>" in page and "_widen" not in page
    assert tags_of(globex) == {"premium"}
    assert admin.post(page_of(globex), confirmed(answer)).status_code == 302
    assert tags_of(globex) == set()


def test_other_figures_than_those_shown_are_asked_again(admin, acme):
    answer = admin.post(page_of(acme), form(acme, ["premium"]))
    PersonFactory(organizations=[acme])
    again = admin.post(page_of(acme), confirmed(answer, _widen="yes"))
    assert "2 people see more" in again.content.decode() and tags_of(acme) == set()


def test_what_changes_nothing_is_stored_at_once(admin, acme):
    assert admin.post(page_of(acme), form(acme, ["harmless"])).status_code == 302
    assert tags_of(acme) == {"harmless"}
    assert admin.post(ADD, form(tags=["premium"])).status_code == 302
    assert tags_of(Organization.objects.get(name="Initech")) == {"premium"}


def test_a_wrong_form_comes_back(admin, acme):
    page = admin.post(page_of(acme), form(acme, ["premium"], ["no domain"])).content.decode()
    assert "errornote" in page and tags_of(acme) == set()


@pytest.mark.parametrize("are_expected", [True, False])
def test_domains_come_and_go(admin, acme, are_expected, monkeypatch):
    if not are_expected:
        # As when a domain is typed in other letters than addresses have.
        monkeypatch.setattr(OrganizationTools, "people_to_come", lambda *a: User.objects.none())
    dan = User.objects.get(email="dan@example.com")
    answer = admin.post(page_of(acme), form(acme, [], ["example.com"]))
    page = answer.content.decode()
    # Everybody at example.com who is an end user, but Maria and Nadia, who are in already.
    assert "3 people see more" in page and "<li>Dan</li>" in page and "For Acme" in page
    assert not OrganizationDomain.objects.exists()
    assert admin.post(page_of(acme), confirmed(answer, _widen="yes")).status_code == 302
    assert acme in dan.organizations.all()
    answer = admin.post(page_of(acme), form(acme))
    assert "3 people see less" in answer.content.decode()
    assert acme in dan.organizations.all()
    assert admin.post(page_of(acme), confirmed(answer)).status_code == 302
    assert acme not in dan.organizations.all()


def test_a_new_organization_may_widen_by_its_domain(admin, acme):
    answer = admin.post(ADD, form(tags=["premium"], domains=["example.com"]))
    assert "<li>Dan</li>" in answer.content.decode()
    assert not Organization.objects.filter(name="Initech").exists()
    assert admin.post(ADD, confirmed(answer, _widen="yes")).status_code == 302
    assert User.objects.get(email="dan@example.com").organizations.get().name == "Initech"


@pytest.mark.parametrize("from_the_list", [True, False])
def test_deleting_takes_the_tags_along(admin, acme, from_the_list):
    globex = Organization.objects.get(name="Globex")
    sent = {"action": "delete_selected", "_selected_action": [globex.pk], "post": "yes"}
    address, sent = (LIST, sent) if from_the_list else (page_of(globex, "delete"), {"post": "yes"})
    answer = admin.post(address, sent)
    assert "2 people see less" in answer.content.decode()
    assert Organization.objects.filter(pk=globex.pk).exists()
    assert admin.post(address, confirmed(answer)).status_code == 302
    assert not Organization.objects.filter(pk=globex.pk).exists()


def test_addresses_that_are_verified_from_the_list(admin, acme):
    acme.domains.create(domain="acme.com")
    new = [PersonFactory(name=name, email=f"{name}@acme.com") for name in ("Uma", "Uwe")]
    sent = {"action": "verify_email", "_selected_action": [person.pk for person in new]}
    answer = admin.post(PEOPLE, sent)
    page = answer.content.decode()
    assert "2 people see more" in page and "For Acme" in page
    assert "verified: –" in page and "verified: Uma and Uwe" in page
    assert not any(person.has_verified_email() for person in new)
    admin.post(PEOPLE, confirmed(answer))
    assert not any(person.has_verified_email() for person in new)
    page = admin.post(PEOPLE, confirmed(answer, _widen="yes"), follow=True).content.decode()
    assert page.count("2 addresses are verified now") == 1
    assert all(person.has_verified_email() for person in new)
    other = PersonFactory(email="ute@elsewhere.com")
    assert admin.post(PEOPLE, sent | {"_selected_action": [other.pk]}).status_code == 302
    assert other.has_verified_email()


def test_the_cost_does_not_grow_with_the_members(admin, acme):
    sent = form(acme, ["premium"])

    def queries():
        with CaptureQueriesContext(connection) as captured:
            assert "For premium" in admin.post(page_of(acme), sent).content.decode()
        return len(captured)

    queries()  # compiles the rules
    few = queries()
    PersonFactory.create_batch(5, organizations=[acme])
    assert queries() == few

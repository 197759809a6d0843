import pytest
from allauth.account.models import EmailAddress
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.domains import may_move_to, readmit
from accounts.models import OrganizationDomain, OrganizationMembership, User
from tests.factories_people import OrganizationFactory, PersonFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme():
    return OrganizationFactory(name="Acme", domains=["acme.com"])


@pytest.fixture
def bob(acme):
    return PersonFactory(email="bob@acme.com", verified=True)


def organizations_of(person):
    return sorted(person.organizations.values_list("name", flat=True))


def test_a_verified_primary_address_is_admitted(acme, bob):
    membership = bob.memberships.get()
    assert (membership.organization, membership.source) == (acme, "domain")


@pytest.mark.parametrize(
    "email",
    ["bob@sub.acme.com", "bob@notacme.com", "bob@acme.com.evil.org", '"bob@acme.com"@evil.org']
    + ["acme.com@evil.org"],
)
def test_only_the_exact_domain_counts(acme, email):
    assert organizations_of(PersonFactory(email=email, verified=True)) == []


def test_the_domain_follows_the_last_at(acme):
    person = PersonFactory(email='"bob@evil.org"@acme.com', verified=True)
    assert organizations_of(person) == ["Acme"]


def test_an_unverified_address_is_not_admitted_until_it_is_verified(acme):
    person = PersonFactory(email="bob@acme.com")
    assert organizations_of(person) == []
    person.verify_email()
    assert organizations_of(person) == ["Acme"]


def test_a_second_address_is_not_admitted(acme):
    person = PersonFactory(email="bob@example.org", verified=True)
    second = person.emailaddress_set.create(email="bob@acme.com", verified=True)
    assert organizations_of(person) == []
    second.set_as_primary()  # as allauth does it
    assert organizations_of(person) == ["Acme"]
    person.refresh_from_db()
    assert person.email == "bob@acme.com"


def test_a_primary_address_that_is_not_the_persons_own_is_not_admitted(acme):
    person = PersonFactory(email="bob@example.org")
    EmailAddress.objects.filter(user=person).delete()
    person.emailaddress_set.create(email="bob@acme.com", primary=True, verified=True)
    assert organizations_of(person) == []


def change(person, **values):
    for name, value in values.items():
        setattr(person, name, value)
    person.save()


ENDS = {
    "new address": lambda bob: change(bob, email="bob@example.org"),
    "bulk new address": lambda bob: User.objects.filter(pk=bob.pk).update(email="b@example.org"),
    "unverified": lambda bob: change(bob.emailaddress_set.get(), verified=False),
    "not primary": lambda bob: change(bob.emailaddress_set.get(), primary=False),
    "other primary": lambda bob: change(bob.emailaddress_set.get(), email="b@example.org"),
    "removed": lambda bob: bob.emailaddress_set.get().delete(),
    "bulk removed": lambda bob: bob.emailaddress_set.all().delete(),
    "domain removed": lambda bob: OrganizationDomain.objects.get().delete(),
    "bulk domain removed": lambda bob: OrganizationDomain.objects.all().delete(),
    "domain changed": lambda bob: change(OrganizationDomain.objects.get(), domain="acme.org"),
    "bulk domain changed": lambda bob: OrganizationDomain.objects.update(domain="acme.org"),
    "organization removed": lambda bob: bob.organizations.get(name="Acme").delete(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
class TestWhatEndsIt:
    def test_a_membership_by_domain(self, bob, end):
        assert organizations_of(bob) == ["Acme"]
        end(bob)
        assert organizations_of(bob) == []

    def test_never_one_by_hand(self, acme, bob, end):
        by_hand = OrganizationFactory(name="By hand")
        OrganizationMembership.objects.create(user=bob, organization=by_hand)
        end(bob)
        assert organizations_of(bob) == ["By hand"]


def test_a_domain_leaves_a_membership_by_hand_as_it_is(acme):
    person = PersonFactory(email="bob@acme.com", organizations=[acme])
    person.verify_email()
    assert person.memberships.get().source == "manual"
    OrganizationDomain.objects.get().delete()
    assert organizations_of(person) == ["Acme"]


def test_a_domain_that_moves_takes_its_people_along(bob):
    other = OrganizationFactory(name="Other")
    change(OrganizationDomain.objects.get(), organization=other)
    assert organizations_of(bob) == ["Other"]
    OrganizationDomain.objects.update(organization=OrganizationFactory(name="Third"))
    assert organizations_of(bob) == ["Third"]


def test_domains_made_together_admit_people():
    person = PersonFactory(email="bob@acme.com", verified=True)
    acme = OrganizationFactory(name="Acme")
    OrganizationDomain.objects.bulk_create(
        [OrganizationDomain(organization=acme, domain="ACME.com")]
    )
    assert organizations_of(person) == ["Acme"]


def test_the_queries_do_not_grow_with_the_people():
    def queries(count):
        for _ in range(count):
            PersonFactory(email=f"p{User.objects.count()}@acme.com", verified=True)
        organization = OrganizationFactory()
        with CaptureQueriesContext(
            connection,
        ) as captured:
            domain = OrganizationDomain.objects.create(organization=organization, domain="acme.com")
            change(domain, domain="acme.org")
        assert not OrganizationMembership.objects.exists()
        domain.delete()
        return len(captured)

    assert queries(1) == queries(30)


def test_whoever_writes_around_the_handlers_can_set_things_right(acme):
    person = PersonFactory(email="bob@acme.com")
    EmailAddress.objects.update(verified=True)
    assert organizations_of(person) == []
    readmit([person.pk])
    assert organizations_of(person) == ["Acme"]


class TestAnAddressChangedByAnAdmin:
    def test_must_be_verified(self, bob):
        change(bob, email="New@Acme.com")
        address = bob.emailaddress_set.get()
        assert (address.email, address.primary, address.verified) == ("new@acme.com", True, False)
        assert not bob.has_verified_email()

    def test_stays_verified_if_it_was(self, bob):
        bob.emailaddress_set.create(email="bob@example.org", verified=True)
        change(bob, email="bob@example.org")
        address = bob.emailaddress_set.get()
        assert (address.email, address.primary, address.verified) == ("bob@example.org", True, True)

    def test_a_change_of_something_else_changes_nothing(self, bob):
        change(bob, name="Robert")
        assert bob.has_verified_email()
        assert organizations_of(bob) == ["Acme"]


def test_who_may_change_an_address_alone(acme, bob):
    outsider = PersonFactory(email="eve@example.org", verified=True)
    newcomer = PersonFactory(email="new@acme.com")
    assert may_move_to(outsider, "eve@example.net")
    assert not may_move_to(outsider, "eve@acme.com")
    assert not may_move_to(bob, "bob@example.org")
    assert may_move_to(newcomer, "new@acme.com")

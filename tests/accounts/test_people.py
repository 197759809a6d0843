import pytest
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, transaction

from accounts.models import (
    AgentGroup,
    Organization,
    OrganizationMembership,
    Role,
    Tag,
    User,
    random_id,
)
from segments.models import Segment
from tests.factories_people import (
    PASSWORD,
    AgentGroupFactory,
    OrganizationFactory,
    PersonFactory,
)

pytestmark = pytest.mark.django_db


def test_ids_tell_nothing():
    ids = {random_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(2**32 <= number < 2**53 for number in ids)
    for model in (User, Organization, Tag, AgentGroup):
        assert model._meta.pk.default is random_id


@pytest.mark.parametrize("made", [random_id, Segment._meta.pk.default], ids=["people", "segments"])
def test_ids_are_above_the_fixed_ones_and_exact_in_javascript(monkeypatch, made):
    monkeypatch.setattr("secrets.randbelow", lambda below: 0)
    assert made() == 2**32
    monkeypatch.setattr("secrets.randbelow", lambda below: below - 1)
    assert made() == 2**53 - 1


@pytest.mark.parametrize(
    ("role", "is_active", "is_staff", "is_superuser"),
    [
        ("end_user", True, False, False),
        ("light_agent", True, True, False),
        ("agent", True, True, False),
        ("admin", True, True, True),
        ("admin", False, False, False),
        ("agent", False, False, False),
    ],
)
def test_what_the_role_allows(role, is_active, is_staff, is_superuser):
    person = PersonFactory(role=role, is_active=is_active)
    assert person.is_staff is is_staff
    assert person.is_superuser is is_superuser
    assert person.has_perm("accounts.change_user") is is_superuser
    assert person.has_perms(["accounts.change_user"]) is is_superuser
    assert person.has_module_perms("accounts") is is_superuser


def test_what_people_are_called():
    assert str(PersonFactory(name="Maria")) == "Maria"
    nameless = PersonFactory(name="", email="maria@example.org")
    assert nameless.get_full_name() == nameless.get_short_name() == "maria@example.org"


def test_someone_new_is_an_end_user_without_language():
    person = User.objects.create_user("maria@example.org", PASSWORD)
    assert (person.role, person.language, person.is_active) == (Role.END_USER, None, True)
    assert not person.has_verified_email()
    assert not User.objects.create_user("ana@example.org").has_usable_password()


def test_the_database_refuses_what_the_rule_does_not_know():
    person = PersonFactory()
    for values in ({"role": "boss"}, {"language": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            User.objects.filter(pk=person.pk).update(**values)
    User.objects.filter(pk=person.pk).update(role="agent", language="fr", is_active=False)
    person.refresh_from_db()
    assert (person.role, person.language, person.is_active) == ("agent", "fr", False)


def test_an_unknown_language_is_no_choice():
    with pytest.raises(ValidationError, match="not a valid choice"):
        PersonFactory(language="xx").full_clean()


def test_one_default_organization():
    acme, other = OrganizationFactory(), OrganizationFactory()
    person = PersonFactory(organizations=[acme, other])
    assert person.memberships.get(is_default=True).organization == acme
    with pytest.raises(IntegrityError), transaction.atomic():
        person.memberships.filter(organization=other).update(is_default=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        OrganizationMembership.objects.create(user=person, organization=acme)


def test_a_membership_by_domain_names_the_domain():
    with pytest.raises(IntegrityError), transaction.atomic():
        OrganizationMembership.objects.create(
            user=PersonFactory(), organization=OrganizationFactory(), source="domain"
        )


def test_people_are_made_with_all_they_have():
    group = AgentGroupFactory(name="Billing")
    person = PersonFactory(
        role="agent", organizations=["Acme"], tags=["VIP"], groups=[group, "Tier 2"]
    )
    assert person.organizations.get().name == "Acme"
    assert person.tags.get().name == "vip"
    assert set(person.agent_groups.values_list("key", flat=True)) == {"billing", "tier 2"}


def test_the_first_admin(monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_EMAIL", "Admin@Example.org")
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    call_command("createsuperuser", interactive=False, verbosity=0)
    admin = User.objects.get(email="admin@example.org")
    assert admin.role == Role.ADMIN
    assert admin.has_verified_email()
    assert authenticate(email="admin@example.org", password=PASSWORD) == admin

"""Which organizations a person belongs to because of an e-mail address.

An organization's domain admits the *verified primary* address of a person (allauth's EmailAddress,
equal to `User.email`) whose part after the last @ is exactly that domain. A membership by domain
ends with whatever gave it: when the address changes, loses its verification or goes, or when the
domain does. One by hand is never touched.

Signal handlers see to it in the transaction of the change. They do not see
`EmailAddress.objects.update()`, `bulk_create()` and raw SQL: whoever writes addresses that way
calls `readmit` afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from allauth.account.models import EmailAddress
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from .models import OrganizationDomain, OrganizationMembership, User
from .normalisation import domain_of, normalise_email

BY_DOMAIN = OrganizationMembership.Source.DOMAIN


def addresses_that_count() -> QuerySet[EmailAddress]:
    """The addresses that a domain may admit: verified, primary and equal to `User.email`."""
    return EmailAddress.objects.filter(verified=True, primary=True, email=F("user__email"))


def domains_of(emails: Iterable[str]) -> dict[str, OrganizationDomain]:
    """The organizations' domains among those of these normalised addresses."""
    # An address may end in "localhost", but it is no domain that an organization can have.
    names = {domain_of(email) for email in emails} - {"localhost"}
    return OrganizationDomain.objects.in_bulk(names, field_name="domain")


@transaction.atomic(savepoint=False)
def readmit(people: Iterable[int]) -> None:
    """Give these people (ids) exactly the memberships that their addresses give them now."""
    for some in _batches(list(people)):
        addresses = list(addresses_that_count().filter(user__in=some).values_list("user", "email"))
        domains = domains_of(email for _, email in addresses)
        wanted = [
            (user, domains[domain_of(email)])
            for user, email in addresses
            if domain_of(email) in domains
        ]
        _replace(OrganizationMembership.objects.filter(user__in=some), wanted)


@transaction.atomic(savepoint=False)
def admit(domains: Iterable[OrganizationDomain]) -> None:
    """Give these domains exactly the people whose addresses they admit now."""
    domains = list(domains)
    wanted = []
    for domain in domains:
        # No domain contains an @, so what ends like this has exactly this domain.
        addresses = addresses_that_count().filter(email__endswith=f"@{domain.domain}")
        wanted += [(user, domain) for user in addresses.values_list("user", flat=True)]
    _replace(OrganizationMembership.objects.filter(domain__in=domains), wanted)


def _replace(
    memberships: QuerySet[OrganizationMembership],
    wanted: Iterable[tuple[int, OrganizationDomain]],
) -> None:
    """Make the memberships by domain among these the wanted ones, and leave those by hand alone."""
    columns = ["user_id", "organization_id", "domain_id"]
    rows = {(user, domain.organization_id, domain.pk) for user, domain in wanted}
    present = {
        tuple(row): pk
        for pk, *row in memberships.filter(source=BY_DOMAIN).values_list("pk", *columns)
    }
    for some in _batches([pk for row, pk in present.items() if row not in rows]):
        OrganizationMembership.objects.filter(pk__in=some).delete()
    OrganizationMembership.objects.bulk_create(
        [
            OrganizationMembership(source=BY_DOMAIN, **dict(zip(columns, row, strict=True)))
            for row in rows - present.keys()
        ],
        ignore_conflicts=True,  # someone added by hand stays so
    )


def _batches(ids: list[int], size: int = 10_000) -> Iterator[list[int]]:
    """The ids in lists that fit into one statement's parameters."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def follow_email(person: User) -> None:
    """Bring allauth's addresses and the memberships in line with a person's `email`.

    When it was changed elsewhere than in allauth's own flows (by an admin, say), the new address
    becomes the only one, and is verified at the next sign-in.
    """
    addresses = list(EmailAddress.objects.filter(user=person))
    if addresses and not any(a.primary and a.email == person.email for a in addresses):
        known = next((a for a in addresses if a.email == person.email), None)
        EmailAddress.objects.filter(user=person).exclude(email=person.email).delete()
        address = known or EmailAddress(user=person, email=person.email)
        address.primary = True
        address.save()
    readmit([person.pk])


def belongs_to_domain(person: User) -> bool:
    """Whether the person's present address gives a membership."""
    return OrganizationMembership.objects.filter(user=person, source=BY_DOMAIN).exists()


def may_move_to(person: User, email: str) -> bool:
    """Whether a person may verify this address without an admin.

    Whose domain gives a membership is an access attribute: nobody leaves or enters an
    organization by changing from one verified address to another. The first address is free, for
    it decides nothing yet.
    """
    verified = EmailAddress.objects.filter(user=person, verified=True).exclude(email=email)
    if not verified.exists():
        return True
    return not domains_of([email]) and not belongs_to_domain(person)


@receiver(post_save, sender=User, dispatch_uid="accounts.domains.person_saved")
def person_saved(
    instance: User,
    created: bool,
    raw: bool,
    update_fields: frozenset[str] | None,
    **kwargs: Any,
) -> None:
    """A person may have another address now."""
    if not raw and not created and (update_fields is None or "email" in update_fields):
        follow_email(instance)


@receiver(pre_save, sender=EmailAddress, dispatch_uid="accounts.domains.address_written")
def address_written(
    instance: EmailAddress, raw: bool, update_fields: frozenset[str] | None, **kwargs: Any
) -> None:
    """allauth only lower-cases addresses; they are compared with `User.email`."""
    if not raw and (update_fields is None or "email" in update_fields):
        instance.email = normalise_email(instance.email)


@receiver(post_save, sender=EmailAddress, dispatch_uid="accounts.domains.address_saved")
def address_saved(instance: EmailAddress, created: bool, raw: bool, **kwargs: Any) -> None:
    """An address may count now, or no longer."""
    if not raw and (instance.verified or not created):
        readmit([instance.user_id])


@receiver(post_delete, sender=EmailAddress, dispatch_uid="accounts.domains.address_deleted")
def address_deleted(instance: EmailAddress, **kwargs: Any) -> None:
    """An address that counted may be gone."""
    readmit([instance.user_id])


@receiver(post_save, sender=OrganizationDomain, dispatch_uid="accounts.domains.domain_saved")
def domain_saved(instance: OrganizationDomain, raw: bool, **kwargs: Any) -> None:
    """A domain has come, or belongs to another organization; one that goes takes its members."""
    if not raw:
        admit([instance])

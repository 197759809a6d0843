"""Who people are: what they sign in with, and the attributes that decide what they may see.

Role, organizations, groups, tags, language and activation are access attributes. Their owner
never writes them: admins do, or an organization's domain does (see domains.py). Nothing here
knows about segments or content.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from .fields import (
    DomainField,
    NormalisedCharField,
    NormalisedEmailField,
    ReadableCharField,
    TriggerField,
)


def random_id() -> int:
    """A number for a public address: it tells neither order nor count, and fits JavaScript."""
    return 2**32 + secrets.randbelow(2**53 - 2**32)


def languages() -> list[tuple[str, Any]]:
    """The site's languages; a function, so that changing the setting needs no migration."""
    return list(settings.LANGUAGES)


class Role(models.TextChoices):
    """What a person is to the help center."""

    END_USER = "end_user", _("End user")
    LIGHT_AGENT = "light_agent", _("Light agent")
    AGENT = "agent", _("Agent")
    ADMIN = "admin", _("Admin")


STAFF_ROLES = frozenset({Role.LIGHT_AGENT, Role.AGENT, Role.ADMIN})


def external_id() -> models.CharField:
    """What another system calls this row; unique, and NULL for most."""
    return models.CharField(_("external id"), max_length=255, null=True, blank=True, unique=True)


class PublicId(models.Model):
    """A model whose ids appear in addresses and tell nothing."""

    id = models.BigIntegerField(_("id"), primary_key=True, default=random_id, editable=False)

    class Meta:
        abstract = True


class NamedQuerySet(models.QuerySet):
    """Keeps `key` in step with `name` where many rows are written at once."""

    def update(self, **values: Any) -> int:
        """As usual; a new name brings its key along."""
        if "name" in values and "key" not in values:
            if hasattr(values["name"], "resolve_expression"):
                raise TypeError("Only a text can become a name: its key is computed from it.")
            values["key"] = values["name"]
        return super().update(**values)

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_update(
        self, objs: Iterable[Any], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        """As usual; new names bring their keys along."""
        objs, fields = list(objs), set(fields)
        if "name" in fields:
            fields.add("key")
            for obj in objs:
                obj.key = obj.name
        return super().bulk_update(objs, fields, batch_size)

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        """As usual; an update on conflict brings the keys of new names along."""
        fields = set(options.get("update_fields") or ())
        if "name" in fields:
            options["update_fields"] = fields | {"key"}
        return super().bulk_create(objs, *args, **options)

    bulk_create.alters_data = True  # type: ignore[attr-defined]


class KeyField(NormalisedCharField):
    """What the name is compared by: always computed from it."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        setattr(model_instance, self.attname, model_instance.name)  # type: ignore[attr-defined]
        return super().pre_save(model_instance, add)


class Dated(models.Model):
    """A row that knows since when it is there and when it last changed."""

    # By the database, so that rows of raw SQL have a date too.
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    class Meta:
        abstract = True


class Named(PublicId, Dated):
    """Something people know by a name: `name` is read, `key` is unique and compared.

    `filter(key="ACME  corp")` finds "Acme Corp"; `filter(name=…)` wants its exact letters.
    """

    name = ReadableCharField(_("name"), max_length=200)
    key = KeyField(_("key"), max_length=600, unique=True, editable=False)

    objects = NamedQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["key"]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **options: Any) -> None:
        """As usual; a new name brings its key along."""
        if (fields := options.get("update_fields")) is not None and "name" in fields:
            options["update_fields"] = {*fields, "key"}
        super().save(*args, **options)

    def clean(self) -> None:
        """Refuse a name that another row has: `key` is in no form, so none would look."""
        super().clean()
        if not self.name:
            return
        others = type(self)._default_manager.exclude(pk=self.pk)
        if others.filter(key=self.name).exists():
            raise ValidationError({"name": _("This name is taken.")}, code="unique")


class Tag(PublicId):
    """A word on people and organizations; case and white space make no difference."""

    name = NormalisedCharField(_("name"), max_length=200, unique=True)

    class Meta:
        verbose_name = _("tag")
        verbose_name_plural = _("tags")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class AgentGroup(Named):
    """A team of agents."""

    description = models.TextField(_("description"), blank=True)

    class Meta(Named.Meta):
        verbose_name = _("agent group")
        verbose_name_plural = _("agent groups")


class Organization(Named):
    """A company whose people see the same things; end users inherit its tags."""

    tags = models.ManyToManyField(
        Tag, verbose_name=_("tags"), related_name="organizations", blank=True
    )
    external_id = external_id()

    class Meta(Named.Meta):
        verbose_name = _("organization")
        verbose_name_plural = _("organizations")


class DomainQuerySet(models.QuerySet):
    """Keeps memberships in step with domains where many rows are written at once."""

    @transaction.atomic
    def update(self, **values: Any) -> int:
        """As usual; the people of the old domains leave, those of the new ones come."""
        from .domains import admit

        domains = list(self.values_list("pk", flat=True))
        count = super().update(**values)
        admit(OrganizationDomain.objects.filter(pk__in=domains))
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    @transaction.atomic
    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        """As usual; the people of the domains come."""
        from .domains import admit

        created: list[Any] = super().bulk_create(objs, *args, **options)
        admit(OrganizationDomain.objects.filter(domain__in=[domain.domain for domain in created]))
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]


class OrganizationDomain(models.Model):
    """A domain whose verified addresses belong to an organization; sub-domains do not."""

    organization = models.ForeignKey(
        Organization,
        verbose_name=_("organization"),
        on_delete=models.CASCADE,
        related_name="domains",
    )
    domain = DomainField(
        _("domain"),
        max_length=253,
        unique=True,
        help_text=_(
            "Such as example.com, without sub-domains. Whoever verifies an address there becomes "
            "a member, so never a public mail provider."
        ),
    )

    objects = DomainQuerySet.as_manager()

    class Meta:
        verbose_name = _("domain")
        verbose_name_plural = _("domains")
        ordering = ["domain"]

    def __str__(self) -> str:
        return self.domain

    def save(self, *args: Any, **options: Any) -> None:
        """As usual, with the memberships it gives and takes (domains.py) in one transaction."""
        with transaction.atomic(using=options.get("using"), savepoint=False):
            super().save(*args, **options)


class PersonQuerySet(models.QuerySet):
    """Keeps addresses and memberships in step where many people are written at once."""

    @transaction.atomic(savepoint=False)
    def update(self, **values: Any) -> int:
        """As usual; whoever gets a new address must verify it."""
        if "email" not in values:
            return super().update(**values)
        from .domains import follow_email

        people = list(self.values_list("pk", flat=True))
        count = super().update(**values)
        for person in User.objects.filter(pk__in=people):
            follow_email(person)
        return count

    update.alters_data = True  # type: ignore[attr-defined]


class UserManager(BaseUserManager.from_queryset(PersonQuerySet)):  # type: ignore[misc]
    """Makes people, and finds them by address."""

    use_in_migrations = False

    @transaction.atomic
    def create_user(
        self, email: str, password: str | None = None, *, verified: bool = False, **fields: Any
    ) -> User:
        """A new person who may sign in, after verifying the address unless it is `verified`."""
        user = self.model(email=email, **fields)
        user.set_password(password)
        user.save(using=self._db)
        user.emailaddress_set.create(email=user.email, primary=True, verified=verified)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """A new admin.

        The address counts as verified: who runs this command has the server, and without mail set
        up the first admin could otherwise never sign in.
        """
        return self.create_user(email, password, verified=True, **{"role": Role.ADMIN, **fields})

    def get_by_natural_key(self, email: str | None) -> User:
        """The person with this address; the field normalises what was typed."""
        return self.get(email=email)


class User(PublicId, AbstractBaseUser):
    """A person: someone who can sign in.

    There is no PermissionsMixin: the role decides what staff may do, and agent groups are not
    Django's permission groups.
    """

    email = NormalisedEmailField(
        _("email address"),
        max_length=254,
        unique=True,
        error_messages={"unique": _("Someone with this address exists.")},
    )
    name = models.CharField(_("name"), max_length=150, blank=True)
    role = models.CharField(
        _("role"),
        max_length=20,
        choices=Role,
        default=Role.END_USER,
    )
    organizations = models.ManyToManyField(
        Organization,
        verbose_name=_("organizations"),
        through="OrganizationMembership",
        related_name="people",
        blank=True,
    )
    agent_groups = models.ManyToManyField(
        AgentGroup, verbose_name=_("agent groups"), related_name="agents", blank=True
    )
    tags = models.ManyToManyField(Tag, verbose_name=_("tags"), related_name="people", blank=True)
    # NULL, because "no language" is a case of its own in the rule; never the empty text.
    language = models.CharField(  # noqa: DJ001
        _("language"), max_length=20, choices=languages, null=True, blank=True, default=None
    )
    is_active = models.BooleanField(
        _("active"),
        default=True,
        help_text=_("Inactive people cannot sign in and count as anonymous visitors."),
    )
    # Grows with each change of role and activation, so that no session outlives one; whoever
    # installs this app sees to it that it does (here helpcenter.revocation).
    sign_in_version = TriggerField(default=0, db_default=0, editable=False)
    external_id = external_id()
    date_joined = models.DateTimeField(_("date joined"), default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True, db_default=Now())

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []

    objects = UserManager()
    emailaddress_set: Any  # allauth's addresses

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        constraints = [
            models.CheckConstraint(
                name="accounts_user_role_is_known",
                condition=models.Q(role__in=["end_user", "light_agent", "agent", "admin"]),
            ),
            models.CheckConstraint(
                name="accounts_user_language_is_not_empty", condition=~models.Q(language="")
            ),
        ]
        # Staff are few: many questions about a segment leave them out or want them alone.
        indexes = [models.Index(fields=["role"], name="accounts_user_role")]

    def __str__(self) -> str:
        return self.name or self.email

    def save(self, *args: Any, **options: Any) -> None:
        """As usual, with what follows from a new address (domains.py) in one transaction."""
        with transaction.atomic(using=options.get("using"), savepoint=False):
            super().save(*args, **options)

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What a session must still know of its person: Django ends it when this differs.

        The password's part is Django's own. A role or an activation that comes back must not bring
        back the sessions of its first time, so their part is a number that only grows.
        """
        known = f"{self.sign_in_version} {self.password}"
        salt = "accounts.models.User.session"
        return salted_hmac(salt, known, secret=secret, algorithm="sha256").hexdigest()

    @property
    def is_staff(self) -> bool:
        """Whether this person works here and may enter the admin site."""
        return self.is_active and self.role in STAFF_ROLES

    @property
    def is_superuser(self) -> bool:
        """Whether this person is an admin, who may do everything."""
        return self.is_active and self.role == Role.ADMIN

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Whether the role alone allows it; other staff are judged by each ModelAdmin."""
        return self.is_superuser

    def has_perms(self, perm_list: Iterable[str], obj: Any = None) -> bool:
        """Whether the role alone allows all of them."""
        return self.is_superuser

    def has_module_perms(self, app_label: str) -> bool:
        """Whether the role alone opens an app in the admin site."""
        return self.is_superuser

    def get_full_name(self) -> str:
        """The name, or the address of someone without one."""
        return str(self)

    def get_short_name(self) -> str:
        """The same: names have no reliable first part."""
        return str(self)

    def has_verified_email(self) -> bool:
        """Whether the present address is the verified primary one, which a domain may admit."""
        return self.emailaddress_set.filter(email=self.email, primary=True, verified=True).exists()

    @transaction.atomic
    def verify_email(self) -> None:
        """Make the present address the verified primary one, on the word of whoever calls this."""
        self.emailaddress_set.exclude(email=self.email).delete()
        self.emailaddress_set.update_or_create(
            email=self.email, defaults={"primary": True, "verified": True}
        )


class OrganizationMembership(Dated):
    """That a person belongs to an organization, and why.

    A manual membership ends when someone removes it, one by domain with the address or domain.
    """

    class Source(models.TextChoices):
        """Why someone is a member."""

        MANUAL = "manual", _("Added by hand")
        DOMAIN = "domain", _("By e-mail domain")

    user = models.ForeignKey(
        User, verbose_name=_("person"), on_delete=models.CASCADE, related_name="memberships"
    )
    organization = models.ForeignKey(
        Organization,
        verbose_name=_("organization"),
        on_delete=models.CASCADE,
        related_name="memberships",
    )
    is_default = models.BooleanField(_("default"), default=False)
    source = models.CharField(
        _("source"), max_length=10, choices=Source, default=Source.MANUAL, editable=False
    )
    # Not only for reading: with it the database refuses that a domain goes while, in another
    # transaction, someone becomes a member by it.
    domain = models.ForeignKey(
        OrganizationDomain,
        verbose_name=_("domain"),
        on_delete=models.CASCADE,
        related_name="memberships",
        null=True,
        blank=True,
        editable=False,
    )

    class Meta:
        verbose_name = _("membership")
        verbose_name_plural = _("memberships")
        constraints = [
            models.UniqueConstraint(
                fields=["user", "organization"],
                name="accounts_membership_once",
                violation_error_message=_("This person is a member already."),
            ),
            models.UniqueConstraint(
                fields=["user"],
                condition=models.Q(is_default=True),
                name="accounts_membership_one_default",
                violation_error_message=_("Another organization is this person's default."),
            ),
            models.CheckConstraint(
                name="accounts_membership_source",
                condition=models.Q(source="manual", domain=None)
                | models.Q(source="domain", domain__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} – {self.organization}"

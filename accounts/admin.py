"""Django's admin for people. Only admins come here: `User.has_perm` is false for everybody else."""

from __future__ import annotations

from typing import Any

# Imported for what they register, which is taken out below.
from allauth.account import admin as allauth_admin  # noqa: F401
from allauth.account.models import EmailAddress
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, ProtectedError, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from .domains import addresses_that_count
from .finding import people_called
from .models import (
    AgentGroup,
    Organization,
    OrganizationDomain,
    OrganizationMembership,
    Tag,
    User,
)

# Roles take the place of Django's groups; addresses are changed with the person they belong to,
# so that `User.email` and the primary address stay the same.
admin.site.unregister([Group, EmailAddress])


class ShowsRefusals(admin.ModelAdmin):
    """Says why something is protected from deletion or renaming, instead of failing."""

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As usual, or back with a message."""
        return self._or_refusal(request, super().changeform_view, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As usual, or back with a message."""
        return self._or_refusal(request, super().delete_view, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As usual, or back with a message."""
        return self._or_refusal(request, super().changelist_view, *args, **kwargs)

    def _or_refusal(
        self, request: HttpRequest, view: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            # A refused deletion leaves the transaction of the request unusable without this one.
            with transaction.atomic():
                return view(request, *args, **kwargs)
        except ProtectedError as error:
            messages.error(request, error.args[0])
            return HttpResponseRedirect(request.get_full_path())


class PersonCreationForm(AdminUserCreationForm):
    """A new person, with a password or without one."""

    class Meta:
        model = User
        fields = ("email", "name", "role")
        field_classes: dict[str, Any] = {}


class PersonChangeForm(UserChangeForm):
    """A person, whose password can be replaced but not seen."""

    class Meta:
        model = User
        fields = "__all__"
        field_classes: dict[str, Any] = {}


class MembershipInline(admin.TabularInline):
    """The memberships by hand of a person."""

    model = OrganizationMembership
    fields = ("organization", "is_default")
    autocomplete_fields = ("organization",)
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrganizationMembership]:
        """Those that the address does not give."""
        memberships = super().get_queryset(request).select_related("organization")
        return memberships.filter(source=OrganizationMembership.Source.MANUAL)


class DomainMembershipInline(admin.TabularInline):
    """The memberships that the address of a person gives: they end with it, not here."""

    model = OrganizationMembership
    verbose_name_plural = _("memberships by e-mail domain")
    fields = ("organization", "domain", "is_default")
    readonly_fields = ("organization", "domain")
    can_delete = False
    extra = max_num = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrganizationMembership]:
        """Those that the address gives."""
        memberships = super().get_queryset(request).select_related("organization", "domain")
        return memberships.filter(source=OrganizationMembership.Source.DOMAIN)


@admin.register(User)
class PersonAdmin(ShowsRefusals, UserAdmin):
    """People and their access attributes."""

    form = PersonChangeForm
    add_form = PersonCreationForm
    add_form_template = None
    fieldsets = (
        (None, {"fields": ("email", "email_is_verified", "name", "password")}),
        (_("Access"), {"fields": ("role", "is_active", "language", "agent_groups", "tags")}),
        (_("Dates"), {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {"fields": ("email", "name", "role", "usable_password", "password1", "password2")},
        ),
    )
    readonly_fields = ("email_is_verified", "last_login", "date_joined")
    autocomplete_fields = ("agent_groups", "tags")
    filter_horizontal = ()
    inlines = (MembershipInline, DomainMembershipInline)
    list_display = ("email", "name", "role", "is_active", "email_is_verified")
    list_filter = ("role", "is_active")
    search_fields = ("email", "name")
    ordering = ("email",)
    actions = ("verify_email",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """People, with whether their address is verified."""
        verified = addresses_that_count().filter(user=OuterRef("pk"))
        return super().get_queryset(request).annotate(email_is_verified=Exists(verified))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        """People found by the beginnings of words, which an index knows; none of them twice."""
        return people_called(queryset, search_term), False

    def get_inlines(self, request: HttpRequest, obj: User | None) -> Any:
        """None for a new person, who is saved first, as with Django's own users."""
        return self.inlines if obj else ()

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """A new person has an address to verify from the beginning."""
        super().save_model(request, obj, form, change)
        if not change:
            EmailAddress.objects.create(user=obj, email=obj.email, primary=True)

    @admin.display(description=_("verified"), boolean=True, ordering="email_is_verified")
    def email_is_verified(self, person: Any) -> bool:
        """Whether the address is the verified primary one."""
        return getattr(person, "email_is_verified", False)

    @admin.action(description=_("Mark the addresses as verified"), permissions=["change"])
    def verify_email(self, request: HttpRequest, people: QuerySet[User]) -> None:
        """Trust that the addresses belong to these people; domains may admit them then."""
        self.verify_all(request, people)
        self.message_user(
            request,
            ngettext(
                "%(count)d address is verified now.",
                "%(count)d addresses are verified now.",
                len(people),
            )
            % {"count": len(people)},
        )

    def verify_all(self, request: HttpRequest, people: QuerySet[User]) -> None:
        """Store it for all of them."""
        for person in people:
            person.verify_email()


class DomainInline(admin.TabularInline):
    """The e-mail domains of an organization."""

    model = OrganizationDomain
    extra = 0


@admin.register(Organization)
class OrganizationAdmin(ShowsRefusals):
    """Organizations, their tags and domains."""

    fields = ("name", "tags")
    autocomplete_fields = ("tags",)
    inlines = (DomainInline,)
    list_display = ("name", "people_count")
    search_fields = ("name", "domains__domain")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Organization]:
        """Organizations, with the number of their people."""
        return super().get_queryset(request).annotate(people_count=Count("people", distinct=True))

    @admin.display(description=_("people"), ordering="people_count")
    def people_count(self, organization: Any) -> int:
        """How many people belong to it."""
        return organization.people_count


@admin.register(AgentGroup)
class AgentGroupAdmin(ShowsRefusals):
    """Teams of agents."""

    search_fields = ("name",)


@admin.register(Tag)
class TagAdmin(ShowsRefusals):
    """Tags of people and organizations."""

    search_fields = ("name",)

"""Content in Django's admin. Staff see and change there what their management permissions allow."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import label_for_field
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from accounts import admin as people
from accounts.domains import addresses_that_count
from accounts.models import AgentGroup, Organization, Tag, User
from segments.admin import (
    AsksFirst,
    AudienceFilter,
    AudiencePicker,
    ConcernsMany,
    PersonAccess,
    RefusesGracefully,
    RestrictedAdmin,
    SeenByFilter,
)
from segments.effects import Move
from segments.phrases import all_of, counted, joined, labelled, separated
from segments.querysets import Among
from segments.ruleset import viewer_for

from . import permissions, querysets
from .models import (
    ArchivedArticle,
    Article,
    ArticleTranslation,
    Attachment,
    Category,
    CategoryTranslation,
    HelpCenter,
    Label,
    PermissionGroup,
    Section,
    SectionTranslation,
    Viewing,
)
from .querysets import TranslatedQuerySet


def _titled(name: str) -> Prefetch[Any]:
    """The related objects with their titles, which would be a query for each otherwise.

    The base managers: a shelf is named only beside what is in it and may be edited.
    """
    model = {"category": Category, "section": Section, "parent": Section}[name]
    return Prefetch(name, TranslatedQuerySet(model).titled())


admin.site.site_header = admin.site.site_title = _("Help center administration")


class ContentAdmin(RestrictedAdmin):
    """Things whose names are translations."""

    list_select_related = ["audience"]
    search_fields = ["translations__title"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """What the viewer may see, with its titles and audiences."""
        return super().get_queryset(request).titled().prefetch_related("audience__segments")

    def _limit(self, db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> None:
        super()._limit(db_field, request, kwargs)
        if hasattr(kwargs.get("queryset"), "titled"):
            kwargs["queryset"] = kwargs["queryset"].titled()


class TranslationInline(admin.StackedInline):
    """Names and descriptions of a shelf."""

    extra = 0
    min_num = 1
    fields = ["locale", "title", "body"]


class CategoryTranslationInline(TranslationInline):
    model = CategoryTranslation


class SectionTranslationInline(TranslationInline):
    model = SectionTranslation


@admin.register(HelpCenter)
class HelpCenterAdmin(RestrictedAdmin):
    list_display = ["name", "default_locale", "audience"]
    list_filter = [AudienceFilter]


@admin.register(Category)
class CategoryAdmin(ContentAdmin):
    list_display = ["__str__", "position", "audience"]
    list_filter = [AudienceFilter, SeenByFilter]
    inlines = [CategoryTranslationInline]


@admin.register(Section)
class SectionAdmin(ContentAdmin):
    list_display = ["__str__", "category", "parent", "position", "audience"]
    list_filter = [AudienceFilter, SeenByFilter, "category"]
    inlines = [SectionTranslationInline]

    def get_queryset(self, request: HttpRequest) -> Any:
        """What the viewer may see, with the titles of what is around it."""
        return (
            super().get_queryset(request).prefetch_related(_titled("category"), _titled("parent"))
        )

    def goes_along(self, obj: Section) -> Move:
        """Into another category a section takes along what is inside it."""
        inside: set[int] = set()
        level = {obj.pk}
        while level:
            # The base manager: hidden sections go along, too.
            below = Section._base_manager.filter(parent__in=level).values_list("pk", flat=True)
            level = set(below) - inside
            inside |= level
        return Move(model=Section, pks=frozenset(inside), into={"category_id": obj.category_id})


@admin.register(PermissionGroup)
class PermissionGroupAdmin(RefusesGracefully, AudiencePicker):
    list_display = ["name", "edit", "publish"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (obj and obj.built_in) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not (obj and obj.built_in) and super().has_delete_permission(request, obj)


@admin.register(Label)
class LabelAdmin(admin.ModelAdmin):
    search_fields = ["name"]


def _may_publish(request: HttpRequest, article: Article | None) -> bool:
    """Publish this article, or, when it is a new one, any article at all."""
    if article is None:
        return permissions.may_manage(request.user)
    return permissions.may_publish(request.user, article)


class InCare:
    """Inlines of an article: whoever may edit the article may edit them."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or permissions.may_edit(request.user, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or permissions.may_edit(request.user, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None or permissions.may_edit(request.user, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and permissions.may_publish(request.user, obj)


class ArticleTranslationInline(InCare, admin.StackedInline):
    model = ArticleTranslation
    extra = 0
    min_num = 1
    fields = ["locale", "title", "format", "body", "draft"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Without the right to publish, drafts stay drafts and published words stay published."""
        return [] if _may_publish(request, obj) else ["draft"]


class AttachmentInline(InCare, admin.TabularInline):
    model = Attachment
    extra = 0
    fields = ["file", "inline"]


@admin.register(Article)
class ArticleAdmin(ContentAdmin):
    """Articles in the care of the staff member; see permissions.py."""

    list_display = ["__str__", "section", "published", "promoted", "updated_at"]
    list_filter = ["published", "promoted", AudienceFilter, SeenByFilter, "section"]
    inlines = [ArticleTranslationInline, AttachmentInline]
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> Any:
        """The articles this staff member may edit."""
        rows = permissions.editable_articles(request.user).order_by("position", "id")
        return rows.titled().prefetch_related(_titled("section"), "audience__segments")

    def get_list_display(self, request: HttpRequest) -> Any:
        """Admins see in the list who sees what; others may not know it of every article."""
        columns = ["audience"] if permissions.may_manage(request.user) else []
        return [*self.list_display[:2], *columns, *self.list_display[2:]]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """What only publishers change. The care itself is handed over by admins."""
        if obj is None or permissions.may_manage(request.user):
            return []
        if _may_publish(request, obj):
            return ["permission_group"]
        return ["permission_group", "section", "promoted", "position"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without the right to publish, the audience is not shown: its names are content."""
        fields = ["section", "permission_group", "audience", "labels", "promoted", "position"]
        return fields if _may_publish(request, obj) else [f for f in fields if f != "audience"]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """New articles go into a permission group of one's own."""
        if db_field.name == "permission_group":
            kwargs["queryset"] = permissions.permission_groups_for(request.user)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def whose_audience_may_change(self, request: HttpRequest, rows: Any) -> Any:
        """Articles that this staff member may publish."""
        if permissions.may_manage(request.user):
            return rows
        groups = querysets.permission_groups(viewer_for(request.user), "default", to_publish=True)
        return rows.filter(permission_group__in=groups)

    def may_see_audience(self, request: HttpRequest, thing: Any) -> bool:
        """Admins, and whoever may publish the article."""
        return permissions.may_publish(request.user, thing)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Staff who may edit something find articles in the menu."""
        return self.has_add_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_authenticated and permissions.may_add_articles(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_change_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return self.has_add_permission(request)
        return permissions.may_edit(request.user, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return self.has_add_permission(request)
        return permissions.may_publish(request.user, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Nothing that this staff member may not delete goes in a bulk action either."""
        refused = [o for o in objs if not permissions.may_publish(request.user, o)]
        listed, counts, _missing, protected = super().get_deleted_objects(objs, request)
        # Translations, attachments and label links go with their article, and need no more rights.
        missing = {Article._meta.verbose_name} if refused else set()
        return listed, counts, missing, protected

    def save_model(self, request: HttpRequest, obj: Article, form: Any, change: bool) -> None:
        """Store; the author of a new article is whoever creates it."""
        if not change:
            obj.author_id = request.user.pk
        super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Store the translations and attachments with who wrote them and what they are."""
        rows = formset.save(commit=False)
        for row in formset.deleted_objects:
            row.delete()
        for row in rows:
            if isinstance(row, ArticleTranslation):
                row.updated_by_id = request.user.pk
                row.created_by_id = row.created_by_id or request.user.pk
            row.save()
        formset.save_m2m()


@admin.register(ArchivedArticle)
class ArchivedArticleAdmin(admin.ModelAdmin):
    """What was archived: for admins, to restore or to delete for good."""

    who_sees = "admins"
    list_display = ["__str__", "archived_at"]
    search_fields = ["translations__title"]
    actions = ["restore"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Every archived article. The base manager: admins see all, and only they come here."""
        rows = TranslatedQuerySet(ArchivedArticle).exclude(archived_at=None)
        return rows.titled().order_by("-archived_at", "id")

    @admin.action(description=_("Restore as drafts for nobody"))
    def restore(self, request: HttpRequest, queryset: Any) -> None:
        """Bring the chosen articles back, so that nobody sees them before somebody says who."""
        for article in queryset:
            article.restore()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # The list has actions for those who may change; the form has nothing to change.
        return obj is None and super().has_change_permission(request)


def _extended(model: Any, by: type[admin.ModelAdmin], plain: type[admin.ModelAdmin]) -> None:
    """The apps of these models cannot know of segments, so what segments add is added here."""
    admin.site.unregister(model)
    admin.site.register(model, type(plain.__name__, (by, plain), {}))


class OrganizationTools(RefusesGracefully, ConcernsMany):
    """An organization gives its people tags, and its domains give it people."""

    def people_of(self, pks: list[Any]) -> Any:
        """Whoever belongs to one of them."""
        members = Organization.people.through._base_manager.filter(Among("organization", pks))
        return User._base_manager.filter(pk__in=members.values("user"))

    def people_to_come(self, request: HttpRequest) -> Any:
        """Whoever has an address at one of the domains that are typed."""
        found = addresses_that_count().none()
        for name, domain in request.POST.items():
            if name.startswith("domains-") and name.endswith("-domain") and domain:
                suffix = f"@{str(domain).strip().lower()}"
                found |= addresses_that_count().filter(email__endswith=suffix)
        return User._base_manager.filter(pk__in=found.values("user"))

    def in_words(self, pks: list[Any]) -> str:
        """The tags and the domains of one; how many there are of several."""
        rows = Organization._base_manager.filter(Among("pk", pks))
        if len(pks) > 1:
            return counted(rows.count(), self.opts.verbose_name_plural)
        parts: list[Any] = []
        for one in rows:
            parts.append(one)
            for given in (one.tags.all(), one.domains.all()):
                parts.append(labelled(given.model._meta.verbose_name_plural, joined(given) or "–"))
        return separated(parts)


# Conditions name these, and what they name is not deleted.
_extended(Organization, OrganizationTools, people.OrganizationAdmin)
_extended(Tag, RefusesGracefully, people.TagAdmin)
_extended(AgentGroup, RefusesGracefully, people.AgentGroupAdmin)


class PersonTools(PersonAccess, AsksFirst):
    """What a person can see, as a list and with their eyes; whom many addresses let see what."""

    def people_of(self, pks: list[Any]) -> Any:
        """These people themselves."""
        return User._base_manager.filter(Among("pk", pks))

    def in_words(self, pks: list[Any]) -> str:
        """Whose addresses are verified."""
        verified = addresses_that_count().filter(Among("user", pks)).select_related("user")
        names = all_of((each.user for each in verified.order_by("user__email")), at_most=10)
        return labelled(label_for_field("email_is_verified", User, self), names or "–")

    def tools(self, thing: Any) -> list[tuple[str, str]]:
        """The links on the form of the person."""
        address = f"{reverse('view_as')}?{urlencode({'person': thing.email})}"
        return [*super().tools(thing), (address, str(_("View as this person")))]

    def verify_all(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        """What an address makes of somebody is asked for all of them at once."""
        with self.asking(request, rows):
            super().verify_all(request, rows)  # type: ignore[misc]


_extended(User, PersonTools, people.PersonAdmin)


@admin.register(Viewing)
class ViewingAdmin(admin.ModelAdmin):
    """Who saw the help center as whom: to be read by admins, and by nobody changed."""

    list_display = ["by", "person", "profile", "started_at", "ended_at"]
    list_select_related = ["by", "person"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

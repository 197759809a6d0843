"""The addresses of the API. Every one also ends in `.json`; content also has `/{locale}` in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, path, register_converter

from . import (
    access,
    articles,
    attachments,
    comments,
    groups,
    labels,
    organizations,
    people,
    permission_groups,
    searching,
    sessions,
    shelves,
    subscriptions,
    translations,
    user_segments,
    votes,
)


class LocaleInPath:
    """A locale such as `en-us`; whether it is enabled is asked later."""

    regex = "[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(LocaleInPath, "locale")
app_name = "api"


def addresses(
    route: str, view: Any, name: str, localized: bool = False, **actions: str
) -> Iterator[URLPattern]:
    """The route, the same with `.json`, and both with a locale where Zendesk has one."""
    found = view.as_view(actions)
    yield path(route, found, name=name)
    yield path(f"{route}.json", found, name=f"{name}.json")
    if localized:
        route = route.replace("help_center/", "help_center/<locale:locale>/", 1)
        yield path(route, found, name=f"{name}-locale")
        yield path(f"{route}.json", found, name=f"{name}-locale.json")


CRUD: Any = {"get": "retrieve", "put": "update", "delete": "destroy"}
TAGS: Any = {"get": "retrieve", "post": "replace", "put": "add", "delete": "remove"}

urlpatterns = [
    *addresses("help_center/articles/labels", labels.LabelEndpoint, "labels", get="list"),
    *addresses(
        "help_center/articles/labels/<id:pk>",
        labels.LabelEndpoint,
        "label",
        get="retrieve",
        delete="destroy",
    ),
    *addresses(
        "help_center/articles/<id:article>/labels",
        labels.ArticleLabelEndpoint,
        "article-labels",
        localized=True,
        get="list",
        post="create",
    ),
    *addresses(
        "help_center/articles/<id:article>/labels/<id:pk>",
        labels.ArticleLabelEndpoint,
        "article-label",
        localized=True,
        delete="destroy",
    ),
    *addresses("help_center/locales", labels.LocalesEndpoint, "locales", get="retrieve"),
    *addresses(
        "help_center/articles", articles.ArticleEndpoint, "articles", localized=True, get="list"
    ),
    *addresses(
        "help_center/articles/<id:pk>",
        articles.ArticleEndpoint,
        "article",
        localized=True,
        **CRUD,
    ),
    *addresses(
        "help_center/categories/<id:category>/articles",
        articles.CategoryArticlesEndpoint,
        "category-articles",
        localized=True,
        get="list",
    ),
    *addresses(
        "help_center/sections/<id:section>/articles",
        articles.SectionArticlesEndpoint,
        "section-articles",
        localized=True,
        get="list",
        post="create",
    ),
    *addresses(
        "help_center/users/<id:user>/articles",
        articles.AuthorArticlesEndpoint,
        "user-articles",
        localized=True,
        get="list",
    ),
    *addresses(
        "help_center/incremental/articles",
        articles.IncrementalArticlesEndpoint,
        "incremental-articles",
        localized=True,
        get="list",
    ),
    *addresses(
        "help_center/categories",
        shelves.CategoryEndpoint,
        "categories",
        localized=True,
        get="list",
        post="create",
    ),
    *addresses(
        "help_center/categories/<id:pk>",
        shelves.CategoryEndpoint,
        "category",
        localized=True,
        **CRUD,
    ),
    *addresses(
        "help_center/categories/<id:category>/sections",
        shelves.CategorySectionsEndpoint,
        "category-sections",
        localized=True,
        get="list",
        post="create",
    ),
    *addresses(
        "help_center/sections", shelves.SectionEndpoint, "sections", localized=True, get="list"
    ),
    *addresses(
        "help_center/sections/<id:pk>",
        shelves.SectionEndpoint,
        "section",
        localized=True,
        **CRUD,
    ),
    *addresses(
        "help_center/sections/<id:section>/sections",
        shelves.SubsectionsEndpoint,
        "section-sections",
        localized=True,
        get="list",
    ),
    *(
        each
        for kind, view in {
            "articles": translations.ArticleTranslationEndpoint,
            "sections": translations.SectionTranslationEndpoint,
            "categories": translations.CategoryTranslationEndpoint,
        }.items()
        for each in (
            *addresses(
                f"help_center/{kind}/<id:source>/translations",
                view,
                f"{kind}-translations",
                localized=True,
                get="list",
                post="create",
            ),
            *addresses(
                f"help_center/{kind}/<id:source>/translations/missing",
                view,
                f"{kind}-translations-missing",
                localized=True,
                get="missing",
            ),
            *addresses(
                f"help_center/{kind}/<id:source>/translations/<locale:translation>",
                view,
                f"{kind}-translation",
                localized=True,
                get="retrieve",
                put="update",
            ),
            *addresses(
                f"help_center/{kind}/<id:source>/source_locale",
                view,
                f"{kind}-source-locale",
                localized=True,
                put="set_source_locale",
            ),
        )
    ),
    *addresses(
        "help_center/translations/<id:pk>",
        translations.AnyTranslationEndpoint,
        "translation",
        delete="destroy",
    ),
    *addresses(
        "help_center/articles/search",
        searching.SearchEndpoint,
        "search",
        localized=True,
        get="list",
    ),
    *addresses(
        "help_center/articles/attachments",
        attachments.AttachmentEndpoint,
        "attachments",
        localized=True,
        post="create",
    ),
    *addresses(
        "help_center/articles/attachments/<id:pk>",
        attachments.AttachmentEndpoint,
        "attachment",
        localized=True,
        get="retrieve",
        delete="destroy",
    ),
    *addresses(
        "help_center/articles/<id:article>/attachments",
        attachments.ArticleAttachmentEndpoint,
        "article-attachments",
        localized=True,
        get="list",
        post="create",
    ),
    *(
        each
        for name in ("inline", "block")
        for each in addresses(
            f"help_center/articles/<id:article>/attachments/{name}",
            attachments.ArticleAttachmentEndpoint,
            f"article-attachments-{name}",
            localized=True,
            get=name,
        )
    ),
    *addresses(
        "help_center/articles/<id:article>/attachments/<id:pk>",
        attachments.ArticleAttachmentEndpoint,
        "article-attachment",
        localized=True,
        get="retrieve",
    ),
    *addresses(
        "help_center/articles/<id:article>/bulk_attachments",
        attachments.BulkAttachmentEndpoint,
        "article-bulk-attachments",
        localized=True,
        post="associate",
    ),
    *addresses(
        "help_center/articles/<id:article>/comments",
        comments.ArticleCommentEndpoint,
        "article-comments",
        localized=True,
        get="list",
        post="create",
    ),
    *addresses(
        "help_center/articles/<id:article>/comments/<id:pk>",
        comments.ArticleCommentEndpoint,
        "article-comment",
        localized=True,
        **CRUD,
    ),
    *addresses(
        "help_center/users/<id:user>/comments",
        comments.AuthorCommentEndpoint,
        "user-comments",
        get="list",
    ),
    *(
        each
        for item, name in {
            "help_center/articles/<id:article>": "article",
            "help_center/articles/<id:article>/comments/<id:comment>": "comment",
        }.items()
        for each in (
            *addresses(f"{item}/votes", votes.ItemVoteEndpoint, f"{name}-votes", True, get="list"),
            *addresses(f"{item}/up", votes.ItemVoteEndpoint, f"{name}-up", True, post="up"),
            *addresses(f"{item}/down", votes.ItemVoteEndpoint, f"{name}-down", True, post="down"),
        )
    ),
    *addresses(
        "help_center/votes/<id:pk>",
        votes.VoteEndpoint,
        "vote",
        get="retrieve",
        delete="destroy",
    ),
    *addresses("help_center/users/<id:user>/votes", votes.VoterEndpoint, "user-votes", get="list"),
    *(
        each
        for kind, view in {
            "articles": subscriptions.ArticleSubscriptionEndpoint,
            "sections": subscriptions.SectionSubscriptionEndpoint,
        }.items()
        for each in (
            *addresses(
                f"help_center/{kind}/<id:content>/subscriptions",
                view,
                f"{kind}-subscriptions",
                localized=True,
                get="list",
                post="create",
            ),
            *addresses(
                f"help_center/{kind}/<id:content>/subscriptions/<id:pk>",
                view,
                f"{kind}-subscription",
                localized=True,
                **CRUD,
            ),
        )
    ),
    *addresses(
        "help_center/users/<id:user>/subscriptions",
        subscriptions.UserSubscriptionEndpoint,
        "user-subscriptions",
        get="list",
    ),
    *addresses(
        "help_center/users/<id:user>/user_subscriptions",
        subscriptions.UserFollowEndpoint,
        "user-user-subscriptions",
        get="list",
    ),
    *(
        each
        for name, view in {
            "comments": comments.AuthorCommentEndpoint,
            "votes": votes.VoterEndpoint,
            "subscriptions": subscriptions.UserSubscriptionEndpoint,
            "user_subscriptions": subscriptions.UserFollowEndpoint,
        }.items()
        for each in addresses(
            f"help_center/users/me/{name}", view, f"my-{name.replace('_', '-')}", get="list"
        )
    ),
    *addresses("help_center/sessions", sessions.SessionEndpoint, "sessions", get="retrieve"),
    # Who may see what
    *addresses(
        "help_center/user_segments",
        user_segments.SegmentEndpoint,
        "user-segments",
        get="list",
        post="create",
    ),
    *addresses(
        "help_center/user_segments/applicable",
        user_segments.SegmentEndpoint,
        "user-segments-applicable",
        get="applicable",
    ),
    *addresses(
        "help_center/user_segments/impact",
        user_segments.SegmentEndpoint,
        "user-segments-impact",
        post="impact",
    ),
    *addresses(
        "help_center/user_segments/<id:pk>",
        user_segments.SegmentEndpoint,
        "user-segment",
        **CRUD,
    ),
    *addresses(
        "help_center/user_segments/<id:pk>/impact",
        user_segments.SegmentEndpoint,
        "user-segment-impact",
        post="impact",
    ),
    *(
        each
        for name, view in {
            "sections": user_segments.SegmentSectionsEndpoint,
            "articles": user_segments.SegmentArticlesEndpoint,
            "users": user_segments.SegmentUsersEndpoint,
        }.items()
        for each in addresses(
            f"help_center/user_segments/<id:segment>/{name}",
            view,
            f"user-segment-{name}",
            get="list",
        )
    ),
    *addresses(
        "help_center/user_segments/<id:segment>/topics",
        user_segments.SegmentTopicsEndpoint,
        "user-segment-topics",
        get="topics",
    ),
    *addresses(
        "help_center/users/<id:user>/user_segments",
        user_segments.UserSegmentsOfUserEndpoint,
        "user-user-segments",
        get="list",
    ),
    *addresses(
        "help_center/users/me/user_segments",
        user_segments.UserSegmentsOfUserEndpoint,
        "my-user-segments",
        get="list",
    ),
    *addresses(
        "guide/permission_groups",
        permission_groups.PermissionGroupEndpoint,
        "permission-groups",
        get="list",
        post="create",
    ),
    *addresses(
        "guide/permission_groups/<id:pk>",
        permission_groups.PermissionGroupEndpoint,
        "permission-group",
        **CRUD,
    ),
    *(
        each
        for kind, view in {
            "articles": access.ArticleAudienceEndpoint,
            "sections": access.SectionAudienceEndpoint,
            "categories": access.CategoryAudienceEndpoint,
        }.items()
        for each in addresses(
            f"help_center/{kind}/<id:content>/audience", view, f"{kind}-audience", get="list"
        )
    ),
    *addresses(
        "users/<id:user>/articles_visible",
        access.VisibleArticlesEndpoint,
        "user-articles-visible",
        get="list",
    ),
    *addresses("access/explain", access.ExplainEndpoint, "access-explain", post="explain"),
    # People
    *addresses("users", people.UserEndpoint, "users", get="list", post="create"),
    *addresses("users/me", people.UserEndpoint, "users-me", get="me"),
    *addresses(
        "users/create_or_update",
        people.UserEndpoint,
        "users-create-or-update",
        post="create_or_update",
    ),
    *addresses("users/show_many", people.UserEndpoint, "users-show-many", get="show_many"),
    *addresses("users/search", people.UserEndpoint, "users-search", get="search"),
    *addresses("users/autocomplete", people.UserEndpoint, "users-autocomplete", get="autocomplete"),
    *addresses("users/count", people.UserEndpoint, "users-count", get="count"),
    *addresses("users/<id:pk>", people.UserEndpoint, "user", **CRUD),
    *addresses("users/<id:pk>/tags", people.UserTagsEndpoint, "user-tags", **TAGS),
    *addresses(
        "users/<id:user>/organizations",
        organizations.UserOrganizationsEndpoint,
        "user-organizations",
        get="list",
    ),
    *addresses(
        "users/<id:user>/organization_memberships",
        organizations.MembershipEndpoint,
        "user-organization-memberships",
        get="list",
    ),
    *addresses(
        "users/<id:user>/organization_memberships/<id:pk>/make_default",
        organizations.MembershipEndpoint,
        "user-organization-membership-make-default",
        put="make_default",
    ),
    *addresses("users/<id:user>/groups", groups.UserGroupsEndpoint, "user-groups", get="list"),
    *addresses(
        "users/<id:user>/group_memberships",
        groups.GroupMembershipEndpoint,
        "user-group-memberships",
        get="list",
    ),
    *addresses(
        "organizations",
        organizations.OrganizationEndpoint,
        "organizations",
        get="list",
        post="create",
    ),
    *addresses(
        "organizations/create_or_update",
        organizations.OrganizationEndpoint,
        "organizations-create-or-update",
        post="create_or_update",
    ),
    *(
        each
        for name in ("show_many", "search", "autocomplete", "count")
        for each in addresses(
            f"organizations/{name}",
            organizations.OrganizationEndpoint,
            f"organizations-{name.replace('_', '-')}",
            get=name,
        )
    ),
    *addresses("organizations/<id:pk>", organizations.OrganizationEndpoint, "organization", **CRUD),
    *addresses(
        "organizations/<id:pk>/tags",
        organizations.OrganizationTagsEndpoint,
        "organization-tags",
        **TAGS,
    ),
    *addresses(
        "organizations/<id:organization>/users",
        organizations.OrganizationUsersEndpoint,
        "organization-users",
        get="list",
    ),
    *addresses(
        "organizations/<id:organization>/organization_memberships",
        organizations.MembershipEndpoint,
        "organization-organization-memberships",
        get="list",
    ),
    *addresses(
        "organization_memberships",
        organizations.MembershipEndpoint,
        "organization-memberships",
        get="list",
        post="create",
    ),
    *addresses(
        "organization_memberships/<id:pk>",
        organizations.MembershipEndpoint,
        "organization-membership",
        get="retrieve",
        delete="destroy",
    ),
    *addresses("groups", groups.GroupEndpoint, "groups", get="list", post="create"),
    *addresses("groups/assignable", groups.GroupEndpoint, "groups-assignable", get="assignable"),
    *addresses("groups/count", groups.GroupEndpoint, "groups-count", get="count"),
    *addresses("groups/<id:pk>", groups.GroupEndpoint, "group", **CRUD),
    *addresses("groups/<id:group>/users", groups.GroupUsersEndpoint, "group-users", get="list"),
    *addresses(
        "groups/<id:group>/memberships",
        groups.GroupMembershipEndpoint,
        "group-memberships-of-group",
        get="list",
    ),
    *addresses(
        "group_memberships",
        groups.GroupMembershipEndpoint,
        "group-memberships",
        get="list",
        post="create",
    ),
    *addresses(
        "group_memberships/assignable",
        groups.GroupMembershipEndpoint,
        "group-memberships-assignable",
        get="assignable",
    ),
    *addresses(
        "group_memberships/<id:pk>",
        groups.GroupMembershipEndpoint,
        "group-membership",
        get="retrieve",
        delete="destroy",
    ),
]

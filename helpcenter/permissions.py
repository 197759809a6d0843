"""What staff may do with articles. `docs/roles.md` is the table; a test asserts every cell.

Admins may do everything. Other staff may do what the permission group of an article gives to the
segments they are in. End users and visitors may do nothing here. Who may *see* what is decided by
`visible_to`, which lets editors see what they may edit.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser

from segments.ruleset import viewer_for

from . import querysets
from .models import Article, PermissionGroup


def may_manage(user: Any) -> bool:
    """Categories, sections, the help center, labels, permission groups, segments and people."""
    return viewer_for(user or AnonymousUser()).is_admin


def may_add_articles(user: Any) -> bool:
    """New articles, into a permission group of one's own and as drafts for nobody."""
    return querysets.may_add(viewer_for(user), "default")


def may_edit(user: Any, article: Article) -> bool:
    """Words, labels and attachments."""
    return _in_care(user, article, to_publish=False)


def may_publish(user: Any, article: Article) -> bool:
    """Drafts, the audience and its names, the place, promotion, and deletion."""
    return _in_care(user, article, to_publish=True)


def _in_care(user: Any, article: Article, to_publish: bool) -> bool:
    viewer = viewer_for(user)
    groups = querysets.permission_groups(viewer, "default", to_publish)
    return viewer.is_admin or article.permission_group_id in groups


def editable_articles(user: Any) -> Any:
    """The articles that the user may edit, as a queryset."""
    viewer = viewer_for(user)
    articles = Article.objects.visible_to(viewer)
    if viewer.is_admin:
        return articles
    groups = querysets.permission_groups(viewer, "default")
    return articles.filter(permission_group__in=groups)


def permission_groups_for(user: Any) -> Any:
    """The permission groups that the user may give a new article: their own, or any for admins."""
    viewer = viewer_for(user)
    groups = PermissionGroup.objects.all()
    if viewer.is_admin:
        return groups
    return groups.filter(pk__in=querysets.permission_groups(viewer, "default"))

"""In the admin: permission groups are for admins, articles for those who take care of some."""

import pytest
from django.contrib.admin import site
from django.test import Client
from django.urls import reverse

from helpcenter.models import Article, PermissionGroup
from segments.models import Audience
from tests.factories_content import ArticleFactory

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("name", "status"), [("pia", 403), ("lena", 403), ("ada", 200)])
def test_who_opens_them(cast, segment_of, name, status):
    group = PermissionGroup.objects.create(
        name="Guides", publish=Audience.of(segment_of["publishers"])
    )
    client = Client()
    client.force_login(cast[name])
    pages = {
        page: client.get(reverse(f"admin:helpcenter_permissiongroup_{page}", args=args)).status_code
        for page, args in [
            ("changelist", []),
            ("add", []),
            ("change", [group.pk]),
            ("delete", [group.pk]),
        ]
    }
    assert pages == dict.fromkeys(pages, status)


@pytest.mark.parametrize(("name", "status"), [("lena", 403), ("edda", 200), ("ada", 200)])
def test_articles_are_for_those_who_take_care_of_some(cast, segment_of, name, status):
    PermissionGroup.objects.create(name="Guides", edit=Audience.of(segment_of["editors"]))
    client = Client()
    client.force_login(cast[name])
    address = reverse("admin:helpcenter_article_changelist")
    assert client.get(address).status_code == status
    assert (address in client.get(reverse("admin:index")).text) == (status == 200)


def test_what_each_may_do_with_an_article(cast, segment_of, rf):
    """Asked of the admin itself, action by action, for an article in the care of Guides."""
    group = PermissionGroup.objects.create(
        name="Guides",
        edit=Audience.of(segment_of["editors"]),
        publish=Audience.of(segment_of["publishers"]),
    )
    article = ArticleFactory(permission_group=group)
    model_admin = site.get_model_admin(Article)
    words, files = (inline(Article, site) for inline in model_admin.inlines)
    rows = Article._base_manager.filter(pk=article.pk)
    found = {}
    for name in ("aki", "edda", "pia", "ada"):
        request = rf.get("/")
        request.user = cast[name]
        found[name] = {
            "add": model_admin.has_add_permission(request),
            "find it in the menu": model_admin.has_module_permission(request),
            "delete": model_admin.has_delete_permission(request, article),
            "delete many": not model_admin.get_deleted_objects(rows, request)[2],
            "delete words": words.has_delete_permission(request, article),
            "delete files": files.has_delete_permission(request, article),
            "publish": "draft" not in words.get_readonly_fields(request, article),
            "publish at once": "draft" not in words.get_readonly_fields(request),
            "see the audience": model_admin.may_see_audience(request, article),
            "be shown the audience": "audience" in model_admin.get_fields(request, article),
            "change audiences": model_admin.whose_audience_may_change(request, rows).exists(),
            "change those of others": model_admin.whose_audience_may_change(
                request, Article._base_manager.exclude(pk=article.pk)
            ).exists(),
            "list who sees what": "audience" in model_admin.get_list_display(request),
            "move": "section" not in model_admin.get_readonly_fields(request, article),
            "hand over": "permission_group"
            not in model_admin.get_readonly_fields(request, article),
        }
        if name == "aki":
            ArticleFactory(section=article.section)  # in nobody's care
    editor = {"add", "find it in the menu"}
    admins = {"publish at once", "change those of others", "hand over", "list who sees what"}
    publisher = found["pia"].keys() - admins
    assert {name: {what for what, yes in each.items() if yes} for name, each in found.items()} == {
        "aki": set(),
        "edda": editor,
        "pia": publisher,
        "ada": set(found["ada"]),
    }


def test_archived_articles_are_not_among_the_others(cast):
    shown = ArticleFactory(title="Kept")
    ArticleFactory(title="Gone", section=shown.section).archive()
    client = Client()
    client.force_login(cast["ada"])
    page = client.get(reverse("admin:helpcenter_article_changelist")).text
    assert "Kept" in page and "Gone" not in page

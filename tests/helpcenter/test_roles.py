"""docs/roles.md, cell by cell: what each role may do, through the pages and the admin."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from helpcenter import permissions
from helpcenter.models import Article, Attachment, PermissionGroup
from segments.models import Audience
from tests.factories_content import ArticleFactory, SectionFactory

TABLE = Path(__file__).parents[2] / "docs" / "roles.md"
# The columns of the table: who of the cast stands for a role.
PEOPLE = {
    "visitor": "visitor",
    "end user": "maria",
    "light agent": "lena",
    "agent": "aki",
    "editor": "edda",
    "publisher": "pia",
    "admin": "ada",
}


def cells():
    """(action, role, "yes" or "no") for each cell of the table."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in TABLE.read_text(encoding="utf-8").splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]
    head, *body = rows
    assert [name.lower() for name in head[1:]] == list(PEOPLE)
    return [
        (row[0], role, cell) for row in body for role, cell in zip(PEOPLE, row[1:], strict=True)
    ]


@pytest.fixture
def guides(cast, segment_of):
    """An article in the care of Guides: for nobody, with a published and a draft translation."""
    group = PermissionGroup.objects.create(
        name="Guides",
        edit=Audience.of(segment_of["editors"]),
        publish=Audience.of(segment_of["publishers"]),
    )
    everyone = Audience.everyone()
    section = SectionFactory(audience=everyone, category__audience=everyone)
    ArticleFactory(section=section, audience=everyone, title="Public")
    article = ArticleFactory(
        section=section, audience=Audience.nobody(), permission_group=group, title="Guide"
    )
    article.translations.create(locale="fr", title="Brouillon", body="…", draft=True)
    return article


def client_of(person):
    client = Client()
    if person.is_authenticated:
        client.force_login(person)
    return client


def opens(client, name, *args):
    """Does the admin show this page?"""
    return client.get(reverse(f"admin:{name}", args=args)).status_code == 200


def form_of(article, **changes):
    """What the admin's form of an article posts when only `changes` differ."""
    words = article.translations.get(locale="en-us")
    data = {
        "section": article.section_id,
        "permission_group": article.permission_group_id,
        "audience": "nobody",
        "position": article.position,
        "translations-TOTAL_FORMS": 1,
        "translations-INITIAL_FORMS": 1,
        "translations-MIN_NUM_FORMS": 1,
        "translations-MAX_NUM_FORMS": 1000,
        "translations-0-id": words.pk,
        "translations-0-article": article.pk,
        "translations-0-locale": words.locale,
        "translations-0-title": words.title,
        "translations-0-format": words.format,
        "translations-0-body": words.body,
        "attachments-TOTAL_FORMS": 0,
        "attachments-INITIAL_FORMS": 0,
        "attachments-MIN_NUM_FORMS": 0,
        "attachments-MAX_NUM_FORMS": 1000,
    }
    return {key: value for key, value in (data | changes).items() if value is not None}


def posts(client, article, **changes):
    """Post the admin's form, and return the article as it is stored afterwards."""
    address = reverse("admin:helpcenter_article_change", args=[article.pk])
    answer = client.post(address, form_of(article, **changes))
    if answer.status_code == 200 and "seen" in (answer.context or {}):
        # Who sees it changes: the page about that is confirmed.
        confirmed = {"_seen": answer.context["seen"], "_widen": "yes"}
        client.post(address, form_of(article, **changes) | confirmed)
    return Article._base_manager.get(pk=article.pk)


def attaches(client, article):
    from django.core.files.uploadedfile import SimpleUploadedFile

    changes = {
        "attachments-TOTAL_FORMS": 1,
        "attachments-0-article": article.pk,
        "attachments-0-file": SimpleUploadedFile("a.txt", b"text"),
    }
    posts(client, article, **changes)
    return Attachment._base_manager.filter(article=article).exists()


def creates(client, article):
    """A new article, in the only permission group that everybody here could have."""
    data = form_of(article, audience="everyone")
    data |= {
        "translations-INITIAL_FORMS": 0,
        "translations-0-id": "",
        "translations-0-article": "",
        "translations-0-title": "Fresh",
    }
    client.post(reverse("admin:helpcenter_article_add"), data)
    return Article._base_manager.filter(translations__title="Fresh").exists()


def deletes(client, article):
    client.post(reverse("admin:helpcenter_article_delete", args=[article.pk]), {"post": "yes"})
    return not Article._base_manager.filter(pk=article.pk).exists()


def views_as(client, role):
    """Is the help center shown as a made-up person of the role?"""
    answer = client.post(reverse("view_as"), {"role": role})
    return answer.status_code == 302 and answer["Location"] == reverse("hc")


ACTIONS = {
    "view as an end user": lambda client, person, article: views_as(client, "end_user"),
    "view as an agent": lambda client, person, article: views_as(client, "agent"),
    "read a public article": lambda client, person, article: (
        "Public" in client.get(f"/hc/en-us/sections/{article.section_id}", follow=True).text
    ),
    "read an article for nobody, in their care": lambda client, person, article: (
        article.is_visible_to(person)
    ),
    "read its drafts": lambda client, person, article: article.translations.get(
        locale="fr"
    ).is_visible_to(person),
    "open the admin": lambda client, person, article: opens(client, "index"),
    "create an article": lambda client, person, article: creates(client, article),
    "edit its words": lambda client, person, article: (
        posts(client, article, **{"translations-0-title": "New words"})
        .translations.filter(title="New words")
        .exists()
    ),
    "attach a file": lambda client, person, article: attaches(client, article),
    "make it a draft or publish it": lambda client, person, article: (
        not posts(client, article, **{"translations-0-draft": "on"}).published
    ),
    "choose its audience": lambda client, person, article: (
        posts(client, article, audience="everyone").audience_id == Audience.EVERYONE
    ),
    "learn its audience's names": lambda client, person, article: permissions.may_publish(
        person, article
    ),
    "move or promote it": lambda client, person, article: (
        posts(client, article, promoted="on").promoted
    ),
    "hand it to another permission group": lambda client, person, article: (
        posts(client, article, permission_group=PermissionGroup.MANAGERS).permission_group_id
        == PermissionGroup.MANAGERS
    ),
    "delete it": lambda client, person, article: deletes(client, article),
    "edit an article in nobody's care": lambda client, person, article: permissions.may_edit(
        person, Article._base_manager.get(translations__title="Public")
    ),
    "manage categories and sections": lambda client, person, article: (
        opens(client, "helpcenter_category_add") and opens(client, "helpcenter_section_add")
    ),
    "manage the help center": lambda client, person, article: opens(
        client, "helpcenter_helpcenter_add"
    ),
    "manage permission groups": lambda client, person, article: opens(
        client, "helpcenter_permissiongroup_add"
    ),
    "manage segments": lambda client, person, article: opens(client, "segments_segment_add"),
    "manage people": lambda client, person, article: opens(client, "accounts_user_add"),
}


@pytest.mark.parametrize(("action", "role", "expected"), cells())
def test_cell(action, role, expected, cast, guides):
    assert expected in {"yes", "no"}
    person = cast[PEOPLE[role]]
    assert ACTIONS[action](client_of(person), person, guides) is (expected == "yes")


def test_every_action_is_in_the_table():
    assert {action for action, _role, _cell in cells()} == set(ACTIONS)

"""Every field of every model, sent by every role, changes nothing that the role may not change."""

import pytest
from django.db import models

from accounts.models import AgentGroup, Organization, User
from helpcenter.models import (
    Article,
    ArticleTranslation,
    Category,
    CategoryTranslation,
    Comment,
    PermissionGroup,
    Section,
    SectionTranslation,
    Subscription,
)
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory, AttachmentFactory

API = "/api/v2"
ROLES = ["visitor", "dan", "maria", "lena", "aki", "edda", "pia", "ada"]
# Columns that move with any change that is allowed.
CLOCKS = {"updated_at", "edited_at", "updated_by_id", "non_author_updated_at"}
# What each role may change, by model; nothing where it is not said. `ada` is an admin.
EDITS = {"comments_disabled"}
PUBLISHES = EDITS | {"promoted", "position", "section_id", "audience_id"}
MAY = {
    Article: {
        "edda": EDITS,
        "pia": PUBLISHES,
        "ada": PUBLISHES | {"permission_group_id", "author_id"},
    },
    ArticleTranslation: {
        "edda": {"title", "body", "outdated", "format"},
        "pia": {"title", "body", "outdated", "format", "draft"},
        "ada": {"title", "body", "outdated", "format", "draft"},
    },
    Category: {"ada": {"position", "audience_id"}},
    CategoryTranslation: {"ada": {"title", "body", "outdated"}},
    Section: {
        "ada": {"position", "audience_id", "category_id", "parent_id", "sorting", "theme_template"}
    },
    SectionTranslation: {"ada": {"title", "body", "outdated"}},
    Segment: {"ada": {"name", "description", "user_type", "conditions", "version"}},
    PermissionGroup: {"ada": {"name", "edit_id", "publish_id"}},
    User: {"ada": {"name", "email", "role", "language", "external_id", "is_active"}},
    Organization: {"ada": {"name", "key", "external_id"}},
    AgentGroup: {"ada": {"name", "key", "description"}},
    Comment: {
        "maria": {"body"},
        **dict.fromkeys(("edda", "pia", "ada"), {"body", "non_author_editor_id"}),
    },
    Subscription: dict.fromkeys(("maria", "ada"), {"include_comments"}),
}
# What follows from a text that somebody may change.
DERIVED = {"html", "search_title", "search_text", "published", "sign_in_version"}


@pytest.fixture
def things(cast, segment_of, guides):
    """(address, envelope, object) for every object that a PUT can name."""
    article = ArticleFactory(audience=Audience.of(segment_of["acme"]), permission_group=guides)
    section, category = article.section, article.section.category
    maria = cast["maria"]
    comment = Comment.objects.create(article=article, author=maria, locale="en-us", body="x")
    subscription = Subscription.objects.create(article=article, user=maria, locale="en-us")
    AttachmentFactory(article=article)
    organization, group = Organization.objects.first(), AgentGroup.objects.first()
    center, segment = "help_center", segment_of["french"]
    return [
        (f"{center}/articles/{article.pk}", "article", article),
        (
            f"{center}/articles/{article.pk}/translations/en-us",
            "translation",
            article.translations.get(),
        ),
        (f"{center}/categories/{category.pk}", "category", category),
        (
            f"{center}/categories/{category.pk}/translations/en-us",
            "translation",
            category.translations.get(),
        ),
        (f"{center}/sections/{section.pk}", "section", section),
        (
            f"{center}/sections/{section.pk}/translations/en-us",
            "translation",
            section.translations.get(),
        ),
        (f"{center}/user_segments/{segment.pk}", "user_segment", segment),
        (f"guide/permission_groups/{guides.pk}", "permission_group", guides),
        (f"users/{cast['dan'].pk}", "user", cast["dan"]),
        (f"organizations/{organization.pk}", "organization", organization),
        (f"groups/{group.pk}", "group", group),
        (f"{center}/articles/{article.pk}/comments/{comment.pk}", "comment", comment),
        (
            f"{center}/articles/{article.pk}/subscriptions/{subscription.pk}",
            "subscription",
            subscription,
        ),
    ]


def another(field, value, thing):
    """A value that the field could have, other than the present one."""
    if isinstance(field, models.BooleanField):
        return not value
    if field.choices:
        return next(key for key, _label in field.choices if key != value)
    if isinstance(field, models.DateTimeField):
        return "2001-01-01T00:00:00Z"
    if isinstance(field, models.JSONField):
        return [{"attribute": "role", "operator": "any", "values": ["admin"]}]
    if isinstance(field, models.ForeignKey):
        return 1 if value != 1 else 2
    if isinstance(field, models.IntegerField):
        return (value or 0) + 1
    return f"other-{thing.pk}@example.com" if field.name == "email" else "other"


@pytest.mark.parametrize("role", ROLES)
def test_every_field_one_by_one(api, things, role):
    client = api(role)
    for address, key, thing in things:
        model = type(thing)
        allowed = MAY.get(model, {}).get(role, set()) | CLOCKS | DERIVED
        for field in model._meta.concrete_fields:
            before = stored(thing)
            value = another(field, before[field.attname], thing)
            for name in {field.name, field.attname}:
                answer = client.put(f"{API}/{address}", {key: {name: value}})
                assert answer.status_code < 500
            changed = {name for name, each in stored(thing).items() if each != before[name]}
            assert changed <= allowed, (address, field.name, changed - allowed)
            if changed:
                back = {name: each for name, each in before.items() if name != "id"}
                model._base_manager.filter(pk=thing.pk).update(**back)


def stored(thing):
    return type(thing)._base_manager.filter(pk=thing.pk).values().get()


def test_the_allowed_changes_happen(api, things):
    """The positive control: an admin's changes are seen by the comparison."""
    seen = set()
    client = api("ada")
    for address, key, thing in things:
        for field in type(thing)._meta.concrete_fields:
            before = stored(thing)
            value = another(field, before[field.attname], thing)
            client.put(f"{API}/{address}", {key: {field.attname: value, field.name: value}})
            after = stored(thing)
            seen |= {type(thing) for name in after if after[name] != before[name]}
    assert seen == {*MAY}

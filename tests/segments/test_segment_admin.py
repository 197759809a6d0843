"""Segments in the admin: conflicts, refusals, history."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import Organization, Tag
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory


@pytest.fixture
def admin(cast):
    client = Client()
    client.force_login(cast["ada"])
    return client


def address(segment, page="change"):
    return reverse(f"admin:segments_segment_{page}", args=[segment.pk])


def form_of(segment, **changes):
    return {
        "name": segment.name,
        "description": segment.description,
        "user_type": segment.user_type,
        "conditions": '[{"attribute": "tag", "operator": "any", "values": ["premium"]}]',
        "seen_version": segment.version,
        "people-TOTAL_FORMS": 0,
        "people-INITIAL_FORMS": 0,
    } | changes


def test_an_edit_is_stored_with_the_next_version(admin, segment_of):
    segment = segment_of["premium"]
    admin.post(address(segment), form_of(segment, name="Premium customers"))
    stored = Segment.objects.get(pk=segment.pk)
    assert (stored.name, stored.version) == ("Premium customers", segment.version + 1)


def test_the_second_editor_is_told_and_loses_nothing(admin, segment_of):
    segment = segment_of["premium"]
    admin.post(address(segment), form_of(segment, description="What the first one wrote"))
    typed = form_of(segment, description="What the second one wrote")
    answer = admin.post(address(segment), typed)
    said = answer.content.decode()
    assert answer.status_code == 200
    assert "Somebody else changed this segment" in said
    assert "Stored meanwhile: What the first one wrote" in said
    assert "What the second one wrote" in said
    assert Segment.objects.get(pk=segment.pk).description == "What the first one wrote"
    # The page now knows the stored version, so saving again is a decision.
    again = typed | {"seen_version": answer.context["adminform"].form["seen_version"].value()}
    assert admin.post(address(segment), again).status_code == 302
    assert Segment.objects.get(pk=segment.pk).description == "What the second one wrote"


@pytest.mark.parametrize("seen", ["", "abc", "0", "99"])
def test_a_form_without_the_right_version_changes_nothing(admin, segment_of, seen):
    segment = segment_of["premium"]
    admin.post(address(segment), form_of(segment, name="Other", seen_version=seen))
    assert Segment.objects.get(pk=segment.pk).name == segment.name


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ('[{"attribute": "shoe", "operator": "any", "values": ["x"]}]', "conditions[0].attribute"),
        ('[{"attribute": "tag", "operator": "like", "values": ["x"]}]', "any, all, none"),
        ('[{"attribute": "tag", "operator": "any", "values": ["gone"]}]', "there is no tag"),
        ('[{"attribute": "tag", "operator": "any", "values": []}]', "name at least one value"),
        ("{", "valid JSON"),
    ],
)
def test_wrong_conditions_name_the_place(admin, segment_of, conditions, words):
    segment = segment_of["premium"]
    answer = admin.post(address(segment), form_of(segment, conditions=conditions))
    assert answer.status_code == 200
    assert words in answer.content.decode()


def test_a_segment_in_use_is_not_deleted(admin, segment_of):
    segment = segment_of["premium"]
    ArticleFactory(title="Refunds", audience=Audience.of(segment, segment_of["french"]))
    page = admin.get(address(segment, "delete")).content.decode()
    assert "Refunds" in page
    admin.post(address(segment, "delete"), {"post": "yes"})
    action = {"action": "delete_selected", "_selected_action": [segment.pk], "post": "yes"}
    admin.post(reverse("admin:segments_segment_changelist"), action)
    assert Segment.objects.filter(pk=segment.pk).exists()


def test_built_in_segments_are_neither_edited_nor_deleted(admin, segment_of):
    segment = segment_of["staff"]
    assert admin.post(address(segment), form_of(segment, name="Mine")).status_code == 403
    assert admin.post(address(segment, "delete"), {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [segment.pk], "post": "yes"}
    admin.post(reverse("admin:segments_segment_changelist"), action)
    assert Segment.objects.get(pk=segment.pk).name == "Agents and admins"


@pytest.mark.parametrize("page", ["delete", "bulk"])
@pytest.mark.parametrize("kind", ["tag", "organization"])
def test_what_conditions_name_is_not_deleted(admin, segment_of, kind, page):
    model, lookup = {
        "tag": (Tag, {"name": "premium"}),
        "organization": (Organization, {"name": "Acme"}),
    }[kind]
    row = model.objects.get(**lookup)
    if page == "delete":
        url, data = reverse(f"admin:accounts_{kind}_delete", args=[row.pk]), {"post": "yes"}
    else:
        url = reverse(f"admin:accounts_{kind}_changelist")
        data = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    said = admin.post(url, data).content.decode()
    assert {"tag": "Premium", "organization": "Customers of Acme"}[kind] in said
    assert model.objects.filter(pk=row.pk).exists()


def test_a_tag_that_conditions_name_keeps_its_name(admin, segment_of):
    tag = Tag.objects.get(name="premium")
    answer = admin.post(
        reverse("admin:accounts_tag_change", args=[tag.pk]), {"name": "gold"}, follow=True
    )
    assert "is named in the conditions of" in answer.content.decode()
    assert Tag.objects.get(pk=tag.pk).name == "premium"


def test_the_history_says_who_changed_what(admin, segment_of):
    segment = segment_of["premium"]
    admin.post(address(segment), form_of(segment, name="Premium customers"))
    page = admin.get(address(segment, "history")).content.decode()
    assert "Premium customers" in page
    assert "ada@example.com" in page or "Ada" in page

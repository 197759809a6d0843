"""The same figures everywhere: list, preview, impact, API and the rule, in random worlds."""

import dataclasses

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, Phase, given, settings

from accounts.models import User
from segments import attributes, ruleset
from segments.conditions import check_missing, read_conditions
from segments.models import Segment, SegmentPerson
from tests import worlds
from tests.segments.test_segment_admin import form_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_rules(settings):
    settings.API_REQUESTS_PER_MINUTE = {"token": 10**6, "address": 10**6}
    yield
    ruleset._compiled.clear()
    attributes._facts_statement.cache_clear()


@settings(
    max_examples=5,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(world=worlds.worlds())
def test_every_figure_is_the_rules(tally, world):
    first = min(world.people)
    admin = dataclasses.replace(world.people[first], role="admin", active=True)
    world = dataclasses.replace(world, people={**world.people, first: admin})
    with transaction.atomic():
        worlds.build(world)
        client = Client()
        client.force_login(User.objects.get(pk=first))
        try:
            compare(client, world, tally)
        finally:
            transaction.set_rollback(True)


def compare(client, world, tally):
    listed = {row.segment.pk: row.members for row in listing(client)}
    assert listed.keys() == world.segments.keys()
    for pk, expected in world.members.items():
        segment = Segment.objects.get(pk=pk)
        # The page of a list may leave out a count that would take long, never tell another one.
        assert listed[pk] in (len(expected), None)
        counted = client.get(reverse("admin:segments_segment_count", args=[pk])).content.decode()
        assert f"<span>{len(expected)}</span>" in counted
        users = client.get(f"/api/v2/help_center/user_segments/{pk}/users").json()
        assert users["count"] == len(expected)
        if segment.built_in:
            continue
        page = client.get(reverse("admin:segments_segment_change", args=[pk]))
        assert page.context["preview"]["count"] == len(expected)
        body = {"user_segment": {"description": "As it is"}}
        address = f"/api/v2/help_center/user_segments/{pk}/impact"
        told = client.post(address, body, "application/json")
        assert told.status_code == 200, told.content
        assert told.json()["impact"]["members_after"] == len(expected)
        tally["segments counted everywhere"] += 1
        if is_sound(segment):
            answer = client.post(
                reverse("admin:segments_segment_draft", args=[pk]), as_posted(segment)
            )
            assert answer.context["preview"]["count"] == len(expected)
            tally["drafts counted"] += 1


def listing(client):
    rows, number = [], 1
    while True:
        found = client.get(reverse("admin:segments_segment_changelist"), {"p": number})
        rows += found.context["list"].rows
        if not found.context["list"].page.has_next():
            return rows
        number += 1


def is_sound(segment):
    conditions = check_missing(read_conditions(segment.conditions))
    return isinstance(segment.conditions, list) and not any(c.problem for c in conditions)


def as_posted(segment):
    conditions = [(c["attribute"], c["operator"], c["values"]) for c in segment.conditions]
    people = [
        {
            "user": str(each.user_id),
            "kind": each.kind,
            "until": each.until.strftime("%Y-%m-%dT%H:%M:%S") if each.until else "",
        }
        for each in SegmentPerson.objects.filter(segment=segment)
    ]
    return form_of(segment, conditions, people)

"""The schema: complete, true to the answers (schemathesis), and a page that works offline."""

import re
from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from helpcenter.api.documentation import CachedGenerator
from helpcenter.models import Comment, PermissionGroup, Subscription, Vote
from segments.checks import walk_urls
from segments.models import Audience, Segment
from tests.factories_content import (
    ArticleFactory,
    AttachmentFactory,
    HelpCenterFactory,
    SectionFactory,
)
from tests.factories_people import PersonFactory

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
CASES = Counter()
PERSONAS = {"visitor": None, "end user": "end_user", "agent": "agent", "admin": "admin"}


def raw_schema():
    return CachedGenerator().get_schema(public=True)


def test_every_operation_is_described():
    described = set()
    for path, operations in raw_schema()["paths"].items():
        described |= {
            (re.sub(r"{(\w+)}", "<>", path), method)
            for method in operations
            if method in ("get", "post", "put", "delete")
        }
    offered = set()
    for name, route, pattern in walk_urls():
        if name.startswith("api:") and not re.search(r"\.json$|<locale:locale>", route):
            path = "/" + re.sub(r"<(\w+:)?\w+>", "<>", route)
            offered |= {(path, method) for method in pattern.callback.actions if method != "head"}
    assert described == offered


def test_every_refusal_is_documented():
    for path, operations in raw_schema()["paths"].items():
        for method, operation in operations.items():
            assert {"400", "401", "403", "404", "405", "429"} <= set(operation["responses"]) | (
                {"401", "403"} if {} in operation.get("security", []) else set()
            ), (method, path)


@pytest.mark.surface(20)
def test_the_schema_is_valid_and_public(client, db):
    answer = client.get("/api/schema")
    assert answer.status_code == 200 and answer.json()["openapi"].startswith("3.1")
    yaml = client.get("/api/schema", headers={"Accept": "application/yaml"})
    assert yaml.text.startswith("openapi: 3.1")
    assert client.get("/api/schema?version=%0d%0aX: 1&lang=../x").status_code == 200
    page = client.get("/api/docs")
    assert page.status_code == 200 and "http" not in re.sub(r"http://testserver", "", page.text)


@pytest.fixture
def world(transactional_db):
    """Something of everything, and its ids by the words of addresses."""
    center = HelpCenterFactory(locales=["en-us", "fr"])
    everyone = Audience.everyone()
    section = SectionFactory(category__help_center=center)
    people = {
        role: PersonFactory(
            email=f"{role}@example.com", role=role, verified=True, organizations=["Acme"]
        )
        for role in ("end_user", "agent", "admin", "light_agent")
    }
    PersonFactory(email="second@example.com", role="admin", groups=["Support"], verified=True)
    segment = Segment.objects.create(
        name="Staff", conditions=[{"attribute": "role", "operator": "any", "values": ["agent"]}]
    )
    group = PermissionGroup.objects.create(
        name="Guides", edit=Audience.of(segment), publish=Audience.of(segment)
    )
    article = ArticleFactory(section=section, audience=everyone, permission_group=group)
    article.labels.create(name="one")
    user = people["end_user"]
    comment = Comment.objects.create(article=article, author=user, locale="en-us", body="x")
    vote = Vote.objects.create(article=article, user=user, value=1)
    subscription = Subscription.objects.create(article=article, user=user, locale="en-us")
    ids = {
        "articles": article,
        "sections": section,
        "categories": section.category,
        "attachments": AttachmentFactory(article=article),
        "user_segments": segment,
        "permission_groups": group,
        "comments": comment,
        "votes": vote,
        "subscriptions": subscription,
        "labels": article.labels.get(),
        "translations": article.translations.get(),
        "users": user,
        "organizations": user.organizations.get(),
        "organization_memberships": user.memberships.get(),
    }
    return people, {kind: thing.pk for kind, thing in ids.items()}


def attack(live_server, world, token_of, examples):
    """Generated requests for every operation as every persona; CASES counts them."""
    people, ids = world
    schema = schemathesis.openapi.from_dict(raw_schema())
    problems = []
    operations = [result.ok() for result in schema.get_all_operations()]
    for persona, role in PERSONAS.items():
        headers = {"Authorization": f"Bearer {token_of(people[role])}"} if role else {}
        for operation in operations:
            try:
                look_at(operation, persona, headers, live_server.url, ids, examples)
            except FailureGroup as found:
                problems += [f"{persona}: {operation.label}: {each}" for each in found.exceptions]
    assert not problems, "\n\n".join(problems)


def look_at(operation, persona, headers, address, ids, examples):
    """Some requests for one operation as one persona."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(case=operation.as_strategy(), real=st.integers(0, 3))
    def look(case, real):
        if real:
            name_real_things(case, ids)
        response = case.call(base_url=address, headers=headers)
        CASES[persona] += 1
        case.validate_response(response, checks=CHECKS)

    look()


def name_real_things(case, ids):
    """Put ids of things that exist into the address."""
    for before, name in re.findall(r"(\w+)/{(\w+)}", case.operation.path):
        if before in ids and isinstance((case.path_parameters or {}).get(name), int):
            case.path_parameters[name] = ids[before]


def test_answers_are_as_described(live_server, world, token_of, unlimited, tally):
    attack(live_server, world, token_of, examples=1)
    tally["schemathesis: cases"] += sum(CASES.values())
    assert sum(CASES.values()) >= 500


@pytest.mark.fuzz
def test_answers_are_as_described_at_length(live_server, world, token_of, unlimited, tally):
    attack(live_server, world, token_of, examples=10)
    tally["schemathesis: cases"] += sum(CASES.values())
    assert sum(CASES.values()) >= 5_000


def test_no_operation_ignores_authentication(live_server, world, token_of, unlimited):
    """Where the schema demands a token, a wrong one and none are refused."""
    people, ids = world
    session = schemathesis.openapi.from_dict(raw_schema())
    for result in session.get_all_operations():
        operation = result.ok()
        security = operation.definition.raw.get("security", [])
        case = operation.Case(
            path_parameters={
                name: ids.get(before, 1) if name != "translation" else "en-us"
                for before, name in re.findall(r"(\w+)/{(\w+)}", operation.path)
            },
            query={},
            headers={},
        )
        wrong = case.call(base_url=live_server.url, headers={"Authorization": "Bearer nonsense"})
        assert wrong.status_code == 401, operation.label
        if {} not in security:
            assert case.call(base_url=live_server.url).status_code == 401, operation.label

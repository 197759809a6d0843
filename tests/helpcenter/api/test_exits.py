"""Every operation of the API, as every persona: nothing hidden is shown, hidden equals missing.

The addresses come from the resolver, with and without `.json` and a locale, so a new one is
walked the day it is added; one whose arguments are unknown here fails the test.
"""

import json
import re

import pytest
from django.db import transaction

from helpcenter.models import Article, Comment, Subscription, Vote
from segments.checks import walk_urls
from segments.models import Audience
from tests.factories_content import ArticleFactory
from tests.test_exits import CANARY, hide_something, shown  # noqa: F401  (a fixture)

# Who may not see what is hidden; staff too, unless it is about people.
OUTSIDERS = ["visitor", "dan", "maria", "claire", "lena", "aki"]
# What staff may know of people at Zendesk and here: their organizations, groups and tags.
FOR_STAFF = re.compile(
    r"/(users|organizations|groups|organization_memberships|group_memberships)\b"
)
# Bodies that are no body of any operation: permission comes before them.
BODIES = {"post": {"x": 1}, "put": {"x": 1}, "delete": None}


@pytest.fixture
def hidden(shown, cast):  # noqa: F811
    """Arguments that name hidden things, for each kind of address."""
    things = hide_something(shown)
    article, author = things["article"][0], cast["ada"]
    comment = Comment.objects.create(
        article=article, author=author, locale="en-us", body=f"{CANARY} comment"
    )
    Vote.objects.create(article=article, user=author, value=1)
    vote = Vote.objects.create(comment=comment, user=author, value=1)
    subscription = Subscription.objects.create(article=article, user=author, locale="en-us")
    article.labels.create(name=f"{CANARY} label")
    words = article.translations.get()
    return {
        "articles": [each.pk for each in things["article"]],
        "sections": [each.pk for each in things["section"]],
        "categories": [each.pk for each in things["category"]],
        "attachments": [each.pk for each in things["attachment"]],
        "user_segments": [each.pk for each in things["segment"]],
        "comments": [comment.pk],
        "votes": [vote.pk],
        "subscriptions": [subscription.pk],
        "labels": [article.labels.get().pk],
        "translations": [words.pk],
        "users": [author.pk],
        "organizations": [things["organization"]] if "organization" in things else [1],
        "groups": [1],
        "organization_memberships": [1],
        "group_memberships": [1],
        "permission_groups": [1],
    }


def routes():
    """(route, methods) of every address of the API."""
    for name, route, pattern in walk_urls():
        if name.startswith("api:"):
            # Reading first.
            methods = set(pattern.callback.actions) - {"head"}
            yield route, sorted(methods, key="get post put delete".index)


def is_variant(address):
    """Is it an address with `.json` or a locale, behind which the same views stand?"""
    return ".json" in address or "/en-us/" in address or "<locale:locale>" in address


def addresses(hidden):
    """(address, methods): every route with hidden things wherever one can be named."""
    found = []
    for route, methods in routes():
        filled = [re.sub(r"<locale:\w+>", "en-us", route)]
        while "<" in filled[0]:
            # The word before an id says of what it is one.
            before, name = re.search(r"(\w+)/<id:(\w+)>", filled[0]).groups()
            assert before in hidden, f"{route}: unknown argument {name}; add it here."
            filled = [
                each.replace(f"<id:{name}>", str(pk), 1) for each in filled for pk in hidden[before]
            ]
        found += [(f"/{each}", methods) for each in (filled[:1] if is_variant(route) else filled)]
    lists = ["articles", "sections", "categories", "articles/search"]
    queries = [
        f"query={CANARY}",
        "query=body&locale=*",
        f"label_names={CANARY} label",
        "include=users,sections,categories,translations",
        "page[size]=2",
        "per_page=2&page=2",
        "sort_by=updated_at&sort_order=desc",
        "start_time=0",
    ]
    found += [
        (f"/api/v2/help_center/{path}?{query}", ["get"]) for path in lists for query in queries
    ]
    return list(dict.fromkeys((address, tuple(methods)) for address, methods in found))


def answer(client, method, address):
    """Status, headers and body, without what differs between two equal requests."""
    body = BODIES.get(method)
    if body is None:
        response = client.generic(method.upper(), address)
    else:
        response = client.generic(
            method.upper(), address, json.dumps(body), content_type="application/json"
        )
    moments = {"Date", "Expires", "Set-Cookie", "X-Rate-Limit-Remaining"}
    headers = {k: v for k, v in response.headers.items() if k not in moments}
    return response.status_code, headers, response.content.decode()


def walk(api, names, found):
    """(persona, method, address) -> answer. Nothing that a request changes stays."""
    answers = {}
    for name in names:
        client = api(name)
        for address, methods in found:
            if is_variant(address) and name != "maria":
                continue
            # The same views stand behind all variants of an address: one method will do.
            for method in methods[:1] if is_variant(address) else (*methods, "head", "options"):
                with transaction.atomic():
                    answers[name, method, address] = answer(client, method, address)
                    transaction.set_rollback(True)
    return answers


def leaks(answers):
    """The requests whose answer holds a canary that was not in the question."""
    found = []
    for (name, method, address), (status, headers, text) in answers.items():
        if name in ("lena", "aki") and FOR_STAFF.search(address):
            continue
        said = f"{headers} {text}".lower().replace(address.lower(), "")
        said = re.sub(rf"(query|label_names)={CANARY}[^\"]*", "", said)
        if CANARY in said:
            found.append((name, method, address, status))
    return found


def test_no_operation_shows_anything_hidden(api, hidden, unlimited, tally):
    answers = walk(api, OUTSIDERS, addresses(hidden))
    tally["API leak matrix: requests"] += len(answers)
    assert leaks(answers) == []
    assert not [key for key, (status, *_) in answers.items() if status >= 500]


def test_the_walk_finds_what_the_admin_sees(api, hidden, unlimited):
    """The positive control."""
    seen = {address for _, _, address, _ in leaks(walk(api, ["ada"], addresses(hidden)))}
    assert f"/api/v2/help_center/articles/{hidden['articles'][0]}" in seen
    assert f"/api/v2/help_center/articles/attachments/{hidden['attachments'][0]}" in seen


def test_a_planted_leak_is_found(api, hidden, unlimited, monkeypatch):
    """The positive control: a `visible_to` that forgets the audience of articles."""
    from segments.querysets import RestrictedQuerySet

    found = [each for each in addresses(hidden) if "/articles" in each[0]][:40]
    monkeypatch.setattr(RestrictedQuerySet, "visible_to", lambda self, user: self.all())
    assert leaks(walk(api, ["dan"], found))


def test_hidden_equals_missing(api, shown, cast, unlimited, tally, request):  # noqa: F811
    """The same requests with the hidden things and, rolled back to before them, without."""
    names = ["visitor", "maria"]
    clients = {name: api(name) for name in names}
    savepoint = transaction.savepoint()
    found = addresses(request.getfixturevalue("hidden"))
    with_hidden = walk(clients.get, names, found)
    transaction.savepoint_rollback(savepoint)
    assert not Article._base_manager.filter(translations__title__contains=CANARY).exists()
    without = walk(clients.get, names, found)
    tally["API twin worlds: requests"] += len(without)
    assert [key for key in without if with_hidden[key] != without[key]] == []


def test_the_twin_test_finds_a_difference(api, shown, cast, unlimited, request):  # noqa: F811
    """The positive control: to the admin the two worlds differ."""
    client = api("ada")
    savepoint = transaction.savepoint()
    found = addresses(request.getfixturevalue("hidden"))[:60]
    with_hidden = walk(lambda name: client, ["ada"], found)
    transaction.savepoint_rollback(savepoint)
    without = walk(lambda name: client, ["ada"], found)
    assert [key for key in without if with_hidden[key] != without[key]]


def test_what_a_body_names_is_hidden_too(api, shown, segment_of, cast):  # noqa: F811
    """Hidden ids in bodies are refused like missing ones."""
    from helpcenter.models import PermissionGroup

    guides = PermissionGroup.objects.create(
        name="Guides", publish=Audience.of(segment_of["publishers"])
    )
    mine = ArticleFactory(section=shown.section, permission_group=guides)
    things = hide_something(shown)
    path = f"/api/v2/help_center/articles/{mine.pk}"
    pia = api("pia")
    for field, ids in {
        "section_id": [things["section"][0].pk, 12345],
    }.items():
        answers = {
            pia.put(path, {"article": {field: pk}}).content.replace(str(pk).encode(), b"ID")
            for pk in ids
        }
        assert len(answers) == 1
    hidden_file, missing = things["attachment"][0].pk, 12345
    answers = {
        pia.post(f"{path}/bulk_attachments", {"attachment_ids": [pk]}).content.replace(
            str(pk).encode(), b"ID"
        )
        for pk in (hidden_file, missing)
    }
    assert len(answers) == 1

"""Every URL, as every persona: nothing hidden is shown, and hidden equals missing.

The URLs come from the resolver, so a new one is walked the day it is added; one whose arguments
are unknown here fails the test.
"""

import re
from urllib.parse import quote, quote_plus

import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import transaction
from django.test import Client
from django.urls import get_resolver, path

from accounts.models import AgentGroup, Organization, Tag
from helpcenter.models import Article, Attachment, Category, Section
from segments.checks import walk_urls
from segments.models import Audience, Segment
from tests.conftest import CAST
from tests.factories_content import (
    ArticleFactory,
    CategoryFactory,
    HelpCenterFactory,
    SectionFactory,
)

# In every text that belongs to something hidden; in lower case, because answers are lowered.
CANARY = "qzcanary"
# What the admin alone may see. Everybody else may not see what is hidden here.
OUTSIDERS = [name for name in CAST if name != "ada"]


@pytest.fixture
def shown(cast, segment_of):
    """A help center with something for each of the cast, all without canaries."""
    everyone = Audience.everyone()
    center = HelpCenterFactory(audience=everyone, locales=["en-us", "fr"])
    category = CategoryFactory(title="Guides", help_center=center, audience=everyone)
    section = SectionFactory(title="Basics", category=category, audience=everyone)
    for name, segment in segment_of.items():
        ArticleFactory(title=f"For {name}", section=section, audience=Audience.of(segment))
    return ArticleFactory(title="For everyone", section=section, audience=everyone)


def hide_something(shown):
    """A hidden object of each kind, with canaries everywhere; returns the objects by kind.

    They stand beside and inside what is shown, and their audience is a segment nobody is in.
    """
    tag = Tag.objects.create(name=f"{CANARY} tag")
    Organization.objects.create(name=f"{CANARY} organization")
    AgentGroup.objects.create(name=f"{CANARY} group")
    segment = Segment.objects.create(
        name=f"{CANARY} segment",
        conditions=[{"attribute": "tag", "operator": "any", "values": [tag.name]}],
    )
    hidden, everyone = Audience.of(segment), Audience.everyone()
    center = shown.section.category.help_center
    category = CategoryFactory(title=f"{CANARY} category", help_center=center, audience=hidden)
    section = SectionFactory(
        title=f"{CANARY} section", category=shown.section.category, audience=hidden
    )
    inner = SectionFactory(
        title=f"{CANARY} inner", category=section.category, parent=section, audience=everyone
    )
    empty = SectionFactory(title=f"{CANARY} empty", category=section.category, audience=everyone)
    body = f"{CANARY} body"
    article = ArticleFactory(
        title=f"{CANARY} article", body=body, section=shown.section, audience=hidden, promoted=True
    )
    inside = ArticleFactory(
        title=f"{CANARY} inside", body=body, section=inner, audience=everyone, promoted=True
    )
    draft = ArticleFactory(
        title=f"{CANARY} draft", body=body, section=shown.section, audience=everyone, draft=True
    )
    shown.translations.create(locale="fr", title=f"{CANARY} brouillon", body=body, draft=True)
    attachment = Attachment.objects.create(
        article=article, file=ContentFile(body.encode(), name=f"{CANARY}.txt")
    )
    return {
        "category": [category],
        "section": [section, inner, empty],
        "article": [article, inside, draft],
        "attachment": [attachment],
        "segment": [segment],
    }


METHODS = ["GET", "HEAD", "OPTIONS"]
# The admin turns all of them away alike; dan stands for them there.
LIKE_DAN = {"maria", "omar", "nadia", "claire", "ines"}
# The URLs that want to know which, and so are asked for hidden objects.
NAMED = {"category", "section", "article"}


def arguments(name, pattern, hidden):
    """All combinations of arguments to call a URL with; fails for arguments it does not know."""
    wanted = set(pattern.pattern.converters) or set(pattern.pattern.regex.groupindex)
    if name in NAMED:
        slugs = [f"{thing.pk}{tail}" for thing in hidden[name] for tail in ("", f"-{CANARY}")]
        return [{"locale": locale, "name": slug} for locale in ("en-us", "fr") for slug in slugs]
    if wanted == {"pk", "name"}:
        return [{"pk": a.pk, "name": a.file_name} for a in hidden["attachment"]]
    if wanted == {"locale"}:
        return [{"locale": "en-us"}, {"locale": "fr"}]
    if wanted == {"object_id"}:
        return [{"object_id": thing.pk} for things in hidden.values() for thing in things]
    fixed = {
        frozenset(): {},
        frozenset({"app_label"}): {"app_label": "helpcenter"},
        frozenset({"content_type_id", "object_id"}): {"content_type_id": 1, "object_id": 1},
        frozenset({"key"}): {"key": "abc"},
        frozenset({"uidb36", "key"}): {"uidb36": "1a", "key": "abc-def"},
        frozenset({"url"}): {"url": "nowhere"},
        frozenset({"id"}): {"id": "1"},
        frozenset({"user_id"}): {"user_id": "1"},
    }
    assert frozenset(wanted) in fixed, f"{name}: unknown arguments {wanted}; add them here."
    return [fixed[frozenset(wanted)]]


def addresses(hidden):
    """Every address there is, with hidden objects wherever one can be named."""
    found = []
    for name, route, pattern in walk_urls():
        if name.startswith("api:"):  # walked with other clients in helpcenter/api/test_exits.py
            continue
        for kwargs in arguments(name, pattern, hidden):
            found.append(_fill(route, kwargs))
    queries = [CANARY, CANARY[:3], "article", f"{CANARY} body", '" OR 1']
    found += [f"/hc/{locale}/search?query={q}" for locale in ("en-us", "fr") for q in queries]
    found += [f"/hc/en-us/sections/{s.pk}?page={p}" for s in hidden["section"] for p in (1, 2)]
    lists = ["article", "section", "category"]
    found += [f"/admin/helpcenter/{kind}/?q={CANARY}" for kind in lists]
    found += [
        f"/admin/autocomplete/?app_label=helpcenter&model_name={model}&field_name={field}&term=qz"
        for model, field in [("article", "section"), ("section", "parent"), ("section", "category")]
    ]
    return list(dict.fromkeys(found))


def _fill(route, kwargs):
    """The address of a route: `<int:pk>` and `(?P<key>…)` replaced by the arguments."""
    for name, value in kwargs.items():
        route = re.sub(rf"<(\w+:)?{name}>", str(value), route)
        route = re.sub(rf"\(\?P<{name}>(\[[^\]]*\]|[^()\[])*\)", str(value), route)
    return "/" + route.replace("^", "").replace("$", "").replace("\\Z", "").replace("\\", "")


def client_of(person):
    client = Client(raise_request_exception=True)
    if person.is_authenticated and person.is_active:
        client.force_login(person)
    return client


def answer(client, method, address):
    """Status, headers and body, without what differs between two equal requests."""
    response = client.generic(method, address)
    body = b"".join(response.streaming_content) if response.streaming else response.content
    moments = {"Date", "Expires", "Set-Cookie", "X-Rate-Limit-Remaining"}
    headers = {k: v for k, v in response.headers.items() if k not in moments}
    text = body.decode("utf-8", "replace")
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", text)
    return response.status_code, headers, text


def walk(cast, names, found):
    """(persona, method, address) -> answer."""
    answers = {}
    for name in names:
        client = client_of(cast[name])
        for address in found:
            if address.startswith("/admin") and name in LIKE_DAN:
                continue
            for method in METHODS if address.startswith("/hc") else METHODS[:1]:
                answers[name, method, address] = answer(client, method, address)
    return answers


def leaks(answers):
    """The requests whose answer holds a canary that was not in the question."""
    found = []
    for (name, method, address), (status, headers, text) in answers.items():
        said = f"{headers} {text}".lower()
        asked = address.lower()
        query = asked.rpartition("=")[2]
        forms = (asked, quote(asked), quote(asked, safe=""), query, quote(query), quote_plus(query))
        forms += (quote(quote(query)),)  # inside the `next` of a link
        for question in forms:
            said = said.replace(question.lower(), "")
        if CANARY in said:
            found.append((name, method, address, status))
    return found


def test_no_url_shows_anything_hidden(cast, shown, tally):
    found = addresses(hide_something(shown))
    answers = walk(cast, OUTSIDERS, found)
    tally["leak matrix: requests"] += len(answers)
    assert leaks(answers) == []
    assert not [key for key, (status, *_) in answers.items() if status >= 500]


def test_the_walk_finds_what_the_admin_sees(cast, shown):
    """The positive control: the same walk and the same search for canaries, as the admin."""
    hidden = hide_something(shown)
    seen = {address for _, _, address, _ in leaks(walk(cast, ["ada"], addresses(hidden)))}
    article, attachment = hidden["article"][0], hidden["attachment"][0]
    assert "/hc/en-us" in seen
    assert any(f"/articles/{article.pk}" in address for address in seen)
    assert any(str(attachment.pk) in address for address in seen)


def test_a_planted_leak_is_found(cast, shown, monkeypatch):
    """The positive control: a `visible_to` that forgets the audience of articles."""
    from segments.querysets import RestrictedQuerySet

    found = addresses(hide_something(shown))
    monkeypatch.setattr(RestrictedQuerySet, "visible_to", lambda self, user: self.all())
    assert leaks(walk(cast, ["dan"], found))


def test_hidden_equals_missing(cast, shown, tally):
    """The same requests with the hidden objects and, rolled back to before them, without."""
    names = ["visitor", "dan", "maria", "lena", "aki", "ines"]
    savepoint = transaction.savepoint()
    found = addresses(hide_something(shown))
    with_hidden = walk(cast, names, found)
    transaction.savepoint_rollback(savepoint)
    assert not Article._base_manager.filter(translations__title__contains=CANARY).exists()
    without = walk(cast, names, found)
    tally["twin worlds: requests"] += len(without)
    assert [key for key in without if with_hidden[key] != without[key]] == []


def test_the_twin_test_finds_a_difference(cast, shown):
    """The positive control: to the admin the two worlds differ."""
    savepoint = transaction.savepoint()
    found = addresses(hide_something(shown))
    with_hidden = walk(cast, ["ada"], found)
    transaction.savepoint_rollback(savepoint)
    without = walk(cast, ["ada"], found)
    assert [key for key in without if with_hidden[key] != without[key]]


def test_counts_of_shelves_do_not_tell(cast, shown):
    """A category whose only article is hidden is as missing as one that never was."""
    everyone = Audience.everyone()
    section = SectionFactory(
        category=CategoryFactory(help_center=shown.section.category.help_center, audience=everyone),
        audience=everyone,
    )
    ArticleFactory(section=section, audience=Audience.nobody())
    for model, pk in [(Category, section.category_id), (Section, section.pk)]:
        assert not model.objects.visible_to(cast["dan"]).filter(pk=pk).exists()
        assert model.objects.visible_to(cast["ada"]).filter(pk=pk).exists()


def test_an_unclassified_url_fails_the_check(monkeypatch):
    patterns = get_resolver().url_patterns
    monkeypatch.setattr(
        get_resolver(), "url_patterns", [*patterns, path("new/", lambda r: None, name="brand-new")]
    )
    with pytest.raises(SystemCheckError, match="brand-new"):
        call_command("check")


def test_every_url_is_classified():
    call_command("check")

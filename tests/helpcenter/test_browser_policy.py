"""What each answer tells browsers: nothing inline runs, nobody frames it, no other site is told."""

import re
from html.parser import HTMLParser

import pytest
from django.conf import settings
from django.test import Client

from segments.checks import walk_urls
from segments.models import Audience
from tests import exits
from tests.factories_content import ArticleFactory
from tests.test_exits import shown  # noqa: F401

pytestmark = [pytest.mark.django_db, pytest.mark.once]
VIDEOS = " ".join(f"https://{host}" for host in settings.VIDEO_HOSTS)
PAGE = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-src": VIDEOS,
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
FILE = {"default-src": "'none'", "sandbox": ""}
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Of scripts that are not run, but data.
DATA = {"application/json", "application/ld+json"}


class Inline(HTMLParser):
    """Collects what a page would run or style by itself, and what tells other sites of it."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "style" or tag == "base":
            self.found.append(tag)
        if tag == "script" and not attributes.get("src") and attributes.get("type") not in DATA:
            self.found.append("script")
        if tag == "meta" and attributes.get("name", "").lower() == "referrer":
            self.found.append("meta referrer")
        for name, value in attrs:
            policy = name == "referrerpolicy" and tag != "iframe"
            runs = (value or "").strip().lower().startswith(("javascript:", "data:text"))
            if name.startswith("on") or name == "style" or policy or runs:
                self.found.append(f"{tag} {name}")
        elsewhere = re.match(r"(https?:)?//", attributes.get("href") or "")
        if tag == "a" and elsewhere and "noreferrer" not in attributes.get("rel", ""):
            self.found.append(f"a {attributes['href']}")


def policy_of(response):
    parts = response["Content-Security-Policy"].split(";")
    return {name: rest for name, _, rest in (part.strip().partition(" ") for part in parts)}


def problems(response):
    """What is wrong with an answer; empty when nothing is."""
    found = [name for name, value in HEADERS.items() if response.headers.get(name) != value]
    if policy_of(response) not in (PAGE, FILE):
        found.append(response.headers.get("Content-Security-Policy"))
    if response.headers.get("Content-Type", "").startswith("text/html"):
        page = response.getvalue().decode()
        # Elsewhere than on its own page Django's admin links to this site only.
        found += [each for each in Inline(page).found if "djangoproject.com" not in each]
    return found


def test_every_answer(cast, shown, tally):  # noqa: F811
    article = shown.pk
    found = {
        re.sub(r"\d+", "", each): each for each in exits.page_addresses(exits.hide_something(shown))
    }
    for name, route, _pattern in walk_urls():
        if name.startswith("api:") and not name.endswith((".json", "-locale")):
            found[name] = "/" + re.sub(r"<\w+:(\w+)>", str(article), route)
    for name in ("visitor", "ada"):
        client = exits.signed_in(cast[name])
        for address in found.values():
            response = client.get(address)
            tally["answers with a strict policy"] += 1
            assert problems(response) == [], (name, address)
            if response.streaming:
                assert b"".join(response.streaming_content)


@pytest.mark.parametrize(
    "address", ["/hc/%00", "/hc/" + "x" * 9000, "/nowhere", "/api/nowhere", "/hc/en-us?page=%ff"]
)
def test_refusals_too(client, address):
    assert problems(client.get(address)) == []


def test_an_error_of_ours_too(monkeypatch):
    (pattern,) = [pattern for name, _route, pattern in walk_urls() if name == "start"]
    monkeypatch.setattr(pattern, "callback", lambda request: 1 / 0)
    response = Client(raise_request_exception=False).get("/")
    assert response.status_code == 500
    assert problems(response) == []


UNWANTED = """
<p style="color:red" onclick="alert(1)">x</p> <script>alert(1)</script> <style>*{}</style>
<base href="//evil.example"> <meta name="referrer" content="unsafe-url">
<a href="https://evil.example" referrerpolicy="unsafe-url" rel="opener">out</a>
<a href="//evil.example">out</a> <a href="javascript:alert(1)">x</a>
<img src="https://evil.example/x.png" referrerpolicy="unsafe-url">
<iframe src="https://www.youtube.com/embed/x" referrerpolicy="unsafe-url"></iframe>
"""


def test_what_authors_write_cannot_loosen_it(client):
    article = ArticleFactory(body=UNWANTED, audience=Audience.everyone())
    article.words = article.translations.get()
    response = client.get(article.address("en-us"))
    assert problems(response) == []
    page = response.content.decode()
    assert "unsafe-url" not in page
    # A video's host learns the name of this site, without which YouTube plays nothing; no more.
    assert page.count("referrerpolicy") == page.count('"strict-origin-when-cross-origin"') == 1


def test_a_loose_page_is_found():
    """The positive control."""
    found = Inline(UNWANTED).found
    assert {*found} >= {"p style", "p onclick", "script", "style", "base", "meta referrer"}
    assert {*found} >= {"a referrerpolicy", "a href", "img referrerpolicy", "a //evil.example"}


@pytest.mark.parametrize("directive", ["script-src", "style-src"])
def test_a_loose_policy_is_found(client, settings, directive):
    """The positive control."""
    policy = settings.CONTENT_SECURITY_POLICY
    loose = policy["DIRECTIVES"] | {directive: ["'self'", "'unsafe-inline'"]}
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": loose}
    assert problems(client.get("/hc")) != []

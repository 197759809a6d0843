"""The log of refusals: who, what and which rule, without words, and nothing when all is well."""

import logging
import re

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from segments.models import Audience
from tests import exits
from tests.factories_content import ArticleFactory, AttachmentFactory, SectionFactory
from tests.factories_people import PASSWORD
from tests.test_exits import shown  # noqa: F401

pytestmark = pytest.mark.django_db


@pytest.fixture
def denied(caplog):
    """denied() returns the lines since it was last called, without the time."""
    caplog.set_level(logging.INFO, "segments.access")

    def denied():
        records = [each for each in caplog.records if each.name == "segments.access"]
        caplog.clear()
        return [record.getMessage() for record in records]

    return denied


@pytest.fixture
def things(cast, segment_of):
    """Articles that dan may not see, each by another rule, and one that he may."""
    section = SectionFactory()
    hidden = SectionFactory(category=section.category, audience=Audience.nobody())
    everyone = Audience.everyone()
    return {
        "audience": ArticleFactory(section=section, audience=Audience.of(segment_of["acme"])),
        "draft": ArticleFactory(section=section, audience=everyone, draft=True),
        "above or inside": ArticleFactory(section=hidden, audience=everyone),
        "": ArticleFactory(section=section, audience=everyone),
    }


@pytest.mark.parametrize("rule", ["audience", "draft", "above or inside"])
@pytest.mark.parametrize(
    "pages", ["/hc/en-us/articles/{}-Title", "/api/v2/help_center/articles/{}"]
)
def test_a_hidden_article(things, cast, denied, rule, pages):
    pk, dan = things[rule].pk, cast["dan"].pk
    exits.signed_in(cast["dan"]).get(pages.format(pk))
    assert denied() == [
        f"denied who={dan} from=127.0.0.1 what=helpcenter.Article {pk} method=GET status=404 "
        f"rule={rule}"
    ]


@pytest.mark.surface(39)
def test_a_missing_article_takes_as_long(things, cast, denied):
    client = exits.signed_in(cast["dan"])
    asked = []
    for pk in (1, things["audience"].pk, 1):
        with CaptureQueriesContext(connection) as queries:
            client.get(f"/api/v2/help_center/articles/{pk}")
        asked.append([re.sub(r"\d+", "?", each["sql"]) for each in queries])
    assert asked[1] == asked[2]
    assert [line.rpartition("=")[2] for line in denied()] == ["missing", "audience", "missing"]


def test_what_is_shown_costs_nothing_and_says_nothing(things, cast, denied, settings):
    client, article = exits.signed_in(cast["dan"]), things[""]
    article.words = article.translations.get()
    pages = [article.address("en-us"), f"/api/v2/help_center/articles/{article.pk}"]

    def queries():
        client.handler._middleware_chain = None
        [client.get(page) for page in pages]  # what is compiled once is compiled
        with CaptureQueriesContext(connection) as found:
            assert {client.get(page).status_code for page in pages} == {200}
        return [re.sub(r"\d+", "?", each["sql"]) for each in found]

    with_log = queries()
    log = "helpcenter.denials.log_denials"
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if each != log]
    assert queries() == with_log
    assert denied() == []


def test_a_file(things, cast, denied):
    attachment = AttachmentFactory(article=things["audience"])
    Client().get(attachment.address())
    (line,) = denied()
    assert f"who=visitor from=127.0.0.1 what=helpcenter.Attachment {attachment.pk} " in line
    assert line.endswith("rule=above or inside")


@pytest.mark.parametrize(
    ("name", "method", "address", "expected"),
    [
        ("visitor", "get", "/admin/", "what=admin:index method=GET status=302 rule=sign-in"),
        ("visitor", "get", "/accounts/email/", "status=302 rule=sign-in"),
        ("dan", "get", "/admin/", "what=admin:index method=GET status=302 rule=sign-in"),
        ("lena", "get", "/admin/accounts/user/", "what=admin:accounts_user_changelist"),
        ("dan", "get", "/api/v2/users", "what=api:users method=GET status=403 rule=permission"),
        ("dan", "post", "/api/v2/users", "what=api:users method=POST status=403 rule=permission"),
        ("dan", "get", "/view-as/", "what=view_as method=GET status=404 rule=missing"),
    ],
)
def test_other_refusals(cast, denied, name, method, address, expected):
    getattr(exits.signed_in(cast[name]), method)(address)
    (line,) = denied()
    assert expected in line


def test_a_wrong_token_and_a_wrong_password(cast, denied):
    Client().get("/api/v2/users/me.json", headers={"Authorization": "Bearer nonsense"})
    data = {"login": "maria@example.com", "password": f"{PASSWORD} no"}
    Client().post(reverse("account_login"), data)
    token, password = denied()
    assert token.endswith("status=401 rule=credentials") and "who=visitor" in token
    assert "what=sign-in method=POST status=401 rule=credentials" in password
    assert "maria" not in password and PASSWORD not in password


def test_too_many_requests(cast, denied, settings):
    settings.API_REQUESTS_PER_MINUTE = {"token": 1, "address": 0}
    Client().get("/api/v2/users/me.json")
    assert denied() == [
        "denied who=visitor from=127.0.0.1 what=api method=GET status=429 rule=rate"
    ]
    cache.clear()
    data = {"email": "maria@example.com"}
    for _ in range(6):
        Client().post(reverse("account_reset_password"), data)
    (line,) = denied()
    assert line.endswith("what=account_reset_password method=POST status=429 rule=rate")


def test_whoever_views_as_somebody_is_named(things, cast, denied):
    client = exits.signed_in(cast["ada"])
    client.post("/view-as/", {"person": cast["dan"].email})
    client.get(f"/hc/en-us/articles/{things['audience'].pk}")
    (line,) = denied()
    assert f"who={cast['ada'].pk} as {cast['dan'].pk} " in line


def test_nothing_is_logged_for_addresses_that_lead_nowhere(cast, denied):
    Client().get("/nowhere/wp-login.php")
    Client().get("/hc/en-us/articles/1/x.css")
    assert denied() == []


@pytest.mark.once
@pytest.mark.surface(41)
def test_no_line_holds_words(cast, shown, denied, tally):  # noqa: F811
    """The walk of all addresses, which hold the words themselves: none gets into the log."""
    # One of each shape.
    found = {
        re.sub(r"\d+", "", each): each for each in exits.page_addresses(exits.hide_something(shown))
    }
    client, lines = exits.signed_in(cast["dan"]), []
    for address in found.values():
        client.get(address)
        new = denied()
        assert len(new) <= 1, address
        lines += new
    tally["refusals logged"] += len(lines)
    assert len(lines) > 50
    assert not [line for line in lines if exits.CANARY in line.lower()]
    who_and_what = r"denied who=\d+ from=[\d.]+ what=[\w.:-]+( \d+)?"
    whole = rf"{who_and_what} method=GET status=\d+ rule=[a-z -]+"
    assert not [line for line in lines if not re.fullmatch(whole, line)]

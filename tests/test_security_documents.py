"""docs/security.md is true: every item is there, and every test that it names exists."""

import ast
import re
from pathlib import Path

import pytest
from django.conf import settings

from segments.models import Audience
from tests.factories_content import ArticleFactory

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "security.md"
V8 = ["8.1.1", "8.1.2", "8.1.3", "8.1.4", "8.2.1", "8.2.2", "8.2.3", "8.2.4"]
V8 += ["8.3.1", "8.3.2", "8.3.3", "8.4.1", "8.4.2"]
OTHERS = ["7.4.1", "7.4.2", "10.3.3", "10.5.2", "14.2.2", "14.2.5", "14.3.2", "15.3.1"]
OTHERS += ["15.3.3", "15.4.2", "16.3.2", "16.5.2", "16.5.3"]
# What a site can only do where it is deployed.
DUTIES = {"8.2.4", "8.4.2"}


def rows(text):
    """Item -> the tests of its row; a list, because an item might be there twice."""
    found = re.findall(r"^\| (\d+\.\d+\.\d+) \|.*\| ([^|]+) \|$", text, re.MULTILINE)
    return [(item, tests.split(", ")) for item, tests in found]


def problems(text):
    """What is wrong with the document, one line each."""
    found = rows(text)
    items = [item for item, _tests in found]
    if items != V8 + OTHERS:
        yield f"Missing, twice or unknown: {sorted({*V8, *OTHERS} ^ {*items}) or items}"
    for item, tests in found:
        if tests == ["deployment"] and item in DUTIES:
            continue
        yield from (f"{item}: there is no test {test}" for test in tests if not exists(test))


def exists(test):
    """Is there a file, class or function of this name that pytest collects?"""
    path, *names = test.split("::")
    file = ROOT / path
    if not re.fullmatch(r"tests/[\w/]*test_\w+\.py", path) or not file.is_file():
        return False
    body = ast.parse(file.read_text()).body
    for name in names:
        known = {each.name: each for each in body if hasattr(each, "name")}
        if name not in known or not name.lower().startswith("test"):
            return False
        body = known[name].body
    return True


def test_every_item_is_there_with_tests_that_exist():
    assert list(problems(DOCUMENT.read_text())) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("| 8.2.2 | 1 |", "| 8.2.9 | 1 |"),
        ("| 16.5.3 | 2 |", "| 16.5.2 | 2 |"),
        ("test_roles.py::test_cell", "test_roles.py::test_cells"),
        ("tests/segments/test_views.py", "tests/segments/test_view.py"),
        ("TestMemory", "Memory"),
        ("| 8.2.1 | 1 |", "| 8.2.1 | 1 | deployment |\n|"),
    ],
)
def test_what_is_wrong_is_found(old, new):
    text = DOCUMENT.read_text()
    assert old in text
    assert list(problems(text.replace(old, new)))


def test_links_lead_somewhere():
    for document in (DOCUMENT, ROOT / "SECURITY.md"):
        targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text())
        assert targets
        assert not [target for target in targets if not (document.parent / target).exists()]


# What no other test shows -------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_a_request_says_of_itself_grants_nothing(client, cast, segment_of):
    """French people see it: that is a stored attribute, not what a browser says."""
    article = ArticleFactory(audience=Audience.of(segment_of["french"]))
    address = f"/api/v2/help_center/articles/{article.pk}"
    said = [
        {},
        {"Accept-Language": "fr"},
        {"Cookie": f"{settings.LANGUAGE_COOKIE_NAME}=fr"},
        {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Real-IP": "127.0.0.1"},
        {"User-Agent": "Googlebot", "Referer": "http://testserver/admin/"},
        {"X-Forwarded-User": "claire@example.com", "Remote-User": "claire@example.com"},
        {"Date": "Mon, 01 Jan 2001 00:00:00 GMT"},
    ]
    for name, status in [("dan", 404), ("claire", 200)]:
        client.force_login(cast[name])
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        for headers in said:
            cookie = f"{settings.SESSION_COOKIE_NAME}={session}; {headers.get('Cookie', '')}"
            answer = client.get(address, headers={**headers, "Cookie": cookie})
            assert answer.status_code == status, (name, headers)


@pytest.mark.django_db
def test_a_refusal_is_logged_without_what_is_hidden(client, caplog):
    article = ArticleFactory(title="heliotrope", audience=Audience.nobody())
    assert client.get(f"/hc/en-us/articles/{article.pk}").status_code == 404
    assert client.get("/api/v2/users").status_code == 401
    logged = [record.getMessage() for record in caplog.records if record.name == "django.request"]
    assert [str(article.pk) in logged[0], "/api/v2/users" in logged[1]] == [True, True]
    assert "heliotrope" not in caplog.text


def test_nobody_else_signs_people_in():
    """No identity provider, and no header that a proxy sets, stands for somebody."""
    assert not [app for app in settings.INSTALLED_APPS if "socialaccount" in app]
    assert not [name for name in settings.AUTHENTICATION_BACKENDS if "Remote" in name]
    assert not [name for name in settings.MIDDLEWARE if "Remote" in name]

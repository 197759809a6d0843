"""A real browser against a live server. Every test fails on whatever the page's console reports."""

import os
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.conf import settings
from playwright.sync_api import sync_playwright

ARTIFACTS = Path(__file__).resolve().parents[2] / "test-artifacts"
NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
# Style sheets that import others would be read by an inline style, which the pages refuse.
OPTIONS = {"preload": False}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium, started once."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        message = "no Chromium on this machine"
        if os.environ.get("BROWSER_TESTS") == "required":
            pytest.fail(message)
        pytest.skip(message)
    # Playwright keeps an event loop in this thread, where Django would refuse to use the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield chromium
        chromium.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def site(live_server, settings, tmp_path, django_db_serialized_rollback):
    """The demo's content, without the demo around it."""
    from helpcenter import demo

    settings.MEDIA_ROOT = tmp_path
    settings.SENDFILE_ROOT = str(tmp_path)
    demo.fill()


@pytest.fixture
def page(browser, live_server):
    """A page in a new browser profile, at the live server's address.

    At the end the test fails on console errors (violations of the content security policy are
    among them), uncaught exceptions, and files that could not be loaded. A page that is itself
    answered with 404 is no error, nor is the icon that Chromium asks for by itself.
    """
    problems = []
    visited = set()

    def note_console(message):
        url = message.location["url"]
        missing = message.text.startswith("Failed to load resource")
        if missing and (url in visited or url.endswith("/favicon.ico")):
            return
        if message.type == "error":
            problems.append(f"{message.text} ({url})")

    context = browser.new_context(base_url=live_server.url, locale="en-US")
    page = context.new_page()
    page.on("request", lambda request: request.is_navigation_request() and visited.add(request.url))
    page.on("console", note_console)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def sign_in(page, live_server, client):
    """sign_in(user): from now on the page is visited as this person."""

    def sign_in(user):
        client.force_login(user)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}]
        )

    return sign_in


@pytest.fixture
def screenshot(page):
    """screenshot("start-page") writes test-artifacts/start-page.png."""

    def screenshot(name):
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)

    return screenshot


@pytest.fixture
def axe():
    """axe(page): the page's serious and critical accessibility problems, one text for each."""

    def axe(page):
        problems = []
        for found in Axe().run(page, options=OPTIONS).response["violations"]:
            if found["impact"] in ("serious", "critical"):
                places = ", ".join(str(node["target"]) for node in found["nodes"])
                problems.append(f"{found['impact']}: {found['help']}: {places}")
        return problems

    return axe

"""Uploaded files in a real browser: no script of theirs runs on the site's origin."""

from pathlib import Path

import pytest

from segments.checks import walk_urls
from segments.models import Audience
from tests.factories_content import ArticleFactory, AttachmentFactory

pytestmark = pytest.mark.django_db(transaction=True)
SCRIPT = b"<script>document.documentElement.setAttribute('data-ran', 'yes')</script>"
PAGES = {
    "page.html": b"<!doctype html><html><body>" + SCRIPT + b"</body></html>",
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>",
    "picture.png": b"<!doctype html><html><body>" + SCRIPT + b"</body></html>",
}
# A picture to whoever looks at its first bytes, a page to whoever looks at its name.
POLYGLOT = b"GIF89a/*" + PAGES["page.html"] + b"*/"
TYPES = {"page.html": "text/html", "drawing.svg": "image/svg+xml", "picture.png": "text/html"}


def uploaded(name, content):
    article = ArticleFactory(audience=Audience.everyone())
    return AttachmentFactory(article=article, name=name, content=content).address()


def has_run(page):
    return page.evaluate("document.documentElement.getAttribute('data-ran')") == "yes"


@pytest.mark.parametrize(("name", "content"), PAGES.items(), ids=PAGES)
def test_a_page_is_saved_and_not_opened(live_server, page, name, content):
    address = uploaded(name, content)
    page.goto("/accounts/login/")
    with page.expect_download() as download:
        page.evaluate("address => { location = address }", address)
    assert Path(download.value.path()).read_bytes() == content
    assert page.url.endswith("/accounts/login/") and not has_run(page)


def test_a_picture_that_is_a_page_too_is_a_picture(live_server, browser):
    # Not `page`: the box also refuses the style with which Chromium centres a picture, and says so.
    context = browser.new_context(base_url=live_server.url)
    try:
        page = context.new_page()
        response = page.goto(uploaded("page.html", POLYGLOT))
        assert response.header_value("Content-Type") == "image/gif"
        assert not has_run(page)
    finally:
        context.close()


@pytest.mark.parametrize(("name", "content"), PAGES.items(), ids=PAGES)
def test_a_page_that_is_opened_would_run(live_server, page, monkeypatch, name, content):
    """The positive control: the same files, without what boxes them in."""
    (pattern,) = [pattern for known, _route, pattern in walk_urls() if known == "attachment"]
    view = pattern.callback

    def opened(request, **kwargs):
        response = view(request, **kwargs)
        response.headers["Content-Type"] = TYPES[name]
        response.headers["Content-Disposition"] = "inline"
        response.headers["Content-Security-Policy"] = "script-src 'unsafe-inline'"
        return response

    monkeypatch.setattr(pattern, "callback", opened)
    page.goto(uploaded(name, content))
    assert has_run(page)

"""The positive controls of the leak matrix: one exit after the other forgets who is looking."""

import sys
from contextlib import ExitStack, contextmanager
from unittest import mock

import pytest

from helpcenter import querysets
from helpcenter.models import Article
from segments.querysets import RestrictedQuerySet
from tests import exits

API = "/api/v2/help_center"
# What leaks -> (the function in which every `visible_to` shows all rows, an address that calls it).
# In braces: the id of a hidden thing or of the shown article, or the whole address of something.
LEAKS = {
    "the page of an article": ("views.py::article", "/hc/en-us/articles/{article}"),
    "the page of a section": ("views.py::section", "/hc/en-us/sections/{section}"),
    "the page of a category": ("views.py::category", "/hc/en-us/categories/{category}"),
    "a translation": ("views.py::_find", "/hc/fr/articles/{shown}"),
    "what is in a section": ("views.py::section", "{basics}"),
    "the articles of a category": ("views.py::_hang_articles", "{guides}"),
    "the sections of the home page": ("views.py::_hang_sections", "/hc/en-us"),
    "the home page": ("views.py::home", "/hc/en-us"),
    "what is beside an article": ("views.py::article", "{beside}"),
    "a search": ("views.py::search", "/hc/en-us/search?query=qzcanary"),
    "a file": ("views.py::attachment", "{file}"),
    "an article by the API": ("api/base.py::retrieve", f"{API}/articles/{{article}}"),
    "articles by the API": ("api/base.py::list", f"{API}/articles?per_page=100"),
    "sections by the API": ("api/base.py::list", f"{API}/sections?per_page=100"),
    "categories by the API": ("api/base.py::list", f"{API}/categories?per_page=100"),
    "a search by the API": ("api/base.py::list", f"{API}/articles/search?query=qzcanary"),
    "an export": ("api/articles.py::list", f"{API}/incremental/articles?start_time=0"),
    "files by the API": ("api/base.py::list", f"{API}/articles/{{article}}/attachments"),
    "comments by the API": ("api/base.py::list", f"{API}/articles/{{article}}/comments"),
    "what somebody wrote": ("api/base.py::list", f"{API}/users/{{user}}/articles"),
    "what somebody said": ("api/base.py::list", f"{API}/users/{{user}}/comments"),
    "labels": ("api/base.py::list", f"{API}/articles/labels"),
}
QUERYSETS = [
    each
    for each in [RestrictedQuerySet, *vars(querysets).values()]
    if isinstance(each, type) and "visible_to" in vars(each)
]


@contextmanager
def forgetting(place):
    """Inside, every `visible_to` that is called from this function, however deep, is all rows."""
    file, name = place.split("::")

    def is_inside(frame):
        while frame is not None:
            code = frame.f_code
            if code.co_name == name and code.co_filename.endswith(file):
                return True
            frame = frame.f_back
        return False

    def forgetful(sound):
        def visible_to(rows, user):
            return rows.all() if is_inside(sys._getframe()) else sound(rows, user)

        return visible_to

    with ExitStack() as patches:
        for each in QUERYSETS:
            patch = mock.patch.object(each, "visible_to", forgetful(each.visible_to))
            patches.enter_context(patch)
        yield


def address_of(thing):
    """Where its page is; any other address of it redirects."""
    thing.words = thing.translations.get(locale="en-us")
    return thing.address("en-us")


@pytest.mark.once
@pytest.mark.django_db
@pytest.mark.surface(1, 2, 4, 5, 9, 11, 12, 22, 24, 29, 31, 46, 52)
def test_each_planted_leak_is_found(cast, segment_of, settings):
    settings.API_REQUESTS_PER_MINUTE = {"token": 10**6, "address": 10**6}
    shown = exits.show_something(segment_of)
    hidden = exits.hide_something(shown)
    # Hidden ones first, so that no list ends before them.
    Article._base_manager.exclude(pk__in=hidden.ids("article")).update(position=9)
    names = {kind: things[0].pk for kind, things in hidden.things.items()} | {
        "shown": shown.pk,
        "beside": address_of(shown),
        "basics": address_of(shown.section),
        "guides": address_of(shown.section.category),
        "file": hidden.things["attachment"][0].address(),
    }
    # Labels are for staff, and exports for editors.
    clients = {who: exits.signed_in(cast[who]) for who in ("dan", "lena", "edda")}
    unfound, always = [], []
    for what, (place, address) in LEAKS.items():
        asked = [
            exits.Question(who, "GET", address.format(**names), "text/html") for who in clients
        ]
        always += exits.leaks(hidden, exits.walk(clients, asked))
        with forgetting(place):
            if not exits.leaks(hidden, exits.walk(clients, asked)):
                unfound.append(what)
    assert always == []
    assert unfound == []

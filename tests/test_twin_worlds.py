"""Hidden equals missing: worlds that differ by one hidden object give the same answers."""

import random

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.expressions import RawSQL

from helpcenter import search
from segments.models import Audience
from tests import twins

pytestmark = pytest.mark.django_db


@pytest.fixture
def compare(cast, segment_of, settings, tally):
    """The differences between pairs of worlds: so many worlds, each with so many hidden objects."""
    settings.API_REQUESTS_PER_MINUTE = {"token": 10**6, "address": 10**6}

    def differences(
        seed, worlds, hidden, questions, kinds=twins.KINDS, about="", world_of=twins.TwinWorld
    ):
        for number in range(worlds):
            world = world_of(seed, number, cast, segment_of)
            hideable = [kind for kind in kinds if world.may_not_know(kind)]
            chosen = world.rng.sample(hideable, min(hidden, len(hideable)))
            yield from twins.differences(world, chosen, questions, about, tally)

    return differences


@pytest.mark.surface(7, 8, 9, 12, 13, 18, 22, 33, 34, 36, 38, 52, 53)
def test_a_hidden_object_changes_no_byte(compare, share):
    worlds = round(14 * share)
    assert list(compare(connection.vendor, worlds, hidden=8, questions=7)) == []


@pytest.mark.fuzz
def test_no_hidden_object_changes_a_byte(compare, request):
    seed = request.config.getoption("--hypothesis-seed") or random.randrange(2**32)
    assert list(compare(seed, worlds=125, hidden=8, questions=12)) == []


def test_counts_of_what_is_hidden_are_found(compare, settings, tmp_path):
    """The positive control: one template counts without asking who is looking."""
    folder = settings.BASE_DIR / "templates"
    text = (folder / "category.html").read_text()
    content = "{% block content %}"
    planted = text.replace(content, content + "{{ category.sections.count }}")
    (tmp_path / "category.html").write_text(planted)
    (template,) = settings.TEMPLATES
    settings.TEMPLATES = [template | {"DIRS": [tmp_path, folder]}]
    found = next(compare("counts", 9, 1, 20, ["section"], about="/hc/en-us/categories"))
    assert found.beside.status == 200


class AlphaBeta(twins.TwinWorld):
    """Two words equally rare, and a hidden article with one of them."""

    def text(self, rng):
        return rng.choice(["alpha alpha alpha beta", "alpha beta beta beta", *["gamma"] * 3])

    def secret(self, rng):
        return f"alpha {twins.CANARY}"

    def audience(self, rng):
        return Audience.everyone()

    def _queries(self, rng):
        return ["alpha beta"]


@pytest.mark.once
def test_a_ranking_that_counts_hidden_rows_is_found(compare, monkeypatch):
    """The positive control: the ranking of FTS5 knows how rare a word is among all rows."""
    plain = search.search

    def ranked(translations, query):
        terms = " ".join(f'"{term}"' for term in search.terms_of(query)) + "*"
        sql = (
            f"(SELECT bm25({search.INDEX}) FROM {search.INDEX} WHERE {search.INDEX} MATCH %s"
            f" AND rowid = {search.TABLE}.id)"
        )
        return plain(translations, query).order_by(RawSQL(sql, [terms]), F("article_id"))

    monkeypatch.setattr(search, "search", ranked)
    found = next(compare("ranking", 20, 1, 2, ["article"], "query=", AlphaBeta))
    assert found.beside.status == 200

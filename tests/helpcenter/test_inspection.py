"""Who can see this, what can this person see, and why: the admin's pages say what the rule says."""

import csv
import io

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from helpcenter.models import Article, Category, Section
from segments import inspection
from segments.models import Audience
from segments.reach import reach_of
from tests.factories_content import ArticleFactory
from tests.factories_people import PersonFactory

pytestmark = pytest.mark.django_db
NAMES = ["dan", "maria", "omar", "nadia", "claire", "ines", "lena", "aki", "edda", "ada"]
HOSTILE = ["%", "'", '"', "a" * 5000, "\\", "=1+1", "<b>", "\ud7ff"]


@pytest.fixture
def admin(cast):
    client = Client()
    client.force_login(cast["ada"])
    return client


@pytest.fixture
def articles(segment_of):
    acme, french = segment_of["acme"], segment_of["french"]
    return [
        ArticleFactory(title="Public", audience=Audience.everyone()),
        ArticleFactory(title="Hidden", audience=Audience.nobody()),
        ArticleFactory(title="Acme", audience=Audience.of(acme, segment_of["returns"])),
        ArticleFactory(
            title="Both", audience=Audience.of(french), section__audience=Audience.of(acme, french)
        ),
    ]


def at(thing, page):
    options = type(thing)._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{page}", args=[thing.pk])


def lines(answer):
    return list(csv.reader(io.StringIO(answer.getvalue().decode())))


@pytest.mark.parametrize("name", ["", *NAMES])
def test_the_verdict_is_the_rules(admin, cast, articles, name):
    person = cast[name or "visitor"]
    for article in articles:
        for thing in (article, article.section, article.section.category):
            asked = {"person": f"{name}@example.com" if name else ""}
            answer = admin.get(at(thing, "explain"), asked)
            visible = thing.is_visible_to(person)
            assert answer.context["explanation"].visible is visible
            assert ("cannot see this" in answer.content.decode()) is not visible


def test_the_chain_is_shown_with_ticks(admin, articles):
    answer = admin.get(at(articles[2], "explain"), {"person": "aki@example.com"})
    page = answer.content.decode()
    for words in ("Customers of Acme", "Returns team", "✓", "✗", "person is in it", "1 article"):
        assert words in page


def test_people_are_known_by_name_too(admin, articles):
    answer = admin.get(at(articles[0], "explain"), {"person": "maria"})
    assert answer.context["explanation"].person == "Maria"


@pytest.mark.parametrize("text", ["nobody@example.com", "Mari", "Nobody Known"])
def test_unknown_people_are_said(admin, articles, text):
    answer = admin.get(at(articles[0], "explain"), {"person": text})
    assert "there is none called" in answer.content.decode()
    assert answer.context["explanation"] is None


@pytest.mark.parametrize("why", ["members", "editors", "admins"])
def test_who_can_see_is_the_reach(admin, cast, articles, why):
    for thing in [*articles, articles[0].section, articles[0].section.category]:
        answer = admin.get(at(thing, "who_can_see"), {"why": why})
        expected = list(getattr(reach_of(thing), why).order_by("pk"))
        assert list(answer.context["page"]) == expected
        told = lines(admin.get(at(thing, "who_can_see_csv"), {"why": why}))
        assert [line[1] for line in told[1:]] == [person.email for person in expected]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", [Article, Section, Category])
def test_what_a_person_can_see_is_what_they_see(admin, cast, articles, name, model):
    asked = {"kind": model._meta.label_lower}
    expected = set(model.objects.visible_to(cast[name]).values_list("pk", flat=True))
    answer = admin.get(at(cast[name], "can_see"), asked)
    assert {row.pk for row in answer.context["page"]} == expected
    told = lines(admin.get(at(cast[name], "can_see_csv"), asked))
    assert {int(line[0]) for line in told[1:]} == expected


def test_lists_can_be_searched(admin, cast, articles):
    answer = admin.get(at(articles[0], "who_can_see"), {"q": "maria", "why": "members"})
    assert [str(person) for person in answer.context["page"]] == ["Maria"]
    answer = admin.get(at(cast["maria"], "can_see"), {"q": "publ"})
    assert [str(row) for row in answer.context["page"]] == ["Public"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_finds_nothing_and_breaks_nothing(admin, cast, articles, text):
    for thing, page in [(articles[0], "who_can_see"), (cast["dan"], "can_see")]:
        for more in ({"p": "-1"}, {"p": "x"}, {"why": text}, {"kind": text}):
            answer = admin.get(at(thing, page), {"q": text} | more)
            assert answer.status_code in (200, 414)
    answer = admin.get(at(articles[0], "explain"), {"person": text})
    assert answer.status_code in (200, 414)


def test_long_lists_come_in_parts(admin, cast, articles, monkeypatch):
    monkeypatch.setattr(inspection, "PART", 3)
    address = at(articles[0], "who_can_see_csv")
    whole = admin.get(address).getvalue()
    after, parts = "", []
    while after is not None:
        answer = admin.get(address, {"after": after})
        parts.append(answer.content)
        after = answer.headers.get("X-Next")
    assert b"".join(parts) == whole
    assert len(parts) == 4
    assert admin.get(address, {"after": "x"}).status_code == 404


def test_no_cell_is_a_formula(admin, cast, articles):
    PersonFactory(name='=HYPERLINK("x")', email="formula@example.com")
    text = admin.get(at(articles[0], "who_can_see_csv")).getvalue().decode()
    assert "'=HYPERLINK" in text


def test_the_cost_does_not_grow(admin, cast, segment_of):
    article = ArticleFactory(audience=Audience.of(segment_of["acme"]))

    def queries():
        with CaptureQueriesContext(connection) as captured:
            admin.get(at(article, "who_can_see"))
            admin.get(at(cast["maria"], "can_see"))
        return len(captured)

    queries()
    few = queries()
    for number in range(6):
        PersonFactory(organizations=["Acme"], email=f"more{number}@example.com")
        ArticleFactory(section=article.section, audience=Audience.of(segment_of["acme"]))
    assert queries() == few


def test_what_is_missing_is_missing(admin, cast):
    assert admin.get(at(Article(pk=12345), "explain")).status_code == 404
    # Going back is sent, and never an address to follow.
    assert admin.get(at(cast["maria"], "go_back")).status_code == 404


@pytest.mark.surface(4)
@pytest.mark.parametrize("name", ["visitor", "dan", "lena", "pia"])
def test_only_for_admins(cast, articles, name):
    client = Client()
    if name != "visitor":
        client.force_login(cast[name])
    pages = [(articles[2], p) for p in ("explain", "who_can_see", "who_can_see_csv")]
    pages += [(cast["maria"], p) for p in ("can_see", "can_see_csv")]
    for thing, page in pages:
        answer = client.get(at(thing, page), {"person": "maria@example.com"})
        missing = client.get(at(thing, page).replace(str(thing.pk), "12345"))
        assert answer.status_code in (302, 403)
        assert answer.status_code == missing.status_code
        assert b"Maria" not in answer.content and b"Acme" not in answer.content

"""Who can see this, what can this person see, and why: the admin's pages say what the rule says."""

import csv
import io

import pytest
from django.contrib.admin.sites import site
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import User
from helpcenter.models import Article, Category, PermissionGroup, Section
from segments import inspection
from segments.inspection import ExplainsAccess, PersonAccess
from segments.models import Audience, Segment
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


class TestWords:
    """What the pages say of themselves, and where their links lead."""

    def context(self, answer, *names):
        return [answer.context[name] for name in names]

    def test_a_form_has_links_to_them_for_admins_only(self, admin, cast, articles, segment_of):
        article = articles[0]
        answer = admin.get(at(article, "change"))
        assert answer.context["tools"] == [
            (at(article, "who_can_see"), "Who can see this"),
            (at(article, "explain"), "Explain"),
        ]
        assert answer.context["decides"] == ExplainsAccess.decides
        answer = admin.get(at(cast["dan"], "change"))
        link = (at(cast["dan"], "can_see"), "What this person can see")
        assert answer.context["tools"][0] == link
        assert answer.context["decides"] == PersonAccess.decides
        assert admin.get(reverse("admin:helpcenter_article_add")).context["tools"] == []
        group = PermissionGroup.objects.create(
            name="Guides",
            edit=Audience.of(segment_of["editors"]),
            publish=Audience.of(segment_of["publishers"]),
        )
        mine = ArticleFactory(permission_group=group)
        client = Client()
        client.force_login(cast["pia"])
        assert client.get(at(mine, "change")).context["tools"] == []

    def test_who_can_see(self, admin, cast, articles):
        article = articles[2]
        asked = {"why": "admins", "q": "ada", "p": "1", "x": "1"}
        answer = admin.get(at(article, "who_can_see"), asked)
        assert self.context(answer, "title", "thing", "back", "why", "csv", "is_public") == [
            "Who can see “Acme”",
            article,
            at(article, "change"),
            "admins",
            at(article, "who_can_see_csv"),
            False,
        ]
        assert answer.context["groups"] == [
            {"name": "members", "words": "By segments", "count": 3},
            {"name": "editors", "words": "By the right to edit", "count": 0},
            {"name": "admins", "words": "Admins, who see everything", "count": 1},
        ]
        query = "why=admins&q=ada&x=1"
        assert self.context(answer, "q", "query", "export") == ["ada", query, query]
        public = admin.get(at(articles[0], "who_can_see"))
        assert self.context(public, "is_public", "why") == [True, "members"]

    def test_the_file_of_who_can_see(self, admin, cast, articles):
        article = articles[2]
        address = at(article, "who_can_see_csv")
        answer = admin.get(address, {"q": "mari"})
        assert lines(answer) == [
            ["Person", "User name", "Why"],
            ["Maria", "maria@example.com", "By segments"],
        ]
        name = f'attachment; filename="who-can-see-{article.pk}.csv"'
        part = admin.get(address, {"after": ""})
        for each in (answer, part):
            assert each.headers["Content-Type"] == "text/csv; charset=utf-8"
            assert each.headers["Content-Disposition"] == name
        assert len(lines(part)) == 4

    def test_a_part_that_is_full_to_the_brim_is_the_last_one(
        self, admin, cast, articles, monkeypatch
    ):
        monkeypatch.setattr(inspection, "PART", 3)
        answer = admin.get(at(articles[2], "who_can_see_csv"), {"after": ""})
        assert len(lines(answer)) == 4 and "X-Next" not in answer.headers

    def test_long_lists_have_pages(self, admin, articles, monkeypatch):
        monkeypatch.setattr(inspection, "PER_PAGE", 2)
        page = admin.get(at(articles[2], "who_can_see"), {"p": "2"}).context["page"]
        assert (page.number, len(page)) == (2, 1)

    def test_why_somebody_sees(self, admin, cast, articles):
        article = articles[2]
        answer = admin.get(at(article, "explain"))
        names = ("title", "explanation", "others")
        assert self.context(answer, *names) == ["Who sees “Acme”, and why", None, {}]
        assert not answer.context["form"].is_bound
        asked = {"person": "maria@example.com"}
        others = admin.get(at(article, "explain"), asked).context["others"]
        assert {
            Segment.objects.get(pk=pk).name: (
                each["people"],
                sorted(use.words for use in each["uses"]),
            )
            for pk, each in others.items()
        } == {"Customers of Acme": (2, ["article", "section"]), "Returns team": (1, ["article"])}

    def test_what_somebody_can_see(self, admin, cast, articles):
        dan = cast["dan"]
        answer = admin.get(at(dan, "can_see"))
        assert self.context(answer, "title", "thing", "back", "kind", "csv", "username") == [
            "What Dan can see",
            dan,
            at(dan, "change"),
            "helpcenter.article",
            at(dan, "can_see_csv"),
            "dan@example.com",
        ]
        assert answer.context["kinds"][0] == ("helpcenter.article", "articles")
        assert answer.context["explain"] == "admin:helpcenter_article_explain"
        other = admin.get(at(dan, "can_see"), {"kind": "helpcenter.section"})
        assert other.context["kind"] == "helpcenter.section"

    def test_the_file_of_what_somebody_can_see(self, admin, cast, articles):
        dan = cast["dan"]
        ArticleFactory(title="Other", audience=Audience.everyone())
        answer = admin.get(at(dan, "can_see_csv"), {"q": "publ"})
        assert lines(answer) == [["Id", "article"], [str(articles[0].pk), "Public"]]
        name = f'attachment; filename="visible-to-{dan.pk}.csv"'
        assert answer.headers["Content-Disposition"] == name

    @pytest.mark.parametrize(
        ("model", "pages"),
        [
            (Article, ["who-can-see", "who-can-see-csv", "explain"]),
            (User, ["can-see", "can-see-csv", "go-back"]),
        ],
    )
    def test_where_the_pages_are(self, model, pages):
        """The addresses, and the views behind Django's check of who is on the staff."""
        options = model._meta
        views = {"explain": "explain_view"}
        found = [
            (str(each.pattern), each.name, each.callback.__wrapped__.__name__)
            for each in site._registry[model].get_urls()
            if str(each.pattern).split("/")[1:2] in [[page] for page in pages]
        ]
        names = [page.replace("-", "_") for page in pages]
        assert found == [
            (
                f"<path:object_id>/{page}/",
                f"{options.app_label}_{options.model_name}_{name}",
                views.get(name, name),
            )
            for page, name in zip(pages, names, strict=True)
        ]

"""What the rule costs: a constant number of queries, and filters by indexed integers."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection
from django.test.utils import CaptureQueriesContext

from helpcenter.models import Article, Category, Section
from segments import snapshot
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory, CategoryFactory, SectionFactory
from tests.factories_people import PersonFactory, TagFactory


def queries_of(function):
    """How many queries a second call makes, as in a process that has compiled the rules."""
    function()
    with CaptureQueriesContext(
        connection,
    ) as captured:
        function()
    return len(captured)


def grow(times):
    """More of everything: segments, audiences, categories, nested sections, articles."""
    TagFactory(name="gold")
    condition = {"attribute": "tag", "operator": "any", "values": ["gold"]}
    for _ in range(times):
        segment = Segment.objects.create(
            name=f"Segment {Segment.objects.count()}", conditions=[condition]
        )
        category = CategoryFactory(audience=Audience.of(segment), help_center=center())
        outer = SectionFactory(category=category)
        inner = SectionFactory(category=category, parent=outer)
        for section in (outer, inner):
            ArticleFactory(section=section, audience=Audience.of(segment))
            ArticleFactory(section=section, audience=Audience.everyone())


def center():
    from helpcenter.models import HelpCenter
    from tests.factories_content import HelpCenterFactory

    return HelpCenter.objects.first() or HelpCenterFactory()


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["visitor", "gold", "agent"])
@pytest.mark.parametrize("model", [Article, Section, Category])
def test_visible_to_makes_a_constant_number_of_queries(who, model, tally):
    grow(1)
    person = {
        "visitor": AnonymousUser,
        "gold": lambda: PersonFactory(tags=["gold"]),
        "agent": lambda: PersonFactory(role="agent"),
    }[who]()

    def lists():
        with snapshot.read_only():
            return len(list(model.objects.visible_to(person)))

    few, seen_before = queries_of(lists), lists()
    grow(8)
    many, seen_after = queries_of(lists), lists()
    tally[f"queries of {model.__name__}.visible_to({who})"] = many
    assert many == few <= 8
    assert who != "gold" or seen_after > seen_before


@pytest.mark.django_db
def test_one_request_finds_its_viewer_once():
    """Token and person are read once, however often the page asks who may see what."""
    grow(1)
    person = PersonFactory(tags=["gold"])

    def asks_five_times():
        with snapshot.read_only():
            for _ in range(5):
                list(Article.objects.visible_to(person))

    def asks_once():
        with snapshot.read_only():
            list(Article.objects.visible_to(person))

    assert queries_of(asks_five_times) == queries_of(asks_once) + 4


@pytest.mark.django_db
def test_the_filter_is_an_index_on_integers():
    """No join and no sub-select: the statement names audiences and sections by their numbers."""
    grow(3)
    articles = Article.objects.visible_to(PersonFactory(tags=["gold"]))
    statement = str(articles.query)
    assert "JOIN" not in statement
    assert statement.count("SELECT") == 1
    plan = articles.filter(section=Section.objects.first()).order_by("position", "id").explain()
    if connection.vendor == "sqlite":
        assert "USING INDEX article_" in plan or "USING COVERING INDEX article_" in plan


@pytest.mark.django_db
def test_a_single_check_is_the_list_with_one_id():
    grow(1)
    person = PersonFactory(tags=["gold"])
    article = Article.objects.visible_to(person).first()

    def checks():
        with snapshot.read_only():
            return article.is_visible_to(person)

    few = queries_of(checks)
    grow(8)
    assert queries_of(checks) == few

"""`visible_to`: who must be named, how it chains, what it costs."""

import json
import uuid

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection, models
from django.db.models import Count
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from helpcenter.models import Article, Attachment, Category, HelpCenter, Section, Subscription
from segments.models import Audience, Segment
from segments.querysets import Among, RestrictedQuerySet, _reachable, visible_ids
from segments.ruleset import viewer_for
from tests.factories_content import ArticleFactory, SectionFactory
from tests.factories_people import PersonFactory, TagFactory

pytestmark = pytest.mark.django_db


@pytest.mark.surface(56)
@pytest.mark.parametrize(
    "wrong", [None, "maria@example.com", 1, object(), User, [AnonymousUser()]], ids=str
)
def test_somebody_must_be_named(wrong):
    article = ArticleFactory(audience=Audience.everyone())
    for ask in (
        Article.objects.visible_to,
        Category.objects.visible_to,
        Section.objects.visible_to,
        article.is_visible_to,
        Segment.objects.for_user,
    ):
        with pytest.raises(TypeError, match="Say who is looking"):
            ask(wrong)


def test_users_visitors_viewers_and_lazy_users_are_somebody():
    maria = PersonFactory()
    article = ArticleFactory(audience=Audience.of(Segment.objects.get(built_in="signed_in_users")))
    request = RequestFactory().get("/")
    request.user = SimpleLazyObject(lambda: maria)
    assert article.is_visible_to(maria)
    assert article.is_visible_to(request.user)
    assert article.is_visible_to(viewer_for(maria))
    assert not article.is_visible_to(AnonymousUser())
    assert not article.is_visible_to(SimpleLazyObject(AnonymousUser))


def test_the_database_says_who_somebody_is_not_the_object_in_memory():
    article = ArticleFactory()
    pretender = PersonFactory()
    pretender.role = "admin"
    assert not article.is_visible_to(pretender)
    assert not article.is_visible_to(User(pk=pretender.pk, role="admin"))
    assert not article.is_visible_to(User(role="admin"))
    admin = PersonFactory(role="admin")
    User.objects.filter(pk=admin.pk).update(is_active=False)
    assert not article.is_visible_to(admin)
    deleted = PersonFactory(role="admin")
    User.objects.filter(pk=deleted.pk).delete()
    assert not article.is_visible_to(deleted)


def test_it_chains_before_and_after_filters():
    maria = PersonFactory()
    titles = ["a", "b", "c"]
    for title in titles:
        ArticleFactory(title=title, audience=Audience.everyone())
    ArticleFactory(title="b", audience=Audience.nobody())
    wanted = {"translations__title": "b"}
    rows = Article.objects.filter(**wanted).visible_to(maria).order_by("pk")
    assert [str(article) for article in rows] == ["b"]
    assert list(Article.objects.visible_to(maria).filter(**wanted)) == list(rows)
    assert Article.objects.visible_to(maria).visible_to(maria).count() == 3
    assert Article.objects.visible_to(maria).exclude(**wanted).count() == 2
    assert not Article.objects.none().visible_to(maria).exists()
    both = Article.objects.visible_to(maria) & Article.objects.visible_to(AnonymousUser())
    assert both.count() == 3
    section = rows[0].section
    assert section.articles.visible_to(maria).count() == 1


def test_what_is_visible_may_be_updated_counted_and_asked_for_in_parts():
    maria = PersonFactory()
    ArticleFactory(audience=Audience.everyone())
    hidden = ArticleFactory()
    seen = Article.objects.visible_to(maria)
    assert seen.update(position=7) == 1
    hidden.refresh_from_db()
    assert hidden.position == 0
    assert seen.aggregate(n=Count("pk"))["n"] == len(seen.values_list("pk")) == seen.count() == 1


@pytest.mark.parametrize("size", [0, 1, 40_000])
def test_ids_are_among_however_many(size):
    sections = [SectionFactory() for _ in range(2)]
    ids = [section.pk for section in sections[:size]] + [*range(1, size)]
    rows = Section.objects.filter(Among("pk", ids))
    assert rows.count() == min(size, 2)
    assert Section.objects.exclude(Among("pk", ids)).count() == 2 - min(size, 2)
    assert rows.filter(Among("category_id", [s.category_id for s in sections])).count() == len(rows)


def test_ids_that_are_no_integers_are_parameters():
    label = "'); DROP TABLE helpcenter_label; --"
    rows = Segment.objects.filter(Among("name", [label, "Agents and admins"]))
    assert [segment.pk for segment in rows] == [2]
    with CaptureQueriesContext(connection) as queries:
        list(Segment.objects.filter(Among("pk", [True, 1])))
    assert len(queries) == 1


@isolate_apps("helpcenter")
def test_how_ids_are_written(django_assert_num_queries):
    """Integers, which can do no harm, into the statement; of anything else one parameter."""

    class Thing(models.Model):  # noqa: DJ008
        uuid = models.UUIDField()

        class Meta:
            app_label = "helpcenter"
            managed = False

    def compiled(rows):
        sql, params = rows.query.get_compiler("default").as_sql()
        return sql.partition(" WHERE ")[2], params

    sql, params = compiled(Section.objects.order_by().filter(Among("pk", [7, 8])))
    a, b = uuid.uuid4(), uuid.uuid4()
    found, others = compiled(Thing.objects.filter(Among("uuid", [a, b])))
    if connection.vendor == "postgresql":
        assert (sql, params) == ('"helpcenter_section"."id" = ANY(%s::bigint[])', ("{7,8}",))
        assert (found, others) == ('"helpcenter_thing"."uuid" = ANY(%s)', ([a, b],))
    else:
        assert (sql, params) == ('+"helpcenter_section"."id" IN (7,8)', ())
        expected = '"helpcenter_thing"."uuid" IN (SELECT value FROM json_each(%s))'
        assert (found, others) == (expected, (json.dumps([a.hex, b.hex]),))
    with django_assert_num_queries(0):
        assert [*Section.objects.filter(Among("pk", []))] == []


@pytest.mark.once
def test_sqlite_may_start_from_audiences_only_to_read_every_article():
    """Without a plus it does, which takes far too long for one page or for what lies in others."""

    def starts(rows, table="article"):
        sql = str(rows.query)
        assert f'"helpcenter_{table}"."audience_id" IN (2)' in sql
        return f'+"helpcenter_{table}"."audience_id"' not in sql

    visitor = AnonymousUser()
    ArticleFactory()  # Without a section nothing would be asked.
    articles = Article.objects.visible_to(visitor)
    assert starts(articles)
    assert not starts(articles[:30])
    assert not starts(Attachment.objects.visible_to(visitor))
    assert not starts(HelpCenter.objects.visible_to(visitor), "helpcenter")


def test_every_parent_must_be_visible(monkeypatch):
    """Of what hangs from an article or from a section, and whichever is named first."""
    dan, customers = PersonFactory(), Audience.of(Segment.objects.create(name="Customers"))
    shown = ArticleFactory(audience=Audience.everyone())
    hidden = ArticleFactory(audience=customers, section=shown.section)
    aside = SectionFactory(audience=customers)
    fields = {"user": dan, "locale": "en-us"}
    for article, section in [(shown, None), (hidden, None), (None, shown.section), (None, aside)]:
        Subscription.objects.create(article=article, section=section, **fields)
    for parents in (["article", "section"], ["section", "article"]):
        monkeypatch.setattr(Subscription, "audience_parents", parents)
        seen = Subscription.objects.visible_to(dan)
        assert {each.article or each.section for each in seen} == {shown, shown.section}
    outer = SectionFactory(category__audience=customers)
    inner = SectionFactory(category=outer.category, parent=outer)
    ArticleFactory(section=inner, audience=Audience.everyone())
    for parents in (["category", "parent"], ["parent", "category"]):
        monkeypatch.setattr(Section, "audience_parents", parents)
        assert {*visible_ids(Section, viewer_for(dan), "default")} == {shown.section_id}


def test_what_lies_in_something_hidden_is_hidden():
    """The plugin's own queryset: the site's also hides sections without articles."""
    dan = PersonFactory()
    outer = SectionFactory(audience=Audience.nobody())
    inner = SectionFactory(category=outer.category, parent=outer)
    beside = SectionFactory(category=outer.category)
    assert [*RestrictedQuerySet(Section).visible_to(dan)] == [beside]
    Section.objects.filter(pk=outer.pk).update(audience=Audience.everyone())
    assert {*RestrictedQuerySet(Section).visible_to(dan)} == {outer, inner, beside}


@pytest.mark.parametrize(
    ("depth", "reached"), [(0, []), (1, [1]), (2, [1, 2, 3]), (3, [1, 2, 3, 4]), (9, [1, 2, 3, 4])]
)
def test_only_what_hangs_from_a_root_is_reached(depth, reached):
    """Nothing in a cycle, nothing whose parent is missing, nothing too deep."""
    rows = [(1, None), (2, 1), (3, 1), (4, 2), (5, 99), (6, 7), (7, 6)]
    assert _reachable(rows, depth) == reached


def test_placeholders_are_not_assignable():
    marks = Segment.objects.assignable().values_list("built_in", flat=True)
    assert {*marks} == {"signed_in_users", "staff"}


def test_forty_thousand_audiences_admit(monkeypatch):
    """One person in very many segments: neither engine runs out of parameters."""
    maria, article = PersonFactory(), ArticleFactory(audience=Audience.everyone())
    viewer = viewer_for(maria)
    many = frozenset({2, *range(5, 40_004)})
    viewer = type(viewer)(pk=maria.pk, segments=many, audiences=many)
    assert list(Article.objects.visible_to(viewer)) == [article]
    assert list(Attachment.objects.visible_to(viewer)) == []
    assert list(Segment.objects.for_user(viewer)) == [Segment.objects.get(pk=2)]


def cost(ask):
    with CaptureQueriesContext(connection) as queries:
        ask()
    return len(queries)


@pytest.mark.parametrize(
    "ask",
    [
        lambda user: list(Article.objects.visible_to(user)),
        lambda user: list(Section.objects.visible_to(user)),
        lambda user: list(Category.objects.visible_to(user)),
        lambda user: list(Attachment.objects.visible_to(user)),
        lambda user: list(Segment.objects.for_user(user)),
        lambda user: Article.objects.first().is_visible_to(user),
    ],
    ids=["articles", "sections", "categories", "attachments", "segments", "one"],
)
@pytest.mark.parametrize("role", ["end_user", "agent", "admin"])
def test_the_number_of_queries_does_not_grow(ask, role):
    TagFactory(name="vip")
    maria = PersonFactory(role=role, tags=["vip"])
    tagged = [{"attribute": "tag", "operator": "any", "values": ["vip"]}]

    def add_content(number):
        segment = Segment.objects.create(name=f"Segment {number}", conditions=tagged)
        section = SectionFactory(audience=Audience.of(segment))
        nested = SectionFactory(category=section.category, parent=section)
        ArticleFactory(section=nested, audience=Audience.of(segment, Segment.objects.get(pk=1)))

    add_content(0)
    ask(maria)  # compiles the rules
    few = cost(lambda: ask(maria))
    for number in range(1, 6):
        add_content(number)
    ask(maria)
    assert cost(lambda: ask(maria)) == few <= 20

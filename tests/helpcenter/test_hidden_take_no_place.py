"""Where a page has room for a few things, hidden ones take no place and are not counted."""

import pytest
from django.contrib.auth.models import AnonymousUser

from helpcenter import views
from helpcenter.models import Article, Category, HelpCenter, Section
from segments.models import Audience
from tests.factories_content import (
    ArticleFactory,
    CategoryFactory,
    HelpCenterFactory,
    SectionFactory,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def section():
    """A section after as many hidden ones as its category has room for, each with an article."""
    category = CategoryFactory(help_center=HelpCenterFactory(), title="Guides")
    for _ in range(views.SECTIONS_PER_CATEGORY):
        hidden = SectionFactory(category=category, audience=Audience.nobody(), position=1)
        ArticleFactory(section=hidden, audience=Audience.everyone(), promoted=True)
    return SectionFactory(category=category, title="Open", position=2)


def hide_articles(section, number):
    for _ in range(number):
        ArticleFactory(section=section, audience=Audience.nobody(), promoted=True, position=1)


@pytest.fixture
def article(section):
    """An article after more hidden ones than any list has room for."""
    room = max(
        views.PROMOTED_ARTICLES,
        views.ARTICLES_PER_SECTION + 1,
        views.RELATED_ARTICLES,
        views.ARTICLES_PER_PAGE,
    )
    hide_articles(section, room)
    return ArticleFactory(
        section=section, title="Shown", audience=Audience.everyone(), promoted=True, position=2
    )


def test_on_home(client, article):
    page = client.get("/hc/en-us")
    (category,) = page.context["categories"]
    assert [each.pk for each in category.shown_sections] == [article.section_id]
    assert category.more_sections == 0
    assert [each.pk for each in page.context["promoted"]] == [article.pk]


def test_in_a_category(client, article):
    page = client.get(f"/hc/en-us/categories/{article.section.category_id}", follow=True)
    (section,) = page.context["sections"]
    assert [each.pk for each in section.shown_articles] == [article.pk]
    assert not section.has_more


def test_in_a_section(client, article):
    page = client.get(f"/hc/en-us/sections/{article.section_id}", follow=True)
    assert [each.pk for each in page.context["articles"]] == [article.pk]
    assert page.context["page"].paginator.num_pages == 1


def test_beside_an_article(client, article):
    other = ArticleFactory(section=article.section, audience=Audience.everyone(), position=3)
    page = client.get(f"/hc/en-us/articles/{other.pk}", follow=True)
    assert [each.pk for each in page.context["beside"]] == [article.pk]


def test_lists_show_no_words_of_drafts(client, article):
    HelpCenter.objects.update(locales=["en-us", "fr"])
    article.translations.create(locale="fr", title="Brouillon", draft=True)
    page = client.get(f"/hc/fr/sections/{article.section_id}", follow=True)
    assert [each.words.locale for each in page.context["articles"]] == ["en-us"]


def test_a_page_shows_no_words_of_a_draft(client, article):
    """Not even in the locale that it is asked for in."""
    HelpCenter.objects.update(locales=["en-us", "fr"])
    article.translations.create(locale="fr", title="Brouillon", body="Secret", draft=True)
    page = client.get(f"/hc/fr/articles/{article.pk}", follow=True)
    assert page.status_code == 200 and "Shown" in page.text
    assert "Brouillon" not in page.text and "Secret" not in page.text


def test_what_is_hidden_has_no_words(article):
    """`with_words` by itself: whoever forgets `visible_to` before it shows nothing by it."""
    for model in (Article, Section, Category):
        found = model.objects.all()
        shown = {each.pk for each in found.with_words("en-us", AnonymousUser())}
        visible = set(model.objects.visible_to(AnonymousUser()).values_list("pk", flat=True))
        assert shown == visible
        assert model is Category or len(shown) < len(found)

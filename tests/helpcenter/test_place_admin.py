"""Content put elsewhere in the admin: what is above there may restrict less, so it asks first."""

import pytest
from django.urls import reverse

from helpcenter.models import Article, Section
from segments.models import Audience
from tests.factories_content import ArticleFactory, CategoryFactory, SectionFactory
from tests.helpcenter.test_audience_admin import admin, change, client_of, confirmed, guides
from tests.helpcenter.test_roles import form_of

__all__ = ["admin", "guides"]
pytestmark = pytest.mark.django_db


def section_form(section, **changes):
    words = section.translations.get()
    sent = {
        "category": section.category_id,
        "parent": section.parent_id or "",
        "audience": "everyone",
        "source_locale": section.source_locale,
        "sorting": section.sorting,
        "position": section.position,
        "translations-TOTAL_FORMS": 1,
        "translations-INITIAL_FORMS": 1,
        "translations-0-id": words.pk,
        "translations-0-section": section.pk,
        "translations-0-locale": words.locale,
        "translations-0-title": words.title,
    }
    return sent | changes


def change_section(section):
    return reverse("admin:helpcenter_section_change", args=[section.pk])


def section_of(article):
    return Article._base_manager.get(pk=article.pk).section


@pytest.fixture
def locked(segment_of):
    return SectionFactory(audience=Audience.of(segment_of["french"]), title="In French")


def test_an_article_in_another_section(admin, cast, locked):
    article = ArticleFactory(section=locked, audience=Audience.everyone(), title="Prices")
    ArticleFactory(section=locked, audience=Audience.everyone(), title="Stays there")
    open_section = SectionFactory(title="For all")
    sent = form_of(article, audience="everyone", section=open_section.pk)
    answer = admin.post(change(article), sent)
    page = answer.content.decode()
    assert "Visible to every visitor from now on: 1 article" in page
    assert "section: In French" in page and "section: For all" in page
    assert "Stays there" not in page
    admin.post(change(article), confirmed(answer))
    assert section_of(article) == locked
    assert admin.post(change(article), confirmed(answer, _widen="yes")).status_code == 302
    assert section_of(article) == open_section


def test_a_narrower_place_is_shown_but_needs_no_tick(admin, locked):
    article = ArticleFactory(audience=Audience.everyone())
    answer = admin.post(change(article), form_of(article, audience="everyone", section=locked.pk))
    assert "Hidden from visitors from now on: 1 article" in answer.content.decode()
    assert admin.post(change(article), confirmed(answer)).status_code == 302
    assert section_of(article) == locked


def test_another_place_and_another_audience_are_one_change(admin, segment_of, locked):
    article = ArticleFactory(section=locked, audience=Audience.nobody())
    sent = form_of(article, audience="everyone", section=SectionFactory().pk)
    assert "1 article" in admin.post(change(article), sent).content.decode()
    sent = form_of(article, audience=str(segment_of["french"].pk), section=SectionFactory().pk)
    page = admin.post(change(article), sent).content.decode()
    assert "1 person sees more" in page and "every visitor" not in page


def test_what_is_inside_a_section_goes_along(admin, segment_of):
    hidden = CategoryFactory(audience=Audience.of(segment_of["acme"]))
    section = SectionFactory(category=hidden)
    inside = SectionFactory(category=hidden, parent=section)
    ArticleFactory(section=inside, audience=Audience.everyone(), title="Deep inside")
    sent = section_form(section, category=CategoryFactory().pk)
    answer = admin.post(change_section(section), sent)
    page = answer.content.decode()
    assert "Visible to every visitor from now on: 1 article" in page and "Deep inside" in page
    assert answer.context["widens"]
    assert admin.post(change_section(section), confirmed(answer)).status_code == 200
    assert Section._base_manager.get(pk=inside.pk).category == hidden
    admin.post(change_section(section), confirmed(answer, _widen="yes"))
    assert Section._base_manager.get(pk=inside.pk).category != hidden


def test_out_of_a_restricted_section(admin, locked):
    section = SectionFactory(category=locked.category, parent=locked)
    ArticleFactory(section=section, audience=Audience.everyone())
    answer = admin.post(change_section(section), section_form(section, parent=""))
    assert "Visible to every visitor from now on: 1 article" in answer.content.decode()
    assert Section._base_manager.get(pk=section.pk).parent == locked


def test_publishers_are_asked_too(cast, guides, segment_of):
    section = SectionFactory(audience=Audience.of(segment_of["publishers"]))
    article = ArticleFactory(section=section, audience=Audience.everyone(), permission_group=guides)
    sent = form_of(article, audience="everyone", section=SectionFactory().pk, permission_group=None)
    publisher = client_of(cast["pia"])
    answer = publisher.post(change(article), sent)
    assert "Visible to every visitor from now on" in answer.content.decode()
    publisher.post(change(article), confirmed(answer))
    assert section_of(article) == section

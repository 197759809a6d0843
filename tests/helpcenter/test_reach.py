"""Who can see this: what hides a thing from everybody it is for."""

import pytest

from helpcenter.models import Article, PermissionGroup
from segments.models import Audience, AudienceSegment
from segments.reach import reach_of
from tests.factories_content import ArticleFactory, AttachmentFactory

pytestmark = pytest.mark.django_db


def names(people):
    return {person.name for person in people}


@pytest.fixture
def article(cast, segment_of):
    group = PermissionGroup.objects.create(name="G", edit=Audience.of(segment_of["editors"]))
    return ArticleFactory(audience=Audience.of(segment_of["acme"]), permission_group=group)


def test_a_published_article(article):
    found = reach_of(article)
    assert (found.is_public, names(found.members)) == (False, {"Maria", "Nadia"})
    assert (names(found.admins), names(found.editors)) == ({"Ada"}, {"Edda"})


def test_a_draft_is_for_those_who_take_care_of_it(article):
    article.translations.update(draft=True)
    found = reach_of(article)
    assert (found.is_public, names(found.members)) == (False, set())
    assert (names(found.admins), names(found.editors)) == ({"Ada"}, {"Edda"})


def test_an_archived_article_is_for_nobody(article):
    article.archive()
    found = reach_of(article)
    assert found.is_public is False
    assert not [*found.members, *found.admins, *found.editors]


def test_an_audience_that_lost_its_segments_admits_nobody(article):
    """By raw SQL: no condition is left, which is not everybody."""
    AudienceSegment.objects.all()._raw_delete("default")
    found = reach_of(article)
    assert (found.is_public, names(found.members), names(found.editors)) == (False, set(), set())


def test_nobody_is_no_editor(article):
    for name in ("edit", "publish"):
        setattr(article.permission_group, name, Audience.nobody())
    article.permission_group.save()
    found = reach_of(article)
    assert (names(found.editors), names(found.members)) == (set(), {"Maria", "Nadia"})


def test_everyone_names_no_editor(article):
    article.permission_group.edit = Audience.everyone()
    article.permission_group.save()
    assert names(reach_of(article).editors) == set()


def test_editors_see_what_they_may_edit_and_not_what_its_children_only_lie_in(article, monkeypatch):
    file = AttachmentFactory(article=article)
    assert names(reach_of(file).editors) == {"Edda"}
    # As with folders: visible ids are passed down, and management rights do not count for them.
    monkeypatch.setattr(Article, "audience_passes_ids", True)
    assert names(reach_of(file).editors) == set()

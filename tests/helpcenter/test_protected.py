"""What other things rely on is not deleted along with, or instead of, anything."""

import pytest
from django.db.models import ProtectedError

from helpcenter.models import Article, Category, PermissionGroup
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def article():
    """An article in the care of a group; another group, without articles, has audiences."""
    edit, publish = (Audience.of(Segment.objects.create(name=name)) for name in ("edit", "publish"))
    PermissionGroup.objects.create(name="Empty", edit=edit, publish=publish)
    audience = Audience.of(Segment.objects.create(name="readers"))
    return ArticleFactory(
        audience=audience, permission_group=PermissionGroup.objects.create(name="Guides")
    )


def empty():
    return PermissionGroup.objects.get(name="Empty")


USED = {
    "the help center": lambda article: article.section.category.help_center,
    "the audience of an article": lambda article: article.audience,
    "who may edit": lambda article: empty().edit,
    "who may publish": lambda article: empty().publish,
    "a segment of theirs": lambda article: empty().publish.segments.get(),
    "the permission group": lambda article: article.permission_group,
}


@pytest.mark.parametrize("what", USED)
def test_what_is_used_is_not_deleted(article, what):
    with pytest.raises(ProtectedError):
        USED[what](article).delete()
    assert Article._base_manager.filter(pk=article.pk).exists()
    assert Category._base_manager.exists()
    assert PermissionGroup.objects.filter(name__in=["Guides", "Empty"]).count() == 2

"""`{{ reports|visible_to:user }}`."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template, VariableDoesNotExist

from helpcenter.models import Article
from segments.models import Audience
from tests.factories_content import ArticleFactory
from tests.factories_people import PersonFactory

pytestmark = pytest.mark.django_db
WORDS = "{% load segments %}{% for a in articles|visible_to:user %}{{ a }};{% endfor %}"


def rendered(articles, user):
    return Template(WORDS).render(Context({"articles": articles, "user": user}))


def test_it_shows_what_the_user_may_see():
    ArticleFactory(title="open", audience=Audience.everyone())
    ArticleFactory(title="hidden")
    for articles in (Article.objects, Article.objects.all(), Article.objects.order_by("pk")):
        assert rendered(articles, AnonymousUser()) == "open;"
    assert rendered(Article.objects.order_by("-published", "pk"), PersonFactory(role="admin")) in (
        "open;hidden;",
        "hidden;open;",
    )


@pytest.mark.parametrize("nobody", [None, ""])
def test_a_template_that_names_nobody_fails(nobody):
    """A context without a user must not look like one with a visitor."""
    ArticleFactory(audience=Audience.everyone())
    with pytest.raises(TypeError, match="Say who is looking"):
        rendered(Article.objects, nobody)
    with pytest.raises(VariableDoesNotExist):
        Template(WORDS).render(Context({"articles": Article.objects}))

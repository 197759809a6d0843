"""The addresses of the API. Every one also ends in `.json`; content also has `/{locale}` in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, path, register_converter

from . import articles, labels


class LocaleInPath:
    """A locale such as `en-us`; whether it is enabled is asked later."""

    regex = "[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(LocaleInPath, "locale")
app_name = "api"


def addresses(
    route: str, view: Any, name: str, localized: bool = False, **actions: str
) -> Iterator[URLPattern]:
    """The route, the same with `.json`, and both with a locale where Zendesk has one."""
    found = view.as_view(actions)
    yield path(route, found, name=name)
    yield path(f"{route}.json", found, name=f"{name}.json")
    if localized:
        route = route.replace("help_center/", "help_center/<locale:locale>/", 1)
        yield path(route, found, name=f"{name}-locale")
        yield path(f"{route}.json", found, name=f"{name}-locale.json")


CRUD = {"get": "retrieve", "put": "update", "delete": "destroy"}

urlpatterns = [
    *addresses("help_center/articles/labels", labels.LabelEndpoint, "labels", get="list"),
    *addresses(
        "help_center/articles/labels/<id:pk>",
        labels.LabelEndpoint,
        "label",
        get="retrieve",
        delete="destroy",
    ),
    *addresses(
        "help_center/articles/<id:article>/labels",
        labels.ArticleLabelEndpoint,
        "article-labels",
        localized=True,
        get="list",
        post="create",
    ),
    *addresses(
        "help_center/articles/<id:article>/labels/<id:pk>",
        labels.ArticleLabelEndpoint,
        "article-label",
        localized=True,
        delete="destroy",
    ),
    *addresses("help_center/locales", labels.LocalesEndpoint, "locales", get="retrieve"),
    *addresses(
        "help_center/articles", articles.ArticleEndpoint, "articles", localized=True, get="list"
    ),
    *addresses(
        "help_center/articles/<id:pk>",
        articles.ArticleEndpoint,
        "article",
        localized=True,
        **CRUD,
    ),
    *addresses(
        "help_center/categories/<id:category>/articles",
        articles.CategoryArticlesEndpoint,
        "category-articles",
        localized=True,
        get="list",
    ),
    *addresses(
        "help_center/sections/<id:section>/articles",
        articles.SectionArticlesEndpoint,
        "section-articles",
        localized=True,
        get="list",
        post="create",
    ),
    *addresses(
        "help_center/users/<id:user>/articles",
        articles.AuthorArticlesEndpoint,
        "user-articles",
        localized=True,
        get="list",
    ),
    *addresses(
        "help_center/incremental/articles",
        articles.IncrementalArticlesEndpoint,
        "incremental-articles",
        localized=True,
        get="list",
    ),
]

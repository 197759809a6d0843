"""Search in articles: visibility and full text in one SELECT."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Exists, OuterRef, QuerySet
from django.utils.html import escape
from rest_framework import serializers

from helpcenter import rendering
from helpcenter import search as full_text
from helpcenter.models import Article, ArticleTranslation, Label
from helpcenter.snippets import snippet
from segments.querysets import Among
from segments.rest_framework import VisibleToViewerFilter

from .articles import ArticleSerializer, prepare
from .base import AllowListFilter, Endpoint, Rows, anybody
from .errors import InvalidParameter
from .pagination import ZendeskPagination

MOST_RESULTS = 1000
# What a search must name at least one of.
NEEDED = ("query", "category", "section", "label_names")


class OffsetPagination(ZendeskPagination):
    """By offset only, as Zendesk's search: its order has no place to go on after."""

    cursors = False
    deepest = MOST_RESULTS


class SearchFilter(django_filters.FilterSet):
    """What a search can be narrowed by."""

    category = django_filters.CharFilter(method="in_categories")
    section = django_filters.CharFilter(method="in_sections")
    label_names = django_filters.CharFilter(method="with_any_label")
    created_at = django_filters.DateFilter(field_name="article__created_at", lookup_expr="date")
    created_before = django_filters.DateFilter(
        field_name="article__created_at", lookup_expr="date__lt"
    )
    created_after = django_filters.DateFilter(
        field_name="article__created_at", lookup_expr="date__gt"
    )
    updated_at = django_filters.DateFilter(field_name="article__updated_at", lookup_expr="date")
    updated_before = django_filters.DateFilter(
        field_name="article__updated_at", lookup_expr="date__lt"
    )
    updated_after = django_filters.DateFilter(
        field_name="article__updated_at", lookup_expr="date__gt"
    )

    def in_categories(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Articles of one of the categories."""
        return rows.filter(article__section__category__in=_ids(name, value))

    def in_sections(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Articles of one of the sections."""
        return rows.filter(article__section__in=_ids(name, value))

    def with_any_label(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Articles with any of the labels, however their letters are written."""
        asked = [each.strip() for each in value.split(",") if each.strip()][:100]
        wanted = {each.casefold() for each in asked}
        # Here and not in SQL: SQLite knows capitals of ASCII letters only.
        names = Label.objects.values_list("pk", "name")
        labels = [pk for pk, name in names if name.casefold() in wanted]
        links = Article.labels.through.objects.filter(article=OuterRef("article"))
        return rows.filter(Exists(links.filter(Among("label_id", labels))))


def _ids(name: str, value: str) -> list[int]:
    ids = [each.strip() for each in value.split(",")[:100]]
    if not all(each.isascii() and each.isdigit() and int(each) < 2**63 for each in ids):
        raise InvalidParameter(name, "Ids are numbers")
    return [int(each) for each in ids]


class ResultSerializer(ArticleSerializer):
    """An article that was found, and where."""

    result_type = serializers.SerializerMethodField()
    snippet = serializers.CharField(read_only=True)

    def get_result_type(self, article: Article) -> str:
        """Articles are all that is found here."""
        return "article"


class SearchEndpoint(Endpoint):
    """Articles that contain every word, the best first; an editor finds drafts too."""

    singular, plural = "article", "results"
    queryset = (
        ArticleTranslation.objects.select_related("article")
        .defer("body", "search_title", "search_text")
        .order_by("article__position", "article_id", "locale")
    )
    serializer_class = ResultSerializer
    filterset_class = SearchFilter
    filter_backends: Any = [VisibleToViewerFilter, AllowListFilter]
    pagination_class = OffsetPagination
    allowed = {"list": anybody}
    default_per_page = 25
    sorts = {"created_at": "article__created_at", "updated_at": "article__updated_at"}

    def filter_queryset(self, queryset: Any) -> Any:
        """The translations in the locale that the search finds."""
        params = self.request.query_params
        if not any(params.get(name) for name in NEEDED):
            raise InvalidParameter("query", f"Give at least one of {', '.join(NEEDED)}")
        rows = super().filter_queryset(queryset)
        if (locale := self.wanted_locale()) != "*":
            rows = rows.filter(locale=locale)
        if params.get("query"):
            return full_text.search(rows, params["query"])
        return rows

    def wanted_locale(self) -> str:
        """`*` for all; the default locale for one that is not enabled, as at Zendesk."""
        given = self.kwargs.get("locale") or self.request.query_params.get("locale") or ""
        if given == "*":
            return given
        known = {each.lower(): each for each in self.help_center.locales}
        return known.get(given.lower(), self.help_center.default_locale)

    def in_order(self, rows: Any) -> Any:
        """By date where the caller says so, else the best first."""
        return super().in_order(rows) if self.request.query_params.get("sort_by") else rows

    def sorting(self) -> tuple[str, str]:
        """The newest first, unless the caller says otherwise."""
        by = self._choice("sort_by", [*self.sorts], "created_at")
        return by, self._choice("sort_order", ["asc", "desc"], "desc")

    def prepare(self, rows: Rows) -> Rows:
        """The articles of the translations, each with a snippet around what was found."""
        terms = full_text.terms_of(self.request.query_params.get("query", ""))
        shown = prepare([each.article for each in rows], self.request.user, words=rows)
        for article in shown:
            text = rendering.plain_text(article.words.html)
            article.snippet = _as_html(snippet(text, terms))
        return shown


def _as_html(pieces: list[Any]) -> str:
    return "".join(
        f"<em>{escape(each.text)}</em>" if each.is_hit else escape(each.text) for each in pieces
    )

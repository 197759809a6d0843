"""Articles: lists, one, and what may be written. Words are changed through translations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import django_filters
from django.db.models import Count, Exists, F, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from accounts.models import User
from helpcenter import permissions
from helpcenter.models import (
    Article,
    ArticleTranslation,
    Category,
    Label,
    Section,
    Subscription,
    Vote,
)
from segments.builtin import SEGMENTS
from segments.models import Audience, Segment
from segments.ruleset import viewer_for

from .audiences import ID, IDS, AudienceFields, show_audiences
from .base import (
    Endpoint,
    IdField,
    Rows,
    UrlField,
    Words,
    anybody,
    find,
    refuse_unless,
    staff,
)
from .errors import InvalidAttributes, InvalidParameter
from .pagination import decode_cursor, encode_cursor
from .people import user_records
from .shelves import category_records, section_records
from .translations import translation_records, words_of

LABELS_PER_FILTER = 10
ARTICLES_PER_EXPORT = 1000
# What only those who may publish an article change, and what only admins do.
FOR_PUBLISHERS = (ID, IDS, "section_id", "promoted", "position")
FOR_ADMINS = ("permission_group_id", "author_id")
# What a PUT of an article stores; its words are changed through translations.
OF_ARTICLES = ("audience", "section_id", "promoted", "position", "comments_disabled", *FOR_ADMINS)


# What is shown ------------------------------------------------------------------------------------


def article_records(
    request: Any,
    articles: Iterable[Any],
    locale: str | None = None,
) -> list[dict[str, Any]]:
    """The articles, which the caller may see, as the API shows them; a constant number of queries.

    Each in `locale`, or in its source locale.
    """
    shown = prepare(list(articles), request.user, locale)
    return [dict(ArticleSerializer(row, context={"request": request}).data) for row in shown]


def prepare(
    articles: list[Any],
    user: Any,
    locale: str | None = None,
    words: list[ArticleTranslation] | None = None,
) -> list[Any]:
    """The articles with all that `ArticleSerializer` shows; those without any words left out.

    `words` has the translation to show of each.
    """
    visible = ArticleTranslation.objects.visible_to(user)
    translations = defaultdict(list)
    for each in visible.without_text().filter(article__in=articles):
        translations[each.article_id].append(each)
    for place, article in enumerate(articles):
        found = translations[article.pk]
        article.words = words[place] if words else _nearest(article, found, locale)
        article.outdated_locales = sorted(each.locale for each in found if each.outdated)
    shown = [article for article in articles if article.words]
    bodies = visible.filter(pk__in=[article.words.pk for article in shown])
    html = dict(bodies.values_list("pk", "html"))
    for article in shown:
        article.body = html.get(article.words.pk, "")
    _count_votes(shown)
    _name_labels(shown)
    show_audiences(shown, viewer_for(user))
    return shown


def _nearest(article: Article, found: list[Any], locale: str | None) -> Any:
    """In `locale` if one is wanted, and nothing else; else the source locale, published first."""
    if locale is not None:
        return next((each for each in found if each.locale == locale), None)
    return min(
        found,
        key=lambda each: (each.locale != article.source_locale, each.draft, each.locale),
        default=None,
    )


def _count_votes(articles: list[Any]) -> None:
    # The base manager: the votes of articles that the caller may see.
    rows = Vote._base_manager.filter(article__in=articles).values("article")
    sums = {row["article"]: row for row in rows.annotate(sum=Sum("value"), count=Count("pk"))}
    for article in articles:
        found = sums.get(article.pk, {"sum": 0, "count": 0})
        article.vote_sum, article.vote_count = found["sum"], found["count"]


def _name_labels(articles: list[Any]) -> None:
    names = defaultdict(list)
    links = Article.labels.through.objects.filter(article__in=articles).order_by("label__name")
    for article, name in links.values_list("article_id", "label__name"):
        names[article].append(name)
    for each in articles:
        each.label_names = names[each.pk]


class TranslationInput(serializers.Serializer):
    """One of the translations that a new article comes with."""

    locale = serializers.CharField(max_length=20)
    title = serializers.CharField(max_length=300)
    body = Words(required=False, allow_blank=True, default="")
    draft = serializers.BooleanField(required=False, default=False)


class LabelNames(serializers.ListField):
    """Names of labels, each once, in the order given."""

    child = serializers.CharField(max_length=200)

    def to_internal_value(self, data: Any) -> list[str]:
        return list(dict.fromkeys(super().to_internal_value(data)))


class ArticleSerializer(AudienceFields, serializers.Serializer):
    """An article in one translation, as Zendesk shows it."""

    id = serializers.IntegerField(read_only=True)
    url = UrlField("help_center/{locale}/articles/{pk}")
    html_url = serializers.SerializerMethodField()
    author_id = IdField(required=False, allow_null=True)
    comments_disabled = serializers.BooleanField(required=False)
    draft = serializers.BooleanField(required=False, help_text="Read on creation only.")
    promoted = serializers.BooleanField(required=False)
    position = serializers.IntegerField(required=False, min_value=-(2**31), max_value=2**31 - 1)
    vote_sum = serializers.IntegerField(read_only=True)
    vote_count = serializers.IntegerField(read_only=True)
    section_id = IdField(required=False)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)
    edited_at = serializers.DateTimeField(read_only=True)
    name = serializers.CharField(read_only=True, source="title", help_text="The same as `title`.")
    title = serializers.CharField(
        required=False, max_length=300, help_text="Read on creation only; see translations."
    )
    source_locale = serializers.CharField(read_only=True)
    locale = serializers.CharField(required=False, max_length=20)
    outdated = serializers.BooleanField(read_only=True)
    outdated_locales = serializers.ListField(child=serializers.CharField(), read_only=True)
    permission_group_id = IdField(required=False)
    content_tag_ids = serializers.SerializerMethodField()
    label_names = LabelNames(required=False, max_length=200)
    body = Words(required=False, allow_blank=True, help_text="Read on creation only.")
    translations = TranslationInput(many=True, required=False, write_only=True)

    def get_html_url(self, article: Any) -> str:
        """The page of the article."""
        return str(self.context["request"].build_absolute_uri(article.address(article.locale)))

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_content_tag_ids(self, article: Article) -> list[str]:
        """Always empty: there are no content tags here."""
        return []

    def to_representation(self, instance: Article) -> dict[str, Any]:
        """The article in its chosen translation."""
        for name in ("title", "locale", "draft", "outdated", "edited_at"):
            setattr(instance, name, getattr(instance.words, name))
        return super().to_representation(instance)

    def validate_section_id(self, pk: int) -> int:
        """A section that the caller may see; a hidden one is refused like a missing one."""
        user = self.context["request"].user
        if self.instance is not None and self.instance.section_id == pk:
            return pk
        if not Section.objects.visible_to(user).filter(pk=pk).exists():
            raise serializers.ValidationError(f"there is no section {pk}")
        return pk

    def validate_permission_group_id(self, pk: int) -> int:
        """A permission group that the caller may put articles into."""
        user = self.context["request"].user
        if self.instance is not None and self.instance.permission_group_id == pk:
            return pk
        if not permissions.permission_groups_for(user).filter(pk=pk).exists():
            raise serializers.ValidationError(f"there is no permission group {pk}")
        return pk

    def validate_author_id(self, pk: int | None) -> int | None:
        """Somebody who exists. Who may not choose learns nothing of who exists."""
        if not permissions.may_manage(self.context["request"].user):
            return pk
        if pk is not None and not User.objects.filter(pk=pk).exists():
            raise serializers.ValidationError(f"there is no user {pk}")
        return pk

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Without the right to publish nobody chooses who sees a new article: Zendesk's rule."""
        if self.instance is None and not self.may_publish(attrs):
            # Not looked at: a refusal would tell which segments there are.
            attrs = {name: value for name, value in attrs.items() if name not in (ID, IDS)}
        return super().validate(attrs)

    def may_publish(self, attrs: dict[str, Any]) -> bool:
        """May the caller publish a new article like this one?"""
        article = Article(permission_group_id=attrs.get("permission_group_id"))
        return permissions.may_publish(self.context["request"].user, article)

    def update(self, instance: Article, validated: dict[str, Any]) -> Article:
        """Store what an article itself has."""
        for name in OF_ARTICLES:
            if name in validated:
                setattr(instance, name, validated[name])
        instance.save()
        if "label_names" in validated:
            names = validated["label_names"]
            instance.labels.set(Label.objects.called(names, self.context["request"].user))
        return instance


# Lists --------------------------------------------------------------------------------------------


class ArticleFilter(django_filters.FilterSet):
    """What lists of articles can be filtered by."""

    label_names = django_filters.CharFilter(method="with_labels")
    start_time = django_filters.NumberFilter(method="since")

    class Meta:
        model = Article
        fields: list[str] = []

    def with_labels(self, rows: QuerySet[Article], name: str, value: str) -> QuerySet[Article]:
        """The articles with each of the labels, upper and lower case told apart."""
        labels = [label.strip() for label in value.split(",") if label.strip()]
        if len(labels) > LABELS_PER_FILTER:
            raise InvalidParameter(name, f"Name at most {LABELS_PER_FILTER} labels")
        for label in labels:
            # One sub-select for each: joined in one, no row could have two names.
            links = Article.labels.through.objects.filter(article=OuterRef("pk"))
            rows = rows.filter(Exists(links.filter(label__name=label)))
        return rows

    def since(self, rows: QuerySet[Article], name: str, value: Any) -> QuerySet[Article]:
        """The articles that changed since then."""
        return rows.filter(updated_at__gte=epoch(name, value))


def epoch(name: str, seconds: Any) -> datetime:
    """The time, from seconds since 1970; 400 for what is none."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        raise InvalidParameter(name, "Use seconds since 1970") from None


class ArticleEndpoint(Endpoint):
    """Articles that the caller may see; archived ones are missing."""

    singular, plural = "article", "articles"
    queryset = Article.objects.all()
    serializer_class = ArticleSerializer
    filterset_class = ArticleFilter
    allowed = {
        "list": anybody,
        "retrieve": anybody,
        "create": staff,
        "update": staff,
        "destroy": staff,
    }
    sorts = {name: name for name in ("position", "created_at", "updated_at", "title", "edited_at")}
    default_sort = "position"
    says_its_order = True
    includes = {
        "users": "include_users",
        "sections": "include_sections",
        "categories": "include_categories",
        "translations": "include_translations",
    }
    volatile = frozenset(["vote_sum", "vote_count", "url", "html_url"])

    def filter_queryset(self, queryset: Any) -> Any:
        """As everywhere; lists in one locale hold only what the caller can read in it."""
        rows = super().filter_queryset(queryset)
        if self.locale is not None:
            words = ArticleTranslation.objects.visible_to(self.request.user)
            rows = rows.filter(Exists(words.filter(article=OuterRef("pk"), locale=self.locale)))
        return rows

    def in_order(self, rows: Any) -> Any:
        """Titles and dates of editing are those in the locale, or else in each source locale."""
        by, _order = self.sorting()
        if by in ("title", "edited_at"):
            locale = self.locale or OuterRef("source_locale")
            words = ArticleTranslation.objects.visible_to(self.request.user)
            found = words.filter(article=OuterRef("pk"), locale=locale).values(by)[:1]
            # Without words there, the place of an article is that of its creation.
            missing = F("created_at") if by == "edited_at" else Value("")
            rows = rows.annotate(**{by: Coalesce(Subquery(found), missing)})
        return super().in_order(rows)

    def prepare(self, rows: Rows) -> Rows:
        return prepare(rows, self.request.user, self.locale)

    # Side-loads

    def include_users(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The authors."""
        authors = User.objects.filter(pk__in={each.author_id for each in rows})
        return {"users": user_records(self.request, authors)}

    def include_sections(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The sections that the caller may know of."""
        found = Section.objects.visible_to(self.request.user)
        sections = found.filter(pk__in={each.section_id for each in rows})
        return {"sections": section_records(self.request, sections, self.locale)}

    def include_categories(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The categories that the caller may know of."""
        found = Category.objects.visible_to(self.request.user)
        inside = {each.section_id for each in rows}
        categories = found.filter(sections__in=inside).distinct()
        return {"categories": category_records(self.request, categories, self.locale)}

    def include_translations(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The translations, in each record, as Zendesk has them."""
        visible = ArticleTranslation.objects.visible_to(self.request.user)
        found = visible.filter(article__in=rows).order_by("locale")
        by_article = defaultdict(list)
        for record in translation_records(self.request, found):
            by_article[record["source_id"]].append(record)
        for record in data:
            record["translations"] = by_article[record["id"]]
        return {}

    # Writing

    def create(self, request: Any, **kwargs: Any) -> Response:
        """A new article in a section that the caller may see, by whoever may add articles."""
        section = find(Section.objects.visible_to(request.user), kwargs["section"])
        refuse_unless(permissions.may_add_articles(request.user))
        self.section = section
        return super().create(request, **kwargs)

    def perform_create(self, serializer: Any) -> Article:
        data, body = dict(serializer.validated_data), self.body()
        user: Any = self.request.user
        _demand_permissions(body)
        center = self.section.category.help_center
        words = words_of(data, self.kwargs.get("locale"), center, draft=False)
        may_publish = serializer.may_publish(data)
        article = Article(
            section=self.section,
            permission_group_id=data["permission_group_id"],
            source_locale=words[0]["locale"],
            author_id=user.pk,
        )
        if permissions.may_manage(user) and data.get("author_id") is not None:
            article.author_id = data["author_id"]
        article.audience = data["audience"] if may_publish else agents_and_admins()
        article.comments_disabled = data.get("comments_disabled", False)
        if may_publish:
            article.promoted = data.get("promoted", False)
            article.position = data.get("position", 0)
        article.save()
        for each in words:
            draft = each.pop("draft") or not may_publish
            article.translations.create(
                **each, draft=draft, format="html", created_by=user, updated_by=user
            )
        names = data.get("label_names", [])
        article.labels.set(Label.objects.called(names, self.request.user))
        Subscription.objects.create(
            user_id=article.author_id or user.pk, article=article, locale=article.source_locale
        )
        return article

    def check_update(self, row: Any) -> None:
        """Editors change an article, publishers its place and audience, admins its care."""
        user = self.request.user
        refuse_unless(permissions.may_edit(user, row))
        if permissions.may_manage(user):
            return
        reserved = [*FOR_ADMINS]
        if not permissions.may_publish(user, row):
            reserved += FOR_PUBLISHERS
        shown = self.get_serializer(prepare([row], user)[0]).data
        data = self.request.data.get(self.singular) if isinstance(self.request.data, dict) else {}
        given = data if isinstance(data, dict) else {}
        # What a client read and sends back is no change.
        refuse_unless(all(given[name] == shown[name] for name in reserved if name in given))

    def check_destroy(self, row: Any) -> None:
        refuse_unless(permissions.may_publish(self.request.user, row))

    def perform_destroy(self, instance: Any) -> None:
        """Archive: missing everywhere from now on, and restored by an admin on the site."""
        instance.archive()


def _demand_permissions(body: Mapping[str, Any]) -> None:
    """Zendesk wants to be told who sees a new article and who takes care of it."""
    problems = {}
    if ID not in body and IDS not in body:
        problems[ID] = (
            "You must provide user_segment_id. Set to 'null' to make it visible to everyone."
        )
    if body.get("permission_group_id") is None:
        problems["permission_group_id"] = "You must provide permission_group_id."
    if problems:
        raise InvalidAttributes(problems)


def agents_and_admins() -> Audience:
    """The audience of what somebody adds who may not publish."""
    pk, _name = SEGMENTS["staff"]
    return Audience.of(Segment.objects.get(pk=pk))


class SectionArticlesEndpoint(ArticleEndpoint):
    """The articles of one section, in the section's own order; and new ones."""

    def get_queryset(self) -> Any:
        self.shelf = find(Section.objects.visible_to(self.request.user), self.kwargs["section"])
        return super().get_queryset().filter(section=self.shelf)

    def sorting(self) -> tuple[str, str]:
        """What the caller asks for, or else the section's own order."""
        by, order = super().sorting()
        if "sort_by" in self.request.query_params:
            return by, order
        return {
            Section.TITLE: ("title", order),
            Section.NEWEST: ("created_at", "desc"),
            Section.OLDEST: ("created_at", "asc"),
        }.get(self.shelf.sorting, (by, order))


class CategoryArticlesEndpoint(ArticleEndpoint):
    """The articles of all sections of one category."""

    def get_queryset(self) -> Any:
        category = find(Category.objects.visible_to(self.request.user), self.kwargs["category"])
        return super().get_queryset().filter(section__category=category)


class AuthorArticlesEndpoint(ArticleEndpoint):
    """The articles of one author; of an unknown one there are none."""

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(author=self.kwargs["user"])


class IncrementalArticlesEndpoint(ArticleEndpoint):
    """Every article that changed since `start_time`, oldest change first, 1,000 a page."""

    allowed = {"list": staff}
    says_its_order = False
    filter_backends: Any = ArticleEndpoint.filter_backends[:1]

    def list(self, request: Any, **kwargs: Any) -> Response:
        """A page, `end_time` to begin the next export with, and `next_page` while there is more."""
        params = request.query_params
        if "start_time" not in params:
            raise InvalidParameter("start_time", "Use seconds since 1970")
        since = epoch("start_time", params["start_time"])
        order = [("updated_at", False), ("id", False)]
        rows = self.filter_queryset(self.get_queryset()).order_by("updated_at", "id")
        rows = rows.filter(updated_at__gte=since)
        if after := params.get("after"):
            rows = rows.filter(decode_cursor(after, order, Article, "after"))
        found = list(rows[: ARTICLES_PER_EXPORT + 1])
        page, has_more = found[:ARTICLES_PER_EXPORT], len(found) > ARTICLES_PER_EXPORT
        end = int(page[-1].updated_at.timestamp()) if page else int(since.timestamp())
        next_page = None
        if has_more:
            # One second can change more articles than fit on a page: the cursor tells them apart.
            query = {"start_time": str(end), "after": encode_cursor(page[-1], ["updated_at", "id"])}
            next_page = self.link(query)
        data = self.envelope(self.plural, page, many=True)
        return Response({**data, "count": len(page), "end_time": end, "next_page": next_page})

    def link(self, changes: dict[str, str]) -> str:
        """This address with other parameters."""
        query = self.request.query_params.copy()
        for name, value in changes.items():
            query[name] = value
        return str(self.request.build_absolute_uri(f"{self.request.path}?{query.urlencode()}"))

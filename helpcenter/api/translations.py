"""Translations of articles, sections and categories, and which of them is the source."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, ClassVar

import django_filters
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from helpcenter import permissions
from helpcenter.models import (
    Article,
    ArticleTranslation,
    Category,
    CategoryTranslation,
    HelpCenter,
    Section,
    SectionTranslation,
)

from .base import Endpoint, Words, anybody, api_url, find, refuse_unless, signed_in, staff

# The kinds of things with translations: how their addresses call them, and their models.
KINDS: dict[str, tuple[str, Any, Any]] = {
    "article": ("articles", Article, ArticleTranslation),
    "section": ("sections", Section, SectionTranslation),
    "category": ("categories", Category, CategoryTranslation),
}


def translation_records(request: Any, translations: Iterable[Any]) -> list[dict[str, Any]]:
    """The translations, which the caller may see, as the API shows them."""
    context = {"request": request}
    return [dict(TranslationSerializer(each, context=context).data) for each in translations]


def enabled_locale(given: str, help_center: HelpCenter) -> str:
    """The locale as the help center writes it; ValidationError names the accepted ones."""
    known = {each.lower(): each for each in help_center.locales}
    if given.lower() not in known:
        accepted = ", ".join(known.values())
        raise serializers.ValidationError(
            {"locale": [f"{given} is not enabled; use one of {accepted}"]}
        )
    return known[given.lower()]


def words_of(
    data: dict[str, Any], locale: str | None, help_center: HelpCenter, **defaults: Any
) -> list[dict[str, Any]]:
    """The translations that something new comes with, the source first.

    `title`, `body` and `locale` of the data itself, then its `translations`; ValidationError
    without a title, for a locale that is not enabled, and for one that is named twice.
    """
    words = [dict(each) for each in data.get("translations", [])]
    if data.get("title") is not None or not words:
        source = {name: data.get(name, value) for name, value in defaults.items()}
        given = data.get("locale") or locale or help_center.default_locale
        source |= {"locale": given, "title": data.get("title"), "body": data.get("body") or ""}
        words.insert(0, source)
    for each in words:
        if not each["title"]:
            raise serializers.ValidationError({"title": ["is required"]})
        each["locale"] = enabled_locale(each["locale"], help_center)
    if len({each["locale"] for each in words}) < len(words):
        raise serializers.ValidationError({"translations": ["name each locale once"]})
    return words


class TranslationSerializer(serializers.Serializer):
    """The words of something in one locale."""

    id = serializers.IntegerField(read_only=True)
    url = serializers.SerializerMethodField()
    html_url = serializers.SerializerMethodField()
    source_id = serializers.SerializerMethodField()
    source_type = serializers.SerializerMethodField()
    locale = serializers.CharField(required=False, max_length=20)
    title = serializers.CharField(required=False, max_length=300)
    body = Words(required=False, allow_blank=True, allow_null=True)
    outdated = serializers.BooleanField(required=False)
    draft = serializers.BooleanField(required=False)
    hidden = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)
    created_by_id = serializers.IntegerField(read_only=True, allow_null=True)
    updated_by_id = serializers.IntegerField(read_only=True, allow_null=True)

    def get_url(self, words: Any) -> str:
        """Its own address."""
        kind, pk = _source(words)
        path = f"help_center/{KINDS[kind][0]}/{pk}/translations/{words.locale}"
        return api_url(self.context["request"], path)

    def get_html_url(self, words: Any) -> str:
        """The page in this locale."""
        kind, pk = _source(words)
        thing = KINDS[kind][1](pk=pk)
        thing.words = words
        return str(self.context["request"].build_absolute_uri(thing.address(words.locale)))

    def get_source_id(self, words: Any) -> int:
        """The id of what it is a translation of."""
        return _source(words)[1]

    def get_source_type(self, words: Any) -> str:
        """Article, Section or Category."""
        return _source(words)[0].capitalize()

    def get_hidden(self, words: Any) -> bool:
        """Nothing is hidden but by drafts and audiences."""
        return False

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """The translation; the body of an article as its page shows it, shelves without drafts."""
        shown = super().to_representation(instance)
        return {**shown, "body": shown_body(instance), "draft": getattr(instance, "draft", False)}


def shown_body(words: Any) -> str:
    """The body that the API shows: sanitised HTML for articles, the description of shelves."""
    return str(words.html if isinstance(words, ArticleTranslation) else words.body)


def _source(words: Any) -> tuple[str, int]:
    """(kind, id) of what this is a translation of."""
    kind = type(words).audience_parents[0]
    return kind, getattr(words, f"{kind}_id")


class TranslationFilter(django_filters.FilterSet):
    """What lists of translations can be filtered by."""

    locales = django_filters.CharFilter(method="in_locales")
    outdated = django_filters.BooleanFilter()

    def in_locales(self, rows: Any, name: str, value: str) -> Any:
        """Those in one of the locales, separated by commas."""
        return rows.filter(locale__in=[each.strip() for each in value.split(",")[:100]])


class ArticleTranslationFilter(TranslationFilter):
    """The same, and drafts."""

    draft = django_filters.BooleanFilter()


class TranslationEndpoint(Endpoint):
    """The translations of one article, section or category; `kind` says of which."""

    singular, plural = "translation", "translations"
    kind: ClassVar[str]
    serializer_class = TranslationSerializer
    lookup_field = "locale"
    lookup_url_kwarg = "translation"

    @cached_property
    def source(self) -> Any:
        """What is translated; 404 unless the caller sees it."""
        model = KINDS[self.kind][1]
        return find(model.objects.visible_to(self.request.user), self.kwargs["source"])

    def get_queryset(self) -> Any:
        model = KINDS[self.kind][2]
        return model.objects.filter(**{self.kind: self.source}).order_by("locale", "pk")

    def get_object(self) -> Any:
        """The translation in the locale, however its letters are written."""
        wanted = self.kwargs["translation"].lower()
        for words in self.filter_queryset(self.get_queryset()):
            if words.locale.lower() == wanted:
                return words
        raise Http404

    @extend_schema(responses={200: OpenApiTypes.OBJECT})
    def missing(self, request: Any, **kwargs: Any) -> Response:
        """The enabled locales in which there is no translation yet, drafts counted."""
        # The base manager: whoever may edit the source may know in which locales it exists.
        model = KINDS[self.kind][2]
        self.check_write()
        there = model._base_manager.filter(**{self.kind: self.source})
        known = set(there.values_list("locale", flat=True))
        return Response(
            {"locales": [each for each in self.help_center.locales if each not in known]}
        )

    def check_write(self) -> None:
        """404 unless the caller sees the source, 403 unless they may write translations of it."""
        refuse_unless(self.may_write(self.source))

    def may_write(self, source: Any) -> bool:
        """Admins; of articles also whoever may edit them."""
        return permissions.may_manage(self.request.user)

    def create(self, request: Any, **kwargs: Any) -> Response:
        """A new translation; 400 where there is one."""
        self.check_write()
        return super().create(request, **kwargs)

    def perform_create(self, serializer: Any) -> Any:
        data: dict[str, Any] = dict(serializer.validated_data)
        if not data.get("title"):
            raise serializers.ValidationError({"title": ["is required"]})
        given = data.get("locale") or self.kwargs.get("locale")
        if not given:
            raise serializers.ValidationError({"locale": ["is required"]})
        locale = enabled_locale(given, self.help_center)
        model = KINDS[self.kind][2]
        # The base manager: a draft that the caller may not see is a translation too.
        if model._base_manager.filter(**{self.kind: self.source}, locale=locale).exists():
            raise serializers.ValidationError({"locale": [f"{locale} has already been taken"]})
        user: Any = self.request.user
        words = model(
            locale=locale,
            title=data["title"],
            body=data.get("body") or "",
            outdated=data.get("outdated", False),
            created_by=user,
            updated_by=user,
            **{self.kind: self.source},
            **self.extras(data),
        )
        words.save()
        self.touch()
        return words

    def extras(self, data: dict[str, Any]) -> dict[str, Any]:
        """What only translations of this kind have."""
        return {}

    def touch(self) -> None:
        """Record the change on the source."""
        self.source.save()

    def perform_update(self, serializer: Any) -> Any:
        words, data = serializer.instance, dict(serializer.validated_data)
        if "body" in data:
            data["body"] = data["body"] or ""
            # What was read is the rendered body, and sending it back is no change.
            if data["body"] == shown_body(words):
                del data["body"]
            elif isinstance(words, ArticleTranslation):
                data["format"] = ArticleTranslation.HTML
        data.pop("locale", None)
        if not isinstance(words, ArticleTranslation):
            data.pop("draft", None)
        changes = {name: value for name, value in data.items() if getattr(words, name) != value}
        if changes:
            for name, value in changes.items():
                setattr(words, name, value)
            words.updated_by = self.request.user
            words.save()
            self.touch()
        return words

    @extend_schema(
        request=OpenApiTypes.OBJECT,
        responses={200: OpenApiTypes.OBJECT},
    )
    def set_source_locale(self, request: Any, **kwargs: Any) -> Response:
        """Make an existing translation the source: `{"article_locale": "fr"}`, as at Zendesk."""
        source = self.source
        self.check_write()
        names = (f"{self.kind}_locale", "source_locale", "locale")
        data = request.data if isinstance(request.data, dict) else {}
        given = next((data[name] for name in names if name in data), None)
        if not isinstance(given, str):
            raise serializers.ValidationError({names[0]: ["is required"]})
        known = {each.locale.lower(): each.locale for each in source.translations.all()}
        if given.lower() not in known:
            accepted = ", ".join(sorted(known.values()))
            words = f"{given} has no translation; use one of {accepted}"
            raise serializers.ValidationError({names[0]: [words]})
        source.source_locale = known[given.lower()]
        source.save()
        return Response({self.kind: self.record(source)})

    def record(self, source: Any) -> dict[str, Any]:
        """The source as its own endpoint shows it."""
        from .shelves import category_records, section_records

        records: Any = category_records if self.kind == "category" else section_records
        return dict(records(self.request, [source])[0])


class ShelfTranslationEndpoint(TranslationEndpoint):
    """Translations of categories and sections: written by admins."""

    filterset_class: Any = TranslationFilter
    allowed = {"list": anybody, "retrieve": anybody}


class CategoryTranslationEndpoint(ShelfTranslationEndpoint):
    """Translations of a category."""

    kind = "category"


class SectionTranslationEndpoint(ShelfTranslationEndpoint):
    """Translations of a section."""

    kind = "section"


class ArticleTranslationEndpoint(TranslationEndpoint):
    """Translations of an article: written by its editors, published by its publishers."""

    kind = "article"
    filterset_class: Any = ArticleTranslationFilter
    allowed = {
        "list": anybody,
        "retrieve": anybody,
        "missing": staff,
        "create": staff,
        "update": staff,
        "set_source_locale": staff,
    }

    def may_write(self, source: Any) -> bool:
        return permissions.may_edit(self.request.user, source)

    def check_update(self, row: Any) -> None:
        """Whether words are published is for publishers; sending what was read is no change."""
        self.check_write()
        data = self.request.data.get(self.singular) if isinstance(self.request.data, dict) else {}
        given = data.get("draft", row.draft) if isinstance(data, dict) else row.draft
        may_publish = permissions.may_publish(self.request.user, self.source)
        refuse_unless(may_publish or given == row.draft)

    def extras(self, data: dict[str, Any]) -> dict[str, Any]:
        """A new translation by somebody who may not publish is a draft."""
        may_publish = permissions.may_publish(self.request.user, self.source)
        draft = data.get("draft", False) or not may_publish
        return {"draft": draft, "format": ArticleTranslation.HTML}

    def touch(self) -> None:
        self.source.touch()

    def record(self, source: Any) -> dict[str, Any]:
        from .articles import article_records

        return article_records(self.request, [source])[0]


class AnyTranslationEndpoint(Endpoint):
    """One translation by its id, whatever it is one of: for deleting it."""

    singular, plural = "translation", "translations"
    serializer_class = TranslationSerializer
    filter_backends: Any = []
    who_sees = "whoever sees the translation: get_object()"
    allowed = {"destroy": signed_in}

    def get_object(self) -> Any:
        """The translation; 404 unless the caller sees it."""
        for _address, _model, translations in KINDS.values():
            rows = translations.objects.visible_to(self.request.user)
            if found := rows.filter(pk=self.kwargs["pk"]).first():
                return found
        raise Http404

    def check_destroy(self, row: Any) -> None:
        """Admins; for articles also their publishers."""
        user = self.request.user
        if isinstance(row, ArticleTranslation):
            refuse_unless(permissions.may_publish(user, row.article))
        else:
            refuse_unless(permissions.may_manage(user))

    def perform_destroy(self, instance: Any) -> None:
        """Delete it; 400 for the source, without which there would be nothing to translate."""
        kind, _pk = _source(instance)
        source = getattr(instance, kind)
        if source.source_locale == instance.locale:
            words = "The source translation cannot be deleted; make another one the source first"
            raise serializers.ValidationError({"base": [words]})
        instance.delete()
        source.save()

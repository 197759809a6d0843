"""Categories and sections."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError as ModelValidationError
from django.db.models import Exists, OuterRef
from rest_framework import serializers
from rest_framework.response import Response

from helpcenter.models import (
    Article,
    Attachment,
    Category,
    CategoryTranslation,
    Section,
    SectionTranslation,
)
from segments.models import Audience
from segments.ruleset import viewer_for

from .audiences import ID, IDS, AudienceFields, show_audiences
from .base import Endpoint, IdField, Rows, UrlField, Words, anybody, find
from .translations import translation_records, words_of

WORDS: dict[Any, Any] = {Category: CategoryTranslation, Section: SectionTranslation}
POSITION = {"min_value": -(2**31), "max_value": 2**31 - 1}


# What is shown ------------------------------------------------------------------------------------


def category_records(
    request: Any, categories: Iterable[Category], locale: str | None = None
) -> list[dict[str, Any]]:
    """The categories, which the caller may see, as the API shows them."""
    return _records(CategorySerializer, request, categories, locale)


def section_records(
    request: Any, sections: Iterable[Section], locale: str | None = None
) -> list[dict[str, Any]]:
    """The sections, which the caller may see, as the API shows them."""
    return _records(SectionSerializer, request, sections, locale)


def _records(
    serializer: Any, request: Any, rows: Iterable[Any], locale: str | None
) -> list[dict[str, Any]]:
    shown = prepare(list(rows), request.user, locale)
    return [dict(serializer(row, context={"request": request}).data) for row in shown]


def prepare(shelves: list[Any], user: Any, locale: str | None = None) -> list[Any]:
    """The shelves with all that their representation needs; those without any words left out.

    Each in `locale` where it has words in it, else in its source locale, else in any.
    """
    if not shelves:
        return []
    model = WORDS[type(shelves[0])]
    parent = model.audience_parents[0]
    translations = defaultdict(list)
    for words in model.objects.visible_to(user).filter(**{f"{parent}__in": shelves}):
        translations[getattr(words, f"{parent}_id")].append(words)
    for shelf in shelves:
        shelf.words = min(
            translations[shelf.pk],
            key=lambda words: (
                words.locale != locale,
                words.locale != shelf.source_locale,
                words.locale,
            ),
            default=None,
        )
    shown = [shelf for shelf in shelves if shelf.words]
    show_audiences(shown, viewer_for(user))
    return shown


class ShelfTranslationInput(serializers.Serializer):
    """One of the translations that a new shelf comes with."""

    locale = serializers.CharField(max_length=20)
    title = serializers.CharField(max_length=300)
    body = Words(required=False, allow_blank=True, default="", max_length=20_000)


class ShelfSerializer(AudienceFields, serializers.Serializer):
    """What categories and sections have in common."""

    id = serializers.IntegerField(read_only=True)
    html_url = serializers.SerializerMethodField()
    name = serializers.CharField(
        required=False, max_length=300, help_text="Read on creation only; see translations."
    )
    description = Words(
        required=False,
        allow_blank=True,
        allow_null=True,
        max_length=20_000,
        help_text="Read on creation only; see translations.",
    )
    locale = serializers.CharField(required=False, max_length=20)
    source_locale = serializers.CharField(read_only=True)
    position = serializers.IntegerField(required=False, **POSITION)  # type: ignore[arg-type]
    outdated = serializers.BooleanField(read_only=True)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)
    translations = ShelfTranslationInput(many=True, required=False, write_only=True)

    def get_html_url(self, shelf: Any) -> str:
        """The page of the shelf."""
        return str(self.context["request"].build_absolute_uri(shelf.address(shelf.words.locale)))

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """The shelf in its chosen words; its audience for admins only."""
        instance.name, instance.description = instance.words.title, instance.words.body
        instance.locale, instance.outdated = instance.words.locale, instance.words.outdated
        shown = super().to_representation(instance)
        if not viewer_for(self.context["request"].user).is_admin:
            for name in (ID, IDS):
                del shown[name]
        return shown

    def update(self, instance: Any, validated: dict[str, Any]) -> Any:
        """Store what a shelf itself has. Its words are changed through translations."""
        for name in ("name", "description", "locale", "translations"):
            validated.pop(name, None)
        for name, value in validated.items():
            setattr(instance, name, value)
        try:
            instance.save()
        except ModelValidationError as error:
            problems = error.message_dict
            parent = problems.pop("parent", None)
            raise serializers.ValidationError(
                {**problems, **({"parent_section_id": parent} if parent else {})}
            ) from error
        return instance


class CategorySerializer(ShelfSerializer):
    """A category."""

    url = UrlField("help_center/{locale}/categories/{pk}")


class SectionSerializer(ShelfSerializer):
    """A section."""

    url = UrlField("help_center/{locale}/sections/{pk}")
    category_id = IdField(required=False)
    parent_section_id = IdField(required=False, allow_null=True, source="parent_id")
    sorting = serializers.ChoiceField(required=False, choices=Section.SORTINGS)
    theme_template = serializers.CharField(required=False, max_length=100)

    def validate_category_id(self, pk: int) -> int:
        """A category that exists; only admins get here."""
        if not Category.objects.filter(pk=pk).exists():
            raise serializers.ValidationError(f"there is no category {pk}")
        return pk

    def validate_parent_section_id(self, pk: int | None) -> int | None:
        """A section that exists; only admins get here."""
        if pk is not None and not Section.objects.filter(pk=pk).exists():
            raise serializers.ValidationError(f"there is no section {pk}")
        return pk


# Endpoints ----------------------------------------------------------------------------------------


class ShelfEndpoint(Endpoint):
    """Categories or sections that the caller may see; written by admins."""

    model: Any
    allowed = {"list": anybody, "retrieve": anybody}
    sorts = {name: name for name in ("position", "created_at", "updated_at")}
    default_sort = "position"
    says_its_order = True

    def filter_queryset(self, queryset: Any) -> Any:
        """As everywhere; with a locale in the address only what has words in it."""
        rows = super().filter_queryset(queryset)
        if self.action == "list" and self.locale is not None:
            model = WORDS[self.model]
            parent = model.audience_parents[0]
            # The base manager: the words of a shelf that is shown are shown.
            words = model._base_manager.filter(**{parent: OuterRef("pk")}, locale=self.locale)
            rows = rows.filter(Exists(words))
        return rows

    def prepare(self, rows: Rows) -> Rows:
        return prepare(rows, self.request.user, self.locale)

    def include_translations(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The translations, in each record, as Zendesk has them."""
        model = WORDS[self.model]
        visible = model.objects.visible_to(self.request.user)
        found = visible.filter(**{f"{model.audience_parents[0]}__in": rows}).order_by("locale")
        by_shelf = defaultdict(list)
        for record in translation_records(self.request, found):
            by_shelf[record["source_id"]].append(record)
        for record in data:
            record["translations"] = by_shelf[record["id"]]
        return {}

    def perform_create(self, serializer: Any) -> Any:
        """A new shelf with its translations. For everyone unless the body says otherwise."""
        data = dict(serializer.validated_data)
        described = {"title": data.pop("name", None), "body": data.pop("description", None)}
        locale = self.kwargs.get("locale")
        words = words_of({**data, **described}, locale, self.help_center)
        shelf = self.new_shelf()
        shelf.source_locale, shelf.audience = words[0]["locale"], Audience.everyone()
        serializer.update(shelf, data)
        user: Any = self.request.user
        for each in words:
            shelf.translations.create(**each, created_by=user, updated_by=user)
        return shelf

    def new_shelf(self) -> Any:
        """An empty one in its place."""
        raise NotImplementedError


class CategoryEndpoint(ShelfEndpoint):
    """Categories."""

    singular, plural, model = "category", "categories", Category
    queryset = Category.objects.all()
    serializer_class = CategorySerializer
    includes = {"translations": "include_translations"}

    def new_shelf(self) -> Category:
        return Category(help_center=self.help_center)

    def perform_destroy(self, instance: Any) -> None:
        """Delete it with everything in it."""
        _delete_files(Article._base_manager.filter(section__category=instance))
        instance.delete()


class SectionEndpoint(ShelfEndpoint):
    """Sections: all of them."""

    singular, plural, model = "section", "sections", Section
    queryset = Section.objects.all()
    serializer_class = SectionSerializer
    includes = {"categories": "include_categories", "translations": "include_translations"}

    def include_categories(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The categories that the caller may know of."""
        found = Category.objects.visible_to(self.request.user)
        categories = found.filter(pk__in={each.category_id for each in rows})
        return {"categories": category_records(self.request, categories, self.locale)}

    def perform_destroy(self, instance: Any) -> None:
        """Delete it with the sections and articles in it."""
        inside = [instance.pk]
        for _ in range(Section.audience_depth):
            # The base manager: what is hidden goes with its section too.
            below = Section._base_manager.filter(parent__in=inside)
            inside = [*{*inside, *below.values_list("pk", flat=True)}]
        _delete_files(Article._base_manager.filter(section__in=inside))
        instance.delete()


class CategorySectionsEndpoint(SectionEndpoint):
    """The sections of one category, on all levels; and new ones."""

    def get_queryset(self) -> Any:
        category = find(Category.objects.visible_to(self.request.user), self.kwargs["category"])
        return super().get_queryset().filter(category=category)

    def create(self, request: Any, **kwargs: Any) -> Response:
        """A new section in the category."""
        self.category = find(Category.objects.visible_to(request.user), kwargs["category"])
        return super().create(request, **kwargs)

    def new_shelf(self) -> Section:
        return Section(category=self.category)


class SubsectionsEndpoint(SectionEndpoint):
    """The sections directly in one section."""

    allowed = {"list": anybody}

    def get_queryset(self) -> Any:
        section = find(Section.objects.visible_to(self.request.user), self.kwargs["section"])
        return super().get_queryset().filter(parent=section)


def _delete_files(articles: Any) -> None:
    """Delete the attachments one by one, so that their files go too."""
    # The base manager: the files of hidden and archived articles go with them.
    for attachment in Attachment._base_manager.filter(article__in=articles):
        attachment.delete()

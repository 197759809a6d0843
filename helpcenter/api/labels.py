"""Labels, of all articles and of one; and the locales of the help center."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from helpcenter import permissions
from helpcenter.models import Article, Label

from .base import Endpoint, UrlField, admin, anybody, find, refuse_unless, staff


class LabelSerializer(serializers.ModelSerializer):
    """A label."""

    url = UrlField("help_center/articles/labels/{pk}")
    # Not unique here: a label that exists is used again.
    name = serializers.CharField(max_length=200)

    class Meta:
        model = Label
        fields = ["id", "url", "name", "created_at", "updated_at"]
        read_only_fields = ["id", "created_at", "updated_at"]


class LabelEndpoint(Endpoint):
    """The labels of articles that the caller may see; all labels for admins."""

    singular, plural = "label", "labels"
    queryset = Label.objects.all()
    serializer_class = LabelSerializer
    filter_backends: Any = []
    who_sees = "labels of articles that the caller sees"
    allowed = {"list": staff, "retrieve": staff, "destroy": admin}

    def get_queryset(self) -> Any:
        """A label tells what an article is about, so a hidden article hides it."""
        return Label.objects.visible_to(self.request.user)


class ArticleLabelEndpoint(Endpoint):
    """The labels of one article that the caller may see."""

    singular, plural = "label", "labels"
    serializer_class = LabelSerializer
    filter_backends: Any = []
    who_sees = "labels of one article that the caller sees"
    allowed = {"list": staff, "create": staff, "destroy": staff}

    @cached_property
    def article(self) -> Article:
        """The article; to change its labels the caller must be able to edit it."""
        visible = Article.objects.visible_to(self.request.user)
        article: Article = find(visible, self.kwargs["article"])
        refuse_unless(self.action == "list" or permissions.may_edit(self.request.user, article))
        return article

    def get_queryset(self) -> Any:
        return Label.objects.filter(articles=self.article)

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Put a label on the article; one of this name is used if there is one."""
        _article = self.article
        return super().create(request, **kwargs)

    def perform_create(self, serializer: Any) -> Label:
        name = serializer.validated_data["name"]
        label: Label = Label.objects.called([name], self.request.user).get()
        self.article.labels.add(label)
        self.article.touch()
        return label

    def perform_destroy(self, instance: Label) -> None:
        """Take the label off the article; the label itself stays."""
        self.article.labels.remove(instance)
        self.article.touch()


class LocalesSerializer(serializers.Serializer):
    """The enabled locales."""

    locales = serializers.ListField(child=serializers.CharField())
    default_locale = serializers.CharField()


class LocalesEndpoint(Endpoint):
    """In which locales there is content."""

    filter_backends: Any = []
    who_sees = "whoever sees the help center"
    allowed = {"retrieve": anybody}
    serializer_class = LocalesSerializer

    @extend_schema(responses=LocalesSerializer)
    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """The enabled locales and the default one."""
        help_center = self.help_center
        return Response(
            {"locales": help_center.locales, "default_locale": help_center.default_locale}
        )

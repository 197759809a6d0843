"""Subscriptions: who follows which articles and sections."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.response import Response

from accounts.models import User
from helpcenter import permissions
from helpcenter.models import Article, Section, Subscription

from .articles import article_records
from .base import Endpoint, IdField, Rows, find, refuse_unless, signed_in
from .base import api_url as address
from .comments import own_or_staff
from .people import user_records
from .shelves import section_records
from .translations import enabled_locale


class SubscriptionSerializer(serializers.Serializer):
    """That a person follows an article or a section in one locale."""

    id = serializers.IntegerField(read_only=True)
    url = serializers.SerializerMethodField()
    user_id = IdField(required=False, help_text="Somebody else: for admins.")
    content_id = serializers.SerializerMethodField()
    content_type = serializers.SerializerMethodField()
    locale = serializers.CharField(required=False, max_length=20)
    source_locale = serializers.CharField(required=False, max_length=20)
    include_comments = serializers.BooleanField(required=False)
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_url(self, subscription: Subscription) -> str:
        """Its own address."""
        kind = "articles" if subscription.article_id else "sections"
        pk = self.get_content_id(subscription)
        path = f"help_center/{kind}/{pk}/subscriptions/{subscription.pk}"
        return address(self.context["request"], path)

    def get_content_id(self, subscription: Subscription) -> int:
        """The id of what is followed."""
        return subscription.article_id or subscription.section_id or 0

    def get_content_type(self, subscription: Subscription) -> str:
        """Article or Section."""
        return "Article" if subscription.article_id else "Section"

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """The one locale is the source locale too."""
        instance.source_locale = instance.locale
        return super().to_representation(instance)

    def validate_user_id(self, pk: int) -> int:
        """Somebody who exists. To whom it is refused or ignored, the answer does not tell."""
        asks = self.instance is None and permissions.may_manage(self.context["request"].user)
        if asks and not User.objects.filter(pk=pk).exists():
            raise serializers.ValidationError(f"there is no user {pk}")
        return pk


class SubscriptionEndpoint(Endpoint):
    """Subscriptions to what the caller may see."""

    singular, plural = "subscription", "subscriptions"
    queryset = Subscription.objects.all()
    serializer_class = SubscriptionSerializer
    includes = {
        "users": "include_users",
        "articles": "include_articles",
        "sections": "include_sections",
    }

    def include_users(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """Who follows."""
        found = User.objects.filter(pk__in={each.user_id for each in rows})
        return {"users": user_records(self.request, found)}

    def include_articles(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The articles that are followed."""
        visible = Article.objects.visible_to(self.request.user)
        articles = visible.filter(pk__in={each.article_id for each in rows} - {None})
        return {"articles": article_records(self.request, articles)}

    def include_sections(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The sections that are followed."""
        visible = Section.objects.visible_to(self.request.user)
        sections = visible.filter(pk__in={each.section_id for each in rows} - {None})
        return {"sections": section_records(self.request, sections)}


class ContentSubscriptionEndpoint(SubscriptionEndpoint):
    """The subscriptions to one article or section; others' only for who takes care of it."""

    kind: ClassVar[str]
    model: ClassVar[Any]
    allowed = dict.fromkeys(("list", "retrieve", "create", "update", "destroy"), signed_in)

    @cached_property
    def content(self) -> Any:
        """What is followed; 404 unless the caller sees it."""
        return find(self.model.objects.visible_to(self.request.user), self.kwargs["content"])

    def may_see_others(self, content: Any) -> bool:
        """Does the caller take care of it?"""
        return permissions.may_manage(self.request.user)

    def get_queryset(self) -> Any:
        content = self.content
        rows = super().get_queryset().filter(**{self.kind: content})
        return rows if self.may_see_others(content) else rows.filter(user=self.viewer.pk)

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Follow it; following twice is following once."""
        _content = self.content
        return super().create(request, **kwargs)

    def body(self, key: str | None = None) -> dict[str, Any]:
        """An empty body follows in the source locale, as clients of Zendesk expect."""
        data = self.request.data
        return {} if isinstance(data, dict) and not data else super().body(key)

    def perform_create(self, serializer: Any) -> Subscription:
        data, content = serializer.validated_data, self.content
        user: Any = self.request.user.pk
        if data.get("user_id", user) != user:
            refuse_unless(permissions.may_manage(self.request.user))
            user = data["user_id"]
        given = data.get("locale") or data.get("source_locale") or self.kwargs.get("locale")
        locale = enabled_locale(given or content.source_locale, self.help_center)
        subscription, _created = Subscription.objects.update_or_create(
            user_id=user,
            locale=locale,
            **{self.kind: content},
            # Following again without a word of it leaves it as it was.
            defaults={name: data[name] for name in ("include_comments",) if name in data},
        )
        return subscription

    def perform_update(self, serializer: Any) -> Subscription:
        subscription: Subscription = serializer.instance
        subscription.include_comments = serializer.validated_data.get(
            "include_comments", subscription.include_comments
        )
        subscription.save()
        return subscription

    def check_update(self, row: Any) -> None:
        """Whose subscription it is, and admins."""
        user = self.request.user
        refuse_unless(row.user_id == user.pk or permissions.may_manage(user))

    check_destroy = check_update


class ArticleSubscriptionEndpoint(ContentSubscriptionEndpoint):
    """The subscriptions to an article."""

    kind, model = "article", Article

    def may_see_others(self, content: Any) -> bool:
        return permissions.may_edit(self.request.user, content)


class SectionSubscriptionEndpoint(ContentSubscriptionEndpoint):
    """The subscriptions to a section."""

    kind, model = "section", Section


class UserSubscriptionEndpoint(SubscriptionEndpoint):
    """What one person follows: for staff and for that person."""

    allowed = {"list": signed_in}

    def get_queryset(self) -> Any:
        user = own_or_staff(self.kwargs.get("user"), self.viewer)
        return super().get_queryset().filter(user=user)


class UserFollowSerializer(serializers.Serializer):
    """That one person follows another."""

    id = serializers.IntegerField(read_only=True)
    followed_id = serializers.IntegerField(read_only=True)
    follower_id = serializers.IntegerField(read_only=True)


class UserFollowEndpoint(Endpoint):
    """Who follows a person, and whom they follow: nobody, as people are not followed here."""

    singular, plural = "user_subscription", "user_subscriptions"
    queryset = Subscription.objects.none()
    serializer_class = UserFollowSerializer
    allowed = {"list": signed_in}

    def get_queryset(self) -> Any:
        """Nothing; of others than oneself for staff alone, like what they follow."""
        own_or_staff(self.kwargs.get("user"), self.viewer)
        return super().get_queryset()

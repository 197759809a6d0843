"""Comments on articles. Whoever sees an article sees its comments."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from django.db.models import Count, Sum
from django.http import Http404
from django.utils import timezone
from rest_framework import serializers
from rest_framework.response import Response

from accounts.models import User
from helpcenter import permissions, rendering
from helpcenter.models import Article, Comment, Vote
from segments.ruleset import Viewer

from .articles import article_records
from .base import Endpoint, IdField, Rows, UrlField, Words, anybody, find, refuse_unless, signed_in
from .people import user_records
from .translations import enabled_locale

LONGEST = 10_000


def own_or_staff(user: int | None, viewer: Viewer) -> int:
    """The id of the person whose things are asked for, `me` without one; 404 unless they may be.

    Only staff ask for anybody but themselves.
    """
    wanted = viewer.pk if user is None else user
    if wanted is None or not (viewer.is_staff or wanted == viewer.pk):
        raise Http404
    return wanted


def prepare(comments: list[Any]) -> list[Any]:
    """The comments with their votes, counted for all at once."""
    # The base manager: the votes of comments that the caller may see.
    rows = Vote._base_manager.filter(comment__in=comments).values("comment")
    sums = {row["comment"]: row for row in rows.annotate(sum=Sum("value"), count=Count("pk"))}
    for comment in comments:
        found = sums.get(comment.pk, {"sum": 0, "count": 0})
        comment.vote_sum, comment.vote_count = found["sum"], found["count"]
    return comments


class CommentSerializer(serializers.Serializer):
    """A comment on an article."""

    id = serializers.IntegerField(read_only=True)
    url = UrlField("help_center/articles/{article_id}/comments/{pk}")
    html_url = serializers.SerializerMethodField()
    author_id = IdField(required=False, allow_null=True)
    body = Words(required=False, max_length=LONGEST)
    locale = serializers.CharField(required=False, max_length=20)
    source_id = serializers.IntegerField(read_only=True, source="article_id")
    source_type = serializers.SerializerMethodField()
    non_author_editor_id = serializers.IntegerField(read_only=True, allow_null=True)
    non_author_updated_at = serializers.DateTimeField(read_only=True, allow_null=True)
    vote_sum = serializers.IntegerField(read_only=True)
    vote_count = serializers.IntegerField(read_only=True)
    created_at = serializers.DateTimeField(required=False)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_html_url(self, comment: Comment) -> str:
        """The page of the article, at the comment."""
        page = f"/hc/{comment.locale}/articles/{comment.article_id}#comment-{comment.pk}"
        return str(self.context["request"].build_absolute_uri(page))

    def get_source_type(self, comment: Comment) -> str:
        """There are comments on articles only."""
        return "Article"

    def validate_body(self, body: str) -> str:
        """The sanitised HTML; something must be left of it."""
        body = rendering.render(body, "html")
        if not rendering.plain_text(body).strip():
            raise serializers.ValidationError("can't be blank")
        return body

    def validate_author_id(self, pk: int | None) -> int | None:
        """Somebody who exists. To whom it is ignored, the answer does not tell who does."""
        if self._is_import and pk is not None and not User.objects.filter(pk=pk).exists():
            raise serializers.ValidationError(f"there is no user {pk}")
        return pk

    def validate_created_at(self, moment: datetime) -> datetime:
        """A moment that has been."""
        began = datetime(1970, 1, 1, tzinfo=UTC)
        if self._is_import and not began <= moment <= timezone.now():
            raise serializers.ValidationError("must be in the past")
        return moment

    @property
    def _is_import(self) -> bool:
        """Is it a new comment by somebody who may say who wrote what, and when?"""
        return self.instance is None and permissions.may_manage(self.context["request"].user)


class CommentEndpoint(Endpoint):
    """Comments that the caller may see."""

    singular, plural = "comment", "comments"
    queryset = Comment.objects.all()
    serializer_class = CommentSerializer
    sorts = {name: name for name in ("created_at", "updated_at")}
    default_sort = "created_at"
    includes = {"users": "include_users", "articles": "include_articles"}
    volatile = frozenset(["vote_sum", "vote_count"])

    def prepare(self, rows: Rows) -> Rows:
        return prepare(rows)

    def include_users(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The authors."""
        authors = User.objects.filter(pk__in={each.author_id for each in rows})
        return {"users": user_records(self.request, authors)}

    def include_articles(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The articles that the comments are about."""
        found = Article.objects.visible_to(self.request.user)
        articles = found.filter(pk__in={each.article_id for each in rows})
        return {"articles": article_records(self.request, articles)}


class ArticleCommentEndpoint(CommentEndpoint):
    """The comments on one article."""

    allowed = {
        "list": anybody,
        "retrieve": anybody,
        "create": signed_in,
        "update": signed_in,
        "destroy": signed_in,
    }

    @cached_property
    def article(self) -> Article:
        """The article; 404 unless the caller sees it."""
        visible = Article.objects.visible_to(self.request.user)
        found: Article = find(visible, self.kwargs["article"])
        return found

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(article=self.article)

    def create(self, request: Any, **kwargs: Any) -> Response:
        """A new comment, unless the article takes none."""
        refuse_unless(not self.article.comments_disabled)
        response = super().create(request, **kwargs)
        response["Location"] = response.data["comment"]["url"]
        return response

    def perform_create(self, serializer: Any) -> Comment:
        data: dict[str, Any] = dict(serializer.validated_data)
        if "body" not in data:
            raise serializers.ValidationError({"body": ["is required"]})
        article, user = self.article, self.request.user
        locale = data.get("locale") or self.kwargs.get("locale") or article.source_locale
        comment = Comment(
            article=article,
            author_id=user.pk,
            body=data["body"],
            locale=enabled_locale(locale, self.help_center),
        )
        # Imports say who wrote what, and when.
        if permissions.may_manage(user):
            comment.author_id = data.get("author_id", comment.author_id)
            comment.created_at = data.get("created_at", comment.created_at)
        comment.save()
        return comment

    def perform_update(self, serializer: Any) -> Comment:
        comment, user = serializer.instance, self.request.user
        comment.body = serializer.validated_data.get("body", comment.body)
        if comment.author_id != user.pk:
            comment.non_author_editor_id = user.pk
            comment.non_author_updated_at = timezone.now()
        comment.save()
        return comment

    def check_update(self, row: Any) -> None:
        """The author, and whoever takes care of the article."""
        user = self.request.user
        refuse_unless(row.author_id == user.pk or permissions.may_edit(user, row.article))

    check_destroy = check_update


class AuthorCommentEndpoint(CommentEndpoint):
    """The comments of one person: for staff and for that person."""

    allowed = {"list": signed_in}

    def get_queryset(self) -> Any:
        author = own_or_staff(self.kwargs.get("user"), self.viewer)
        return super().get_queryset().filter(author=author)

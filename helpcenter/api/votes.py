"""Votes: whether an article or a comment helped."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from helpcenter import permissions
from helpcenter.models import Article, Comment, Vote

from .base import Endpoint, UrlField, find, refuse_unless, signed_in
from .comments import own_or_staff


class VoteSerializer(serializers.Serializer):
    """One person's vote."""

    id = serializers.IntegerField(read_only=True)
    url = UrlField("help_center/votes/{pk}")
    user_id = serializers.IntegerField(read_only=True)
    value = serializers.IntegerField(read_only=True)
    item_id = serializers.SerializerMethodField()
    item_type = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_item_id(self, vote: Vote) -> int:
        """The id of what was voted on."""
        return vote.article_id or vote.comment_id or 0

    def get_item_type(self, vote: Vote) -> str:
        """Article or Comment."""
        return "Article" if vote.article_id else "Comment"


class VoteEndpoint(Endpoint):
    """Votes on what the caller may see: all of them for staff, their own for everybody else."""

    singular, plural = "vote", "votes"
    serializer_class = VoteSerializer
    allowed = {"retrieve": signed_in, "destroy": signed_in}

    def get_queryset(self) -> Any:
        votes = Vote.objects.all()
        return votes if self.viewer.is_staff else votes.filter(user=self.viewer.pk)

    def check_destroy(self, row: Any) -> None:
        """Whose vote it is, and admins."""
        user = self.request.user
        refuse_unless(row.user_id == user.pk or permissions.may_manage(user))


class ItemVoteEndpoint(VoteEndpoint):
    """The votes on one article or one comment, and the caller's own."""

    allowed = {"list": signed_in, "up": signed_in, "down": signed_in}

    @cached_property
    def item(self) -> dict[str, Any]:
        """`{"article": …}` or `{"comment": …}`; 404 unless the caller sees it."""
        article = find(Article.objects.visible_to(self.request.user), self.kwargs["article"])
        if "comment" not in self.kwargs:
            return {"article": article}
        comments = Comment.objects.visible_to(self.request.user).filter(article=article)
        return {"comment": find(comments, self.kwargs["comment"])}

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(**self.item)

    @extend_schema(request=None, responses={200: VoteSerializer})
    def up(self, request: Any, **kwargs: Any) -> Response:
        """It helped; another vote of the caller on it is replaced."""
        return self._vote(Vote.UP)

    @extend_schema(request=None, responses={200: VoteSerializer})
    def down(self, request: Any, **kwargs: Any) -> Response:
        """It did not help; another vote of the caller on it is replaced."""
        return self._vote(Vote.DOWN)

    def _vote(self, value: int) -> Response:
        user: Any = self.request.user
        vote, _created = Vote.objects.update_or_create(
            user=user, **self.item, defaults={"value": value}
        )
        return self.answer(vote)


class VoterEndpoint(VoteEndpoint):
    """The votes of one person: for staff and for that person."""

    allowed = {"list": signed_in}

    def get_queryset(self) -> Any:
        user = own_or_staff(self.kwargs.get("user"), self.viewer)
        return super().get_queryset().filter(user=user)

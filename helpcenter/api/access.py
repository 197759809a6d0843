"""Who can see this, what can this person see, and why: beyond Zendesk, from the one rule."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from django.contrib.auth.models import AnonymousUser
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.response import Response

from accounts.models import User
from helpcenter import permissions
from helpcenter.models import Article, ArticleTranslation, Attachment, Category, Section
from segments.explain import Explanation, Level, SegmentReason, ancestry, explain
from segments.models import Audience
from segments.reach import Reach, reach_of

from .articles import ArticleEndpoint
from .audiences import segments_of
from .base import Endpoint, IdField, Rows, find, refuse_unless, staff
from .people import UserEndpoint

# What can be explained, by the name of its id in the body.
EXPLAINED = {
    "article_id": Article,
    "section_id": Section,
    "category_id": Category,
    "translation_id": ArticleTranslation,
    "attachment_id": Attachment,
}


class AudienceEndpoint(UserEndpoint):
    """Who can see one article, section or category: the audiences, the counts, the people."""

    model: ClassVar[Any]
    allowed: ClassVar[Any] = {"list": staff}

    @cached_property
    def thing(self) -> Any:
        """The content; 404 unless the caller sees it, 403 unless its audience is theirs to know."""
        thing = find(self.model.objects.visible_to(self.request.user), self.kwargs["content"])
        refuse_unless(self.may_know(thing))
        return thing

    @cached_property
    def reach(self) -> Reach:
        """Who can see it, asked once."""
        return reach_of(self.thing)

    def may_know(self, thing: Any) -> bool:
        """Admins; for articles whoever may publish them."""
        return permissions.may_manage(self.request.user)

    def get_queryset(self) -> Any:
        """The people whom every audience admits; of everybody there is no list."""
        return self.reach.members.order_by("pk")

    def envelope(self, key: str, rows: Rows, many: bool) -> dict[str, Any]:
        """The audiences from the help center down, and how many people there are of each kind."""
        reach = self.reach
        levels = ancestry(self.thing)
        named = segments_of({each.audience_id for each in levels if hasattr(each, "audience_id")})
        audience = {
            "public": reach.is_public,
            "members": {"count": reach.members.count()},
            "editors": {"count": reach.editors.count()},
            "admins": {"count": reach.admins.count()},
            "levels": [
                {
                    "type": type(each)._meta.model_name,
                    "id": each.pk,
                    "audience": _word(each.audience_id),
                    "user_segment_ids": named.get(each.audience_id, []),
                }
                for each in levels
                if hasattr(each, "audience_id")
            ],
        }
        return {"audience": audience, **super().envelope(key, rows, many)}


def _word(audience: int) -> str:
    words = {Audience.NOBODY: "nobody", Audience.EVERYONE: "everyone"}
    return words.get(audience, "user_segments")


class ArticleAudienceEndpoint(AudienceEndpoint):
    """Who can see an article."""

    model = Article

    def may_know(self, thing: Any) -> bool:
        return permissions.may_publish(self.request.user, thing)


class SectionAudienceEndpoint(AudienceEndpoint):
    """Who can see a section, if it is not empty to them."""

    model = Section


class CategoryAudienceEndpoint(AudienceEndpoint):
    """Who can see a category, if it is not empty to them."""

    model = Category


class VisibleArticlesEndpoint(ArticleEndpoint):
    """The articles that one person can see: for admins, and for staff of themselves."""

    allowed: ClassVar[Any] = {"list": staff}

    def get_queryset(self) -> Any:
        pk = self.kwargs["user"]
        if not self.viewer.is_admin and pk != self.viewer.pk:
            raise Http404
        person = find(User.objects, pk)
        # Both the person and the caller: what an admin sees of them is what they see.
        rows: Any = super().get_queryset()
        return rows.visible_to(person)


class ExplainRequest(serializers.Serializer):
    """Whose view of what is to be explained."""

    user_id = IdField(required=False, allow_null=True, help_text="Nobody: an anonymous visitor.")
    email = serializers.CharField(required=False, max_length=254)
    article_id = IdField(required=False)
    section_id = IdField(required=False)
    category_id = IdField(required=False)
    translation_id = IdField(required=False)
    attachment_id = IdField(required=False)


class ExplainEndpoint(Endpoint):
    """Why somebody may or may not see something: for admins, because it names everything."""

    serializer_class = ExplainRequest

    @extend_schema(request=ExplainRequest, responses={200: OpenApiTypes.OBJECT})
    def explain(self, request: Any, **kwargs: Any) -> Response:
        """The verdict, the chain from the help center down, and what would change the verdict."""
        serializer = ExplainRequest(data=request.data)
        serializer.is_valid(raise_exception=True)
        data = serializer.validated_data
        found = explain(_person(data), self._thing(data))
        return Response({"explanation": _as_json(found)})

    def _thing(self, data: dict[str, Any]) -> Any:
        named = [name for name in EXPLAINED if name in data]
        if len(named) != 1:
            listed = ", ".join(EXPLAINED)
            raise serializers.ValidationError({"base": [f"name one of {listed}"]})
        model: Any = EXPLAINED[named[0]]
        thing = model.objects.visible_to(self.request.user).filter(pk=data[named[0]]).first()
        if thing is None:
            kind = named[0].removesuffix("_id")
            raise serializers.ValidationError({named[0]: [f"there is no {kind} {data[named[0]]}"]})
        return thing


def _person(data: dict[str, Any]) -> Any:
    people = User.objects.all()
    if data.get("user_id") is not None:
        person = people.filter(pk=data["user_id"]).first()
        if person is None:
            words = f"there is no user {data['user_id']}"
            raise serializers.ValidationError({"user_id": [words]})
        return person
    if "email" in data:
        person = people.filter(email__iexact=data["email"]).first()
        if person is None:
            raise serializers.ValidationError({"email": ["nobody has this address"]})
        return person
    return AnonymousUser()


def _as_json(found: Explanation) -> dict[str, Any]:
    return {
        "visible": found.visible,
        "person": found.person,
        "bypass": found.bypass,
        "chain": [_level(each) for each in found.chain],
        "would_change": found.would_change,
    }


def _level(level: Level) -> dict[str, Any]:
    return {
        "type": type(level.thing)._meta.model_name,
        "id": level.thing.pk,
        "name": str(level.thing),
        "admits": level.admits,
        "words": level.words,
        "user_segments": [_segment(each) for each in level.segments],
    }


def _segment(reason: SegmentReason) -> dict[str, Any]:
    return {
        "id": reason.segment.pk,
        "name": reason.segment.name,
        "is_member": reason.is_member,
        "words": reason.words,
        "conditions": [
            {"holds": each.holds, "words": each.words, "has": each.has}
            for each in reason.conditions
        ],
    }

"""Files of articles, and files that are uploaded before their article is there."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import exceptions, parsers, serializers, status
from rest_framework.response import Response

from helpcenter import files, permissions
from helpcenter.models import Article, Attachment

from .base import Endpoint, IdField, UrlField, anybody, find, refuse_unless, signed_in, staff
from .translations import enabled_locale

LARGEST = 20 * 1024 * 1024
AT_ONCE = 20


class TooLarge(exceptions.APIException):
    """413: the file is larger than 20 MB."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "A file can have 20 MB at most."
    default_code = "attachment_too_large"


class AttachmentSerializer(serializers.Serializer):
    """A file of an article. Its type is found out from its bytes, whatever it calls itself."""

    id = serializers.IntegerField(read_only=True)
    url = UrlField("help_center/articles/attachments/{pk}")
    article_id = serializers.IntegerField(read_only=True, allow_null=True)
    file = serializers.FileField(write_only=True, allow_empty_file=False, max_length=1000)
    file_name = serializers.CharField(read_only=True)
    display_file_name = serializers.CharField(read_only=True, source="file_name")
    content_type = serializers.CharField(read_only=True)
    content_url = serializers.SerializerMethodField()
    relative_path = serializers.CharField(read_only=True, source="address")
    size = serializers.IntegerField(read_only=True)
    inline = serializers.BooleanField(required=False)
    locale = serializers.CharField(required=False, allow_null=True, max_length=20)
    guide_media_id = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)

    def get_content_url(self, attachment: Attachment) -> str:
        """Where the file is served, after the same check."""
        return str(self.context["request"].build_absolute_uri(attachment.address()))

    @extend_schema_field({"type": ["string", "null"]})
    def get_guide_media_id(self, attachment: Attachment) -> None:
        """There is no media library."""

    def validate_file(self, file: Any) -> Any:
        """At most 20 MB, under a name that every disk can hold."""
        if file.size > LARGEST:
            raise TooLarge()
        file.name = files.safe_file_name(file.name)
        return file


class AttachmentEndpoint(Endpoint):
    """Files by their id, and new ones that no article uses yet."""

    singular, plural = "article_attachment", "article_attachments"
    queryset = Attachment.objects.all()
    serializer_class = AttachmentSerializer
    parser_classes = [parsers.MultiPartParser]
    allowed = {"retrieve": anybody, "create": staff, "destroy": signed_in}
    article: Article | None = None
    uploaded: Attachment | None = None

    def body(self, key: str | None = None) -> Any:
        """The fields of the form, which have no envelope."""
        return self.request.data

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Upload a file that only its uploader and admins see until an article uses it."""
        refuse_unless(permissions.may_add_articles(request.user))
        return self.upload(request, **kwargs)

    def upload(self, request: Any, **kwargs: Any) -> Response:
        """The new file; where anything fails, the storage forgets it as the database does."""
        try:
            return super().create(request, **kwargs)
        except Exception:
            # Only a file of ours: before it is stored, its name is what the uploader calls it.
            file: Any = self.uploaded and self.uploaded.file
            if file and file._committed:
                file.delete(save=False)
            raise

    def perform_create(self, serializer: Any) -> Attachment:
        data: dict[str, Any] = dict(serializer.validated_data)
        if locale := data.get("locale"):
            data["locale"] = enabled_locale(locale, self.help_center)
        user: Any = self.request.user
        self.uploaded = Attachment(article=self.article, uploaded_by=user, **data)
        self.uploaded.save()
        if self.article:
            self.article.touch()
        return self.uploaded

    def check_destroy(self, row: Any) -> None:
        """Publishers of the article; of an unused file whoever sees it: its uploader."""
        if row.article is not None:
            refuse_unless(permissions.may_publish(self.request.user, row.article))

    def perform_destroy(self, instance: Any) -> None:
        article = instance.article
        instance.delete()
        if article:
            article.touch()


class ArticleAttachmentEndpoint(AttachmentEndpoint):
    """The files of one article that the caller may see."""

    allowed = {
        "list": anybody,
        "inline": anybody,
        "block": anybody,
        "retrieve": anybody,
        "create": staff,
        "associate": staff,
    }

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(article=self._find())

    def _find(self) -> Article:
        found: Article = find(Article.objects.visible_to(self.request.user), self.kwargs["article"])
        return found

    @extend_schema(responses={200: AttachmentSerializer(many=True)})
    def inline(self, request: Any, **kwargs: Any) -> Response:
        """The files that are shown inside of the body."""
        return self.paged(self.filter_queryset(self.get_queryset()).filter(inline=True))

    @extend_schema(responses={200: AttachmentSerializer(many=True)})
    def block(self, request: Any, **kwargs: Any) -> Response:
        """The files that are listed below the body."""
        return self.paged(self.filter_queryset(self.get_queryset()).filter(inline=False))

    def create(self, request: Any, **kwargs: Any) -> Response:
        """Upload a file to the article, by whoever may edit it."""
        self.article = self._find()
        refuse_unless(permissions.may_edit(request.user, self.article))
        return self.upload(request, **kwargs)


class IdsSerializer(serializers.Serializer):
    """Which files an article shall use."""

    attachment_ids = serializers.ListField(child=IdField(), min_length=1, max_length=AT_ONCE)


class BulkAttachmentEndpoint(ArticleAttachmentEndpoint):
    """Gives an article files that were uploaded before: all that are named, or none."""

    parser_classes = Endpoint.parser_classes

    @extend_schema(request=IdsSerializer, responses={200: AttachmentSerializer(many=True)})
    def associate(self, request: Any, **kwargs: Any) -> Response:
        """The files, which belong to the article from now on."""
        article = self._find()
        refuse_unless(permissions.may_edit(request.user, article))
        serializer = IdsSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        ids = set(serializer.validated_data["attachment_ids"])
        usable = Attachment.objects.visible_to(request.user).filter(
            Q(article=None) | Q(article=article)
        )
        found = list(usable.filter(pk__in=ids))
        if missing := sorted(ids - {each.pk for each in found}):
            words = f"there is no unused attachment {', '.join(map(str, missing))}"
            raise serializers.ValidationError({"attachment_ids": [words]})
        for attachment in found:
            attachment.article = article
            attachment.save()
        article.touch()
        # All of them: what was done does not depend on the page that is asked for.
        rows = Attachment.objects.visible_to(request.user).filter(pk__in=ids)
        return Response(self.envelope(self.plural, list(rows), True))

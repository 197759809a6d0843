"""The content: help center → category → section → article → translation and attachments.

Who sees what is not decided here: every model inherits the rule from `segments`.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segments.models import Audience, InheritsAudience, Restricted, random_id

from . import builtin, files, rendering, search
from .querysets import (
    ArticleQuerySet,
    ArticleTranslationQuerySet,
    AttachmentQuerySet,
    CategoryQuerySet,
    HelpCenterQuerySet,
    LabelQuerySet,
    SectionQuerySet,
    ShelfTranslationQuerySet,
    UnarchivedQuerySet,
)


def all_locales() -> list[tuple[str, Any]]:
    """The locales that content may be written in."""
    return settings.LANGUAGES


def default_locales() -> list[str]:
    """A new help center speaks the language of the installation."""
    return [settings.LANGUAGE_CODE]


class HelpCenter(Restricted):
    """The whole. Its audience is the first that every visitor must pass ("require sign in")."""

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    name = models.CharField(gettext_lazy("name"), max_length=200)
    default_locale = models.CharField(
        gettext_lazy("default locale"),
        max_length=20,
        choices=all_locales,
        default=settings.LANGUAGE_CODE,
    )
    locales = models.JSONField(gettext_lazy("enabled locales"), default=default_locales)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[Any] = HelpCenterQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = gettext_lazy("help center")
        verbose_name_plural = gettext_lazy("help centers")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        known = dict(settings.LANGUAGES)
        if not isinstance(self.locales, list) or not set(map(str, self.locales)) <= set(known):
            accepted = ", ".join(known)
            raise ValidationError({"locales": _("A list of locales out of: %s.") % accepted})
        if self.default_locale not in self.locales:
            raise ValidationError({"locales": _("The default locale must be enabled.")})


class Translation(models.Model):
    """The words of a category, a section or an article in one locale."""

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    locale = models.CharField(gettext_lazy("locale"), max_length=20, choices=all_locales)
    title = models.CharField(gettext_lazy("title"), max_length=300)
    body = models.TextField(gettext_lazy("body"), blank=True)
    # Said by whoever changed another translation; nothing is hidden by it.
    outdated = models.BooleanField(gettext_lazy("outdated"), default=False, db_default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    updated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.title

    @property
    def slug(self) -> str:
        """The readable part of the address; may be empty."""
        return rendering.slug(self.title)


class Translated(models.Model):
    """Something whose words are translations. Lists fetch them all at once (`with_words`)."""

    source_locale = models.CharField(
        gettext_lazy("source locale"),
        max_length=20,
        choices=all_locales,
        default=settings.LANGUAGE_CODE,
    )

    # The translation chosen for the reader by `with_words`.
    words: Any = None
    # The name of the URL of its page.
    page: str
    translations: Any

    class Meta:
        abstract = True

    def __str__(self) -> str:
        title = self.words.title if self.words else vars(self).get("title")
        if title is None and "title" not in vars(self):
            source = self.translations.filter(locale=self.source_locale)
            title = source.values_list("title", flat=True).first()
        return title or f"{self._meta.verbose_name} {self.pk}"

    def address(self, locale: str) -> str:
        """The page of this object in a locale: `/hc/{locale}/…/{id}-{slug}`."""
        slug = self.words.slug if self.words else ""
        name = f"{self.pk}-{slug}" if slug else str(self.pk)
        return reverse(self.page, kwargs={"locale": locale, "name": name})


class Category(Translated, Restricted):
    """The first level of the help center."""

    audience_parents = ["help_center"]
    page = "category"

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    help_center = models.ForeignKey(
        HelpCenter,
        on_delete=models.PROTECT,
        related_name="categories",
        verbose_name=gettext_lazy("help center"),
    )
    position = models.IntegerField(gettext_lazy("position"), default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = CategoryQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        verbose_name = gettext_lazy("category")
        verbose_name_plural = gettext_lazy("categories")


class CategoryTranslation(Translation, InheritsAudience):
    """A category's name and description in one locale."""

    audience_parents = ["category"]

    category = models.ForeignKey(
        Category,
        on_delete=models.CASCADE,
        related_name="translations",
        verbose_name=gettext_lazy("category"),
    )

    objects: ClassVar[Any] = ShelfTranslationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["category", "locale"], name="category_locale_once")
        ]
        verbose_name = gettext_lazy("category translation")
        verbose_name_plural = gettext_lazy("category translations")


class Section(Translated, Restricted):
    """A shelf of articles, in a category or in another section, at most five deep."""

    audience_parents = ["category", "parent"]
    page = "section"

    MANUAL, TITLE, NEWEST, OLDEST = "manual", "title", "creation_desc", "creation_asc"
    SORTINGS = [
        (MANUAL, gettext_lazy("by position")),
        (TITLE, gettext_lazy("by title")),
        (NEWEST, gettext_lazy("newest first")),
        (OLDEST, gettext_lazy("oldest first")),
    ]

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    category = models.ForeignKey(
        Category,
        on_delete=models.CASCADE,
        related_name="sections",
        verbose_name=gettext_lazy("category"),
    )
    parent = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="sections",
        verbose_name=gettext_lazy("parent section"),
    )
    sorting = models.CharField(
        gettext_lazy("order of articles"), max_length=20, choices=SORTINGS, default=MANUAL
    )
    # Zendesk's themes choose a template by it; kept for whoever reads it, used by nothing here.
    theme_template = models.CharField(max_length=100, default="section_page", editable=False)
    position = models.IntegerField(gettext_lazy("position"), default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = SectionQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        verbose_name = gettext_lazy("section")
        verbose_name_plural = gettext_lazy("sections")
        indexes = [
            models.Index(fields=["category", "position", "id"], name="section_in_category"),
        ]

    def save(self, **kwargs: Any) -> None:
        """Store; ValidationError for a place in the tree that cannot be.

        Moved into another category, it takes along the sections inside it.
        """
        self.clean()
        with transaction.atomic():
            super().save(**kwargs)
            # The base manager: what is hidden inside moves too.
            strays = Section._base_manager.filter(parent=self).exclude(category=self.category_id)
            for section in strays:
                section.parent, section.category = self, self.category
                section.save()

    def clean(self) -> None:
        """Refuse cycles, sections of another category's sections, and more than five levels."""
        if self.parent is None:
            return
        if self.parent.category_id != self.category_id:
            raise ValidationError({"parent": _("The parent section is in another category.")})
        above = self.parent.path()
        if self in above:
            raise ValidationError({"parent": _("would result in a cycle")})
        if len(above) + self._height() > self.audience_depth:
            words = _("Sections nest at most %d deep.") % self.audience_depth
            raise ValidationError({"parent": words})

    def path(self) -> list[Section]:
        """The sections from the top down to this one. Ends early where the tree is broken."""
        path: list[Section] = [self]
        while (parent := path[0].parent) and parent not in path:
            path.insert(0, parent)
        return path

    def _height(self) -> int:
        """The levels of sections from this one down."""
        height, level = 0, [self.pk]
        while level and height <= self.audience_depth:
            height += 1
            # The base manager: hidden sections count too, or moving would make them too deep.
            below = Section._base_manager.filter(parent__in=level)
            level = [] if self._state.adding else list(below.values_list("pk", flat=True))
        return height


class SectionTranslation(Translation, InheritsAudience):
    """A section's name and description in one locale."""

    audience_parents = ["section"]

    section = models.ForeignKey(
        Section,
        on_delete=models.CASCADE,
        related_name="translations",
        verbose_name=gettext_lazy("section"),
    )

    objects: ClassVar[Any] = ShelfTranslationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["section", "locale"], name="section_locale_once")
        ]
        verbose_name = gettext_lazy("section translation")
        verbose_name_plural = gettext_lazy("section translations")


class PermissionGroup(models.Model):
    """Which staff may edit and which may publish the articles that are in this group's care.

    Both are audiences, so a segment used here is protected like one used on content.
    Admins may always do both; "everyone" and end users never may.
    """

    # The built-in group of every article without another one: only admins.
    MANAGERS = builtin.MANAGERS

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    name = models.CharField(gettext_lazy("name"), max_length=200, unique=True)
    edit = models.ForeignKey(
        Audience,
        on_delete=models.PROTECT,
        default=Audience.NOBODY,
        related_name="+",
        verbose_name=gettext_lazy("may edit"),
    )
    publish = models.ForeignKey(
        Audience,
        on_delete=models.PROTECT,
        default=Audience.NOBODY,
        related_name="+",
        verbose_name=gettext_lazy("may publish"),
    )
    built_in = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name = gettext_lazy("permission group")
        verbose_name_plural = gettext_lazy("permission groups")

    def __str__(self) -> str:
        return _(self.name) if self.built_in and self.name else self.name

    def clean(self) -> None:
        if self.built_in:
            raise ValidationError(_("The built-in permission group cannot be changed."))
        for name in ("edit", "publish"):
            if getattr(self, f"{name}_id") == Audience.EVERYONE:
                raise ValidationError({name: _("Name segments: only staff can be editors.")})


class Label(models.Model):
    """A word that helps to find articles. It grants nothing."""

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    name = models.CharField(gettext_lazy("name"), max_length=200, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = LabelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = gettext_lazy("label")
        verbose_name_plural = gettext_lazy("labels")

    def __str__(self) -> str:
        return self.name


class Article(Translated, Restricted):
    """One page of help. Its words are in translations, each a draft or published."""

    audience_parents = ["section"]
    audience_passes_ids = False
    audience_editors = ["permission_group__edit", "permission_group__publish"]
    audience_published = {"published": True}
    page = "article"

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    section = models.ForeignKey(
        Section,
        on_delete=models.CASCADE,
        related_name="articles",
        verbose_name=gettext_lazy("section"),
    )
    position = models.IntegerField(gettext_lazy("position"), default=0)
    promoted = models.BooleanField(gettext_lazy("promoted"), default=False)
    comments_disabled = models.BooleanField(gettext_lazy("comments disabled"), default=False)
    # True while at least one translation is published. Kept by triggers: see publishing.py.
    published = models.BooleanField(gettext_lazy("published"), default=False, editable=False)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=gettext_lazy("author"),
    )
    permission_group = models.ForeignKey(
        PermissionGroup,
        on_delete=models.PROTECT,
        default=PermissionGroup.MANAGERS,
        related_name="articles",
        verbose_name=gettext_lazy("permission group"),
    )
    labels = models.ManyToManyField(
        Label, blank=True, related_name="articles", verbose_name=gettext_lazy("labels")
    )
    # Archived articles answer as missing to everybody, admins included, until they are restored.
    archived_at = models.DateTimeField(
        gettext_lazy("archived"), null=True, blank=True, editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)
    # Moves with everything that belongs to the article: see `touch`.
    updated_at = models.DateTimeField(gettext_lazy("updated"), auto_now=True)

    objects: ClassVar[Any] = ArticleQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        verbose_name = gettext_lazy("article")
        verbose_name_plural = gettext_lazy("articles")
        indexes = [
            models.Index(fields=["audience", "section", "published"], name="article_by_audience"),
            models.Index(
                fields=["position", "id", "audience", "section", "published"],
                name="article_in_order",
            ),
            models.Index(fields=["section", "published", "audience"], name="article_in_section"),
            # Few are promoted, and the home page asks for them alone.
            models.Index(
                fields=["position", "id"], condition=Q(promoted=True), name="article_promoted"
            ),
            # The incremental export.
            models.Index(fields=["updated_at", "id"], name="article_by_change"),
            models.Index(fields=["author", "position", "id"], name="article_by_author"),
        ]

    def archive(self) -> None:
        """Take it off the site for everybody; nothing of it is lost."""
        self.archived_at = timezone.now()
        self.save(update_fields=["archived_at", "updated_at"])

    def restore(self) -> None:
        """Bring it back as a draft for nobody: what it says may be out of date."""
        with transaction.atomic():
            self.translations.update(draft=True)
            self.archived_at = None
            self.audience_id = Audience.NOBODY
            self.save(update_fields=["archived_at", "audience", "updated_at"])

    def touch(self) -> None:
        """Record that something of the article changed: its labels, translations, files."""
        self.save(update_fields=["updated_at"])


class ArchivedArticle(Article):
    """Articles as the admin's page of archived ones sees them."""

    class Meta:
        proxy = True
        ordering = ["-archived_at", "id"]
        verbose_name = gettext_lazy("archived article")
        verbose_name_plural = gettext_lazy("archived articles")


class ArticleTranslation(Translation, InheritsAudience):
    """An article's title and body in one locale, rendered and sanitised when it is saved."""

    audience_parents = ["article"]
    audience_editors = ["article__permission_group__edit", "article__permission_group__publish"]
    audience_published = {"draft": False}

    MARKDOWN, HTML = "markdown", "html"
    FORMATS = [(MARKDOWN, gettext_lazy("Markdown")), (HTML, gettext_lazy("HTML"))]

    article = models.ForeignKey(
        Article,
        on_delete=models.CASCADE,
        related_name="translations",
        verbose_name=gettext_lazy("article"),
    )
    draft = models.BooleanField(gettext_lazy("draft"), default=True)
    format = models.CharField(
        gettext_lazy("format"), max_length=10, choices=FORMATS, default=MARKDOWN
    )
    # Derived from the body by save(); never written by hand.
    html = models.TextField(editable=False, default="")
    search_title = models.TextField(editable=False, default="")
    search_text = models.TextField(editable=False, default="")
    # When title or body were last changed; `updated_at` moves with drafts and flags too.
    edited_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)

    objects: ClassVar[Any] = ArticleTranslationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["article", "locale"], name="article_locale_once")
        ]
        verbose_name = gettext_lazy("article translation")
        verbose_name_plural = gettext_lazy("article translations")

    def save(self, **kwargs: Any) -> None:
        """Store, with the HTML and the search text that follow from title and body."""
        self.derive()
        stored = ArticleTranslation._base_manager.filter(pk=self.pk, title=self.title)
        if not self._state.adding and not stored.filter(body=self.body).exists():
            self.edited_at = timezone.now()
        super().save(**kwargs)

    def derive(self) -> None:
        """Render the body. For bulk writes, which do not call save()."""
        self.html = rendering.render(self.body, "html" if self.format == self.HTML else "markdown")
        self.search_title = search.searchable(self.title)
        self.search_text = search.searchable(rendering.plain_text(self.html))


def attachment_path(attachment: Attachment, name: str) -> str:
    """Where the file lies: a random folder, so that neither names nor contents give it away."""
    return f"{random_id():x}/{random_id():x}/{name}"


class Attachment(InheritsAudience):
    """A file of an article, served by `views.attachment` after the check and by nothing else."""

    audience_parents = ["article"]

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    # NULL for a file that is not used yet: its uploader and admins alone see it.
    article = models.ForeignKey(
        Article,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="attachments",
        verbose_name=gettext_lazy("article"),
    )
    uploaded_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    # The translation it belongs to; NULL for all of them.
    locale = models.CharField(  # noqa: DJ001
        gettext_lazy("locale"), max_length=20, choices=all_locales, null=True, blank=True
    )
    file = models.FileField(gettext_lazy("file"), upload_to=attachment_path, max_length=300)
    file_name = models.CharField(max_length=200, editable=False)
    content_type = models.CharField(max_length=100, editable=False)
    size = models.PositiveBigIntegerField(editable=False, default=0)
    # Shown inside the body, not listed below it.
    inline = models.BooleanField(gettext_lazy("inline"), default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = AttachmentQuerySet.as_manager()

    class Meta:
        ordering = ["file_name", "id"]
        verbose_name = gettext_lazy("attachment")
        verbose_name_plural = gettext_lazy("attachments")

    def __str__(self) -> str:
        return self.file_name

    def save(self, **kwargs: Any) -> None:
        """Store; a new file is named, measured and its type found out from its bytes."""
        # Django's own mark of a file that is not in the storage yet.
        if self.file and not self.file._committed:  # type: ignore[attr-defined]
            head = self.file.read(files.HEAD_LENGTH)
            self.file.seek(0)
            self.file_name = files.safe_file_name(self.file.name or "")
            self.content_type = files.detect_type(head, self.file_name)
            self.size = self.file.size
        super().save(**kwargs)

    def address(self) -> str:
        """Where it is served, after the check.

        Not called get_absolute_url: by that name Django's admin/r/… tells it to all of the staff.
        """
        return reverse("attachment", kwargs={"pk": self.pk, "name": self.file_name})


class Comment(InheritsAudience):
    """What a reader says about an article. Whoever sees the article sees its comments."""

    audience_parents = ["article"]
    audience_passes_ids = False

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    article = models.ForeignKey(Article, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    locale = models.CharField(gettext_lazy("locale"), max_length=20, choices=all_locales)
    # HTML as it was written, sanitised.
    body = models.TextField(gettext_lazy("comment"))
    # The staff member who changed somebody else's comment, and when.
    non_author_editor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    non_author_updated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = UnarchivedQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = gettext_lazy("comment")
        verbose_name_plural = gettext_lazy("comments")
        indexes = [
            models.Index(fields=["article", "created_at", "id"], name="comment_of_article"),
            models.Index(fields=["author", "created_at", "id"], name="comment_by_author"),
        ]

    def __str__(self) -> str:
        return rendering.plain_text(self.body)[:60]


class Vote(InheritsAudience):
    """One person's verdict on an article or a comment: helpful (1) or not (-1)."""

    audience_parents = ["article", "comment"]
    UP, DOWN = 1, -1

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    article = models.ForeignKey(Article, null=True, on_delete=models.CASCADE, related_name="votes")
    comment = models.ForeignKey(Comment, null=True, on_delete=models.CASCADE, related_name="votes")
    value = models.SmallIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = UnarchivedQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = gettext_lazy("vote")
        verbose_name_plural = gettext_lazy("votes")
        constraints = [
            models.CheckConstraint(
                condition=Q(article=None, comment__isnull=False)
                | Q(article__isnull=False, comment=None),
                name="vote_on_one_thing",
            ),
            models.CheckConstraint(condition=Q(value__in=[1, -1]), name="vote_up_or_down"),
            models.UniqueConstraint(fields=["user", "article"], name="vote_once_on_article"),
            models.UniqueConstraint(fields=["user", "comment"], name="vote_once_on_comment"),
        ]

    def __str__(self) -> str:
        return f"{self.value:+d}"


class Subscription(InheritsAudience):
    """That a person follows an article or a section in one locale."""

    audience_parents = ["article", "section"]

    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    article = models.ForeignKey(
        Article, null=True, on_delete=models.CASCADE, related_name="subscriptions"
    )
    section = models.ForeignKey(
        Section, null=True, on_delete=models.CASCADE, related_name="subscriptions"
    )
    locale = models.CharField(gettext_lazy("locale"), max_length=20, choices=all_locales)
    # Of a section: its articles' comments too.
    include_comments = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = UnarchivedQuerySet.as_manager()

    class Meta:
        ordering = ["created_at", "id"]
        verbose_name = gettext_lazy("subscription")
        verbose_name_plural = gettext_lazy("subscriptions")
        constraints = [
            models.CheckConstraint(
                condition=Q(article=None, section__isnull=False)
                | Q(article__isnull=False, section=None),
                name="subscription_to_one_thing",
            ),
            models.UniqueConstraint(
                fields=["user", "article", "locale"], name="subscription_once_to_article"
            ),
            models.UniqueConstraint(
                fields=["user", "section", "locale"], name="subscription_once_to_section"
            ),
        ]

    def __str__(self) -> str:
        return str(self.article or self.section)


class RateCounter(models.Model):
    """How many API requests one caller made in the present minute; see api/limits.py."""

    key = models.CharField(max_length=100, primary_key=True)
    # Minutes since 1970 by the database's clock.
    minute = models.BigIntegerField()
    count = models.PositiveIntegerField()

    def __str__(self) -> str:
        return self.key


@receiver(post_delete, sender=Attachment)
def delete_file(instance: Attachment, **kwargs: Any) -> None:
    """Remove the file once its row is gone for good."""
    storage, name = instance.file.storage, instance.file.name
    if name:
        transaction.on_commit(lambda: storage.delete(name))


def _somebody(words: Any) -> models.ForeignKey:
    """A person, whose erasure leaves the record without a name."""
    return models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=words,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
    )


class Viewing(models.Model):
    """That somebody of the staff saw the help center as somebody else, or as a made-up profile."""

    by = _somebody(gettext_lazy("who"))
    person = _somebody(gettext_lazy("as whom"))
    # {"role": …, "values": {attribute: [values]}}; NULL for a person.
    profile = models.JSONField(gettext_lazy("made-up profile"), null=True)
    started_at = models.DateTimeField(gettext_lazy("from"), db_default=Now())
    ended_at = models.DateTimeField(gettext_lazy("until"), null=True)

    class Meta:
        verbose_name = gettext_lazy("viewing as somebody else")
        verbose_name_plural = gettext_lazy("viewings as somebody else")
        ordering = ["-started_at", "-id"]

    def __str__(self) -> str:
        return f"{self.by} → {self.person or self.profile}"

"""Lists of content. Each `visible_to` is the rule of `segments`, narrowed for empty shelves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any, Self

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from segments import snapshot
from segments.querysets import Among, RestrictedQuerySet, editable_ids, visible_ids
from segments.row_security import lifted
from segments.ruleset import Viewer, viewer_for


class HelpCenterQuerySet(RestrictedQuerySet):
    """Help centers; a site shows the first."""

    def current(self) -> Any:
        """The help center that this site shows, or None before there is one."""
        # Also where the first is hidden: another one does not take its place.
        with lifted(self.db):
            return self.order_by("created_at", "id").first()


class TranslatedQuerySet(RestrictedQuerySet):
    """Things whose words are translations."""

    def titled(self) -> Self:
        """Each with `title`, in its source locale, for lists in the admin."""
        model = self.model._meta.get_field("translations").related_model
        # The base manager: the title of an object goes with the object.
        words = model._base_manager.filter(
            locale=OuterRef("source_locale"), **{model.audience_parents[0]: OuterRef("pk")}
        )
        return self.annotate(title=Subquery(words.values("title")[:1]))

    def with_words(self, locale: str, user: Any) -> list[Any]:
        """The objects, each with the translation to show as `words`: one more query for all.

        The wanted locale first, then the object's source locale, then any; published before
        drafts, which only editors have here. Objects without any translation are left out.
        """
        objects = list(self)
        model = self.model._meta.get_field("translations").related_model
        parent = model.audience_parents[0]
        found = model.objects.using(self.db).visible_to(user)
        translations = defaultdict(list)
        for words in found.without_text().filter(**{f"{parent}__in": objects}):
            translations[getattr(words, f"{parent}_id")].append(words)
        for thing in objects:
            nearest = sorted(translations[thing.pk], key=partial(_distance, thing, locale))
            thing.words = nearest[0] if nearest else None
        return [thing for thing in objects if thing.words]


def _distance(thing: Any, locale: str, words: Any) -> tuple[Any, ...]:
    """Sorts the translation to show first."""
    is_draft = getattr(words, "draft", False)
    return (is_draft, words.locale != locale, words.locale != thing.source_locale, words.locale)


class SectionQuerySet(TranslatedQuerySet):
    """Sections. One without an article to show answers as missing (design §2.6)."""

    def visible_to(self, user: Any) -> Self:
        """The sections in which `user` sees a published article, may add one, or may edit one."""
        viewer = viewer_for(user, self.db)
        if viewer.is_admin:
            return self.all()
        return self.filter(Among("pk", shown_sections(viewer, self.db)))


class CategoryQuerySet(TranslatedQuerySet):
    """Categories. One without an article to show answers as missing (design §2.6)."""

    def visible_to(self, user: Any) -> Self:
        """The categories in which `user` sees a published article, may add one, or may edit one."""
        viewer = viewer_for(user, self.db)
        if viewer.is_admin:
            return self.all()
        shown = self._with_section(edited_sections(viewer, self.db))
        admitted = Q(Among("pk", visible_ids(self.model, viewer, self.db)))
        if not may_add(viewer, self.db):
            admitted &= self._with_section(filled_sections(viewer, self.db))
        return self.filter(admitted | shown)

    def _with_section(self, ids: list[int]) -> Q:
        sections = self.model._meta.get_field("sections").related_model
        # The base manager: the ids are those of sections that the viewer may know of.
        inside = sections._base_manager.filter(Among("pk", ids), category=OuterRef("pk"))
        return Q(Exists(inside))


class UnarchivedQuerySet(RestrictedQuerySet):
    """Articles and what belongs to them. Archived, they answer as missing to everybody."""

    def visible_to(self, user: Any) -> Self:
        """What `user` may see, now, without what is archived."""
        rows = super().visible_to(user)
        # To others than staff a trigger has unpublished it: see publishing.py.
        if not viewer_for(user, self.db).is_staff:
            return rows
        return rows.filter(**dict.fromkeys(_archived_paths(self.model)))


def _archived_paths(model: Any) -> list[str]:
    """The lookups to `archived_at` of the articles that a model belongs to."""
    found = ["archived_at"] if hasattr(model, "archived_at") else []
    for name in model.audience_parents:
        parent = model._meta.get_field(name).related_model
        if parent is not model:
            found += [f"{name}__{path}" for path in _archived_paths(parent)]
    return found


class ArticleQuerySet(UnarchivedQuerySet, TranslatedQuerySet):  # type: ignore[override]
    """Articles."""


class AttachmentQuerySet(UnarchivedQuerySet):
    """Files of articles, and files that no article uses yet."""

    def visible_to(self, user: Any) -> Self:
        """The files of articles that `user` may see, and their own unused ones."""
        viewer = viewer_for(user, self.db)
        rows = super().visible_to(viewer)
        if viewer.is_admin:
            return rows
        # Without an article there is no parent that could hide the file.
        return rows.filter(Q(article__isnull=False) | Q(uploaded_by=viewer.pk or 0))


class LabelQuerySet(QuerySet[Any]):
    """Labels. They grant nothing, and say what the articles are about that have them."""

    def visible_to(self, user: Any) -> Self:
        """The labels of articles that `user` may see; all of them for admins."""
        if viewer_for(user, self.db).is_admin:
            return self.all()
        articles = self.model._meta.get_field("articles").related_model.objects.using(self.db)
        return self.filter(Exists(articles.visible_to(user).filter(labels=OuterRef("pk"))))

    def called(self, names: Iterable[str], user: Any) -> Self:
        """The labels with these names, for `user` to put on an article; new names become labels.

        One that only hidden articles have is from now on as new as if there had been none.
        """
        names = list(names)
        self.bulk_create([self.model(name=name) for name in names], ignore_conflicts=True)
        found = self.filter(name__in=names)
        known = list(found.visible_to(user).values_list("pk", flat=True))
        found.exclude(pk__in=known).update(created_at=timezone.now(), updated_at=timezone.now())
        return found


class WordsQuerySet(RestrictedQuerySet):
    """Translations."""

    def without_text(self) -> Self:
        """Without the columns that may be long: for lists."""
        return self.defer("body")


class ShelfTranslationQuerySet(WordsQuerySet):
    """Translations of categories and sections: visible where the shelf itself is shown."""

    def visible_to(self, user: Any) -> Self:
        """The names of the shelves that `user` may see, now."""
        parent = self.model.audience_parents[0]
        shelves = self.model._meta.get_field(parent).related_model.objects.using(self.db)
        return self.filter(**{f"{parent}__in": shelves.visible_to(user)})


class ArticleTranslationQuerySet(UnarchivedQuerySet, WordsQuerySet):  # type: ignore[override]
    """Translations of articles; a draft is for the article's editors."""

    def without_text(self) -> Self:
        return self.defer("body", "html", "search_title", "search_text")


def permission_groups(viewer: Viewer, using: str, to_publish: bool = False) -> list[int]:
    """The ids of the permission groups whose articles this staff member may edit (or publish).

    Whoever may publish may edit.
    """
    from .models import PermissionGroup

    if not viewer.is_staff:
        return []
    publish = editable_ids(PermissionGroup, "publish", viewer, using)
    return publish if to_publish else publish + editable_ids(PermissionGroup, "edit", viewer, using)


def may_add(viewer: Viewer, using: str) -> bool:
    """May this viewer add articles: an admin, or staff whom a permission group names."""
    return viewer.is_admin or bool(permission_groups(viewer, using))


def shown_sections(viewer: Viewer, using: str) -> list[int]:
    """The ids of the sections that the viewer may know of."""
    from .models import Section

    if may_add(viewer, using):
        admitted = visible_ids(Section, viewer, using)
    else:
        admitted = filled_sections(viewer, using)
    return sorted({*admitted, *edited_sections(viewer, using)})


def filled_sections(viewer: Viewer, using: str) -> list[int]:
    """The sections that admit the viewer and hold, at any depth, a published article to see."""
    from .models import Article, Section

    def find() -> list[int]:
        reachable = visible_ids(Section, viewer, using)
        articles = Article.objects.using(using).visible_to(viewer).filter(published=True)
        holding = Exists(articles.filter(section=OuterRef("pk")))
        # The base manager: `reachable` is what the audiences admit, this only narrows it.
        rows = Section._base_manager.using(using).filter(Among("pk", reachable))
        return sorted(with_parents(rows.filter(holding)) & set(reachable))

    return snapshot.remember(("filled sections", using, viewer), find)


def edited_sections(viewer: Viewer, using: str) -> list[int]:
    """The sections, and those around them, of articles in the viewer's care: their breadcrumbs."""
    from .models import Article, Section

    def find() -> list[int]:
        groups = permission_groups(viewer, using)
        if not groups:
            return []
        # The base managers: management rights count whatever the audiences say.
        articles = Article._base_manager.using(using).filter(Among("permission_group_id", groups))
        articles = articles.filter(archived_at=None)
        holding = Exists(articles.filter(section=OuterRef("pk")))
        return sorted(with_parents(Section._base_manager.using(using).filter(holding)))

    return snapshot.remember(("edited sections", using, viewer), find)


def with_parents(sections: QuerySet[Any]) -> set[int]:
    """The ids of the sections and of all sections around them."""
    # The base manager: only ids are read, and callers keep those that the viewer may know of.
    every = sections.model._base_manager.using(sections.db)
    parents = dict(every.values_list("pk", "parent_id"))
    found: set[int] = set()
    for pk in sections.values_list("pk", flat=True):
        while pk is not None and pk not in found:
            found.add(pk)
            pk = parents.get(pk)
    return found

"""Writes a folder of Markdown files into the database; docs/importing.md says what becomes of what.

Everything is prepared outside of the database, compared with what is stored, and only the
differences are written, in one transaction. What the folder says wins: words, labels, order. What
it cannot say stays as it is: audiences, permission groups, promotion, other languages, and the
names and places of categories and sections.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from django.conf import settings
from django.core.files import File
from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from segments import snapshot
from segments.history import acting_as
from segments.models import Audience, AudienceSegment, Segment
from segments.querysets import Among

from . import files
from .markdown_tree import (
    MAX_ID,
    MarkdownTreeError,
    Problem,
    Skipped,
    SourceArticle,
    SourceCategory,
    SourceSection,
    Tree,
    read_tree,
    rewrite,
)
from .models import (
    Article,
    ArticleTranslation,
    Attachment,
    Category,
    CategoryTranslation,
    HelpCenter,
    Label,
    Section,
    SectionTranslation,
)
from .restrictions import (
    NOBODY,
    Restriction,
    composed,
    did_you_mean,
    named_paths,
    read_restrictions,
)

EVERYONE = "everyone"
# Who made the changes, in the history.
ACTOR = "import_markdown"
# Ids made here are above those that are counted, as random ones are.
LOWEST_ID = 2**32

Result = TypeVar("Result")
# Called with what is being done, how much of it is done, and of how much.
Progress = Callable[[str, int, int], None]


class ImportRefused(Exception):
    """Nothing was changed; `problems` says why, one line each, with file and line where known."""

    def __init__(self, problems: Iterable[object]) -> None:
        self.problems = [*map(str, problems)]
        super().__init__("\n".join(self.problems))


@dataclass
class Report:
    """What an import did, for whoever started it."""

    help_center: str
    created_help_center: bool = False
    # ("articles", "created") -> 414
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    # What shows something to more people than before, done or left undone.
    widened: list[str] = field(default_factory=list)
    # What a person wrote here and the folder's words replaced.
    replaced: list[str] = field(default_factory=list)
    skipped: tuple[Skipped, ...] = ()
    dead_links: list[Problem] = field(default_factory=list)
    # What is in the help center and not in the folder.
    missing: list[str] = field(default_factory=list)


def import_markdown(
    root: Path,
    locale: str,
    *,
    audience: Collection[str] = (EVERYONE,),
    restrict: Path | None = None,
    hosts: Collection[str] = (),
    allow_wider: bool = False,
    dry_run: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> Report:
    """Make the help center say what the folder says. ImportRefused when anything is wrong with it.

    Without `allow_wider` nothing that is stored is moved or published where more people would see
    it than before, except what `restrict` names. A dry run changes nothing and reports the same.
    """
    check_locale(locale)
    tree, restricted = _read(root, restrict)
    source = _Source(tree, locale, hosts)
    source.refuse_equal_ids()
    outer = snapshot.writing() if dry_run else nullcontext()
    with outer:
        # First, and in a transaction of its own: the lock on the token of the rules is held briefly.
        audiences = _retried(lambda: _intern(audience, restricted))
        source.render_what_differs(progress)
        report = _retried(
            lambda: _carry_out(_Plan(source, audiences, allow_wider), dry_run, progress)
        )
        if dry_run:
            transaction.set_rollback(True)
    return report


def check_locale(locale: str) -> None:
    """ImportRefused for a locale that the installation does not know."""
    accepted = dict(settings.LANGUAGES)
    if locale not in accepted:
        words = f"The locale {locale!r} is not known.{did_you_mean(locale, accepted)}"
        raise ImportRefused([f"{words} Accepted: {', '.join(accepted)}."])


def path_id(kind: str, path: PurePosixPath | str) -> int:
    """The public id of what has none of its own: always the same for the same path.

    Whoever knows a path can compute its id, and learns nothing by trying it: what they may not see
    answers as what does not exist.
    """
    name = f"{kind}:{composed(PurePosixPath(path))}"
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest) % (MAX_ID + 1 - LOWEST_ID) + LOWEST_ID


# Before the transaction ---------------------------------------------------------------------------


def _read(root: Path, restrict: Path | None) -> tuple[Tree, dict[PurePosixPath, Restriction]]:
    """The folder, and what is restricted in it. Problems of both are raised together."""
    problems: list[Problem] = []
    tree, restrictions = None, []
    try:
        tree = read_tree(root)
    except MarkdownTreeError as error:
        problems += error.problems
    try:
        restrictions = read_restrictions(restrict) if restrict else []
    except MarkdownTreeError as error:
        problems += error.problems
    if tree is None or problems:
        raise ImportRefused(problems)
    if not tree.categories:
        raise ImportRefused([f"{root}: there is no article in it (category/section/article.md)."])
    try:
        return tree, named_paths(restrictions, [each.path for each in _everything(tree)])
    except MarkdownTreeError as error:
        raise ImportRefused(error.problems) from error


def _everything(tree: Tree) -> Iterator[SourceCategory | SourceSection | SourceArticle]:
    return chain(tree.categories, tree.sections(), tree.articles())


class _Source:
    """The folder as it will be stored: with ids, and with bodies whose links lead to them."""

    def __init__(self, tree: Tree, locale: str, hosts: Collection[str]) -> None:
        self.tree, self.locale = tree, locale
        self.articles = [*tree.articles()]
        self.ids = {each.path: path_id("category", each.path) for each in tree.categories}
        self.ids |= {each.path: path_id("section", each.path) for each in tree.sections()}
        for article in self.articles:
            self.ids[article.path] = article.source_id or path_id("article", article.path)
        self.dead_links: list[Problem] = []
        self._rendered: dict[PurePosixPath, ArticleTranslation] = {}
        self._addresses = self._page_addresses()
        self.bodies = {each.path: self._body(each, hosts) for each in self.articles}

    def refuse_equal_ids(self) -> None:
        """Two paths that differ only in how they write an accent would be one thing."""
        first: dict[tuple[type, int], PurePosixPath] = {}
        problems = []
        for each in _everything(self.tree):
            other = first.setdefault((type(each), self.ids[each.path]), each.path)
            if other != each.path:
                problems.append(Problem(each.path, 1, f"This would get the same id as {other}."))
        if problems:
            raise ImportRefused(problems)

    def _page_addresses(self) -> dict[PurePosixPath, str]:
        """By id alone: a slug would tell the title to readers of a page that links to it."""
        found: dict[PurePosixPath, str] = {}
        for model, things in (
            (Category, self.tree.categories),
            (Section, self.tree.sections()),
            (Article, self.articles),
        ):
            for each in things:
                found[each.path] = model(pk=self.ids[each.path]).address(self.locale)
        return found

    def _body(self, article: SourceArticle, hosts: Collection[str]) -> str:
        shown = {file: self.attachment(article, file).get_absolute_url() for file in article.files}

        def address(path: PurePosixPath) -> str | None:
            return shown.get(path) or self._addresses.get(path)

        body, problems = rewrite(article, address, self.tree.paths_by_id(), hosts)
        self.dead_links += problems
        return body

    def attachment(self, article: SourceArticle, file: PurePosixPath) -> Attachment:
        """The attachment, not stored, that a file is to an article. Languages have their own."""
        pk = self.ids[article.path]
        return Attachment(
            pk=path_id("file", f"{pk}/{self.locale}/{file}"),
            article_id=pk,
            file_name=files.safe_file_name(file.name),
            inline=True,
        )

    def words(self, article: SourceArticle) -> ArticleTranslation:
        """The translation, not stored, that the file is; rendered once."""
        if article.path not in self._rendered:
            words = ArticleTranslation(
                article_id=self.ids[article.path],
                locale=self.locale,
                title=article.title,
                body=self.bodies[article.path],
                format=ArticleTranslation.MARKDOWN,
            )
            words.derive()
            self._rendered[article.path] = words
        return self._rendered[article.path]

    def render_what_differs(self, progress: Progress) -> None:
        """Render, before others have to wait for it, what is not stored as it is here."""
        ids = Among("article_id", [self.ids[each.path] for each in self.articles])
        # The base manager, here and below: an import compares with what is stored, whoever sees it.
        stored = ArticleTranslation._base_manager.filter(ids, locale=self.locale)
        known = {pk: words for pk, *words in stored.values_list("article_id", "title", "body")}
        for number, each in enumerate(self.articles, 1):
            if known.get(self.ids[each.path]) != [each.title, self.bodies[each.path]]:
                self.words(each)
            progress("reading", number, len(self.articles))


# Audiences ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Audiences:
    """Ids of audiences: of what is new, and of what the restrictions name."""

    default: int
    restricted: dict[PurePosixPath, int]

    def lock(self) -> None:
        """Keep the audiences until the end of the transaction; ImportRefused when one is gone."""
        wanted = {self.default, *self.restricted.values()}
        rows = Audience.objects.filter(pk__in=wanted).select_for_update(no_key=True)
        if {audience.pk for audience in rows} != wanted:
            raise ImportRefused(["A segment was deleted in the meantime. Nothing was changed."])


def _intern(names: Collection[str], restricted: dict[PurePosixPath, Restriction]) -> _Audiences:
    """The audiences that an import needs; ImportRefused for every name that is no segment."""
    with snapshot.writing():
        segments = {segment.name: segment for segment in Segment.objects.only("name")}
        problems: list[object] = [*_wrong_default(names, segments)]
        for each in dict.fromkeys(restricted.values()):
            problems += _wrong_names(each, segments)
        if problems:
            raise ImportRefused(problems)
        found = {each: _audience([*each.names], segments) for each in set(restricted.values())}
        default = _audience([*names], segments)
        return _Audiences(default, {path: found[each] for path, each in restricted.items()})


def _wrong_names(each: Restriction, segments: Mapping[str, Segment]) -> Iterator[Problem]:
    for name, line in each.names.items():
        if problem := _wrong_name(name, segments, [NOBODY]):
            yield each.problem(problem, line)


def _wrong_default(names: Collection[str], segments: Mapping[str, Segment]) -> Iterator[str]:
    keywords = [EVERYONE, NOBODY]
    if len(names) > 1 and set(names) & set(keywords):
        yield f"--audience: {EVERYONE!r} and {NOBODY!r} stand alone, without segments."
    for name in names:
        if problem := _wrong_name(name, segments, keywords):
            yield f"--audience: {problem}"


def _wrong_name(name: str, segments: Mapping[str, Segment], keywords: list[str]) -> str | None:
    if name in keywords:
        if name in segments:
            return f"{name!r} has a meaning here and is also the name of a segment; rename that."
        return None
    if name in segments:
        return None
    names = [*keywords, *sorted(segments)]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    accepted = f"Accepted: {', '.join(names[:20])}{more}."
    return f"There is no segment {name!r}.{did_you_mean(name, names)} {accepted}"


def _audience(names: list[str], segments: Mapping[str, Segment]) -> int:
    if names == [EVERYONE]:
        return Audience.EVERYONE
    if names == [NOBODY]:
        return Audience.NOBODY
    return Audience.of(*(segments[name] for name in names)).pk


class _Breadth:
    """Compares audiences by their segments: who is in them is not asked."""

    def __init__(self) -> None:
        self._segments: dict[int, set[int]] | None = None

    def is_within(self, new: int, old: int) -> bool:
        """Nobody whom `old` leaves out can be in `new`, whatever segments people are in."""
        if old in (Audience.EVERYONE, new) or new == Audience.NOBODY:
            return True
        if self._segments is None:
            self._segments = {}
            for audience, segment in AudienceSegment.objects.values_list("audience", "segment"):
                self._segments.setdefault(audience, set()).add(segment)
        segments = self._segments.get(new, set())
        return bool(segments) and segments <= self._segments.get(old, set())

    def are_within(self, new: Iterable[int], old: Iterable[int]) -> bool:
        """The same for two chains of audiences, each of which must admit the viewer."""
        new = [*new]
        return all(any(self.is_within(n, o) for n in new) for o in old)


# What to write ------------------------------------------------------------------------------------


class _Rows:
    """The stored rows of one model, and which of them to insert and to update."""

    def __init__(self, rows: QuerySet[Any], key: str = "pk") -> None:
        self.manager = rows.model._base_manager
        self.stored = {getattr(row, key): row for row in rows}
        self.new: list[Any] = []
        self.changed: dict[Any, set[str]] = {}

    def add(self, **values: Any) -> Any:
        row = self.manager.model(**values)
        self.new.append(row)
        return row

    def update(self, row: Any, **values: Any) -> None:
        """Set what differs, and note it."""
        for name, value in values.items():
            if getattr(row, name) != value:
                setattr(row, name, value)
                self.changed.setdefault(row, set()).add(name)

    def touch(self, row: Any) -> None:
        """Note that something around the row has changed."""
        self.changed.setdefault(row, set()).add("updated_at")

    def count(self, report: Report, kind: str, of: int) -> None:
        created, updated = len(self.new), len(self.changed)
        report.counts[kind, "created"] = created
        report.counts[kind, "updated"] = updated
        report.counts[kind, "unchanged"] = of - created - updated

    def write(self) -> None:
        self.manager.bulk_create(self.new)
        now = timezone.now()
        for row, names in self.changed.items():
            # A neighbour that came or went is no news about this one.
            if names != {"position"}:
                row.updated_at = now
        if self.changed:
            fields = set().union(*self.changed.values(), {"updated_at"})
            self.manager.bulk_update(self.changed, sorted(fields))


class _Plan:
    """The differences between the folder and the database. Reading it all writes nothing."""

    def __init__(self, source: _Source, audiences: _Audiences, allow_wider: bool) -> None:
        self.source, self.audiences, self.allow_wider = source, audiences, allow_wider
        self.locale = source.locale
        self.breadth = _Breadth()
        # The row of each category, section and article of the folder that has one.
        self.rows: dict[PurePosixPath, Any] = {}

    def make(self) -> Report:
        """Find the differences, and report them. ImportRefused when the two do not fit."""
        self.find_help_center()
        self.read_database()
        self.refuse_strangers()
        self.place_shelves()
        for article in self.source.articles:
            self.place_article(article)
        self.find_labels()
        self.find_files()
        return self.finished_report()

    @property
    def is_empty(self) -> bool:
        """The folder and the database say the same."""
        changed = any(rows.new or rows.changed for rows in self.tables())
        return not (changed or self.new_labels or self.old_labels or self.files)

    def tables(self) -> list[_Rows]:
        """In the order in which they must be written."""
        shelves = [self.categories, self.category_words, self.sections, self.section_words]
        return [*shelves, self.articles, self.words]

    # Reading the database

    def find_help_center(self) -> None:
        center = HelpCenter._base_manager.order_by("created_at", "id").first()
        self.creates_help_center = center is None
        if center is None:
            center = HelpCenter(
                name=self.source.tree.root.resolve().name[:200] or "Help",
                default_locale=self.locale,
                locales=[self.locale],
                audience_id=self.audiences.default,
            )
        elif self.locale not in center.locales:
            words = f"The help center “{center}” does not speak {self.locale!r}."
            raise ImportRefused([f"{words} Accepted: {', '.join(map(str, center.locales))}."])
        self.help_center = center
        self.report = Report(center.name, self.creates_help_center)

    def read_database(self) -> None:
        center, locale = self.help_center.pk, self.locale
        ids = [self.source.ids[each.path] for each in self.source.articles]
        self.categories = _Rows(Category._base_manager.filter(help_center_id=center))
        self.category_words = _Rows(
            CategoryTranslation._base_manager.filter(
                category__help_center_id=center, locale=locale
            ),
            "category_id",
        )
        self.sections = _Rows(Section._base_manager.filter(category__help_center_id=center))
        self.section_words = _Rows(
            SectionTranslation._base_manager.filter(
                section__category__help_center_id=center, locale=locale
            ),
            "section_id",
        )
        self.articles = _Rows(Article._base_manager.filter(Among("pk", ids)))
        self.words = _Rows(
            ArticleTranslation._base_manager.filter(Among("article_id", ids), locale=locale),
            "article_id",
        )
        self.above_before = {
            pk: [*self.above(article.section_id)] for pk, article in self.articles.stored.items()
        }

    def refuse_strangers(self) -> None:
        """Nothing of another help center is taken over."""
        center = self.help_center.pk
        elsewhere: set[tuple[type, int]] = set()
        for model, lookup in (
            (Category, "help_center_id"),
            (Section, "category__help_center_id"),
            (Article, "section__category__help_center_id"),
        ):
            rows = model._base_manager.filter(Among("pk", [*self.source.ids.values()]))
            others = rows.exclude(**{lookup: center}).values_list("pk", flat=True)
            elsewhere |= {(model, pk) for pk in others}
        kinds = {SourceCategory: Category, SourceSection: Section, SourceArticle: Article}
        problems = [
            Problem(each.path, 1, f"The id {pk} belongs to something in another help center.")
            for each in _everything(self.source.tree)
            if (kinds[type(each)], pk := self.source.ids[each.path]) in elsewhere
        ]
        if problems:
            raise ImportRefused(problems)

    def above(self, section: int) -> Iterator[int]:
        """The audiences around an article of a section; nobody where the chain is broken."""
        yield self.help_center.audience_id
        new = {row.pk: row for row in self.sections.new}
        pk: int | None = section
        for _ in range(Section.audience_depth):
            row = self.sections.stored.get(pk) or new.get(pk)
            if row is None:
                break
            yield row.audience_id
            if (pk := row.parent_id) is None:
                category = self.categories.stored.get(row.category_id)
                category = category or self.rows.get(self.path_of_new_category(row.category_id))
                if category:
                    yield category.audience_id
                    return
        yield Audience.NOBODY

"""Writes a folder of Markdown files into the database; docs/importing.md says what becomes of what.

Everything is prepared outside of the database, compared with what is stored, and only the
differences are written, in one transaction. What the folder says wins: words, labels, order. What
it cannot say stays as it is: audiences, permission groups, promotion, other languages, and the
names and places of categories and sections.
"""

from __future__ import annotations

import hashlib
import re
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
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from segments import snapshot
from segments.history import acting_as
from segments.models import Audience, AudienceSegment, Segment
from segments.querysets import Among
from segments.row_security import lifted

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
# What of a translation follows from a file.
WORDS = ("title", "body", "format", "html", "search_title", "search_text")

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

    def count(self, kind: str, created: int, updated: int, of: int) -> None:
        """Note how many of a kind there are, and what became of them."""
        unchanged = of - created - updated
        for what, n in (("created", created), ("updated", updated), ("unchanged", unchanged)):
            self.counts[kind, what] = n


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
    check_locale(locale, HelpCenter.objects.current())
    _check_hosts(hosts)
    tree, restricted = _read(root, restrict)
    source = _Source(tree, locale, hosts)
    source.refuse_equal_ids()
    with snapshot.writing() if dry_run else nullcontext():
        # First, and in a transaction of its own: the token of the rules is locked only briefly.
        audiences = _retried(lambda: _intern(audience, restricted))
        source.render_what_differs(progress)
        plan = partial(_Plan, source, audiences, allow_wider)
        report = _retried(lambda: _carry_out(plan, dry_run, progress))
        if dry_run:
            transaction.set_rollback(True)
    return report


def check_locale(locale: str, help_center: HelpCenter | None) -> None:
    """ImportRefused for a locale that the help center, or without one the site, does not speak."""
    accepted = help_center.locales if help_center else [*dict(settings.LANGUAGES)]
    if locale not in accepted:
        whose = f"The help center “{help_center}”" if help_center else "This site"
        words = f"{whose} does not speak {locale!r}.{did_you_mean(locale, accepted)}"
        raise ImportRefused([f"{words} Accepted: {', '.join(accepted)}."])


def _check_hosts(hosts: Collection[str]) -> None:
    for host in hosts:
        if not re.fullmatch(r"[\w.-]+(:\d+)?", host):
            raise ImportRefused([f"--host: {host!r} is no host name such as help.example.com."])


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
        self._words: dict[PurePosixPath, dict[str, Any]] = {}
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
        shown = {file: self.attachment(article, file).address() for file in article.files}

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

    def words(self, article: SourceArticle) -> dict[str, Any]:
        """The fields of the translation that follow from the file; rendered once."""
        if article.path not in self._words:
            words = ArticleTranslation(
                title=article.title,
                body=self.bodies[article.path],
                format=ArticleTranslation.MARKDOWN,
            )
            words.derive()
            self._words[article.path] = {name: getattr(words, name) for name in WORDS}
        return self._words[article.path]

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
            raise ImportRefused(["A segment was deleted in the meantime. Try again."])


def _intern(names: Collection[str], restricted: dict[PurePosixPath, Restriction]) -> _Audiences:
    """The audiences that an import needs; ImportRefused for every name that is no segment."""
    with snapshot.writing():
        segments = {segment.name: segment for segment in Segment.objects.assignable().only("name")}
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
        self.key = key
        # The stored and the new ones, by their key.
        self.known = {getattr(row, key): row for row in rows}
        self.new: list[Any] = []
        self.changed: dict[Any, set[str]] = {}

    def add(self, **values: Any) -> Any:
        row = self.manager.model(**values)
        self.new.append(row)
        self.known[getattr(row, self.key)] = row
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
        center = HelpCenter.objects.current()
        check_locale(self.locale, center)
        self.creates_help_center = center is None
        if center is None:
            center = HelpCenter(
                name=self.source.tree.root.resolve().name[:200] or "Help",
                default_locale=self.locale,
                locales=[self.locale],
                audience_id=self.audiences.default,
            )
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
        # Who could see the articles so far: the audiences around each.
        self.above_before = {
            pk: [*self.above(article.section_id)] for pk, article in self.articles.known.items()
        }
        self.left = [each for each in self.stored_articles() if each.pk not in self.articles.known]
        self.left_by_title: dict[str, list[Any]] = {}
        for each in self.left:
            self.left_by_title.setdefault(each.title, []).append(each)

    def stored_articles(self) -> QuerySet[Any]:
        """The articles that were first written in this language, with their titles in it."""
        # A folder of this language is their source, so one that it lacks has left it.
        words = ArticleTranslation._base_manager.filter(locale=self.locale, article=OuterRef("pk"))
        articles = Article._base_manager.filter(
            section__category__help_center_id=self.help_center.pk, source_locale=self.locale
        )
        return articles.annotate(title=Subquery(words.values("title")[:1])).order_by("pk")

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

    def sections_up(self, section: int | None) -> list[Any]:
        """The section and those around it; ends early where the chain is broken."""
        rows: list[Any] = []
        while (row := self.sections.known.get(section)) is not None and row not in rows:
            rows.append(row)
            section = row.parent_id
        return rows

    def above(self, section: int) -> Iterator[int]:
        """The audiences around an article of a section; nobody where the chain is broken."""
        rows = self.sections_up(section)
        top = rows[-1] if rows else None
        category = self.categories.known.get(top.category_id) if top else None
        if top is None or category is None or top.parent_id or len(rows) > Section.audience_depth:
            yield Audience.NOBODY
            return
        yield from (row.audience_id for row in (*rows, category, self.help_center))

    # Categories and sections

    def place_shelves(self) -> None:
        """Add those that are needed. Stored ones keep their names and places, which are admins'."""
        placed = filter(self.is_placed_here, self.source.articles)
        needed = {folder for article in placed for folder in article.path.parents}
        for category in self.source.tree.categories:
            row = self.shelf(self.categories, category, needed)
            self.name_shelf(self.category_words, category, row)
        for section in self.source.tree.sections():
            row = self.shelf(self.sections, section, needed)
            self.name_shelf(self.section_words, section, row)

    def is_placed_here(self, source: SourceArticle) -> bool:
        """False for an article of another language, of which this folder has a translation."""
        row = self.articles.known.get(self.source.ids[source.path])
        return row is None or row.source_locale == self.locale

    def shelf(
        self, table: _Rows, source: SourceCategory | SourceSection, needed: set[PurePosixPath]
    ) -> Any:
        """The row of a category or a section; None when it has none and needs none."""
        row = table.known.get(self.source.ids[source.path])
        if row is not None:
            if row.source_locale == self.locale:
                table.update(row, position=source.position)
            self.restrict(table, row, source.path)
        elif source.path in needed:
            row = self.new_row(table, source, **self.place_of(source.path))
        if row is not None:
            self.rows[source.path] = row
        return row

    def new_row(
        self, table: _Rows, source: SourceCategory | SourceSection | SourceArticle, **place: Any
    ) -> Any:
        audience = self.audiences.restricted.get(source.path, self.audiences.default)
        return table.add(
            pk=self.source.ids[source.path],
            audience_id=audience,
            source_locale=self.locale,
            position=source.position,
            **place,
        )

    def place_of(self, path: PurePosixPath) -> dict[str, Any]:
        """What a new category or section is in. Where an admin has moved a section, so it is."""
        parent = self.rows.get(path.parent)
        if parent is None:
            return {"help_center_id": self.help_center.pk}
        if isinstance(parent, Category):
            return {"category_id": parent.pk}
        if len(self.sections_up(parent.pk)) >= Section.audience_depth:
            words = "The section around it was moved in the help center; this would be too deep."
            raise ImportRefused([Problem(path, 1, words)])
        return {"category_id": parent.category_id, "parent_id": parent.pk}

    def name_shelf(self, table: _Rows, source: SourceCategory | SourceSection, row: Any) -> None:
        if row is not None and row.pk not in table.known:
            table.add(**{table.key: row.pk}, locale=self.locale, title=source.name)

    def restrict(self, table: _Rows, row: Any, path: PurePosixPath) -> None:
        """Give a stored row the audience that the restrictions name for it, if they do."""
        audience = self.audiences.restricted.get(path, row.audience_id)
        if not self.breadth.is_within(audience, row.audience_id):
            was, now = (Audience.objects.get(pk=pk) for pk in (row.audience_id, audience))
            self.report.widened.append(f"{path}: for “{now}” now, as --restrict says; was “{was}”")
        table.update(row, audience_id=audience)

    # Articles

    def place_article(self, source: SourceArticle) -> None:
        row = self.articles.known.get(self.source.ids[source.path])
        if row is None:
            section = self.rows[source.path.parent]
            row = self.new_row(self.articles, source, section_id=section.pk)
            self.hold_back(source, row)
        else:
            before = [row.audience_id, *self.above_before[row.pk]]
            self.restrict(self.articles, row, source.path)
            if self.is_placed_here(source):
                self.move(source, row, before)
        self.rows[source.path] = row
        self.write_words(source, row)

    def hold_back(self, source: SourceArticle, row: Any) -> None:
        """Keep a new article for nobody when it seems to be one for fewer people, in a new file.

        Without an id a renamed file, or one in a renamed folder, is a new article.
        """
        if source.draft or source.source_id or source.path in self.audiences.restricted:
            return
        after = [row.audience_id, *self.above(row.section_id)]
        for other in self.left_by_title.get(source.title, ()):
            before = [other.audience_id, *self.above(other.section_id)]
            if other.published and self.breadth.are_within(after, before):
                continue
            words = f"{source.path}: more people could see it than article {other.pk} of this title"
            if not self.allow_wider:
                row.audience_id = Audience.NOBODY
                words += ", so it is for nobody (--allow-wider would have shown it)"
            self.report.widened.append(words)
            return

    def move(self, source: SourceArticle, row: Any, before: list[int]) -> None:
        """Put a stored article where its file is, unless that shows it to more people."""
        section = self.rows[source.path.parent].pk
        if section != row.section_id:
            # Its id follows from its path, so it was not the file that moved, but an admin.
            if source.source_id is None:
                return
            after = [row.audience_id, *self.above(section)]
            if not self.may_move(source, row, self.breadth.are_within(after, before)):
                return
        self.articles.update(row, section_id=section, position=source.position)

    def may_move(self, source: SourceArticle, row: Any, is_within: bool) -> bool:
        if is_within:
            return True
        words = self.section_words.known.get(row.section_id)
        old = words.title if words else row.section_id
        if self.allow_wider:
            self.report.widened.append(
                f"{source.path}: moved here from “{old}”, where fewer people could see it"
            )
        else:
            self.report.widened.append(
                f"{source.path}: left in “{old}”, because more people could see it here"
                " (--allow-wider moves it)"
            )
        return self.allow_wider

    def write_words(self, source: SourceArticle, row: Any) -> None:
        words = self.words.known.get(row.pk)
        draft = self.is_draft(source, row, words)
        if words is None:
            values = self.source.words(source)
            self.words.add(article_id=row.pk, locale=self.locale, draft=draft, **values)
            return
        self.words.update(words, draft=draft)
        new = (source.title, self.source.bodies[source.path], ArticleTranslation.MARKDOWN)
        if (words.title, words.body, words.format) != new:
            if words.updated_by_id is not None:
                self.report.replaced.append(f"{source.path}: was edited here since")
            self.words.update(words, **self.source.words(source))
            if self.words.changed.get(words, set()) & {"title", "body"}:
                self.words.update(words, edited_at=timezone.now())

    def is_draft(self, source: SourceArticle, row: Any, words: Any) -> bool:
        """As the file says, but what a person made a draft stays one unless wider is allowed."""
        if source.draft or row._state.adding:
            return source.draft
        is_hidden = words.draft if words else not row.published
        if not is_hidden:
            return False
        # An import never sets it, so that a retraction is remembered for good.
        if (words is None or words.updated_by_id is not None) and not self.allow_wider:
            self.report.widened.append(
                f"{source.path}: left a draft, as it was made here (--allow-wider publishes it)"
            )
            return True
        self.report.widened.append(f"{source.path}: was a draft, is published now")
        return False

    # Labels and files

    def find_labels(self) -> None:
        self.new_labels: list[tuple[int, str]] = []
        placed = {
            self.source.ids[each.path]: each
            for each in self.source.articles
            if self.is_placed_here(each)
        }
        links = Article.labels.through._base_manager.filter(Among("article_id", [*placed]))
        stored = {
            (a, name): pk for pk, a, name in links.values_list("pk", "article", "label__name")
        }
        wanted = [(pk, label) for pk, each in placed.items() for label in each.labels]
        self.new_labels = [link for link in wanted if link not in stored]
        gone = stored.keys() - set(wanted)
        self.old_labels = [stored[link] for link in gone]
        for pk, _ in (*self.new_labels, *gone):
            if not (row := self.articles.known[pk])._state.adding:
                self.articles.touch(row)

    def find_files(self) -> None:
        root, ids = self.source.tree.root, [self.source.ids[a.path] for a in self.source.articles]
        stored = {a.pk: a for a in Attachment._base_manager.filter(Among("article_id", ids))}
        wanted = {
            attachment.pk: (stored.get(attachment.pk, attachment), root / file)
            for article in self.source.articles
            for file in article.files
            if (attachment := self.source.attachment(article, file))
        }
        self.files = [
            (attachment, file)
            for attachment, file in wanted.values()
            if attachment.pk not in stored or not _is_stored(attachment, file)
        ]
        created = sum(attachment.pk not in stored for attachment, _ in self.files)
        self.report.count("files", created, len(self.files) - created, len(wanted))
        self.unused_files = [a for pk, a in stored.items() if a.inline and pk not in wanted]

    # Reporting

    def finished_report(self) -> Report:
        report, articles = self.report, self.articles
        for kind, table, of in (
            ("categories", self.categories, self.source.tree.categories),
            ("sections", self.sections, self.source.tree.sections()),
        ):
            rows = sum(each.path in self.rows for each in of)
            report.count(kind, len(table.new), len(table.changed), rows)
        changed = {row.pk for row in articles.changed}
        changed |= {row.article_id for row in (*self.words.changed, *self.words.new)}
        updated = len(changed - {row.pk for row in articles.new})
        report.count("articles", len(articles.new), updated, len(self.source.articles))
        report.skipped = self.source.tree.skipped
        report.dead_links = self.source.dead_links
        report.missing = [
            *self.missing_shelves(),
            *(f"article {each.pk} “{each.title or ''}”" for each in self.left),
            *self.missing_files(),
        ]
        return report

    def missing_shelves(self) -> Iterator[str]:
        ids = set(self.source.ids.values())
        for kind, table, words in (
            ("category", self.categories, self.category_words),
            ("section", self.sections, self.section_words),
        ):
            for pk, row in table.known.items():
                if pk not in ids and row.source_locale == self.locale and pk in words.known:
                    yield f"{kind} {pk} “{words.known[pk].title}”"

    def missing_files(self) -> Iterator[str]:
        """The inline files of the folder's articles that none of their texts shows any more."""
        ids = Among("article_id", {file.article_id for file in self.unused_files})
        others = ArticleTranslation._base_manager.filter(ids).exclude(locale=self.locale)
        bodies = [*others.values_list("body", flat=True), *self.source.bodies.values()]
        for file in self.unused_files:
            if not any(f"/{file.pk}/" in body for body in bodies):
                yield f"file {file.pk} “{file}” of article {file.article_id}"

    # Writing

    def write(self, saved: list[str], progress: Progress) -> None:
        """Write the differences; the names of new files are added to `saved` before they exist."""
        with acting_as(ACTOR):
            if self.creates_help_center:
                self.help_center.save(force_insert=True)
            for table in self.tables():
                table.write()
            self.write_labels()
            self.write_files(saved, progress)

    def write_labels(self) -> None:
        links = Article.labels.through._base_manager
        links.filter(Among("pk", self.old_labels)).delete()
        names = {name for _, name in self.new_labels}
        labels = Label._base_manager
        labels.bulk_create([Label(name=name) for name in sorted(names)], ignore_conflicts=True)
        ids = dict(labels.filter(name__in=names).values_list("name", "pk"))
        links.bulk_create(
            [links.model(article_id=pk, label_id=ids[name]) for pk, name in self.new_labels]
        )

    def write_files(self, saved: list[str], progress: Progress) -> None:
        new = []
        for number, (attachment, file) in enumerate(self.files, 1):
            old = attachment.file.name
            _store(attachment, file, saved)
            if old:
                attachment.save()
                _delete_later(old)
            else:
                new.append(attachment)
            progress("files", number, len(self.files))
        Attachment._base_manager.bulk_create(new)


# Files --------------------------------------------------------------------------------------------


def _is_stored(attachment: Attachment, file: Path) -> bool:
    """The attachment's file has exactly these bytes."""
    try:
        with attachment.file.open("rb") as stored, file.open("rb") as source:
            chunks = iter(partial(source.read, File.DEFAULT_CHUNK_SIZE), b"")
            return all(a == b for a, b in zip_longest(stored.chunks(), chunks))
    except FileNotFoundError:
        return False


def _store(attachment: Attachment, file: Path, saved: list[str]) -> None:
    """Put the bytes into the storage, and what they are into the fields."""
    storage, field = attachment.file.storage, Attachment._meta.get_field("file")
    with file.open("rb") as content:
        head = content.read(files.HEAD_LENGTH)
        # Noted first: a full disk leaves half a file.
        saved.append(field.generate_filename(attachment, attachment.file_name))
        saved[-1] = name = storage.save(saved[-1], File(content))
    attachment.file = name
    attachment.content_type = files.detect_type(head, attachment.file_name)
    attachment.size = storage.size(name)


def _delete_later(name: str) -> None:
    """Remove a file that nothing refers to once the transaction is committed."""
    storage = Attachment._meta.get_field("file").storage
    transaction.on_commit(lambda: storage.delete(name), robust=True)


# The transaction ----------------------------------------------------------------------------------


def _carry_out(make: Callable[[], _Plan], dry_run: bool, progress: Progress) -> Report:
    """Find and write the differences, all or nothing, files included."""
    saved: list[str] = []
    try:
        with snapshot.writing():
            _one_at_a_time()
            with lifted():
                plan = make()
                plan.audiences.lock()
                report = plan.make()
                if not (dry_run or plan.is_empty):
                    # The first that runs after the commit: from then on the files are wanted.
                    transaction.on_commit(saved.clear)
                    plan.write(saved, progress)
                return report
    except BaseException:
        for name in saved:
            Attachment._meta.get_field("file").storage.delete(name)
        raise


def _one_at_a_time() -> None:
    """Wait for another import to end. On SQLite the transaction itself has done so."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # No SELECT: that would fix what this transaction sees before it has waited. The lock
            # is in nobody's way but another import's.
            table = connection.ops.quote_name(HelpCenter._meta.db_table)
            cursor.execute(f"LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE")


def _retried(work: Callable[[], Result]) -> Result:
    """What the work returns, done again when the database says that another writer was faster."""
    for _ in range(snapshot.TRIES - 1):
        try:
            return work()
        except OperationalError as error:
            if connection.in_atomic_block or not snapshot.is_conflict(error):
                raise
    return work()

"""Reads a folder of Markdown files as categories, sections and articles. Writes nothing.

    category/section/article.md               an article
    category/section/more/article.md          sections nest, at most five deep
    category/section/img/front.png            comes with the articles that refer to it

An article may begin with front matter: `title`, `id` (kept, so that old addresses go on working),
`draft` and `labels`. A tree is read whole or not at all: every problem is collected and raised
once. What is left out on purpose is in `Tree.skipped`, with the reason.

Only regular files inside the folder are ever part of a tree. Symbolic links are not followed, and
links of articles are looked up among the files found, so nothing outside can be reached.
"""

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import yaml
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from helpcenter.rendering import markdown_parser, scan

KEYS = ("draft", "id", "labels", "title")
MARKDOWN_SUFFIXES = (".md", ".markdown")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
MAX_SECTION_DEPTH = 5
MAX_ID = 2**53 - 1
MAX_TITLE = 300
MAX_LABEL = 200

# The callback of Tree.rewrite: the new address of a file, an article or a section folder.
Resolve = Callable[[PurePosixPath], str | None]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something the author of a file has to know: where it is and what is wrong."""

    path: PurePosixPath
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


class MarkdownTreeError(Exception):
    """The folder cannot be imported; `problems` lists everything that is in the way."""

    def __init__(self, problems: Iterable[Problem]):
        self.problems = sorted(problems, key=lambda problem: (str(problem.path), problem.line))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, or a part of one, that is not imported, and why."""

    path: PurePosixPath
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class SourceLink:
    """One address in a body: `body[start:end]` is how it is written, `address` what it means."""

    kind: Literal["link", "image"]
    written_as: Literal["markdown", "attribute", "autolink"]
    address: str
    line: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SourceArticle:
    path: PurePosixPath
    title: str
    source_id: int | None
    draft: bool
    labels: tuple[str, ...]
    position: int
    body: str
    # Images and other files of the folder that the body shows or links to, without articles.
    files: tuple[PurePosixPath, ...]
    links: tuple[SourceLink, ...]


@dataclass(frozen=True, slots=True)
class SourceSection:
    path: PurePosixPath
    name: str
    position: int
    sections: tuple["SourceSection", ...]
    articles: tuple[SourceArticle, ...]


@dataclass(frozen=True, slots=True)
class SourceCategory:
    path: PurePosixPath
    name: str
    position: int
    sections: tuple[SourceSection, ...]


@dataclass(frozen=True, slots=True)
class Tree:
    """All of a folder that can be imported. Paths are relative to `root`."""

    root: Path
    categories: tuple[SourceCategory, ...]
    skipped: tuple[Skipped, ...]

    def articles(self) -> Iterator[SourceArticle]:
        """Every article, section by section, in reading order."""
        for section in self.sections():
            yield from section.articles

    def sections(self) -> Iterator[SourceSection]:
        """Every section, each before the sections inside it."""
        waiting = [s for category in self.categories for s in category.sections][::-1]
        while waiting:
            section = waiting.pop()
            yield section
            waiting.extend(reversed(section.sections))

    def paths_by_id(self) -> dict[int, PurePosixPath]:
        """Where the article with this id at the old help center is."""
        return {a.source_id: a.path for a in self.articles() if a.source_id is not None}


def read_tree(root: Path) -> Tree:
    """The tree in a folder, or MarkdownTreeError with every problem that was found."""
    if not root.is_dir():
        raise MarkdownTreeError([Problem(PurePosixPath(root), 1, "This is not a folder.")])
    return _Reader(root).tree()


def rewrite(
    article: SourceArticle,
    resolve: Resolve,
    paths_by_id: Mapping[int, PurePosixPath],
    hosts: Collection[str] = (),
) -> tuple[str, list[Problem]]:
    """The body with its links leading to their new places, and the links that lead nowhere.

    `resolve` is asked for the new address of a path in the tree: a file, an article (also by a
    link without `.md`) or a section's folder; query and anchor are kept. An address of the old
    help center (`/hc/{locale}/articles/{id}…`, alone or on one of `hosts`) leads to the article
    that has this id in `paths_by_id`, and stays as it is when there is none. Relative links
    that cannot be resolved stay as they are and are reported.
    """
    body, end = [], 0
    problems = []
    for link in article.links:
        address = _new_address(article.path, link.address, resolve, paths_by_id, hosts)
        if isinstance(address, _Unresolved):
            problems.append(Problem(article.path, link.line, address.message))
        elif address is not None:
            body += [article.body[end : link.start], _written(link, address)]
            end = link.end
    return "".join([*body, article.body[end:]]), problems


# Reading ------------------------------------------------------------------------------------------


class _Reader:
    """Collects what a folder holds; `tree` raises when anything in it is wrong."""

    def __init__(self, root: Path):
        self.root = root
        self.problems: list[Problem] = []
        self.skipped: list[Skipped] = []
        self.files: set[PurePosixPath] = set()
        self.used: set[PurePosixPath] = set()
        self.id_lines: dict[PurePosixPath, int] = {}

    def tree(self) -> Tree:
        self.list_files()
        articles = [
            article
            for path in sorted(self.files)
            if _is_markdown(path)
            if (article := self.article(path)) is not None
        ]
        self.refuse_duplicate_ids(articles)
        if self.problems:
            raise MarkdownTreeError(self.problems)
        self.skip_unused_files()
        categories = self.categories(articles)
        return Tree(self.root, categories, tuple(sorted(self.skipped, key=str)))

    def skip(self, path: PurePosixPath, reason: str) -> None:
        self.skipped.append(Skipped(path, reason))

    def problem(self, path: PurePosixPath, line: int, message: str) -> None:
        self.problems.append(Problem(path, line, message))

    def list_files(self) -> None:
        """Note every regular file of the folder that may be part of the tree."""
        waiting = [PurePosixPath()]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(self.root / folder) as entries:
                    waiting += [path for entry in entries if (path := self.listed(folder, entry))]
            except OSError as error:
                self.problem(folder, 1, f"This folder cannot be read: {error.strerror}.")

    def listed(self, folder: PurePosixPath, entry: os.DirEntry[str]) -> PurePosixPath | None:
        """Note one entry; a folder that is to be read comes back."""
        path = folder / entry.name
        if re.search("[\ud800-\udfff]", entry.name):
            self.problem(folder, 1, f"The name {entry.name!r} is not valid UTF-8.")
        elif entry.name.startswith("."):
            self.skip(path, "hidden")
        elif entry.is_symlink():
            self.skip(path, "a symbolic link; only real files are imported")
        elif entry.is_dir(follow_symlinks=False):
            return path
        elif entry.is_file(follow_symlinks=False):
            self.files.add(path)
        else:
            self.skip(path, "not a regular file")
        return None

    def article(self, path: PurePosixPath) -> SourceArticle | None:
        """The article in a file; None when it is skipped or has a problem."""
        if path.stem.lower() == "readme":
            self.skip(path, "a README is about the folder, not an article")
            return None
        if len(path.parts) < 3:
            self.skip(path, "not inside a category's section: category/section/article.md")
            return None
        text = self.text(path)
        if text is None:
            return None
        if len(path.parts) - 2 > MAX_SECTION_DEPTH:
            self.problem(path, 1, f"Sections nest at most {MAX_SECTION_DEPTH} deep.")
        matter = _front_matter(path, text)
        self.problems += matter.problems
        self.skipped += matter.skipped
        self.id_lines[path] = matter.lines.get("id", 1)
        title, body, first_line = _title_and_body(path, matter, text)
        if not body.strip():
            self.skip(path, "empty")
            return None
        if not 1 <= len(title) <= MAX_TITLE:
            message = f"The title has {len(title)} characters; 1 to {MAX_TITLE} are possible."
            self.problem(path, 1, message)
        links = [replace(link, line=link.line + first_line - 1) for link in find_links(body)]
        files = tuple(dict.fromkeys(self.referenced_files(path, links)))
        self.used.update(files)
        values = matter.values
        return SourceArticle(
            path=path,
            title=title,
            source_id=values.get("id"),
            draft=values.get("draft", False),
            labels=values.get("labels", ()),
            position=0,
            body=body,
            files=files,
            links=tuple(links),
        )

    def text(self, path: PurePosixPath) -> str | None:
        try:
            data = (self.root / path).read_bytes()
        except OSError as error:
            self.problem(path, 1, f"This file cannot be read: {error.strerror}.")
            return None
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            # Counted from the start of the data that was decoded, which may be behind a BOM.
            line = error.object.count(b"\n", 0, error.start) + 1
            self.problem(path, line, "This is not valid UTF-8; save the file in that encoding.")
            return None
        if "\x00" in text:
            line = text.count("\n", 0, text.index("\x00")) + 1
            self.problem(path, line, "There is a NUL character here; remove it.")
            return None
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def referenced_files(
        self, path: PurePosixPath, links: list[SourceLink]
    ) -> Iterator[PurePosixPath]:
        for link in links:
            if not _is_relative(link.address):
                continue
            target = _target(path, link.address)
            if target is None and link.kind == "image":
                message = f"The image {link.address!r} is outside the folder that is imported."
                self.problem(path, link.line, message)
            elif target in self.files and not _is_markdown(target):
                yield target

    def refuse_duplicate_ids(self, articles: list[SourceArticle]) -> None:
        first: dict[int, PurePosixPath] = {}
        for article in articles:
            if article.source_id is not None:
                other = first.setdefault(article.source_id, article.path)
                if other != article.path:
                    message = f"The id {article.source_id} is already used by {other}."
                    self.problem(article.path, self.id_lines[article.path], message)

    def skip_unused_files(self) -> None:
        for path in self.files - self.used:
            if path.suffix.lower() in IMAGE_SUFFIXES:
                self.skip(path, "no article shows this image")
            elif not _is_markdown(path):
                self.skip(path, "not Markdown, and no article links to it")

    def categories(self, articles: list[SourceArticle]) -> tuple[SourceCategory, ...]:
        folders: dict[PurePosixPath, set[PurePosixPath]] = {}
        inside: dict[PurePosixPath, list[SourceArticle]] = {}
        for article in articles:
            inside.setdefault(article.path.parent, []).append(article)
            for folder in article.path.parents[:-1]:
                folders.setdefault(folder.parent, set()).add(folder)

        def sections(folder: PurePosixPath) -> tuple[SourceSection, ...]:
            return tuple(
                SourceSection(path, path.name, position, sections(path), in_order(path))
                for position, path in enumerate(sorted(folders.get(folder, ()), key=_reading_order))
            )

        def in_order(folder: PurePosixPath) -> tuple[SourceArticle, ...]:
            found = sorted(inside.get(folder, ()), key=lambda a: _reading_order(a.path))
            return tuple(replace(article, position=i) for i, article in enumerate(found))

        tops = sorted(folders.get(PurePosixPath(), ()), key=_reading_order)
        return tuple(
            SourceCategory(path, path.name, position, sections(path))
            for position, path in enumerate(tops)
        )


def _reading_order(path: PurePosixPath) -> tuple[list[str | int], str]:
    """By name, whatever the case, and with numbers as numbers: 2 before 10."""
    parts = re.split(r"([0-9]{1,15})", path.name.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


def _is_markdown(path: PurePosixPath) -> bool:
    return path.suffix.lower() in MARKDOWN_SUFFIXES


# Front matter and titles --------------------------------------------------------------------------

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?P<yaml>(?:.*\n)*?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)")


@dataclass(slots=True)
class _FrontMatter:
    """What stands between the `---` lines, as far as it is valid."""

    end: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def _front_matter(path: PurePosixPath, text: str) -> _FrontMatter:
    found = _FrontMatter()
    match = _FRONT_MATTER.match(text)
    if match is None:
        if re.match(r"---[ \t]*\n\w+:", text):
            found.problems.append(Problem(path, 1, "The front matter has no closing '---' line."))
        return found
    found.end = match.end()
    try:
        node = yaml.compose(match["yaml"], Loader=yaml.SafeLoader)
        data = yaml.safe_load(match["yaml"])
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 2 if error.problem_mark else 1
        message = f"The front matter is not valid YAML: {error.problem}."
        found.problems.append(Problem(path, line, message))
        return found
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        message = f"The front matter is not valid YAML: {str(error).splitlines()[0]}."
        found.problems.append(Problem(path, 1, message))
        return found
    if data is not None and not isinstance(data, dict):
        message = f"The front matter must be lines like 'title: …'; keys are {', '.join(KEYS)}."
        found.problems.append(Problem(path, 2, message))
        return found
    for key_node, _ in getattr(node, "value", ()):
        _read_key(found, path, key_node.start_mark.line + 2, key_node.value, data or {})
    return found


def _read_key(
    found: _FrontMatter, path: PurePosixPath, line: int, key: object, data: dict[Any, Any]
) -> None:
    if not isinstance(key, str) or key not in KEYS:
        reason = f"line {line}: the front matter's {key!r} is not used; keys are {', '.join(KEYS)}"
        found.skipped.append(Skipped(path, reason))
        return
    if key in found.lines:
        message = f"{key!r} is given twice; it is also in line {found.lines[key]}."
        found.problems.append(Problem(path, line, message))
        return
    found.lines[key] = line
    value = data.get(key)
    if value is None:
        return
    value, message = _CHECKS[key](value)
    if message:
        found.problems.append(Problem(path, line, message))
    else:
        found.values[key] = value


def _check_title(value: object) -> tuple[Any, str]:
    if not isinstance(value, str):
        return None, f"'title' must be text, not {_kind(value)}; put it in quotation marks."
    return " ".join(value.split()), ""


def _check_id(value: object) -> tuple[Any, str]:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_ID:
        return None, f"'id' must be a whole number from 1 to {MAX_ID}."
    return value, ""


def _check_draft(value: object) -> tuple[Any, str]:
    if not isinstance(value, bool):
        return None, f"'draft' must be true or false, not {_kind(value)}."
    return value, ""


def _check_labels(value: object) -> tuple[Any, str]:
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        return None, "'labels' must be a list of texts, such as [wifi, setup]."
    labels = tuple(dict.fromkeys(" ".join(label.split()) for label in value))
    if not all(1 <= len(label) <= MAX_LABEL for label in labels):
        return None, f"A label has 1 to {MAX_LABEL} characters."
    return labels, ""


_CHECKS: dict[str, Callable[[object], tuple[Any, str]]] = {
    "title": _check_title,
    "id": _check_id,
    "draft": _check_draft,
    "labels": _check_labels,
}


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list"}
    return names.get(type(value), "a date" if hasattr(value, "year") else "a mapping")


def _title_and_body(path: PurePosixPath, matter: _FrontMatter, text: str) -> tuple[str, str, int]:
    """The title, the body without a heading that only repeats it, and the body's first line."""
    title = matter.values.get("title", "")
    body = text[matter.end :]
    tokens = markdown_parser().parse(body)
    for token, inline in zip(tokens, tokens[1:], strict=False):
        if token.type == "heading_open" and token.tag == "h1" and token.level == 0 and token.map:
            heading = _text_of(inline)
            title = title or heading
            lines = body.split("\n")
            if heading == title and not "".join(lines[: token.map[0]]).strip():
                body = "\n".join(lines[token.map[1] :])
            break
    body = body.lstrip("\n")
    return title or path.stem, body, text.count("\n", 0, len(text) - len(body)) + 1


def _text_of(inline: Token) -> str:
    parts = [
        child.content if child.type in ("text", "code_inline") else " "
        for child in inline.children or ()
        if child.type in ("text", "code_inline", "softbreak", "hardbreak")
    ]
    return " ".join("".join(parts).split())


# Addresses ----------------------------------------------------------------------------------------

_OLD_ARTICLE = re.compile(r"/hc/(?:[A-Za-z0-9-]+/)?articles/([0-9]{1,16})(?![0-9])[^/]*/?")


@dataclass(frozen=True, slots=True)
class _Unresolved:
    message: str


def _new_address(
    article: PurePosixPath,
    address: str,
    resolve: Resolve,
    paths_by_id: Mapping[int, PurePosixPath],
    hosts: Collection[str],
) -> str | _Unresolved | None:
    """The address to write instead, None to leave it as it is."""
    old = _old_article(address, hosts)
    if old is not None:
        path = paths_by_id.get(old)
        new = resolve(path) if path else None
        return _with_rest(new, address) if new else None
    if not _is_relative(address):
        return None
    if "\\" in address:
        return _Unresolved(f"{address!r} has a backslash; write it with '/'.")
    target = _target(article, address)
    if target is None:
        return _Unresolved(f"{address!r} leads out of the folder; the link stays as it is.")
    new = resolve(target)
    if new is None and not target.suffix:
        new = resolve(target.with_name(target.name + ".md")) if target.name else None
    if new is None:
        return _Unresolved(f"{address!r} leads to no file here; the link stays as it is.")
    return _with_rest(new, address)


def _split(address: str) -> tuple[str, str]:
    """The path of an address, and its query and anchor as they are written."""
    end = min((i for i in map(address.find, "?#") if i >= 0), default=len(address))
    return address[:end], address[end:]


def _with_rest(new: str, address: str) -> str:
    return new + _split(address)[1]


def _is_relative(address: str) -> bool:
    """Whether an address begins with a path relative to the article's folder."""
    path, _ = _split(address)
    return bool(path) and not path.startswith(("/", "\\")) and ":" not in path.partition("/")[0]


def _target(article: PurePosixPath, address: str) -> PurePosixPath | None:
    """The path in the tree that a relative address means; None when that is outside."""
    parts = list(article.parent.parts)
    for part in unquote(_split(address)[0]).split("/"):
        if "\x00" in part:
            return None
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return PurePosixPath(*parts)


def _old_article(address: str, hosts: Collection[str]) -> int | None:
    """The id of an article in an address of the old help center."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https", "") or bool(parts.scheme) != bool(parts.netloc):
        return None
    if parts.netloc and parts.netloc.lower() not in {host.lower() for host in hosts}:
        return None
    match = _OLD_ARTICLE.fullmatch(parts.path)
    return int(match[1]) if match else None


def _written(link: SourceLink, address: str) -> str:
    """The address in the notation of the place where it goes."""
    if link.written_as == "attribute":
        return f'"{escape(address)}"'
    for character in " <>\n\\":
        address = address.replace(character, f"%{ord(character):02X}")
    if link.written_as == "autolink":
        text = re.sub(r"([\\\[\]*_`<>])", r"\\\1", link.address)
        return f"[{text}](<{address}>)"
    return f"<{address}>" if set(address) & set("()") else address


# Finding links ------------------------------------------------------------------------------------


def find_links(body: str) -> list[SourceLink]:
    """The addresses of a Markdown body in the order they stand there; none from code or comments.

    Inline and reference links, images, `<https://…>`, and `<a href>` and `<img src>` in HTML.
    """
    return _LinkFinder(body).links()


@dataclass(frozen=True, slots=True)
class _Found:
    """A link within the text of one block, before it is located in the body."""

    kind: Literal["link", "image"]
    written_as: Literal["markdown", "attribute", "autolink"]
    address: str
    start: int
    end: int


class _LinkFinder:
    """Runs the site's own Markdown parser with rules that also note where addresses stand."""

    def __init__(self, body: str):
        self.body = body
        self.starts = [0, *(match.end() for match in re.finditer("\n", body)), len(body)]
        self.text = ""
        self.found: dict[tuple[int, int], _Found] = {}
        self.parser = markdown_parser()
        for name in ("link", "image", "autolink", "html_inline"):
            self.parser.inline.ruler.at(name, self.noting(name))

    def links(self) -> list[SourceLink]:
        env: dict[str, Any] = {}
        # Only these: the other rules change the text of blocks, and with it every place.
        self.parser.core.ruler.enableOnly(["normalize", "block"])
        tokens = self.parser.parse(self.body, env)
        found: dict[int, SourceLink] = {}
        for link in self.all_links(tokens, env):
            found.setdefault(link.start, link)
        return [found[start] for start in sorted(found)]

    def all_links(self, tokens: list[Token], env: dict[str, Any]) -> Iterator[SourceLink]:
        cursors: dict[int, int] = {}
        for token in tokens:
            if token.type == "inline" and token.map:
                self.text, self.found = token.content, {}
                self.parser.inline.parse(token.content, self.parser, env, [])
                places = list(self.places(token, cursors))
                for found in self.found.values():
                    if link := self.located(found, places):
                        yield link
            elif token.type == "html_block" and token.map:
                start, end = self.span(*token.map)
                for found in _links_in_html(self.body[start:end]):
                    yield self.link(found, start + found.start, start + found.end)
        yield from self.definitions(env)

    def noting(self, name: str) -> Callable[[StateInline, bool], bool]:
        """The parser's rule of this name, which also notes the address it read."""
        rules = self.parser.inline.ruler
        rule = next(r.fn for r in rules.__rules__ if r.name == name)

        def noting_rule(state: StateInline, silent: bool) -> bool:
            start = state.pos
            matched: bool = rule(state, silent)
            # Text inside of alternative texts is parsed on its own: its places mean nothing here.
            if matched and not silent and state.src == self.text:
                for link in self.read(name, state, start):
                    self.found[link.start, link.end] = link
            return matched

        return noting_rule

    def read(self, name: str, state: StateInline, start: int) -> Iterator[_Found]:
        source = state.src[start : state.pos]
        if name == "html_inline":
            for link in _links_in_html(source):
                yield replace(link, start=start + link.start, end=start + link.end)
        elif name == "autolink":
            if not _is_relative(source[1:-1]):  # <maria@example.com> is no path
                yield _Found("link", "autolink", source[1:-1], start, state.pos)
        elif name == "image":
            yield from self.destination(state, start + 1, "image")
        else:
            yield from self.destination(state, start, "link")

    def destination(
        self, state: StateInline, bracket: int, kind: Literal["link", "image"]
    ) -> Iterator[_Found]:
        """The address of `[…](address)`; none for `[…][label]`, whose definition has it."""
        parser, source, after = self.parser, state.src, state.pos
        label_end = parser.helpers.parseLinkLabel(state, bracket, kind == "link")
        state.pos = after
        if label_end < 0 or source[label_end + 1 : label_end + 2] != "(":
            return
        start = label_end + 2
        while source[start : start + 1].isspace():
            start += 1
        result = parser.helpers.parseLinkDestination(source, start, after)
        if result.ok and result.pos < after:
            yield _Found(kind, "markdown", result.str, start, result.pos)

    def places(self, token: Token, cursors: dict[int, int]) -> Iterator[tuple[int, int, int]]:
        """Which stretches of a block's text begin where in the body, and how long they are.

        The parser has taken indentation, `>`, `#` and `|` away; what is left is still there in
        its line, letter for letter, except where a table escapes a bar.
        """
        offset = 0
        for number, line in zip(range(*token.map or ()), token.content.split("\n"), strict=False):
            start, end = self.span(number, number + 1)
            # Cells of a table share a line: each is looked for behind the one before.
            start = max(start, cursors.get(number, 0))
            whole = self.body.find(line.strip(), start, end) >= 0
            for stretch in re.finditer(r".+" if whole else r"[^|]+", line):
                text = stretch[0].strip()
                at = self.body.find(text, start, end)
                if at >= 0:
                    yield offset + stretch.start() + stretch[0].find(text), at, len(text)
                    cursors[number] = start = at + len(text)
            offset += len(line) + 1

    def located(self, link: _Found, places: list[tuple[int, int, int]]) -> SourceLink | None:
        for offset, at, length in places:
            if offset <= link.start and link.end <= offset + length:
                return self.link(link, at + link.start - offset, at + link.end - offset)
        return None

    def definitions(self, env: dict[str, Any]) -> Iterator[SourceLink]:
        """The addresses of `[label]: address` lines."""
        references = [*env.get("references", {}).values(), *env.get("duplicate_refs", ())]
        for reference in references:
            start, end = self.span(*reference["map"])
            match = re.compile(r"\]:[ \t>]*\n?[ \t>]*(?=\S)").search(self.body, start, end)
            if match is None:
                continue
            result = self.parser.helpers.parseLinkDestination(self.body, match.end(), end)
            if result.ok:
                found = _Found("link", "markdown", result.str, match.end(), result.pos)
                yield self.link(found, found.start, found.end)

    def link(self, found: _Found, start: int, end: int) -> SourceLink:
        line = bisect_right(self.starts, start, hi=len(self.starts) - 1)
        return SourceLink(found.kind, found.written_as, found.address, line, start, end)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Where the lines from `first` up to `last` begin and end."""
        end = len(self.starts) - 1
        return self.starts[min(first, end)], self.starts[min(last, end)]


def _links_in_html(source: str) -> Iterator[_Found]:
    for tag in scan(source):
        if isinstance(tag, str) or tag.closing:
            continue
        for name, key in (("a", "href"), ("img", "src")):
            if tag.name == name and (attribute := tag.attributes.get(key)):
                kind: Literal["link", "image"] = "image" if name == "img" else "link"
                yield _Found(kind, "attribute", attribute.value, attribute.start, attribute.end)

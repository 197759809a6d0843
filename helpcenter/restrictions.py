"""The file of `import_markdown --restrict`: which segments see which parts of a folder.

    Hardware Support/Opta: Partners
    Arduino Cloud/**/Billing*.md: [Partners, Agents and admins]
    About Arduino/Drafts: nobody

It is YAML, from the path of a category, a section or an article to a segment, several, or nobody.
Everything in it must mean something: a path that names nothing, or a name that is no segment, would
leave open what somebody wanted to close.
"""

import difflib
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import yaml

from .markdown_tree import MarkdownTreeError, Problem

NOBODY = "nobody"
VALUES = f"the name of a segment, a list of names, or {NOBODY}"


@dataclass(frozen=True, slots=True, eq=False)
class Restriction:
    """One line of the file: a path or a pattern, and who alone may see what it names."""

    file: PurePosixPath
    line: int
    pattern: str
    # The names of the segments, each with its line; {"nobody": …} alone is nobody.
    names: Mapping[str, int]

    def problem(self, message: str, line: int | None = None) -> Problem:
        return Problem(self.file, line or self.line, message)


def read_restrictions(file: Path) -> list[Restriction]:
    """The lines of the file; MarkdownTreeError with everything that is wrong in it."""
    reader = _Reader(PurePosixPath(file))
    found = list(reader.restrictions(_text(file)))
    if reader.problems:
        raise MarkdownTreeError(reader.problems)
    return found


def named_paths(
    restrictions: Iterable[Restriction], paths: Collection[PurePosixPath]
) -> dict[PurePosixPath, Restriction]:
    """Which of the paths are restricted, and by what.

    MarkdownTreeError for a pattern that names none of them, and for two that contradict each other.
    """
    found: dict[PurePosixPath, Restriction] = {}
    problems = []
    for restriction in restrictions:
        named = _named(restriction.pattern, paths)
        if not named:
            words = f"{restriction.pattern!r} names nothing in the folder."
            problems.append(
                restriction.problem(f"{words}{did_you_mean(restriction.pattern, map(str, paths))}")
            )
        for path in named:
            other = found.setdefault(path, restriction)
            if set(other.names) != set(restriction.names):
                words = (
                    f"{restriction.pattern!r} gives “{path}” other people than line {other.line}"
                )
                problems.append(restriction.problem(f"{words} ({other.pattern!r}) does."))
                break
    if problems:
        raise MarkdownTreeError(problems)
    return found


def did_you_mean(word: str, accepted: Iterable[str]) -> str:
    """` Did you mean …?` with the nearest of the accepted words, or nothing."""
    near = difflib.get_close_matches(word, [*accepted], 3)
    return f" Did you mean {' or '.join(map(repr, near))}?" if near else ""


def composed(path: PurePosixPath) -> PurePosixPath:
    """The path in one Unicode form: macOS and Linux write the same name differently."""
    return PurePosixPath(unicodedata.normalize("NFC", str(path)))


# Matching -----------------------------------------------------------------------------------------


def _named(pattern: str, paths: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """The one path that is written like this, else all that the pattern matches."""
    wanted = composed(PurePosixPath(pattern))
    by_name = {composed(path): path for path in paths}
    if wanted in by_name:
        return [by_name[wanted]]
    return [path for name, path in by_name.items() if _matches(wanted.parts, name.parts)]


def _matches(pattern: Sequence[str], path: Sequence[str]) -> bool:
    """`*`, `?` and `[…]` stay within one name; `**` is any number of folders, also none."""
    if not pattern or not path:
        return not path and set(pattern) <= {"**"}
    if pattern[0] == "**":
        return _matches(pattern[1:], path) or _matches(pattern, path[1:])
    return fnmatchcase(path[0], pattern[0]) and _matches(pattern[1:], path[1:])


# Reading ------------------------------------------------------------------------------------------


def _text(file: Path) -> str:
    name = PurePosixPath(file)
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        problem = Problem(name, 1, f"This file cannot be read: {error.strerror}.")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = Problem(name, line, "This is not valid UTF-8; save the file in that encoding.")
    raise MarkdownTreeError([problem])


@dataclass
class _Reader:
    """Reads the nodes of YAML: unlike values they know their lines, and no key hides another."""

    file: PurePosixPath
    problems: list[Problem] = field(default_factory=list)

    def problem(self, node: yaml.Node | None, message: str) -> None:
        self.problems.append(Problem(self.file, node.start_mark.line + 1 if node else 1, message))

    def restrictions(self, text: str) -> Iterator[Restriction]:
        root = self.root(text)
        if self.problems:
            return
        if not isinstance(root, yaml.MappingNode) or not root.value:
            self.problem(
                root, f"Write lines like 'Category/Section: Segment': a path, then {VALUES}."
            )
            return
        lines: dict[str, int] = {}
        for key, value in root.value:
            line = key.start_mark.line + 1
            if not _is_text(key):
                self.problem(key, "A path must be text; put it in quotation marks.")
            elif lines.setdefault(key.value, line) != line:
                self.problem(key, f"{key.value!r} is also in line {lines[key.value]}.")
            elif names := self.names(value):
                yield Restriction(self.file, line, key.value, names)

    def root(self, text: str) -> yaml.Node | None:
        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            message = f"This is not valid YAML: {error.problem or error.context}."
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            message = f"This is not valid YAML: {error.reason}."
        except RecursionError:
            line, message = 1, "This is not valid YAML: too deeply nested."
        self.problems.append(Problem(self.file, line, message))
        return None

    def names(self, node: yaml.Node) -> dict[str, int]:
        """The names, each with its line; empty when there is a problem."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not nodes or not all(_is_text(each) and each.value for each in nodes):
            self.problem(node, f"Expected {VALUES}; put names that look like numbers in quotes.")
            return {}
        names = {each.value: each.start_mark.line + 1 for each in nodes}
        if NOBODY in names and len(names) > 1:
            self.problem(node, f"{NOBODY!r} stands alone, without segments.")
            return {}
        return names


def _is_text(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str"

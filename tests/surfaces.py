"""The ways by which hidden content leaks elsewhere, and what watches each of them here.

`python -m tests.surfaces` writes docs/surfaces.md from the tests that are marked
`@pytest.mark.surface(number, …)`; tests/test_surfaces.py fails while it is out of date.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "surfaces.md"

CHANNELS = {
    1: "The page of something",
    2: "The API's single object against its list",
    3: "Another representation of the same thing (JSON, print, an API)",
    4: "Exports",
    5: "Lists of sections and categories",
    6: "A shelf all of whose content is hidden",
    7: "Counts",
    8: "Gaps in pages, short pages, links to the next one",
    9: "What a search finds",
    10: "How many a search finds, letter by letter",
    11: "Snippets and highlights",
    12: "Facets, labels and the choices of filters",
    13: "The order of results, and what is suggested or popular",
    14: "Completion while typing",
    15: "Fields, expansions and depths that the caller chooses",
    16: "Filters by hidden or related fields",
    17: "Filters that exclude",
    18: "Orders by what is not shown",
    19: "Choices of related objects in forms and browsable pages",
    20: "OPTIONS, and the API's schema",
    21: "A relation in a body that exists or does not",
    22: "What is related, beside, before or after",
    23: "Breadcrumbs, menus, and links to a hidden parent",
    24: "Promoted content and the home page",
    25: "What links here, and where a file is used",
    26: "Includes, blocks and macros in a text",
    27: "The text of a link to something hidden",
    28: "HTML rendered for one viewer and shown to another",
    29: "Drafts and previews",
    30: "History, earlier versions and their differences",
    31: "Translations, and the language that is shown instead",
    32: "Copying and moving",
    33: "Redirects, old addresses and `Location`",
    34: "Forbidden against missing, and guessing of ids",
    35: "Names that must be unique, and numbers added to slugs",
    36: "Numbers that follow each other, and dates of lists",
    37: "Validators (`ETag`, `If-…`) and 304",
    38: "HEAD, ranges and `Content-Length`",
    39: "Time",
    40: "Errors and time of what somebody searches for, on hidden rows",
    41: "Error pages and logs",
    42: "Caches of whole pages, here and on the way",
    43: "`Vary`, languages and credentials in headers",
    44: "Caches of parts and of decisions",
    45: "Addresses that look like a static file",
    46: "Files that the web server serves by itself",
    47: "Small versions and other derivatives of pictures",
    48: "Links to files that outlive the access, or are passed on",
    49: "Feeds and calendars",
    50: "Sitemap, robots, cards and structured data",
    51: "E-mail and other messages",
    52: "Profiles: what somebody wrote, said and voted for",
    53: "Names of segments, tags, organizations and groups",
    54: "The admin site for staff with few rights",
    55: "Answers of language models, embeddings and their caches",
    56: "Code that runs without a viewer",
}

# Why a channel cannot exist here. Where a test makes sure of it, that is listed too.
CANNOT = {
    25: "Nothing records which text links to what, and no page shows it.",
    47: "Files are served as they were uploaded; nothing makes a second one of them.",
    55: "There is no language model, no embedding and no prompt in the product.",
}


def marked_tests() -> Iterator[tuple[int, str]]:
    """(channel, `path::Class::test`) of every marked test, read from the sources."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node, names in _functions(ast.parse(path.read_text())):
            for number in _channels(node):
                yield number, "::".join([str(path.relative_to(ROOT)), *names])


def _functions(tree: ast.AST, names: tuple[str, ...] = ()) -> Iterator[tuple[ast.AST, list[str]]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, (*names, node.name))
        elif isinstance(node, ast.FunctionDef):
            yield node, [*names, node.name]


def _channels(function: ast.AST) -> Iterator[int]:
    """The numbers of `@pytest.mark.surface(…)`."""
    for mark in function.decorator_list:  # type: ignore[attr-defined]
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.surface":
            yield from (ast.literal_eval(argument) for argument in mark.args)


def page() -> str:
    """docs/surfaces.md, as it should be."""
    tests = defaultdict(list)
    for number, name in marked_tests():
        tests[number].append(name)
    lines = [
        "# Surfaces",
        "",
        "The ways by which hidden content leaked from other products, and what watches each here.",
        "Written by `python -m tests.surfaces` from the tests; do not edit it by hand.",
        "",
        "The leak matrix (`tests/test_exits.py`) asks every URL as everybody who may not see what "
        "is hidden,",
        "and looks for words and numbers that stand in hidden objects only. Twin worlds "
        "(`tests/test_twin_worlds.py`)",
        "compare the answers of two databases that differ by one hidden object.",
        "",
        "| # | Surface | Watched by |",
        "|---|---|---|",
    ]
    for number, name in CHANNELS.items():
        told = [CANNOT[number]] if number in CANNOT else []
        told += [f"`{each.removeprefix('tests/')}`" for each in tests[number]]
        lines.append(f"| {number} | {name} | {'<br>'.join(told)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())

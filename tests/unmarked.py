"""Finds texts that people read and nobody can translate: in templates, in code, in models."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from django.apps import apps
from django.template.base import Lexer, TokenType
from django.utils.functional import Promise

WORD = re.compile(r"[^\W\d_]{2}")
# Attributes of HTML that are read out or shown.
SHOWN = {"title", "alt", "placeholder", "aria-label", "label", "data-failed"}
# What JavaScript writes into a page, or asks in a window of its own.
SAID_BY_SCRIPTS = re.compile(
    r"""(?:\.(?:textContent|innerText|innerHTML|title|placeholder)\s*=|\b(?:alert|confirm)\()"""
    r"""\s*["'`]([^"'`]*)"""
)
# Keywords of forms, models and the admin that are shown.
LABELS = {"label", "help_text", "verbose_name", "verbose_name_plural", "description", "title"}
RAISED = ("ValidationError", "ProtectedError", "ValueInUse")
# Rows of these are never shown by themselves.
INTERNAL = {"Token", "Actor", "Change", "AudienceSegment", "Audience", "RateCounter"}


class _Shown(HTMLParser):
    """Collects what a reader of the page would get to see."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.depth_of_code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.depth_of_code += tag in ("script", "style")
        known = dict(attrs)
        shown = SHOWN | ({"value"} if known.get("type") in ("submit", "button", "reset") else set())
        self.found += [value for name, value in attrs if name in shown and value]

    def handle_endtag(self, tag: str) -> None:
        self.depth_of_code -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.depth_of_code:
            self.found.append(data)


def in_template(source: str) -> list[str]:
    """The words of a template that stand there as they are."""
    # The block `layout` holds names of classes.
    source = re.sub(r"{% block layout %}.*?{% endblock %}", "", source)
    html, inside = "", False
    for token in Lexer(source).tokenize():
        if token.token_type == TokenType.BLOCK:
            name = token.split_contents()[0]
            inside = (inside or name in ("blocktranslate", "comment")) and name not in (
                "endblocktranslate",
                "endcomment",
            )
        elif token.token_type == TokenType.TEXT and not inside:
            html += token.contents
    page = _Shown()
    page.feed(html)
    return [text.strip() for text in page.found if WORD.search(text)]


def in_script(source: str) -> list[str]:
    """The words that JavaScript itself shows; those of templates come in data attributes."""
    return [text for text in SAID_BY_SCRIPTS.findall(source) if WORD.search(text)]


def in_code(source: str) -> list[str]:
    """Where Python gives a bare text to people, or translates one before anybody is there."""
    tree = ast.parse(source)
    return [ast.unparse(node) for node in (*_bare(tree), *_too_early(tree))]


def _bare(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        shown: list[Any] = []
        if isinstance(node, ast.keyword) and node.arg in LABELS:
            shown = [node.value]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            shown = [node.value] if node.targets[0].id in LABELS else []
        elif isinstance(node, ast.Call):
            shown = _arguments(node)
        if any(_has_words(each) for each in shown):
            yield node


def _arguments(call: ast.Call) -> list[Any]:
    """What a call shows to somebody: the message of an error or of the session."""
    name = ast.unparse(call.func)
    if name.endswith(RAISED):
        return [v for a in call.args[:1] for v in (a.values if isinstance(a, ast.Dict) else [a])]
    if name.startswith("messages.") or name.endswith((".message_user", ".add_error")):
        return call.args[1:2]
    return []


def _has_words(node: Any) -> bool:
    if isinstance(node, ast.JoinedStr):
        return any(_has_words(part) for part in node.values)
    return isinstance(node, ast.Constant) and bool(WORD.search(str(node.value)))


def _too_early(tree: ast.Module) -> Iterator[ast.AST]:
    """Calls of gettext outside of functions: they speak the language of the server's start."""
    eager = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
        if alias.name in ("gettext", "ngettext", "pgettext")
    }
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func) in eager:
            yield node
        waiting += ast.iter_child_nodes(node)


def in_models(*labels: str) -> list[str]:
    """Names of models, and of fields that forms and lists show, which are plain text."""
    found = []
    for model in (model for label in labels for model in apps.get_app_config(label).get_models()):
        options = model._meta
        if model.__name__ in INTERNAL:
            continue
        named = {"": options, **{f".{field.name}": field for field in _fields_of(model)}}
        found += [
            f"{options.label}{name}"
            for name, thing in named.items()
            if not isinstance(thing.verbose_name, Promise)
        ]
    return found


def _fields_of(model: Any) -> list[Any]:
    """What the admin's forms and lists show of a model."""
    from django.contrib import admin

    registered = admin.site._registry.get(model)
    listed = registered.list_display if registered else ()
    fields = [field for field in model._meta.get_fields() if field.concrete]
    shown = [field for field in fields if field.editable and registered and not field.primary_key]
    return shown + [field for field in fields if field.name in listed]

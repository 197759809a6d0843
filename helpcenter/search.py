"""Full-text search, native to each database, in one SELECT with visibility.

The text is folded and cut into words in Python when it is saved, and so is the query, so both
databases find the same. Results are ordered by what the matching rows themselves contain: FTS5's
own ranking uses statistics of every row, and so would tell of hidden ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import Any

from django.db.models import BooleanField, Case, F, Func, IntegerField, QuerySet, Value, When

from segments.triggers import Trigger

from . import rendering

# How much of an article is searched, and of a query used.
SEARCHED_CHARACTERS = 100_000
QUERY_CHARACTERS = 300
QUERY_TERMS = 12

TABLE, INDEX = "helpcenter_articletranslation", "helpcenter_search"
COLUMNS = ("search_title", "search_text")
# SQLite's index anew from the table, for when the triggers were away.
CATCH_UP = f"INSERT INTO {INDEX} ({INDEX}) VALUES ('rebuild')"
# Scripts written without spaces are searched character by character.
WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+"
)


def searchable(text: str) -> str:
    """The words of a text, folded, separated by single spaces."""
    return " ".join(WORD.findall(rendering.fold(text[:SEARCHED_CHARACTERS])))


def terms_of(query: str) -> list[str]:
    """The distinct words of what somebody typed; empty when there is nothing to look for."""
    words = searchable(query[:QUERY_CHARACTERS]).split()
    return list(dict.fromkeys(words))[:QUERY_TERMS]


class Matches(Func):
    """The translation contains every term; the last may be the beginning of a word."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, *columns: Any, terms: list[str] | None = None, **extra: Any) -> None:
        self.terms = terms or []
        super().__init__(*(columns or ("pk", *COLUMNS)), **extra)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        pk, params = compiler.compile(self.source_expressions[0])
        # Terms hold letters and digits only; quoted, none is an operator of FTS5.
        query = " ".join(f'"{term}"' for term in self.terms) + "*"
        return f"{pk} IN (SELECT rowid FROM {INDEX} WHERE {INDEX} MATCH %s)", [*params, query]

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        title, text = (compiler.compile(each)[0] for each in self.source_expressions[1:])
        query = " & ".join(f"'{term}'" for term in self.terms) + ":*"
        return f"{vector(title, text)} @@ to_tsquery('simple', %s)", [query]


def vector(title: str, text: str) -> str:
    """PostgreSQL's expression that the index in the migration is built on, word for word."""
    return f"to_tsvector('simple'::regconfig, {title} || ' ' || {text})"


def search(translations: QuerySet[Any], query: str) -> QuerySet[Any]:
    """Those of the translations that contain every word of the query, the best first."""
    terms = terms_of(query)
    if not terms:
        return translations.none()
    phrase = " ".join(terms)
    in_title: Any = reduce(add, [_one_if("search_title", term) for term in terms])
    return translations.filter(Matches(terms=terms)).order_by(
        _one_if("search_title", phrase).desc(),
        in_title.desc(),
        _one_if("search_text", phrase).desc(),
        F("article__position"),
        "article_id",
    )


def _one_if(column: str, words: str) -> Case:
    found = When(**{f"{column}__contains": words}, then=Value(1))
    return Case(found, default=Value(0), output_field=IntegerField())


def triggers() -> Iterator[Trigger]:
    """Keep SQLite's index, which has no text of its own, in step with the table."""
    columns = ", ".join(COLUMNS)
    old, new = (", ".join(f"{row}.{c}" for c in COLUMNS) for row in ("OLD", "NEW"))
    forget = f"INSERT INTO {INDEX} ({INDEX}, rowid, {columns}) VALUES ('delete', OLD.id, {old})"
    learn = f"INSERT INTO {INDEX} (rowid, {columns}) VALUES (NEW.id, {new})"
    changed = " OR ".join(f"OLD.{c} IS NOT NEW.{c}" for c in ("id", *COLUMNS))
    yield Trigger(TABLE, "INSERT", learn, "")
    yield Trigger(TABLE, "DELETE", forget, "")
    yield Trigger(TABLE, "UPDATE", f"{forget}; {learn}", "", changed)

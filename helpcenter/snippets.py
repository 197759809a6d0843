"""The passage of a text that a search result shows."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from .search import SEARCHED_CHARACTERS, WORD, searchable

LENGTH = 220
BEFORE = 60


class Piece(NamedTuple):
    """A stretch of a snippet, and whether it is one of the words that were looked for."""

    text: str
    is_hit: bool


def snippet(text: str, terms: list[str]) -> list[Piece]:
    """About `LENGTH` characters of plain text around the first of the terms, or from the start.

    The last term may be the beginning of a word, as in the search itself.
    """
    text = unicodedata.normalize("NFC", " ".join(text[:SEARCHED_CHARACTERS].split()))
    first = next((word for word in WORD.finditer(text) if _is_hit(word[0], terms)), None)
    start = _word_start(text, max(0, first.start() - BEFORE)) if first else 0
    end = _word_end(text, start + LENGTH)
    pieces = [Piece("… ", False)] if start else []
    pieces += _pieces(text[start:end], terms)
    if end < len(text):
        pieces.append(Piece(" …", False))
    return pieces


def _pieces(passage: str, terms: list[str]) -> list[Piece]:
    pieces, position = [], 0
    for word in WORD.finditer(passage):
        if _is_hit(word[0], terms):
            pieces += [Piece(passage[position : word.start()], False), Piece(word[0], True)]
            position = word.end()
    return [piece for piece in [*pieces, Piece(passage[position:], False)] if piece.text]


def _is_hit(word: str, terms: list[str]) -> bool:
    found = _folded(word)
    return bool(terms) and any(w in terms or w.startswith(terms[-1]) for w in found)


@lru_cache(maxsize=20_000)
def _folded(word: str) -> tuple[str, ...]:
    return tuple(searchable(word).split())


def _word_start(text: str, place: int) -> int:
    """The beginning of the first whole word from here, or the place where there are no spaces."""
    space = re.compile(r"\s").search(text, max(0, place - 1), place + 30)
    return space.end() if place and space else place


def _word_end(text: str, place: int) -> int:
    if place >= len(text):
        return len(text)
    space = text.rfind(" ", place - 30, place + 1)
    return space if space > 0 else place

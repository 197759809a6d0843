"""Keeps `Article.published` true to the translations, by triggers: whatever writes them.

An article is published while it is not archived and at least one of its translations is not a
draft. The column exists so that lists and counts can filter on an index; nothing in Python ever
sets it.
"""

from __future__ import annotations

from collections.abc import Iterator

from segments.triggers import Trigger

ARTICLES, TRANSLATIONS = "helpcenter_article", "helpcenter_articletranslation"


def _is_published(article: str) -> str:
    words = f"SELECT 1 FROM {TRANSLATIONS} t WHERE t.article_id = {article}.id AND NOT t.draft"
    return f"({article}.archived_at IS NULL AND EXISTS ({words}))"


def _update(articles: str) -> str:
    is_published = _is_published(ARTICLES)
    return f"UPDATE {ARTICLES} SET published = {is_published} WHERE id IN ({articles})"


# Every article, for when the triggers were away.
CATCH_UP = _update(f"SELECT id FROM {ARTICLES}")


def triggers() -> Iterator[Trigger]:
    """After a change of translations, and after somebody wrote the column itself."""
    changed = {
        "INSERT": ("NEW.article_id", "SELECT article_id FROM new_rows"),
        "DELETE": ("OLD.article_id", "SELECT article_id FROM old_rows"),
        "UPDATE": (
            "OLD.article_id, NEW.article_id",
            "SELECT article_id FROM old_rows UNION SELECT article_id FROM new_rows",
        ),
    }
    for event, (row, rows) in changed.items():
        yield Trigger(TRANSLATIONS, event, _update(row), _update(rows))
    yield Trigger(
        TRANSLATIONS, "TRUNCATE", "", f"UPDATE {ARTICLES} SET published = false WHERE published"
    )
    for event in ("INSERT", "UPDATE"):
        wrong = f"n.published IS DISTINCT FROM {_is_published('n')}"
        yield Trigger(
            ARTICLES,
            event,
            _update("NEW.id"),
            # A trigger for statements runs for no rows too: without the IF it would never end.
            f"IF EXISTS (SELECT 1 FROM new_rows n WHERE {wrong}) "
            f"THEN {_update('SELECT id FROM new_rows')}; END IF",
            f"NEW.published IS NOT {_is_published('NEW')}",
        )

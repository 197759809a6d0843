"""Row-level security where this app has rules of its own: what querysets.py says, in SQL.

Shelves without an article to show are hidden (design §2.6), those around an article in somebody's
care are shown (§2.7), and an unused file is its uploader's. Archived articles are not hidden from
their editors here: whoever archives one must be able to write it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from segments.policies import IN_AUDIENCES, IN_GRANTS, PERSON, Policies, column, key_type
from segments.policies import setting_of_transaction as setting

from .models import (
    Article,
    Attachment,
    Category,
    CategoryTranslation,
    PermissionGroup,
    Section,
    SectionTranslation,
)

SECTIONS, ARTICLES, GROUPS = (m._meta.db_table for m in (Section, Article, PermissionGroup))
# Permission groups in which the viewer may edit or publish. Empty for all but staff.
IN_CARE = f"SELECT id FROM {GROUPS} WHERE edit_id {IN_GRANTS} OR publish_id {IN_GRANTS}"
MAY_ADD = f"EXISTS ({IN_CARE})"


def conditions(policies: Policies) -> Iterator[tuple[Any, str]]:
    """(model, what its rows must be like to be shown)."""
    key = key_type(Section, policies.connection)
    let_pass = policies.level(Section, Section.audience_depth)
    seen = f"a.published AND a.audience_id {IN_AUDIENCES}"
    filled = policies.find(key, _with_parents(f"s.id {let_pass} AND {_holds(seen)}"))
    cared = f"a.archived_at IS NULL AND a.permission_group_id IN ({IN_CARE})"
    edited = policies.find(key, _with_parents(_holds(cared)))
    yield Section, _shelf(policies.admitted(Section), f"id {filled}", f"id {edited}")
    yield (
        Category,
        _shelf(policies.admitted(Category), _has_section(filled), _has_section(edited)),
    )
    # The words of a shelf are shown where it is.
    for model, name in ((CategoryTranslation, "category"), (SectionTranslation, "section")):
        shelf = model._meta.get_field(name).related_model
        yield model, policies.exists(shelf, column(model, name))
    own = f"uploaded_by_id = {setting(PERSON, 'bigint')}"
    yield Attachment, f"({policies.admitted(Attachment)} AND (article_id IS NOT NULL OR {own}))"


def _shelf(admitted: str, is_filled: str, is_edited: str) -> str:
    return f"(({admitted} AND ((SELECT {MAY_ADD}) OR {is_filled})) OR {is_edited})"


def _has_section(ids: str) -> str:
    category = column(Category, "id")
    return f"EXISTS (SELECT 1 FROM {SECTIONS} s WHERE s.category_id = {category} AND s.id {ids})"


def _holds(condition: str) -> str:
    """The section `s` has such an article `a`."""
    return f"EXISTS (SELECT 1 FROM {ARTICLES} a WHERE a.section_id = s.id AND {condition})"


def _with_parents(condition: str) -> str:
    """Selects the sections `s` that are like this, and all that are around them."""
    return (
        f"WITH RECURSIVE found (id, parent_id) AS ("
        f"SELECT s.id, s.parent_id FROM {SECTIONS} s WHERE {condition} UNION "
        f"SELECT s.id, s.parent_id FROM {SECTIONS} s JOIN found ON s.id = found.parent_id) "
        f"SELECT array_agg(id) FROM found"
    )

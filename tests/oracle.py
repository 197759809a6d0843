"""The rule a second time: design §2 over plain data, to be compared with what the product answers.

Written from the design and not from the code, slow and without a database. Nothing here may import
anything of the product: a shared mistake would be invisible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any

NOBODY, EVERYONE = "nobody", "everyone"
STAFF = ("light_agent", "agent", "admin")
DEEPEST = 5


# Each is equal to itself only, which is quick to find out.
@dataclass(frozen=True, eq=False)
class Person:
    """Somebody with an account. A visitor without one is None."""

    id: int
    role: str = "end_user"
    active: bool = True
    organizations: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    tags: frozenset[str] = frozenset()
    language: str | None = None


@dataclass(frozen=True)
class Segment:
    """Conditions are whatever JSON is stored, sound or not."""

    id: int
    user_type: str
    conditions: Any
    whole_type: bool = False


@dataclass(frozen=True)
class Named:
    """A person whom a segment includes or excludes; `ended` when its end date has passed."""

    segment: int
    person: int
    kind: str
    ended: bool | None = None


@dataclass(frozen=True)
class Category:
    id: int
    audience: Any
    help_center: int


@dataclass(frozen=True)
class Section:
    id: int
    audience: Any
    category: int
    parent: int | None = None


@dataclass(frozen=True, eq=False)
class Article:
    """`drafts` has one truth value for each translation."""

    id: int
    audience: Any
    section: int
    group: int
    drafts: tuple[bool, ...]


def once(answer: Callable[..., Any]) -> Any:
    """A question that a world is asked again and again, answered once: worlds do not change."""

    @wraps(answer)
    def ask(world: World, *question: Any) -> Any:
        key = (answer, *question)
        if key not in world.answers:
            world.answers[key] = answer(world, *question)
        return world.answers[key]

    return ask


@dataclass(eq=False)
class World:
    """Everything there is. An audience is NOBODY, EVERYONE or a frozenset of segment ids."""

    people: dict[int, Person]
    # What exists, for conditions to name: organization -> its tags, groups, tags, roles, languages.
    organizations: dict[int, frozenset[str]]
    groups: frozenset[int]
    tags: frozenset[str]
    languages: frozenset[str]
    segments: dict[int, Segment]
    named: frozenset[Named]
    help_centers: dict[int, Any]  # id -> audience
    categories: dict[int, Category]
    sections: dict[int, Section]
    permission_groups: dict[int, tuple[Any, Any]]  # id -> who may edit, who may publish
    articles: dict[int, Article]
    # What is to be deleted by raw SQL after the rules have been read once: (table, id) pairs.
    gone: dict[str, list[Any]] = field(default_factory=dict)
    answers: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def existing(self, attribute: str) -> list[Any]:
        """The values of an attribute that a condition may name."""
        return list(
            {
                "role": ["end_user", *STAFF],
                "organization": self.organizations,
                "group": self.groups,
                "tag": self.tags,
                "language": self.languages,
            }.get(attribute, ())
        )

    def values(self, person: Person, attribute: str) -> set[Any]:
        """End users inherit their organizations' tags, staff do not."""
        organizations = person.organizations & self.organizations.keys()
        inherited = [self.organizations[pk] for pk in organizations if person.role == "end_user"]
        return {
            "role": {person.role},
            "organization": set(organizations),
            "group": set(person.groups & self.groups),
            "tag": set(person.tags.union(*inherited) & self.tags),
            "language": {person.language} - {None},
        }[attribute]

    def holds(self, person: Person, condition: Any) -> bool:
        """§2.2. What cannot be understood is false, `none` included."""
        parts = ["attribute", "operator", "values"]
        if not isinstance(condition, dict) or sorted(condition) != parts:
            return False
        attribute, operator, values = (condition[part] for part in parts)
        if operator not in ["any", "all", "none"] or not isinstance(attribute, str):
            return False
        existing = self.existing(attribute)
        if not isinstance(values, list) or not values:
            return False
        if not all(any(type(v) is type(e) and v == e for e in existing) for v in values):
            return False
        has, wanted = self.values(person, attribute), set(values)
        if operator == "none":
            return not has & wanted
        if attribute == "organization" and person.role in STAFF:
            return True
        return bool(has & wanted) if operator == "any" else wanted <= has

    @cached_property
    def members(self) -> dict[int, set[int]]:
        """§2.3: segment -> the people in it."""
        people = self.people.values()
        return {
            segment.id: {person.id for person in people if self._is_member(person, segment)}
            for segment in self.segments.values()
        }

    def _is_member(self, person: Person, segment: Segment) -> bool:
        is_staff = person.role in STAFF
        of_type = {"signed_in_users": True, "staff": is_staff, "end_users": not is_staff}
        kinds = {
            named.kind
            for named in self.named
            if (named.segment, named.person) == (segment.id, person.id) and not named.ended
        }
        if not person.active or not of_type[segment.user_type] or "excluded" in kinds:
            return False
        conditions = segment.conditions if isinstance(segment.conditions, list) else []
        satisfied = bool(conditions) and all(self.holds(person, each) for each in conditions)
        return "included" in kinds or segment.whole_type or satisfied

    @once
    def admits(self, audience: Any, person: Person | None) -> bool:
        """§2.4."""
        if audience in (NOBODY, EVERYONE):
            return audience == EVERYONE
        return person is not None and any(person.id in self.members[pk] for pk in audience)

    def is_admin(self, person: Person | None) -> bool:
        return person is not None and person.active and person.role == "admin"

    @once
    def edits(self, person: Person | None, group: int) -> bool:
        """§2.7: may edit or publish what is in the group's care. Everyone is no editor."""
        if person is None or not person.active or person.role not in STAFF:
            return False
        grants = [grant for grant in self.permission_groups[group] if grant != EVERYONE]
        return any(self.admits(grant, person) for grant in grants)

    @once
    def may_add(self, person: Person | None) -> bool:
        return self.is_admin(person) or any(self.edits(person, pk) for pk in self.permission_groups)

    def above(self, section: int | None) -> Iterator[int]:
        """The section and those around it, from the inside out; what is missing is named too."""
        seen: set[int] = set()
        while section is not None and section not in seen:
            seen.add(section)
            yield section
            section = self.sections[section].parent if section in self.sections else None

    @once
    def category_admits(self, category: int, person: Person | None) -> bool:
        found = self.categories.get(category)
        if found is None or found.help_center not in self.help_centers:
            return False
        top = self.help_centers[found.help_center]
        return self.admits(top, person) and self.admits(found.audience, person)

    @once
    def section_admits(self, section: int, person: Person | None) -> bool:
        """§2.5: its own audience and every ancestor's; missing rows, cycles and depth deny."""
        path = list(self.above(section))
        if len(path) > DEEPEST or any(pk not in self.sections for pk in path):
            return False
        if self.sections[path[-1]].parent is not None:  # the walk ended in a cycle
            return False
        found = [self.sections[pk] for pk in path]
        return all(
            self.admits(each.audience, person) and self.category_admits(each.category, person)
            for each in found
        )

    @once
    def sees_article(self, person: Person | None, article: Article) -> bool:
        if self.is_admin(person) or self.edits(person, article.group):
            return True
        published = not all(article.drafts)
        admitted = self.admits(article.audience, person)
        return published and admitted and self.section_admits(article.section, person)

    def sees_translation(self, person: Person | None, article: Article, draft: bool) -> bool:
        if self.is_admin(person) or self.edits(person, article.group):
            return True
        return not draft and self.sees_article(person, article)

    @once
    def inside(self, section: int) -> list[Article]:
        """The articles in the section, at any depth."""
        return [a for a in self.articles.values() if section in self.above(a.section)]

    def sees_section(self, person: Person | None, section: int) -> bool:
        admitted = self.section_admits(section, person)
        return self._sees_shelf(person, self.inside(section), admitted)

    @once
    def inside_category(self, category: int) -> list[Article]:
        """The articles in its sections, at any depth."""
        holding = {s.id for s in self.sections.values() if s.category == category}
        return [a for a in self.articles.values() if holding & {*self.above(a.section)}]

    def sees_category(self, person: Person | None, category: int) -> bool:
        admitted = self.category_admits(category, person)
        return self._sees_shelf(person, self.inside_category(category), admitted)

    def _sees_shelf(self, person: Person | None, inside: list[Article], admitted: bool) -> bool:
        """§2.6, and the breadcrumbs of §2.7."""
        groups = {article.group for article in inside}
        if self.is_admin(person) or any(self.edits(person, group) for group in groups):
            return True
        filled = any(self.sees_article(person, a) and not all(a.drafts) for a in inside)
        return admitted and (filled or self.may_add(person))

    def sees_help_center(self, person: Person | None, pk: int) -> bool:
        return self.is_admin(person) or self.admits(self.help_centers[pk], person)

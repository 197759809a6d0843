"""The help center of tests/test_stateful.py as plain data: who sees what, on one page.

Written from docs/rule.md. It imports nothing of the product, and has at most 100 lines, so that
whoever doubts the product can check the model by reading it.
"""

from dataclasses import dataclass, field

NOBODY, EVERYONE = "nobody", "everyone"


@dataclass
class Person:
    is_staff: bool = False
    is_active: bool = True
    is_signed_in: bool = False
    organizations: set[str] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)


@dataclass
class Segment:
    user_type: str
    conditions: list[tuple[str, str, set[str]]]
    included: set[str] = field(default_factory=set)
    excluded: set[str] = field(default_factory=set)


@dataclass
class Section:
    audience: str | frozenset[int] = EVERYONE
    parent: int | None = None


@dataclass
class Article:
    section: int
    audience: str | frozenset[int]
    is_draft: bool


@dataclass
class Model:
    organization_tags: dict[str, set[str]]
    people: dict[str, Person]
    segments: dict[int, Segment] = field(default_factory=dict)
    sections: dict[int, Section] = field(default_factory=dict)
    articles: dict[int, Article] = field(default_factory=dict)
    archived: list[Article] = field(default_factory=list)  # deleted, and kept in the database

    def holds(self, person: Person, attribute: str, operator: str, values: set[str]) -> bool:
        """End users have the tags of their organizations; organizations do not limit staff."""
        inherited = [self.organization_tags[name] for name in person.organizations]
        has = {
            "tag": person.tags if person.is_staff else person.tags.union(*inherited),
            "organization": person.organizations,
            "role": {"agent" if person.is_staff else "end_user"},
        }[attribute]
        if operator == "none":
            return not has & values
        if attribute == "organization" and person.is_staff:
            return True
        return values <= has if operator == "all" else bool(has & values)

    def is_member(self, name: str, segment: Segment) -> bool:
        person = self.people[name]
        of_type = {"signed_in_users": True, "staff": person.is_staff}
        if not person.is_active or not of_type.get(segment.user_type, not person.is_staff):
            return False
        satisfied = [self.holds(person, *condition) for condition in segment.conditions]
        is_in = name in segment.included or (bool(satisfied) and all(satisfied))
        return is_in and name not in segment.excluded

    def admits(self, audience: str | frozenset[int], name: str | None) -> bool:
        if isinstance(audience, str):
            return audience == EVERYONE
        return name is not None and any(self.is_member(name, self.segments[k]) for k in audience)

    def path(self, section: int | None) -> list[int]:
        """The section and those around it."""
        return [] if section is None else [section, *self.path(self.sections[section].parent)]

    def sees_article(self, name: str | None, key: int) -> bool:
        article = self.articles[key]
        audiences = [self.sections[each].audience for each in self.path(article.section)]
        everywhere = all(self.admits(each, name) for each in [article.audience, *audiences])
        return everywhere and not article.is_draft

    def sees_section(self, name: str | None, key: int) -> bool:
        """A shelf without a visible article is not there."""
        inside = [k for k, article in self.articles.items() if key in self.path(article.section)]
        return any(self.sees_article(name, k) for k in inside)

    def is_used(self, segment: int) -> bool:
        things = [*self.sections.values(), *self.articles.values(), *self.archived]
        return any(not isinstance(t.audience, str) and segment in t.audience for t in things)

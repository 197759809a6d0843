"""The data of the benchmarks: a large help center, its people, and the textbook's link tables.

The same seed gives the same rows on every database. Rows are written by COPY or executemany with
the triggers off: a benchmark of reading need not wait for the history of its own making.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.core.management.color import no_style
from django.db import connections, models
from django.utils import timezone

from accounts.models import Organization, Role, Tag, User
from helpcenter.models import Article, Category, HelpCenter, PermissionGroup, Section
from segments import triggers
from segments.models import Audience, AudienceSegment, Segment

FIRST_ID = 2**32
AGENT = 999
# How many segments persons 1, 2, … are in; half through organizations, half through tags.
VIEWERS = {"3 segments": 3, "60 segments": 60, "600 segments": 600}


@dataclass(frozen=True)
class Size:
    """How many rows of each kind."""

    articles: int = 100_000
    people: int = 1_000_000
    segments: int = 2_000
    audiences: int = 8_000
    categories: int = 50
    sections: int = 1_000


class ArticleSegment(models.Model):  # noqa: DJ008
    """The textbook's table: an article is for the members of any of its segments."""

    pk = models.CompositePrimaryKey("article_id", "segment_id")
    article = models.ForeignKey(Article, on_delete=models.CASCADE, related_name="+")
    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="+")

    class Meta:
        app_label = "helpcenter"
        db_table = "textbook_article_segment"


class SectionSegment(models.Model):  # noqa: DJ008
    """The same for sections."""

    pk = models.CompositePrimaryKey("section_id", "segment_id")
    section = models.ForeignKey(Section, on_delete=models.CASCADE, related_name="+")
    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="+")

    class Meta:
        app_label = "helpcenter"
        db_table = "textbook_section_segment"


class World:
    """Fills one database. Every id is known beforehand, so rows need not be read back."""

    def __init__(self, using: str, size: Size) -> None:
        self.using = using
        self.size = size
        self.random = random.Random(2)
        self.now = timezone.now()
        self.segments = self._ids(size.segments)
        self.values = self._ids(size.segments)
        self.sections = self._ids(size.sections)
        self.categories = self._ids(size.categories)
        self.centers = self._ids(1)
        # Audience id -> its segments.
        self.audiences = {
            number + 3: self.random.sample(self.segments, self.random.choice([1, 1, 2, 3, 5]))
            for number in range(size.audiences)
        }

    def _ids(self, count: int) -> list[int]:
        """Distinct random ids, as the site gives them: rows of one kind lie scattered."""
        ids: set[int] = set()
        while len(ids) < count:
            ids.add(self.random.randrange(FIRST_ID, 2**53))
        return list(ids)

    def build(self, say: Any) -> None:
        """Write everything; `say` is called with the name of each step."""
        with without_triggers(self.using):
            for step in self.steps():
                say(step.__name__)
                step()
            self.reset_sequences()
            say("statistics")
            self.analyze()
        say("done")

    def steps(self) -> list[Callable[[], None]]:
        """What is written, in this order."""
        return [self.rules, self.shelves, self.articles, self.people, self.textbook]

    def rules(self) -> None:
        """Segments with one condition each, on an organization or on a tag, and audiences."""
        organizations = ((pk, f"org {pk}", f"org {pk}") for pk in self.values[::2])
        self._insert(Organization, organizations, ["id", "name", "key"])
        self._insert(Tag, ((pk, f"tag {pk}") for pk in self.values[1::2]), ["id", "name"])
        same = ("signed_in_users", "", 1, self.now, self.now)
        self._insert(
            Segment,
            (
                (pk, f"segment {number}", _condition(number, value), *same)
                for number, (pk, value) in enumerate(zip(self.segments, self.values, strict=True))
            ),
            ["id", "name", "conditions", "user_type", "description", "version"]
            + ["created_at", "updated_at"],
        )
        self._insert(Audience, ((pk, f"{pk:064}") for pk in self.audiences), ["id", "key"])
        links = ((pk, each) for pk, segments in self.audiences.items() for each in segments)
        self._insert(AudienceSegment, links, ["audience_id", "segment_id"])

    def more_segments(self, count: int) -> None:
        """Segments that nothing uses, each with two conditions."""
        organizations, tags = self.values[::2], self.values[1::2]
        choose = self.random.choice
        Segment.objects.using(self.using).bulk_create(
            Segment(
                pk=pk,
                name=f"segment {pk}",
                conditions=[
                    _named("organization", "any", choose(organizations)),
                    _named("tag", "none", f"tag {choose(tags)}", f"tag {choose(tags)}"),
                ],
            )
            for pk in self._ids(count)
        )

    def shelves(self) -> None:
        """Categories for everyone, and sections, a third of them restricted, nested up to five."""
        center = HelpCenter(pk=self.centers[0], name="Bench", audience_id=Audience.EVERYONE)
        HelpCenter.objects.using(self.using).bulk_create([center])
        self.section_rows = self._tree()
        Category.objects.using(self.using).bulk_create(
            Category(pk=pk, help_center_id=self.centers[0], audience_id=Audience.EVERYONE)
            for pk in self.categories
        )
        # Parents come first in the list.
        Section.objects.using(self.using).bulk_create(self.section_rows)

    def _tree(self) -> list[Section]:
        rows: list[Section] = []
        depth: dict[int, int] = {}
        roots = len(self.sections) // 3
        for number, pk in enumerate(self.sections):
            parent = self.random.choice(rows) if number >= roots else None
            if parent and depth[parent.pk] == 5:
                parent = None
            depth[pk] = depth[parent.pk] + 1 if parent else 1
            category = parent.category_id if parent else self.random.choice(self.categories)
            rows.append(
                Section(
                    pk=pk,
                    category_id=category,
                    parent_id=parent.pk if parent else None,
                    audience_id=self._audience(everyone=0.67, nobody=0.01),
                    position=number,
                )
            )
        return rows

    def _audience(self, everyone: float, nobody: float) -> int:
        luck = self.random.random()
        if luck < everyone:
            return Audience.EVERYONE
        if luck < everyone + nobody:
            return Audience.NOBODY
        return self.random.randrange(3, len(self.audiences) + 3)

    def articles(self) -> None:
        """20 % for everyone, 5 % for nobody, the rest for segments; one in ten is a draft."""
        self.article_rows = [
            (
                pk,
                self.random.choice(self.sections),
                self._audience(everyone=0.2, nobody=0.05),
                self.random.randrange(1_000),
                self.random.random() < 0.9,
            )
            for pk in self._ids(self.size.articles)
        ]
        same = ("en-us", False, False, PermissionGroup.MANAGERS, self.now, self.now)
        self._insert(
            Article,
            ((*row, *same) for row in self.article_rows),
            ["id", "section_id", "audience_id", "position", "published", "source_locale"]
            + ["promoted", "comments_disabled", "permission_group_id", "created_at", "updated_at"],
        )

    def people(self) -> None:
        """The viewers, and many others with an organization and two tags each."""
        organizations, tags = self.values[::2], self.values[1::2]
        self._add_people(range(1, 1 + len(VIEWERS)), Role.END_USER)
        self._add_people([AGENT], Role.AGENT)
        for number, count in enumerate(VIEWERS.values(), 1):
            self._give(((number, o) for o in organizations[: count // 2]), "organizations")
            self._give(((number, t) for t in tags[: count - count // 2]), "tags")
        self._give([(AGENT, organizations[0])], "organizations")
        crowd = range(1_000, 1_000 + self.size.people)
        self._add_people(crowd, Role.END_USER)
        choose = self.random.choice
        self._give(((pk, choose(organizations)) for pk in crowd), "organizations")
        self._give(((pk, t) for pk in crowd for t in self.random.sample(tags, 2)), "tags")

    def _add_people(self, ids: Iterable[int], role: str) -> None:
        self._insert(
            User,
            ((pk, f"person{pk}@example.com", "", "", role, True, self.now) for pk in ids),
            ["id", "email", "password", "name", "role", "is_active", "date_joined"],
        )

    def _give(self, pairs: Iterable[tuple[int, int]], name: str) -> None:
        field = User._meta.get_field(name)
        through = field.remote_field.through
        columns = [field.m2m_column_name(), field.m2m_reverse_name()]
        if name == "organizations":
            pairs = ((*pair, "manual", False) for pair in pairs)
            columns += ["source", "is_default"]
        self._insert(through, pairs, columns)

    def textbook(self) -> None:
        """The link tables that the textbook has instead of audiences."""
        with connections[self.using].schema_editor() as editor:
            editor.create_model(ArticleSegment)
            editor.create_model(SectionSegment)
        articles = (
            (row[0], segment)
            for row in self.article_rows
            for segment in self.audiences.get(row[2], ())
        )
        self._insert(ArticleSegment, articles, ["article_id", "segment_id"])
        sections = (
            (row.pk, segment)
            for row in self.section_rows
            for segment in self.audiences.get(row.audience_id, ())
        )
        self._insert(SectionSegment, sections, ["section_id", "segment_id"])

    def reset_sequences(self) -> None:
        """Audiences were given ids, which PostgreSQL's sequence does not notice."""
        connection = connections[self.using]
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), [Audience]):
                cursor.execute(statement)

    def analyze(self) -> None:
        """Let PostgreSQL's planner know what is there, as it does by itself before long.

        SQLite has no statistics unless somebody asks for them, so here it has none either.
        """
        connection = connections[self.using]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")

    def _insert(self, model: Any, rows: Iterable[tuple[Any, ...]], columns: list[str]) -> None:
        connection = connections[self.using]
        table, names = model._meta.db_table, ", ".join(columns)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row(row)
                return
            marks = ", ".join(["%s"] * len(columns))
            cursor.execute("BEGIN")
            cursor.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", rows)
            cursor.execute("COMMIT")


def _condition(number: int, value: int) -> str:
    """The only condition of a segment: every other one asks for a tag."""
    if number % 2:
        return json.dumps([_named("tag", "any", f"tag {value}")])
    return json.dumps([_named("organization", "any", value)])


def _named(attribute: str, operator: str, *values: Any) -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, "values": list(values)}


@contextmanager
def without_triggers(using: str) -> Iterator[None]:
    """Drop the triggers and put them back at the end, whatever happens."""
    triggers.uninstall(connections[using])
    try:
        yield
    finally:
        triggers.install(connections[using])

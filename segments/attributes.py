"""What is known about people: reads attributes through the ORM lookups named in settings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, NamedTuple, Protocol

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured, ValidationError
from django.core.signals import setting_changed
from django.core.validators import ProhibitNullCharactersValidator
from django.db import connections, models
from django.db.models import (
    Aggregate,
    BooleanField,
    Case,
    CharField,
    Exists,
    IntegerField,
    JSONField,
    OuterRef,
    Q,
    TextField,
    Value,
    When,
)
from django.db.models.functions import Cast
from django.utils.translation import gettext as _

from .conf import setting


class Step(NamedTuple):
    """One part of a lookup path: the field, on the model where the path meets it."""

    model: type[models.Model]
    field: Any


@dataclass(frozen=True)
class Lookup:
    """A path from the user model to the values of an attribute, for everyone or for some users."""

    path: str
    only: Q | None = None

    @cached_property
    def steps(self) -> list[Step]:
        """The path part by part; ImproperlyConfigured when it does not exist."""
        model: Any = get_user_model()
        steps = []
        for part in self.path.split("__"):
            try:
                model_field = model._meta.pk if part == "pk" else model._meta.get_field(part)
            except (FieldDoesNotExist, AttributeError):
                raise ImproperlyConfigured(
                    f"SEGMENTS['ATTRIBUTES']: {self.path!r} does not fit the user model: "
                    f"{getattr(model, '__name__', 'a plain field')} has no field {part!r}."
                ) from None
            steps.append(Step(model, model_field))
            model = model_field.related_model
        if model is not None:
            steps.append(Step(model, model._meta.pk))
        return steps

    @property
    def last(self) -> Step:
        """Where the values are stored."""
        return self.steps[-1]

    def links(self, using: str) -> tuple[models.QuerySet[Any], str, str]:
        """(rows, the path to the id of the person, the path to the value).

        Many-to-many values of everyone are read from the rows that link them: to join a million
        people as well, of whom only the ids are wanted, takes longer than all the rest.
        """
        first = self.steps[0].field
        if self.only is not None or not isinstance(first, models.ManyToManyField):
            return self.people().using(using), "pk", self.path
        path = first.m2m_reverse_field_name() + self.path.removeprefix(first.name)
        through: Any = first.remote_field.through
        return through._base_manager.using(using).all(), f"{first.m2m_field_name()}__pk", path

    def people(self) -> models.QuerySet[Any]:
        """The users to whom this lookup applies."""
        people = get_user_model()._base_manager.all()
        # A filter() of its own: in one filter() a multi-valued Q would share the join of the path.
        return people.filter(self.only) if self.only else people


@dataclass(frozen=True)
class Attribute:
    """A named fact about people that conditions may ask for. A person may have many values."""

    name: str
    lookups: tuple[Lookup, ...]

    @property
    def last(self) -> Step:
        """The model and field that hold the values (of the first lookup; all agree in type)."""
        return self.lookups[0].last

    @property
    def limits_staff(self) -> bool:
        """False when `any` and `all` conditions on this attribute hold for every staff member."""
        return self.name not in setting("END_USER_ATTRIBUTES")

    @property
    def is_listed(self) -> bool:
        """True when the values are rows of their own, such as tags, not text on a person."""
        model, model_field = self.last
        return model is not get_user_model() and model_field.unique

    def clean(self, value: Any) -> Any:
        """The value as it is stored in a condition; ValidationError when it cannot be one."""
        if not isinstance(value, str | int) or isinstance(value, bool) != isinstance(
            self.last.field, BooleanField
        ):
            raise ValidationError(
                _("%(value)r is not a value of %(attribute)s."),
                params={"value": value, "attribute": self.name},
            )
        cleaned = self.last.field.to_python(value)
        # Text to Python and SQLite, and an error of PostgreSQL wherever it is asked for.
        ProhibitNullCharactersValidator()(cleaned)
        # A number beyond the column's range would be an error of the database, for everybody.
        self.last.field.run_validators(cleaned)
        return as_json(cleaned)

    def existing(self, values: Iterable[Any], using: str | None = None) -> set[Any]:
        """Those of the values that still exist: as a row, or among the field's choices.

        Where values are neither rows nor choices (free text on a person), all of them exist.
        """
        values = set(values)
        model, model_field = self.last
        if model_field.choices:
            return values & {choice for choice, _label in model_field.flatchoices}
        if not self.is_listed or not values:
            return values
        found = model._base_manager.using(using).filter(**{f"{model_field.name}__in": values})
        return {as_json(value) for value in found.values_list(model_field.name, flat=True)}

    def labels(self, values: Iterable[Any], using: str | None = None) -> dict[Any, str]:
        """Value -> the name of its row or choice; the value itself when it is gone."""
        values = list(values)
        model, model_field = self.last
        names = {value: str(value) for value in values}
        if model_field.choices:
            names |= {v: str(name) for v, name in model_field.flatchoices if v in names}
        elif self.is_listed and model_field.primary_key:
            rows = model._base_manager.using(using).filter(pk__in=values)
            names |= {as_json(row.pk): str(row) for row in rows}
        return names

    def people_with(self, values: Iterable[Any]) -> Q:
        """The people who have at least one of the values."""
        carriers = [
            lookup.people().filter(**{f"{lookup.path}__in": list(values)})
            for lookup in self.lookups
        ]
        return among_any(carriers)

    def people_without(self, values: Iterable[Any]) -> Q:
        """The people who have none of the values, nor perhaps any value at all."""
        without: Any = Q()
        for lookup in self.lookups:
            carriers = lookup.people().filter(**{f"{lookup.path}__in": list(values)})
            without &= ~Exists(carriers.filter(pk=OuterRef("pk")))
        return without


# Which of the people in question, one bit for each: & is both, | is either, ~ is all others.
# A single person is all of them or none.
Those = int
ALL, NONE = -1, 0


class Who(Protocol):
    """Whom the rule is asked about: a `Person` or a `Crowd` (crowd.py). Answers say who of them."""

    @property
    def active(self) -> Those: ...

    @property
    def staff(self) -> Those: ...

    def included_in(self, segment: int) -> Those: ...

    def excluded_from(self, segment: int) -> Those: ...

    def with_any(self, attribute: str, values: frozenset[Any]) -> Those: ...

    def with_each(self, attribute: str, values: frozenset[Any]) -> Those: ...


@dataclass(frozen=True)
class Person:
    """The facts about one person that the rule looks at, read in one query."""

    pk: Any
    is_active: bool = True
    is_staff: bool = False
    is_admin: bool = False
    values: Mapping[str, frozenset[Any]] = field(default_factory=dict)
    # Ids of the segments that name this person, with the end dates already applied.
    included: frozenset[int] = frozenset()
    excluded: frozenset[int] = frozenset()

    def has(self, attribute: str) -> frozenset[Any]:
        """The person's values of an attribute; empty when there are none."""
        return self.values.get(attribute, frozenset())

    # As `Who`.

    @property
    def active(self) -> Those:
        return ALL if self.is_active else NONE

    @property
    def staff(self) -> Those:
        return ALL if self.is_staff else NONE

    def included_in(self, segment: int) -> Those:
        return ALL if segment in self.included else NONE

    def excluded_from(self, segment: int) -> Those:
        return ALL if segment in self.excluded else NONE

    def with_any(self, attribute: str, values: frozenset[Any]) -> Those:
        return ALL if values & self.has(attribute) else NONE

    def with_each(self, attribute: str, values: frozenset[Any]) -> Those:
        return ALL if values <= self.has(attribute) else NONE


@cache
def attributes() -> dict[str, Attribute]:
    """Every attribute of SEGMENTS["ATTRIBUTES"] by name."""
    return {
        name: Attribute(
            name,
            tuple(Lookup(e) if isinstance(e, str) else Lookup(*e) for e in lookups),
        )
        for name, lookups in setting("ATTRIBUTES").items()
    }


def _forget_attributes(*, setting: str, **kwargs: Any) -> None:
    if setting in {"SEGMENTS", "AUTH_USER_MODEL"}:
        attributes.cache_clear()
        _facts_statement.cache_clear()


setting_changed.connect(_forget_attributes)


def as_json(value: Any) -> Any:
    """The value as JSON and comparisons have it: text, number or boolean."""
    return value if isinstance(value, str | int) else str(value)


def among_any(groups: list[models.QuerySet[Any]]) -> Q:
    """The people of any of these querysets of users.

    As one UNION: of several IN in an OR a database reads everybody to find a few.
    """
    if not groups:
        return Q(pk__in=[])
    ids = [group.order_by().values("pk") for group in groups]
    return Q(pk__in=ids[0].union(*ids[1:]) if len(ids) > 1 else ids[0])


def staff() -> models.QuerySet[Any]:
    """Everyone who is staff, active or not."""
    return get_user_model()._base_manager.filter(setting("STAFF"))


def read_person(pk: Any, using: str) -> Person:
    """The person as the database has them now: one query, however many attributes there are.

    A person who does not exist comes back inactive. End dates are compared with the database's
    clock, which has one value for the whole statement.
    """
    return _person(pk, _facts(pk, using))


def _person(pk: Any, facts: Iterable[tuple[str, str]]) -> Person:
    found: dict[str, set[Any]] = defaultdict(set)
    for kind, value in facts:
        found[kind].add(value)
    return Person(
        pk=pk,
        is_active=bool(found["is active"]),
        is_staff=bool(found["is staff"]),
        is_admin=bool(found["is admin"]),
        included=frozenset(int(value) for value in found["included"]),
        excluded=frozenset(int(value) for value in found["excluded"]),
        values={
            name: frozenset(_stored(attribute.last.field, value) for value in found[f"has {name}"])
            for name, attribute in attributes().items()
            if found[f"has {name}"]
        },
    )


def made_up(
    values: Mapping[str, Iterable[Any]],
    using: str,
    *,
    is_active: bool,
    is_staff: bool,
) -> Person:
    """Somebody without a row who has these values of attributes, and what comes with them.

    As with real people: whoever belongs to an organization has the tags that its people inherit.
    A lookup for some people only is asked of the values that are columns of a person.
    """
    given = {name: frozenset(named) for name, named in values.items()}
    columns = {
        lookup.path: value
        for name, named in given.items()
        for lookup in attributes()[name].lookups
        for value in named
        if len(lookup.steps) == 1
    }
    found = {name: set(given.get(name, ())) for name in attributes()}
    for name, attribute in attributes().items():
        for lookup in attribute.lookups:
            if lookup.only is None or lookup.only.check(columns, using):
                found[name] |= _values_through(lookup, given, using)
    return Person(
        pk=0,
        is_active=is_active,
        is_staff=is_staff,
        values={name: frozenset(named) for name, named in found.items() if named},
    )


def _values_through(lookup: Lookup, given: Mapping[str, Any], using: str) -> set[Any]:
    """What the lookup finds for a made-up person whose related rows are named by the values."""
    relation, _dunder, rest = lookup.path.partition("__")
    found: set[Any] = set()
    for name, named in given.items():
        for way in attributes()[name].lookups:
            first, _dunder, key = way.path.rpartition("__")
            # Only what names the related row itself: a tag does not say whose tag it is.
            if not rest or first != relation:
                continue
            related = lookup.steps[0].field.related_model._base_manager.using(using)
            rows = related.filter(**{f"{key}__in": named, f"{rest}__isnull": False})
            found.update(as_json(value) for value in rows.values_list(rest, flat=True))
    return found


def _stored(model_field: Any, text: str) -> Any:
    # Text stays as it is: to_python() may normalise it, and the database compares what it has.
    if isinstance(model_field, CharField | TextField):
        return text
    return as_json(model_field.to_python(text))


def _facts(pk: Any, using: str) -> list[tuple[str, str]]:
    """(kind, value) pairs: "is …" for the three roles, "has …" for attributes, named segments."""
    sql, params = _facts_statement(using)
    person = get_user_model()._meta.pk.get_db_prep_value(pk, connections[using])
    with connections[using].cursor() as cursor:
        cursor.execute(sql, [person if isinstance(p, _ThePerson) else p for p in params])
        return cursor.fetchall()


class _ThePerson(Value):
    """Stands in a compiled statement for the person about whom it will be asked."""

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]


@cache
def _facts_statement(using: str) -> tuple[str, tuple[Any, ...]]:
    """The statement of `_facts` and its parameters. To compile it takes longer than to run it."""
    parts = _fact_queries(using, lambda path: Q(**{path: _ThePerson(None)}))
    return parts[0].union(*parts[1:], all=True).query.get_compiler(using).as_sql()


@dataclass(frozen=True)
class Asked:
    """What of people a question is about: the named values, and by which segments they are named.

    Whoever has nothing of it, and is active and no staff, is like everybody else who has nothing.
    """

    # Attribute -> values.
    values: Mapping[str, Collection[Any]]
    segments: Collection[int]


def read_facts(
    asked: Asked, using: str, among: Collection[Any] | None = None
) -> Iterator[tuple[str, Any, list[Any]]]:
    """(kind, value, the ids of all who have this fact), of everybody or among these ids.

    The kinds are "has …" for attributes, "included" and "excluded" with a segment for a value, and,
    with an empty value, "is staff" and "is inactive". One query, which reads only what is asked.
    """
    from .querysets import Among

    if among is not None and not among:
        return

    def about(path: str) -> Q:
        return Q() if among is None else Q(Among(path, among))

    parts = _fact_queries(using, about, asked)
    key = get_user_model()._meta.pk
    for kind, value, pks in parts[0].union(*parts[1:], all=True):
        name = kind.removeprefix("has ")
        if name != kind:
            value = _stored(attributes()[name].last.field, value)
        elif value:
            value = int(value)
        # Of no rows PostgreSQL makes no list.
        pks = pks or []
        yield kind, value, pks if isinstance(key, IntegerField) else [*map(key.to_python, pks)]


def _fact_queries(
    using: str, about: Callable[[str], Q], asked: Asked | None = None
) -> list[models.QuerySet[Any]]:
    """One query for each kind of fact: (kind, value) rows, with what is asked the ids of people.

    `about(path)` restricts a query to the people in question, whose id is at the path. Without
    `asked` everything is read.
    """
    from .models import SegmentPerson
    from .querysets import Among

    def facts(rows: Any, kind: Any, value: Any, path: str = "pk") -> Any:
        rows = rows.order_by().values_list(kind, value)
        return rows if asked is None else rows.annotate(people=AsList(path))

    people = get_user_model()._base_manager.using(using).filter(about("pk"))
    if asked is None:
        found = {q: people.filter(setting(q.upper())) for q in ("active", "staff", "admin")}
    else:
        found = {
            "staff": people.filter(setting("STAFF")),
            "inactive": people.exclude(setting("ACTIVE")),
        }
    parts = [facts(rows, Value(f"is {name}"), Value("")) for name, rows in found.items()]
    for attribute in attributes().values():
        values = None if asked is None else asked.values.get(attribute.name, ())
        for lookup in attribute.lookups:
            rows, person, path = lookup.links(using)
            named = Q(**{f"{path}__isnull": False}) if values is None else Q(Among(path, values))
            value = _as_text(path, lookup.last.field)
            rows = rows.filter(about(person)).filter(named)
            parts.append(facts(rows, Value(f"has {attribute.name}"), value, person))
    listed = SegmentPerson.objects.using(using).in_force().filter(about("user_id"))
    if asked is not None:
        listed = listed.filter(Among("segment_id", asked.segments))
    return [*parts, facts(listed, "kind", Cast("segment_id", CharField()), "user_id")]


class AsList(Aggregate):
    """All values of a group as one list: hundreds of thousands of ids in a few rows."""

    function = "JSON_GROUP_ARRAY"
    output_field = JSONField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        # As text, which is what the field parses; of integers in less than half the time.
        template = "JSON_AGG(%(expressions)s)::text"
        if isinstance(self.source_expressions[0].output_field, IntegerField):
            template = "'[' || STRING_AGG((%(expressions)s)::text, ',') || ']'"
        return super().as_sql(compiler, connection, template=template, **extra)


def _as_text(path: str, model_field: Any) -> Any:
    if isinstance(model_field, BooleanField):
        # The two databases write booleans differently; BooleanField.to_python reads these words.
        return Case(When(**{path: True}, then=Value("True")), default=Value("False"))
    return Cast(path, CharField())

"""User segments, audiences, and the base classes of content that is shown to some people only.

The definitions here are generic: they know no help center, and of people only what
`settings.SEGMENTS` names.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from typing import Any, ClassVar, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, router, transaction
from django.db.models import F, Q
from django.db.models.deletion import CASCADE, Collector, ProtectedError
from django.db.models.functions import Now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import attributes, builtin
from .conditions import (
    OPERATORS,
    Condition,
    check_missing,
    clean_conditions,
    read_conditions,
)
from .phrases import joined, kind_and_name
from .querysets import RestrictedQuerySet, SegmentQuerySet


def random_id() -> int:
    """A public id that tells nothing and is exact in JavaScript; built-ins are below 2^32."""
    return secrets.randbelow(2**53 - 2**32) + 2**32


class StaleSegment(ValidationError):
    """Somebody else changed the segment since it was read. `current` is what is stored now."""

    def __init__(self, current: Segment) -> None:
        self.current = current
        super().__init__(
            _(
                "Somebody else changed this segment meanwhile: you edited version %(yours)s, "
                "the stored one is version %(theirs)s. Nothing was saved."
            )
            % {"yours": current.edited_version, "theirs": current.version},
            code="stale",
        )


class Segment(models.Model):
    """A collection of people: a base type, conditions, and people always included or excluded."""

    SIGNED_IN_USERS, STAFF, END_USERS = "signed_in_users", "staff", "end_users"
    USER_TYPES = [
        (SIGNED_IN_USERS, gettext_lazy("Signed-in users")),
        (STAFF, gettext_lazy("Staff")),
        (END_USERS, gettext_lazy("End users")),
    ]
    id = models.BigIntegerField(primary_key=True, default=random_id, editable=False)
    name = models.CharField(gettext_lazy("name"), max_length=200, unique=True)
    description = models.TextField(gettext_lazy("description"), blank=True)
    user_type = models.CharField(
        gettext_lazy("user type"), max_length=20, choices=USER_TYPES, default=SIGNED_IN_USERS
    )
    conditions = models.JSONField(gettext_lazy("conditions"), default=list, blank=True)
    # A whole base type or a placeholder, created by `builtin.py` and never changed; NULL for every
    # other segment.
    built_in = models.CharField(  # noqa: DJ001  (unique, and empty for most)
        max_length=20, null=True, unique=True, editable=False
    )
    # Grows by one with each edit; save() refuses to overwrite a version it has not seen.
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = SegmentQuerySet.as_manager()

    # What `read_together` found; None where it was not asked.
    checked_conditions: list[Condition] | None = None

    # The version somebody tried to overwrite; set on the `current` of a StaleSegment.
    edited_version = 0

    class Meta:
        ordering = ["name", "id"]
        verbose_name = gettext_lazy("user segment")
        verbose_name_plural = gettext_lazy("user segments")
        constraints = [
            models.CheckConstraint(
                condition=Q(user_type__in=["signed_in_users", "staff", "end_users"]),
                name="segments_segment_user_type",
            ),
            models.CheckConstraint(
                condition=Q(built_in=None)
                | Q(built_in=F("user_type"))
                | Q(built_in__in=["nobody", "ancestors"]),
                name="segments_segment_mark",
            ),
        ]

    def __str__(self) -> str:
        return _(self.name) if self.built_in and self.name else self.name

    def save(self, *, using: str | None = None, **kwargs: Any) -> None:
        """Validate and store; a stale version is refused with StaleSegment, nothing is written."""
        self.full_clean(exclude=["id"])
        using = using or router.db_for_write(Segment, instance=self)
        with transaction.atomic(using=using):
            if not self._state.adding:
                self._take_next_version(using)
            super().save(using=using, **kwargs)

    def clean(self) -> None:
        """Check and normalise the conditions; ValidationError names the place in them."""
        if self.built_in:
            raise ValidationError(_("Built-in segments cannot be changed."))
        self.name = " ".join(self.name.split())
        if not self.name:
            raise ValidationError({"name": _("A segment needs a name.")})
        try:
            cleaned = clean_conditions(self.conditions, self.user_type, self._state.db)
        except ValidationError as error:
            raise ValidationError({"conditions": error.messages}) from error
        self.conditions = cleaned

    def _take_next_version(self, using: str) -> None:
        mine = Segment.objects.using(using).filter(pk=self.pk, version=self.version)
        # The conditional UPDATE is the lock: of two editors of one version, one changes no row.
        if not mine.update(version=F("version") + 1):
            current = Segment.objects.using(using).get(pk=self.pk)
            current.edited_version = self.version
            raise StaleSegment(current)
        self.version += 1

    @property
    def is_whole_type(self) -> bool:
        """True for the built-in that everybody of the base type is in."""
        return self.built_in is not None and self.built_in == self.user_type

    @property
    def is_placeholder(self) -> bool:
        """True for the built-ins that nobody is ever in and no audience names."""
        return self.built_in in builtin.PLACEHOLDERS

    def read_conditions(self) -> list[Condition]:
        """The conditions in order, marked where one holds for nobody because it is broken."""
        if self.checked_conditions is not None:
            return self.checked_conditions
        return check_missing(read_conditions(self.conditions), self._state.db)

    def members(self) -> models.QuerySet[Any]:
        """Everybody who is in the segment, as one queryset of users, without the admins' bypass."""
        return self.members_with(
            self.named(SegmentPerson.INCLUDED), self.named(SegmentPerson.EXCLUDED)
        )

    def named(self, kind: str) -> Q:
        """The people whom the segment includes or excludes by name, now."""
        found = SegmentPerson.objects.in_force().filter(segment=self.pk, kind=kind)
        return Q(pk__in=found.values("user"))

    def members_with(self, included: Q, excluded: Q) -> models.QuerySet[Any]:
        """Who would be in the segment if these people were included and excluded by name."""
        people = attributes.get_user_model()._base_manager.using(self._state.db)
        satisfying = self._satisfying()
        if self.is_few:
            either = attributes.among_any([people.filter(included), people.filter(satisfying)])
        else:
            either = included | satisfying
        people = people.filter(attributes.setting("ACTIVE")).filter(self._of_base_type())
        return people.filter(either).exclude(excluded)

    @property
    def is_few(self) -> bool:
        """Do the conditions ask for values, so that indexes know who may have them?"""
        return any(
            not condition.problem and OPERATORS[condition.operator].needs_a_value
            for condition in self.read_conditions()
        )

    def _of_base_type(self) -> Q:
        if self.is_placeholder:
            return Q(pk__in=[])
        if self.user_type == self.SIGNED_IN_USERS:
            return Q()
        staff = Q(pk__in=attributes.staff().values("pk"))
        return {self.STAFF: staff, self.END_USERS: ~staff}.get(self.user_type, Q(pk__in=[]))

    def _satisfying(self) -> Q:
        if self.is_whole_type:
            return ~Q(pk__in=[])
        found = self.read_conditions()
        # Without conditions nobody satisfies them: an empty Q() would mean everybody.
        satisfying = found[0].people() if found else Q(pk__in=[])
        for condition in found[1:]:
            satisfying &= condition.people()
        return satisfying

    def include(self, *people: Any, until: Any = None) -> None:
        """Always have these people in (if of the base type), until an end date if one is given."""
        self._name_people(SegmentPerson.INCLUDED, people, until)

    def exclude(self, *people: Any, until: Any = None) -> None:
        """Never have these people in, until an end date if one is given."""
        self._name_people(SegmentPerson.EXCLUDED, people, until)

    def _name_people(self, kind: str, people: Iterable[Any], until: Any) -> None:
        if self.built_in:
            raise ValidationError(_("Built-in segments cannot be changed."))
        using = router.db_for_write(SegmentPerson, instance=self)
        with transaction.atomic(using=using):
            for person in people:
                SegmentPerson.objects.using(using).update_or_create(
                    segment=self, user=person, kind=kind, defaults={"until": until}
                )

    def uses(self) -> list[models.QuerySet[Any]]:
        """What has an audience that names this segment: one non-empty queryset for each kind."""
        return uses_of(Audience.objects.using(self._state.db).filter(segments=self))


def read_together(segments: Iterable[Segment]) -> list[Segment]:
    """The segments, each with its conditions read and checked: a query for each attribute in all.

    For segments that were read for one question and are not edited.
    """
    segments = list(segments)
    read = [read_conditions(segment.conditions) for segment in segments]
    checked = iter(check_missing([condition for found in read for condition in found]))
    for segment, found in zip(segments, read, strict=True):
        segment.checked_conditions = [next(checked) for _each in found]
    return segments


class SegmentPersonQuerySet(models.QuerySet["SegmentPerson"]):
    """People named by segments."""

    def in_force(self) -> Self:
        """Those whose end date, if any, the database's clock has not reached."""
        return self.filter(Q(until=None) | Q(until__gt=Now()))


class SegmentPerson(models.Model):
    """A person whom a segment always includes or always excludes. Exclusion wins."""

    INCLUDED, EXCLUDED = "included", "excluded"
    KINDS = [(INCLUDED, gettext_lazy("always in")), (EXCLUDED, gettext_lazy("never in"))]

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="people")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=gettext_lazy("person"),
    )
    kind = models.CharField(max_length=10, choices=KINDS, default=INCLUDED)
    until = models.DateTimeField(
        null=True, blank=True, help_text=gettext_lazy("In force until then; empty means always.")
    )

    objects = SegmentPersonQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("named person")
        verbose_name_plural = gettext_lazy("named people")
        constraints = [
            models.UniqueConstraint(
                fields=["segment", "user", "kind"], name="segments_person_once"
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["included", "excluded"]), name="segments_person_kind"
            ),
        ]
        indexes = [models.Index(fields=["user", "segment"], name="segments_person_user")]

    def __str__(self) -> str:
        return f"{self.user} {self.get_kind_display()}"


class Audience(models.Model):
    """Who may see something: nobody, everyone, or the members of any of a set of segments.

    Each distinct set is one row that never changes, so content needs one indexed integer to say
    who sees it. Get one by `Audience.of(…)`, `Audience.everyone()` or `Audience.nobody()`.
    """

    NOBODY, EVERYONE = builtin.NOBODY, builtin.EVERYONE

    # "nobody", "everyone", or the SHA-256 of the sorted segment ids.
    key = models.CharField(max_length=64, unique=True, editable=False)
    segments = models.ManyToManyField(Segment, through="AudienceSegment", related_name="audiences")

    def __str__(self) -> str:
        if self.pk == self.NOBODY:
            return _("Nobody")
        if self.pk == self.EVERYONE:
            return _("Everyone")
        return joined(self.segments.all())

    def save(self, **kwargs: Any) -> None:
        """Refused: content that shares an audience would change with it; of() makes new ones."""
        raise TypeError("An audience never changes; use Audience.of(…) for another one.")

    @classmethod
    def nobody(cls) -> Audience:
        """The audience of new content: only admins and editors see it."""
        return cls.objects.get(pk=cls.NOBODY)

    @classmethod
    def everyone(cls) -> Audience:
        """The audience of public content, anonymous visitors included."""
        return cls.objects.get(pk=cls.EVERYONE)

    @classmethod
    def of(cls, *segments: Segment) -> Audience:
        """The members of any of the segments. ValueError without segments: nothing is inferred."""
        if not segments:
            raise ValueError("Name at least one segment, or use Audience.everyone() or .nobody().")
        if any(not isinstance(segment, Segment) or segment._state.adding for segment in segments):
            raise ValueError("Audience.of() takes segments that are saved.")
        if any(segment.is_placeholder for segment in segments):
            raise ValueError("Nobody is in this segment; use Audience.nobody() instead.")
        ids = sorted({segment.pk for segment in segments})
        key = hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()
        return cls.objects.filter(key=key).first() or cls._intern(key, ids)

    @classmethod
    def _intern(cls, key: str, ids: list[int]) -> Audience:
        with transaction.atomic():
            # Two processes may intern one set at once: the unique key lets one of them win.
            Audience.objects.bulk_create([Audience(key=key)], ignore_conflicts=True)
            audience = Audience.objects.get(key=key)
            AudienceSegment.objects.bulk_create(
                [AudienceSegment(audience=audience, segment_id=pk) for pk in ids],
                ignore_conflicts=True,
            )
        return audience


def audience_fields() -> list[models.ForeignKey[Any, Any]]:
    """Every foreign key to an audience in every model: content, management permissions."""
    # Restricted.audience has no reverse name, so its relations count as hidden.
    return [
        relation.field
        for relation in Audience._meta.get_fields(include_hidden=True)
        if isinstance(relation, models.ManyToOneRel)
        and relation.related_model is not AudienceSegment
    ]


def uses_of(audiences: models.QuerySet[Audience]) -> list[models.QuerySet[Any]]:
    """What refers to the audiences: one queryset for each model and field, empty ones left out."""
    # The base manager: whoever may delete a segment must learn of every use of it.
    found = [
        field.model._base_manager.using(audiences.db).filter(**{f"{field.name}__in": audiences})
        for field in audience_fields()
    ]
    return [rows for rows in found if rows.exists()]


def describe_uses(uses: list[models.QuerySet[Any]], at_most: int = 10) -> str:
    """The first few of each kind by name, and how many more there are."""
    parts = []
    for rows in uses:
        kind, count = rows.model._meta.verbose_name, rows.count()
        parts += [kind_and_name(row) for row in rows[:at_most]]
        if count > at_most:
            parts.append(
                _("%(count)d more of kind %(kind)s") % {"count": count - at_most, "kind": kind}
            )
    return joined(parts)


def cascade_unless_used(collector: Collector, field: Any, links: Any, using: str) -> None:
    """on_delete of the link from an audience to a segment: refuse while anything uses the audience.

    An audience that nothing refers to goes with its segment. One with fewer segments is never left
    behind: its key would lie, and content would silently change hands.
    """
    audiences = Audience.objects.using(using).filter(links__in=list(links)).distinct()
    if uses := uses_of(audiences):
        words = _("The segment is in use and cannot be deleted: %s.") % describe_uses(uses)
        raise ProtectedError(words, {row for rows in uses for row in rows[:100]})
    CASCADE(collector, field, links, using)
    collector.collect(list(audiences))


class AudienceSegment(models.Model):
    """One segment of one audience."""

    audience = models.ForeignKey(Audience, on_delete=models.CASCADE, related_name="links")
    segment = models.ForeignKey(Segment, on_delete=cascade_unless_used, related_name="links")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["audience", "segment"], name="segments_audience_segment_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.audience_id}: {self.segment}"

    def save(self, **kwargs: Any) -> None:
        """Refused: an audience gets its segments when it is interned, all at once."""
        raise TypeError("An audience never changes; use Audience.of(…) for another one.")


class InheritsAudience(models.Model):
    """Content without an audience of its own: whoever may see its parents may see it."""

    # Names of foreign keys to the content that must also be visible. NULL means no such ancestor.
    audience_parents: list[str] = []
    # How deep a model may nest in itself, the top included.
    audience_depth: int = 5
    # True for the few (folders, sections): their visible ids are found first and passed down.
    # False for the many (articles): their children join them instead.
    audience_passes_ids: bool = True
    # Lookups to audiences of staff who may edit: they see the object whatever the audiences say.
    audience_editors: list[str] = []
    # What a row must be like to be shown to others than editors, such as {"draft": False}.
    audience_published: dict[str, Any] = {}

    objects: ClassVar[Any] = RestrictedQuerySet.as_manager()

    class Meta:
        abstract = True

    def is_visible_to(self, user: Any) -> bool:
        """May this person see this object, now? The same rule and query as `visible_to`."""
        manager: Any = type(self)._default_manager
        return bool(manager.using(self._state.db).visible_to(user).filter(pk=self.pk).exists())


class Restricted(InheritsAudience):
    """Content with an audience. New content is for nobody until someone says otherwise."""

    audience = models.ForeignKey(
        Audience,
        on_delete=models.PROTECT,
        default=Audience.NOBODY,
        related_name="+",
        verbose_name=gettext_lazy("audience"),
    )

    class Meta:
        abstract = True


class Token(models.Model):
    """The one random word that changes, by trigger, with every change of segments or audiences."""

    value = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.value


class Actor(models.Model):
    """Who writes in this transaction; for SQLite, which has no transaction-local settings."""

    name = models.CharField(max_length=200, null=True)  # noqa: DJ001  (NULL is unknown)

    def __str__(self) -> str:
        return self.name or ""


class ChangeQuerySet(models.QuerySet["Change"]):
    """What changed, newest first."""

    def of(self, thing: models.Model) -> Self:
        """The changes of one object."""
        return self.filter(model=thing._meta.label_lower, object_id=str(thing.pk))


class Change(models.Model):
    """One changed value: written by triggers, so bulk updates and raw SQL are recorded too."""

    at = models.DateTimeField(db_default=Now())
    # Who: the user's id, or the name of a command. NULL: unknown, as for raw SQL.
    actor = models.CharField(max_length=200, null=True)  # noqa: DJ001
    model = models.CharField(max_length=100)
    object_id = models.CharField(max_length=100)
    field = models.CharField(max_length=100)
    # NULL: there was, or is, no value; an empty text is one.
    before = models.TextField(null=True)  # noqa: DJ001
    after = models.TextField(null=True)  # noqa: DJ001

    objects = ChangeQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["model", "object_id", "id"], name="segments_change_object")]

    def __str__(self) -> str:
        return f"{self.model} {self.object_id} {self.field}: {self.before} → {self.after}"

    @property
    def who(self) -> str:
        """The actor in words: a person's name while there is one, else the id or command."""
        people = attributes.get_user_model()._base_manager
        actor = self.actor
        known = people.filter(pk=actor).first() if actor and actor.isdigit() else None
        return str(known or actor or _("unknown"))

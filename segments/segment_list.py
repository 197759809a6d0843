"""The list of segments: who is in each, where it is used, who changed it last."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.core.cache import cache
from django.core.paginator import Page, Paginator
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from .models import (
    AudienceSegment,
    Change,
    InheritsAudience,
    Segment,
    SegmentPerson,
    audience_fields,
    read_together,
)
from .phrases import counted
from .querysets import Among
from .recollection import Said, in_words
from .wording import kind_of, sentences_of

PER_PAGE = 25
# So many seconds after a page was asked for it counts no more members: they are asked one by one.
PATIENCE_OF_A_PAGE = 0.12
PATIENCE_OF_SORTING = 3.0
# For so many seconds a count may be used to sort by. What is shown is always counted anew.
SORTED_BY_FOR = 600


@dataclass
class Use:
    """How many things of one kind a segment decides about, and where to see them."""

    words: str
    count: int
    address: str = ""

    def __str__(self) -> str:
        return counted(self.count, self.words)


@dataclass
class Row:
    """One segment of the list."""

    segment: Segment
    sentence: str
    uses: list[Use] = field(default_factory=list)
    # None: not counted yet.
    members: int | None = None
    change: Said | None = None


class ListForm(forms.Form):
    """What the list can be searched, filtered and sorted by."""

    STATES = [
        ("", _("All")),
        ("built_in", _("Built-in")),
        ("unused", _("Not used anywhere")),
        ("broken", _("Broken")),
    ]
    SORTS = ["name", "user_type", "members", "uses", "changed"]

    q = forms.CharField(label=_("Search"), required=False, max_length=200)
    user_type = forms.ChoiceField(
        label=_("Base type"), required=False, choices=[("", _("All")), *Segment.USER_TYPES]
    )
    state = forms.ChoiceField(label=_("State"), required=False, choices=STATES)
    sort = forms.ChoiceField(
        required=False,
        choices=[(sign + name, name) for name in SORTS for sign in ("", "-")],
        widget=forms.HiddenInput,
    )


class SegmentList:
    """The segments that were asked for, one page of them worked out in full."""

    def __init__(self, request: HttpRequest) -> None:
        self.form = ListForm(request.GET)
        self.is_valid = self.form.is_valid()
        self.asked = self.form.cleaned_data
        self.sort = self.asked.get("sort") or "name"
        self.number = request.GET.get("p")
        self.deadline = time.monotonic() + PATIENCE_OF_A_PAGE
        self.uncounted = 0

    @cached_property
    def page(self) -> Page[Any]:
        """The page of segments; the nearest one for a number that there is not."""
        return Paginator(self._sorted(), PER_PAGE).get_page(self.number)

    @cached_property
    def rows(self) -> list[Row]:
        """The page with all that its columns say: a constant number of queries, counts aside."""
        segments = list(self.page.object_list)
        sentences = sentences_of(segments)
        uses, newest = uses_by_kind(segments), last_changes(segments)
        changes = dict(zip(newest, in_words(newest.values()), strict=True))
        rows = []
        for segment in segments:
            row = Row(segment, sentences[segment.pk], uses.get(segment.pk, []))
            row.change = changes.get(str(segment.pk))
            if time.monotonic() < self.deadline:
                row.members = count_members(segment)
            rows.append(row)
        return rows

    def _found(self) -> QuerySet[Segment]:
        if not self.is_valid:
            return Segment.objects.none()
        found = Segment.objects.assignable()
        words = self.asked["q"].split()
        # Their names are translated, so the database does not know what they are called here.
        built_in = Segment.objects.exclude(built_in=None) if words else []
        for word in words:
            called = [each.pk for each in built_in if word.casefold() in str(each).casefold()]
            stored = Q(name__icontains=word, built_in=None) | Q(description__icontains=word)
            found = found.filter(stored | Q(pk__in=called))
        if self.asked["user_type"]:
            found = found.filter(user_type=self.asked["user_type"])
        state = self.asked["state"]
        if state == "built_in":
            found = found.exclude(built_in=None)
        if state == "unused":
            found = found.exclude(pk__in=used_segments())
        if state == "broken":
            found = found.filter(pk__in=broken(found))
        return found

    def _sorted(self) -> Any:
        name = self.sort.removeprefix("-")
        backwards = self.sort.startswith("-")
        found = self._found()
        if name in ("name", "user_type"):
            return found.order_by(self.sort, "name", "pk")
        # The others are worked out here: there are thousands of segments at most.
        segments = list(found.order_by("name", "pk"))
        keys = {"members": self._counts, "uses": _numbers_of_uses, "changed": _times}[name]
        by = keys(segments)
        return sorted(segments, key=lambda each: by.get(each.pk, 0), reverse=backwards)

    def _counts(self, segments: list[Segment]) -> dict[Any, Any]:
        """Members by segment, as far as the time goes; the rest is left for the next time."""
        known = cache.get_many([_key(each) for each in segments])
        counts = {each.pk: known.get(_key(each)) for each in segments}
        deadline = time.monotonic() + PATIENCE_OF_SORTING
        for segment in segments:
            if counts[segment.pk] is None and time.monotonic() < deadline:
                counts[segment.pk] = count_members(segment)
        self.uncounted = sum(count is None for count in counts.values())
        return {pk: -1 if count is None else count for pk, count in counts.items()}


def count_members(segment: Segment) -> int:
    """How many people are in it now; remembered for sorting."""
    count = segment.members().count()
    cache.set(_key(segment), count, SORTED_BY_FOR)
    return count


def _key(segment: Segment) -> str:
    return f"segments:members:{segment.pk}:{segment.version}"


def uses_by_kind(segments: Iterable[Segment]) -> dict[Any, list[Use]]:
    """Segment id -> what has an audience that names it, one query for each kind."""
    found: dict[Any, list[Use]] = defaultdict(list)
    for each, counts in _count_uses(segments):
        for pk, count in counts.items():
            found[pk].append(Use(kind_of(each.model, each.name, count), count, _address(each, pk)))
    return found


def _count_uses(segments: Iterable[Segment]) -> Iterator[tuple[Any, Counter[Any]]]:
    """(audience field, segment id -> how many rows name it there), for every kind of use."""
    named_by: dict[Any, list[Any]] = defaultdict(list)
    links = AudienceSegment.objects.filter(segment__in=[segment.pk for segment in segments])
    for audience, segment in links.values_list("audience_id", "segment_id"):
        named_by[audience].append(segment)
    for each in audience_fields():
        counts: Counter[Any] = Counter()
        # The base manager: this page is for admins, who see everything. By audience, which an
        # index counts; through the links each row would be read once for each of its segments.
        rows = each.model._base_manager.filter(Among(f"{each.name}_id", named_by))
        for audience, count in rows.order_by().values_list(f"{each.name}_id").annotate(Count("pk")):
            for segment in named_by[audience]:
                counts[segment] += count
        yield each, counts


def _address(each: Any, segment: Any) -> str:
    """The admin's list of what uses the segment; empty where there is none."""
    options = each.model._meta
    try:
        address = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    except NoReverseMatch:
        return ""
    return f"{address}?shown_to={segment}" if issubclass(each.model, InheritsAudience) else address


def used_segments() -> set[Any]:
    """The ids of the segments that some audience in use names."""
    used: set[Any] = set()
    for each in audience_fields():
        audiences = each.model._base_manager.order_by().values_list(f"{each.name}_id").distinct()
        used |= {pk for (pk,) in audiences}
    links = AudienceSegment.objects.values_list("audience", "segment")
    return {segment for audience, segment in links if audience in used}


def broken(segments: Iterable[Segment]) -> set[Any]:
    """The ids of those with a condition that holds for nobody, or with nothing that lets one in."""
    named = set(SegmentPerson.objects.in_force().values_list("segment", flat=True))
    return {
        segment.pk
        for segment in read_together(segments)
        if any(condition.problem for condition in segment.read_conditions())
        or not (segment.read_conditions() or segment.built_in or segment.pk in named)
    }


def last_changes(segments: Iterable[Segment]) -> dict[str, Change]:
    """Segment id as text -> its newest entry in the history."""
    of_these = Change.objects.filter(
        model=Segment._meta.label_lower, object_id__in=[str(each.pk) for each in segments]
    )
    newest = of_these.order_by().values("object_id").annotate(newest=Max("pk")).values("newest")
    return {change.object_id: change for change in Change.objects.filter(pk__in=newest)}


def _times(segments: list[Segment]) -> dict[Any, Any]:
    changed = last_changes(segments)
    return {s.pk: changed[str(s.pk)].pk for s in segments if str(s.pk) in changed}


def _numbers_of_uses(segments: list[Segment]) -> Counter[Any]:
    return sum((counts for _each, counts in _count_uses(segments)), Counter[Any]())

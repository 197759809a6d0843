"""The form of a segment: its rows, what the draft means, and what is stored of it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import Organization, Tag
from segments import segment_form
from segments.attributes import Attribute, Lookup
from segments.effects import effect_of_draft
from segments.models import Segment, SegmentPerson
from segments.segment_form import SegmentForm, _as_typed, warnings_of
from tests.factories_people import TagFactory
from tests.segments.test_segment_admin import form_of

LATER = datetime(2090, 1, 1, tzinfo=UTC)
LANGUAGE = ("language", "any", ["fr"])


def posted(segment, *args, **kwargs):
    """The bound form, as a browser sends it."""
    data = QueryDict(mutable=True)
    for name, value in form_of(segment, *args, **kwargs).items():
        data.setlist(name, value if isinstance(value, list) else [value])
    stored = Segment.objects.filter(pk=segment.pk).first()
    return SegmentForm(data, instance=stored)


def effect_of(form):
    return effect_of_draft(form.stored, form.impact().after)


def row(person, kind="included", until="", **more):
    return {"user": str(person.pk), "kind": kind, "until": until, **more}


class TestConditions:
    """Rows of conditions as they are drawn."""

    def test_what_is_stored_is_drawn(self, segment_of):
        acme = Organization.objects.get(name="Acme")
        segment = Segment.objects.create(
            name="Each",
            conditions=[
                {"attribute": "role", "operator": "none", "values": ["agent"]},
                {"attribute": "organization", "operator": "all", "values": [acme.pk]},
                {"attribute": "tag", "operator": "any", "values": ["premium"]},
            ],
        )
        rows = SegmentForm(instance=segment).rows
        roles = [
            ("end_user", "End user", False),
            ("light_agent", "Light agent", False),
            ("agent", "Agent", True),
            ("admin", "Admin", False),
        ]
        assert [
            (each.chosen and each.chosen.name, each["operator"].value(), each.shown_values)
            for each in rows
        ] == [
            ("role", "none", roles),
            ("organization", "all", [(acme.pk, "Acme", True)]),
            ("tag", "any", [("premium", "premium", True)]),
            (None, None, []),
        ]
        assert [each.has_choices for each in rows] == [True, False, False, False]
        assert [each.ticked for each in rows] == [["agent"], [acme.pk], ["premium"], []]
        assert all("DELETE" in each.fields for each in rows)
        assert rows[-1].fields["attribute"].choices == [
            ("", "Choose…"),
            ("role", "Role"),
            ("organization", "Organization"),
            ("group", "Group"),
            ("tag", "Tag"),
            ("language", "Language"),
        ]

    def test_what_cannot_be_read_is_drawn_as_what_it_is(self, segment_of):
        segment = segment_of["premium"]
        stored = [
            {"attribute": "shoe", "operator": "any", "values": ["x"]},
            {"attribute": "role", "operator": "any", "values": ["boss"]},
            {"values": "x"},
        ]
        Segment.objects.filter(pk=segment.pk).update(conditions=stored)
        shoe, role, other, _blank = SegmentForm(instance=segment).rows
        assert shoe.fields["attribute"].choices[-1] == ("shoe", "shoe (unknown)")
        assert (shoe.shown_values, shoe.has_choices) == ([("x", "x", True)], False)
        assert role.shown_values[-1] == ("boss", "boss", True) and len(role.shown_values) == 5
        assert role.fields["attribute"].choices[-1] == ("language", "Language")
        assert (other["attribute"].value(), other.ticked) == ("?", [])

    def test_what_is_typed_is_drawn_as_ticked(self, segment_of):
        TagFactory(name="vip"), TagFactory(name="gold")
        form = posted(segment_of["premium"], **{"conditions-0-add": " vip ;gold;; vip"})
        assert form.is_valid(), form.errors
        (drawn,) = form.rows
        assert drawn.cleaned_data["values"] == ["premium", "vip", "gold"]
        assert drawn.shown_values == [(n, n, True) for n in ("premium", "vip", "gold")]

    def test_only_values_of_the_attribute_stay_ticked(self, segment_of):
        acme = Organization.objects.get(name="Acme")
        form = posted(segment_of["premium"], [("organization", "any", [str(acme.pk), "premium"])])
        assert not form.is_valid()
        assert form.rows[0].shown_values == [(acme.pk, "Acme", True)]

    @pytest.mark.parametrize(
        ("row", "errors"),
        [
            (("tag", "any", []), {"add": ["Name at least one value."]}),
            (("", "any", ["premium"]), {"attribute": ["Choose what the values are of."]}),
            (
                ("organization", "any", ["x"]),
                {"__all__": ["“x” value must be an integer."]},
            ),
        ],
    )
    def test_a_mistake_is_said_at_its_place_unless_the_row_goes(self, segment_of, row, errors):
        segment = segment_of["premium"]
        form = posted(segment, [row])
        assert not form.is_valid()
        assert form.rows[0].errors == errors
        gone = posted(segment, [row], **{"conditions-0-DELETE": "on"})
        assert gone.is_valid() and gone.clean_conditions() == []

    def test_too_long_a_text_is_one_mistake(self, segment_of):
        form = posted(
            segment_of["premium"],
            people=[{"add": "x" * 301, "kind": "included"}],
            **{"conditions-0-add": "x" * 501},
        )
        assert not form.is_valid()
        assert form.rows[0].errors == {
            "add": ["Ensure this value has at most 500 characters (it has 501)."]
        }
        assert form.people[0].errors == {
            "add": ["Ensure this value has at most 300 characters (it has 301)."]
        }

    def test_yes_and_no_are_read_from_text(self):
        works = Attribute("works", (Lookup("is_active"),))
        assert [_as_typed(works, text) for text in ("True", "False", "x")] == [True, False, "x"]

    def test_there_is_an_end_to_rows(self, segment_of, monkeypatch):
        monkeypatch.setattr(segment_form, "MOST_ROWS", 2)
        form = posted(segment_of["premium"], [LANGUAGE] * 3)
        assert not form.is_valid()
        assert form.rows.non_form_errors() == ["Please submit at most 2 forms."]
        assert len(form.rows.forms) == 2


class TestPeople:
    """Rows of people, and what they mean now and later."""

    def test_who_is_named_is_drawn(self, cast, segment_of):
        segment = segment_of["premium"]
        segment.include(cast["dan"], until=LATER)
        segment.exclude(cast["omar"])
        rows = SegmentForm(instance=segment).people
        assert {
            (each.person, each["kind"].value(), each.initial.get("until")) for each in rows
        } == {
            (cast["dan"], "included", LATER),
            (cast["omar"], "excluded", None),
            (None, None, None),
        }
        bound = posted(segment, people=[row(cast["omar"], "excluded"), {"kind": "included"}])
        assert [each.person for each in bound.people] == [cast["omar"], None]
        assert len(SegmentForm().people) == 1

    def test_a_row_that_goes_says_nothing(self, cast, segment_of):
        rows = [
            {"user": "12", "kind": "included", "DELETE": "on"},
            row(cast["dan"], DELETE="on"),
            row(cast["maria"]),
        ]
        form = posted(segment_of["premium"], people=rows)
        assert form.is_valid()
        assert form.named == {(cast["maria"].pk, "included"): None}

    def test_only_what_is_in_force_counts(self, cast, segment_of):
        past, later = (
            (timezone.now() + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S")
            for days in (-1, 1)
        )
        rows = [
            row(cast["dan"]),
            row(cast["maria"], until=past),
            row(cast["claire"], until=later),
            row(cast["omar"], "excluded", until=past),
            row(cast["nadia"], "excluded", until=later),
        ]
        form = posted(segment_of["premium"], people=rows)
        assert form.is_valid()
        assert form.in_force("included") == [cast["dan"].pk, cast["claire"].pk]
        assert form.in_force("excluded") == [cast["nadia"].pk]
        assert {*form.members} == {cast[name] for name in ("dan", "claire", "omar")}
        impact = effect_of(form)
        assert {*impact.joins} == {cast["dan"].pk, cast["claire"].pk}
        assert {*impact.leaves} == {cast["nadia"].pk}

    def test_exclusions_that_end_show_more_one_day(self, cast, segment_of):
        segment = segment_of["premium"]
        until = LATER.strftime("%Y-%m-%dT%H:%M:%S")
        segment.exclude(cast["omar"], until=LATER)
        form = posted(
            segment,
            people=[
                row(cast["omar"], "excluded", until),
                row(cast["nadia"], "excluded"),
                row(cast["dan"], "included", until),
                row(cast["maria"]),
                row(cast["claire"], "excluded", until),
            ],
        )
        assert form.is_valid()
        assert form.widens_later == [(cast["claire"].pk, LATER)]


class TestDraft:
    """What the draft means."""

    def test_the_base_type_alone_changes_who_is_in(self, cast, segment_of):
        segment = segment_of["premium"]
        segment.include(cast["dan"])
        form = posted(segment, people=[row(cast["dan"])], user_type="staff")
        assert form.is_valid() and form.changes_members
        assert {*effect_of(form).leaves} == {cast[name].pk for name in ("omar", "nadia", "dan")}
        assert not {*effect_of(form).joins}

    @pytest.mark.parametrize(
        ("changed", "changes"),
        [
            ({"name": "Gold"}, False),
            ({"description": "Better"}, False),
            ({"user_type": "end_users"}, True),
            ({"conditions": [LANGUAGE]}, True),
            ({"people": []}, True),
        ],
    )
    def test_which_changes_are_of_members(self, cast, segment_of, changed, changes):
        segment = segment_of["premium"]
        segment.include(cast["dan"])
        form = posted(segment, **{"people": [row(cast["dan"])]} | changed)
        assert form.is_valid()
        assert form.changes_members is changes

    def test_a_form_with_mistakes_has_a_draft(self, cast, segment_of):
        segment = segment_of["premium"]
        form = posted(segment, user_type="nonsense", name="")
        assert not form.is_valid()
        assert (form.draft.pk, form.draft.name) == (segment.pk, "")
        assert form.draft.user_type == "signed_in_users"
        good = posted(segment, user_type="staff", name="Gold")
        assert good.is_valid()
        assert (good.draft.name, good.draft.user_type) == ("Gold", "staff")
        assert good.draft.conditions == segment.conditions

    def test_a_name_that_is_taken_is_said_at_its_place(self, segment_of):
        form = posted(segment_of["premium"], name="French")
        assert not form.is_valid()
        assert form.errors == {"name": ["User segment with this Name already exists."]}

    def test_what_is_confirmed_is_this_draft(self, cast, segment_of):
        segment = segment_of["premium"]
        until = LATER.strftime("%Y-%m-%dT%H:%M:%S")
        rows = [row(cast["omar"], "excluded", until), row(cast["dan"])]
        form = posted(segment, people=rows)
        assert form.is_valid()
        people = [
            (str(cast["dan"].pk), "included", "None"),
            (str(cast["omar"].pk), "excluded", str(LATER)),
        ]
        assert form.said() == [
            segment.pk,
            segment.version,
            "signed_in_users",
            segment.conditions,
            sorted(people),
        ]

    def test_a_form_starts_from_what_is_stored(self, segment_of):
        form = SegmentForm(instance=segment_of["premium"])
        assert form["seen_version"].value() == segment_of["premium"].version
        assert form["name"].value() == "Premium"
        assert form["conditions"].value() is None

    def test_a_conflict_shows_both_versions(self, segment_of):
        segment = segment_of["premium"]
        mine = posted(segment, name="Mine", description="My words")
        theirs = Segment.objects.get(pk=segment.pk)
        theirs.name = "Theirs"
        theirs.save()
        mine = posted(segment, name="Mine", description="My words")
        assert not mine.is_valid()
        assert mine.errors == {
            "name": ["Stored meanwhile: Theirs"],
            "description": ["Stored meanwhile: –"],
            "conditions": ["Stored meanwhile: People tagged premium"],
            "__all__": [
                f"Somebody else changed this segment (version {theirs.version}) after you opened "
                f"it (version {segment.version}). Nothing was saved. Your version is below; save "
                "again to replace the stored one."
            ],
        }
        assert mine["seen_version"].value() == str(theirs.version)


class TestStoring:
    """What is written, and nothing else."""

    def people_of(self, segment):
        return set(segment.people.values_list("user__name", "kind", "until"))

    def test_people_come_change_and_go(self, cast, segment_of):
        segment, other = segment_of["premium"], segment_of["french"]
        segment.include(cast["dan"], cast["maria"], cast["omar"])
        SegmentPerson.objects.create(segment=segment, user=cast["omar"], kind="excluded")
        other.include(cast["maria"])
        until = LATER.strftime("%Y-%m-%dT%H:%M:%S")
        rows = [
            row(cast["dan"], until=until),
            row(cast["omar"], "excluded"),
            row(cast["claire"], "excluded", until),
        ]
        form = posted(segment, people=rows)
        assert form.is_valid()
        form.store()
        assert self.people_of(segment) == {
            ("Dan", "included", LATER),
            ("Omar", "excluded", None),
            ("Claire", "excluded", LATER),
        }
        assert self.people_of(other) == {("Maria", "included", None)}

    def test_what_stays_is_not_written(self, cast, segment_of):
        segment = segment_of["premium"]
        segment.include(cast["dan"])
        before = segment.people.get().pk
        form = posted(segment, people=[row(cast["dan"])], name="Gold")
        assert form.is_valid()
        with CaptureQueriesContext(connection) as queries:
            form.store()
        assert segment.people.get().pk == before
        assert not [
            q for q in queries if "segments_segmentperson" in q["sql"] and "UPDATE" in q["sql"]
        ]


STAFF_WORDS = (
    "These conditions do not limit staff, so every agent is in. Choose the base type “End users” "
    "to leave them out."
)
LANGUAGE_WORDS = "Language is the only condition: whoever is given this language is in."


def test_what_may_not_be_meant_is_said(cast):
    acme = Organization.objects.get(name="Acme").pk
    company = {"attribute": "organization", "operator": "any", "values": [acme]}
    tag = {"attribute": "tag", "operator": "any", "values": [Tag.objects.first().name]}
    language = {"attribute": "language", "operator": "any", "values": ["fr"]}
    for user_type, conditions, words in [
        ("signed_in_users", [company], [STAFF_WORDS]),
        ("signed_in_users", [company, tag], []),
        ("end_users", [company], []),
        ("signed_in_users", [], []),
        ("signed_in_users", [language], [LANGUAGE_WORDS]),
        ("signed_in_users", [language, tag], []),
    ]:
        assert warnings_of(Segment(user_type=user_type, conditions=conditions)) == words

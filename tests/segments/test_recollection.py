"""The history in words, and what a segment was before: nothing that happened is told otherwise."""

from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import translation
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization, Tag, User
from segments.history import acting_as
from segments.models import Audience, Change, Segment, SegmentPerson
from segments.recollection import (
    State,
    _field,
    changes_in_words,
    compared,
    differences,
    history_of,
    in_words,
    moments_of,
    state_of,
)
from tests.factories_content import ArticleFactory
from tests.factories_people import PersonFactory
from tests.segments.test_segment_admin import address, form_of, hidden_fields

pytestmark = pytest.mark.django_db
SOON = datetime(2031, 5, 1, 12, 30, tzinfo=UTC)


@pytest.fixture
def admin(cast):
    client = Client()
    client.force_login(cast["ada"])
    return client


CONDITIONS = [
    [],
    [{"attribute": "tag", "operator": "any", "values": ["premium"]}],
    [{"attribute": "role", "operator": "none", "values": ["light_agent"]}],
    [{"attribute": "shoe", "operator": "any", "values": [1]}],
    {},
    None,
]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("name"), st.sampled_from(["A", "B", "until 5", "Ü ' \""])),
        st.tuples(st.just("description"), st.sampled_from(["", "x", "– → –"])),
        st.tuples(st.just("user_type"), st.sampled_from(["staff", "end_users"])),
        st.tuples(st.just("conditions"), st.sampled_from(CONDITIONS[:5])),
        st.tuples(st.sampled_from(["include", "exclude"]), st.sampled_from([None, SOON])),
        st.tuples(st.just("forget"), st.none()),
    ),
    max_size=12,
)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_every_earlier_state_is_known(cast, steps):
    segment = Segment.objects.create(name=f"Segment {Segment.objects.count()}")
    states = [state_of(segment)]
    for number, (name, value) in enumerate(steps):
        with acting_as(f"step {number}"):
            if name in ("include", "exclude"):
                getattr(segment, name)(cast["dan"], until=value)
            elif name == "forget":
                SegmentPerson.objects.filter(segment=segment).delete()
            else:
                value = f"{value} {segment.pk}" if name == "name" else value
                Segment.objects.filter(pk=segment.pk).update(**{name: value})
        segment = Segment.objects.get(pk=segment.pk)
        if state_of(segment) != states[-1]:
            states.append(state_of(segment))
    assert [moment.state for moment in moments_of(segment)][::-1] == states


def test_changes_are_said_in_words(cast, segment_of):
    segment = segment_of["premium"]
    segment.include(cast["maria"], until=SOON)
    conditions = [{"attribute": "role", "operator": "none", "values": ["light_agent"]}]
    Segment.objects.filter(pk=segment.pk).update(conditions=conditions, user_type="staff")
    said = {(s.field, s.before, s.after) for s in history_of(segment)}
    assert ("Conditions", "tagged premium", "without the role Light agent") in said
    assert ("Base type", "Signed-in users", "Staff") in said
    date = date_format(localtime(SOON), "DATETIME_FORMAT")
    assert ("People", "–", f"always in: Maria until {date}") in said


def test_audiences_are_said_in_words(cast, segment_of):
    article = ArticleFactory(audience=Audience.nobody())
    article.audience = Audience.of(segment_of["premium"])
    article.save()
    said = history_of(article)[0]
    assert (said.field, said.before, said.after) == ("Who may see it", "Nobody", "Premium")


@pytest.mark.parametrize(
    ("field", "before", "after", "said"),
    [
        ("name", "A", "B", ("Name", "A", "B")),
        ("description", "", "x", ("Description", "–", "x")),
        ("user_type", "staff", "robots", ("Base type", "Staff", "robots")),
        ("conditions", "[]", "no JSON", ("Conditions", "none", "none")),
        ("people", "included 7", "dreamed 7", ("People", "always in: {gone}", "dreamed: {gone}")),
        ("people", None, "excluded {dan}", ("People", "–", "never in: Dan")),
        ("audience", "1", "999", ("Who may see it", "Nobody", "an audience that is gone")),
        ("audience", "2", "x", ("Who may see it", "Everyone", "x")),
        ("edit", "1", "2", ("May edit", "Nobody", "Everyone")),
        ("is_active", "1", "0", ("Active", "1", "0")),
        ("hat", "blue", None, ("Hat", "blue", "–")),
    ],
)
def test_each_kind_of_change_is_said(cast, field, before, after, said):
    words = {"dan": cast["dan"].pk, "gone": "somebody who was erased"}
    fill = lambda text: text and text.format(**words)  # noqa: E731
    (found,) = in_words([Change(field=field, before=fill(before), after=fill(after))])
    assert (found.field, found.before, found.after) == tuple(map(fill, said))


@pytest.mark.parametrize(
    ("actor", "who"),
    [
        (None, "unknown"),
        ("", "unknown"),
        ("import", "import"),
        ("999", "somebody who was erased"),
        ("{ada}", "Ada"),
    ],
)
def test_who_it_was_is_said(cast, actor, who):
    actor = actor and actor.format(ada=cast["ada"].pk)
    (said,) = in_words([Change(field="name", actor=actor, at=SOON)])
    assert (said.who, said.at) == (who, SOON)


def test_what_people_are_linked_to_is_said_by_name(cast):
    """Each by what it was called, whichever of many; and what raw SQL wrote as it stands there."""
    acme, globex = (Organization.objects.get(name=name) for name in ("Acme", "Globex"))
    tag = Tag.objects.get(name="premium")
    changes = [
        ("accounts.user", "tag", str(tag.pk), None),
        ("accounts.user", "organization", str(acme.pk), "x"),
        ("accounts.user", "organization", str(globex.pk), "12"),
        ("accounts.user", "role", "agent", "boss"),
        ("accounts.user", "language", "fr", "de"),
        ("accounts.tag", "tag", "gold", "silver"),
    ]
    said = in_words(
        [Change(model=model, field=field, before=b, after=a) for model, field, b, a in changes]
    )
    assert [(each.before, each.after) for each in said] == [
        ("premium", "–"),
        ("Acme", "x"),
        ("Globex", "12"),
        ("Agent", "boss"),
        ("French", "German"),
        ("gold", "silver"),
    ]


def test_audiences_are_named_without_a_query_for_each(segment_of, django_assert_num_queries):
    audiences = [Audience.of(segment_of[name]) for name in ("premium", "french", "acme")]
    changes = [Change(field="audience", after=str(audience.pk)) for audience in audiences]
    with django_assert_num_queries(2):  # the audiences, and their segments
        said = [each.after for each in in_words(changes)]
    assert said == ["Premium", "French", "Customers of Acme"]


def test_two_states_differ_in_words(cast, segment_of):
    dan, maria = str(cast["dan"].pk), str(cast["maria"].pk)
    one = State("A", "", "staff", [], {(dan, "included"): None})
    other = State(
        "B", "x", "robots", CONDITIONS[1], {(dan, "included"): SOON, (maria, "odd"): None}
    )
    date = date_format(localtime(SOON), "DATETIME_FORMAT")
    assert differences(one, other) == [
        ("Name", "A", "B"),
        ("Description", "", "x"),
        ("Base type", "Staff", "robots"),
        ("Conditions", "none", "tagged premium"),
        ("People", "always in: Dan", f"always in: Dan until {date}; odd: Maria"),
    ]
    assert differences(one, one) == []


def test_a_segment_is_what_it_is_now(cast, segment_of):
    segment = segment_of["premium"]
    segment.exclude(cast["dan"], until=SOON)
    people = {(str(cast["dan"].pk), "excluded"): SOON}
    expected = State("Premium", "", "signed_in_users", CONDITIONS[1], people)
    assert state_of(segment) == expected


def test_moments_are_told_apart_by_when_and_who(cast):
    """What one person changed at once is one moment; before all of them there was another."""
    dan = cast["dan"]
    with acting_as("one"):
        User.objects.filter(pk=dan.pk).update(role="agent", language="fr")
    with acting_as("other"):
        User.objects.filter(pk=dan.pk).update(role="end_user")
    other, one, *_creation, first = moments_of(dan)
    assert (other.who, one.who) == ("other", "one")
    assert {*one.words} == {("Role", "End user", "Agent"), ("Language", "–", "French")}
    assert one.at == Change.objects.get(pk=one.pk).at
    assert (first.pk, first.at, first.who, first.words) == (0, None, "", [])
    changes = [change for moment in (other, one) for change in moment.changes]
    assert changes_in_words(dan, changes) == [("Language", "–", "French")]
    assert compared(dan, moments_of(dan), one, other) == [("Role", "Agent", "End user")]
    assert compared(dan, moments_of(dan), other, one) == [("Role", "End user", "Agent")]


def test_actors_and_the_people_they_name_are_both_known(cast):
    ada, dan = cast["ada"], cast["dan"]
    (said,) = in_words([Change(field="people", actor=str(ada.pk), after=f"included {dan.pk}")])
    assert (said.who, said.after) == ("Ada", "always in: Dan")


@pytest.mark.parametrize("language", ["ja", "de", "fr", "es", "pt-br"])
def test_fields_are_named_in_each_language(language):
    with translation.override(language):
        names = {name: _field(name) for name in ("name", "description", "conditions", "people")}
        assert names == {
            "name": gettext("Name"),
            "description": gettext("Description"),
            "conditions": gettext("Conditions"),
            "people": gettext("People"),
        }


def test_more_may_go_than_comes(cast):
    tags = [Tag.objects.create(name=name) for name in "abc"]
    cast["dan"].tags.add(*tags[:2])
    newest = Change.objects.of(cast["dan"]).first().pk
    cast["dan"].tags.set(tags[2:])
    changes = Change.objects.of(cast["dan"]).filter(pk__gt=newest)

    def said(changes):
        ((_field, before, after),) = changes_in_words(cast["dan"], changes)
        return {*before.split(", ")}, {*after.split(", ")}

    assert said(changes) == ({"a", "b"}, {"c"})
    cast["dan"].tags.set(tags[:2])
    changes = Change.objects.of(cast["dan"]).filter(pk__gt=changes[0].pk)
    assert said(changes) == ({"c"}, {"a", "b"})


def test_attributes_of_people_are_said_in_words(cast):
    with acting_as(str(cast["ada"].pk)):
        cast["dan"].role = "agent"
        cast["dan"].save()
        cast["dan"].organizations.add(Organization.objects.get(name="Acme"))
    said = {(s.who, s.field, s.before, s.after) for s in history_of(cast["dan"])}
    assert ("Ada", "Role", "End user", "Agent") in said
    assert ("Ada", "Organization", "–", "Acme") in said


def test_words_cost_the_same_however_much_happened(cast, segment_of):
    segment = segment_of["premium"]

    def queries():
        with CaptureQueriesContext(connection) as captured:
            moments_of(Segment.objects.get(pk=segment.pk))
            history_of(segment)
        return len(captured)

    def change(*names):
        for name in names:
            segment.include(cast[name])
            Segment.objects.filter(pk=segment.pk).update(description=name)
            segment.exclude(cast[name], until=SOON)

    change("dan")
    few = queries()
    change("maria", "omar", "nadia", "claire")
    assert queries() == few


class TestPage:
    """Two moments compared, and the way back to one through the impact of that."""

    def narrowed(self, admin, segment):
        narrow = [("tag", "any", ["premium"]), ("language", "any", ["fr"])]
        answer = admin.post(address(segment), form_of(segment, narrow))
        admin.post(address(segment), hidden_fields(answer))
        return Segment.objects.get(pk=segment.pk)

    def test_two_moments_are_compared(self, admin, segment_of):
        segment = self.narrowed(admin, segment_of["premium"])
        new, old = (m.pk for m in moments_of(segment)[:2])
        answer = admin.get(address(segment, "history"), {"a": old, "b": new})
        expected = ("Conditions", "tagged premium", "tagged premium; whose language is French")
        assert answer.context["compared"] == [expected]
        assert "Ada" in answer.content.decode()

    def test_people_are_compared_by_name(self, admin, cast, segment_of):
        segment = segment_of["premium"]
        segment.include(cast["dan"], until=SOON)
        new, old = (m.pk for m in moments_of(segment)[:2])
        ((field, before, after),) = admin.get(
            address(segment, "history"), {"a": old, "b": new}
        ).context["compared"]
        assert (field, before) == ("People", "")
        assert "Dan" in after and "May 1, 2031" in after

    def test_going_back_asks_first(self, admin, cast, segment_of):
        segment = self.narrowed(admin, segment_of["premium"])
        assert not segment.members().exists()
        old = moments_of(segment)[1].pk
        page = admin.get(address(segment), {"restore": old})
        assert 'value="premium" checked' in page.content.decode()
        assert "Language" in page.content.decode()
        answer = admin.post(address(segment), form_of(segment))
        assert answer.context["widens"]
        admin.post(address(segment), hidden_fields(answer) | {"_widen": "yes"})
        assert cast["omar"] in Segment.objects.get(pk=segment.pk).members()

    def test_what_names_something_gone_is_not_restored(self, admin, segment_of):
        segment = self.narrowed(admin, segment_of["premium"])
        french = [{"attribute": "language", "operator": "any", "values": ["fr"]}]
        Segment.objects.filter(pk=segment.pk).update(conditions=french)
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM accounts_organization_tags")
            cursor.execute("DELETE FROM accounts_user_tags")
            cursor.execute("DELETE FROM accounts_tag")
        answer = admin.post(address(segment), form_of(segment))
        assert "there is no tag" in answer.content.decode()
        assert Segment.objects.get(pk=segment.pk).conditions == french

    @pytest.mark.parametrize("wrong", ["", "x", "0", "9" * 30, "-1"])
    def test_there_must_have_been_such_a_moment(self, admin, segment_of, wrong):
        assert admin.get(address(segment_of["premium"]), {"restore": wrong}).status_code == 404
        answer = admin.get(address(segment_of["premium"], "history"), {"a": wrong, "b": wrong})
        assert answer.status_code == 200
        assert answer.context["compared"] is None

    def test_only_for_admins(self, cast, segment_of):
        client = Client()
        client.force_login(cast["pia"])
        assert client.get(address(segment_of["premium"], "history")).status_code == 403
        page = reverse("admin:accounts_user_history", args=[cast["maria"].pk])
        assert client.get(page).status_code == 403

    def test_a_persons_history_is_on_their_page(self, admin, cast):
        page = reverse("admin:accounts_user_history", args=[cast["maria"].pk])
        assert "Acme" in admin.get(page).content.decode()


class TestErasing:
    """Whoever is erased leaves what they did, and takes their name along."""

    @pytest.mark.parametrize("way", ["admin", "bulk", "orm"])
    def test_takes_the_name_along(self, admin, cast, segment_of, way):
        canary = PersonFactory(name="Canary Person", email="canary@example.com")
        segment = segment_of["premium"]
        segment.include(canary)
        with acting_as(str(canary.pk)):
            Segment.objects.filter(pk=segment.pk).update(description="changed")
        page = reverse("admin:accounts_user_change", args=[canary.pk])
        LogEntry.objects.log_actions(cast["ada"].pk, [canary], 2, "Changed.")
        if way == "admin":
            admin.post(page.replace("change", "delete"), {"post": "yes"})
        elif way == "bulk":
            sent = {"action": "delete_selected", "_selected_action": [canary.pk], "post": "yes"}
            admin.post(reverse("admin:accounts_user_changelist"), sent)
        else:
            User.objects.filter(pk=canary.pk).delete()
        assert not User.objects.filter(pk=canary.pk).exists()
        admin.get(reverse("admin:index"))  # shows the message about the deletion
        told = admin.get(address(segment, "history")).content.decode()
        assert "changed" in told and "somebody who was erased" in told
        logged = str(list(LogEntry.objects.values_list("object_repr", "change_message")))
        kept = str(list(Change.objects.values_list("before", "after", "actor")))
        for text in (told, logged, kept):
            assert "canary" not in text.lower()

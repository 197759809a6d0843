"""Segments in the admin: conflicts, refusals, history."""

import pytest
from django.contrib.admin.sites import site
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models import F, IntegerField
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Organization, Tag
from helpcenter.models import Article
from segments import segment_admin, segment_form, segment_list
from segments.confirmation import titled
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory, SectionFactory


@pytest.fixture
def admin(cast):
    client = Client()
    client.force_login(cast["ada"])
    return client


def address(segment, page="change"):
    return reverse(f"admin:segments_segment_{page}", args=[segment.pk])


def form_of(segment, conditions=(("tag", "any", ["premium"]),), people=(), **changes):
    """What the browser sends for a segment: rows of conditions and of people."""
    sent = {
        "name": segment.name,
        "description": segment.description,
        "user_type": segment.user_type,
        "seen_version": segment.version,
    }
    for prefix, rows in {"conditions": conditions, "people": people}.items():
        sent |= {f"{prefix}-TOTAL_FORMS": len(rows), f"{prefix}-INITIAL_FORMS": 0}
    for place, (attribute, operator, values) in enumerate(conditions):
        sent |= {
            f"conditions-{place}-attribute": attribute,
            f"conditions-{place}-operator": operator,
            f"conditions-{place}-values": values,
        }
    for place, row in enumerate(people):
        sent |= {f"people-{place}-{name}": value for name, value in row.items()}
    return sent | changes


def hidden_fields(answer):
    """The form of a page about an impact, as the browser would send it."""
    found = {}
    for name, text in answer.context["posted"]:
        found.setdefault(name, []).append(text)
    return found | {"_seen": answer.context["seen"]}


def test_an_edit_is_stored_with_the_next_version(admin, segment_of):
    segment = segment_of["premium"]
    admin.post(address(segment), form_of(segment, name="Premium customers"))
    stored = Segment.objects.get(pk=segment.pk)
    assert (stored.name, stored.version) == ("Premium customers", segment.version + 1)


def test_the_second_editor_is_told_and_loses_nothing(admin, segment_of):
    segment = segment_of["premium"]
    admin.post(address(segment), form_of(segment, description="What the first one wrote"))
    typed = form_of(segment, description="What the second one wrote")
    answer = admin.post(address(segment), typed)
    said = answer.content.decode()
    assert answer.status_code == 200
    assert "Somebody else changed this segment" in said
    assert "Stored meanwhile: What the first one wrote" in said
    assert "What the second one wrote" in said
    assert Segment.objects.get(pk=segment.pk).description == "What the first one wrote"
    # The page now knows the stored version, so saving again is a decision.
    again = typed | {"seen_version": answer.context["form"]["seen_version"].value()}
    assert admin.post(address(segment), again).status_code == 302
    assert Segment.objects.get(pk=segment.pk).description == "What the second one wrote"


@pytest.mark.parametrize("seen", ["", "abc", "0", "99"])
def test_a_form_without_the_right_version_changes_nothing(admin, segment_of, seen):
    segment = segment_of["premium"]
    admin.post(address(segment), form_of(segment, name="Other", seen_version=seen))
    assert Segment.objects.get(pk=segment.pk).name == segment.name


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (("shoe", "any", ["x"]), "There is no attribute"),
        (("tag", "like", ["x"]), "not one of the available choices"),
        (("tag", "any", ["gone"]), "there is no tag"),
        (("tag", "any", []), "Name at least one value"),
        (("organization", "any", ["x"]), "must be an integer"),
        (("role", "any", ["boss"]), "there is no role"),
        (("", "any", ["x"]), "Choose what the values are of"),
    ],
)
def test_wrong_conditions_name_the_place(admin, segment_of, condition, words):
    segment = segment_of["premium"]
    answer = admin.post(address(segment), form_of(segment, [condition]))
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert Segment.objects.get(pk=segment.pk).version == segment.version


class TestRows:
    """What is typed in the rows is what is stored."""

    def typed(self, attribute, text):
        return {
            "conditions-0-attribute": attribute,
            "conditions-0-operator": "any",
            "conditions-0-add": text,
        }

    @pytest.mark.parametrize(
        ("attribute", "text", "named"),
        [
            ("tag", "premium", ["premium"]),
            ("organization", "acme", "Acme"),
            ("organization", "Acme; Globex", "Acme, Globex"),
            ("role", "Agent; light agent", ["agent", "light_agent"]),
            ("language", "french", ["fr"]),
        ],
    )
    def test_values_are_typed_by_name(self, admin, cast, attribute, text, named):
        if isinstance(named, str):
            names = named.split(", ")
            named = [Organization.objects.get(name=name).pk for name in names]
        sent = form_of(Segment(name="New")) | self.typed(attribute, text)
        sent |= {"conditions-TOTAL_FORMS": 1, "conditions-0-values": []}
        assert admin.post(reverse("admin:segments_segment_add"), sent).status_code == 302
        stored = Segment.objects.get(name="New").conditions
        assert stored == [{"attribute": attribute, "operator": "any", "values": named}]

    @pytest.mark.parametrize("condition", [("tag", "any", ["a\0b"]), ("role", "any", ["\0"])])
    def test_no_byte_breaks_the_database(self, admin, segment_of, condition):
        segment = segment_of["premium"]
        for page in ("change", "draft"):
            sent = form_of(segment, [condition], [{"user": "\0", "kind": "included"}])
            answer = admin.post(address(segment, page), sent | {"search": "\0", "name": "a\0"})
            assert answer.status_code == 200
        assert Segment.objects.get(pk=segment.pk).version == segment.version

    @pytest.mark.parametrize(
        ("attribute", "text", "words"),
        [
            ("tag", "nothing", "there is none called"),
            ("role", "boss", "is none of"),
            ("organization", "Acm", "there is none called"),
        ],
    )
    def test_what_names_nothing_is_said(self, admin, cast, attribute, text, words):
        sent = form_of(Segment(name="New")) | self.typed(attribute, text)
        sent |= {"conditions-0-values": []}
        answer = admin.post(reverse("admin:segments_segment_add"), sent)
        assert words in answer.content.decode()
        assert not Segment.objects.filter(name="New").exists()

    def test_the_last_condition_can_go_and_opens_nothing(self, admin, segment_of):
        segment = segment_of["premium"]
        sent = form_of(segment, **{"conditions-0-DELETE": "on"})
        answer = admin.post(address(segment), sent)
        admin.post(address(segment), hidden_fields(answer))
        stored = Segment.objects.get(pk=segment.pk)
        assert (stored.conditions, stored.members().count()) == ([], 0)

    def test_a_condition_that_cannot_be_read_is_not_lost(self, admin, segment_of):
        segment = segment_of["premium"]
        rubbish = [{"attribute": "shoe", "operator": "any", "values": ["x"]}]
        Segment.objects.filter(pk=segment.pk).update(conditions=rubbish)
        page = admin.get(address(segment)).content.decode()
        assert "shoe (unknown)" in page
        answer = admin.post(address(segment), form_of(segment, [("shoe", "any", ["x"])]))
        assert answer.status_code == 200
        assert Segment.objects.get(pk=segment.pk).conditions == rubbish

    def test_people_are_named(self, admin, cast, segment_of):
        segment = segment_of["premium"]
        people = [
            {"add": "dan@example.com", "kind": "included", "until": ""},
            {"user": str(cast["omar"].pk), "kind": "excluded", "until": "2030-01-01T00:00:00"},
        ]
        answer = admin.post(address(segment), form_of(segment, people=people))
        assert answer.context["widens"]
        assert answer.context["ends"]
        seen = hidden_fields(answer)
        # Without the tick nothing happens.
        assert admin.post(address(segment), seen).status_code == 200
        assert not segment.people.exists()
        assert admin.post(address(segment), seen | {"_widen": "yes"}).status_code == 302
        assert {(p.user_id, p.kind) for p in segment.people.all()} == {
            (cast["dan"].pk, "included"),
            (cast["omar"].pk, "excluded"),
        }
        assert cast["dan"] in segment.members()

    def test_people_stay_and_go(self, admin, cast, segment_of):
        segment = segment_of["premium"]
        segment.include(cast["dan"], cast["maria"])
        stays, goes = (
            {"user": str(cast[name].pk), "kind": "included", "until": ""}
            for name in ("dan", "maria")
        )
        answer = admin.post(
            address(segment), form_of(segment, people=[stays, goes | {"DELETE": 1}])
        )
        assert admin.post(address(segment), hidden_fields(answer)).status_code == 302
        assert [each.user for each in segment.people.all()] == [cast["dan"]]

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({"user": "123456"}, "does not exist any more"),
            ({"add": "Nobody Knows"}, "there is none called"),
            ({"until": "2030-01-01T00:00:00"}, "Say who."),
        ],
    )
    def test_who_is_nobody_is_said(self, admin, segment_of, row, words):
        segment = segment_of["premium"]
        sent = form_of(segment, people=[{"kind": "included", **row}])
        assert words in admin.post(address(segment), sent).text
        assert not segment.people.exists()

    def test_a_row_without_anything_says_nothing(self, admin, segment_of):
        segment = segment_of["premium"]
        rows = [("tag", "any", ["premium"]), ("", "any", [])]
        sent = form_of(segment, rows, name="Other", _continue="1")
        answer = admin.post(address(segment), sent)
        assert (answer.status_code, answer.url) == (302, address(segment))
        stored = Segment.objects.get(pk=segment.pk)
        assert (stored.name, stored.conditions) == ("Other", segment.conditions)

    def test_whatever_a_field_raises_is_said(self, admin, segment_of, monkeypatch):
        """The fields of a project may raise more than Django's."""
        segment = segment_of["premium"]
        monkeypatch.setattr(IntegerField, "to_python", lambda field, value: int(value))
        answer = admin.post(address(segment), form_of(segment, [("organization", "any", ["x"])]))
        assert "A value is not one of this attribute" in answer.text

        def called(attribute, text):
            raise OverflowError("too large a number")

        monkeypatch.setattr(segment_form, "value_called", called)
        sent = form_of(segment) | self.typed("tag", "vip")
        assert "too large a number" in admin.post(address(segment), sent).text
        assert Segment.objects.get(pk=segment.pk).version == segment.version

    def test_many_people_cost_one_query(self, admin, cast, segment_of):
        segment = segment_of["premium"]

        def queries():
            with CaptureQueriesContext(connection) as captured:
                admin.get(address(segment))
            return len(captured)

        segment.include(cast["dan"])
        queries()  # compiles the rules
        few = queries()
        segment.include(*(cast[name] for name in ("maria", "omar", "nadia", "claire", "lena")))
        assert queries() == few

    def test_thousands_of_values_can_be_sent(self, admin, segment_of):
        organizations = Organization.objects.bulk_create(
            Organization(name=f"Company {number}") for number in range(1200)
        )
        ids = [each.pk for each in organizations]
        sent = form_of(Segment(name="Many"), [("organization", "any", ids)])
        assert admin.post(reverse("admin:segments_segment_add"), sent).status_code == 302
        assert Segment.objects.get(name="Many").conditions[0]["values"] == ids


class TestImpact:
    """A change of who is in shows what it does before it is stored."""

    def test_nothing_is_stored_before_it_is_confirmed(self, admin, cast, segment_of):
        segment = segment_of["premium"]
        ArticleFactory(title="Refunds", audience=Audience.of(segment))
        change = form_of(segment, [("language", "any", ["fr"])])
        answer = admin.post(address(segment), change)
        page = answer.content.decode()
        for words in ("1 person joins", "2 people leave", "Claire", "Omar", "Refunds"):
            assert words in page
        assert Segment.objects.get(pk=segment.pk).conditions == segment.conditions
        sent = hidden_fields(answer) | {"_widen": "yes"}
        assert admin.post(address(segment), sent).status_code == 302
        assert list(segment_members(segment)) == [cast["claire"].pk]

    def test_what_was_confirmed_is_what_happens(self, admin, cast, segment_of):
        segment = segment_of["premium"]
        change = form_of(segment, [("language", "any", ["fr"])])
        sent = hidden_fields(admin.post(address(segment), change)) | {"_widen": "yes"}
        cast["dan"].language = "fr"
        cast["dan"].save()
        answer = admin.post(address(segment), sent)
        assert "2 people join" in answer.content.decode()
        assert Segment.objects.get(pk=segment.pk).version == segment.version

    def test_narrowing_needs_no_tick(self, admin, segment_of):
        segment = segment_of["premium"]
        narrow = [("tag", "any", ["premium"]), ("language", "any", ["fr"])]
        answer = admin.post(address(segment), form_of(segment, narrow))
        assert not answer.context["widens"]
        assert admin.post(address(segment), hidden_fields(answer)).status_code == 302

    def test_another_writer_is_faster_than_the_second_look(self, admin, segment_of, monkeypatch):
        segment, save = segment_of["premium"], Segment.save

        def overtaken(self, **kwargs):
            Segment.objects.filter(pk=self.pk).update(version=F("version") + 1)
            save(self, **kwargs)

        monkeypatch.setattr(Segment, "save", overtaken)
        answer = admin.post(address(segment), form_of(segment, name="Other"))
        assert answer.status_code == 200 and "Somebody else changed this segment" in answer.text
        assert Segment.objects.get(pk=segment.pk).name == segment.name

    @pytest.mark.parametrize("name", ["nina", "visitor"])
    def test_only_for_those_who_manage(self, cast, segment_of, name):
        client = Client()
        if name != "visitor":
            client.force_login(cast["pia"])
        for page in ("change", "delete", "count", "draft"):
            answer = client.get(address(segment_of["premium"], page))
            assert answer.status_code in (302, 403), page
            assert b"Premium" not in answer.content
        for page in ("changelist", "add", "suggest", "draft"):
            answer = client.get(reverse(f"admin:segments_segment_{page}"))
            assert answer.status_code in (302, 403)


def segment_members(segment):
    return Segment.objects.get(pk=segment.pk).members().values_list("pk", flat=True)


class TestReplacing:
    """A segment in use is replaced, never simply gone."""

    def test_by_a_narrower_one(self, admin, cast, segment_of):
        segment = segment_of["premium"]
        narrow = Segment.objects.create(name="Only Omar")
        narrow.include(cast["omar"])
        article = ArticleFactory(audience=Audience.of(segment, segment_of["french"]))
        answer = admin.post(address(segment, "delete"), {"by": narrow.pk})
        assert "sees less" in answer.content.decode() or "see less" in answer.content.decode()
        assert Segment.objects.filter(pk=segment.pk).exists()
        admin.post(address(segment, "delete"), hidden_fields(answer))
        assert not Segment.objects.filter(pk=segment.pk).exists()
        article.refresh_from_db()
        assert {s.name for s in article.audience.segments.all()} == {"Only Omar", "French"}

    def test_never_by_one_that_shows_more(self, admin, segment_of):
        segment = segment_of["premium"]
        article = ArticleFactory(audience=Audience.of(segment))
        answer = admin.post(address(segment, "delete"), {"by": segment_of["signed in"].pk})
        assert answer.context["refused"]
        admin.post(address(segment, "delete"), hidden_fields(answer))
        article.refresh_from_db()
        assert list(article.audience.segments.all()) == [segment]

    def test_what_uses_it_is_listed_with_links(self, admin, segment_of):
        segment = segment_of["premium"]
        article = ArticleFactory(title="Refunds", audience=Audience.of(segment))
        page = admin.get(address(segment, "delete")).content.decode()
        assert reverse("admin:helpcenter_article_change", args=[article.pk]) in page

    def test_an_unused_one_is_deleted(self, admin, segment_of):
        segment = segment_of["premium"]
        admin.post(address(segment, "delete"), {"post": "yes"})
        assert not Segment.objects.filter(pk=segment.pk).exists()


class TestList:
    """The list: who is in each segment, how many, where it is used, and who changed it."""

    @pytest.fixture(autouse=True)
    def patient(self, monkeypatch):
        """However slow the machine, the page counts all members itself."""
        monkeypatch.setattr(segment_list, "PATIENCE_OF_A_PAGE", 60)

    def rows(self, admin, **asked):
        answer = admin.get(reverse("admin:segments_segment_changelist"), asked)
        assert answer.status_code == 200
        return {row.segment.name: row for row in answer.context["list"].rows}

    def test_built_in_ones_are_found_by_what_they_are_called_here(self, admin, segment_of):
        admin.defaults["HTTP_ACCEPT_LANGUAGE"] = "fr"
        assert list(self.rows(admin, q="CONNECTÉS")) == ["Signed-in users"]
        assert self.rows(admin, q="signed-in") == {}
        del admin.defaults["HTTP_ACCEPT_LANGUAGE"]
        assert list(self.rows(admin, q="signed-in")) == ["Signed-in users"]

    def test_long_lists_have_pages(self, admin, segment_of, monkeypatch):
        monkeypatch.setattr(segment_list, "PER_PAGE", 2)
        answer = admin.get(reverse("admin:segments_segment_changelist"), {"sort": "name", "p": 2})
        for link in (
            'rel="prev" href="?sort=name&amp;p=1"',
            'rel="next" href="?sort=name&amp;p=3"',
        ):
            assert link in answer.text

    def test_says_who_is_in(self, admin, segment_of):
        rows = self.rows(admin)
        assert rows["Customers of Acme"].sentence == "End users of Acme"
        assert rows["Full staff"].sentence == "Staff without the role Light agent"
        assert rows["Premium"].sentence == "People tagged premium"
        assert rows["Signed-in users"].sentence == "Everybody who is signed in"
        assert "Restricted by its section" not in rows

    def test_counts_as_the_rule_does(self, admin, segment_of):
        for name, row in self.rows(admin).items():
            assert row.members == Segment.objects.get(name=name).members().count()
            words = admin.get(address(row.segment, "count")).content.decode()
            assert f"<span>{row.members}</span>" in words

    def test_says_where(self, admin, segment_of):
        ArticleFactory.create_batch(2, audience=Audience.of(segment_of["premium"]))
        ArticleFactory(section__audience=Audience.of(segment_of["premium"]))
        uses = {use.words: use.count for use in self.rows(admin)["Premium"].uses}
        assert uses == {"articles": 2, "section": 1}

    def test_says_who_changed_it(self, admin, segment_of):
        admin.post(address(segment_of["premium"]), form_of(segment_of["premium"], name="Gold"))
        assert self.rows(admin)["Gold"].change.who == "Ada"

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({"q": "acme"}, {"Customers of Acme"}),
            ({"user_type": "end_users"}, {"Customers of Acme"}),
            ({"state": "built_in"}, {"Signed-in users", "Agents and admins"}),
            ({"state": "broken"}, {"Hollow", "Broken"}),
            ({"q": "acme", "state": "built_in"}, set()),
            ({"user_type": "nonsense"}, set()),
            ({"q": "a%_'"}, set()),
        ],
    )
    def test_can_be_filtered(self, admin, segment_of, asked, expected):
        Segment.objects.create(name="Hollow")
        broken = Segment.objects.create(name="Broken")
        rubbish = [{"attribute": "tag", "operator": "none", "values": ["gone"]}]
        Segment.objects.filter(pk=broken.pk).update(conditions=rubbish)
        assert self.rows(admin, **asked).keys() == expected

    def test_unused_ones_can_be_found(self, admin, segment_of):
        ArticleFactory(audience=Audience.of(segment_of["premium"]))
        Audience.of(segment_of["french"])
        names = self.rows(admin, state="unused").keys()
        assert "Premium" not in names
        assert "French" in names

    @pytest.mark.parametrize("name", ["name", "user_type", "members", "uses", "changed"])
    def test_can_be_sorted(self, admin, segment_of, name):
        ArticleFactory(audience=Audience.of(segment_of["premium"]))
        admin.post(address(segment_of["french"]), form_of(segment_of["french"], name="Zulu"))
        forwards = list(self.rows(admin, sort=name).values())
        backwards = list(self.rows(admin, sort=f"-{name}").values())
        key = {
            "name": lambda row: row.segment.name,
            "user_type": lambda row: row.segment.user_type,
            "members": lambda row: row.members,
            "uses": lambda row: sum(use.count for use in row.uses),
            "changed": lambda row: row.change.at.timestamp() if row.change else 0,
        }[name]
        assert [key(row) for row in forwards] == sorted(key(row) for row in forwards)
        assert [key(row) for row in backwards] == sorted(map(key, backwards), reverse=True)


class TestDraft:
    """What is typed is judged at once, and nothing is stored."""

    def test_the_preview_counts_as_the_rule_does(self, admin, cast, segment_of):
        sent = form_of(segment_of["premium"], [("language", "any", ["fr"])])
        answer = admin.post(address(segment_of["premium"], "draft"), sent)
        assert answer.context["preview"]["count"] == 1
        assert "Claire" in answer.content.decode()
        assert "Language is the only condition" in answer.content.decode()

    def test_it_is_sent_and_not_looked_up(self, admin, segment_of):
        assert admin.get(address(segment_of["premium"], "draft")).status_code == 404
        assert admin.post(address(segment_of["staff"], "draft"), {}).status_code == 404

    def test_nothing_is_typed_yet(self, admin, cast):
        answer = admin.get(reverse("admin:segments_segment_add"))
        assert answer.context["preview"]["count"] == 0

    def test_rows_with_mistakes_are_drawn_as_they_were_typed(self, admin, segment_of):
        segment = segment_of["premium"]
        sent = form_of(segment, [("shoe", "any", ["x"])], _draft="1")
        answer = admin.post(address(segment), sent)
        assert "There is no attribute" in answer.text
        assert answer.context["form"].rows.is_bound

    def test_it_can_be_searched(self, admin, cast, segment_of):
        sent = form_of(segment_of["premium"], search="omar")
        answer = admin.post(address(segment_of["premium"], "draft"), sent)
        assert [str(p) for p in answer.context["preview"]["people"]] == ["Omar"]

    def test_organizations_alone_admit_every_agent(self, admin, cast, segment_of):
        acme = Organization.objects.get(name="Acme").pk
        sent = form_of(segment_of["premium"], [("organization", "any", [acme])])
        page = admin.post(address(segment_of["premium"], "draft"), sent).content.decode()
        assert "every agent is in" in page

    def test_rows_are_added_without_storing(self, admin, segment_of):
        segment = segment_of["premium"]
        sent = form_of(segment, [("tag", "any", ["premium"])], _draft="1")
        page = admin.post(address(segment), sent).content.decode()
        assert 'name="conditions-1-attribute"' in page
        assert Segment.objects.get(pk=segment.pk).version == segment.version

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({"row": "conditions-0", "conditions-0-attribute": "organization"}, ["Acme"]),
            ({"row": "conditions-0", "conditions-0-attribute": "shoe"}, []),
            ({"row": "people-0"}, []),
            ({"row": "'; --", "'; ---add": "ac"}, []),
            ({}, []),
        ],
    )
    def test_suggestions(self, admin, cast, asked, expected):
        if "row" in asked:
            asked = {f"{asked['row']}-add": "ac"} | asked
        answer = admin.get(reverse("admin:segments_segment_suggest"), asked)
        assert [name for name, _label in answer.context["options"]] == expected

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            ({"row": "people-0", "people-0-add": " mar "}, [("maria@example.com", "Maria")]),
            ({"row": "people-", "person": "mar"}, [("maria@example.com", "Maria")]),
            ({"row": "people-0"}, []),
            ({"row": "conditions-0", "conditions-0-add": "mar"}, []),
            (
                {"row": "c", "c-attribute": "role"},
                [("End user", ""), ("Light agent", ""), ("Agent", ""), ("Admin", "")],
            ),
        ],
    )
    def test_what_is_suggested_is_all(self, admin, cast, asked, expected):
        answer = admin.get(reverse("admin:segments_segment_suggest"), asked)
        assert answer.context["options"] == expected

    def test_no_byte_of_a_suggestion_breaks_the_database(self, rf, cast):
        """Our site refuses such an address before it comes here; others may not."""
        request = rf.get("/", {"row": "people-0", "people-0-add": "ma\0r"})
        request.user = cast["ada"]
        answer = site._registry[Segment].suggest_view(request)
        assert answer.context_data["options"] == [("maria@example.com", "Maria")]

    def test_sound_rows_are_drawn_as_if_stored(self, admin, cast, segment_of):
        """What was typed becomes a row, what was taken out is gone, and nothing is an error."""
        segment = segment_of["premium"]
        rows = [("tag", "any", ["premium"]), ("language", "any", ["fr"]), ("", "any", [])]
        people = [
            {"user": str(cast["dan"].pk), "kind": "included", "until": ""},
            {"user": str(cast["omar"].pk), "kind": "excluded", "until": "", "DELETE": "on"},
            {"add": "maria@example.com", "kind": "excluded", "until": ""},
            {"kind": "included", "until": ""},
        ]
        sent = form_of(segment, rows, people, _draft="1", **{"conditions-1-DELETE": "on"})
        form = admin.post(address(segment), sent).context["form"]
        assert (form.rows.prefix, form.people.prefix) == ("conditions", "people")
        drawn = [(row["attribute"].value(), row.initial.get("values")) for row in form.rows]
        assert drawn == [("tag", ["premium"]), (None, None)]
        named = [(row["user"].value(), row["kind"].value()) for row in form.people]
        assert named[:2] == [
            (str(cast["dan"].pk), "included"),
            (str(cast["maria"].pk), "excluded"),
        ]
        assert len(named) == 3
        assert [row.person for row in form.people][:2] == [cast["dan"], cast["maria"]]


class TestWords:
    """Whole pages: what they are called, what they are about, and what is said afterwards."""

    LIST = "/admin/segments/segment/"

    def context(self, answer, *names):
        return [answer.context[name] for name in names]

    def said(self, answer):
        return [str(message) for message in get_messages(answer.wsgi_request)]

    def test_the_list(self, admin, segment_of):
        answer = admin.get(self.LIST)
        title, options, may_add = self.context(answer, "title", "opts", "has_add_permission")
        assert (title, options, may_add) == ("User segments", Segment._meta, True)
        assert answer.context["form"] is answer.context["list"].form
        count = admin.get(address(segment_of["premium"], "count"))
        assert count.context["row"]["segment"] == segment_of["premium"]

    def test_a_new_segment(self, admin, cast):
        answer = admin.get(reverse("admin:segments_segment_add"))
        assert self.context(answer, "title", "segment") == ["New segment", None]
        nothing = {"count": 0, "people": [], "warnings": [], "sentence": ""}
        assert answer.context["preview"] == nothing

    def test_a_segment(self, admin, segment_of):
        segment = segment_of["premium"]
        answer = admin.get(address(segment))
        assert self.context(answer, "title", "segment") == ["Change Premium", segment]
        preview = answer.context["preview"]
        assert (preview["count"], preview["sentence"]) == (2, "People tagged premium")

    def test_a_built_in_one(self, admin, segment_of):
        answer = admin.get(address(segment_of["staff"]))
        names = ("title", "segment", "sentence", "count")
        assert self.context(answer, *names) == [
            "Agents and admins",
            segment_of["staff"],
            "All staff",
            5,
        ]
        history = admin.get(address(segment_of["staff"], "history"))
        assert history.status_code == 200 and "restore=" not in history.text

    @pytest.mark.parametrize(("more", "part"), [({}, "preview"), ({"_draft": "1"}, "form_part")])
    def test_a_draft_is_drawn_in_parts(self, admin, segment_of, more, part):
        segment = segment_of["premium"]
        answer = admin.post(address(segment, "draft"), form_of(segment, search="om\0ar", **more))
        assert answer.templates[0].name == f"admin/segments/segment/{part}.html"
        assert answer.context["form"].errors == {}
        preview = answer.context["preview"]
        assert [str(person) for person in preview["people"]] == ["Omar"]
        assert (preview["search"], preview["sentence"]) == ("omar", "People tagged premium")

    def test_an_impact(self, admin, cast, segment_of):
        segment = segment_of["premium"]
        answer = admin.post(address(segment), form_of(segment, [("language", "any", ["fr"])]))
        names = ("title", "segment", "before", "after", "can_go_back", "unconfirmed")
        assert self.context(answer, *names) == [
            "What this change does",
            segment,
            "People tagged premium",
            "People whose language is French",
            True,
            False,
        ]
        joins, leaves = self.context(answer, "joins", "leaves")
        assert (joins["count"], [*joins["people"]]) == (1, [cast["claire"]])
        assert (leaves["count"], {*leaves["people"]}) == (2, {cast["omar"], cast["nadia"]})

    def test_who_leaves_is_part_of_what_was_confirmed(self, admin, cast, segment_of):
        segment = segment_of["premium"]
        narrow = [("tag", "any", ["premium"]), ("language", "any", ["fr"])]
        answer = admin.post(address(segment), form_of(segment, narrow))
        cast["dan"].tags.add(Tag.objects.get(name="premium"))
        assert admin.post(address(segment), hidden_fields(answer)).status_code == 200
        assert Segment.objects.get(pk=segment.pk).version == segment.version

    def test_people_by_name_are_counted_in_the_sentence(self, admin, cast, segment_of):
        segment = segment_of["premium"]
        rows = [
            {"user": str(cast[name].pk), "kind": "included", "until": ""}
            for name in ("dan", "claire")
        ]
        for count, said in [(1, "1 person by name"), (2, "2 people by name")]:
            answer = admin.post(address(segment), form_of(segment, people=rows[:count]))
            assert answer.context["after"] == f"People tagged premium; {said}"

    def test_what_is_stored_is_said(self, admin, segment_of):
        segment = segment_of["premium"]
        answer = admin.post(address(segment), form_of(segment, name="Gold"))
        assert self.said(answer) == ["Gold is stored."]
        assert answer.url == self.LIST

    def test_what_is_deleted_is_said(self, admin, segment_of):
        segment = segment_of["premium"]
        answer = admin.get(address(segment, "delete"))
        names = ("title", "segment", "uses")
        assert self.context(answer, *names) == ["Delete Premium", segment, []]
        form = answer.context["form"]
        assert not form.is_bound
        assert segment not in form.fields["by"].queryset
        answer = admin.post(address(segment, "delete"), {"post": "yes"})
        assert (self.said(answer), answer.url) == (["Premium is deleted."], self.LIST)

    def test_its_uses_are_counted_and_the_first_are_named(self, admin, segment_of, monkeypatch):
        monkeypatch.setattr(segment_admin, "LISTED_USES", 1)
        audience = Audience.of(segment_of["premium"])
        section = SectionFactory(title="Offers", audience=audience)
        articles = ArticleFactory.create_batch(2, audience=audience, section=section)
        first = min(articles, key=lambda article: article.pk)
        uses = admin.get(address(segment_of["premium"], "delete")).context["uses"]
        link = reverse("admin:helpcenter_article_change", args=[first.pk])
        place = reverse("admin:helpcenter_section_change", args=[section.pk])
        assert sorted(uses, key=lambda use: use["words"]) == [
            {"words": "1 section", "more": 0, "rows": [("Offers", place)]},
            {"words": "2 articles", "more": 1, "rows": [(str(first), link)]},
        ]

    def replace(self, admin, segment, by):
        return admin.post(address(segment, "delete"), {"by": by.pk})

    def test_what_takes_its_place_is_said(self, admin, cast, segment_of):
        segment = segment_of["premium"]
        ArticleFactory(audience=Audience.of(segment))
        narrow = Segment.objects.create(name="Only Omar")
        narrow.include(cast["omar"])
        answer = self.replace(admin, segment, narrow)
        names = ("title", "before", "after", "refused", "cancel", "widens")
        assert self.context(answer, *names) == [
            "What this change does",
            "People tagged premium",
            "Only Omar",
            False,
            address(segment),
            False,
        ]
        answer = admin.post(address(segment, "delete"), hidden_fields(answer))
        words = "Only Omar takes the place of Premium, which is deleted."
        assert (self.said(answer), answer.url) == ([words], self.LIST)

    def test_what_shows_more_is_no_replacement(self, admin, segment_of):
        ArticleFactory(audience=Audience.of(segment_of["premium"]))
        answer = self.replace(admin, segment_of["premium"], segment_of["signed in"])
        assert self.context(answer, "refused", "widens") == [True, True]

    def test_a_replacement_is_confirmed_as_it_was_shown(self, admin, cast):
        """Of this segment by this one, each as it is: whatever else does the same is another."""
        found = [Segment.objects.create(name=f"Omar {number}") for number in range(4)]
        for segment in found:
            segment.include(cast["omar"])
            ArticleFactory(title="Twin", audience=Audience.of(segment))
        first, second, by, other = found
        seen = [
            self.replace(admin, segment, other_one).context["seen"]
            for segment, other_one in [(first, by), (second, by), (first, other)]
        ]
        for changed in (first, by):
            Segment.objects.get(pk=changed.pk).save()
            seen.append(self.replace(admin, first, by).context["seen"])
        assert len({*seen}) == len(seen)

    def test_the_history(self, admin, segment_of):
        segment = segment_of["premium"]
        admin.post(address(segment), form_of(segment, description="Better"))
        answer = admin.get(address(segment, "history"))
        title, about, rows = self.context(answer, "title", "segment", "rows")
        assert (title, about) == ("History of Premium", segment)
        assert [link for _moment, link in rows] == [
            f"{address(segment)}?restore={moment.pk}" for moment, _link in rows
        ]
        form = admin.get(rows[-1][1]).context["form"]
        assert form["description"].value() == ""
        assert admin.get(address(segment)).context["form"]["description"].value() == "Better"
        for text in ("0", "x", "9" * 30):
            assert admin.get(address(segment), {"restore": text}).status_code == 404


def test_what_is_listed_is_named_in_one_query(db, django_assert_num_queries):
    articles = ArticleFactory.create_batch(3)
    with django_assert_num_queries(1):
        found = [str(article) for article in titled(Article.objects.all())]
    assert found == [str(each) for each in sorted(articles, key=lambda article: article.pk)]


def test_where_the_pages_are():
    """The addresses, and the views behind Django's check of who is on the staff."""
    own, django_s = [], []
    model_admin = site._registry[Segment]
    for each in model_admin.get_urls():
        view = getattr(each.callback, "__wrapped__", None)
        view = getattr(view, "__name__", "")
        (own if len(own) < 4 else django_s).append((str(each.pattern), each.name, view))
    assert own == [
        ("suggest/", "segments_segment_suggest", "suggest_view"),
        ("draft/", "segments_segment_draft", "draft_view"),
        ("<path:object_id>/draft/", "segments_segment_draft", "draft_view"),
        ("<path:object_id>/count/", "segments_segment_count", "count_view"),
    ]
    names = {name for _route, name, _view in django_s if name}
    pages = ("changelist", "add", "history", "delete", "change")
    assert names == {f"segments_segment_{page}" for page in pages}


def test_a_segment_in_use_is_not_deleted(admin, segment_of):
    segment = segment_of["premium"]
    ArticleFactory(title="Refunds", audience=Audience.of(segment, segment_of["french"]))
    page = admin.get(address(segment, "delete")).content.decode()
    assert "Refunds" in page
    admin.post(address(segment, "delete"), {"post": "yes"})
    action = {"action": "delete_selected", "_selected_action": [segment.pk], "post": "yes"}
    admin.post(reverse("admin:segments_segment_changelist"), action)
    assert Segment.objects.filter(pk=segment.pk).exists()


def test_built_in_segments_are_neither_edited_nor_deleted(admin, segment_of):
    segment = segment_of["staff"]
    assert admin.post(address(segment), form_of(segment, name="Mine")).status_code == 403
    assert admin.post(address(segment, "delete"), {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [segment.pk], "post": "yes"}
    admin.post(reverse("admin:segments_segment_changelist"), action)
    assert Segment.objects.get(pk=segment.pk).name == "Agents and admins"


@pytest.mark.parametrize("page", ["delete", "bulk"])
@pytest.mark.parametrize("kind", ["tag", "organization"])
def test_what_conditions_name_is_not_deleted(admin, segment_of, kind, page):
    model, lookup = {
        "tag": (Tag, {"name": "premium"}),
        "organization": (Organization, {"name": "Acme"}),
    }[kind]
    row = model.objects.get(**lookup)
    if page == "delete":
        url, data = reverse(f"admin:accounts_{kind}_delete", args=[row.pk]), {"post": "yes"}
    else:
        url = reverse(f"admin:accounts_{kind}_changelist")
        data = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    said = admin.post(url, data).content.decode()
    assert {"tag": "Premium", "organization": "Customers of Acme"}[kind] in said
    assert model.objects.filter(pk=row.pk).exists()


def test_a_tag_that_conditions_name_keeps_its_name(admin, segment_of):
    tag = Tag.objects.get(name="premium")
    answer = admin.post(
        reverse("admin:accounts_tag_change", args=[tag.pk]), {"name": "gold"}, follow=True
    )
    assert "is named in the conditions of" in answer.content.decode()
    assert Tag.objects.get(pk=tag.pk).name == "premium"


def test_the_history_says_who_changed_what(admin, segment_of):
    segment = segment_of["premium"]
    admin.post(address(segment), form_of(segment, name="Premium customers"))
    page = admin.get(address(segment, "history")).content.decode()
    assert "Premium customers" in page
    assert "ada@example.com" in page or "Ada" in page

"""Segments and permission groups through the API, Zendesk's flat fields above all."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import AgentGroup, Organization, Tag
from helpcenter.api.segment_drafts import SLOTS, flat_fields, with_flat_fields
from helpcenter.models import PermissionGroup
from segments.models import Audience, Change, Segment
from tests.factories_content import ArticleFactory, HelpCenterFactory, SectionFactory
from tests.factories_people import PersonFactory

API = "/api/v2/help_center"
SEGMENTS = f"{API}/user_segments"


def members(segment_id):
    people = Segment.objects.get(pk=segment_id).members()
    return sorted(person.name for person in people)


EVERYBODY = ["Ada", "Aki", "Claire", "Dan", "Edda", "Lena", "Maria", "Nadia", "Omar", "Pia"]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"user_type": "signed_in_users"}, EVERYBODY),
        ({"user_type": "staff"}, ["Ada", "Aki", "Edda", "Lena", "Pia"]),
        ({"user_type": "end_users"}, ["Claire", "Dan", "Maria", "Nadia", "Omar"]),
        ({"user_type": "signed_in_users", "added_user_ids": ["maria"]}, ["Maria"]),
        ({"user_type": "end_users", "or_tags": ["PREMIUM"]}, ["Nadia", "Omar"]),
        ({"user_type": "end_users", "tags": ["premium", "brand new"]}, []),
        (
            {"user_type": "signed_in_users", "organization_ids": ["Acme"]},
            ["Ada", "Aki", "Edda", "Lena", "Maria", "Nadia", "Pia"],
        ),
        ({"user_type": "staff", "group_ids": ["Returns"]}, ["Aki"]),
        (
            {"user_type": "end_users", "organization_ids": ["Acme"], "or_tags": ["premium"]},
            ["Nadia"],
        ),
        (
            {
                "user_type": "end_users",
                "organization_ids": ["Acme"],
                "excluded_user_ids": ["maria"],
            },
            ["Nadia"],
        ),
    ],
)
def test_create_means_what_zendesk_means(api, cast, fields, expected):
    ids = {
        "organization_ids": lambda name: Organization.objects.get(name=name).pk,
        "group_ids": lambda name: AgentGroup.objects.get(name=name).pk,
        "added_user_ids": lambda name: cast[name].pk,
        "excluded_user_ids": lambda name: cast[name].pk,
    }
    body = {
        name: [ids[name](each) for each in value] if name in ids else value
        for name, value in fields.items()
    }
    made = api("ada").post(f"{SEGMENTS}.json", {"user_segment": {"name": "New", **body}})
    assert made.status_code == 201, made.content
    shown = made.json()["user_segment"]
    assert members(shown["id"]) == expected
    # Writing back what was read changes nothing.
    before = Change.objects.count()
    again = api("ada").put(f"{SEGMENTS}/{shown['id']}", {"user_segment": shown})
    assert again.json()["user_segment"] == shown and Change.objects.count() == before


def test_zendesks_error(api, cast):
    answer = api("ada").post(SEGMENTS, {"user_segment": {"name": "x", "user_type": "foo"}})
    assert answer.status_code == 400
    assert answer.json() == {
        "errors": {
            "user_type": [
                "value `foo` invalid; must be either `signed_in_users`, `staff` or `end_users`"
            ]
        }
    }


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"name": None}, "name"),
        ({"name": "Agents and admins"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"user_type": None}, "user_type"),
        ({"tags": ["v\u200bip"]}, "tags[0]"),
        ({"tags": "vip"}, "tags"),
        ({"organization_ids": [5]}, "organization_ids[0]"),
        ({"organization_ids": [2**70]}, "organization_ids[0]"),
        ({"group_ids": [5]}, "group_ids[0]"),
        ({"added_user_ids": [5]}, "added_user_ids[0]"),
        ({"user_type": "staff", "organization_ids": "acme"}, "conditions"),
        ({"conditions": [{"attribute": "age"}]}, "conditions"),
        ({"conditions": {"attribute": "age"}}, "conditions"),
        ({"people": [{"user_id": 5, "kind": "included"}]}, "people[0]"),
    ],
)
def test_refusals_name_the_field(api, cast, fields, name):
    acme = Organization.objects.get(name="Acme").pk
    body = {"name": "New", "user_type": "signed_in_users", **fields}
    if body.get("organization_ids") == "acme":
        body["organization_ids"] = [acme]
    body = {key: value for key, value in body.items() if value is not None}
    before = Segment.objects.count(), Tag.objects.count()
    answer = api("ada").post(SEGMENTS, {"user_segment": body})
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, [name]), answer.content
    assert (Segment.objects.count(), Tag.objects.count()) == before


def test_flat_fields_keep_what_they_cannot_say(api, segment_of):
    segment = segment_of["acme"]
    language = {"attribute": "language", "operator": "none", "values": ["fr"]}
    second = {
        "attribute": "organization",
        "operator": "any",
        "values": segment.conditions[0]["values"],
    }
    segment.conditions = [*segment.conditions, language, second]
    segment.save()
    path = f"{SEGMENTS}/{segment.pk}"
    shown = api("ada").put(path, {"user_segment": {"tags": ["vip"]}}).json()["user_segment"]
    tag = {"attribute": "tag", "operator": "all", "values": ["vip"]}
    assert shown["conditions"] == [*segment.conditions, tag]
    fewer = {"user_segment": {**shown, "tags": [], "organization_ids": []}}
    left = api("ada").put(path, fewer).json()["user_segment"]
    assert left["conditions"] == [language, second]


def test_removing_the_last_condition_opens_nothing(api, segment_of, cast):
    segment = segment_of["acme"]
    segment.include(cast["dan"])
    answer = api("ada").put(f"{SEGMENTS}/{segment.pk}", {"user_segment": {"organization_ids": []}})
    assert answer.json()["user_segment"]["conditions"] == []
    assert members(segment.pk) == ["Dan"]


CONDITIONS = st.lists(
    st.fixed_dictionaries(
        {
            "attribute": st.sampled_from(["tag", "organization", "group", "role", "language"]),
            "operator": st.sampled_from(["any", "all", "none"]),
            "values": st.lists(
                st.sampled_from(["a", "b", 1, 2, None, True]), min_size=1, max_size=3
            ),
        }
    ),
    max_size=5,
)


@settings(max_examples=200)
@given(conditions=CONDITIONS, wanted=st.lists(st.sampled_from(["x", "y"]), unique=True))
def test_slots(conditions, wanted):
    """What was read changes nothing; a flat write changes its slot and nothing else."""
    assert with_flat_fields(conditions, flat_fields(conditions)) == conditions
    changed = with_flat_fields(conditions, {"or_tags": wanted})
    others = {name: flat_fields(conditions)[name] for name in SLOTS if name != "or_tags"}
    assert {name: flat_fields(changed)[name] for name in others} == others
    if wanted:
        assert set(flat_fields(changed)["or_tags"]) == set(wanted)


def test_conditions_and_flat_fields_must_agree(api, segment_of):
    path = f"{SEGMENTS}/{segment_of['premium'].pk}"
    tag = {"attribute": "tag", "operator": "any", "values": ["other"]}
    Tag.objects.create(name="other")
    both = {"conditions": [tag], "or_tags": ["third"]}
    refused = api("ada").put(path, {"user_segment": both})
    assert [*refused.json()["errors"]] == ["or_tags"]
    unchanged = {"conditions": [tag], "or_tags": ["premium"]}
    shown = api("ada").put(path, {"user_segment": unchanged}).json()["user_segment"]
    assert shown["or_tags"] == ["other"]


def test_end_dates(api, segment_of, cast):
    path = f"{SEGMENTS}/{segment_of['french'].pk}"
    people = [{"user_id": cast["dan"].pk, "kind": "included", "until": "2030-01-01T00:00:00Z"}]
    shown = api("ada").put(path, {"user_segment": {"people": people}}).json()["user_segment"]
    assert shown["people"] == people and shown["added_user_ids"] == [cast["dan"].pk]
    more = {"user_segment": {**shown, "added_user_ids": [cast["dan"].pk, cast["omar"].pk]}}
    shown = api("ada").put(path, more).json()["user_segment"]
    assert {each["user_id"]: each["until"] for each in shown["people"]} == {
        cast["dan"].pk: "2030-01-01T00:00:00Z",
        cast["omar"].pk: None,
    }


def test_a_second_editor_is_told(api, segment_of):
    path = f"{SEGMENTS}/{segment_of['premium'].pk}"
    seen = api("ada").get(path)
    api("ada").put(path, {"user_segment": {"description": "one"}})
    late = {
        "user_segment": {"description": "two", "version": seen.json()["user_segment"]["version"]}
    }
    assert api("ada").put(path, late).status_code == 412
    headers = {"If-Match": seen["ETag"]}
    assert api("ada").put(path, {"user_segment": {}}, headers=headers).status_code == 412
    assert Segment.objects.get(pk=segment_of["premium"].pk).description == "one"


def test_a_change_of_people_is_a_version_too(api, segment_of, cast):
    path = f"{SEGMENTS}/{segment_of['french'].pk}"
    version = api("ada").get(path).json()["user_segment"]["version"]

    def name(person):
        body = {"added_user_ids": [cast[person].pk], "version": version}
        return api("ada").put(path, {"user_segment": body}).status_code

    assert (name("dan"), name("omar")) == (200, 412)
    assert "Dan" in members(segment_of["french"].pk)


def test_people_whose_date_has_come(api, segment_of, cast):
    segment = segment_of["french"]
    segment.include(cast["dan"], until="2001-01-01T00:00:00Z")
    path = f"{SEGMENTS}/{segment.pk}"
    shown = api("ada").get(path).json()["user_segment"]
    assert shown["added_user_ids"] == [] and len(shown["people"]) == 1
    again = api("ada").put(path, {"user_segment": shown}).json()["user_segment"]
    assert again == shown
    back = api("ada").put(path, {"user_segment": {"added_user_ids": [cast["dan"].pk]}})
    assert back.json()["user_segment"]["people"][0]["until"] is None


def test_a_deleted_tag_does_not_come_back_by_reading(api, segment_of):
    path = f"{SEGMENTS}/{segment_of['premium'].pk}"
    shown = api("ada").get(path).json()["user_segment"]
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM accounts_organization_tags")
        cursor.execute("DELETE FROM accounts_user_tags")
        cursor.execute("DELETE FROM accounts_tag")
    assert api("ada").put(path, {"user_segment": shown}).status_code == 200
    assert not Tag.objects.exists()


def test_thousands_of_people_cost_few_queries(api, segment_of, cast):
    people = [PersonFactory(email=f"p{number}@example.com").pk for number in range(60)]
    path = f"{SEGMENTS}/{segment_of['french'].pk}"

    def queries(body):
        with CaptureQueriesContext(connection) as found:
            assert client.put(path, {"user_segment": body}).status_code == 200
        return len(found)

    client = api("ada")
    few = queries({"added_user_ids": people[:3]})
    assert queries({"added_user_ids": people}) <= few + 3

    def until(year):
        date = f"{year}-01-01T00:00:00Z"
        return [{"user_id": pk, "kind": "included", "until": date} for pk in people]

    assert queries({"people": until(2040)}) <= few + 3


def test_impact_refuses_what_a_put_refuses(api, segment_of):
    wrong = {"user_segment": {"user_type": "staff"}}
    acme = f"{SEGMENTS}/{segment_of['acme'].pk}"
    assert api("ada").put(acme, wrong).status_code == 400
    assert api("ada").post(f"{acme}/impact", wrong).status_code == 400
    assert api("ada").post(f"{SEGMENTS}/impact", {"user_segment": {}}).status_code == 400
    built_in = {"user_segment": {"tags": ["premium"]}}
    assert api("ada").post(f"{SEGMENTS}/1/impact", built_in).status_code == 400


@pytest.mark.parametrize(
    "path", [SEGMENTS, f"{SEGMENTS}/applicable", "/api/v2/guide/permission_groups"]
)
def test_cost(api, segment_of, cast, path):
    def queries():
        client.get(path)
        with CaptureQueriesContext(connection) as found:
            assert client.get(path).status_code == 200
        return len(found)

    client = api("ada")
    small = queries()
    for number in range(8):
        segment = Segment.objects.create(name=f"S{number}", user_type="staff")
        segment.include(cast["dan"])
        audience = Audience.of(segment)
        PermissionGroup.objects.create(name=f"G{number}", edit=audience, publish=audience)
    assert queries() == small


def test_who_may_call(api, cast, segment_of):
    returns, acme = segment_of["returns"].pk, segment_of["acme"].pk

    def listed(name, path=SEGMENTS):
        answer = api(name).get(path)
        if answer.status_code != 200:
            return answer.status_code
        return {each["name"] for each in answer.json()["user_segments"]}

    everything = set(Segment.objects.values_list("name", flat=True))
    assert listed("ada") == everything
    assert {"Nobody", "Restricted by its section"} < everything
    assert listed("ada", f"{SEGMENTS}?built_in=true") == set(
        Segment.objects.exclude(built_in=None).values_list("name", flat=True)
    )
    assert listed("ada", f"{SEGMENTS}/applicable") == everything - {
        "Nobody",
        "Restricted by its section",
    }
    own = {
        "Signed-in users",
        "Agents and admins",
        "Returns team",
        "Full staff",
        "Customers of Acme",
    }
    assert listed("aki") == own - {"Customers of Acme"}
    assert (listed("maria"), listed("visitor")) == (403, 401)
    statuses = {
        name: api(name).get(f"{SEGMENTS}/{acme}").status_code for name in cast if name != "ines"
    }
    assert {name for name, status in statuses.items() if status == 200} == {"ada"}
    assert api("aki").get(f"{SEGMENTS}/{returns}").status_code == 200
    assert api("aki").get(f"{SEGMENTS}/{acme}").content == api("aki").get(f"{SEGMENTS}/77").content
    for name in ("aki", "pia", "lena", "maria"):
        for method, path in [
            ("post", SEGMENTS),
            ("put", f"{SEGMENTS}/{returns}"),
            ("delete", f"{SEGMENTS}/{returns}"),
            ("get", f"{SEGMENTS}/{returns}/users"),
            ("get", f"{SEGMENTS}/{returns}/articles"),
            ("get", f"{SEGMENTS}/{returns}/sections"),
            ("get", f"{SEGMENTS}/{returns}/topics"),
            ("post", f"{SEGMENTS}/{returns}/impact"),
            ("post", f"{SEGMENTS}/impact"),
        ]:
            assert getattr(api(name), method)(path).status_code == 403, (name, path)


def test_the_segments_of_a_person(api, cast, segment_of):
    path = f"{API}/users/{cast['maria'].pk}/user_segments.json"
    mine = [segment_of["signed in"].pk, segment_of["acme"].pk]
    expected = [{"id": pk} for pk in sorted(mine)]
    assert api("maria").get(path).json()["user_segments"] == expected
    assert api("maria").get(f"{API}/users/me/user_segments").json()["user_segments"] == expected
    assert api("dan").get(path).status_code == 404
    assert api("dan").get(f"{API}/users/77/user_segments").status_code == 404
    assert api("visitor").get(path).status_code == 401

    def names(client):
        return {each["name"] for each in client.get(path).json()["user_segments"]}

    assert names(api("ada")) == {"Signed-in users", "Customers of Acme"}
    # An agent learns only of segments that the agent is in too.
    assert names(api("aki")) == {"Signed-in users"}


def test_built_ins_and_used_ones_stay(api, segment_of):
    ada = api("ada")
    article = ArticleFactory(title="Used here", audience=Audience.of(segment_of["acme"]))
    refused = ada.delete(f"{SEGMENTS}/{segment_of['acme'].pk}")
    assert refused.status_code == 400 and "Used here" in refused.json()["errors"]["base"][0]
    for pk in (1, 2, 3, 4):
        assert ada.delete(f"{SEGMENTS}/{pk}").status_code == 400
        assert ada.put(f"{SEGMENTS}/{pk}", {"user_segment": {"name": "x"}}).status_code == 400
        body = {"user_segment": {"added_user_ids": [article.author_id or 0]}}
        assert ada.put(f"{SEGMENTS}/{pk}", body).status_code == 400
    assert ada.delete(f"{SEGMENTS}/{segment_of['french'].pk}").status_code == 204


def test_beyond_zendesk(api, segment_of, cast):
    acme = Audience.of(segment_of["acme"])
    section = SectionFactory(title="Acme", audience=acme)
    ArticleFactory(title="Inside", section=section, audience=Audience.everyone())
    ArticleFactory(title="Own", audience=acme)
    path, ada = f"{SEGMENTS}/{segment_of['acme'].pk}", api("ada")
    assert {a["title"] for a in ada.get(f"{path}/articles").json()["articles"]} == {"Inside", "Own"}
    assert [s["name"] for s in ada.get(f"{path}/sections").json()["sections"]] == ["Acme"]
    assert {u["name"] for u in ada.get(f"{path}/users").json()["users"]} == {"Maria", "Nadia"}
    assert ada.get(f"{path}/topics").json()["topics"] == []
    assert ada.get(f"{SEGMENTS}/77/users").status_code == 404


def test_impact_is_a_dry_run(api, segment_of, cast):
    ArticleFactory(title="Own", audience=Audience.of(segment_of["acme"]))
    path = f"{SEGMENTS}/{segment_of['acme'].pk}/impact"
    body = {"user_segment": {"organization_ids": [], "or_tags": ["premium", "unheard of"]}}
    before = (
        Change.objects.count(),
        Tag.objects.count(),
        Segment.objects.values().get(pk=segment_of["acme"].pk),
    )
    found = api("ada").post(path, body).json()["impact"]
    assert [each["name"] for each in found["gains"]["users"]] == ["Omar"]
    assert [each["name"] for each in found["loses"]["users"]] == ["Maria"]
    assert (found["members_before"], found["members_after"]) == (2, 2)
    assert found["articles"]["count"] == 1 and found["uses"][0]["kind"] == "article"
    assert before == (
        Change.objects.count(),
        Tag.objects.count(),
        Segment.objects.values().get(pk=segment_of["acme"].pk),
    )
    new = {"user_segment": {"user_type": "staff", "name": "All"}}
    found = api("ada").post(f"{SEGMENTS}/impact", new).json()["impact"]
    assert (found["gains"]["count"], found["members_before"]) == (5, 0)
    wrong = {"user_segment": {"conditions": [{"attribute": "age"}]}}
    assert [*api("ada").post(path, wrong).json()["errors"]] == ["conditions"]


# Permission groups --------------------------------------------------------------------------------

GROUPS = "/api/v2/guide/permission_groups"


def test_permission_groups(api, segment_of, cast):
    ada, editors = api("ada"), segment_of["editors"].pk
    body = {"name": "Guides", "edit": [editors], "publish": [segment_of["publishers"].pk]}
    made = ada.post(f"{GROUPS}.json", {"permission_group": body})
    assert made.status_code == 201, made.content
    shown = made.json()["permission_group"]
    assert shown | body | {"built_in": False} == shown
    path = f"{GROUPS}/{shown['id']}"
    # Zendesk's own example wraps the body wrongly.
    changed = ada.put(path, {"user_segment": {"publish": []}}).json()["permission_group"]
    assert (changed["edit"], changed["publish"]) == ([editors], [])
    assert api("edda").get(path).json()["permission_group"]["edit"] == [editors]
    assert [g["name"] for g in api("edda").get(GROUPS).json()["permission_groups"]] == ["Guides"]
    assert api("aki").get(path).status_code == 404
    assert api("maria").get(path).status_code == 403
    assert api("edda").put(path, {"permission_group": {"edit": []}}).status_code == 403
    article = ArticleFactory(permission_group_id=shown["id"])
    assert ada.delete(path).status_code == 400
    article.delete()
    assert ada.delete(path).status_code == 204


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({}, "name"),
        ({"name": "Managers"}, "name"),
        ({"name": "x", "edit": [77]}, "edit[0]"),
        ({"name": "x", "edit": [3]}, "edit[0]"),
        ({"name": "x", "publish": ["acme"]}, "publish"),
        ({"name": "x", "edit": 5}, "edit"),
    ],
)
def test_refused_groups(api, segment_of, body, name):
    known = {"acme": segment_of["acme"].pk}
    if isinstance(body.get("publish"), list):
        body = {**body, "publish": [known[each] for each in body["publish"]]}
    answer = api("ada").post(GROUPS, {"permission_group": body})
    assert (answer.status_code, [*answer.json()["errors"]]) == (400, [name]), answer.content


def test_the_built_in_group_stays(api, cast):
    HelpCenterFactory()
    path = f"{GROUPS}/{PermissionGroup.MANAGERS}"
    shown = api("ada").get(path).json()["permission_group"]
    assert (shown["edit"], shown["publish"], shown["built_in"]) == ([], [], True)
    assert api("ada").put(path, {"permission_group": {"name": "x"}}).status_code == 400
    assert api("ada").delete(path).status_code == 400

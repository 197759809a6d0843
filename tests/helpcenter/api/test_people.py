"""Users, organizations and groups: staff read, admins write, everybody else sees themselves."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import AgentGroup, Organization, Tag, User
from tests.factories_people import PersonFactory

API = "/api/v2"


def user(client, pk, **extra):
    return client.get(f"{API}/users/{pk}.json", **extra)


def test_a_user_as_zendesk_shows_it(api, cast):
    shown = user(api("aki"), cast["omar"].pk).json()["user"]
    globex = Organization.objects.get(name="Globex").pk
    assert (
        shown
        | {
            "name": "Omar",
            "email": "omar@example.com",
            "role": "end-user",
            "role_type": None,
            "organization_id": globex,
            "organization_ids": [globex],
            "active": True,
            "suspended": False,
            "verified": True,
            "locale": None,
            "tags": [],
        }
        == shown
    )
    assert user(api("aki"), cast["lena"].pk).json()["user"]["role_type"] == 1
    assert user(api("aki"), cast["lena"].pk).json()["user"]["role"] == "agent"


READERS = {"visitor": 401, "dan": 404, "maria": 404, "lena": 200, "aki": 200, "ada": 200}


@pytest.mark.parametrize(("name", "status"), READERS.items())
def test_who_reads_whom(api, cast, name, status):
    client = api(name)
    assert user(client, cast["omar"].pk).status_code == status
    if status != 401:
        assert user(client, cast[name].pk).status_code == 200
    listed = client.get(f"{API}/users")
    assert listed.status_code == {404: 403}.get(status, status)
    if status == 404:
        missing, hidden = user(client, 12345), user(client, cast["omar"].pk)
        assert (missing.status_code, missing.content) == (404, hidden.content)


LISTS = [
    "users",
    "users/show_many?ids=1",
    "users/search?query=omar",
    "users/autocomplete?name=om",
    "users/count",
    "organizations",
    "organizations/show_many?ids=1",
    "organizations/search?name=acme",
    "organizations/autocomplete?name=ac",
    "organizations/count",
    "groups",
    "groups/assignable",
    "groups/count",
    "group_memberships",
    "group_memberships/assignable",
]


@pytest.mark.parametrize("path", LISTS)
def test_lists_are_for_staff(api, cast, path):
    statuses = {name: api(name).get(f"{API}/{path}").status_code for name in READERS}
    assert statuses == {
        "visitor": 401,
        "dan": 403,
        "maria": 403,
        "lena": 200,
        "aki": 200,
        "ada": 200,
    }


def test_me(api, cast):
    assert api("visitor").get(f"{API}/users/me").json()["user"]["id"] is None
    assert api("maria").get(f"{API}/users/me.json").json()["user"]["id"] == cast["maria"].pk


@pytest.mark.parametrize("name", ["visitor", "dan", "maria", "lena", "aki", "pia"])
def test_only_admins_write(api, cast, name):
    client = api(name)
    status = 401 if name == "visitor" else 403
    acme, group = Organization.objects.get(name="Acme").pk, AgentGroup.objects.first().pk
    maria, mine = cast["maria"].pk, getattr(cast[name], "pk", None) or 1
    fields = {
        "role": "admin",
        "role_type": 0,
        "tags": ["premium"],
        "organization_id": acme,
        "organization_ids": [acme],
        "group_ids": [group],
        "locale": "fr",
        "email": "new@example.com",
        "active": False,
        "suspended": True,
        "verified": True,
        "external_id": "x",
    }
    before = list(User.objects.order_by("pk").values()), Tag.objects.count()
    calls = [
        ("post", "users", {"user": fields}),
        ("post", "users/create_or_update", {"user": {**fields, "email": "maria@example.com"}}),
        ("post", "organizations", {"organization": {"name": "New"}}),
        ("post", "organizations/create_or_update", {"organization": {"name": "Acme", "tags": []}}),
        ("put", f"organizations/{acme}", {"organization": {"name": "New"}}),
        ("delete", f"organizations/{acme}", None),
        ("put", f"organizations/{acme}/tags", {"tags": ["x"]}),
        ("post", "organization_memberships", {"organization_membership": {"user_id": mine}}),
        ("post", "groups", {"group": {"name": "New"}}),
        ("put", f"groups/{group}", {"group": {"name": "New"}}),
        ("delete", f"groups/{group}", None),
        ("post", "group_memberships", {"group_membership": {"user_id": mine, "group_id": group}}),
        *[("put", f"users/{pk}", {"user": fields}) for pk in (maria, mine)],
        *[("delete", f"users/{pk}", None) for pk in (maria, mine)],
        *[
            (method, f"users/{pk}/tags", {"tags": ["premium"]})
            for pk in (maria, mine)
            for method in ("put", "post", "delete")
        ],
    ]
    for method, path, body in calls:
        answer = getattr(client, method)(f"{API}/{path}", body)
        assert answer.status_code == status, (method, path)
    assert (list(User.objects.order_by("pk").values()), Tag.objects.count()) == before


def test_an_admin_writes_everything(api, cast):
    ada = api("ada")
    acme, globex = (Organization.objects.get(name=name).pk for name in ("Acme", "Globex"))
    made = ada.post(
        f"{API}/users.json",
        {
            "user": {
                "name": "New",
                "email": "New@Example.com",
                "role": "light_agent",
                "tags": ["VIP", "vip", "  two  words "],
                "organization_id": acme,
                "locale": "FR",
                "external_id": "e1",
                "verified": True,
            }
        },
    )
    assert made.status_code == 201, made.content
    shown = made.json()["user"]
    assert (
        shown
        | {
            "email": "new@example.com",
            "role": "agent",
            "role_type": 1,
            "tags": ["two words", "vip"],
            "organization_id": acme,
            "locale": "fr",
            "verified": True,
        }
        == shown
    )
    path = f"{API}/users/{shown['id']}"
    # What was read changes nothing; the role that reads "agent" promotes nobody.
    again = ada.put(path, {"user": shown}).json()["user"]
    assert {**again, "updated_at": ""} == {**shown, "updated_at": ""}
    assert ada.put(path, {"user": {"role": "agent"}}).json()["user"]["role_type"] == 1
    promoted = ada.put(path, {"user": {"role": "agent", "role_type": 0}})
    assert promoted.json()["user"]["role_type"] == 0
    moved = ada.put(path, {"user": {"organization_id": globex}}).json()["user"]
    assert (moved["organization_id"], set(moved["organization_ids"])) == (globex, {acme, globex})
    left = ada.put(path, {"user": {"organization_id": None}}).json()["user"]
    assert left["organization_ids"] == [acme]
    gone = ada.delete(path)
    assert gone.status_code == 200 and gone.json()["user"]["active"] is False
    assert not User.objects.get(pk=shown["id"]).is_active
    back = ada.put(path, {"user": {"suspended": False}}).json()["user"]
    assert back["active"] and not back["suspended"]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "email"),
        ({"email": "no address"}, "email"),
        ({"email": "maria@example.com"}, "email"),
        ({"email": 5}, "email"),
        ({"email": "a@example.com", "role": "owner"}, "role"),
        ({"email": "a@example.com", "locale": "xx"}, "locale"),
        ({"email": "a@example.com", "tags": ["v\u200bip"]}, "tags[0]"),
        ({"email": "a@example.com", "tags": "vip"}, "tags"),
        ({"email": "a@example.com", "organization_id": 5}, "organization_id"),
        ({"email": "a@example.com", "organization_id": 2**70}, "organization_id"),
        ({"email": "a@example.com", "group_ids": [5]}, "group_ids"),
        ({"email": "a@example.com", "name": "a\0b"}, None),
    ],
)
def test_refusals_name_the_field(api, cast, fields, name):
    before = User.objects.count()
    answer = api("ada").post(f"{API}/users", {"user": fields})
    assert answer.status_code == (422 if name else 400), answer.content
    if name:
        assert answer.json()["error"] == "RecordInvalid"
        assert [*answer.json()["details"]] == [name]
    assert User.objects.count() == before


def test_nobody_locks_everybody_out(api, cast):
    ada, path = api("ada"), f"{API}/users/{cast['ada'].pk}"
    assert ada.put(path, {"user": {"role": "agent"}}).status_code == 422
    assert ada.delete(path).status_code == 422
    assert User.objects.get(pk=cast["ada"].pk).is_superuser


def test_create_or_update(api, cast):
    ada, path = api("ada"), f"{API}/users/create_or_update"
    known = ada.post(path, {"user": {"email": "MARIA@example.com", "tags": ["vip"]}})
    assert known.status_code == 200 and known.json()["user"]["id"] == cast["maria"].pk
    new = ada.post(path, {"user": {"email": "n@example.com", "external_id": "7"}})
    assert new.status_code == 201
    again = ada.post(path, {"user": {"email": "other@example.com", "external_id": "7"}})
    assert again.json()["user"]["id"] == new.json()["user"]["id"]


def test_tags(api, cast):
    ada, path = api("ada"), f"{API}/users/{cast['maria'].pk}/tags.json"
    assert ada.put(path, {"tags": ["a", "b"]}).json() == {"tags": ["a", "b"]}
    assert ada.post(path, {"tags": ["C"]}).json() == {"tags": ["c"]}
    assert ada.delete(path, {"tags": ["c"]}, content_type="application/json").json() == {"tags": []}
    assert ada.put(path, {"tags": [5, None]}).status_code == 422


def test_find_users(api, cast):
    def found(path):
        return sorted(each["name"] for each in api("aki").get(f"{API}/{path}").json()["users"])

    assert found("users/search?query=mari") == ["Maria"]
    assert found("users/search?query=email:omar@example.com") == ["Omar"]
    assert found("users/search?query=organization:Acme") == ["Ines", "Maria", "Nadia"]
    assert found("users/autocomplete?name=cl") == ["Claire"]
    ids = f"{cast['dan'].pk},{cast['ada'].pk},5"
    assert found(f"users/show_many?ids={ids}") == ["Ada", "Dan"]
    assert found("users?role=admin") == ["Ada"]
    assert found("users?role[]=admin&role[]=agent") == ["Ada", "Aki", "Edda", "Lena", "Pia"]
    for wrong in ("users?role=boss", "users/search", "users/show_many?ids=x", "users?tags__in=x"):
        assert api("aki").get(f"{API}/{wrong}").status_code == 400


def test_what_conditions_name_stays(api, cast, segment_of):
    acme = Organization.objects.get(name="Acme").pk
    answer = api("ada").delete(f"{API}/organizations/{acme}")
    assert answer.status_code == 422 and "Customers of Acme" in answer.text
    assert Organization.objects.filter(pk=acme).exists()


def test_organizations(api, cast):
    ada = api("ada")
    made = ada.post(
        f"{API}/organizations",
        {"organization": {"name": "Initech", "domain_names": ["Initech.com"], "tags": ["vip"]}},
    )
    shown = made.json()["organization"]
    assert (shown["domain_names"], shown["tags"]) == (["initech.com"], ["vip"])
    path = f"{API}/organizations/{shown['id']}"
    assert ada.put(path, {"organization": shown}).status_code == 200
    PersonFactory(email="peter@initech.com", verified=True)
    assert [u["email"] for u in ada.get(f"{path}/users").json()["users"]] == ["peter@initech.com"]
    by_domain = ada.get(f"{path}/organization_memberships").json()["organization_memberships"][0]
    assert ada.delete(f"{API}/organization_memberships/{by_domain['id']}").status_code == 422
    taken = {"organization": {"name": "INITECH", "domain_names": ["initech.com"]}}
    refused = ada.post(f"{API}/organizations", taken)
    assert {*refused.json()["details"]} == {"name", "domain_names"}
    assert ada.put(path, {"organization": {"domain_names": []}}).status_code == 200
    assert ada.delete(path).status_code == 204


def test_memberships(api, cast):
    ada, globex = api("ada"), Organization.objects.get(name="Globex").pk
    made = ada.post(
        f"{API}/organization_memberships.json",
        {"organization_membership": {"user_id": cast["maria"].pk, "organization_id": globex}},
    ).json()["organization_membership"]
    assert (made["default"], made["organization_name"]) == (False, "Globex")
    path = f"{API}/users/{cast['maria'].pk}/organization_memberships"
    assert len(api("maria").get(path).json()["organization_memberships"]) == 2
    assert api("dan").get(path).status_code == 404
    ada.put(f"{path}/{made['id']}/make_default")
    assert user(ada, cast["maria"].pk).json()["user"]["organization_id"] == globex
    assert ada.delete(f"{API}/organization_memberships/{made['id']}").status_code == 204


def test_groups(api, cast):
    ada = api("ada")
    group = ada.post(f"{API}/groups", {"group": {"name": "Night shift"}}).json()["group"]
    body = {"group_membership": {"user_id": cast["aki"].pk, "group_id": group["id"]}}
    made = ada.post(f"{API}/group_memberships", body).json()["group_membership"]
    assert made["default"] is False
    end_user = {"group_membership": {"user_id": cast["dan"].pk, "group_id": group["id"]}}
    assert ada.post(f"{API}/group_memberships", end_user).status_code == 422
    users = ada.get(f"{API}/groups/{group['id']}/users").json()["users"]
    assert [each["name"] for each in users] == ["Aki"]
    assert ada.delete(f"{API}/group_memberships/{made['id']}").status_code == 204
    assert ada.delete(f"{API}/groups/{group['id']}").status_code == 204


@pytest.mark.parametrize(
    "path", ["users?include=organizations,groups", "organizations", "organization_memberships"]
)
def test_cost(api, cast, path):
    def queries():
        client.get(f"{API}/{path}")
        with CaptureQueriesContext(connection) as found:
            assert client.get(f"{API}/{path}").status_code == 200
        return len(found)

    client = api("ada")
    small = queries()
    for number in range(12):
        PersonFactory(
            email=f"p{number}@example.com",
            organizations=[f"O{number}", "Acme"],
            tags=[f"t{number}"],
            role="agent",
            groups=[f"G{number}"],
        )
    assert queries() == small

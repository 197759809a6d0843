"""No URL lets anybody change their own access: every field by every route."""

import re

import pytest
from django.contrib.auth import SESSION_KEY
from django.http import HttpResponse
from django.test import Client

from accounts.models import User
from segments.checks import walk_urls
from tests.factories_content import ArticleFactory
from tests.factories_people import OrganizationFactory, TagFactory

pytestmark = [pytest.mark.django_db, pytest.mark.once]
# What changes whenever somebody signs in or writes anything.
RESTLESS = {"last_login", "updated_at"}


@pytest.fixture
def loot(cast):
    """Every field of a person with another value, by our names and by Zendesk's."""
    organization, tag = OrganizationFactory(name="Loot"), TagFactory(name="loot")
    loot = {
        "id": 1,
        "password": "md5$x$y",
        "last_login": "2030-01-01",
        "email": "root@example.com",
        "name": "Root",
        "role": "admin",
        "organizations": [organization.pk],
        "agent_groups": [1],
        "tags": [tag.name],
        "language": "fr",
        "is_active": True,
        "sign_in_version": 99,
        "external_id": "root",
        "date_joined": "2001-01-01",
        "updated_at": "2001-01-01",
    }
    fields = {field.name for field in [*User._meta.fields, *User._meta.many_to_many]}
    assert fields == {*loot}, "A person has a new field: add it here."
    zendesk = {
        "organization_id": organization.pk,
        "organization_ids": [organization.pk],
        "group_ids": [1],
        "locale": "fr",
        "verified": True,
        "suspended": False,
        "role_type": 4,
        "is_staff": True,
        "is_superuser": True,
    }
    return loot | zendesk


def addresses(person, article):
    """(name, address) of each URL once, with the person's own id wherever one can be named."""
    known = {"locale": "en-us", "article": article.pk, "name": f"{person.pk}-x", "key": "a-b"}
    for name, route, _pattern in walk_urls():
        if name.endswith((".json", "-locale")):
            continue
        route = re.sub(r"\(\?P<(\w+)>(?:\[[^\]]*\]|[^()\[])*\)", r"<\1>", route)
        filled = re.sub(r"<(?:\w+:)?(\w+)>", lambda part: str(known.get(part[1], person.pk)), route)
        yield name, "/" + re.sub(r"[\^$]|\\Z|\\", "", filled)


def access_of_everybody():
    """What decides what people may see and do, by person."""
    found = {}
    for person in User.objects.all():
        fields = {f.attname: getattr(person, f.attname) for f in User._meta.fields}
        related = {f.name: {*getattr(person, f.name).all()} for f in User._meta.many_to_many}
        verified = {*person.emailaddress_set.filter(verified=True).values_list("email", flat=True)}
        kept = {name: value for name, value in fields.items() if name not in RESTLESS}
        found[person.pk] = kept | related | {"verified": verified}
    return found


def whose_access_changes(person, found, loot):
    """The people whose access is another one after this person sent the loot everywhere."""
    before, client = access_of_everybody(), Client()
    for name, address in found:
        if SESSION_KEY not in client.session:
            client.force_login(person)
        if name.startswith("api:"):
            bodies = {"user": loot, "users": [loot], "tags": ["loot"], **loot}
            for method in (client.post, client.put):
                method(address, bodies, content_type="application/json")
        else:
            client.post(address, loot)
    # A new person who signed up is nobody yet.
    after = access_of_everybody()
    return [pk for pk, access in before.items() if after.get(pk) != access]


@pytest.mark.parametrize("name", ["maria", "aki"])
def test_no_route_changes_access(cast, loot, name, tally):
    found = [*addresses(cast[name], ArticleFactory())]
    if name == "maria":
        # Staff may call more of the API than she.
        found = [each for each in found if not each[0].startswith("api:") or "user" in each[0]]
    tally["routes tried with every field of a person"] += len(found)
    assert len(found) > 60
    assert whose_access_changes(cast[name], found, loot) == []


def test_a_planted_route_is_found(cast, loot, monkeypatch):
    """The positive control: a page that saves what it is sent."""

    def save_what_is_sent(request):
        User.objects.filter(pk=request.user.pk).update(role=request.POST["role"])
        return HttpResponse()

    (pattern,) = [pattern for name, _route, pattern in walk_urls() if name == "view_as_stop"]
    monkeypatch.setattr(pattern, "callback", save_what_is_sent)
    maria = cast["maria"]
    assert whose_access_changes(maria, [("view_as", "/view-as/")], loot) == []
    assert whose_access_changes(maria, [("view_as_stop", "/view-as/stop")], loot) == [maria.pk]

"""Projects with Django's own permissions have people who may look at segments and do no more."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from accounts.models import User
from segments.models import Segment
from tests.factories_content import ArticleFactory
from tests.factories_people import PersonFactory, TagFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def segment():
    condition = {"attribute": "tag", "operator": "any", "values": [TagFactory(name="vip").name]}
    segment = Segment.objects.create(name="Premium", conditions=[condition])
    segment.name = "Premium customers"
    segment.save()
    return segment


@pytest.fixture
def may(monkeypatch):
    """Actions -> a client of somebody who may do these, as Django's permissions would say."""

    def allowed(*actions):
        names = {f"segments.{action}_segment" for action in actions}
        monkeypatch.setattr(User, "has_perm", lambda user, name, obj=None: name in names)
        monkeypatch.setattr(User, "has_module_perms", lambda user, app: True)
        client = Client()
        client.force_login(PersonFactory(role="light_agent"))
        return client

    assert {*Permission.objects.values_list("codename", flat=True)} >= {"view_segment"}
    return allowed


def page(name, *args):
    return reverse(f"admin:segments_segment_{name}", args=args)


def test_whoever_may_look_finds_no_way_to_change(may, segment):
    client = may("view")
    listed = client.get(page("changelist"))
    assert listed.status_code == 200 and "Premium customers" in listed.text
    assert page("add") not in listed.text
    history = client.get(page("history", segment.pk))
    assert history.status_code == 200 and "restore=" not in history.text
    for name in ("change", "draft", "delete"):
        for method in (client.get, client.post):
            assert method(page(name, segment.pk)).status_code == 403, name
    assert client.get(page("suggest")).status_code == 403
    assert client.get(page("add")).status_code == 403
    assert Segment.objects.get(pk=segment.pk).version == segment.version


def test_whoever_may_change_may_not_delete(may, segment):
    client = may("view", "change")
    assert client.get(page("change", segment.pk)).status_code == 200
    assert "restore=" in client.get(page("history", segment.pk)).text
    for method in (client.get, client.post):
        assert method(page("delete", segment.pk)).status_code == 403
    assert Segment.objects.filter(pk=segment.pk).exists()


def test_whoever_may_do_it_does(may, segment):
    client = may("view", "change", "add", "delete")
    assert page("add") in client.get(page("changelist")).text
    assert client.post(page("delete", segment.pk), {"post": "yes"}).status_code == 302
    assert not Segment.objects.filter(pk=segment.pk).exists()


@pytest.mark.parametrize("kind", ["tag", "organization"])
def test_the_history_of_what_is_missing_is_refused_like_that_of_what_exists(kind):
    client = Client()
    client.force_login(PersonFactory(role="light_agent"))
    address = reverse(f"admin:accounts_{kind}_history", args=[12345])
    assert client.get(address).status_code == 403


def test_whoever_may_only_add_finds_no_segment(may, segment):
    client = may("add")
    assert client.get(page("changelist")).status_code == 403
    assert client.get(page("add")).status_code == 200
    for number in (segment.pk, 12345):
        for name in ("change", "draft", "history"):
            assert client.get(page(name, number)).status_code == 403, name


def test_a_missing_segment_is_missing(may):
    assert may("view").get(page("change", 12345)).status_code == 404


@pytest.mark.parametrize("pk", ["of one", "of none"])
def test_without_a_right_existence_is_not_told(may, pk):
    """The plugin's own pages refuse by themselves, whatever the admin site lets through."""
    person, tag, article = PersonFactory(), TagFactory(name="gold"), ArticleFactory()
    client = may("view")
    for thing, name in (
        (tag, "accounts_tag_history"),
        (person, "accounts_user_can_see"),
        (article, "helpcenter_article_explain"),
    ):
        number = thing.pk if pk == "of one" else 12345
        assert client.get(reverse(f"admin:{name}", args=[number])).status_code == 403, name

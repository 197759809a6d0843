"""View as: the pages of somebody else, never upwards, nothing changed, everything recorded."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from helpcenter import viewing
from helpcenter.models import Article, PermissionGroup, Viewing
from segments.attributes import made_up, read_person
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory, SectionFactory
from tests.helpcenter.test_audience_admin import client_of

pytestmark = pytest.mark.django_db
PEOPLE = ["dan", "maria", "omar", "nadia", "claire", "lena", "aki", "edda", "pia", "ada"]
# Who may view as whom: admins as everybody but admins, other staff as end users.
END_USERS = {"dan", "maria", "omar", "nadia", "claire"}
ALLOWED = {
    "dan": set(),
    "maria": set(),
    "lena": END_USERS,
    "aki": END_USERS,
    "ada": END_USERS | {"lena", "aki", "edda", "pia"},
}


@pytest.fixture
def shelf(segment_of):
    """One section for all, and an article for each way of choosing people."""
    section = SectionFactory(audience=Audience.everyone(), category__audience=Audience.everyone())
    articles = {"public": Audience.everyone(), "nobody": Audience.nobody()}
    articles |= {name: Audience.of(segment) for name, segment in segment_of.items()}
    for name, audience in articles.items():
        ArticleFactory(title=f"For {name}", section=section, audience=audience)
    return section


def start(client, **sent):
    return client.post(reverse("view_as"), {"role": "visitor"} | sent)


def titles(client, section):
    """What the page of the section lists, in all its pages."""
    page = client.get(f"/hc/en-us/sections/{section.pk}", follow=True).content.decode()
    return set(re.findall(r"For [a-z ]+(?=<)", page))


def seen_by(*people):
    found = Article.objects.filter(published=True)
    for person in people:
        found = found.filter(pk__in=Article.objects.visible_to(person).values("pk"))
    return {str(article) for article in found.titled()}


def add_not_premium(section):
    """A `none` condition: whoever lost a tag on the way would see more."""
    condition = {"attribute": "tag", "operator": "none", "values": ["premium"]}
    segment = Segment.objects.create(
        name="Not premium", user_type="signed_in_users", conditions=[condition]
    )
    ArticleFactory(title="For not premium", section=section, audience=Audience.of(segment))


@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.parametrize("other", [*PEOPLE, "ines"])
def test_never_upwards(cast, shelf, name, other):
    client = client_of(cast[name])
    before = titles(client, shelf)
    answer = start(client, person=f"{other}@example.com")
    assert (answer.status_code == 302) is (other in ALLOWED[name])
    assert Viewing.objects.count() == (other in ALLOWED[name])
    if other not in ALLOWED[name]:
        assert titles(client, shelf) == before
    elif name == "ada":
        assert titles(client, shelf) == seen_by(cast[other])
    else:
        assert titles(client, shelf) == seen_by(cast[other], cast[name])


def test_a_pinned_truth(cast, shelf):
    """Positive control: by hand, for one pair."""
    client = client_of(cast["ada"])
    start(client, person="omar@example.com")
    assert titles(client, shelf) == {"For public", "For signed in", "For premium"}
    client = client_of(cast["aki"])
    start(client, person="omar@example.com")
    # Omar is tagged premium through Globex; Aki, who is staff, is not.
    assert titles(client, shelf) == {"For public", "For signed in"}


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({"role": "visitor"}, {"public"}),
        ({"role": "end_user"}, {"public", "signed in"}),
        ({"role": "end_user", "organization": "acme"}, {"public", "signed in", "acme"}),
        ({"role": "end_user", "tag": "premium"}, {"public", "signed in", "premium"}),
        ({"role": "end_user", "language": "French"}, {"public", "signed in", "french"}),
        ({"role": "light_agent"}, {"public", "signed in", "staff"}),
        ({"role": "agent"}, {"public", "signed in", "staff", "full staff"}),
        # End users inherit the tags of their organizations, staff do not.
        ({"role": "end_user", "organization": "globex"}, {"public", "signed in", "premium"}),
        (
            {"role": "agent", "organization": "globex"},
            {"public", "signed in", "staff", "full staff", "not premium"},
        ),
    ],
)
def test_made_up_profiles(cast, shelf, profile, expected):
    if "organization" in profile:
        add_not_premium(shelf)
        expected = expected | ({"not premium"} if profile["organization"] == "acme" else set())
    client = client_of(cast["ada"])
    assert start(client, **profile).status_code == 302
    assert titles(client, shelf) == {f"For {name}" for name in expected}
    assert Viewing.objects.get().profile["role"] == profile["role"]


@pytest.mark.parametrize(
    ("name", "sent", "words"),
    [
        ("ada", {"person": "nobody@example.com"}, "there is none called"),
        ("ada", {"person": "ada@example.com"}, "only downwards"),
        ("ada", {"role": "end_user", "organization": "Nowhere"}, "there is none called"),
        ("ada", {"role": "visitor", "language": "French"}, "A visitor has no attributes"),
        ("ada", {"role": "admin"}, "not one of the available choices"),
        ("aki", {"role": "agent"}, "not one of the available choices"),
    ],
)
def test_what_cannot_be_is_said(cast, shelf, name, sent, words):
    answer = start(client_of(cast[name]), **sent)
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert not Viewing.objects.exists()


def test_other_staff_are_asked_for_no_names_of_organizations(cast):
    page = client_of(cast["aki"]).get(reverse("view_as")).content.decode()
    assert "id_language" in page
    assert "id_organization" not in page
    answer = start(client_of(cast["aki"]), role="end_user", organization="Acme")
    assert answer.status_code == 302
    assert Viewing.objects.get().profile == {"role": "end_user", "values": {}}


@pytest.mark.parametrize("name", [*PEOPLE])
def test_a_made_up_twin_is_like_the_person(cast, name):
    """With the values that are somebody's own, everything that comes with them is the same."""
    person = cast[name]
    values = {
        "role": [person.role],
        "organization": list(person.organizations.values_list("id", flat=True)),
        "group": list(person.agent_groups.values_list("id", flat=True)),
        "tag": list(person.tags.values_list("name", flat=True)),
        "language": [person.language] if person.language else [],
    }
    real = read_person(person.pk, "default")
    twin = made_up(values, "default", is_active=person.is_active, is_staff=real.is_staff)
    assert twin == replace(real, pk=0, is_admin=False)


@pytest.mark.surface(29)
@pytest.mark.parametrize("name", ["edda", "pia"])
def test_rights_to_edit_show_no_draft_to_other_eyes(cast, shelf, segment_of, name):
    group = PermissionGroup.objects.create(
        name="Guides",
        edit=Audience.of(segment_of["editors"]),
        publish=Audience.of(segment_of["publishers"]),
    )
    ArticleFactory(
        title="For editing",
        section=shelf,
        audience=Audience.everyone(),
        draft=True,
        permission_group=group,
    )
    client = client_of(cast[name])
    assert "For editing" in titles(client, shelf)
    start(client, person="maria@example.com")
    assert titles(client, shelf) == {"For public", "For signed in"}


@pytest.mark.parametrize("name", ["dan", "maria", "omar", "claire", "aki"])
def test_every_page_is_the_persons(cast, shelf, name):
    """Start page, search and each article answer an admin as they answer the person."""
    client, own = client_of(cast["ada"]), client_of(cast[name])
    start(client, person=f"{name}@example.com")
    pages = ["/hc/en-us", "/hc/en-us/search?query=for"]
    pages += [f"/hc/en-us/articles/{pk}" for pk in Article.objects.values_list("pk", flat=True)]
    for page in pages:
        seen, theirs = (each.get(page, follow=True) for each in (client, own))
        assert seen.status_code == theirs.status_code, page
        titles = [re.findall(r"For [a-z ]+(?=<)", each.content.decode()) for each in (seen, theirs)]
        assert titles[0] == titles[1], page


class TestReadOnly:
    @pytest.fixture
    def client(self, cast, shelf):
        client = client_of(cast["ada"])
        start(client, person="omar@example.com")
        return client

    @pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
    def test_nothing_can_be_changed(self, client, shelf, method):
        for address in ("/hc/en-us", f"/hc/en-us/sections/{shelf.pk}", "/hc/nowhere"):
            assert getattr(client, method)(address).status_code == 403

    def test_the_banner_says_so_and_ends_it(self, client, shelf):
        page = client.get("/hc/en-us").content.decode()
        assert "You see the help center as Omar. Nothing can be changed." in page
        assert client.get(reverse("view_as_stop")).status_code == 405
        assert client.post(reverse("view_as_stop")).status_code == 302
        assert "For nobody" in titles(client, shelf)
        record = Viewing.objects.get()
        assert (str(record.by), str(record.person)) == ("Ada", "Omar")
        assert record.ended_at >= record.started_at

    def test_no_cache_keeps_it(self, client):
        answer = client.get("/hc/en-us", headers={"if-none-match": "*"})
        assert answer.status_code == 200
        assert answer["Cache-Control"] == "private, no-store"
        assert "ETag" not in answer

    def test_the_admin_and_the_api_stay_ones_own(self, client):
        assert client.get(reverse("admin:index")).status_code == 200
        assert client.get("/api/v2/users/me").json()["user"]["name"] == "Ada"

    def test_files_are_shown_to_the_same_eyes(self, client, shelf, settings, tmp_path):
        from django.core.files.base import ContentFile

        settings.MEDIA_ROOT = settings.SENDFILE_ROOT = str(tmp_path)
        for title, status in (("For premium", 200), ("For acme", 404)):
            article = Article.objects.get(translations__title=title)
            file = article.attachments.create(file=ContentFile(b"x", name="a.txt"))
            address = reverse("attachment", args=[file.pk, file.file_name])
            assert client.get(address).status_code == status

    def test_it_ends_when_the_person_is_deactivated(self, client, cast, shelf):
        cast["omar"].is_active = False
        cast["omar"].save()
        assert "You see the help center as" not in client.get("/hc/en-us").content.decode()

    def test_it_does_not_begin_again_by_itself(
        self, client, cast, django_capture_on_commit_callbacks
    ):
        cast["omar"].is_active = False
        cast["omar"].save()
        with django_capture_on_commit_callbacks(execute=True):
            client.get("/hc/en-us")
        assert Viewing.objects.get().ended_at
        cast["omar"].is_active = True
        cast["omar"].save()
        assert "You see the help center as" not in client.get("/hc/en-us").content.decode()

    def test_signing_out_is_recorded_as_the_end(self, client):
        client.post(reverse("account_logout"))
        assert Viewing.objects.get().ended_at

    def test_a_former_admin_is_shown_no_names_of_organizations(self, client, cast):
        start(client, role="end_user", organization="Acme")
        assert "End user, Acme" in client.get("/hc/en-us").content.decode()
        cast["ada"].role = "agent"
        cast["ada"].save()
        assert "Acme" not in client.get("/hc/en-us").content.decode()

    def test_it_ends_when_the_person_becomes_an_admin(self, client, cast):
        cast["omar"].role = "admin"
        cast["omar"].save()
        assert "You see the help center as" not in client.get("/hc/en-us").content.decode()

    def test_it_ends_when_one_is_no_longer_staff(self, client, cast, shelf):
        cast["ada"].role = "end_user"
        cast["ada"].save()
        # With the session, which no change of role survives.
        assert titles(client, shelf) == seen_by(cast["visitor"])

    def test_it_ends_after_an_hour(self, client):
        Viewing.objects.update(started_at=Now() - timedelta(seconds=viewing.LASTS + 1))
        assert "You see the help center as" not in client.get("/hc/en-us").content.decode()

    def test_it_ends_with_the_session(self, client, cast):
        client.logout()
        assert "You see the help center as" not in client.get("/hc/en-us").content.decode()

    def test_nobody_inherits_it(self, client, cast, shelf):
        session = client.session
        state = session[viewing.SESSION_KEY]
        other = client_of(cast["dan"])
        session = other.session
        session[viewing.SESSION_KEY] = state
        session.save()
        assert titles(other, shelf) == seen_by(cast["dan"])

    @pytest.mark.parametrize("state", [None, "x", {}, {"record": "x"}, {"by": ""}])
    def test_a_broken_state_shows_ones_own_eyes(self, cast, shelf, state):
        client = client_of(cast["dan"])
        session = client.session
        session[viewing.SESSION_KEY] = state
        session.save()
        assert titles(client, shelf) == seen_by(cast["dan"])


@pytest.mark.parametrize("name", ["visitor", "dan"])
def test_only_for_staff(cast, name):
    client = Client() if name == "visitor" else client_of(cast[name])
    assert client.get(reverse("view_as")).status_code == (302 if name == "visitor" else 404)
    assert start(client, role="end_user").status_code == (302 if name == "visitor" else 404)
    assert "View as" not in client.get("/hc/en-us").content.decode()
    assert not Viewing.objects.exists()


def test_the_records_are_for_admins_to_read(cast):
    start(client_of(cast["aki"]), person="omar@example.com")
    page = reverse("admin:helpcenter_viewing_changelist")
    assert "Omar" in client_of(cast["ada"]).get(page).content.decode()
    assert client_of(cast["aki"]).get(page).status_code == 403
    cast["omar"].delete()
    assert Viewing.objects.get().person is None

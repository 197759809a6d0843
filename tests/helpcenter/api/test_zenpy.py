"""zenpy, a client for Zendesk from PyPI, unmodified, over HTTP against the live server.

zenpy speaks to https://{subdomain}.{domain}. An adapter carries its requests to the live server
with that name as their host; everything else is zenpy's own.
"""

import pytest
import requests
from requests.adapters import HTTPAdapter
from zenpy import Zenpy
from zenpy.lib.api_objects import Group, Organization, OrganizationMembership, User
from zenpy.lib.api_objects.help_centre_objects import (
    Article,
    Category,
    Comment,
    Label,
    ManagementPermissionGroup,
    Section,
    Subscription,
    Translation,
    UserSegment,
)
from zenpy.lib.exception import APIException, RecordNotFoundException

from helpcenter import models
from tests.factories_content import HelpCenterFactory
from tests.factories_people import PersonFactory

HOST = "help.example.test"
pytestmark = pytest.mark.django_db(transaction=True)


class ToLiveServer(HTTPAdapter):
    """Sends what is meant for HOST to the live server."""

    def __init__(self, address):
        super().__init__()
        self.address = address

    def send(self, request, **options):
        wanted = request.url
        request.headers["Host"] = HOST
        request.headers["X-Forwarded-Proto"] = "https"
        request.url = wanted.replace(f"https://{HOST}", self.address)
        response = super().send(request, **options)
        request.url = response.url = wanted
        return response


@pytest.fixture
def client_of(live_server, token_of, settings):
    """person -> zenpy signed in as them with `email/token:TOKEN`."""
    settings.ALLOWED_HOSTS = ["*"]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    sessions = []

    def client(person):
        session = requests.Session()
        session.mount(f"https://{HOST}", ToLiveServer(live_server.url))
        sessions.append(session)
        return Zenpy(
            domain="example.test",
            subdomain="help",
            email=person.email,
            token=token_of(person),
            session=session,
            disable_cache=True,
        )

    yield client
    for session in sessions:
        session.close()


@pytest.fixture
def ada():
    HelpCenterFactory(name="Help", locales=["en-us", "fr"])
    return PersonFactory(email="ada@example.com", name="Ada", role="admin", verified=True)


@pytest.fixture
def zenpy(client_of, ada):
    return client_of(ada)


def test_people(zenpy, client_of):
    organization = zenpy.organizations.create(Organization(name="Acme", tags=["gold"]))
    maria = zenpy.users.create(
        User(
            name="Maria", email="maria@example.com", organization_id=organization.id, verified=True
        )
    )
    assert maria.role == "end-user" and maria.organization_id == organization.id
    maria.tags = ["vip"]
    assert zenpy.users.update(maria).tags == ["vip"]
    assert {user.name for user in zenpy.users()} == {"Ada", "Maria"}
    assert zenpy.users(id=maria.id).email == "maria@example.com"
    assert [user.id for user in zenpy.users(ids=[maria.id])] == [maria.id]
    assert [user.id for user in zenpy.users.search(query="maria")] == [maria.id]
    assert zenpy.users.me().name == "Ada"
    again = zenpy.users.create_or_update(User(email="maria@example.com", name="Maria M."))
    assert (again.id, again.name) == (maria.id, "Maria M.")
    assert [each.name for each in zenpy.organizations()] == ["Acme"]
    assert [each.id for each in zenpy.organizations.users(organization)] == [maria.id]
    other = zenpy.organizations.create(Organization(name="Globex"))
    membership = zenpy.organization_memberships.create(
        OrganizationMembership(user_id=maria.id, organization_id=other.id)
    )
    assert len(list(zenpy.users.organization_memberships(maria))) == 2
    zenpy.organization_memberships.delete(membership)
    group = zenpy.groups.create(Group(name="Support"))
    assert [each.name for each in zenpy.groups()] == ["Support"]
    zenpy.groups.delete(group)
    zenpy.users.delete(maria)
    assert zenpy.users(id=maria.id).active is False
    with pytest.raises(APIException):
        zenpy.users.create(User(name="No address"))
    with pytest.raises(RecordNotFoundException):
        zenpy.users(id=12345)


def test_the_help_center(zenpy, client_of, tmp_path):
    center = zenpy.help_center
    maria = PersonFactory(
        email="maria@example.com", name="Maria", organizations=["Acme"], verified=True
    )
    dan = PersonFactory(email="dan@example.com", verified=True)
    acme = maria.organizations.get().pk

    # Who may see what
    segment = center.user_segments.create(
        UserSegment(name="Acme", user_type="signed_in_users", organization_ids=[acme])
    )
    assert center.user_segments(id=segment.id).organization_ids == [acme]
    segment.name = "Customers of Acme"
    assert center.user_segments.update(segment).name == "Customers of Acme"
    assert "Customers of Acme" in {each.name for each in center.user_segments()}
    assert "Nobody" not in {each.name for each in center.user_segments.applicable()}
    editors = center.user_segments.create(UserSegment(name="Staff", user_type="staff"))
    guides = center.permission_groups.create(
        ManagementPermissionGroup(name="Guides", edit=[editors.id], publish=[editors.id])
    )
    assert {each.name for each in center.permission_groups()} == {"Managers", "Guides"}

    # Shelves
    category = center.categories.create(Category(name="Products", locale="en-us"))
    section = center.sections.create(
        Section(name="Printers", locale="en-us", category_id=category.id)
    )
    category.position = 4
    assert center.categories.update(category).position == 4
    assert [each.name for each in center.categories()] == ["Products"]
    assert [each.name for each in center.categories.sections(category.id)] == ["Printers"]

    # Articles
    article = center.articles.create(
        section.id,
        Article(
            title="Reset it",
            body="<p>Press the button.</p>",
            locale="en-us",
            user_segment_id=segment.id,
            permission_group_id=guides.id,
            label_names=["reset"],
        ),
    )
    assert article.user_segment_ids == [segment.id]
    article.promoted = True
    assert center.articles.update(article).promoted is True
    assert [each.title for each in center.articles()] == ["Reset it"]
    assert [each.title for each in center.sections.articles(section)] == ["Reset it"]
    assert [each.title for each in center.categories.articles(category.id)] == ["Reset it"]
    assert [each.title for each in center.articles.search(query="button")] == ["Reset it"]
    assert [each.id for each in center.articles.incremental(start_time=0)] == [article.id]
    label = center.labels.create(article, Label(name="paper"))
    assert {each.name for each in center.articles.labels(article)} == {"reset", "paper"}
    center.labels.delete(article, label)

    # Translations
    french = center.articles.create_translation(
        article, Translation(locale="fr", title="Réinitialiser", body="Appuyez.", draft=False)
    )
    assert center.articles.show_translation(article, "fr").title == "Réinitialiser"
    assert {each.locale for each in center.articles.translations(article)} == {"en-us", "fr"}
    french.title = "Remise à zéro"
    updated = center.articles.update_translation(article, french)
    assert updated.title == "Remise à zéro"
    assert not list(center.articles.missing_translations(article))
    center.articles.delete_translation(french)

    # Files
    file = tmp_path / "plan.txt"
    file.write_text("a plan")
    attachment = center.attachments.create(article, str(file))
    assert [each.file_name for each in center.attachments(article)] == ["plan.txt"]
    loose = center.attachments.create_unassociated(str(file))
    center.attachments.bulk_attachments(article, [loose])
    assert len(list(center.attachments.block(article))) == 2
    center.attachments.delete(attachment)

    # Readers
    reader = client_of(maria).help_center
    assert [each.title for each in reader.articles()] == ["Reset it"]
    assert not list(client_of(dan).help_center.articles())
    with pytest.raises(RecordNotFoundException):
        client_of(dan).help_center.articles(id=article.id)
    comment = reader.comments.create(article, Comment(body="Thanks", locale="en-us"))
    assert [each.body for each in center.articles.comments(article)] == ["Thanks"]
    center.comments.delete(article, comment)
    assert reader.articles.vote_up(article).value == 1
    subscription = reader.articles.create_subscription(article, Subscription(source_locale="en-us"))
    assert len(list(reader.articles.subscriptions(article))) == 1
    reader.articles.delete_subscription(article, subscription)

    # The end
    with pytest.raises(APIException):
        center.user_segments.delete(segment)
    center.articles.archive(article)
    assert not list(center.articles())
    center.sections.delete(section)
    center.categories.delete(category)
    assert not models.Category.objects.exists()


def test_pages(zenpy, ada):
    for number in range(120):
        PersonFactory(email=f"p{number}@example.com")
    assert len(list(zenpy.users())) == 121
    # Cursors are zenpy's default for users; offsets where it asks for them.
    assert len(zenpy.users(cursor_pagination=False)[0:110]) == 110

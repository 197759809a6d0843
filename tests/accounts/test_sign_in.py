import errno
import re
import tempfile

import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.messages import get_messages
from django.contrib.sessions.models import Session
from django.core import mail
from django.core.cache import cache
from django.db.models import ProtectedError
from django.db.models.signals import pre_delete, pre_save
from django.urls import reverse

from accounts.models import OrganizationDomain, Tag, User
from tests.factories_people import PASSWORD, OrganizationFactory, PersonFactory, TagFactory

pytestmark = pytest.mark.django_db
NEW_PASSWORD = "staple battery horse correct"
WRONG = "The email address and/or password you specified are not correct."


@pytest.fixture(autouse=True)
def no_attempts_before():
    """Rate limits count in the cache, which outlives a test."""
    cache.clear()


@pytest.fixture
def maria():
    return PersonFactory(email="maria@example.org", verified=True)


def sign_in(client, email="maria@example.org", password=PASSWORD, **data):
    return client.post(reverse("account_login"), {"login": email, "password": password, **data})


def signed_in(client):
    return "_auth_user_id" in client.session


def link_in_mail():
    """The path of the only link in the only mail."""
    (message,) = mail.outbox
    return re.search(r"http://testserver(/\S+)", message.body)[1]


def confirm(client):
    return client.post(link_in_mail())


def sign_up(client, email="new@example.org", **data):
    passwords = {"password1": PASSWORD, "password2": PASSWORD}
    return client.post(reverse("account_signup"), {"email": email, **passwords, **data})


class TestSignIn:
    @pytest.mark.parametrize("email", ["maria@example.org", " Maria@Example.ORG "])
    def test_with_any_spelling(self, client, maria, email):
        assert sign_in(client, email).url == "/"
        assert signed_in(client)
        assert maria.emailaddress_set.count() == 1

    def test_nobody_is_let_in_while_attempts_cannot_be_counted(
        self, client, maria, settings, tmp_path, monkeypatch
    ):
        backend = "django.core.cache.backends.filebased.FileBasedCache"
        settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path)}}

        def full(*args, **kwargs):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(tempfile, "mkstemp", full)
            assert sign_in(client).status_code == 503
            assert not signed_in(client)
            assert client.get(reverse("account_login")).status_code == 200
        assert sign_in(client).status_code == 302
        assert signed_in(client)

    def test_back_to_where_it_was_asked_for(self, client, maria):
        assert sign_in(client, next="/hc/en-us?x=1").url == "/hc/en-us?x=1"

    @pytest.mark.parametrize(
        "elsewhere",
        ["https://evil.org/", "//evil.org/", "///evil.org", "javascript:alert(1)"]
        + ["http://localhost/", "/\\evil.org", "http:evil.org"],
    )
    def test_never_to_another_site(self, client, maria, elsewhere):
        assert sign_in(client, next=elsewhere).url == "/"
        assert client.post(reverse("account_logout"), {"next": elsewhere}).url == "/"

    def test_sign_out_asks_first(self, client, maria):
        client.force_login(maria)
        assert client.get(reverse("account_logout")).status_code == 200
        assert signed_in(client)
        assert client.post(reverse("account_logout")).url == "/"
        assert not signed_in(client)

    def test_an_unverified_address_must_be_verified(self, client):
        person = PersonFactory(email="new@example.org")
        response = sign_in(client, "new@example.org")
        assert response.url == reverse("account_email_verification_sent")
        assert not signed_in(client)
        confirm(client)
        assert person.has_verified_email()
        sign_in(client, "new@example.org")
        assert signed_in(client)

    def test_someone_made_without_addresses_can_verify_too(self, client):
        person = User(email="new@example.org")
        person.set_password(PASSWORD)
        person.save()
        sign_in(client, "new@example.org")
        confirm(client)
        assert person.has_verified_email()


class TestNothingTellsWhoHasAnAccount:
    def test_inactive_unknown_and_wrong_are_the_same(self, client, maria):
        PersonFactory(email="gone@example.org", verified=True, is_active=False)
        answers = set()
        for email, password in [
            ("gone@example.org", PASSWORD),
            ("gone@example.org", "wrong"),
            ("nobody@example.org", PASSWORD),
            ("maria@example.org", "wrong"),
        ]:
            response = sign_in(client, email, password)
            assert response.context["form"].non_field_errors() == [WRONG]
            page = response.content.decode().replace(email, "")
            answers.add(re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page))
            assert not signed_in(client)
        assert len(answers) == 1

    def test_the_right_password_of_someone_inactive_costs_attempts_too(self, client):
        PersonFactory(email="gone@example.org", verified=True, is_active=False)
        for _ in range(5):
            assert WRONG in sign_in(client, "gone@example.org").content.decode()
        assert WRONG not in sign_in(client, "gone@example.org").content.decode()

    def test_someone_who_becomes_inactive_is_signed_out(self, client, maria):
        client.force_login(maria)
        User.objects.update(is_active=False)
        assert client.get("/accounts/email/").url.startswith("/accounts/login/")

    def test_sign_up_with_a_known_address(self, client, maria):
        known = sign_up(client, "Maria@example.org")
        assert "already exists" in mail.outbox.pop().body
        unknown = sign_up(client, "new@example.org")
        assert known.url == unknown.url == reverse("account_email_verification_sent")
        assert User.objects.count() == 2

    def test_password_reset_of_unknown_and_inactive_people(self, client, maria):
        PersonFactory(email="gone@example.org", is_active=False)
        for email in ("maria@example.org", "gone@example.org", "nobody@example.org"):
            response = client.post(reverse("account_reset_password"), {"email": email})
            assert response.url == reverse("account_reset_password_done")
        with_link = [
            message.to for message in mail.outbox if "/password/reset/key/" in message.body
        ]
        assert with_link == [["maria@example.org"]]


class TestPasswords:
    def test_reset_by_mail(self, client, maria):
        client.post(reverse("account_reset_password"), {"email": "Maria@example.org"})
        form = client.get(link_in_mail(), follow=True)
        address = form.redirect_chain[-1][0]
        assert NEW_PASSWORD not in form.content.decode()
        client.post(address, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
        assert not signed_in(client)
        sign_in(client, password=NEW_PASSWORD)
        assert signed_in(client)

    def test_the_link_goes_to_the_stored_address_only(self, client):
        # What was typed leads to the person, but may be a mailbox of somebody else.
        PersonFactory(email="maria@xn--bcher-kva.de", verified=True)
        client.post(reverse("account_reset_password"), {"email": "maria@BÜCHER.de"})
        assert mail.outbox[0].to == ["maria@xn--bcher-kva.de"]

    def test_a_link_works_once(self, client, maria):
        client.post(reverse("account_reset_password"), {"email": maria.email})
        link = link_in_mail()
        address = client.get(link, follow=True).redirect_chain[-1][0]
        client.post(address, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD})
        client.session.flush()
        assert "Bad Token" in client.get(link, follow=True).content.decode()

    def test_change(self, client, maria):
        client.force_login(maria)
        client.post(
            reverse("account_change_password"),
            {"oldpassword": PASSWORD, "password1": NEW_PASSWORD, "password2": NEW_PASSWORD},
        )
        maria.refresh_from_db()
        assert maria.check_password(NEW_PASSWORD)
        assert signed_in(client)

    def test_a_change_elsewhere_ends_the_session(self, client, maria):
        client.force_login(maria)
        maria.set_password(NEW_PASSWORD)
        maria.save()
        assert client.get(reverse("account_email")).url.startswith(reverse("account_login"))
        assert not signed_in(client)


class TestAddresses:
    def test_a_new_address_counts_once_it_is_verified(self, client, maria):
        client.force_login(maria)
        client.post(reverse("account_email"), {"email": "M@Example.net", "action_add": ""})
        maria.refresh_from_db()
        assert maria.email == "maria@example.org"
        confirm(client)
        maria.refresh_from_db()
        assert maria.email == "m@example.net"
        address = maria.emailaddress_set.get()
        assert (address.email, address.primary, address.verified) == ("m@example.net", True, True)

    def test_the_page_offers_to_cancel(self, client, maria):
        client.force_login(maria)
        client.post(reverse("account_email"), {"email": "m@example.net", "action_add": ""})
        page = client.get(reverse("account_email")).content.decode()
        assert "m@example.net" in page
        assert 'name="action_remove"' in page
        client.post(reverse("account_email"), {"email": "m@example.net", "action_remove": ""})
        assert maria.emailaddress_set.get().email == "maria@example.org"

    def test_an_invalid_address_is_explained_at_its_field(self, client, maria):
        client.force_login(maria)
        page = client.post(
            reverse("account_email"), {"email": "m@\u3164example.net", "action_add": ""}
        ).content.decode()
        assert "U+3164 HANGUL FILLER" in page
        assert re.search(r'<input[^>]*aria-describedby="id_email_error"', page)
        assert 'id="id_email_error"' in page

    def test_someone_whose_address_was_replaced_keeps_one(self, client, maria):
        """allauth would remove the unverified address for the new one and leave an empty one."""
        client.force_login(maria)
        maria.email = "other@example.org"
        maria.save()
        data = {"email": "m@example.net", "action_add": ""}
        page = client.post(reverse("account_email"), data).content.decode()
        assert "Verify your present address first" in page
        assert maria.emailaddress_set.get().email == "other@example.org"

    def test_sign_up_and_verification_admit_to_the_organization(self, client):
        OrganizationFactory(name="Acme", domains=["acme.com"])
        sign_up(client, "New@Acme.com")
        person = User.objects.get(email="new@acme.com")
        assert not person.organizations.exists()
        confirm(client)
        assert person.organizations.get().name == "Acme"

    def test_nobody_leaves_an_organization_alone(self, client):
        OrganizationFactory(name="Acme", domains=["acme.com"])
        bob = PersonFactory(email="bob@acme.com", verified=True)
        client.force_login(bob)
        data = {"email": "bob@example.org", "action_add": ""}
        page = client.post(reverse("account_email"), data).content.decode()
        assert "An organization manages this address" in page
        assert "Acme" not in page
        assert not mail.outbox

    @pytest.mark.parametrize("domain", ["example.org", "acme.com"])
    def test_nobody_moves_when_the_domain_came_meanwhile(self, client, maria, domain):
        client.force_login(maria)
        client.post(reverse("account_email"), {"email": "maria@acme.com", "action_add": ""})
        OrganizationDomain.objects.create(organization=OrganizationFactory(), domain=domain)
        before = set(maria.organizations.all())
        response = confirm(client)
        shown = [str(message) for message in get_messages(response.wsgi_request)]
        assert "An organization manages this address" in shown[-1]
        maria.refresh_from_db()
        assert maria.email == "maria@example.org"
        assert set(maria.organizations.all()) == before

    def test_a_move_into_an_organization_looks_like_any_other_until_it_is_proven(
        self, client, maria
    ):
        OrganizationFactory(domains=["acme.com"])
        client.force_login(maria)
        answers = [
            client.post(reverse("account_email"), {"email": email, "action_add": ""}).url
            for email in ("maria@acme.com", "maria@example.net")
        ]
        assert answers[0] == answers[1]
        assert len(mail.outbox) == 2


class TestSelfServiceGrantsNothing:
    """Every route with every access attribute as an extra field."""

    @pytest.fixture
    def loot(self):
        organization, tag = OrganizationFactory(), TagFactory(name="vip")
        return {
            "role": "admin",
            "is_active": "on",
            "is_staff": "on",
            "is_superuser": "on",
            "language": "fr",
            "organizations": organization.pk,
            "memberships-0-organization": organization.pk,
            "tags": tag.pk,
            "agent_groups": 1,
            "verified": "on",
            "primary": "on",
            "id": 1,
            "name": "Root",
        }

    @staticmethod
    def access(person):
        person.refresh_from_db()
        return (
            (person.role, person.language, person.is_active),
            (person.organizations.count(), person.tags.count(), person.agent_groups.count()),
        )

    NOTHING = (("end_user", None, True), (0, 0, 0))

    def test_sign_up(self, client, loot):
        sign_up(client, **loot)
        person = User.objects.get(email="new@example.org")
        assert self.access(person) == self.NOTHING
        assert not person.emailaddress_set.get().verified
        assert person.name == ""

    @pytest.mark.parametrize(
        ("route", "data"),
        [
            ("account_email", {"email": "m@example.net", "action_add": ""}),
            ("account_email", {"email": "maria@example.org", "action_primary": ""}),
            ("account_email", {"email": "maria@example.org", "action_remove": ""}),
            ("account_email", {"email": "maria@example.org", "action_send": ""}),
            ("account_change_password", {"oldpassword": PASSWORD, "password1": NEW_PASSWORD}),
            ("account_set_password", {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD}),
            ("account_reauthenticate", {"password": PASSWORD}),
            ("account_reset_password", {"email": "maria@example.org"}),
            ("account_login", {"login": "maria@example.org", "password": PASSWORD}),
            ("account_logout", {}),
        ],
    )
    def test_routes(self, client, maria, loot, route, data):
        client.force_login(maria)
        client.post(reverse(route), {"password2": NEW_PASSWORD, **data, **loot})
        assert self.access(maria) == self.NOTHING
        assert maria.emailaddress_set.get(verified=True).email == "maria@example.org"

    def test_password_reset_link(self, client, maria, loot):
        client.post(reverse("account_reset_password"), {"email": maria.email})
        address = client.get(link_in_mail(), follow=True).redirect_chain[-1][0]
        client.post(address, {"password1": NEW_PASSWORD, "password2": NEW_PASSWORD, **loot})
        assert self.access(maria) == self.NOTHING

    @pytest.mark.parametrize("role", ["end_user", "light_agent", "agent"])
    def test_the_admin_site_is_for_admins(self, client, role, loot):
        person = PersonFactory(role=role, verified=True)
        client.force_login(person)
        for model in ("user", "organization", "tag", "agentgroup"):
            for page in ("changelist", "add"):
                response = client.get(reverse(f"admin:accounts_{model}_{page}"))
                assert response.status_code in (302, 403)
        client.post(reverse("admin:accounts_user_change", args=[person.pk]), loot)
        person.refresh_from_db()
        assert person.role == role


PAGES = {
    "account_login": "Sign In",
    "account_signup": "Signup",
    "account_reset_password": "Password Reset",
    "account_reset_password_done": "Password Reset",
    "account_email_verification_sent": "Verify Your Email Address",
}
OWN_PAGES = {
    "account_logout": "Sign Out",
    "account_email": "Email Address",
    "account_change_password": "Change Password",
    "account_reauthenticate": "Confirm Access",
}


class TestPages:
    @staticmethod
    def check(response, title):
        page = response.content.decode()
        assert response.status_code == 200
        assert re.search(rf"<title>\s*{title}", page)
        assert page.count("<h1") == 1
        assert "<main" in page
        assert not re.search(r"<script(?! src)|<style| style=| on[a-z]+=\"", page)
        inputs = re.findall(r"<(?:input|textarea|select)\b(?![^>]*type=\"hidden\")[^>]*>", page)
        for field in inputs:
            name = re.search(r' id="([^"]+)"', field)
            assert name, field
            assert f'for="{name[1]}"' in page or "aria-label" in field, field

    @pytest.mark.parametrize(("name", "title"), PAGES.items(), ids=PAGES)
    def test_for_visitors(self, client, name, title):
        self.check(client.get(reverse(name)), title)

    @pytest.mark.parametrize(("name", "title"), OWN_PAGES.items(), ids=OWN_PAGES)
    def test_for_people(self, client, maria, name, title):
        client.force_login(maria)
        self.check(client.get(reverse(name)), title)

    def test_verification(self, client):
        sign_up(client)
        self.check(client.get(link_in_mail()), "Confirm Email Address")

    def test_new_password(self, client, maria):
        client.post(reverse("account_reset_password"), {"email": maria.email})
        self.check(client.get(link_in_mail(), follow=True), "Change Password")


class TestAdminSite:
    def test_sign_in_is_allauths(self, client, maria):
        response = client.get("/admin/", follow=True)
        assert response.redirect_chain[-1][0].startswith(reverse("account_login"))
        User.objects.update(role="admin")
        assert sign_in(client, next="/admin/").url == "/admin/"
        assert client.get("/admin/").status_code == 200

    def test_the_first_admin_gets_in_without_mail(self, client):
        User.objects.create_superuser("root@localhost", PASSWORD)
        assert sign_in(client, "root@localhost", next="/admin/").url == "/admin/"
        assert client.get("/admin/").status_code == 200

    def test_people_without_business_there(self, client, maria):
        client.force_login(maria)
        assert client.get("/admin/", follow=True).status_code == 403

    @pytest.fixture
    def admin_client(self, client):
        client.force_login(PersonFactory(role="admin", verified=True))
        return client

    def test_a_person_is_made_and_changed(self, admin_client):
        add = reverse("admin:accounts_user_add")
        assert admin_client.get(add).status_code == 200
        passwords = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
        data = {"email": "New@Example.org", "name": "New", "role": "agent"}
        admin_client.post(add, {**data, **passwords})
        person = User.objects.get(email="new@example.org")
        assert person.check_password(PASSWORD)
        assert person.emailaddress_set.get().primary
        tag = TagFactory()
        organization = OrganizationFactory()
        response = admin_client.post(
            reverse("admin:accounts_user_change", args=[person.pk]),
            {
                "email": "newer@example.org",
                "role": "end_user",
                "is_active": "on",
                "language": "",
                "tags": [tag.pk],
                "memberships-TOTAL_FORMS": 1,
                "memberships-INITIAL_FORMS": 0,
                "memberships-0-organization": organization.pk,
                "memberships-2-TOTAL_FORMS": 0,
                "memberships-2-INITIAL_FORMS": 0,
            },
        )
        assert response.status_code == 302, response.context["errors"]
        person.refresh_from_db()
        assert (person.email, person.role, person.language) == (
            "newer@example.org",
            "end_user",
            None,
        )
        assert person.tags.get() == tag
        assert person.memberships.get().source == "manual"
        assert person.emailaddress_set.get().email == "newer@example.org"

    def test_pages_open(self, admin_client):
        person = PersonFactory(email="b@acme.com", verified=True, organizations=["Other"])
        acme = OrganizationFactory(name="Acme", domains=["acme.com"], tags=["gold"])
        for path in (
            reverse("admin:accounts_user_changelist") + "?q=acme",
            reverse("admin:accounts_user_change", args=[person.pk]),
            reverse("admin:auth_user_password_change", args=[person.pk]),
            reverse("admin:accounts_organization_changelist"),
            reverse("admin:accounts_organization_change", args=[acme.pk]),
            reverse("admin:accounts_tag_changelist"),
            reverse("admin:accounts_agentgroup_add"),
        ):
            assert admin_client.get(path).status_code == 200

    def test_what_others_protect_is_explained(self, admin_client):
        def refuse(instance, **kwargs):
            raise ProtectedError("Segments name it.", {instance})

        tag = TagFactory(name="vip")
        delete = {"action": "delete_selected", "_selected_action": [tag.pk], "post": "yes"}
        pre_delete.connect(refuse, sender=Tag)
        pre_save.connect(refuse, sender=Tag)
        try:
            for path, data in (
                (reverse("admin:accounts_tag_delete", args=[tag.pk]), {"post": "yes"}),
                (reverse("admin:accounts_tag_changelist"), delete),
                (reverse("admin:accounts_tag_change", args=[tag.pk]), {"name": "new"}),
            ):
                page = admin_client.post(path, data, follow=True).content.decode()
                assert "Segments name it." in page
        finally:
            pre_delete.disconnect(refuse, sender=Tag)
            pre_save.disconnect(refuse, sender=Tag)
        assert Tag.objects.get().name == "vip"

    def test_an_address_is_trusted(self, admin_client):
        person = PersonFactory()
        admin_client.post(
            reverse("admin:accounts_user_changelist"),
            {"action": "verify_email", "_selected_action": [person.pk]},
        )
        assert person.has_verified_email()

    @pytest.mark.parametrize(("field", "value"), [("name", "ACME"), ("domains-0-domain", "@acme")])
    def test_a_bad_organization_is_explained(self, admin_client, field, value):
        OrganizationFactory(name="Acme")
        data = {"name": "New", "domains-TOTAL_FORMS": 1, "domains-INITIAL_FORMS": 0, field: value}
        response = admin_client.post(reverse("admin:accounts_organization_add"), data)
        assert response.status_code == 200
        assert b"This name is taken" in response.content or b"domain name" in response.content

    def test_lists_cost_the_same_for_many(self, admin_client, django_assert_max_num_queries):
        for _ in range(20):
            PersonFactory(organizations=[OrganizationFactory()], tags=["x"])
        for model in ("user", "organization"):
            with django_assert_max_num_queries(9):
                admin_client.get(reverse(f"admin:accounts_{model}_changelist"))

    def test_addresses_are_changed_with_their_people(self):
        assert not admin.site.is_registered(EmailAddress)


class TestWithinOneSnapshot:
    """A safe request reads one state of the database and cannot write: Django would, here."""

    pytestmark = pytest.mark.django_db(transaction=True)

    def test_a_session_that_a_new_password_ended(self, client, maria):
        client.force_login(maria)
        maria.set_password(NEW_PASSWORD)
        maria.save()
        response = client.get(reverse("account_email"))
        assert response.url.startswith(reverse("account_login"))
        assert not Session.objects.exists()

    def test_the_verification_link_of_somebody_else(self, client, maria):
        sign_up(client)
        client.force_login(maria)
        assert client.get(link_in_mail()).status_code == 200
        assert not signed_in(client)

    def test_own_pages(self, client, maria):
        client.force_login(maria)
        for name in OWN_PAGES:
            assert client.get(reverse(name)).status_code == 200

    def test_a_new_password(self, client, maria):
        client.post(reverse("account_reset_password"), {"email": maria.email})
        assert client.get(link_in_mail(), follow=True).status_code == 200

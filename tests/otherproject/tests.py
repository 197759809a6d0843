"""What the other project expects of `segments`, with its own people and content."""

from datetime import timedelta
from io import StringIO
from unittest import skipUnless

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.db.models import ProtectedError
from django.test import TestCase, override_settings
from django.utils import timezone
from django.utils.translation import override
from library.models import Box, Company, Folder, Letter, Note, Profile, Region, Report, Tag

from segments.models import Audience, Segment
from segments.row_security import lifted, see_as
from segments.wording import sentence_of


def segment(name, *conditions, user_type="signed_in_users"):
    """A stored segment; each condition is "attribute operator" followed by values."""
    stored = []
    for named, *values in conditions:
        attribute, operator = named.split()
        stored.append({"attribute": attribute, "operator": operator, "values": values})
    return Segment.objects.create(name=name, conditions=stored, user_type=user_type)


class Library(TestCase):
    """The cast and the shelves that every test finds."""

    @classmethod
    def setUpTestData(cls):
        cls.visitor = AnonymousUser()
        # Ann works for a customer that pays for a team.
        cls.ann = User.objects.create(username="ann")
        # Bob is staff, and in the files of the same customer.
        cls.bob = User.objects.create(username="bob", is_staff=True)
        # Eve has an account and nothing else.
        cls.eve = User.objects.create(username="eve")
        # Root is a superuser.
        cls.root = User.objects.create(username="root", is_staff=True, is_superuser=True)
        cls.partner, cls.vip = Tag.objects.create(name="partner"), Tag.objects.create(name="vip")
        cls.acme = Company.objects.create(name="Acme", plan="team")
        cls.acme.tags.add(cls.partner)
        cls.north = Region.objects.create(name="North")
        cls.profile = Profile.objects.create(
            user=cls.ann, company=cls.acme, region=cls.north, is_beta_tester=True
        )
        cls.profile.tags.add(cls.vip)
        Profile.objects.create(user=cls.bob, company=cls.acme)

        cls.partners = segment("Partners", ["tag any", "partner"])
        everyone, partners = Audience.everyone(), Audience.of(cls.partners)
        cls.top = Folder.objects.create(name="Top", audience=everyone)
        cls.inner = Folder.objects.create(name="Inner", parent=cls.top, audience=partners)
        deep = Folder.objects.create(name="Deep", parent=cls.inner, audience=everyone)
        cls.open = Report.objects.create(title="Open", folder=cls.top, audience=everyone)
        cls.secret = Report.objects.create(title="Secret", folder=cls.top, audience=partners)
        cls.deep = Report.objects.create(title="Deep", folder=deep, audience=everyone)
        cls.new = Report.objects.create(title="New", folder=cls.top)
        for report in Report.objects.all():
            Note.objects.create(report=report, text=f"Note on {report}")

    def seen_by(self, user):
        """The titles of the reports that a user may see; the list and each single check agree."""
        seen = set(Report.objects.visible_to(user))
        self.assertEqual(seen, {each for each in Report.objects.all() if each.is_visible_to(user)})
        return {report.title for report in seen}


class TheRule(Library):
    """Who sees what."""

    def test_content_is_shown_to_its_audience_and_hidden_folders_hide_it(self):
        self.assertEqual(self.seen_by(self.visitor), {"Open"})
        self.assertEqual(self.seen_by(self.eve), {"Open"})
        self.assertEqual(self.seen_by(self.ann), {"Open", "Secret", "Deep"})
        self.assertEqual(self.seen_by(self.root), {"Open", "Secret", "Deep", "New"})

    def test_staff_do_not_have_the_tags_of_their_company(self):
        self.assertEqual(self.seen_by(self.bob), {"Open"})

    def test_an_inactive_person_is_a_visitor(self):
        User.objects.filter(pk=self.ann.pk).update(is_active=False)
        self.assertEqual(self.seen_by(self.ann), {"Open"})

    def test_notes_follow_their_report(self):
        self.assertEqual(Note.objects.visible_to(self.eve).get().report, self.open)
        self.assertEqual(Note.objects.visible_to(self.ann).count(), 3)

    def test_a_moved_folder_takes_its_reports_along(self):
        Folder.objects.filter(name="Deep").update(parent=self.top)
        self.assertEqual(self.seen_by(self.eve), {"Open", "Deep"})

    def test_the_example_of_the_readme(self):
        user, report, partners = self.ann, self.secret, self.partners
        report.title = "Plans for 2026"
        # [readme:use]
        Report.objects.filter(title__contains="2026").visible_to(user)  # a queryset: chain it
        report.is_visible_to(user)  # the same rule for one object

        staff = Segment.objects.get(built_in="staff")
        report.audience = Audience.of(partners, staff)  # or Audience.everyone(), .nobody()
        report.save()

        Segment.objects.for_user(user)  # the segments of a person
        partners.members()  # the people of a segment, as a queryset of users
        # [/readme]
        found = Report.objects.filter(title__contains="2026")
        self.assertEqual(found.visible_to(user).get(), report)
        self.assertEqual(found.visible_to(self.bob).get(), report)
        self.assertFalse(found.visible_to(self.eve).exists())

    def test_the_example_of_a_segment(self):
        ann, bob = self.ann, self.bob
        next_month = timezone.now() + timedelta(days=30)
        # [readme:segment]
        paying_partners = Segment.objects.create(
            name="Paying partners",
            conditions=[
                {"attribute": "tag", "operator": "any", "values": ["partner", "vip"]},
                {"attribute": "plan", "operator": "none", "values": ["free"]},
            ],
        )
        paying_partners.include(bob, until=next_month)
        # [/readme]
        self.assertEqual(set(paying_partners.members()), {ann, bob})


class Attributes(Library):
    """Each kind of attribute, asked in both directions."""

    def assert_members(self, expected, *conditions):
        made = segment("Tried", *conditions)
        self.assertEqual(set(made.members()), set(expected))
        for user in User.objects.all():
            is_in = Segment.objects.for_user(user).filter(pk=made.pk).exists()
            self.assertEqual(is_in, user in expected, user)

    def test_names_of_django_groups(self):
        editors = Group.objects.create(name="Editors")
        self.eve.groups.add(editors)
        self.assert_members([self.eve], ["team any", "Editors"])

    def test_a_choice_two_steps_away(self):
        self.assert_members([self.ann, self.bob], ["plan any", "team"])

    def test_united_lookups(self):
        self.assert_members([self.ann], ["tag all", "partner", "vip"])

    def test_a_boolean(self):
        self.assert_members([self.ann], ["beta any", True])

    def test_a_boolean_that_is_false(self):
        self.assert_members([self.bob], ["beta any", False])

    def test_a_uuid(self):
        self.assert_members([self.ann], ["region any", str(self.north.pk)])

    def test_none_includes_those_without_any_value(self):
        self.assert_members([self.bob, self.eve, self.root], ["region none", str(self.north.pk)])

    def test_a_named_value_cannot_be_deleted(self):
        segment("Northerners", ["region any", str(self.north.pk)])
        with self.assertRaisesMessage(ProtectedError, "Northerners"):
            self.north.delete()

    def test_a_named_value_cannot_be_deleted_in_bulk_either(self):
        with self.assertRaisesMessage(ProtectedError, "Partners"):
            Tag.objects.filter(name="partner").delete()

    def test_a_segment_in_use_cannot_be_deleted(self):
        with self.assertRaisesMessage(ProtectedError, "Secret"):
            self.partners.delete()


class KeysThatAreNoNumbers(Library):
    """Content whose primary key is a UUID."""

    def test_nested_boxes_hide_their_letters(self):
        outer = Box.objects.create(audience=Audience.of(self.partners))
        inner = Box.objects.create(outer=outer, audience=Audience.everyone())
        Letter.objects.create(text="in a box", box=inner)
        Letter.objects.create(text="on the table")
        self.assertEqual({str(x) for x in Letter.objects.visible_to(self.eve)}, {"on the table"})
        self.assertEqual(Letter.objects.visible_to(self.ann).count(), 2)
        self.assertEqual(set(Box.objects.visible_to(self.ann)), {outer, inner})
        self.assertTrue(inner.is_visible_to(self.ann))
        self.assertFalse(inner.is_visible_to(self.eve))

    def test_boxes_that_lie_too_deep_are_hidden(self):
        box = None
        for _ in range(3):
            box = Box.objects.create(outer=box, audience=Audience.everyone())
        self.assertEqual(Box.objects.visible_to(self.visitor).count(), 2)
        self.assertFalse(box.is_visible_to(self.visitor))


class Exits(Library):
    """Every way out of the project shows the same."""

    def sign_in(self, user):
        if user.pk:
            self.client.force_login(user)

    def test_pages(self):
        self.sign_in(self.eve)
        for page in ("/", "/reports/"):
            shown = self.client.get(page)
            self.assertContains(shown, "Open")
            self.assertNotContains(shown, "Secret")
        self.assertEqual(self.client.get(f"/reports/{self.open.pk}/").status_code, 200)

    def test_a_hidden_page_answers_as_a_missing_one(self):
        self.sign_in(self.eve)
        hidden = self.client.get(f"/reports/{self.secret.pk}/")
        self.assertEqual(hidden.status_code, 404)
        self.assertEqual(hidden.content, self.client.get("/reports/987654/").content)

    def test_api(self):
        self.sign_in(self.ann)
        listed = [report["title"] for report in self.client.get("/api/reports/").json()]
        self.assertEqual(set(listed), {"Open", "Secret", "Deep"})
        self.assertEqual(self.client.get(f"/api/reports/{self.secret.pk}/").status_code, 200)
        self.assertEqual(self.client.get(f"/api/reports/{self.new.pk}/").status_code, 404)

    def test_admin_of_limited_staff(self):
        self.bob.user_permissions.add(*Permission.objects.filter(content_type__app_label="library"))
        self.sign_in(self.bob)
        listed = self.client.get("/admin/library/report/")
        self.assertContains(listed, "Open")
        self.assertNotContains(listed, "Secret")
        page = f"/admin/library/report/{self.secret.pk}/change/"
        self.assertEqual(self.client.get(page).status_code, 302)
        choices = self.client.get(f"/admin/library/report/{self.open.pk}/change/")
        self.assertContains(choices, "Top")
        self.assertNotContains(choices, "Inner")

    def test_admin_of_a_superuser(self):
        self.sign_in(self.root)
        self.assertContains(self.client.get("/admin/library/report/"), "Secret")
        self.assertContains(self.client.get("/admin/segments/segment/"), "Partners")

    def test_a_superuser_changes_an_audience(self):
        self.sign_in(self.root)
        sent = {"title": "Secret", "folder": self.top.pk, "audience": "everyone"}
        page = f"/admin/library/report/{self.secret.pk}/change/"
        asked = self.client.post(page, sent)
        self.assertContains(asked, "Visible to every visitor from now on")
        self.assertEqual(self.seen_by(self.eve), {"Open"})
        sent |= {"_seen": asked.context["seen"], "_widen": "yes"}
        self.assertRedirects(self.client.post(page, sent), "/admin/library/report/")
        self.assertEqual(self.seen_by(self.eve), {"Open", "Secret"})

    def test_a_superuser_manages_segments(self):
        self.sign_in(self.root)
        sent = {"name": "Gold", "user_type": "end_users", "seen_version": ""}
        sent |= {"conditions-TOTAL_FORMS": 1, "conditions-INITIAL_FORMS": 0}
        sent |= {"people-TOTAL_FORMS": 0, "people-INITIAL_FORMS": 0}
        sent |= {"conditions-0-attribute": "beta", "conditions-0-operator": "any"}
        answer = self.client.post(
            "/admin/segments/segment/add/", sent | {"conditions-0-add": "yes"}
        )
        self.assertRedirects(answer, "/admin/segments/segment/")
        stored = Segment.objects.get(name="Gold")
        condition = {"attribute": "beta", "operator": "any", "values": [True]}
        self.assertEqual(stored.conditions, [condition])
        page = self.client.get(f"/admin/segments/segment/{stored.pk}/change/")
        self.assertContains(page, 'value="True" checked')

    def test_the_plugin_brings_its_translations(self):
        with override("de"):
            self.assertEqual(sentence_of(self.partners), "Personen mit tag partner")
            self.assertEqual(str(Audience.everyone()), "Alle")

    def test_a_superuser_asks_who_can_see(self):
        self.sign_in(self.root)
        page = f"/admin/library/report/{self.secret.pk}/"
        self.assertContains(self.client.get(f"{page}who-can-see/"), "Only these people")
        asked = {"person": self.eve.get_username()}
        self.assertContains(self.client.get(f"{page}explain/", asked), "cannot see this")

    def test_the_command_explains(self):
        said = StringIO()
        call_command("explain_access", "ann", "library.Report", str(self.deep.pk), stdout=said)
        self.assertIn("Partners", said.getvalue())
        self.assertIn("through Acme", said.getvalue())


@skipUnless(connection.vendor == "postgresql", "row-level security is PostgreSQL's")
class RowSecurity(Library):
    """The database itself hides what `visible_to` hides, from the owner too, who runs the tests."""

    def setUp(self):
        wall = override_settings(SEGMENTS={**settings.SEGMENTS, "ROW_SECURITY": True})
        wall.enable()
        self.addCleanup(wall.disable)
        outer = Box.objects.create(audience=Audience.everyone())
        inner = Box.objects.create(audience=Audience.of(self.partners), outer=outer)
        deep = Box.objects.create(audience=Audience.everyone(), outer=inner)
        for box in (None, outer, inner, deep):
            Letter.objects.create(box=box, text="Dear")
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        call_command("enable_rls", stdout=StringIO())

    def test_the_tables_show_what_the_rule_shows(self):
        shown = {}
        for user in (self.visitor, self.eve, self.ann, self.bob, self.root):
            for model in (Folder, Report, Note, Box, Letter):
                with lifted():
                    expected = set(model.objects.visible_to(user).values_list("pk", flat=True))
                with transaction.atomic():
                    see_as(user)
                    found = set(model._base_manager.values_list("pk", flat=True))
                    transaction.set_rollback(True)
                self.assertEqual(found, expected, f"{model.__name__} for {user}")
                shown[str(user), model] = len(found)
        # Something is hidden from some, and shown to others.
        for model in (Folder, Report, Note, Box, Letter):
            self.assertLess(shown["eve", model], shown["ann", model])
            self.assertLessEqual(shown["ann", model], shown["root", model])

    def test_people_write_where_they_see(self):
        with transaction.atomic():
            see_as(self.eve)
            Folder.objects.create(name="Mine", parent=self.top, audience_id=Audience.EVERYONE)
            for above, audience in [(self.inner, Audience.EVERYONE), (self.top, Audience.NOBODY)]:
                refused = self.assertRaisesMessage(DatabaseError, "row-level security")
                with refused, transaction.atomic():
                    Folder.objects.create(name="No", parent=above, audience_id=audience)

"""The pages that manage segments: what they warn of, what they ask, and what they cost."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import Organization
from helpcenter.models import Category, HelpCenter, PermissionGroup, Section
from segments import segment_list
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory
from tests.factories_people import PersonFactory
from tests.segments.test_segment_admin import address, admin, form_of, hidden_fields

__all__ = ["admin"]
pytestmark = pytest.mark.django_db
LIST = "admin:segments_segment_changelist"


class TestWarnings:
    """Beside the form, as it is typed and when it is opened."""

    def warnings(self, admin, segment, **sent):
        typed = admin.post(address(segment, "draft"), form_of(segment, **sent))
        return typed.context["preview"]["warnings"]

    def test_nobody_matches(self, admin, segment_of):
        narrow = [("tag", "any", ["premium"]), ("language", "any", ["fr"])]
        found = self.warnings(admin, segment_of["premium"], conditions=narrow)
        assert found == ["Nobody is in this segment."]

    def test_only_organizations_are_named(self, admin, segment_of):
        acme = [("organization", "any", [Organization.objects.get(name="Acme").pk])]
        premium = segment_of["premium"]
        (found,) = self.warnings(admin, premium, conditions=acme)
        assert "every agent is in" in found
        assert self.warnings(admin, premium, conditions=acme, user_type="end_users") == []

    def test_language_is_the_only_condition(self, admin, segment_of):
        french = [("language", "any", ["fr"])]
        (found,) = self.warnings(admin, segment_of["premium"], conditions=french)
        assert "Language is the only condition" in found
        both = [*french, ("role", "any", ["end_user"])]
        assert self.warnings(admin, segment_of["premium"], conditions=both) == []

    def test_a_deleted_organization_is_named(self, admin, segment_of):
        acme = Organization.objects.get(name="Acme").pk
        with connection.cursor() as cursor:
            # As only raw SQL can: the admin refuses to delete what conditions name.
            for table in ("organizationmembership", "organization_tags"):
                cursor.execute(f"DELETE FROM accounts_{table} WHERE organization_id = {acme}")
            cursor.execute(f"DELETE FROM accounts_organization WHERE id = {acme}")
        page = admin.get(address(segment_of["acme"]))
        nobody, gone = page.context["preview"]["warnings"]
        assert nobody == "Nobody is in this segment." and str(acme) in gone
        typed = form_of(segment_of["acme"], [("organization", "any", [acme])])
        page = admin.post(address(segment_of["acme"], "draft"), typed)
        assert gone in page.context["preview"]["warnings"]


class TestAsking:
    """No way around the page that shows what a change does."""

    def test_an_exclusion_that_ends_needs_a_tick(self, admin, cast, segment_of):
        premium = segment_of["premium"]
        until = (timezone.now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%S")
        row = {"user": cast["omar"].pk, "kind": "excluded", "until": until}
        answer = admin.post(address(premium), form_of(premium, people=[row]))
        page = answer.content.decode()
        assert "1 person leaves" in page and "An exclusion ends on its date" in page
        admin.post(address(premium), hidden_fields(answer))
        assert not premium.people.exists()
        admin.post(address(premium), hidden_fields(answer) | {"_widen": "yes"})
        assert premium.people.get().user == cast["omar"]

    @pytest.mark.parametrize("forged", ["", "0" * 64, "of another change"])
    def test_a_tick_alone_is_no_confirmation(self, admin, segment_of, forged):
        premium = segment_of["premium"]
        wide = form_of(premium, [("role", "any", ["end_user"])])
        if forged == "of another change":
            narrow = [("tag", "any", ["premium"]), ("language", "any", ["fr"])]
            forged = admin.post(address(premium), form_of(premium, narrow)).context["seen"]
        answer = admin.post(address(premium), wide | {"_seen": forged, "_widen": "yes"})
        assert answer.context["widens"]
        assert Segment.objects.get(pk=premium.pk).conditions == premium.conditions

    def test_a_name_is_stored_at_once(self, admin, segment_of):
        sent = form_of(segment_of["premium"], name="Gold")
        assert admin.post(address(segment_of["premium"]), sent).status_code == 302


def test_every_kind_of_use_is_said(admin, segment_of, monkeypatch):
    monkeypatch.setattr(segment_list, "PATIENCE_OF_A_PAGE", 60)
    audience = Audience.of(segment_of["returns"])
    article = ArticleFactory(audience=audience)
    for model in (Section, Category, HelpCenter):
        model._base_manager.update(audience=audience)
    PermissionGroup.objects.create(name="Guides", edit=audience, publish=audience)
    answer = admin.get(reverse(LIST), {"q": "returns"})
    (row,) = answer.context["list"].rows
    assert {use.words: use.count for use in row.uses} == {
        "article": 1,
        "section": 1,
        "category": 1,
        "help center": 1,
        "permission group (may edit)": 1,
        "permission group (may publish)": 1,
    }
    page = answer.content.decode()
    assert f"/admin/helpcenter/article/?shown_to={segment_of['returns'].pk}" in page
    shown = admin.get(address(segment_of["returns"], "delete")).content.decode()
    assert reverse("admin:helpcenter_article_change", args=[article.pk]) in shown
    assert reverse("admin:helpcenter_permissiongroup_change", args=[row.segment.pk])[:30] in shown


class TestCost:
    """A constant number of queries, however many segments, articles and people there are."""

    @pytest.fixture
    def ask(self, admin, segment_of, monkeypatch):
        """Page -> a request for it."""
        # What one segment has of members is a query of its own, and asked for apart.
        monkeypatch.setattr(segment_list, "PATIENCE_OF_A_PAGE", -1)
        acme = segment_of["acme"]
        suggest = reverse("admin:segments_segment_suggest")

        def draft(page):
            typed = [("organization", "any", [Organization.objects.get(name="Acme").pk])]
            typed.append(("language", "none", ["fr"]))
            return lambda: admin.post(address(acme, page), form_of(acme, typed))

        return {
            "list": lambda: admin.get(reverse(LIST)),
            "list by use": lambda: admin.get(reverse(LIST), {"sort": "-uses"}),
            "list of what is broken": lambda: admin.get(reverse(LIST), {"state": "broken"}),
            "form": lambda: admin.get(address(acme)),
            "preview": draft("draft"),
            "impact": draft("change"),
            "values": lambda: admin.get(
                suggest, {"row": "c", "c-attribute": "organization", "c-add": "more"}
            ),
            "people": lambda: admin.get(suggest, {"row": "people-0", "people-0-add": "more"}),
        }

    @pytest.fixture
    def grow(self, segment_of):
        def grow(count):
            for number in range(count):
                name = f"More {Segment.objects.count()}"
                organization = Organization.objects.create(name=name)
                named = {"attribute": "organization", "operator": "any"}
                values = {"values": [organization.pk]}
                segment = Segment.objects.create(name=name, conditions=[named | values])
                audience = Audience.of(segment, segment_of["acme"])
                ArticleFactory(audience=audience, section__audience=audience)
                PersonFactory(
                    email=f"more{Segment.objects.count()}@example.com",
                    name=f"More {number}",
                    organizations=["Acme", name],
                )

        return grow

    def test_it_does_not_grow(self, ask, grow):
        def queries():
            found = {}
            for page, request in ask.items():
                with CaptureQueriesContext(connection) as captured:
                    assert request().status_code == 200, page
                found[page] = len(captured)
            return found

        grow(2)
        queries()  # compiles the rules
        few = queries()
        grow(6)
        queries()
        assert queries() == few

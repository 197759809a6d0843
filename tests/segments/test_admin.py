"""The admin for staff who may manage content but not see all of it, and for segments."""

import re

import pytest
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import include, path, reverse

from helpcenter.models import Article, ArticleTranslation, Category, Section
from segments.admin import RestrictedAdmin, VisibleRawIdWidget
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory, CategoryFactory, SectionFactory
from tests.factories_people import OrganizationFactory, PersonFactory, TagFactory

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Permissive(RestrictedAdmin):
    """Gives every member of staff every permission, so that only the rule hides things."""

    def has_module_permission(self, request):
        return True

    def has_view_permission(self, request, obj=None):
        return True

    has_add_permission = has_change_permission = has_delete_permission = has_view_permission


class Words(admin.TabularInline):
    model = ArticleTranslation
    fields = ["locale", "title"]
    extra = 0

    def has_view_permission(self, request, obj=None):
        return True

    has_change_permission = has_view_permission


class Shelf(Permissive):
    search_fields = ["translations__title"]


class ArticleShelf(Shelf):
    list_filter = [
        "section",
        "section__category",
        ("section__parent", admin.RelatedOnlyFieldListFilter),
        ("section", admin.RelatedFieldListFilter),
        "audience",
        "audience__segments",
        "published",
    ]
    fields = ["section", "position"]
    autocomplete_fields = ["section"]
    inlines = [Words]


class SectionShelf(Shelf):
    fields = ["category", "parent"]
    list_filter = ["category"]


class RawSite(admin.AdminSite):
    """A second site whose forms take numbers."""


class RawArticles(ArticleShelf):
    autocomplete_fields = []
    raw_id_fields = ["section"]
    inlines = []


site, raw_site = admin.AdminSite(name="shelves"), RawSite(name="raw")
for where, article_admin in ((site, ArticleShelf), (raw_site, RawArticles)):
    where.register(Article, article_admin)
    where.register(Section, SectionShelf)
    where.register(Category, Shelf)
urlpatterns = [
    path("shelves/", site.urls),
    path("raw/", raw_site.urls),
    path("", include("helpcenter.urls")),
]


def url(kind, action, *args, site="shelves"):
    return reverse(f"{site}:helpcenter_{kind}_{action}", args=args)


@pytest.fixture
def content(db):
    """Something the agents may see, called "open …", and beside it what they may not."""
    customers = Audience.of(Segment.objects.create(name="Canary customers", user_type="end_users"))
    shelf = CategoryFactory(title="open category")
    hidden = CategoryFactory(title="canary category", audience=customers)
    section = SectionFactory(title="open section", category=shelf)
    inside = SectionFactory(title="canary section", category=shelf, audience=customers)
    everyone = Audience.everyone()
    article = ArticleFactory(title="open article", section=section, audience=everyone)
    article.translations.create(locale="fr", title="canary draft", draft=True)
    things = {
        "category": (shelf, hidden),
        "section": (section, inside),
        "article": (
            article,
            ArticleFactory(title="canary article", section=section, audience=customers),
        ),
    }
    # A filter with one choice is not shown, so there are other open shelves.
    other = SectionFactory(category=CategoryFactory(title="second category"))
    ArticleFactory(section=other, audience=everyone)
    # A section without an article to show answers as missing, so each open one has some.
    ArticleFactory(title="canary inside", section=inside, audience=everyone)
    ArticleFactory(title="canary too", section=SectionFactory(category=hidden), audience=customers)
    return things


@pytest.fixture
def agent(client):
    client.force_login(PersonFactory(role="light_agent", email="agent@example.com"))
    return client


@pytest.fixture
def owner(content):
    """An admin, for the positive controls."""
    client = Client()
    client.force_login(PersonFactory(role="admin", email="owner@example.com"))
    return client


def text(response):
    assert response.status_code == 200, response
    return response.content.decode()


KINDS = ["category", "section", "article"]


@pytest.mark.parametrize("kind", KINDS)
def test_lists_show_what_the_viewer_may_see(agent, owner, content, kind):
    shown = text(agent.get(url(kind, "changelist")))
    assert f"open {kind}" in shown and "canary" not in shown.lower()
    assert "canary" in text(owner.get(url(kind, "changelist")))


@pytest.mark.parametrize("kind", KINDS)
def test_searching_finds_nothing_hidden(agent, owner, content, kind):
    address = url(kind, "changelist")
    assert "0 results" in text(agent.get(address, {"q": f"canary {kind}"}))
    assert "1 result" in text(owner.get(address, {"q": f"canary {kind}"}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("action", ["change", "delete", "history"])
def test_pages_of_hidden_objects_answer_as_missing(agent, owner, content, kind, action):
    seen, hidden = content[kind]
    assert agent.get(url(kind, action, seen.pk)).status_code == 200
    assert owner.get(url(kind, action, hidden.pk)).status_code == 200

    def answer(pk):
        response = agent.get(url(kind, action, pk), follow=True)
        words = response.content.decode().replace(str(pk), "ID")
        return response.redirect_chain, re.sub(r'csrf\w+"? value="\w+"|nonce="\w+"', "", words)

    assert answer(hidden.pk) == answer(1234567)


@pytest.mark.parametrize("kind", KINDS)
def test_posting_to_hidden_objects_changes_nothing(agent, content, kind):
    _seen, hidden = content[kind]
    model = type(hidden)
    agent.post(url(kind, "delete", hidden.pk), {"post": "yes"})
    agent.post(url(kind, "change", hidden.pk), {"position": 7})
    chosen = {"action": "delete_selected", "_selected_action": [hidden.pk], "post": "yes"}
    agent.post(url(kind, "changelist"), chosen)
    assert model.objects.get(pk=hidden.pk).position == 0


@pytest.mark.surface(12, 54)
def test_filters_offer_nothing_hidden(agent, owner, content):
    shown = text(agent.get(url("article", "changelist")))
    assert "open section" in shown and "open category" in shown
    assert "canary" not in shown.lower()
    # Names of segments and audiences are for admins.
    assert "By audience" not in shown
    control = text(owner.get(url("article", "changelist")))
    assert "canary section" in control and "canary category" in control
    assert "Canary customers" in control


@pytest.mark.parametrize("query", ["audience__id__exact", "audience__segments__id__exact"])
def test_filters_that_are_not_offered_are_refused(agent, content, query):
    segment = Segment.objects.get(name="Canary customers")
    response = agent.get(url("article", "changelist"), {query: segment.pk})
    # Refused, or as for any number: it must not say which of the visible have this audience.
    other = agent.get(url("article", "changelist"), {query: 1234567})
    assert (response.status_code, other.status_code) in [(302, 302), (400, 400), (200, 200)]


@pytest.mark.surface(19)
@pytest.mark.parametrize("kind", ["section", "article"])
def test_forms_offer_nothing_hidden(agent, owner, content, kind):
    for address in (url(kind, "add"), url(kind, "change", content[kind][0].pk)):
        assert "canary" not in text(agent.get(address)).lower()
    if kind == "section":
        assert "canary category" in text(owner.get(url(kind, "add")))


@pytest.mark.surface(14, 54)
def test_autocomplete_finds_nothing_hidden(agent, owner, content):
    address = reverse("shelves:autocomplete")
    query = {"app_label": "helpcenter", "model_name": "article", "field_name": "section"}

    def found(client, term):
        return [
            row["text"] for row in client.get(address, {**query, "term": term}).json()["results"]
        ]

    assert found(agent, "open") == ["open section"]
    assert found(agent, "canary") == []
    assert found(owner, "canary") == ["canary section"]
    assert "canary" not in str(found(agent, ""))


@pytest.mark.surface(19, 21, 32)
@pytest.mark.parametrize("site", ["shelves", "raw"])
def test_what_is_hidden_cannot_be_chosen_and_is_not_named(agent, owner, content, site):
    article, hidden = content["article"][0], content["section"][1]
    address = url("article", "change", article.pk, site=site)
    data = {"section": hidden.pk, "position": 0}
    for prefix in ("translations-",):
        data |= {f"{prefix}TOTAL_FORMS": 0, f"{prefix}INITIAL_FORMS": 0}
    answer = text(agent.post(address, data))
    assert "canary" not in answer.lower()
    missing = text(agent.post(address, {**data, "section": 1234567}))
    assert ("errorlist" in answer, "errorlist" in missing) == (True, True)
    article.refresh_from_db()
    assert article.section != hidden
    # The control: whoever may see it, may choose it.
    asked = owner.post(address, data)
    assert owner.post(address, data | {"_seen": asked.context["seen"]}).status_code == 302
    article.refresh_from_db()
    assert article.section == hidden


@pytest.mark.parametrize("value", ["", "x", "9" * 30, "1.5", "\u0663"])
def test_numbers_that_are_none_are_refused(agent, content, value):
    address = url("article", "change", content["article"][0].pk, site="raw")
    assert "errorlist" in text(agent.post(address, {"section": value, "position": 0}))


@pytest.mark.surface(19, 54)
def test_beside_a_number_stands_only_the_name_of_what_is_visible(rf, content):
    request = rf.get("/")
    request.user = PersonFactory(role="agent")
    shelf = RawArticles(Article, raw_site)
    widget = shelf.get_form(request).base_fields["section"].widget
    assert isinstance(widget, VisibleRawIdWidget)
    section, hidden = content["section"]
    address = url("section", "change", section.pk, site="raw")
    assert widget.label_and_url_for_value(section.pk) == ("open section", address)
    for value in (hidden.pk, 1234567, "x", "9" * 30):
        assert widget.label_and_url_for_value(value) == ("", "")
    plain = SectionShelf(Section, raw_site).get_form(request).base_fields["category"].widget
    assert not isinstance(plain, VisibleRawIdWidget)


def test_what_a_form_offers_may_be_limited_further(rf, content):
    request = rf.get("/")
    request.user = PersonFactory(role="agent")
    section, hidden = content["section"]
    SectionFactory(category=section.category)
    rows = Section.objects.filter(pk__in=[section.pk, hidden.pk])
    shelf = SectionShelf(Section, site)
    field = shelf.formfield_for_foreignkey(
        Section._meta.get_field("parent"), request, queryset=rows
    )
    assert [*field.queryset] == [section]


def test_filters_after_those_for_admins_are_offered(rf, content):
    request = rf.get("/")
    request.user = PersonFactory(role="agent")
    offered = ArticleShelf(Article, site).get_list_filter(request)
    assert offered[-1] == "published" and len(offered) == 5


@pytest.mark.surface(54)
def test_inlines_show_nothing_hidden(agent, owner, content):
    address = url("article", "change", content["article"][0].pk)
    assert "open article" in text(agent.get(address))
    assert "canary draft" not in text(agent.get(address))
    assert "canary draft" in text(owner.get(address))


@pytest.mark.surface(54)
def test_nothing_hidden_goes_along_and_nothing_hidden_is_named(agent, owner, content):
    section = content["section"][0]
    # Others that are seen make up for nothing.
    ArticleFactory.create_batch(3, audience=Audience.everyone())
    page = text(agent.get(url("section", "delete", section.pk)))
    assert "outside what you may see" in page and "canary" not in page.lower()
    agent.post(url("section", "delete", section.pk), {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [section.pk]}
    page = text(agent.post(url("section", "changelist"), chosen))
    assert "outside what you may see" in page and "canary" not in page.lower()
    agent.post(url("section", "changelist"), {**chosen, "post": "yes"})
    assert Section.objects.filter(pk=section.pk).exists()
    assert "canary article" in text(owner.get(url("section", "delete", section.pk)))


def test_what_is_visible_as_a_whole_can_be_deleted(agent, content):
    section = SectionFactory(category=content["category"][0])
    ArticleFactory(section=section, audience=Audience.everyone())
    assert agent.post(url("section", "delete", section.pk), {"post": "yes"}).status_code == 302
    assert not Section.objects.filter(pk=section.pk).exists()


@pytest.mark.surface(30)
def test_the_history_names_audiences_to_those_who_may_know(agent, owner, content):
    article = content["article"][0]
    for audience in (Audience.nobody(), Audience.everyone()):
        Article.objects.filter(pk=article.pk).update(audience=audience)
    address = url("article", "history", article.pk)
    assert "Who may see it" in text(owner.get(address))
    assert "Who may see it" not in text(agent.get(address))


def test_the_way_to_a_page_of_the_site_tells_nothing(agent, content):
    """`/admin/r/…` looks up any object of any model, for everybody on the staff."""
    from django.contrib.contenttypes.models import ContentType

    from tests.factories_content import AttachmentFactory

    hidden = AttachmentFactory(article=content["article"][1], name="canary.txt")
    kind = ContentType.objects.get_for_model(hidden).pk

    def answer(site, pk):
        response = agent.get(f"/{site}/r/{kind}/{pk}/")
        return response.status_code, response.get("Location"), b"canary" in response.content

    assert answer("admin", hidden.pk) == answer("admin", 1234567)


def test_staff_rights_are_needed_at_all(client, content):
    for user in (None, PersonFactory()):
        if user:
            client.force_login(user)
        response = client.get(url("article", "changelist"))
        assert response.status_code == 302
    assert str(AnonymousUser()) == "AnonymousUser"


class TestSegments:
    def address(self, action, *args):
        return reverse(f"admin:segments_segment_{action}", args=args)

    def test_are_for_admins(self, agent, owner):
        segment = Segment.objects.create(name="Best")
        pages = [self.address("changelist"), self.address("change", segment.pk)]
        for address in pages:
            assert owner.get(address).status_code == 200
            assert agent.get(address).status_code in (302, 403)

    def test_in_use_are_not_deleted_and_the_page_lists_the_uses(self, owner):
        segment = Segment.objects.create(name="Best")
        ArticleFactory(title="Prices", audience=Audience.of(segment))
        address = self.address("delete", segment.pk)
        assert "Prices" in text(owner.get(address))
        owner.post(address, {"post": "yes"})
        chosen = {"action": "delete_selected", "_selected_action": [segment.pk], "post": "yes"}
        owner.post(self.address("changelist"), chosen)
        assert Segment.objects.filter(pk=segment.pk).exists()

    def test_unused_ones_are_deleted(self, owner):
        segment = Segment.objects.create(name="Best")
        Audience.of(segment)
        assert owner.post(self.address("delete", segment.pk), {"post": "yes"}).status_code == 302
        assert not Segment.objects.filter(pk=segment.pk).exists()

    @pytest.mark.parametrize("pk", [1, 2])
    def test_built_in_ones_stay(self, owner, pk):
        page = text(owner.get(self.address("change", pk)))
        assert "_save" not in page
        assert owner.get(self.address("delete", pk)).status_code == 403
        assert owner.post(self.address("change", pk), {"name": "Mine"}).status_code == 403
        chosen = {"action": "delete_selected", "_selected_action": [pk], "post": "yes"}
        owner.post(self.address("changelist"), chosen)
        assert Segment.objects.get(pk=pk).built_in

    def test_the_history_says_who_changed_what(self, owner):
        segment = Segment.objects.create(name="Best")
        Segment.objects.filter(pk=segment.pk).update(description="by hand")
        page = text(owner.get(self.address("history", segment.pk)))
        assert "by hand" in page and "unknown" in page


@pytest.mark.parametrize("kind", ["tag", "organization"])
def test_values_named_in_conditions_are_protected_in_the_admin(owner, kind):
    thing = TagFactory(name="vip") if kind == "tag" else OrganizationFactory(name="Acme")
    value = thing.name if kind == "tag" else thing.pk
    condition = {"attribute": kind, "operator": "any", "values": [value]}
    Segment.objects.create(name="Naming it", conditions=[condition])
    assert "Naming it" in text(owner.get(reverse(f"admin:accounts_{kind}_delete", args=[thing.pk])))
    owner.post(reverse(f"admin:accounts_{kind}_delete", args=[thing.pk]), {"post": "yes"})
    chosen = {"action": "delete_selected", "_selected_action": [thing.pk], "post": "yes"}
    owner.post(reverse(f"admin:accounts_{kind}_changelist"), chosen)
    assert type(thing).objects.filter(pk=thing.pk).exists()
    if kind == "tag":
        address = reverse("admin:accounts_tag_change", args=[thing.pk])
        answer = owner.post(address, {"name": "gold"}, follow=True)
        assert "Naming it" in text(answer)
        thing.refresh_from_db()
        assert thing.name == "vip"

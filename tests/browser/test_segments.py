"""Managing segments in a real browser, as an admin and as an agent who may not."""

import pytest
from django.urls import reverse

from helpcenter.models import Article
from segments.models import Audience, Segment

pytestmark = pytest.mark.django_db(transaction=True)
PHONE = {"width": 320, "height": 640}
LIST = "admin:segments_segment_changelist"


@pytest.fixture
def admin(site, sign_in, django_user_model):
    sign_in(django_user_model.objects.get(email__startswith="sam"))


def change(segment, page="change"):
    return reverse(f"admin:segments_segment_{page}", args=[segment.pk])


def premium():
    return Segment.objects.get(name__startswith="Premium")


def test_a_condition_is_added_by_keyboard_and_its_impact_confirmed(admin, page, screenshot):
    segment = premium()
    before = segment.members().count()
    page.goto(change(segment))
    screenshot("segment-form")
    # Tab order: the free row's attribute, operator, then the values that appear for it.
    row = page.get_by_role("group", name="Condition 2")
    row.get_by_label("Attribute").focus()
    row.get_by_label("Attribute").select_option("language")
    page.get_by_role("button", name="Add what is typed").focus()
    page.keyboard.press("Enter")
    row.get_by_text("Name at least one value").wait_for()
    row.get_by_label("French").focus()
    page.keyboard.press("Space")
    page.locator("#preview .count", has_text="0 people").wait_for()
    screenshot("segment-preview")
    page.get_by_role("button", name="Save", exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="What this change does").wait_for()
    screenshot("segment-impact")
    assert Segment.objects.get(pk=segment.pk).members().count() == before
    page.get_by_role("button", name="Store the change").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{reverse(LIST)}")
    assert Segment.objects.get(pk=segment.pk).members().count() == 0


def test_widening_needs_a_tick(admin, page):
    segment = premium()
    page.goto(change(segment))
    page.get_by_role("group", name="Person 1").get_by_label("Person", exact=True).fill("clai")
    option = page.locator("#people-0-options option").first
    option.wait_for(state="attached")
    address = option.get_attribute("value")
    page.get_by_role("group", name="Person 1").get_by_label("Person", exact=True).fill(address)
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Store the change").click()
    page.get_by_text("Tick the box").wait_for()
    page.get_by_label("Yes, more people may see").check()
    page.get_by_role("button", name="Store the change").click()
    page.wait_for_url(f"**{reverse(LIST)}")
    assert segment.members().filter(email=address).exists()


def test_replacing_a_segment(admin, page, screenshot):
    segment = premium()
    narrow = Segment.objects.create(name="Hardly anybody")
    page.goto(change(segment, "delete"))
    screenshot("segment-delete")
    page.get_by_label("Replace by").select_option(str(narrow.pk))
    page.get_by_role("button", name="Show what this does").click()
    page.get_by_role("button", name="Store the change").click()
    page.wait_for_url(f"**{reverse(LIST)}")
    assert not Segment.objects.filter(pk=segment.pk).exists()
    assert Article.objects.filter(audience__in=narrow.audiences.all()).exists()


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
def test_a_new_segment(admin, browser, page, live_server, javascript):
    context = browser.new_context(
        base_url=live_server.url, java_script_enabled=javascript, locale="en-US"
    )
    context.add_cookies(page.context.cookies())
    tab = context.new_page()
    tab.goto(reverse("admin:segments_segment_add"))
    tab.get_by_label("Name").fill("Agents who speak French")
    tab.get_by_label("Base type").select_option("staff")
    tab.get_by_label("Attribute").select_option("language")
    tab.get_by_label("Add a value").fill("French")
    tab.get_by_role("button", name="Save", exact=True).click()
    tab.wait_for_url(f"**{reverse(LIST)}")
    context.close()
    stored = Segment.objects.get(name="Agents who speak French")
    assert stored.conditions == [{"attribute": "language", "operator": "any", "values": ["fr"]}]


def pages():
    segment = premium()
    return [
        reverse(LIST),
        reverse("admin:segments_segment_add"),
        change(segment),
        change(segment, "delete"),
        change(Segment.objects.get(built_in="staff")),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_them(admin, page, axe, scheme):
    page.emulate_media(color_scheme=scheme)
    for address in pages():
        page.goto(address)
        assert axe(page) == [], address


def test_they_fit_a_phone(admin, page, screenshot):
    page.set_viewport_size(PHONE)
    for number, address in enumerate(pages()):
        page.goto(address)
        screenshot(f"segments-phone-{number}")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address


def test_the_list(admin, page, screenshot):
    page.goto(reverse(LIST))
    screenshot("segment-list")
    page.get_by_role("link", name="Members", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=members**")
    page.get_by_label("Search").fill("premium")
    page.get_by_role("button", name="Show").click()
    assert page.locator("#result_list tbody tr").count() == 1


def test_an_agent_learns_of_no_segment(site, page, sign_in, django_user_model, screenshot):
    sign_in(django_user_model.objects.get(email__startswith="ana"))
    for address in pages():
        answer = page.goto(address)
        assert answer.status in (403, 404), address
        assert "Premium" not in page.content()
    screenshot("segment-agent")


def test_a_picked_audience_is_used(admin):
    """Positive control for the fixture: the demo restricts something to the segment."""
    assert Article.objects.filter(audience__in=Audience.objects.filter(segments=premium())).exists()


def inspected():
    article = Article.objects.get(translations__title="Reach the Premium line")
    person = Segment.objects.get(pk=premium().pk).members().first()
    article_pages = [
        reverse(f"admin:helpcenter_article_{name}", args=[article.pk])
        for name in ("change", "who_can_see", "explain")
    ]
    return [
        *article_pages,
        f"{article_pages[2]}?person={person.email}",
        reverse("admin:accounts_user_can_see", args=[person.pk]),
        reverse("admin:helpcenter_article_changelist"),
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_pages_about_access(admin, page, axe, screenshot, scheme):
    page.emulate_media(color_scheme=scheme)
    for number, address in enumerate(inspected()):
        page.goto(address)
        screenshot(f"access-{scheme}-{number}")
        assert axe(page) == [], address


def test_the_pages_about_access_fit_a_phone(admin, page):
    page.set_viewport_size(PHONE)
    for address in inspected()[1:5]:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address


def test_explaining_by_keyboard(admin, page):
    article = Article.objects.get(translations__title="Reach the Premium line")
    page.goto(reverse("admin:helpcenter_article_change", args=[article.pk]))
    page.get_by_role("link", name="Explain").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Person").fill("Nobody Known")
    page.keyboard.press("Enter")
    page.get_by_text("there is none called").wait_for()
    page.get_by_label("Person").fill("")
    page.keyboard.press("Enter")
    page.get_by_text("an anonymous visitor cannot see this").wait_for()


def test_a_list_is_exported_with_progress(admin, page):
    article = Article.objects.get(translations__title="Reach the Premium line")
    page.goto(reverse("admin:helpcenter_article_who_can_see", args=[article.pk]))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert "Maria" in download.value.path().read_text()
    assert page.locator("progress").is_visible()


def test_a_changed_audience_is_confirmed(admin, page, screenshot):
    article = Article.objects.get(translations__title="Register your warranty")
    page.goto(reverse("admin:helpcenter_article_change", args=[article.pk]))
    page.get_by_label("Audience").select_option("everyone")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("Visible to every visitor from now on").wait_for()
    screenshot("audience-impact")
    page.get_by_label("Yes, more people may see this").check()
    page.get_by_role("button", name="Store the change").click()
    page.wait_for_url("**/admin/helpcenter/article/")
    article.refresh_from_db()
    assert article.audience_id == Audience.EVERYONE


def test_a_long_list_of_segments_is_searched(admin, page, axe, screenshot):
    for number in range(20):
        Segment.objects.create(name=f"Partners of region {number}")
    article = Article.objects.get(translations__title="Reach the Premium line")
    address = reverse("admin:helpcenter_article_change", args=[article.pk])
    page.goto(address)
    names = page.get_by_label("Audience").locator("option")
    assert names.count() > 20
    page.get_by_label("Search segments").fill("region 17")
    # What is chosen stays in sight, and chosen.
    assert names.all_inner_texts() == ["Partners of region 17", "Premium homes"]
    assert axe(page) == []
    screenshot("audience-search")
    page.get_by_label("Audience").select_option(["Premium homes", "Partners of region 17"])
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("heading", name="What this change does").wait_for()
    page.set_viewport_size(PHONE)
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_many_audiences_are_changed(admin, page, screenshot):
    page.goto(reverse("admin:helpcenter_article_changelist"))
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("change_audience")
    page.get_by_role("button", name="Run").or_(page.get_by_role("button", name="Go")).first.click()
    screenshot("bulk-audience")
    page.get_by_label("Audience").select_option("nobody")
    page.get_by_role("button", name="Show what this does").click()
    screenshot("bulk-audience-impact")
    page.get_by_role("button", name="Store the change").click()
    page.get_by_text("Who sees them has changed for").wait_for()
    assert not Article.objects.exclude(audience=Audience.NOBODY).exists()


def test_the_history_by_keyboard(admin, page, axe, screenshot):
    segment = premium()
    Segment.objects.filter(pk=segment.pk).update(description="For homes with care")
    page.goto(change(segment, "history"))
    page.get_by_role("button", name="Compare").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="What differs").wait_for()
    assert page.get_by_role("cell", name="For homes with care", exact=True).is_visible()
    assert axe(page) == []
    screenshot("segment-history")
    page.get_by_role("link", name="Go back to this").last.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**restore=**")
    assert page.get_by_label("Description").input_value() == ""
    page.set_viewport_size(PHONE)
    page.goto(change(segment, "history"))
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


COVERED = """() => {
    const focused = document.activeElement, bar = document.querySelector(".viewing");
    const {top, bottom} = focused.getBoundingClientRect(), edge = bar.getBoundingClientRect();
    return !bar.contains(focused) && bottom > 0 && top >= edge.top && bottom <= edge.bottom
        && !focused.matches(".skip");
}"""


@pytest.mark.parametrize("first", ["sam", "ana"], ids=["admin", "agent"])
def test_view_as(site, page, sign_in, django_user_model, axe, screenshot, first):
    sign_in(django_user_model.objects.get(email__startswith=first))
    page.goto("/hc/en-us")
    page.get_by_role("link", name="View as").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/view-as/")
    assert axe(page) == []
    screenshot(f"view-as-form-{first}")
    page.get_by_label("Person").fill("maria.santos@example.com")
    page.keyboard.press("Enter")
    page.wait_for_url("**/hc/en-us")
    page.get_by_text("You see the help center as Maria Santos.").wait_for()
    assert axe(page) == []
    screenshot(f"view-as-{first}")
    page.set_viewport_size(PHONE)
    page.reload()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    # Going back up by keyboard, the bar covers nothing that has the focus.
    page.get_by_role("contentinfo").get_by_role("link").focus()
    for _step in range(25):
        page.keyboard.press("Shift+Tab")
        assert not page.evaluate(COVERED)
    page.get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="View as").wait_for()

"""The pages that manage segments, one after the other, as an admin and as a limited agent.

Ana may edit and publish the articles about troubleshooting, and nothing else. Screenshots of every
page are kept in test-artifacts/ (managing-*.png). Each test fails on console errors: see conftest.
"""

import pytest
from django.urls import reverse

from accounts.models import User
from helpcenter.models import Article, ArticleTranslation, Section
from segments.history import acting_as
from segments.models import Audience, Segment

pytestmark = pytest.mark.django_db(transaction=True)
PHONE, DESKTOP = {"width": 320, "height": 640}, {"width": 1280, "height": 800}


@pytest.fixture
def look(page, axe, screenshot):
    """look("name"): the page that is open has no serious problem, fits a phone, and is kept."""

    def look(name):
        assert axe(page) == [], name
        screenshot(f"managing-{name}")
        page.set_viewport_size(PHONE)
        screenshot(f"managing-{name}-phone")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        page.set_viewport_size(DESKTOP)

    return look


def of(thing, name):
    options = thing._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{name}", args=[thing.pk])


def person(first):
    return User.objects.get(email__startswith=first)


def article(title):
    return Article.objects.get(translations__title=title)


def press(page, name, key="Enter", role="button"):
    """By keyboard: what has this name gets the focus, and the key."""
    page.get_by_role(role, name=name, exact=True).focus()
    page.keyboard.press(key)


def test_an_admin_goes_back_in_the_history_of_a_person(site, page, sign_in, look):
    sign_in(person("sam"))
    maria = person("maria")
    page.goto(of(maria, "change"))
    page.get_by_label("Role").select_option("agent")
    press(page, "Save")
    page.get_by_role("heading", name="1 person sees more").wait_for()
    look("person-impact")
    page.get_by_label("Yes, more people may see this").focus()
    page.keyboard.press("Space")
    press(page, "Store the change")
    page.wait_for_url("**/accounts/user/")
    assert User.objects.get(pk=maria.pk).role == "agent"
    page.goto(of(maria, "history"))
    press(page, "Compare")
    page.get_by_role("heading", name="What differs").wait_for()
    assert page.get_by_role("row", name="Role End user Agent").is_visible()
    look("person-history")
    page.get_by_role("button", name="Go back to this").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="1 person sees less").wait_for()
    # End users inherit the tags of their organization, so she sees other things again.
    page.get_by_label("Yes, more people may see this").check()
    press(page, "Store the change")
    page.get_by_text("is as they were then").wait_for()
    assert User.objects.get(pk=maria.pk).role == "end_user"


def test_an_admin_puts_content_elsewhere_and_back(site, page, sign_in, look):
    sign_in(person("sam"))
    hidden = article("Refunds and goodwill")
    before = hidden.audience
    page.goto(of(hidden, "change"))
    page.locator("#id_section").select_option(label="Before installation")
    page.get_by_label("Audience").select_option("everyone")
    press(page, "Save")
    page.get_by_role("heading", name="Visible to every visitor from now on: 1 article").wait_for()
    look("place-impact")
    press(page, "Store the change")
    page.get_by_text("Tick the box").wait_for()
    page.get_by_label("Yes, more people may see this").check()
    press(page, "Store the change")
    page.wait_for_url("**/helpcenter/article/")
    page.goto(of(hidden, "history"))
    look("article-history")
    press(page, "Go back to this", role="link")
    page.get_by_text("The form says who saw it then").wait_for()
    shown = page.get_by_label("Audience").evaluate("s => s.value")
    assert shown == str(before.segments.get().pk)
    press(page, "Save")
    page.get_by_role("heading", name="Hidden from visitors from now on: 1 article").wait_for()
    press(page, "Store the change")
    page.wait_for_url("**/helpcenter/article/")
    assert Article._base_manager.get(pk=hidden.pk).audience == before


def test_two_admins_edit_the_same_segment(site, page, sign_in, look):
    sign_in(person("sam"))
    segment = Segment.objects.get(name__startswith="Premium")
    page.goto(of(segment, "change"))
    page.get_by_label("Description").fill("What I have typed")
    page.get_by_role("group", name="Condition 2").get_by_label("Attribute").select_option(
        "language"
    )
    page.get_by_role("group", name="Condition 2").get_by_label("Add a value").fill("French")
    with acting_as("another admin"):
        other = Segment.objects.get(pk=segment.pk)
        other.description = "What the other one has stored"
        other.conditions = [{"attribute": "role", "operator": "any", "values": ["light_agent"]}]
        other.save()
    press(page, "Save")
    page.get_by_text("Somebody else changed this segment").wait_for()
    look("conflict")
    words = page.locator("#segment_form").inner_text()
    assert "Stored meanwhile: What the other one has stored" in words
    assert "Stored meanwhile: People with the role Light agent" in words
    assert page.get_by_label("Description").input_value() == "What I have typed"
    second = page.get_by_role("group", name="Condition 2")
    assert second.get_by_label("Attribute").input_value() == "language"
    assert second.get_by_label("French").is_checked()
    assert Segment.objects.get(pk=segment.pk).description == "What the other one has stored"
    # Saving once more is a decision, and shows what it does to what is stored now.
    press(page, "Save")
    page.get_by_role("heading", name="What this change does").wait_for()
    assert page.get_by_text("People with the role Light agent").is_visible()


def test_an_admin_explains(site, page, sign_in, look):
    sign_in(person("sam"))
    thing = article("Reach the Premium line")
    page.goto(of(thing, "explain"))
    page.get_by_label("Person").press_sequentially("jona")
    page.locator("#people option").first.wait_for(state="attached")
    page.get_by_label("Person").fill(person("jonas").email)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Jonas Berg cannot see this").wait_for()
    chain = page.locator(".chain").inner_text()
    assert chain.index("Brightwell Help") < chain.index("Premium care")
    assert page.get_by_role("heading", name="What would show it").is_visible()
    look("explain")
    for number, shelf in enumerate([thing.section, thing.section.category]):
        page.goto(of(shelf, "who_can_see"))
        look(f"who-can-see-{number}")


def test_a_limited_agent(site, page, sign_in, look):
    sign_in(person("ana"))
    page.goto(reverse("admin:index"))
    assert page.locator("#content-main .model-article").is_visible()
    assert page.locator("#content-main tr[class*=model]").count() == 1
    look("agent-index")
    page.goto(reverse("admin:helpcenter_article_changelist"))
    shown = set(page.locator("#result_list tbody th").all_inner_texts())
    groups = Article._base_manager.filter(permission_group__name__icontains="troubleshooting")
    words = ArticleTranslation._base_manager.filter(article__in=groups, locale="en-us")
    assert shown == set(words.values_list("title", flat=True)) and shown
    assert page.get_by_text("shown to").count() == 0
    screenshot_of = groups.get(translations__title="The battery does not charge")
    page.goto(of(screenshot_of, "change"))
    assert page.get_by_role("link", name="Explain").count() == 0
    look("agent-article")
    page.get_by_label("Audience").select_option("nobody")
    press(page, "Save")
    page.get_by_role("heading", name="What this change does").wait_for()
    look("agent-impact")
    for one in User.objects.all():
        assert str(one) == "Ana Ruiz" or str(one) not in page.locator("#content").inner_text()
    press(page, "Store the change")
    page.wait_for_url("**/helpcenter/article/")
    page.goto(of(screenshot_of, "history"))
    look("agent-history")
    page.goto(reverse("admin:helpcenter_article_changelist"))
    page.locator("#action-toggle").check()
    page.locator("select[name=action]").select_option("change_audience")
    page.locator("button[name=index]").click()
    page.get_by_label("Audience").select_option("everyone")
    press(page, "Show what this does")
    page.get_by_label("Yes, more people may see this").check()
    look("agent-bulk")
    press(page, "Store the change")
    page.get_by_text("Who sees them has changed for").wait_for()
    assert not groups.exclude(audience=Audience.EVERYONE).exists()


def test_what_a_limited_agent_may_not_open(site, page, sign_in, screenshot):
    sign_in(person("ana"))
    segment, section = Segment.objects.get(name__startswith="Premium"), Section.objects.first()
    thing = article("The battery does not charge")
    closed = [
        reverse("admin:segments_segment_changelist"),
        reverse("admin:segments_segment_add"),
        *(of(segment, name) for name in ("change", "delete", "history", "count")),
        *(of(thing, name) for name in ("explain", "who_can_see", "who_can_see_csv")),
        *(of(section, name) for name in ("change", "explain", "who_can_see")),
        reverse("admin:accounts_user_changelist"),
        *(of(person("maria"), name) for name in ("change", "can_see", "history", "go_back")),
        of(article("Reach the Premium line"), "change"),
        reverse("admin:helpcenter_permissiongroup_changelist"),
    ]
    for number, address in enumerate(closed):
        answer = page.goto(address)
        hidden = page.url.endswith("/admin/")  # Django's way: back to the index, with a message
        assert answer.status in (403, 404) or hidden, address
        assert "Premium" not in page.content(), address
        if number in (0, 6):
            screenshot(f"managing-agent-closed-{number}")

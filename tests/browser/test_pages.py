"""The pages in a real browser. Each test also fails on console errors: see conftest.py."""

from types import ModuleType

import pytest
from django.urls import path

from helpcenter import demo, urls
from helpcenter.models import Article

pytestmark = pytest.mark.django_db(transaction=True)
PHONE = {"width": 320, "height": 640}


@pytest.fixture
def demo_site(site, settings):
    """The demo itself."""
    settings.DEMO = True
    module = ModuleType("demo_site")
    here = [path("demo/sign-in", demo.sign_in, name="demo_sign_in")]
    module.urlpatterns = [*urls.urlpatterns, *here]
    settings.ROOT_URLCONF = module


def address_of(title, locale="en-us"):
    article = Article.objects.get(translations__title=title)
    article.words = article.translations.get(title=title)
    return article.address(locale)


def addresses():
    """One page of each kind."""
    article = Article.objects.get(translations__title="Choose the right battery size")
    shelves = [article.section, article.section.category]
    for shelf in shelves:
        shelf.words = shelf.translations.get(locale="en-us")
    return [
        "/hc/en-us",
        *(shelf.address("en-us") for shelf in shelves),
        address_of("Choose the right battery size"),
        address_of("What the light tells you"),
        address_of("Read the energy chart"),
        address_of("What the light tells you", "fr"),
        "/hc/en-us/search?query=battery",
        "/hc/en-us/search?query=zebra",
        "/hc/en-us/articles/1",
        "/accounts/login/",
        "/accounts/signup/",
    ]


def test_from_the_start_page_to_an_article_by_keyboard(demo_site, page):
    page.goto("/")
    page.get_by_role("button", name="Look around as Maria").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/hc/en-us")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for _step in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Acme Homes":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/sections/**")
    page.get_by_role("link", name="Your battery in an Acme home").focus()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    page.keyboard.press("Tab")
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/articles/**")
    assert page.get_by_role("heading", level=1).inner_text() == "Your battery in an Acme home"


def test_changing_the_person_keeps_the_page(demo_site, page):
    page.goto(address_of("Refunds and goodwill"))
    assert page.get_by_role("heading", level=1).inner_text() == "Page not found"
    page.get_by_text("Change person").click()
    page.get_by_role("button", name="Ana Ruiz").click()
    assert page.get_by_role("heading", level=1).inner_text().startswith("Refunds and goodwill")


def test_signing_out_makes_a_visitor(site, page, sign_in, django_user_model):
    sign_in(django_user_model.objects.get(email__startswith="maria"))
    page.goto("/hc/en-us")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/hc/en-us")
    assert page.get_by_role("link", name="Sign in").is_visible()


def test_searching_by_keyboard(site, page):
    page.goto("/hc/en-us")
    page.get_by_role("searchbox").fill("warranty light")
    page.keyboard.press("Enter")
    page.get_by_role("searchbox").fill("cold")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="What cold weather changes").click()
    page.wait_for_url("**/articles/**")


def test_the_language_can_be_changed(site, page):
    page.goto(address_of("What cold weather changes"))
    page.get_by_text("Change the language").locator("..").click()
    page.get_by_role("link", name="Français").first.click()
    page.wait_for_url("**/hc/fr/articles/**")
    assert page.get_by_role("heading", level=1).inner_text() == "Ce que change le froid"


def test_pictures_are_loaded(site, page):
    page.goto(address_of("Read the energy chart"))
    picture = page.locator(".body img")
    assert picture.evaluate("image => image.complete && image.naturalWidth") == 960


def test_nothing_is_wider_than_a_small_phone(site, page, screenshot):
    page.set_viewport_size(PHONE)
    for number, address in enumerate(addresses()):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") == 320, address
        screenshot(f"phone-{number:02}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_problem_for_anybody(site, page, axe, screenshot, scheme):
    page.emulate_media(color_scheme=scheme)
    for number, address in enumerate(addresses()):
        page.goto(address)
        assert axe(page) == [], address
        screenshot(f"{scheme}-{number:02}")


def test_no_serious_problem_for_staff(site, page, axe, sign_in, django_user_model):
    sign_in(django_user_model.objects.get(email__startswith="ana"))
    for address in addresses():
        page.goto(address)
        assert axe(page) == [], address


def test_no_serious_problem_in_the_demo(demo_site, page, axe, screenshot):
    page.goto("/")
    assert axe(page) == []
    page.get_by_text("Change person").click()
    assert axe(page) == []
    screenshot("demo")


def test_everything_works_without_javascript(demo_site, browser, live_server):
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("button", name="Look around as Sam").click()
    page.get_by_role("searchbox").fill("winter mode")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Winter mode").click()
    page.get_by_text("Only its editors see this.").wait_for()
    page.get_by_text("Change the language").locator("..").click()
    page.get_by_role("link", name="Français").first.click()
    page.wait_for_url("**/hc/fr")
    context.close()

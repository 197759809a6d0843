"""What every page knows about the site. Nothing is read from the database before it is shown."""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest
from django.urls import reverse
from django.utils import translation

from segments.ruleset import Viewer, viewer_for

from .models import HelpCenter


class Language(NamedTuple):
    """One entry of the language switcher."""

    locale: str
    name: str
    address: str
    is_current: bool


class Site:
    """The help center as one visitor sees it in one request."""

    def __init__(self, request: HttpRequest) -> None:
        self.request = request
        # A request that failed before anybody was recognised has no user.
        self.user: Any = getattr(request, "user", None) or AnonymousUser()
        self.is_demo: bool = settings.DEMO
        # Locale -> address of the present page there, as far as it exists. Set by the page.
        self.addresses: dict[str, str] = {}

    @cached_property
    def help_center(self) -> HelpCenter | None:
        """The help center; None when there is none and when the visitor may not see it."""
        current = HelpCenter.objects.current()
        return current if current and current.is_visible_to(self.user) else None

    @cached_property
    def viewer(self) -> Viewer:
        """The visitor as the rule sees them."""
        return viewer_for(self.user)

    @property
    def locale(self) -> str:
        """The locale to link to: of this page, or the default one where it has none."""
        locale = translation.get_language() or settings.LANGUAGE_CODE
        if self.help_center and locale not in self.help_center.locales:
            return self.help_center.default_locale
        return locale

    @cached_property
    def languages(self) -> list[Language]:
        """The enabled locales, each with this page's address there, or else the home page's."""
        if not self.help_center:
            return []
        return [
            Language(
                locale,
                language_name(locale),
                self.addresses.get(locale) or reverse("home", kwargs={"locale": locale}),
                locale == self.locale,
            )
            for locale in self.help_center.locales
        ]

    @property
    def other_languages(self) -> list[Language]:
        """The locales in which the present page exists too."""
        return [language for language in self.languages if language.locale in self.addresses]

    @property
    def sign_in_address(self) -> str:
        """The sign-in page, which leads back here unless this is a page about signing in."""
        # The people of the demo have no passwords: there one signs in by choosing somebody.
        address = reverse("start" if self.is_demo else "account_login")
        here = self.request.get_full_path()
        if here.startswith(reverse("account_login").removesuffix("login/")):
            return address
        return f"{address}?{urlencode({'next': here})}"

    @cached_property
    def demo_people(self) -> Any:
        """In the demo, who the visitor can become with one click."""
        if not self.is_demo:
            return []
        from . import demo

        return demo.people_of(self.user)


def site_of(request: Any) -> Site:
    """The one `Site` of a request."""
    if not hasattr(request, "here"):
        request.here = Site(request)
    return request.here


def site(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `here`, the `Site`. (allauth's pages have a `site` of their own.)"""
    return {"here": site_of(request)}


def language_name(locale: str) -> str:
    """What the speakers of a language call it."""
    try:
        return str(translation.get_language_info(locale)["name_local"]).capitalize()
    except KeyError:
        return str(dict(settings.LANGUAGES).get(locale, locale))

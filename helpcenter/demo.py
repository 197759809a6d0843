"""The demo: a small help center, people who see different parts of it, and a way to be them.

None of this can be reached outside the demo: its address is not there (urls.py).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.models import AnonymousUser
from django.core.files.base import ContentFile
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.functional import cached_property
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from accounts.models import Organization, OrganizationMembership, Role, Tag, User
from segments.builtin import SEGMENTS as BUILT_IN
from segments.history import acting_as
from segments.models import Audience, Segment
from segments.row_security import lifted

from . import demo_content as content
from .context import site_of
from .models import (
    Article,
    ArticleTranslation,
    Attachment,
    Category,
    HelpCenter,
    Label,
    PermissionGroup,
    Section,
)

# People -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """Somebody the visitor can become, and one sentence about them. No e-mail: the visitor."""

    email: str
    name: Any
    role: Any
    about: Any

    @property
    def first_name(self) -> str:
        """What they are called on a button."""
        return str(self.name).split()[0]


VISITOR = Person(
    "",
    gettext_lazy("a visitor"),
    gettext_lazy("Not signed in"),
    gettext_lazy("Anybody on the internet."),
)
PEOPLE = [
    Person(
        "maria.santos@example.com",
        "Maria Santos",
        gettext_lazy("Customer of Acme Homes"),
        gettext_lazy("Rents a flat from Acme Homes, which pays for Premium care."),
    ),
    Person(
        "jonas.berg@example.com",
        "Jonas Berg",
        gettext_lazy("Customer of Borealis Housing"),
        gettext_lazy("Lives in a housing cooperative that shares one large battery."),
    ),
    Person(
        "claire.dubois@example.com",
        "Claire Dubois",
        gettext_lazy("French-speaking customer"),
        gettext_lazy("Has her own battery in Lyon, and her account says that she speaks French."),
    ),
    Person(
        "theo.lind@example.com",
        "Theo Lind",
        gettext_lazy("Light agent"),
        gettext_lazy("Helps out at the service desk and does not decide on refunds."),
    ),
    Person(
        "ana.ruiz@example.com",
        "Ana Ruiz",
        gettext_lazy("Agent"),
        gettext_lazy("Answers customers, and looks after the articles about problems."),
    ),
    Person(
        "sam.okafor@example.com",
        "Sam Okafor",
        gettext_lazy("Admin"),
        gettext_lazy("Runs the help center and sees everything, drafts included."),
    ),
]


class People:
    """Who the visitor is at the moment, and who else they can be."""

    def __init__(self, user: Any) -> None:
        self.user = user

    @cached_property
    def current(self) -> Any:
        """The person of the demo that the visitor is; anybody else is just called by their name."""
        if not self.user.is_authenticated:
            return VISITOR
        known = (person for person in PEOPLE if person.email == self.user.email)
        return next(known, Person(self.user.email, str(self.user), "", ""))

    @cached_property
    def others(self) -> list[Person]:
        """Everybody else."""
        return [person for person in [VISITOR, *PEOPLE] if person.email != self.current.email]


def people_of(user: Any) -> People:
    """The choice of people, for the bar at the top of each page."""
    return People(user)


# Pages --------------------------------------------------------------------------------------------


def start(request: HttpRequest) -> HttpResponse:
    """The start page: everybody one can be, with what they may see."""
    users = {user.email: user for user in User.objects.filter(email__in=[p.email for p in PEOPLE])}
    # Only numbers, and everybody is allowed to know them here.
    with lifted():
        cards = [_card(VISITOR, AnonymousUser())]
        cards += [_card(person, users[person.email]) for person in PEOPLE if person.email in users]
    help_center = HelpCenter.objects.current()
    context = {"cards": cards, "current": people_of(site_of(request).user).current}
    context |= {"name": help_center.name if help_center else content.NAME}
    context |= {"next": request.GET.get("next", "")}
    return render(request, "demo.html", context)


def _card(person: Person, user: Any) -> dict[str, Any]:
    published = Article.objects.visible_to(user).filter(published=True)
    return {
        "person": person,
        "articles": published.count(),
        "drafts": Article.objects.visible_to(user).filter(published=False).count(),
        "segments": Segment.objects.for_user(user),
    }


@require_POST
def sign_in(request: HttpRequest) -> HttpResponse:
    """Become one of the people of the demo, or the visitor, and go back to the page."""
    if not settings.DEMO:
        raise Http404
    email = request.POST.get("person", "")
    if email not in {person.email for person in [VISITOR, *PEOPLE]}:
        raise Http404
    user = User.objects.filter(email=email, is_active=True).first() if email else None
    logout(request)
    if user:
        login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    back = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(back, allowed_hosts=None):
        return redirect(back)
    return redirect("hc")


# Content ------------------------------------------------------------------------------------------


def fill() -> bool:
    """Write people and content, once: False when there is a help center already."""
    with lifted():
        if HelpCenter.objects.exists():
            return False
        with acting_as("demo"):
            Filling().fill()
    return True


class Filling:
    """Writes the content of the demo. Each part is found by its name in `demo_content`."""

    def fill(self) -> None:
        """People, segments, audiences, then what they may see."""
        self.users = {person.email.split(".")[0]: _user(person) for person in PEOPLE}
        self._organize()
        self.audiences = self._audiences()
        self.group = self._group()
        everyone = self.audiences["everyone"]
        self.center = HelpCenter.objects.create(
            name=content.NAME, locales=["en-us", "fr"], audience=everyone
        )
        for position, shelf in enumerate(content.CATEGORIES):
            self._category(shelf, position)

    def _organize(self) -> None:
        premium = Tag.objects.get_or_create(name="premium")[0]
        self.acme = Organization.objects.create(name="Acme Homes")
        self.acme.tags.add(premium)
        self.borealis = Organization.objects.create(name="Borealis Housing")
        for name, organization in [("maria", self.acme), ("jonas", self.borealis)]:
            OrganizationMembership.objects.create(
                user=self.users[name], organization=organization, is_default=True
            )

    def _audiences(self) -> dict[str, Audience]:
        """Audience name -> audience, for everything that the content names."""
        acme, borealis = self.acme.pk, self.borealis.pk
        built_in = {user_type: pk for user_type, (pk, _name) in BUILT_IN.items()}
        named = {
            "acme": _segment("Acme Homes", "signed_in_users", "organization", "any", acme),
            "borealis": _segment(
                "Borealis Housing", "signed_in_users", "organization", "any", borealis
            ),
            "premium": _segment("Premium homes", "signed_in_users", "tag", "any", "premium"),
            "french": _segment("French speakers", "signed_in_users", "language", "any", "fr"),
            "full-agents": _segment(
                "Agents except light agents", "staff", "role", "none", "light_agent"
            ),
            "signed-in": Segment.objects.get(pk=built_in["signed_in_users"]),
            "agents": Segment.objects.get(pk=built_in["staff"]),
        }
        audiences = {name: Audience.of(segment) for name, segment in named.items()}
        return audiences | {"everyone": Audience.everyone(), "nobody": Audience.nobody()}

    def _group(self) -> PermissionGroup:
        """Ana, and nobody else, edits and publishes the articles about problems."""
        editors = Segment(name="Editors of troubleshooting", user_type=Segment.STAFF)
        editors.save()
        editors.include(self.users["ana"])
        audience = Audience.of(editors)
        return PermissionGroup.objects.create(
            name="Troubleshooting", edit=audience, publish=audience
        )

    def _category(self, shelf: content.Shelf, position: int) -> None:
        category = Category.objects.create(
            help_center=self.center, position=position, audience=self.audiences[shelf.audience]
        )
        _name(category, shelf)
        for place, inner in enumerate(shelf.shelves):
            self._section(inner, category, None, place)

    def _section(
        self, shelf: content.Shelf, category: Category, parent: Section | None, position: int
    ) -> None:
        section = Section.objects.create(
            category=category,
            parent=parent,
            position=position,
            audience=self.audiences[shelf.audience],
        )
        _name(section, shelf)
        for place, page in enumerate(shelf.pages):
            self._article(page, section, place)
        for place, inner in enumerate(shelf.shelves):
            self._section(inner, category, section, place)

    def _article(self, page: content.Page, section: Section, position: int) -> None:
        article = Article.objects.create(
            section=section,
            position=position,
            promoted=page.promoted,
            source_locale=page.locale,
            audience=self.audiences[page.audience],
            author=self.users["sam"],
            **({"permission_group": self.group} if page.group else {}),
        )
        for name in page.labels:
            article.labels.add(Label.objects.get_or_create(name=name)[0])
        body = page.body
        if "{chart}" in body:
            body = body.replace("{chart}", self._files(article))
        words = [(page.locale, page.title, body), *([("fr", *page.french)] if page.french else [])]
        for locale, title, text in words:
            ArticleTranslation.objects.create(
                article=article,
                locale=locale,
                title=title,
                body=text.strip(),
                format=page.format if locale == page.locale else "markdown",
                draft=page.draft,
                created_by=self.users["sam"],
                updated_by=self.users["sam"],
            )

    def _files(self, article: Article) -> str:
        """Attach a diary to download and a chart to look at; the address of the chart."""
        diary = ContentFile(content.DIARY.encode(), "Energy diary.csv")
        Attachment.objects.create(article=article, file=diary)
        chart = ContentFile(sunny_day(), "sunny-day.png")
        return Attachment.objects.create(article=article, file=chart, inline=True).address()


def _user(person: Person) -> User:
    roles = {"theo": Role.LIGHT_AGENT, "ana": Role.AGENT, "sam": Role.ADMIN}
    first = person.email.split(".")[0]
    # Without a password: nobody signs in as them anywhere but on the start page.
    return User.objects.create_user(
        person.email,
        None,
        verified=True,
        name=person.name,
        role=roles.get(first, Role.END_USER),
        language="fr" if first == "claire" else "en-us",
    )


def _segment(name: str, user_type: str, attribute: str, operator: str, value: Any) -> Segment:
    conditions = [{"attribute": attribute, "operator": operator, "values": [value]}]
    segment = Segment(name=name, user_type=user_type, conditions=conditions)
    segment.save()
    return segment


def _name(shelf: Category | Section, words: content.Shelf) -> None:
    translations = {"en-us": (words.title, words.body)}
    if words.french:
        translations["fr"] = words.french
    for locale, (title, body) in translations.items():
        shelf.translations.create(locale=locale, title=title, body=body)


# A picture ----------------------------------------------------------------------------------------


def sunny_day(width: int = 960, height: int = 420) -> bytes:
    """A chart as a PNG: what panels make, hour by hour, and what the house uses."""
    made = [0] * 6 + [2, 8, 20, 38, 57, 72, 82, 86, 80, 66, 48, 30, 15, 5] + [0] * 4
    used = [9, 8, 8, 8, 8, 10, 20, 30, 24, 16, 15, 17]
    used += [24, 20, 15, 15, 17, 26, 38, 44, 40, 32, 20, 12]
    paper, grid, sun, house = b"\xfb\xfa\xf8", b"\xe2\xe3\xde", b"\xf0\xb9\x4a", b"\x1d\x63\x55"
    left, top, bottom = 24, 24, height - 24
    step = (width - 2 * left) // 24
    rows = [[paper] * width for _row in range(height)]

    def box(x0: int, y0: int, x1: int, y1: int, color: bytes) -> None:
        for y in range(y0, y1):
            rows[y][x0:x1] = [color] * (x1 - x0)

    def level(value: int) -> int:
        return bottom - (bottom - top) * value // 100

    for value in range(0, 101, 25):
        box(left, level(value) - 1, left + 24 * step, level(value), grid)
    for hour in range(24):
        x = left + hour * step
        box(x + 5, level(made[hour]), x + step - 5, bottom, sun)
        box(x, level(used[hour]) - 2, x + step, level(used[hour]) + 2, house)
        y0, y1 = sorted([level(used[hour]), level(used[max(hour - 1, 0)])])
        box(x - 2, y0 - 2, x + 2, y1 + 2, house)
    return _png(width, height, b"".join(b"\0" + b"".join(row) for row in rows))


def _png(width: int, height: int, pixels: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels, 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)

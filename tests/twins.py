"""Twin worlds: two databases that differ by one hidden object, and what is asked of both.

A world is built in two halves, and the hidden object comes between them: whatever numbers, orders
or dates it moved would show on what was made after it. Everything random comes from the seed.
"""

import random
import secrets
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import quote

from django.apps import apps
from django.core.files.base import ContentFile
from django.core.management.color import no_style
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import AgentGroup, Organization, Tag
from helpcenter import rendering
from helpcenter.models import Attachment, Comment, PermissionGroup, Subscription, Vote
from segments.models import Audience, Segment
from tests import exits
from tests.factories_content import (
    ArticleFactory,
    CategoryFactory,
    HelpCenterFactory,
    SectionFactory,
)
from tests.factories_people import PersonFactory

WORDS = ["reset", "router", "invoice", "printer", "refund", "battery"]
# In every text of a hidden object.
CANARY = "zebra"
# Who is in which segment of the fixture `segment_of`, written down by hand.
ADMITS = {
    "signed in": {"dan", "maria", "omar", "nadia", "claire", "lena", "aki", "edda", "pia"},
    "staff": {"lena", "aki", "edda", "pia"},
    "acme": {"maria", "nadia"},
    "premium": {"omar", "nadia"},
    "french": {"claire"},
    "returns": {"aki"},
    "full staff": {"aki", "edda", "pia"},
    "editors": {"edda"},
    "publishers": {"pia"},
}
PERSONAS = ["visitor", "dan", "maria", "omar", "nadia", "claire", "ines", "lena", "aki", "edda"]
# What staff may know of each other and of people, at Zendesk and here.
ABOUT_PEOPLE = {"organization", "group", "person"}


# Fields that took the clock itself as their default.
DATED = [
    field
    for model in apps.get_models()
    for field in model._meta.local_concrete_fields
    if field.default is timezone.now
]


@contextmanager
def deterministic(name: str, moment: Any):
    """Inside, ids and the clock depend on the name and the moment only."""
    rng, clock = random.Random(name), [moment]

    def now() -> Any:
        clock[0] += timedelta(seconds=1)
        return clock[0]

    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(secrets, "randbelow", rng.randrange))
        patches.enter_context(mock.patch.object(timezone, "now", now))
        for field in DATED:
            patches.enter_context(mock.patch.dict(vars(field), {"_get_default": now}))
        yield rng


def reset_sequences() -> None:
    """Numbers that the database counts go on after the greatest one, as if none had been undone."""
    statements = connection.ops.sequence_reset_sql(no_style(), apps.get_models())
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


class TwinWorld:
    """A random help center, what to hide in it, and who looks at it."""

    def __init__(self, seed: str, number: int, cast: Any, segment_of: Any) -> None:
        self.seed, self.cast, self.segment_of = f"{seed}-{number}", cast, segment_of
        self.rng = random.Random(self.seed)
        self.who = PERSONAS[number % len(PERSONAS)]
        self.by_token = self.who not in ("visitor", "ines") and self.rng.random() < 0.5
        self.moment = timezone.now() - timedelta(days=30)
        self.categories: list[Any] = []
        self.sections: list[Any] = []
        self.articles: list[Any] = []

    def may_not_know(self, kind: str) -> bool:
        """Whether an object of this kind can be hidden from whoever looks."""
        is_staff = self.who in ADMITS["staff"]
        return not (is_staff and kind in ABOUT_PEOPLE)

    # Building

    def text(self, rng: random.Random) -> str:
        """A few words; with a search for two of them, how rare they are would order the results."""
        return " ".join(rng.choices(WORDS, k=rng.randint(2, 12)))

    def secret(self, rng: random.Random) -> str:
        """The text of a hidden object."""
        return f"{self.text(rng)} {CANARY}"

    def audience(self, rng: random.Random) -> Audience:
        """Everyone, often."""
        if rng.random() < 0.6:
            return Audience.everyone()
        return Audience.of(self.segment_of[rng.choice([*ADMITS])])

    def hiding(self, rng: random.Random) -> Audience:
        """An audience without whoever looks."""
        without = [name for name, people in ADMITS.items() if self.who not in people]
        names = rng.sample(without, rng.randint(0, min(2, len(without))))
        if not names:
            return Audience.nobody()
        return Audience.of(*(self.segment_of[name] for name in names))

    def first_half(self) -> None:
        """A help center, shelves, and a few articles."""
        with deterministic(f"{self.seed} before", self.moment) as rng:
            center = HelpCenterFactory(locales=["en-us", "fr"])
            self.center = center
            self.author = PersonFactory(email="author@example.org", name="Author")
            self.labels = rng.sample(WORDS, 2)
            for _ in range(rng.randint(1, 2)):
                self.add_category(rng)
            for _ in range(rng.randint(2, 3)):
                self.add_section(rng)
            for _ in range(rng.randint(3, 5)):
                self.add_article(rng)

    def second_half(self) -> None:
        """More of everything. Called again and again, it adds the same each time."""
        kept = len(self.categories), len(self.sections), len(self.articles)
        with deterministic(f"{self.seed} after", self.moment + timedelta(days=10)) as rng:
            self.add_category(rng)
            self.add_section(rng)
            for _ in range(rng.randint(3, 4)):
                self.add_article(rng)
        self.listed = [*self.categories], [*self.sections], [*self.articles]
        for rows, size in zip((self.categories, self.sections, self.articles), kept, strict=True):
            del rows[size:]

    def add_category(self, rng: random.Random) -> None:
        self.categories.append(
            CategoryFactory(
                title=self.text(rng), help_center=self.center, position=rng.randint(0, 3)
            )
        )

    def add_section(self, rng: random.Random) -> None:
        category = rng.choice(self.categories)
        above = [each for each in self.sections if each.category_id == category.pk]
        self.sections.append(
            SectionFactory(
                title=self.text(rng),
                body=self.text(rng),
                category=category,
                parent=rng.choice([None, None, *above]),
                audience=self.audience(rng),
                position=rng.randint(0, 3),
            )
        )

    def add_article(self, rng: random.Random) -> None:
        article = ArticleFactory(
            title=self.text(rng),
            body=self.text(rng),
            section=rng.choice(self.sections[:2]),
            audience=self.audience(rng),
            promoted=rng.random() < 0.3,
            position=rng.randint(0, 3),
            author=self.author,
        )
        if rng.random() < 0.4:
            article.translations.create(
                locale="fr", title=self.text(rng), body=self.text(rng), draft=False
            )
        self.add_belongings(rng, article)
        self.articles.append(article)

    def add_belongings(self, rng: random.Random, article: Any) -> None:
        for name in self.labels:
            if rng.random() < 0.4:
                article.labels.add(article.labels.model.objects.get_or_create(name=name)[0])
        if rng.random() < 0.4:
            comment = Comment.objects.create(
                article=article, author=self.author, locale="en-us", body=self.text(rng)
            )
            Vote.objects.create(comment=comment, user=self.author, value=1)
        if rng.random() < 0.4:
            file = ContentFile(b"words", name=f"{rng.choice(WORDS)}.txt")
            Attachment.objects.create(article=article, file=file)

    # Hiding

    def hide(self, kind: str) -> list[str]:
        """Add one hidden object of a kind; the addresses that would show it if it were not."""
        with deterministic(f"{self.seed} {kind}", self.moment + timedelta(days=5)) as rng:
            return getattr(self, f"hide_{kind}")(rng)

    def hide_article(self, rng: random.Random, **fields: Any) -> list[str]:
        fields = {"audience": self.hiding(rng), "promoted": rng.random() < 0.5} | fields
        article = ArticleFactory(
            title=self.secret(rng),
            body=self.secret(rng),
            section=rng.choice(self.sections[:2]),
            position=rng.randint(0, 3),
            author=self.author,
            **fields,
        )
        self.hidden_article = article
        return [f"/hc/en-us/articles/{article.pk}", f"/api/v2/help_center/articles/{article.pk}"]

    def hide_draft(self, rng: random.Random) -> list[str]:
        return self.hide_article(rng, audience=Audience.everyone(), draft=True)

    def hide_archived(self, rng: random.Random) -> list[str]:
        found = self.hide_article(rng, audience=Audience.everyone())
        self.hidden_article.archive()
        return found

    def hide_translation(self, rng: random.Random) -> list[str]:
        article = rng.choice(self.articles)
        article.translations.get_or_create(
            locale="de",
            defaults={"title": self.secret(rng), "body": self.secret(rng), "draft": True},
        )
        return [f"/api/v2/help_center/articles/{article.pk}/translations/de"]

    def hide_category(self, rng: random.Random) -> list[str]:
        category = CategoryFactory(
            title=self.secret(rng), help_center=self.center, audience=self.hiding(rng)
        )
        section = SectionFactory(title=self.secret(rng), category=category)
        self.hide_article(rng, audience=Audience.everyone(), promoted=True)
        self.hidden_article.section = section
        self.hidden_article.save()
        return [
            f"/hc/en-us/categories/{category.pk}",
            f"/hc/en-us/sections/{section.pk}",
            f"/api/v2/help_center/categories/{category.pk}/articles",
        ]

    def hide_section(self, rng: random.Random) -> list[str]:
        section = SectionFactory(
            title=self.secret(rng),
            category=self.categories[0],
            audience=self.hiding(rng),
            position=rng.randint(0, 3),
        )
        self.hide_article(rng, audience=Audience.everyone(), promoted=True)
        self.hidden_article.section = section
        self.hidden_article.save()
        return [
            f"/hc/en-us/sections/{section.pk}",
            f"/api/v2/help_center/sections/{section.pk}/articles",
        ]

    def hide_attachment(self, rng: random.Random) -> list[str]:
        self.hide_article(rng)
        file = Attachment.objects.create(
            article=self.hidden_article, file=ContentFile(b"words", name=f"{CANARY}.txt")
        )
        return [file.address(), f"/api/v2/help_center/articles/attachments/{file.pk}"]

    def hide_comment(self, rng: random.Random) -> list[str]:
        found = self.hide_article(rng)
        Comment.objects.create(
            article=self.hidden_article, author=self.author, locale="en-us", body=self.secret(rng)
        )
        return [f"{found[1]}/comments"]

    def hide_vote(self, rng: random.Random) -> list[str]:
        found = self.hide_article(rng)
        vote = Vote.objects.create(article=self.hidden_article, user=self.author, value=-1)
        Subscription.objects.create(article=self.hidden_article, user=self.author, locale="en-us")
        return [f"{found[1]}/votes", f"/api/v2/help_center/votes/{vote.pk}"]

    def hide_label(self, rng: random.Random) -> list[str]:
        self.hide_article(rng)
        label = self.hidden_article.labels.create(name=CANARY)
        return [f"/api/v2/help_center/articles/labels/{label.pk}"]

    def hide_segment(self, rng: random.Random) -> list[str]:
        segment = Segment.objects.create(
            name=self.secret(rng),
            user_type="staff",
            conditions=[{"attribute": "role", "operator": "any", "values": ["admin"]}],
        )
        return [f"/api/v2/help_center/user_segments/{segment.pk}"]

    def hide_tag(self, rng: random.Random) -> list[str]:
        Tag.objects.create(name=CANARY)
        return ["/api/v2/users/me"]

    def hide_organization(self, rng: random.Random) -> list[str]:
        organization = Organization.objects.create(name=CANARY)
        organization.domains.create(domain=f"{CANARY}.example")
        return [f"/api/v2/organizations/{organization.pk}"]

    def hide_group(self, rng: random.Random) -> list[str]:
        return [f"/api/v2/groups/{AgentGroup.objects.create(name=CANARY).pk}"]

    def hide_permission_group(self, rng: random.Random) -> list[str]:
        group = PermissionGroup.objects.create(name=CANARY, edit=self.hiding(rng))
        return [f"/api/v2/guide/permission_groups/{group.pk}"]

    def hide_person(self, rng: random.Random) -> list[str]:
        person = PersonFactory(email=f"{CANARY}@example.org", name=CANARY)
        return [f"/api/v2/users/{person.pk}", f"/api/v2/help_center/users/{person.pk}/comments"]

    # Asking

    def client(self) -> Any:
        person = self.cast[self.who]
        return exits.by_token(person) if self.by_token else exits.signed_in(person)

    def common_questions(self, number: int, about: str = "") -> list[tuple[str, str]]:
        """(method, address) of what everybody can ask, about what is in both worlds."""
        rng = random.Random(f"{self.seed} questions")
        pages = [each for each in self._pages(rng) if about in each]
        lists = [each for each in self._lists(rng) if about in each]
        found = rng.sample(pages, min(-(-number // 2), len(pages)))
        found += rng.sample(lists, min(number // 2, len(lists)))
        methods = ["GET"] * 8 + ["HEAD", "OPTIONS"]
        return [(rng.choice(methods), address) for address in dict.fromkeys(found)]

    def _pages(self, rng: random.Random) -> list[str]:
        categories, sections, articles = self.listed
        locale = rng.choice(["en-us", "fr"])
        found = [f"/hc/{locale}", f"/hc/{locale}/search?query={rng.choice(WORDS)[:3]}"]
        found += [f"/hc/{locale}/search?query={quote(q)}" for q in self._queries(rng)]
        found += [f"/hc/en-us/articles/{each.pk}" for each in articles]
        for kind, rows in [
            ("categories", categories),
            ("sections", sections),
            ("articles", articles),
        ]:
            for each in rows:
                title = each.translations.get(locale="en-us").title
                found.append(f"/hc/en-us/{kind}/{each.pk}-{rendering.slug(title)}")
        return found

    def _queries(self, rng: random.Random) -> list[str]:
        return [" ".join(rng.sample(WORDS, 2)) for _ in range(4)]

    def _lists(self, rng: random.Random) -> list[str]:
        categories, sections, articles = (rng.choice(rows).pk for rows in self.listed)
        kinds = ["articles", "sections", "categories"]
        ways = ["per_page=2&page=2", "page[size]=2", "sort_by=updated_at&sort_order=desc"]
        ways += ["include=users,sections,categories,translations&per_page=3", "per_page=1&page=3"]
        found = [f"{kind}?{way}" for kind in kinds for way in ways]
        found += [f"articles/search?query={quote(q)}" for q in self._queries(rng)]
        found += [f"articles/search?label_names={each}" for each in [*self.labels, CANARY]]
        found += [
            "articles/labels",
            "incremental/articles?start_time=0",
            "user_segments/applicable",
            f"categories/{categories}/sections",
            f"categories/{categories}/articles",
            f"sections/{sections}/articles?per_page=2",
            f"sections/{sections}/sections",
            f"articles/{articles}",
            f"articles/{articles}/translations",
            f"articles/{articles}/comments",
            f"articles/{articles}/attachments",
            f"users/{self.author.pk}/articles",
            f"users/{self.author.pk}/comments",
            f"users/{self.author.pk}/votes",
        ]
        return [f"/api/v2/help_center/{each}" for each in found] + [
            "/api/v2/guide/permission_groups"
        ]


KINDS = [name.removeprefix("hide_") for name in vars(TwinWorld) if name.startswith("hide_")]


class Difference(NamedTuple):
    """What somebody is answered otherwise because of one hidden object, or a canary in it."""

    seed: str
    who: str
    kind: str
    question: tuple[str, str]
    beside: exits.Answer
    missing: exits.Answer


def differences(world: TwinWorld, kinds: list[str], number: int, about: str, tally: Any) -> Any:
    """What the viewer is answered otherwise because of one hidden object, for each of the kinds."""
    own: dict[str, list[Any]] = {}
    beside: dict[str, dict[Any, exits.Answer]] = {}
    with undone():
        world.first_half()
        client = world.client()
        for kind in kinds:
            with undone():
                reset_sequences()
                own[kind] = [("GET", address) for address in world.hide(kind) if about in address]
                world.second_half()
                asked = world.common_questions(number, about)
                beside[kind] = {each: exits.ask(client, *each) for each in [*asked, *own[kind]]}
        # The same world without any of them.
        reset_sequences()
        world.second_half()
        every = [*asked, *(each for addresses in own.values() for each in addresses)]
        without = {each: exits.ask(client, *each) for each in dict.fromkeys(every)}
    tally["leak matrix: requests"] += sum(map(len, beside.values()))
    tally["twin worlds: pairs"] += len(kinds)
    for kind, answers in beside.items():
        for each, answer in answers.items():
            if answer != without[each] or CANARY in answer.text.lower() and CANARY not in each[1]:
                yield Difference(world.seed, world.who, kind, each, answer, without[each])


@contextmanager
def undone():
    """Everything inside is undone at the end."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)

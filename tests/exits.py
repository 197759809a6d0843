"""Who may not see what is hidden, every address there is, and what the answers hold.

The addresses come from the resolver, so a new one is asked the day it is added; one whose arguments
are unknown here fails the tests.
"""

import difflib
import json
import random
import re
from datetime import timedelta
from itertools import cycle, islice
from typing import Any, NamedTuple

from django.core.files.base import ContentFile
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from knox.models import get_token_model

from accounts.models import AgentGroup, Organization, OrganizationMembership, Tag
from helpcenter.models import Attachment, Comment, PermissionGroup, Subscription, Vote
from segments.checks import walk_urls
from segments.models import Audience, Segment, SegmentPerson
from tests.factories_content import (
    ArticleFactory,
    CategoryFactory,
    HelpCenterFactory,
    SectionFactory,
)
from tests.factories_people import PersonFactory, TagFactory

# Every canary begins with it; in lower case, because answers are lowered.
CANARY = "qzcanary"
CANARIES = re.compile(rf"{CANARY}\d+")
LONG_NUMBERS = re.compile(r"\d{9,}")
# Which marks stand inside words: a found word is one word.
MARKS = re.compile(r"</?(?:mark|em|strong)>")
# What staff may know of people, at Zendesk and here: their organizations, groups and tags.
FOR_STAFF = re.compile(
    r"^/api/v2/(users|organizations|groups|organization_memberships|group_memberships)\b"
)
# Bodies that are no body of any operation: permission comes before them.
BODIES = {"POST": {"x": 1}, "PUT": {"x": 1}, "DELETE": None}
READING = ["GET", "HEAD", "OPTIONS"]
KINDS = ["text/html", "application/json"]
# What differs between two equal requests.
MOMENTS = {"Date", "Expires", "Set-Cookie", "X-Rate-Limit-Remaining"}


class Hidden:
    """Hidden objects by kind, and what must appear nowhere: their canaries and their numbers."""

    def __init__(self) -> None:
        self.things: dict[str, list[Any]] = {}
        self.canaries: set[str] = set()
        # What editors may see of it: where they can add articles (design §2.6).
        self.for_editors: set[str] = set()

    def canary(self) -> str:
        """A word that stands in one field of one hidden object, and nowhere else."""
        word = f"{CANARY}{1000 + len(self.canaries)}"
        self.canaries.add(word)
        return word

    def add(self, thing: Any) -> Any:
        """Remember a hidden object; returns it."""
        self.things.setdefault(thing._meta.model_name, []).append(thing)
        return thing

    def ids(self, kind: str) -> list[Any]:
        """The ids of the hidden objects of one model."""
        return [thing.pk for thing in self.things.get(kind, [])]

    @property
    def numbers(self) -> set[str]:
        """The public ids of all hidden objects."""
        every = {str(thing.pk) for things in self.things.values() for thing in things}
        return {number for number in every if LONG_NUMBERS.fullmatch(number)}

    def found_in(self, text: str, address: str) -> set[str]:
        """The canaries and numbers in an answer that were not in the question."""
        said = words_of(MARKS.sub("", text.lower()))
        return (said & (self.canaries | self.numbers)) - words_of(address)


def words_of(text: str) -> set[str]:
    """What of a text could be a canary or a public id."""
    return {*CANARIES.findall(text), *LONG_NUMBERS.findall(text)}


# What is there -------------------------------------------------------------------------------


def show_something(segment_of):
    """A help center with something for each of the cast, all without canaries; one article."""
    everyone = Audience.everyone()
    center = HelpCenterFactory(audience=everyone, locales=["en-us", "fr"])
    category = CategoryFactory(title="Guides", help_center=center, audience=everyone)
    section = SectionFactory(title="Basics", category=category, audience=everyone)
    guides = PermissionGroup.objects.create(
        name="Guides",
        edit=Audience.of(segment_of["editors"]),
        publish=Audience.of(segment_of["publishers"]),
    )
    for name, segment in segment_of.items():
        ArticleFactory(title=f"For {name}", section=section, audience=Audience.of(segment))
    ArticleFactory(
        title="In care", section=section, audience=Audience.nobody(), permission_group=guides
    )
    return ArticleFactory(title="For everyone", section=section, audience=everyone)


def hide_something(shown):
    """A hidden object of each kind, with a canary in each of its fields.

    They stand beside and inside what is shown. Their audience is the customers of one organization,
    the holders of one tag and the readers of German, who are nobody's of the cast.
    """
    hidden = Hidden()
    audience = Audience.of(*_hidden_segments(hidden))
    _hide_content(hidden, shown, audience)
    _hide_what_belongs_to(hidden, hidden.things["article"][0])
    return hidden


def _hidden_segments(hidden):
    tag = hidden.add(Tag.objects.create(name=hidden.canary()))
    organization = hidden.add(Organization.objects.create(name=hidden.canary()))
    organization.domains.create(domain="hush.example")
    group = hidden.add(AgentGroup.objects.create(name=hidden.canary()))
    for attribute, value in [
        ("tag", tag.name),
        ("organization", organization.pk),
        ("language", "de"),
        ("group", group.pk),
    ]:
        segment = Segment.objects.create(
            name=hidden.canary(),
            description=hidden.canary(),
            user_type="staff" if attribute == "group" else "end_users",
            conditions=[{"attribute": attribute, "operator": "any", "values": [value]}],
        )
        yield hidden.add(segment)
    hidden.add(PermissionGroup.objects.create(name=hidden.canary(), edit=Audience.of(segment)))


def _hide_content(hidden, shown, audience):
    everyone = Audience.everyone()
    category = hidden.add(
        CategoryFactory(
            title=hidden.canary(),
            body=hidden.canary(),
            help_center=shown.section.category.help_center,
            audience=audience,
        )
    )
    places = {"category": shown.section.category}

    def shelf(**fields):
        return hidden.add(
            SectionFactory(title=hidden.canary(), body=hidden.canary(), **places | fields)
        )

    narrow = shelf(audience=audience)
    inner = shelf(audience=everyone, parent=narrow)
    empty = shelf(audience=everyone)
    words = empty.translations.get()
    hidden.for_editors = {str(empty.pk), words.title, words.body}
    elsewhere = shelf(audience=everyone, category=category)
    care = hidden.things["permissiongroup"][0]
    _hide_article(hidden, shown, section=shown.section, audience=audience, promoted=True)
    _hide_article(hidden, shown, section=inner, audience=everyone, promoted=True)
    _hide_article(hidden, shown, section=elsewhere, audience=everyone, promoted=True)
    _hide_article(hidden, shown, section=shown.section, audience=everyone, draft=True)
    _hide_article(hidden, shown, section=shown.section, audience=audience, permission_group=care)
    _hide_article(hidden, shown, section=shown.section, audience=everyone).archive()
    draft = shown.translations.create(
        locale="fr", title=hidden.canary(), body=hidden.canary(), draft=True
    )
    hidden.add(draft)


def _hide_article(hidden, shown, **fields):
    """An article that names itself in a heading, a link, a picture and a table."""
    body = (
        "# {}\n\n[{}](https://{}.example/{}) ![{}](https://example.com/{}.png)\n\n"
        "**{}** and `{}`\n\n| {} | b |\n|---|---|\n| {} | d |\n"
    )
    words = [hidden.canary() for _ in range(body.count("{}"))]
    article = ArticleFactory(title=hidden.canary(), body=body.format(*words), **fields)
    hidden.add(article.translations.get())
    return hidden.add(article)


def _hide_what_belongs_to(hidden, article):
    author = hidden.add(PersonFactory(name=hidden.canary(), email=f"{hidden.canary()}@example.org"))
    article.author = author
    article.save()
    attachment = hidden.add(
        Attachment.objects.create(
            article=article,
            file=ContentFile(hidden.canary().encode(), name=f"{hidden.canary()}.txt"),
        )
    )
    Attachment.objects.create(
        file=ContentFile(hidden.canary().encode(), name=f"{hidden.canary()}.txt"),
        uploaded_by=author,
    )
    comment = hidden.add(
        Comment.objects.create(
            article=article, author=author, locale="en-us", body=f"<p>{hidden.canary()}</p>"
        )
    )
    hidden.add(Vote.objects.create(article=article, user=author, value=1))
    hidden.add(Vote.objects.create(comment=comment, user=author, value=1))
    hidden.add(Subscription.objects.create(article=article, user=author, locale="en-us"))
    hidden.add(article.labels.create(name=hidden.canary()))
    return attachment


VIEWING = "ada as dan"
TAGGED = "the tag with"


# Who asks -------------------------------------------------------------------------------------


def members_of(cast):
    """Name -> client, for everybody of the cast but the admin; by a session, some by a token too.

    One of them is the admin who views the pages as somebody else.
    """
    clients = {name: signed_in(person) for name, person in cast.items() if name != "ada"}
    tokens = [name for name in cast if name in ("dan", "maria", "pia")]
    clients |= {f"{name} by token": by_token(cast[name]) for name in tokens}
    if "ada" in cast:
        clients[VIEWING] = signed_in(cast["ada"])
        clients[VIEWING].post("/view-as/", {"person": cast["dan"].email})
    return clients


def near_ones(hidden):
    """Name -> client, for those who come near to being admitted, and are not."""
    return {
        **_look_alikes(hidden),
        **_former_insiders(hidden),
        "a header in German": Client(headers={"Accept-Language": "de"}),
        "an unknown token": Client(headers={"Authorization": "Bearer 0123456789"}),
    }


def signed_in(person):
    client = Client()
    if person.is_authenticated:
        client.force_login(person)
    return client


def by_token(person):
    token = get_token_model().objects.create(person)[1]
    return Client(headers={"Authorization": f"Bearer {token}"})


def insiders(hidden):
    """Name -> client, for those whom each of the hidden segments admits."""
    organization = hidden.things["organization"][0]
    domain = organization.domains.get().domain
    return {
        "tag": signed_in(PersonFactory(tags=[hidden.things["tag"][0]])),
        "organization": signed_in(PersonFactory(organizations=[organization])),
        "domain": signed_in(PersonFactory(email=f"in@{domain}", verified=True)),
        "language": signed_in(PersonFactory(language="de")),
    }


def _look_alikes(hidden):
    """People whose attributes only look like those that admit."""
    name, domain = hidden.things["tag"][0].name, hidden.things["organization"][0].domains.get()
    spellings = {
        "capitals": name.upper(),
        "a space": f"{name} ",
        "a Cyrillic letter": name.replace("a", "\u0430"),
        "a zero-width space": f"{name[:4]}\u200b{name[4:]}",
        "full width": "".join(chr(ord(letter) + 0xFEE0) for letter in name),
    }
    people = {
        f"{TAGGED} {what}": PersonFactory(tags=[_raw_tag(text)]) for what, text in spellings.items()
    }
    people["an unverified address"] = PersonFactory(email=f"near@{domain.domain}")
    people["a sub-domain"] = PersonFactory(email=f"near@sub.{domain.domain}", verified=True)
    people["nothing at all"] = PersonFactory(name="", language=None)
    return {what: signed_in(person) for what, person in people.items()}


def _raw_tag(text):
    """A tag as only raw SQL writes it: the field would normalise what looks alike."""
    tag = TagFactory()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_tag SET name = %s WHERE id = %s", [text, tag.pk])
    return tag


def _former_insiders(hidden):
    """People who were signed in while they were admitted, and are not any more."""
    tag, organization = hidden.things["tag"][0], hidden.things["organization"][0]
    lost, gone, quiet, mute, ended = (
        PersonFactory(tags=[tag], organizations=[organization]) for _ in range(5)
    )
    excluded, named = PersonFactory(language="de"), PersonFactory()
    clients = {
        "just removed": signed_in(lost),
        "just removed, by token": by_token(gone),
        "inactive with a session": signed_in(quiet),
        "inactive with a token": by_token(mute),
        "an expired token": by_token(ended),
        "excluded by name": signed_in(excluded),
        "included until yesterday": signed_in(named),
    }
    for person in (lost, gone):
        person.tags.clear()
        OrganizationMembership.objects.filter(user=person).delete()
    for person in (quiet, mute):
        person.is_active = False
        person.save()
    yesterday = timezone.now() - timedelta(days=1)
    get_token_model().objects.filter(user=ended).update(expiry=yesterday)
    for segment in hidden.things["segment"]:
        SegmentPerson.objects.create(segment=segment, user=excluded, kind="excluded")
        SegmentPerson.objects.create(segment=segment, user=named, kind="included", until=yesterday)
    return clients


# What is asked -------------------------------------------------------------------------------


class Place(NamedTuple):
    """One URL: its route, the addresses that name hidden objects in it, and its methods."""

    route: str
    addresses: list[str]
    methods: list[str]


# The word before an id in the API -> the model of what it is one of.
PLURALS = {
    "articles": "article",
    "sections": "section",
    "categories": "category",
    "attachments": "attachment",
    "user_segments": "segment",
    "comments": "comment",
    "votes": "vote",
    "subscriptions": "subscription",
    "labels": "label",
    "translations": "articletranslation",
    "users": "user",
    "organizations": "organization",
    "groups": "agentgroup",
    "permission_groups": "permissiongroup",
    "organization_memberships": "organizationmembership",
    "group_memberships": "groupmembership",
}
# What is nothing of ours: keys of links in mails, and addresses of the admin that lead nowhere.
FIXED = {
    frozenset(): {},
    frozenset({"app_label"}): {"app_label": "helpcenter"},
    frozenset({"content_type_id", "object_id"}): {"content_type_id": 1, "object_id": 1},
    frozenset({"key"}): {"key": "abc"},
    frozenset({"uidb36", "key"}): {"uidb36": "1a", "key": "abc-def"},
    frozenset({"url"}): {"url": "nowhere"},
}


def places(hidden):
    """Every URL there is, with hidden objects wherever one can be named."""
    found = []
    for name, route, pattern in walk_urls():
        if name.startswith("api:"):
            found.append(_api_place(route, pattern, hidden))
        else:
            filled = [_fill(route, kwargs) for kwargs in _arguments(name, route, pattern, hidden)]
            found.append(Place(route, filled, READING))
    return [*found, *_with_queries(hidden)]


def page_addresses(hidden):
    """The addresses of all pages, the API's left out."""
    pages = [each for each in places(hidden) if not each.route.lstrip("/").startswith("api/v2/")]
    return [address for place in pages for address in place.addresses]


def reading_by_id(hidden):
    """Address with {} in place of an id -> that of something hidden; pages, and the API."""
    found = {}
    for place in places(hidden):
        address = place.addresses[0] if place.addresses else ""
        named = re.search(r"/(\d{9,})", address)
        of_people = FOR_STAFF.search(address.replace("/help_center", ""))
        plain = ".json" not in place.route and "<locale:" not in place.route
        reads = place.methods[0] == "GET" and place.route.startswith(("hc/", "api/"))
        if named and plain and reads and not of_people:
            found[address.replace(named[1], "{}")] = int(named[1])
    return found


def missing(pk):
    """A number that no object has, as long as the one of a hidden object."""
    return int(pk) // 10 * 10 + (int(pk) + 1) % 10


def _arguments(name, route, pattern, hidden):
    """All combinations of arguments to call a page with; fails for arguments it does not know."""
    wanted = frozenset(set(pattern.pattern.converters) or set(pattern.pattern.regex.groupindex))
    both = ("en-us", "fr")
    if name in ("category", "section", "article"):
        things = hidden.ids(name)
        slugs = [f"{pk}{tail}" for pk in things for tail in ("", "-slug")]
        return [{"locale": locale, "name": slug} for slug in slugs for locale in both]
    if wanted == {"pk", "name"}:
        return [{"pk": a.pk, "name": a.file_name} for a in hidden.things["attachment"]]
    if wanted == {"locale"}:
        return [{"locale": locale} for locale in both]
    if wanted in ({"object_id"}, {"id"}):
        model = re.search(r"admin/\w+/(\w+)/", route)[1]
        (argument,) = wanted
        return [{argument: pk} for pk in hidden.ids(model.removeprefix("archived")) or [1]]
    assert wanted in FIXED, f"{name}: unknown arguments {set(wanted)}; add them here."
    return [FIXED[wanted]]


def _fill(route, kwargs):
    """The address of a route: `<int:pk>` and `(?P<key>…)` replaced by the arguments."""
    for name, value in kwargs.items():
        route = re.sub(rf"<(\w+:)?{name}>", str(value), route)
        route = re.sub(rf"\(\?P<{name}>(\[[^\]]*\]|[^()\[])*\)", str(value), route)
    return "/" + route.replace("^", "").replace("$", "").replace("\\Z", "").replace("\\", "")


def _api_place(route, pattern, hidden):
    filled = [re.sub(r"<locale:\w+>", "en-us", route)]
    while "<" in filled[0]:
        # The word before an id says of what it is one.
        before, name = re.search(r"(\w+)/<id:(\w+)>", filled[0]).groups()
        assert before in PLURALS, f"{route}: unknown argument {name}; add it here."
        ids = hidden.ids(PLURALS[before]) or [1]
        filled = [each.replace(f"<id:{name}>", str(pk), 1) for each in filled for pk in ids]
    # Reading first.
    methods = sorted(set(pattern.callback.actions) - {"head"}, key="get post put delete".index)
    return Place(route, [f"/{each}" for each in filled], [m.upper() for m in methods])


def _with_queries(hidden):
    """The same lists asked for in the ways that their parameters allow."""
    title, label = hidden.things["articletranslation"][0].title, hidden.things["label"][0].name
    queries = [title, CANARY[:3], "article", f"{title} some", '" OR 1']
    search = [f"/hc/{where}/search?query={q}" for where in ("en-us", "fr") for q in queries]
    pages = [f"/hc/en-us/sections/{pk}?page={p}" for pk in hidden.ids("section") for p in (1, 2)]
    lists = [f"/admin/helpcenter/{kind}/?q={title}" for kind in ("article", "section", "category")]
    choices = [
        f"/admin/autocomplete/?app_label=helpcenter&model_name={model}&field_name={field}&term=qz"
        for model, field in [("article", "section"), ("section", "parent"), ("section", "category")]
    ]
    found = [
        Place(each[0].split("?")[0] + "?", each, READING)
        for each in (search, pages, lists, choices)
    ]
    asked = [
        f"query={title}",
        "query=article&locale=*",
        f"label_names={label}",
        "include=users,sections,categories,translations",
        "page[size]=2",
        "per_page=2&page=2",
        "sort_by=updated_at&sort_order=desc",
        "start_time=0",
        "fields=body,html,audience&expand=all&depth=9",
    ]
    for path in ("articles", "sections", "categories", "articles/search"):
        path = f"/api/v2/help_center/{path}"
        found.append(Place(f"{path}?", [f"{path}?{query}" for query in asked], ["GET"]))
    return found


class Question(NamedTuple):
    """One request."""

    who: str
    method: str
    address: str
    accept: str


def questions(asked, names, size, seed):
    """About `size` of all the questions there are: each place, each name, methods and kinds.

    Whoever asks what goes round, so that everybody asks as much; the seed says who begins.
    """
    rng = random.Random(seed)
    turn = cycle(rng.sample(names, len(names)))
    each = -(-size // sum(map(_weight, asked)))
    found: dict[Question, None] = {}
    for place in asked:
        here = rng.sample(place.addresses, len(place.addresses))
        methods = place.methods + [m for m in READING if m not in place.methods]
        ways = [*methods[:1] * 2, *methods[1:]]
        times = min(each * _weight(place), len(names) * len(here) * len(ways))
        for number, who in enumerate(islice(turn, times)):
            if who == VIEWING and not place.route.startswith(("hc", "/hc")):
                continue  # the admin and the API stay those of the real person
            # By chance, not in turn: nobody may get the same method again and again.
            method = rng.choice(ways) if number else ways[0]
            question = Question(who, method, here[number % len(here)], rng.choice(KINDS))
            found[question] = None
    return list(found)


def _weight(place):
    """Content is asked for more often than the admin, which turns nearly all away alike."""
    is_variant = ".json" in place.route or "<locale:locale>" in place.route
    return 4 if place.route.startswith(("hc", "/hc", "/api", "api")) and not is_variant else 1


class Answer(NamedTuple):
    """Status, headers and body, without what differs between two equal requests."""

    status: int
    headers: dict[str, str]
    text: str


def ask(client, method, address, accept="text/html"):
    """The answer; nothing that an unsafe request changes stays."""
    # The admin says on the next page which id there is not.
    client.cookies.pop("messages", None)
    if method in READING:
        return read(client.generic(method, address, headers={"Accept": accept}))
    body = BODIES[method]
    data = "" if body is None else json.dumps(body)
    with transaction.atomic():
        response = client.generic(method, address, data, content_type="application/json")
        transaction.set_rollback(True)
    return read(response)


def read(response):
    """The answer in a response."""
    body = b"".join(response.streaming_content) if response.streaming else response.content
    text = body.decode("utf-8", "replace")
    text = re.sub(r'(csrfmiddlewaretoken\\?" value=\\?|"csrf_token":)"\w+', "", text)
    headers = {name: value for name, value in response.headers.items() if name not in MOMENTS}
    return Answer(response.status_code, headers, text)


EDITORS = ("edda", "pia", "pia by token")
STAFF = ("lena", "aki", *EDITORS)


def walk(clients, asked):
    """Question -> answer."""
    first, *others = clients.values()
    for client in others:
        client.handler = first.handler  # to load all middleware takes longer than ten answers
    return {each: ask(clients[each.who], *each[1:]) for each in asked}


def differing(before, after):
    """The questions that were answered otherwise, each with the first lines that differ."""
    return [
        (question, _first_difference(before[question], answer))
        for question, answer in after.items()
        if before[question] != answer
    ]


def _first_difference(one, other):
    lines = [
        f"{answer.status}\n{answer.headers}\n{answer.text}".splitlines() for answer in (one, other)
    ]
    return [line for line in difflib.ndiff(*lines) if line[0] in "+-"][:6]


def told(asked):
    """The canaries and numbers that the questions hold."""
    return words_of(" ".join(each.address for each in asked))


def may_know(question):
    """Whether what is hidden is partly theirs to know: people for staff, shelves for editors."""
    is_about_people = FOR_STAFF.search(question.address.replace("/help_center", ""))
    return question.who in EDITORS or (question.who in STAFF and bool(is_about_people))


def leaks(hidden, answers):
    """The questions whose answers hold something hidden that was not in the question."""
    found = []
    for question, answer in answers.items():
        if question.who in STAFF and FOR_STAFF.search(question.address):
            continue
        seen = hidden.found_in(f"{answer.headers} {answer.text}", question.address)
        if question.who in EDITORS:
            seen -= hidden.for_editors
        if question.who.startswith(TAGGED):
            seen -= {hidden.things["tag"][0].name}  # their own tag looks like it
        if seen:
            found.append((question, answer.status, sorted(seen)))
    return found

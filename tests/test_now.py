"""Now: a request that starts after a change commits obeys it, in every process (design §5.3).

The requests are answered by gunicorn's workers, which live through all changes, so whatever they
compiled or remembered is from before. Nothing tells them of a change but the database.
"""

import json
import threading
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from accounts.models import Organization, OrganizationDomain, OrganizationMembership, User
from helpcenter.models import Article, ArticleTranslation, Category, HelpCenter, Section
from segments import snapshot
from segments.models import Audience, AudienceSegment, Segment, SegmentPerson
from segments.moving import replace_segment
from tests.factories_content import ArticleFactory, CategoryFactory, SectionFactory
from tests.factories_people import (
    AgentGroupFactory,
    OrganizationFactory,
    PersonFactory,
    TagFactory,
)
from tests.web_server import SECRET

NOBODY, EVERYONE = Audience.NOBODY, Audience.EVERYONE
CANARY = "heliotrope"


def session_of(person):
    """The key of a session in which the person is signed in."""
    client = Client()
    client.force_login(person)
    return client.cookies[settings.SESSION_COOKIE_NAME].value


# The world: for each reason to see an article, one person who sees it for this reason only --------


def condition(attribute, operator, *values):
    return {"attribute": attribute, "operator": operator, "values": list(values)}


@pytest.fixture
def world(transactional_db):
    """Maria, a customer, and Aki, an agent: each article is shown for one reason."""
    world = SimpleNamespace(segments={}, articles={})
    world.gold, world.vip = TagFactory(name="gold"), TagFactory(name="vip")
    world.acme = OrganizationFactory(name="Acme", tags=["gold"])
    world.returns = AgentGroupFactory(name="Returns")
    world.globex = OrganizationFactory(name="Globex", domains=["globex.example"])
    world.maria = PersonFactory(
        email="maria@globex.example",
        verified=True,
        organizations=[world.acme],
        tags=["vip"],
        language="fr",
    )
    world.aki = PersonFactory(role="agent", groups=["Returns"])
    world.category = CategoryFactory()
    world.section = SectionFactory(category=world.category)
    world.outer = SectionFactory(category=world.category)
    world.inner = SectionFactory(category=world.category, parent=world.outer)
    # Where things are moved to in order to hide them.
    world.hidden_category = CategoryFactory(
        help_center=world.category.help_center, audience=Audience.nobody()
    )
    world.hidden_section = SectionFactory(category=world.category, audience=Audience.nobody())
    for name, (user_type, conditions) in reasons(world).items():
        segment = Segment.objects.create(name=name, user_type=user_type, conditions=conditions)
        world.segments[name] = segment
        world.articles[name] = article_for(world.section, Audience.of(segment))
    world.segments["named"].include(world.maria)
    public = Audience.everyone()
    world.articles["public"] = article_for(world.section, public)
    world.articles["nested"] = article_for(world.inner, public)
    signed_in = Segment.objects.get(built_in="signed_in_users")
    world.articles["signed in"] = article_for(world.section, Audience.of(signed_in))
    world.sessions = {
        "visitor": "",
        "maria": session_of(world.maria),
        "aki": session_of(world.aki),
    }
    return world


def reasons(world):
    """Segment -> base type and conditions."""
    return {
        "tag": ("signed_in_users", [condition("tag", "any", "vip")]),
        "inherited tag": ("end_users", [condition("tag", "all", "gold")]),
        "organization": ("end_users", [condition("organization", "any", world.acme.pk)]),
        "domain": ("end_users", [condition("organization", "any", world.globex.pk)]),
        "replaced": ("end_users", [condition("tag", "any", "vip")]),
        "group": ("staff", [condition("group", "any", world.returns.pk)]),
        "role": ("staff", [condition("role", "none", "light_agent")]),
        "language": ("signed_in_users", [condition("language", "any", "fr")]),
        "named": ("end_users", []),
    }


def article_for(section, audience):
    """An article with a word in its body that no other has."""
    number = Article.objects.count()
    article = ArticleFactory(
        title=f"Article {number}", body=f"{CANARY}{number}", section=section, audience=audience
    )
    article.canary = f"{CANARY}{number}"
    return article


# The changes --------------------------------------------------------------------------------------


def sql(statement, *params):
    """Run a statement as somebody with a database shell does."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        assert cursor.rowcount, f"No row was changed by {statement}"


def column(model, pk, name, taken, given):
    """The ways to write one column: {way: (take, give)}. `pk` finds the row in a world."""
    options = model._meta

    def save(value):
        def write(world):
            row = model._base_manager.get(pk=pk(world))
            setattr(row, name, value(world))
            row.save()

        return write

    def update(value):
        return lambda world: model._base_manager.filter(pk=pk(world)).update(**{name: value(world)})

    def bulk(value):
        def write(world):
            row = model._base_manager.get(pk=pk(world))
            setattr(row, name, value(world))
            model._base_manager.bulk_update([row], [name])

        return write

    def raw(value):
        field = options.get_field(name)
        statement = f'UPDATE "{options.db_table}" SET "{field.column}" = %s WHERE id = %s'
        return lambda world: sql(statement, _stored(field, value(world)), pk(world))

    ways = {"save": save, "update": update, "bulk_update": bulk, "raw": raw}
    return {way: (write(taken), write(given)) for way, write in ways.items()}


def _stored(field, value):
    return json.dumps(value) if isinstance(value, list) else value


def rows(model, make):
    """The ways to remove a row and to put it back. `make` gives its fields in a world."""
    options = model._meta

    def find(world):
        return model._base_manager.filter(**make(world))

    def raw_delete(world):
        fields = make(world)
        where = " AND ".join(f'"{name}" = %s' for name in fields)
        sql(f'DELETE FROM "{options.db_table}" WHERE {where}', *fields.values())

    def raw_insert(world):
        row = model(**make(world))
        # The database fills in the key and what has a default there.
        given = (field for field in options.concrete_fields if not field.has_db_default())
        fields = [field for field in given if field.attname != "id"]
        names = ", ".join(f'"{field.column}"' for field in fields)
        marks = ", ".join("%s" for _ in fields)
        values = [getattr(row, field.attname) for field in fields]
        sql(f'INSERT INTO "{options.db_table}" ({names}) VALUES ({marks})', *values)

    return {
        "delete": (
            lambda world: [row.delete() for row in find(world)],
            lambda world: model._base_manager.create(**make(world)),
        ),
        "queryset": (
            lambda world: find(world).delete(),
            lambda world: model._base_manager.bulk_create([model(**make(world))]),
        ),
        "raw": (raw_delete, raw_insert),
    }


def relation(manager, thing):
    """A many-to-many relation by its manager."""
    return {
        "manager": (
            lambda world: manager(world).remove(thing(world)),
            lambda world: manager(world).add(thing(world)),
        ),
        "set": (
            lambda world: manager(world).set([]),
            lambda world: manager(world).set([thing(world)]),
        ),
    }


def always(value):
    return lambda world: value


def segment(name):
    return lambda world: world.segments[name].pk


def article(name):
    return lambda world: world.articles[name].pk


def words_of(name):
    return lambda world: world.articles[name].translations.values_list("pk", flat=True)[0]


def conditions_of(name):
    return lambda world: reasons(world)[name][1]


def maria(world):
    return world.maria.pk


def aki(world):
    return world.aki.pk


def renamed_tag(taken):
    """A value that conditions name is renamed by raw SQL, which nothing refuses."""
    statement = "UPDATE accounts_tag SET name = %s WHERE id = %s"
    return lambda world: sql(statement, "other" if taken else "vip", world.vip.pk)


def delete_tag(world):
    sql("DELETE FROM accounts_user_tags WHERE tag_id = %s", world.vip.pk)
    sql("DELETE FROM accounts_tag WHERE id = %s", world.vip.pk)


def restore_tag(world):
    sql("INSERT INTO accounts_tag (id, name) VALUES (%s, 'vip')", world.vip.pk)
    world.maria.tags.add(world.vip)


def end(until):
    """Inclusion ends by its date."""
    return lambda world: SegmentPerson.objects.filter(kind="included").update(until=until())


def exclusion(world):
    return {"segment_id": segment("tag")(world), "user_id": maria(world), "kind": "excluded"}


def reversed_ways(ways):
    """For rows whose presence hides something."""
    return {way: (give, take) for way, (take, give) in ways.items()}


def address(email):
    """The primary address becomes another one, and is verified."""

    def write(world):
        person = User.objects.get(pk=world.maria.pk)
        person.email = email
        person.save()
        person.verify_email()

    return write


def verification(verified):
    """The primary address loses its verification, or has it again."""

    def write(world):
        row = EmailAddress.objects.get(user=world.maria, primary=True)
        row.verified = verified
        row.save()

    return write


def replace(world):
    """The segment gives its place to one that Maria is not in, and is deleted."""
    replace_segment(world.segments["replaced"], world.segments["group"])


def delete_segment(world):
    pk = world.segments["replaced"].pk
    sql("DELETE FROM segments_audiencesegment WHERE segment_id = %s", pk)
    sql("DELETE FROM segments_segment WHERE id = %s", pk)


def restore_segment(world):
    """There is another segment like it."""
    user_type, conditions = reasons(world)["replaced"]
    segment = Segment.objects.create(name="replaced", user_type=user_type, conditions=conditions)
    world.segments["replaced"] = segment
    article = world.articles["replaced"]
    Article._base_manager.filter(pk=article.pk).update(audience=Audience.of(segment))


def kill_session(world):
    Session.objects.get(pk=world.sessions["maria"]).delete()


def change_password(world):
    """Which ends all sessions."""
    person = User.objects.get(pk=world.maria.pk)
    person.set_password("staple battery horse correct")
    person.save()


def in_the_past():
    return timezone.now() - timezone.timedelta(seconds=1)


# What changes -> who asks, for which article, {way: (take, give)}.
CHANGES = {
    "tag": (
        "maria",
        "tag",
        rows(User.tags.through, lambda w: {"user_id": maria(w), "tag_id": w.vip.pk})
        | relation(lambda w: w.maria.tags, lambda w: w.vip)
        | {"renamed": (renamed_tag(True), renamed_tag(False)), "gone": (delete_tag, restore_tag)},
    ),
    "tag of the organization": (
        "maria",
        "inherited tag",
        rows(
            Organization.tags.through,
            lambda w: {"organization_id": w.acme.pk, "tag_id": w.gold.pk},
        )
        | relation(lambda w: w.acme.tags, lambda w: w.gold),
    ),
    "organization": (
        "maria",
        "organization",
        rows(
            OrganizationMembership,
            lambda w: {"user_id": maria(w), "organization_id": w.acme.pk},
        )
        | relation(lambda w: w.maria.organizations, lambda w: w.acme),
    ),
    "e-mail": (
        "maria",
        "domain",
        {
            "address": (address("maria@elsewhere.example"), address("maria@globex.example")),
            "verification": (verification(False), verification(True)),
            "domain": rows(
                OrganizationDomain,
                lambda w: {"organization_id": w.globex.pk, "domain": "globex.example"},
            )["delete"],
        },
    ),
    "session": (
        "maria",
        "signed in",
        # Signing in again gives it back.
        {"deleted": (kill_session, lambda w: None), "password": (change_password, lambda w: None)},
    ),
    "replaced segment": (
        "maria",
        "replaced",
        {"replaced": (replace, restore_segment), "raw": (delete_segment, restore_segment)},
    ),
    "agent group": (
        "aki",
        "group",
        rows(
            User.agent_groups.through,
            lambda w: {"user_id": aki(w), "agentgroup_id": w.returns.pk},
        )
        | relation(lambda w: w.returns.agents, lambda w: w.aki),
    ),
    "role": ("aki", "role", column(User, aki, "role", always("end_user"), always("agent"))),
    "lighter role": (
        "aki",
        "role",
        column(User, aki, "role", always("light_agent"), always("agent")),
    ),
    "language": ("maria", "language", column(User, maria, "language", always(None), always("fr"))),
    "activation": (
        "maria",
        "signed in",
        column(User, maria, "is_active", always(False), always(True)),
    ),
    "inclusion": (
        "maria",
        "named",
        rows(
            SegmentPerson,
            lambda w: {"segment_id": segment("named")(w), "user_id": maria(w), "kind": "included"},
        )
        | {"end date": (end(in_the_past), end(lambda: None))},
    ),
    "exclusion": ("maria", "tag", reversed_ways(rows(SegmentPerson, exclusion))),
    "conditions": (
        "maria",
        "tag",
        column(
            Segment,
            segment("tag"),
            "conditions",
            always([condition("tag", "any", "gold"), condition("role", "any", "agent")]),
            conditions_of("tag"),
        ),
    ),
    "no conditions": (
        "maria",
        "language",
        column(Segment, segment("language"), "conditions", always([]), conditions_of("language")),
    ),
    "base type": (
        "maria",
        "language",
        column(
            Segment,
            segment("language"),
            "user_type",
            always("staff"),
            always("signed_in_users"),
        ),
    ),
    "segment of the audience": (
        "maria",
        "tag",
        # Nothing but raw SQL can change an audience.
        {
            "raw": rows(
                AudienceSegment,
                lambda w: {
                    "audience_id": w.articles["tag"].audience_id,
                    "segment_id": segment("tag")(w),
                },
            )["raw"]
        },
    ),
    "audience of the article": (
        "maria",
        "tag",
        column(
            Article,
            article("tag"),
            "audience_id",
            always(NOBODY),
            lambda w: w.articles["tag"].audience_id,
        ),
    ),
    "audience of the section": (
        "visitor",
        "public",
        column(
            Section,
            lambda w: w.section.pk,
            "audience_id",
            lambda w: w.articles["group"].audience_id,
            always(EVERYONE),
        ),
    ),
    "audience of the outer section": (
        "visitor",
        "nested",
        column(Section, lambda w: w.outer.pk, "audience_id", always(NOBODY), always(EVERYONE)),
    ),
    "audience of the category": (
        "visitor",
        "nested",
        column(Category, lambda w: w.category.pk, "audience_id", always(NOBODY), always(EVERYONE)),
    ),
    "audience of the help center": (
        "visitor",
        "public",
        column(
            HelpCenter,
            lambda w: w.category.help_center_id,
            "audience_id",
            lambda w: w.articles["signed in"].audience_id,
            always(EVERYONE),
        ),
    ),
    "place of the article": (
        "maria",
        "tag",
        column(
            Article,
            article("tag"),
            "section_id",
            lambda w: w.hidden_section.pk,
            lambda w: w.section.pk,
        ),
    ),
    "place of the section": (
        "visitor",
        "nested",
        column(
            Section,
            lambda w: w.inner.pk,
            "parent_id",
            lambda w: w.hidden_section.pk,
            lambda w: w.outer.pk,
        ),
    ),
    "category of the section": (
        "visitor",
        "public",
        column(
            Section,
            lambda w: w.section.pk,
            "category_id",
            lambda w: w.hidden_category.pk,
            lambda w: w.category.pk,
        ),
    ),
    "publication": (
        "maria",
        "tag",
        column(ArticleTranslation, words_of("tag"), "draft", always(True), always(False)),
    ),
}
# Whoever these are given back to signs in again: some of them end all sessions.
SIGN_OUT = {"session", "e-mail", "role", "lighter role", "activation"}
# The eleven kinds of revocation (reference/leaks.md, F7).
KINDS = [
    ("tag", "delete"),
    ("organization", "delete"),
    ("role", "save"),
    ("activation", "save"),
    ("e-mail", "verification"),
    ("conditions", "save"),
    ("replaced segment", "replaced"),
    ("audience of the article", "save"),
    ("audience of the section", "save"),
    ("place of the article", "save"),
    ("publication", "save"),
    ("session", "deleted"),
]
CASES = [(what, way) for what, (_, _, ways) in CHANGES.items() for way in ways]
# What the cached builds get wrong.
STALE = {
    "stale-rules": ["conditions", "no conditions", "base type", "segment of the audience"],
    "stale-people": ["tag", "organization", "agent group", "role", "language", "inclusion"],
}


def address_of(article):
    article.words = article.translations.first()
    article.page_name = f"{article.pk}-{article.words.slug}"
    return article.address("en-us")


def search_for(word):
    return f"/hc/en-us/search?query={word}"


def page(thing):
    """The page of the article, and what it shows."""
    return address_of(thing), thing.canary


def found(thing):
    """A search that finds it, and what the results show."""
    address_of(thing)
    return search_for(thing.canary), thing.page_name


class Trials:
    """Changes, each followed by requests that start after it: how many disobey."""

    def __init__(self, web, world, faults=""):
        self.web, self.world, self.faults = web, world, faults
        self.answers, self.workers, self.stale = 0, Counter(), []

    def compile(self):
        """Let every worker see everything; whatever it keeps is kept from here on."""
        for who, article in (("maria", "tag"), ("aki", "group"), ("visitor", "public")):
            self.ask(who, article, True, page, "before", self.web.from_all)

    def carry_out(self, what, way, look=page, everywhere=False):
        """Take something and give it back, and ask one worker, or all at once, after both."""
        who, article, ways = CHANGES[what]
        for verb, change, expected in zip(("taken", "given"), ways[way], (0, 1), strict=True):
            change(self.world)
            if expected and what in SIGN_OUT:
                person = User.objects.get(pk=getattr(self.world, who).pk)
                self.world.sessions[who] = session_of(person)
            ask = self.web.from_all if everywhere else self.web.from_one
            self.ask(who, article, bool(expected), look, f"{what} {verb} by {way}", ask)

    def ask(self, who, article, expected, look, when, ask):
        where, mark = look(self.world.articles[article])
        session = self.world.sessions[who]
        for answer in ask(where, session=session, faults=self.faults):
            # 404 for a search: the whole help center is hidden.
            assert answer.status in (200, 404), answer
            self.answers += 1
            self.workers[answer.worker] += 1
            if (mark in answer.text) != expected:
                self.stale.append(f"{when}: {look.__name__} {not expected}")


@pytest.fixture
def trials(web, world):
    """trials(faults) begins some, with workers that know everything."""

    def trials(faults=""):
        begun = Trials(web, world, faults)
        begun.compile()
        return begun

    return trials


@pytest.mark.surface(44)
def test_the_next_request_to_any_worker_obeys(trials, tally):
    some = trials()
    for what, way in CASES:
        some.carry_out(what, way)
    for what, way in KINDS:
        some.carry_out(what, way, everywhere=True)
        some.carry_out(what, way, found)
    tally["answers that obey the change before them"] += some.answers
    assert not some.stale
    assert some.answers >= 200
    assert len(some.workers) == 4


@pytest.mark.fuzz
def test_the_next_request_obeys_for_as_long_as_we_look(trials, budget, chance, tally):
    some, end = trials(), time.monotonic() + budget
    while time.monotonic() < end:
        what, way = chance.choice(KINDS + CASES)
        some.carry_out(what, way, chance.choice([page, found]), everywhere=True)
        assert not some.stale
    tally["answers that obey the change before them"] += some.answers


@pytest.mark.parametrize("fault", STALE)
def test_a_build_with_a_cache_is_found_out(fault, trials):
    """However short its cache lives: the same trials, a few of those above, fail."""
    some = trials(fault)
    for what in STALE[fault]:
        some.carry_out(what, min(CHANGES[what][2]), everywhere=True)
    assert some.stale


def test_a_deleted_person_is_a_visitor_in_every_worker(trials):
    some = trials()
    some.world.maria.delete()
    some.ask("maria", "signed in", False, page, "deleted", some.web.from_all)
    some.ask("maria", "public", True, page, "deleted", some.web.from_all)
    assert not some.stale


def test_a_change_that_is_rolled_back_changes_nothing_elsewhere(trials):
    """Nor does the process that tried it keep the rules that never came to be."""
    some = trials()
    wider, person = [condition("role", "any", "end_user")], PersonFactory()
    article = some.world.articles["tag"]
    for _ in range(3):
        with transaction.atomic():
            Segment.objects.filter(pk=segment("tag")(some.world)).update(conditions=wider)
            assert article.is_visible_to(person)
            transaction.set_rollback(True)
        assert not article.is_visible_to(person)
        some.ask("maria", "tag", True, page, "rolled back", some.web.from_all)
    assert not some.stale


# The race: narrow, then write a secret; no reader may see the new words by the old decision -------

READERS = 8
# Seconds that readers and a writer run against each other in `make test`.
RACE = 2.5
# Whatever hides the article "tag" from Maria.
NARROWING = [
    "tag",
    "conditions",
    "segment of the audience",
    "audience of the article",
    "audience of the section",
    "audience of the category",
    "place of the article",
    "publication",
]


def write_secret(world, what, linger):
    """Hide the article, write a secret into it, take it out and show the article again."""
    take, give = CHANGES[what][2]["raw"]
    take(world)
    # Read only now: save() writes every column, and taking may have changed one.
    words = world.articles["tag"].translations.get()
    public = words.title
    for text in (f"{public} {SECRET}", public):
        words.title = words.body = text
        # SQLite: who begins by reading cannot wait for a turn to write.
        with snapshot.writing():
            words.save()
        time.sleep(linger)
    give(world)
    time.sleep(linger)


def section_address(world):
    world.section.words = world.section.translations.get()
    return world.section.address("en-us")


def race(web, world, seconds, linger, faults=""):
    """(answers by status and with the secret, number of secrets written) of one race.

    Each state of the article lasts for `linger` seconds at least. It ends when a secret is seen.
    """
    article, writes, seen = world.articles["tag"], 0, Counter()
    where = [
        address_of(article),
        section_address(world),
        address_of(article),
        search_for(CANARY),
    ]
    end, session = time.monotonic() + seconds, world.sessions["maria"]

    def read(number):
        while time.monotonic() < end and not seen["secret"]:
            answer = web.get(where[number % len(where)], session=session, faults=faults)
            seen[answer.status] += 1
            seen["secret"] += SECRET in answer.text
            number += 1

    readers = [threading.Thread(target=read, args=[number]) for number in range(READERS)]
    for reader in readers:
        reader.start()
    while any(reader.is_alive() for reader in readers):
        write_secret(world, NARROWING[writes % len(NARROWING)], linger)
        writes += 1
    for reader in readers:
        reader.join()
    return seen, writes


def no_secret_is_seen(answers, writes, tally):
    assert answers.pop("secret") == 0
    assert set(answers) <= {200, 404}
    assert answers[200] and answers[404], answers
    tally["secrets written behind a narrowed audience"] += writes
    tally["requests during that"] += answers.total()


@pytest.mark.parametrize("slow", ["", "slow"], ids=["fast", "slow"])
def test_nobody_sees_what_was_written_after_narrowing(slow, web, world, tally):
    no_secret_is_seen(*race(web, world, RACE, 0.005, slow), tally)


@pytest.mark.fuzz
def test_nobody_sees_it_for_as_long_as_we_look(web, world, budget, tally):
    for slow in ("", "slow"):
        no_secret_is_seen(*race(web, world, budget / 2, 0.005, slow), tally)


@pytest.mark.parametrize("fault", ["slow", "two-steps"])
def test_a_build_without_the_snapshot_is_found_out(fault, web, world):
    answers, _writes = race(web, world, 30, 0.1, f"no-snapshot, {fault}")
    assert answers["secret"]

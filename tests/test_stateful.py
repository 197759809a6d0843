"""A help center that lives: whatever happens to it, everybody sees what the model says.

Hypothesis makes up the life: segments and people change through the API of an admin, content by
bulk updates, people sign in by the form, and everybody reads, through real clients and through
`visible_to`. After each step what one person sees is compared with tests/stateful_model.py.
"""

import ast
import functools
import itertools
import random
import time
from pathlib import Path

import hypothesis
import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.db import transaction
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from knox.models import get_token_model

from accounts.models import Organization
from helpcenter.models import Article, ArticleTranslation, Section
from segments import attributes, ruleset, snapshot
from segments.models import Audience, Segment
from tests import stateful_model as model
from tests.factories_content import (
    ArticleFactory,
    CategoryFactory,
    HelpCenterFactory,
    SectionFactory,
)
from tests.factories_people import PASSWORD, OrganizationFactory, PersonFactory, TagFactory
from tests.helpcenter.api.conftest import ApiClient

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore:.*Do not use the `random` module"),
]
API = "/api/v2/help_center"
PEOPLE = {
    "maria": {"organizations": ["Acme"]},
    "omar": {"organizations": ["Globex"], "tags": ["vip"]},
    "dan": {},
    "aki": {"role": "agent", "organizations": ["Acme"]},
}
TAGS = ["beta", "gold", "vip"]
ORGANIZATION_TAGS = {"Acme": {"gold"}, "Globex": {"beta"}}
VALUES = {"tag": TAGS, "organization": [*ORGANIZATION_TAGS], "role": ["agent", "end_user"]}
SECTIONS, CANARY = 4, "heliotrope"


def subsets(values, smallest=0):
    return st.frozensets(st.sampled_from(values), min_size=smallest, max_size=2).map(sorted)


people = st.sampled_from([*PEOPLE])
viewers = st.sampled_from([None, *PEOPLE])
numbers = st.integers(0, 9)  # which of those that there are, counted around
conditions = st.sampled_from([*VALUES]).flatmap(
    lambda name: st.tuples(
        st.just(name), st.sampled_from(["any", "all", "none"]), subsets(VALUES[name], 1)
    )
)
user_types = st.sampled_from(["signed_in_users", "end_users", "staff"])
# Nobody, everyone, or the segments with these numbers.
audiences = st.sampled_from(["nobody", "everyone"]) | st.frozensets(numbers, min_size=1, max_size=2)


class Beginning:
    """What every life starts with, made once for many: people with clients, and sections."""

    def __init__(self):
        for tag in TAGS:
            TagFactory(name=tag)
        for name, tags in ORGANIZATION_TAGS.items():
            OrganizationFactory(name=name, tags=tags)
        self.organizations = dict(Organization.objects.values_list("name", "pk"))
        self.users = {
            name: PersonFactory(email=f"{name}@example.com", verified=True, **fields)
            for name, fields in PEOPLE.items()
        }
        ada = PersonFactory(email="ada@example.com", role="admin", verified=True)
        self.admin = ApiClient(get_token_model().objects.create(ada)[1])
        self.clients = {name: Client() for name in [None, *PEOPLE]}
        category = CategoryFactory(help_center=HelpCenterFactory(), audience=Audience.everyone())
        self.sections = [SectionFactory(category=category).pk for _ in range(SECTIONS)]


class HelpCenterLife(RuleBasedStateMachine):
    """Keys of segments, sections and articles are their ids, in the product and in the model."""

    beginning = None
    steps = 0
    names = 0

    def __init__(self):
        super().__init__()
        cache.clear()  # of counted attempts to sign in
        self.undo = transaction.atomic()
        self.undo.__enter__()
        vars(self).update(vars(self.beginning))
        for client in self.clients.values():
            client.cookies.clear()
        self.model = model.Model(
            organization_tags=ORGANIZATION_TAGS,
            people={
                name: model.Person(
                    is_staff="role" in fields,
                    organizations=set(fields.get("organizations", ())),
                    tags=set(fields.get("tags", ())),
                )
                for name, fields in PEOPLE.items()
            },
            sections={section: model.Section() for section in self.sections},
        )

    def teardown(self):
        transaction.set_rollback(True)
        self.undo.__exit__(None, None, None)

    # What everybody does through the API, and what it means -------------------------------------

    def write(self, method, path, body=None, refused=False):
        """Ask as the admin; the answer's JSON. A step that is to be refused must be."""
        answer = getattr(self.admin, method)(path, body)
        assert (answer.status_code >= 400) == refused, (path, body, answer.content)
        assert answer.status_code < 500
        return answer.json() if answer.content and not refused else None

    def one(self, things, number):
        """One of them, in the order in which they were made: ids are random."""
        return list(things)[number % len(things)]

    def audience(self, drawn):
        """What is drawn, for the model and as it is stored."""
        if isinstance(drawn, frozenset) and self.model.segments:
            drawn = frozenset(self.one(self.model.segments, number) for number in drawn)
            return drawn, Audience.of(*Segment.objects.filter(pk__in=drawn))
        if drawn == "everyone":
            return drawn, Audience.everyone()
        return "nobody", Audience.nobody()

    def stored(self, conditions):
        """The conditions as they are stored: organizations by their ids."""
        ids = self.organizations
        return [
            {"attribute": name, "operator": operator, "values": [ids.get(v, v) for v in values]}
            for name, operator, values in conditions
        ]

    def segment(self, user_type, conditions):
        if user_type == "staff":  # the product refuses what does not limit them
            conditions = [each for each in conditions if each[0] != "organization"]
        meant = [(name, operator, set(values)) for name, operator, values in conditions]
        body = {"user_type": user_type, "conditions": self.stored(conditions)}
        return model.Segment(user_type, meant), body

    @rule(user_type=user_types, conditions=st.lists(conditions, max_size=2), person=people)
    def create_segment(self, user_type, conditions, person):
        meant, body = self.segment(user_type, conditions)
        self.names += 1
        body |= {"name": f"Segment {self.names}", "added_user_ids": [self.users[person].pk]}
        made = self.write("post", f"{API}/user_segments", {"user_segment": body})
        meant.included.add(person)
        self.model.segments[made["user_segment"]["id"]] = meant

    @precondition(lambda self: self.model.segments)
    @rule(number=numbers, user_type=user_types, conditions=st.lists(conditions, max_size=2))
    def edit_segment(self, number, user_type, conditions):
        key = self.one(self.model.segments, number)
        meant, body = self.segment(user_type, conditions)
        self.write("put", f"{API}/user_segments/{key}", {"user_segment": body})
        before = self.model.segments[key]
        meant.included, meant.excluded = before.included, before.excluded
        self.model.segments[key] = meant

    @precondition(lambda self: self.model.segments)
    @rule(number=numbers, included=subsets([*PEOPLE]), excluded=subsets([*PEOPLE]))
    def name_people(self, number, included, excluded):
        key = self.one(self.model.segments, number)
        ids = {
            "added_user_ids": [self.users[name].pk for name in included],
            "excluded_user_ids": [self.users[name].pk for name in excluded],
        }
        self.write("put", f"{API}/user_segments/{key}", {"user_segment": ids})
        self.model.segments[key].included = set(included)
        self.model.segments[key].excluded = set(excluded)

    @precondition(lambda self: self.model.segments)
    @rule(number=numbers)
    def delete_segment(self, number):
        key = self.one(self.model.segments, number)
        used = self.model.is_used(key)
        self.write("delete", f"{API}/user_segments/{key}", refused=used)
        if not used:
            del self.model.segments[key]

    @initialize(drawn=st.lists(st.tuples(user_types, conditions), min_size=2, max_size=2))
    def begin(self, drawn):
        """Two segments, and for each an article that only its members see."""
        for number, (user_type, condition) in enumerate(drawn):
            self.create_segment(user_type, [condition], "maria")
            self.create_article(number, frozenset([number]), False)

    @rule(section=numbers, drawn=audiences, draft=st.booleans())
    def create_article(self, section, drawn, draft):
        section = self.one(self.model.sections, section)
        meant, audience = self.audience(drawn)
        article = ArticleFactory(
            title=f"{CANARY} {self.steps}",
            section=Section.objects.get(pk=section),
            audience=audience,
            draft=draft,
        )
        self.model.articles[article.pk] = model.Article(section, meant, draft)

    @precondition(lambda self: self.model.articles)
    @rule(number=numbers)
    def delete_article(self, number):
        key = self.one(self.model.articles, number)
        self.write("delete", f"{API}/articles/{key}")
        self.model.archived.append(self.model.articles.pop(key))

    @precondition(lambda self: self.model.articles)
    @rule(number=numbers, drawn=audiences)
    def restrict_article(self, number, drawn):
        key = self.one(self.model.articles, number)
        meant, audience = self.audience(drawn)
        Article.objects.filter(pk=key).update(audience=audience)
        self.model.articles[key].audience = meant

    @rule(number=numbers, drawn=audiences)
    def restrict_section(self, number, drawn):
        key = self.one(self.model.sections, number)
        meant, audience = self.audience(drawn)
        Section.objects.filter(pk=key).update(audience=audience)
        self.model.sections[key].audience = meant

    @precondition(lambda self: self.model.articles)
    @rule(number=numbers, section=numbers)
    def move_article(self, number, section):
        key = self.one(self.model.articles, number)
        section = self.one(self.model.sections, section)
        Article.objects.filter(pk=key).update(section=section)
        self.model.articles[key].section = section

    @rule(number=numbers, parent=st.none() | numbers)
    def move_section(self, number, parent):
        key = self.one(self.model.sections, number)
        parent = parent if parent is None else self.one(self.model.sections, parent)
        in_itself = key in self.model.path(parent)
        body = {"section": {"parent_section_id": parent}}
        self.write("put", f"{API}/sections/{key}", body, refused=in_itself)
        if not in_itself:
            self.model.sections[key].parent = parent

    @precondition(lambda self: self.model.articles)
    @rule(number=numbers, draft=st.booleans())
    def publish(self, number, draft):
        key = self.one(self.model.articles, number)
        ArticleTranslation.objects.filter(article=key).update(draft=draft)
        self.model.articles[key].is_draft = draft

    def change_person(self, name, **fields):
        self.write("put", f"/api/v2/users/{self.users[name].pk}", {"user": fields})

    @rule(name=people, tags=subsets(TAGS))
    def tag(self, name, tags):
        self.change_person(name, tags=tags)
        self.model.people[name].tags = set(tags)

    @rule(name=people, organizations=subsets([*ORGANIZATION_TAGS]))
    def join_organizations(self, name, organizations):
        ids = [self.organizations[each] for each in organizations]
        self.change_person(name, organization_ids=ids)
        self.model.people[name].organizations = set(organizations)

    @rule(name=people)
    def disable(self, name):
        self.change_person(name, suspended=True)
        self.model.people[name].is_active = False
        self.model.people[name].is_signed_in = False

    @rule(name=people)
    def enable(self, name):
        if not self.model.people[name].is_active:
            self.clients[name].cookies.clear()
        self.change_person(name, suspended=False)
        self.model.people[name].is_active = True

    @rule(name=people)
    def sign_in(self, name):
        person = self.model.people[name]
        cache.clear()
        form = {"login": f"{name}@example.com", "password": PASSWORD}
        answer = self.clients[name].post(reverse("account_login"), form)
        assert (answer.status_code == 302 and answer.url == "/") == person.is_active
        person.is_signed_in = person.is_active

    @rule(name=people)
    def sign_out(self, name):
        self.clients[name].post(reverse("account_logout"))
        self.model.people[name].is_signed_in = False

    # Reading ------------------------------------------------------------------------------------

    def reader(self, name):
        """The one whom the site takes the client for."""
        return name if name and self.model.people[name].is_signed_in else None

    def get(self, name, address):
        answer = self.clients[name].get(address, follow=True)
        assert answer.status_code in (200, 404)
        return answer

    @precondition(lambda self: self.model.articles)
    @rule(name=viewers, number=numbers)
    def read_article(self, name, number):
        key = self.one(self.model.articles, number)
        shown = self.model.sees_article(self.reader(name), key)
        for address in (f"/hc/en-us/articles/{key}", f"{API}/articles/{key}.json"):
            assert (self.get(name, address).status_code == 200) == shown, address

    @rule(name=viewers, number=numbers)
    def read_section(self, name, number):
        key = self.one(self.model.sections, number)
        answer = self.get(name, f"/hc/en-us/sections/{key}")
        assert (answer.status_code == 200) == self.model.sees_section(self.reader(name), key)
        if answer.status_code == 200:
            here = {pk for pk, each in self.model.articles.items() if each.section == key}
            assert {each.pk for each in answer.context["articles"]} == here & self.seen(name)

    @rule(name=viewers)
    def search(self, name):
        answer = self.get(name, f"/hc/en-us/search?query={CANARY}")
        assert {each.pk for each in answer.context["results"]} == self.seen(name)

    @rule(name=viewers)
    def list_by_api(self, name):
        answer = self.get(name, f"{API}/articles.json?per_page=100")
        assert {each["id"] for each in answer.json()["articles"]} == self.seen(name)

    def seen(self, name):
        """The articles that the client of this person is shown."""
        reader = self.reader(name)
        return {key for key in self.model.articles if self.model.sees_article(reader, key)}

    @invariant()
    def everybody_sees_theirs(self):
        """By turns: the articles, the sections, or the segments of one person."""
        type(self).steps += 1
        name = [None, *PEOPLE][self.steps % (len(PEOPLE) + 1)]
        viewer = self.users[name] if name else AnonymousUser()
        looks = [
            lambda: self.sees(Article, self.model.articles, self.model.sees_article, name, viewer),
            lambda: self.sees(Section, self.model.sections, self.model.sees_section, name, viewer),
            lambda: self.is_in(name, viewer),
        ]
        looks[self.steps % len(looks)]()

    def sees(self, content, known, sees, name, viewer):
        with snapshot.read_only():
            shown = set(content.objects.visible_to(viewer).values_list("pk", flat=True))
        assert shown == {key for key in known if sees(name, key)}, (content, name)

    def is_in(self, name, viewer):
        """The segments of this person, and the members of one segment."""
        theirs = Segment.objects.for_user(viewer).filter(built_in=None)
        assert set(theirs.values_list("pk", flat=True)) == {
            key
            for key, segment in self.model.segments.items()
            if name and self.model.is_member(name, segment)
        }
        if self.model.segments:
            key = self.one(self.model.segments, self.steps)
            members = Segment.objects.get(pk=key).members().values_list("email", flat=True)
            segment = self.model.segments[key]
            expected = {n for n in PEOPLE if self.model.is_member(n, segment)}
            assert {email.partition("@")[0] for email in members} - {"ada"} == expected


def live(lives, steps, **options):
    """Run so many lives of so many steps; raises what the first failing one raised."""
    with transaction.atomic():
        HelpCenterLife.beginning = Beginning()
        run_state_machine_as_test(
            HelpCenterLife,
            settings=settings(
                max_examples=lives,
                stateful_step_count=steps,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
                **options,
            ),
        )
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def fresh(settings):
    settings.API_REQUESTS_PER_MINUTE = {"token": 10**6, "address": 10**6}
    HelpCenterLife.steps = 0
    yield
    ruleset._compiled.clear()
    attributes._facts_statement.cache_clear()


def test_lives_of_a_help_center(tally, share):
    # A few lives end early, so there are some more than the steps need.
    lives = round(60 * share)
    live(lives, 30)
    tally["stateful: steps"] += HelpCenterLife.steps
    assert HelpCenterLife.steps >= lives * 23


@pytest.mark.fuzz
def test_long_lives_of_a_help_center(tally, budget):
    """Up to 5,000 lives of 80 steps, fifty with each new seed; a failure prints its seed."""
    end = time.monotonic() + budget
    for seed in itertools.count(random.SystemRandom().randrange(2**32)):
        if HelpCenterLife.steps >= 5000 * 80 or time.monotonic() > end:
            break
        print(f"seed {seed}: {HelpCenterLife.steps:,} steps so far")
        hypothesis.seed(seed)(HelpCenterLife)
        live(50, 80, derandomize=False, database=None)
    tally["stateful: steps"] += HelpCenterLife.steps


# Planted bugs -------------------------------------------------------------------------------------


def test_a_ruleset_that_is_never_compiled_again_is_found(monkeypatch):
    stale = functools.cache(ruleset.current_ruleset)
    monkeypatch.setattr(ruleset, "current_ruleset", stale)
    with pytest.raises(AssertionError):
        live(50, 30)


def test_the_model_is_small_and_knows_nothing_of_the_product():
    text = Path(model.__file__).read_text()
    assert len(text.splitlines()) <= 100
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in imported] == ["dataclasses"]

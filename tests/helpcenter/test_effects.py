"""What a change would do, asked beforehand, is what is seen when it is made: in random worlds."""

import random
from collections import Counter
from unittest import mock

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from accounts.models import AgentGroup, Organization, Tag, User
from helpcenter.models import Article, Category, HelpCenter, PermissionGroup, Section
from segments import attributes, crowd, effects, ruleset
from segments.effects import (
    Move,
    _Question,
    effect_of_all,
    effect_of_draft,
    effect_of_moves,
    effect_of_replacing,
)
from segments.models import Audience, Segment
from segments.person_changes import Trial
from segments.ruleset import Viewer, viewer_for
from tests import worlds
from tests.factories_content import ArticleFactory, SectionFactory

pytestmark = pytest.mark.django_db
COMPARED = Counter()
KINDS = ["move", "place", "replace", "edit", "become"]
quietly = settings(
    max_examples=15,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)


@pytest.fixture(autouse=True)
def fresh_rules():
    yield
    ruleset._compiled.clear()
    attributes._facts_statement.cache_clear()


def sights(user):
    """What somebody sees by the audiences alone, and of which groups they are staff."""
    viewer = viewer_for(user)
    mere = Viewer(viewer.pk, audiences=viewer.audiences)
    seen = {("article", pk) for pk in ids(Article.objects.visible_to(mere))}
    for name in ("edit", "publish") if viewer.is_staff else ():
        granted = viewer.audiences - {Audience.EVERYONE}
        groups = PermissionGroup.objects.filter(**{f"{name}_id__in": granted})
        seen |= {(name, pk) for pk in ids(groups)}
    return seen


def everything():
    people = {user.pk: sights(user) for user in User.objects.filter(is_active=True)}
    return people | {None: sights(AnonymousUser())}


def ids(rows):
    return set(rows.values_list("pk", flat=True))


def foretold(effect):
    content = {
        ("article" if each.model is Article else each.name): {
            name: ids(getattr(each, name))
            for name in ("gained", "lost", "becomes_public", "stops_being_public")
        }
        for each in effect.content
    }
    for each in effect.content:
        assert all(each.counts[name] == getattr(each, name).count() for name in each.counts)
    return (effect.gains, effect.loses, ids(effect.gainers), ids(effect.losers), content)


def seen(before, after):
    gained = {pk: after[pk] - before[pk] for pk in before}
    lost = {pk: before[pk] - after[pk] for pk in before}
    gainers = {pk for pk in gained if pk and gained[pk]}
    losers = {pk for pk in lost if pk and lost[pk]}
    content = {}
    for name in ("article", "edit", "publish"):
        content[name] = {
            "gained": things(gained, name),
            "lost": things(lost, name),
            "becomes_public": {pk for kind, pk in gained[None] if kind == name},
            "stops_being_public": {pk for kind, pk in lost[None] if kind == name},
        }
    return len(gainers), len(losers), gainers, losers, content


def things(changed, name):
    """What somebody other than a visitor gains or loses."""
    return {pk for who, sight in changed.items() if who for kind, pk in sight if kind == name}


def way_to_change(kind, chance):
    """A change that can be asked beforehand: (the effect, what then happens)."""
    used = Segment.objects.filter(built_in=None, audiences__isnull=False).distinct()
    own = list(used or Segment.objects.filter(built_in=None))
    segment = chance.choice(own)
    other = chance.choice([each for each in Segment.objects.assignable() if each != segment])
    model = chance.choice([Article, Article, Section, Category, HelpCenter])
    every = sorted(ids(model._base_manager.all()))
    rows = model._base_manager.filter(pk__in=chance.sample(every, min(len(every), 4)))
    new = chance.choice(
        [None, frozenset(), frozenset([other.pk]), frozenset([other.pk, segment.pk])]
    )
    becomes = chance.choice(
        [lambda _old: new, lambda old: old if old is None else old | {other.pk}]
    )

    def move():
        for row in rows:
            row.audience = stored(becomes(audience_set(row.audience)))
            model._base_manager.filter(pk=row.pk).update(audience=row.audience)

    def replace():
        for field in effects.audience_fields():
            for row in field.model._base_manager.all():
                admitted = effects.replacing(segment.pk, other.pk)(
                    audience_set(getattr(row, field.name))
                )
                field.model._base_manager.filter(pk=row.pk).update(**{field.name: stored(admitted)})

    def edit():
        Segment.objects.filter(pk=segment.pk).update(conditions=conditions)

    roles = {"attribute": "role", "operator": "none", "values": ["light_agent"]}
    tags = {"attribute": "tag", "operator": "any", "values": ["vip", "beta"]}
    conditions = chance.choice([[roles], [tags], [roles, tags], []])
    draft = Segment(pk=segment.pk, user_type=segment.user_type, conditions=conditions)
    draft._state.db = "default"
    if kind == "place":
        moves, put = ways_to_place(chance)
        return effect_of_all(moves, "default"), put
    if kind == "become":
        return way_to_become(chance)
    if kind == "move":
        return effect_of_moves(rows, {"audience": becomes}), move
    if kind == "replace":
        return effect_of_replacing(segment, other), replace
    return effect_of_draft(segment, draft.members()), edit


def ways_to_place(chance):
    """Articles or a section elsewhere, where the section may be in a cycle or too deep then."""
    sections, categories = ids(Section._base_manager.all()), ids(Category._base_manager.all())
    model = chance.choice([Article, Section])
    if model is Article:
        into = {"section_id": chance.choice(sorted(sections))}
    else:
        into = {
            "category_id": chance.choice(sorted(categories)),
            "parent_id": chance.choice([None, *sorted(sections)]),
        }
    every = sorted(ids(model._base_manager.all()))
    pks = frozenset(chance.sample(every, min(len(every), 2)))
    audience = chance.choice([None, frozenset()])
    becomes = chance.choice([lambda old: old, lambda _old: audience])

    def put():
        for row in model._base_manager.filter(pk__in=pks):
            new = stored(becomes(audience_set(row.audience)))
            model._base_manager.filter(pk=row.pk).update(audience=new, **into)

    return [Move(becomes, model, pks, into=into)], put


def way_to_become(chance):
    """Other tags for organizations, and other organizations, groups and tags for their people."""
    organizations, tags, groups = (
        list(model.objects.order_by("pk")) for model in (Organization, Tag, AgentGroup)
    )
    some = {"tags": tags, "organizations": organizations, "agent_groups": groups}
    given = [
        (row, name, chance.sample(some[name], min(2, len(some[name]))))
        for rows, names in ((organizations, ["tags"]), (User.objects.order_by("pk"), some))
        for row in rows
        for name in names
        if chance.random() < 0.3
    ]

    def give():
        for row, name, values in given:
            getattr(row, name).set(values)

    trial = Trial()
    with transaction.atomic():
        trial.begin(User.objects.all())
        give()
        effect = trial.end(User.objects.all())
        transaction.set_rollback(True)
    return effect, give


def audience_set(audience):
    if audience.pk == Audience.EVERYONE:
        return None
    return frozenset(ids(audience.segments))


def stored(admission):
    if admission is None:
        return Audience.everyone()
    return (
        Audience.of(*Segment.objects.filter(pk__in=admission)) if admission else Audience.nobody()
    )


def differences(world, number, kinds=KINDS):
    with transaction.atomic():
        worlds.build(world)
        worlds.destroy(world)
        before = everything()
        chance = random.Random(number)
        found = [each for kind in kinds for each in differences_of_one(before, kind, chance)]
        transaction.set_rollback(True)
    return found


def differences_of_one(before, kind, chance):
    with transaction.atomic():
        effect, make = way_to_change(kind, chance)
        said = foretold(effect)
        make()
        happened = seen(before, everything())
        transaction.set_rollback(True)
    for name in ("article", "edit", "publish"):
        said[4].setdefault(name, dict.fromkeys(happened[4][name], set()))
    COMPARED[kind] += 1
    COMPARED["that changed something"] += happened[:2] != (0, 0)
    return [(kind, told, came) for told, came in zip(said, happened, strict=True) if told != came]


@quietly
@given(world=worlds.worlds(), number=st.integers(0, 2**32), one_by_one=st.sampled_from([0, 10**6]))
def test_what_is_foretold_happens(world, number, one_by_one):
    with mock.patch.object(crowd, "ONE_BY_ONE", one_by_one):
        assert differences(world, number) == []


def test_enough_was_compared(tally):
    for kind, count in COMPARED.items():
        tally[f"effects: {kind}"] += count
    assert min(COMPARED[kind] for kind in KINDS) >= 15
    assert COMPARED["that changed something"] >= 15


def other_levels_are_forgotten():
    return mock.patch.object(effects, "_nested", lambda *a: iter(()))


def drafts_are_forgotten():
    return mock.patch.object(effects._Question, "_drafted", lambda self, level: level)


def places_are_forgotten():
    return mock.patch.object(_Question, "_placed", lambda self, model, row, pk=None: row)


def who_leaves_is_forgotten():
    def joins_only(segment, joins, leaves):
        return draft(segment, joins, frozenset())

    draft = effects.Draft
    return mock.patch.object(effects, "Draft", joins_only)


@pytest.mark.parametrize(
    ("bug", "kind"),
    [
        (other_levels_are_forgotten, "move"),
        (drafts_are_forgotten, "edit"),
        (places_are_forgotten, "place"),
        (who_leaves_is_forgotten, "become"),
    ],
)
def test_a_planted_bug_is_found(bug, kind):
    with bug():
        pairs = st.tuples(worlds.worlds(), st.integers(0, 2**32))
        find(
            pairs,
            lambda pair: bool(differences(*pair, kinds=[kind])),
            settings=settings(quietly, max_examples=300, database=None, derandomize=True),
        )


def test_neighbours_stay_as_they_are(segment_of):
    acme = Audience.of(segment_of["acme"])
    section = SectionFactory(audience=acme)
    public = SectionFactory()
    moved, _stays = (ArticleFactory(audience=Audience.everyone(), section=section) for _ in "ab")
    shown, _hidden = (ArticleFactory(audience=acme, section=public) for _ in "ab")
    elsewhere = {"section_id": public.pk}
    moves = {
        shown: Move(lambda _old: None, Article, frozenset([shown.pk])),
        moved: Move(model=Article, pks=frozenset([moved.pk]), into=elsewhere),
    }
    for article, move in moves.items():
        (content,) = effect_of_all([move], "default").content
        assert list(content.becomes_public) == [article]


def test_the_cost_does_not_grow(segment_of):
    acme, french = segment_of["acme"], segment_of["french"]

    def grow(count):
        for number in range(count):
            ArticleFactory(
                audience=Audience.of(acme, segment_of["premium"])
                if number % 2
                else Audience.of(acme),
                section__audience=Audience.of(french, acme),
            )

    def queries():
        with CaptureQueriesContext(
            connection,
        ) as captured:
            foretold(effect_of_draft(acme, french.members()))
            foretold(effect_of_moves(Section.objects.all(), {"audience": lambda _old: None}))
        return len(captured)

    grow(2)
    queries()  # compiles the rules
    few = queries()
    grow(8)
    assert queries() == few

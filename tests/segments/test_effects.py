"""What a change would do, part by part; tests/helpcenter/test_effects.py compares it with deeds."""

import pytest

from accounts.models import User
from helpcenter.models import Article, Category, PermissionGroup, Section
from segments import effects
from segments.crowd import Crowd
from segments.effects import (
    STAFF,
    Draft,
    Effect,
    Group,
    Judged,
    Move,
    effect_of_all,
    effect_of_draft,
    effect_of_moves,
    effect_of_replacing,
    replacing,
)
from segments.models import Audience, Segment
from segments.person_changes import Trial
from segments.ruleset import Rule
from tests.factories_content import ArticleFactory, SectionFactory

pytestmark = pytest.mark.django_db
NOBODY, EVERYONE, SOME = frozenset([frozenset()]), frozenset(), frozenset([frozenset([7])])


class Counted:
    """Content of which only the counts are asked."""

    def __init__(self, **counts):
        names = ("gained", "lost", "becomes_public", "stops_being_public")
        self.counts = dict.fromkeys(names, 0) | counts


def effect(gains=0, loses=0, content=()):
    return Effect(gains, loses, User.objects.none(), User.objects.none(), [*content])


def names(people):
    return {person.name for person in people}


def counts(found, model=Article, name="audience"):
    """The counts that are not 0 of one kind of content."""
    kinds = [each for each in found.content if (each.model, each.name) == (model, name)]
    return {key: n for each in kinds for key, n in each.counts.items() if n}


def test_which_rows_a_move_is_of():
    more = lambda admission: admission | {9}  # noqa: E731
    picked = Move(more, Article, frozenset([1]))
    old = frozenset([7])
    assert picked.after(Article, 1, old) == {7, 9}
    assert picked.after(Article, 2, old) is old
    assert picked.after(Section, 1, old) is old
    assert Move(more, Article).after(Article, 1, old) is old
    assert Move(more).after(Section, 5, old) == {7, 9}
    assert (picked.is_of(Article, "audience"), picked.is_of(Article, "edit")) == (True, False)


def test_a_segment_as_it_will_be_is_neither_another_one_nor_staff():
    marker = Draft(7, frozenset(), frozenset()).marker
    assert marker == -8
    assert Draft(0, frozenset(), frozenset()).marker == STAFF


@pytest.mark.parametrize(
    ("before", "after", "opens", "closes"),
    [
        (SOME, EVERYONE, True, False),
        (NOBODY, EVERYONE, True, False),
        (EVERYONE, SOME, False, True),
        (EVERYONE, EVERYONE, False, False),
        (SOME, NOBODY, False, False),
    ],
)
def test_public_is_what_no_level_limits(before, after, opens, closes):
    group = Group(before, after)
    assert (group.becomes_public, group.stops_being_public) == (opens, closes)


def test_any_figure_widens_or_changes_something():
    quiet, public = Counted(), Counted(becomes_public=1)
    assert effect(gains=1).widens and effect(content=[quiet, public]).widens
    assert not effect(loses=1, content=[quiet, Counted(lost=3, stops_being_public=1)]).widens
    for found in (effect(gains=1), effect(loses=1), effect(content=[quiet, Counted(lost=1)])):
        assert not found.changes_nothing
    assert effect(content=[quiet]).changes_nothing and effect().changes_nothing


def test_a_fingerprint_is_of_all_figures():
    found = [
        effect(),
        effect(gains=1),
        effect(loses=1),
        effect(content=[Counted()]),
        effect(content=[Counted(gained=1)]),
        effect(content=[Counted(lost=1)]),
    ]
    assert len({each.fingerprint("it") for each in found}) == len(found)
    assert effect().fingerprint("it") == effect().fingerprint("it") != effect().fingerprint("other")


def test_another_segment_in_the_same_place():
    becomes = replacing(1, 2)
    assert becomes(None) is None
    assert becomes(frozenset([3])) == {3}
    assert becomes(frozenset([1, 3])) == {2, 3}


def test_who_is_admitted_by_a_chain():
    """By some segment of each level, and of no level by everybody."""
    crowd = Crowd()
    crowd.add("included", 1, [10, 20])
    crowd.add("included", 2, [20, 30])
    crowd.add("is staff", "", [30])
    crowd.add("is inactive", "", [40])
    rules = [Rule(pk, "signed_in_users", False, ()) for pk in (1, 2)]
    judged = Judged(crowd, rules, "default")

    def admitted(*levels):
        return crowd.ids(judged._admitted(frozenset(map(frozenset, levels))))

    assert admitted() == [10, 20, 30, 40]
    assert admitted([1]) == [10, 20]
    assert admitted([1, 2]) == [10, 20, 30]
    assert admitted([1], [2]) == [20]
    assert admitted([2], [STAFF]) == [30]
    assert admitted([1], []) == admitted([99]) == []
    judged.enact(Draft(1, frozenset([40, 30]), frozenset([10])))
    assert admitted([-2]) == [20, 30, 40]
    judged.enact(Draft(99, frozenset([10]), frozenset()))
    assert admitted([-100]) == [10]


@pytest.fixture
def article(cast, segment_of):
    return ArticleFactory(title="Prices", audience=Audience.nobody())


def moved(rows, becomes, name="audience"):
    return effect_of_moves(rows, {name: becomes})


def to(*segments):
    return lambda _old: frozenset(segment.pk for segment in segments)


def public(_old):
    return None


def closed(_old):
    return frozenset()


def test_from_nobody_to_some(article, segment_of):
    found = moved(Article.objects.all(), to(segment_of["french"]))
    assert (found.gains, found.loses, names(found.gainers)) == (1, 0, {"Claire"})
    assert counts(found) == {"gained": 1}
    assert found.widens and not found.changes_nothing


def test_from_nobody_to_everyone(article, cast, monkeypatch):
    monkeypatch.setattr(effects, "SHOWN_AT_MOST", 3)
    active = User.objects.filter(is_active=True).order_by("pk")
    found = moved(Article.objects.all(), public)
    assert (found.gains, found.loses) == (active.count(), 0)
    assert [*found.gainers.order_by("pk")] == [*active[:3]]
    assert counts(found) == {"gained": 1, "becomes_public": 1}
    Article.objects.update(audience=Audience.everyone())
    found = moved(Article.objects.all(), closed)
    assert (found.gains, found.loses) == (0, active.count())
    assert counts(found) == {"lost": 1, "stops_being_public": 1}


def test_those_who_saw_it_gain_nothing_when_it_becomes_public(article, cast, segment_of):
    Article.objects.update(audience=Audience.of(segment_of["staff"]))
    found = moved(Article.objects.all(), public)
    others = User.objects.filter(is_active=True, role="end_user")
    assert found.gains == others.count() == found.gainers.count()
    assert {*found.gainers} == {*others}


def test_the_first_of_few_are_shown(article, cast, segment_of, monkeypatch):
    monkeypatch.setattr(effects, "SHOWN_AT_MOST", 2)
    found = moved(Article.objects.all(), to(segment_of["staff"]))
    staff = User.objects.exclude(role="end_user").order_by("pk")
    assert (found.gains, [*found.gainers.order_by("pk")]) == (5, [*staff[:2]])


def test_people_of_several_things_are_counted_once_each(article, cast, segment_of):
    acme, french = segment_of["acme"], segment_of["french"]
    other = ArticleFactory(audience=Audience.of(segment_of["premium"]))
    found = effect_of_all(
        [
            Move(to(french), Article, frozenset([article.pk])),
            Move(to(acme, french), Article, frozenset([other.pk])),
        ],
        "default",
    )
    both = moved(Article.objects.all(), to(acme, french))
    assert names(both.gainers) == {"Maria", "Nadia", "Claire"}
    assert names(both.losers) == {"Omar"}
    assert counts(both) == {"gained": 2, "lost": 1}
    assert found.gains >= 2 and names(found.losers) >= {"Omar"}


def test_in_a_section_for_nobody_nothing_opens(article):
    Section.objects.filter(pk=article.section_id).update(audience=Audience.nobody())
    assert moved(Article.objects.all(), public).changes_nothing


def test_a_draft_of_an_article_is_nothing_to_gain(article):
    article.translations.update(draft=True)
    assert moved(Article.objects.all(), public).changes_nothing


def test_what_is_above_limits_and_moves_by_itself(article, cast, segment_of):
    """Only its own audience gets another one; of both levels somebody must be admitted."""
    acme, french, premium = (segment_of[name] for name in ("acme", "french", "premium"))
    Section.objects.filter(pk=article.section_id).update(audience=Audience.of(acme))
    Article.objects.update(audience=Audience.of(premium))
    more = lambda old: old | {french.pk}  # noqa: E731
    assert moved(Section.objects.all(), more).changes_nothing
    assert moved(Article.objects.all(), more).changes_nothing
    both = moved(Section.objects.all(), to(premium))
    assert (names(both.gainers), names(both.losers)) == ({"Omar"}, set())


@pytest.mark.parametrize("model", [Section, Category])
def test_what_is_closed_above_closes_what_is_in_it(article, cast, segment_of, model):
    Article.objects.update(audience=Audience.of(segment_of["french"]))
    beside = ArticleFactory(audience=Audience.of(segment_of["acme"]))
    # At the same place for nobody, and for the same people at another place.
    ArticleFactory(audience=Audience.nobody(), section=article.section)
    elsewhere = ArticleFactory(audience=Audience.of(segment_of["french"]))
    pk = article.section_id if model is Section else article.section.category_id
    found = moved(model.objects.filter(pk=pk), closed)
    assert (found.loses, names(found.losers), counts(found)) == (1, {"Claire"}, {"lost": 1})
    (kind,) = [each for each in found.content if each.model is Article]
    assert [*kind.lost] == [article]
    everything = moved(model.objects.all(), closed)
    assert names(everything.losers) == {"Claire", "Maria", "Nadia"}
    (kind,) = [each for each in everything.content if each.model is Article]
    assert {*kind.lost} == {article, beside, elsewhere}


def nest(article, depth):
    """The article at the bottom of so many sections; the topmost one."""
    everyone, category = Audience.everyone(), article.section.category
    section = top = SectionFactory(category=category, audience=everyone)
    for _level in range(depth - 1):
        below = SectionFactory(category=category, audience=everyone)
        # As raw SQL may: the model refuses what is too deep.
        Section.objects.filter(pk=below.pk).update(parent=section)
        section = below
    Article.objects.filter(pk=article.pk).update(section=section)
    return top


@pytest.mark.parametrize(("depth", "is_seen"), [(1, True), (2, True), (5, True), (6, False)])
def test_what_lies_deep_is_as_visible_as_the_rule_says(article, cast, segment_of, depth, is_seen):
    Article.objects.update(audience=Audience.of(segment_of["french"]))
    top = nest(article, depth)
    assert Article.objects.visible_to(cast["claire"]).exists() is is_seen
    found = moved(Section.objects.filter(pk=top.pk), closed)
    assert names(found.losers) == ({"Claire"} if is_seen else set())
    found = moved(Article.objects.all(), public)
    assert counts(found) == ({"gained": 1, "becomes_public": 1} if is_seen else {})


def test_what_is_put_into_its_own_child_is_seen_by_nobody(article, cast, segment_of):
    Article.objects.update(audience=Audience.of(segment_of["french"]))
    top = nest(article, 2)
    child = Section.objects.get(parent=top)
    into = Move(model=Section, pks=frozenset([top.pk]), into={"parent_id": child.pk})
    found = effect_of_all([into], "default")
    assert (names(found.losers), counts(found)) == ({"Claire"}, {"lost": 1})
    # And there, another audience gives it to nobody.
    Section.objects.filter(pk=top.pk).update(parent=child)
    assert moved(Article.objects.all(), public).changes_nothing


def test_what_is_put_elsewhere_is_seen_as_there(article, cast, segment_of):
    Article.objects.update(audience=Audience.of(segment_of["french"], segment_of["acme"]))
    place = SectionFactory(audience=Audience.of(segment_of["acme"]))
    into = Move(model=Article, pks=frozenset([article.pk]), into={"section_id": place.pk})
    found = effect_of_all([into], "default")
    assert (names(found.losers), names(found.gainers)) == ({"Claire"}, set())
    # A section with what is in it, to another category; another section stays.
    ArticleFactory(audience=Audience.of(segment_of["premium"]))
    category = SectionFactory(category__audience=Audience.of(segment_of["acme"])).category
    pks = frozenset([article.section_id])
    into = Move(model=Section, pks=pks, into={"category_id": category.pk})
    found = effect_of_all([into], "default")
    assert names(found.losers) == {"Claire"}


def test_rights_count_for_staff_only_and_each_by_itself(article, cast, segment_of):
    group = PermissionGroup.objects.create(
        name="Guides", edit=Audience.nobody(), publish=Audience.nobody()
    )
    rows = PermissionGroup.objects.filter(pk=group.pk)
    assert moved(rows, to(segment_of["french"]), "edit").changes_nothing
    found = moved(rows, to(segment_of["french"], segment_of["returns"]), "edit")
    assert names(found.gainers) == {"Aki"}
    assert counts(found, PermissionGroup, "edit") == {"gained": 1}
    assert counts(found, PermissionGroup, "publish") == {}


def test_another_segment_everywhere(article, cast, segment_of):
    Article.objects.update(audience=Audience.of(segment_of["premium"], segment_of["french"]))
    ArticleFactory(audience=Audience.of(segment_of["acme"]))
    found = effect_of_replacing(segment_of["premium"], segment_of["acme"])
    assert (names(found.gainers), names(found.losers)) == ({"Maria"}, {"Omar"})
    assert counts(found) == {"gained": 1, "lost": 1}


def test_other_members_of_a_segment(article, cast, segment_of):
    premium = segment_of["premium"]
    Article.objects.update(audience=Audience.of(premium, segment_of["french"]))
    after = User.objects.filter(name__in=["Dan", "Claire", "Nadia"])
    found = effect_of_draft(premium, after)
    # Claire saw it as one who speaks French.
    assert (names(found.gainers), names(found.losers)) == ({"Dan"}, {"Omar"})
    assert (found.gains, found.loses) == (1, 1)
    assert found.joins == {cast["dan"].pk, cast["claire"].pk}
    assert found.leaves == {cast["omar"].pk}


def test_segments_that_come_and_go_in_between(article, cast, segment_of):
    """A trial compares what was with what is, also of what was not there before."""
    trial = Trial()
    people = User.objects.filter(name__in=["Dan", "Omar"])
    trial.begin(people)
    new = Segment.objects.create(name="New")
    new.include(cast["dan"])
    Article.objects.update(audience=Audience.of(new))
    found = trial.end(people)
    assert (names(found.gainers), names(found.losers)) == ({"Dan"}, set())

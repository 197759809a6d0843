"""Why may somebody see something: the verdict, the chain, the values, and what would change it."""

from io import StringIO

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.management import CommandError, call_command

from helpcenter.models import Article, PermissionGroup, Section
from segments.explain import explain
from segments.management.commands.explain_access import describe
from segments.models import Audience, Segment
from tests.factories_content import (
    ArticleFactory,
    AttachmentFactory,
    CategoryFactory,
    HelpCenterFactory,
    SectionFactory,
)
from tests.factories_people import OrganizationFactory, PersonFactory, TagFactory

pytestmark = pytest.mark.django_db


def condition(attribute, operator, *values):
    return {"attribute": attribute, "operator": operator, "values": list(values)}


@pytest.fixture
def partners():
    TagFactory(name="partner")
    return Segment.objects.create(
        name="Partners", user_type="end_users", conditions=[condition("tag", "any", "partner")]
    )


@pytest.fixture
def article(partners):
    """For partners, on a shelf for everybody who has signed in, in an open help center."""
    center = HelpCenterFactory(name="Help of Acme")
    category = CategoryFactory(title="Products", help_center=center)
    signed_in = Audience.of(Segment.objects.get(built_in="signed_in_users"))
    section = SectionFactory(title="Robots", category=category, audience=signed_in)
    nested = SectionFactory(title="Arms", category=category, parent=section)
    return ArticleFactory(title="Prices", section=nested, audience=Audience.of(partners))


def words(user, thing):
    return "\n".join(describe(explain(user, thing)))


def test_the_chain_goes_from_the_help_center_down(article):
    chain = [str(level.thing) for level in explain(AnonymousUser(), article).chain]
    assert chain == ["Help of Acme", "Products", "Robots", "Arms", "Prices"]
    attachment = AttachmentFactory(article=article, name="a.txt")
    chain = [str(level.thing) for level in explain(AnonymousUser(), attachment).chain]
    assert chain[-2:] == ["Prices", "a.txt"]
    translation = article.translations.get()
    assert [str(level.thing) for level in explain(AnonymousUser(), translation).chain][0] == (
        "Help of Acme"
    )


def test_a_member_is_told_which_value_decided_and_where_it_comes_from(article):
    acme = OrganizationFactory(name="Acme Corp", tags=["partner"])
    maria = PersonFactory(name="Maria", organizations=[acme])
    found = words(maria, article)
    assert "Maria may see the article “Prices”." in found
    assert "tagged partner" in found
    assert "partner (through Acme Corp)" in found
    assert "every condition holds" in found
    assert "must stop admitting" in found


def test_a_value_of_the_persons_own_has_no_source(article):
    maria = PersonFactory(name="Maria", tags=["partner"])
    assert "has partner\n" in words(maria, article) + "\n"
    assert "through" not in words(maria, article)


def test_somebody_else_is_told_what_is_missing(article):
    eve = PersonFactory(name="Eve", tags=["vip"])
    found = words(eve, article)
    assert "Eve may not see the article “Prices”." in found
    assert "✗ article “Prices” is for the members of any of: “Partners”" in found
    assert "✗ tagged partner — has vip" in found
    assert "join “Partners” (tagged partner)" in found
    assert "✓ section “Robots”" in found


def test_a_visitor_is_told_to_sign_in(article):
    found = words(AnonymousUser(), article)
    assert "an anonymous visitor may not see" in found
    assert "anonymous or inactive visitor is in no segment" in found
    assert "sign in" in found


def test_an_inactive_person_is_a_visitor(article):
    ines = PersonFactory(name="Ines", tags=["partner"], is_active=False)
    assert not explain(ines, article).visible
    assert "in no segment" in words(ines, article)


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda s, p: s.include(p), "the person is always included"),
        (lambda s, p: (s.include(p), s.exclude(p)), "the person is always excluded"),
        (lambda s, p: s.include(p, until="2001-01-01T00:00Z"), "not every condition holds"),
        (lambda s, p: None, "not every condition holds"),
    ],
    ids=["included", "excluded", "included until 2001", "not named"],
)
def test_which_part_of_the_rule_decided(article, partners, prepare, expected):
    dan = PersonFactory()
    prepare(partners, dan)
    explanation = explain(dan, article)
    (reason,) = explanation.chain[-1].segments
    assert reason.words == expected
    assert reason.is_member is explanation.visible is (expected.endswith("included"))


def test_the_base_type_goes_before_inclusion(article, partners):
    agent = PersonFactory(role="agent")
    partners.include(agent)
    (reason,) = explain(agent, article).chain[-1].segments
    assert (reason.is_member, reason.words) == (
        False,
        "it is for others: End users",
    )


def test_a_segment_without_conditions_says_so(article, partners):
    partners.conditions = []
    partners.save()
    assert "only included people are in it" in words(PersonFactory(), article)


def test_a_broken_condition_says_what_is_wrong(article, partners):
    Segment.objects.filter(pk=partners.pk).update(conditions=[condition("tag", "none", "gone")])
    assert "a value that no longer exists: gone" in words(PersonFactory(), article)
    Segment.objects.filter(pk=partners.pk).update(conditions=[condition("plan", "any", "gold")])
    assert "There is no attribute “plan”" in words(PersonFactory(), article)
    (reason,) = explain(PersonFactory(), article).chain[-1].segments
    assert [each.holds for each in reason.conditions] == [False]


def test_all_of_many_values_are_named(article, partners):
    tags = [TagFactory(name=f"tag{n}").name for n in range(9)]
    Segment.objects.filter(pk=partners.pk).update(conditions=[condition("tag", "any", *tags)])
    said = words(PersonFactory(tags=tags[:6]), article)
    assert all(f"tag{n}" in said for n in range(9))
    assert "has tag0, tag1, tag2, tag3, tag4, tag5" in " ".join(said.split())


def test_what_has_no_audience_needs_none(article):
    file = AttachmentFactory(article=article, name="a.txt")
    said = explain(PersonFactory(), file).would_change
    assert said and not any("a.txt" in line for line in said)


def test_the_chain_of_what_lies_deep_is_whole():
    section = outer = SectionFactory(title="1")
    for depth in range(2, 5):
        section = SectionFactory(title=str(depth), category=outer.category, parent=section)
    chain = [str(level.thing) for level in explain(AnonymousUser(), section).chain]
    assert chain[-4:] == ["1", "2", "3", "4"]
    assert len(chain) == 6


def test_organizations_do_not_limit_staff(article):
    acme = OrganizationFactory(name="Acme Corp")
    named = condition("organization", "any", acme.pk)
    customers = Segment.objects.create(name="Customers", conditions=[named])
    article.audience = Audience.of(customers)
    article.save()
    agent, eve = PersonFactory(role="agent"), PersonFactory()
    assert "of Acme Corp (does not limit staff)" in words(agent, article)
    assert "does not limit" not in words(eve, article)
    assert "everybody of the base type is in it" in words(eve, article)
    assert explain(agent, article).visible and not explain(eve, article).visible


def test_admins_and_editors_are_said_to_be_such(article):
    admin = PersonFactory(role="admin", name="Ada")
    assert "Ada may see" in words(admin, article)
    assert "Admins see everything." in words(admin, article)
    edda = PersonFactory(role="agent")
    assert not explain(edda, article).visible
    assert not explain(edda, article).bypass
    staff = Audience.of(Segment.objects.get(built_in="staff"))
    article.permission_group = PermissionGroup.objects.create(name="Guides", edit=staff)
    article.save()
    found = explain(edda, article)
    assert found.visible and "Management permissions" in found.bypass
    assert found.would_change == ["Without this right, the chain decides."]
    # The bypass is no membership.
    assert not found.chain[-1].admits


def test_the_right_to_edit_is_said_of_what_one_may_edit(article):
    """Not of what lies beside it; and of its translations as of itself."""
    edda = PersonFactory(role="agent")
    staff = Audience.of(Segment.objects.get(built_in="staff"))
    group = PermissionGroup.objects.create(name="Guides", edit=staff)
    mine = ArticleFactory(section=article.section, permission_group=group)
    assert not explain(edda, article).bypass
    for thing in (mine, mine.translations.get()):
        found = explain(edda, thing)
        assert found.visible and "Management permissions" in found.bypass
    # An editor who is staff no longer is nobody's editor.
    edda.role = "end_user"
    edda.save()
    assert explain(edda, mine).bypass == ""


def test_what_shows_it_is_said_level_by_level(article):
    maria = PersonFactory(tags=["partner"])
    _heading, *levels = explain(maria, article).would_change
    assert len(levels) == len(explain(maria, article).chain) == 5
    assert "Prices" in levels[-1]


def test_a_draft_must_be_published(article):
    maria = PersonFactory(tags=["partner"])
    article.translations.update(draft=True)
    article.refresh_from_db()
    found = explain(maria, article)
    assert not found.visible
    assert any("must be published" in line for line in found.would_change)


def test_nobody_and_everyone_are_said(article):
    Article.objects.update(audience=Audience.nobody())
    article.refresh_from_db()
    maria = PersonFactory(tags=["partner"])
    assert "is for nobody" in words(maria, article)
    assert "must be given an audience" in words(maria, article)
    Article.objects.update(audience=Audience.everyone())
    article.refresh_from_db()
    assert "“Prices” is for everyone" in words(maria, article)


def test_an_empty_section_is_hidden_though_every_audience_admits():
    section = SectionFactory(title="Empty")
    found = explain(AnonymousUser(), section)
    assert not found.visible and all(level.admits for level in found.chain)
    assert "unpublished, empty, or its place is broken" in found.would_change[-1]


def test_a_cycle_of_sections_ends(article):
    top, nested = article.section.parent, article.section
    Section.objects.filter(pk=top.pk).update(parent=nested)
    top.refresh_from_db()
    article = Article.objects.get(pk=article.pk)
    found = explain(PersonFactory(tags=["partner"]), article)
    assert not found.visible
    assert len(found.chain) == 5
    assert "its place is broken" in found.would_change[-1]


def test_each_level_and_reason_is_a_plain_yes_or_no(article, partners):
    maria, eve = PersonFactory(tags=["partner"]), PersonFactory(tags=["vip"])
    for person, is_member in ((maria, True), (eve, False)):
        level = explain(person, article).chain[-1]
        (reason,) = level.segments
        assert (level.admits, reason.is_member) == (is_member, is_member)
        assert [each.holds for each in reason.conditions] == [is_member]
    file = AttachmentFactory(article=article)
    level = explain(maria, file).chain[-1]
    assert (level.admits, level.words) == (True, "has no audience of its own")
    hidden = ArticleFactory(audience=Audience.nobody())
    level = explain(maria, hidden).chain[-1]
    assert (level.admits, level.words, level.segments) == (False, "is for nobody", [])


def test_a_whole_type_has_no_conditions_to_be_told_of(article):
    """Whatever raw SQL wrote into it: they are not asked."""
    everybody = Segment.objects.get(built_in="signed_in_users")
    Segment.objects.filter(pk=everybody.pk).update(conditions=[condition("tag", "any", "vip")])
    article.audience = Audience.of(everybody)
    article.save()
    (reason,) = explain(PersonFactory(), article).chain[-1].segments
    assert (reason.is_member, reason.conditions) == (True, [])


def test_what_would_open_it_is_said_line_by_line(article, partners):
    """The levels in between admit her: only what does not is named."""
    said = explain(PersonFactory(), article).would_change
    assert said == ["article “Prices”: join “Partners” (tagged partner)."]
    partners.include(maria := PersonFactory(tags=["partner"]))
    partners.exclude(maria)
    said = explain(maria, article).would_change
    assert said == ["article “Prices”: join “Partners” (the person is always excluded)."]
    hidden = ArticleFactory(audience=Audience.nobody(), title="Plans", section=article.section)
    said = explain(PersonFactory(), hidden).would_change
    assert said == ["article “Plans” must be given an audience."]


def test_up_to_fifty_values_of_a_condition_are_named(article, partners):
    tags = [TagFactory(name=f"tag{n:02}").name for n in range(40)]
    Segment.objects.filter(pk=partners.pk).update(conditions=[condition("tag", "any", *tags)])
    (reason,) = explain(PersonFactory(), article).chain[-1].segments
    assert all(tag in reason.conditions[0].words for tag in tags)


@pytest.mark.parametrize(
    ("lookup", "value", "has"),
    [
        ("emailaddress__email", "maria@example.com", "maria@example.com (through {address})"),
        ("organizations__tags__organizations__id", "Globex", "Globex (through gold)"),
    ],
)
def test_a_value_comes_through_the_row_that_has_it(article, settings, lookup, value, has):
    """However far away: the row is the last one before the value, and not the first."""
    pks = {n: OrganizationFactory(name=n, tags=["gold"]).pk for n in ("Acme", "Globex")}
    maria = PersonFactory(email="maria@example.com", verified=True, organizations=["Acme"])
    settings.SEGMENTS = settings.SEGMENTS | {"ATTRIBUTES": {"fact": [lookup]}}
    named = Segment.objects.create(name="Named")
    conditions = [condition("fact", "any", pks.get(value, value))]
    Segment.objects.filter(pk=named.pk).update(conditions=conditions)
    article.audience = Audience.of(named)
    article.save()
    (reason,) = explain(maria, article).chain[-1].segments
    address = maria.emailaddress_set.get()
    assert has.format(address=address) in reason.conditions[0].has


def test_a_value_of_the_person_comes_through_nothing(article):
    french = Segment.objects.create(name="French", conditions=[condition("language", "any", "fr")])
    article.audience = Audience.of(french)
    article.save()
    (reason,) = explain(PersonFactory(language="fr"), article).chain[-1].segments
    assert reason.conditions[0].has == ["French"]


class TestCommand:
    def run(self, *arguments):
        output = StringIO()
        call_command("explain_access", *map(str, arguments), stdout=output)
        return output.getvalue()

    def test_prints_the_explanation(self, article):
        PersonFactory(email="maria@example.com", name="Maria", tags=["partner"])
        found = self.run("maria@example.com", "helpcenter.Article", article.pk)
        assert found.startswith("Maria may see the article “Prices”.\n")
        assert "✓ help center “Help of Acme” is for everyone" in found
        assert self.run("Maria@Example.com", "helpcenter.article", article.pk) == found

    def test_knows_visitors(self, article):
        found = self.run("anonymous", "helpcenter.Section", article.section.pk)
        assert found.startswith("an anonymous visitor may not see the section “Arms”.")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("nobody@example.com", "helpcenter.Article", 1), "no user 'nobody@example.com'"),
            (("not an address", "helpcenter.Article", 1), "no user 'not an address'"),
            (("a\0b", "helpcenter.Article", 1), "no user"),
            (
                ("anonymous", "helpcenter.Label", 1),
                "not a restricted model. Accepted: helpcenter.A",
            ),
            (("anonymous", "Article", 1), "not a restricted model"),
            (("anonymous", "helpcenter.Article", 1), "no helpcenter.Article with the id '1'"),
            (("anonymous", "helpcenter.Article", "x"), "with the id 'x'"),
            (("anonymous", "helpcenter.Article", "9" * 30), "with the id '999"),
            (("anonymous", "helpcenter.Article", "a\0b"), "with the id"),
        ],
    )
    def test_says_what_is_wrong(self, arguments, message):
        with pytest.raises(CommandError, match=message):
            self.run(*arguments)

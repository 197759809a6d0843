"""`manage.py explain_access`: the verdict, the chain, what decided, what would change it."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Organization
from helpcenter.models import PermissionGroup
from segments.explain import explain
from segments.models import Audience, Segment
from tests.factories_content import ArticleFactory, AttachmentFactory, SectionFactory


@pytest.fixture
def premium_article(segment_of):
    """For premium customers of Acme and the Returns team, in a section for those signed in."""
    section = SectionFactory(title="Members", audience=Audience.of(segment_of["signed in"]))
    acme = Organization.objects.get(name="Acme").pk
    segment = Segment.objects.create(
        name="Premium at Acme",
        user_type="end_users",
        conditions=[
            {"attribute": "tag", "operator": "any", "values": ["premium"]},
            {"attribute": "organization", "operator": "any", "values": [acme]},
        ],
    )
    audience = Audience.of(segment, segment_of["returns"])
    return ArticleFactory(title="Refunds", section=section, audience=audience)


def said_of(person, thing):
    """What the command prints."""
    name = person if isinstance(person, str) else person.email
    output = StringIO()
    call_command("explain_access", name, thing._meta.label, str(thing.pk), stdout=output)
    return output.getvalue()


def test_a_member_sees_which_tag_came_through_which_organization(cast, premium_article):
    said = said_of(cast["nadia"], premium_article)
    assert "nadia@example.com" in said.splitlines()[0] or "Nadia" in said.splitlines()[0]
    assert "may see the article “Refunds”" in said
    assert "premium (through Globex)" in said
    assert "✓ “Premium at Acme”: every condition holds" in said


def test_what_is_missing_is_named(cast, premium_article):
    said = said_of(cast["omar"], premium_article)
    assert "may not see" in said
    assert "✓ tag has at least one of premium — has premium (through Globex)" in said
    assert "✗ organization has at least one of Acme — has Globex" in said
    assert "join “Premium at Acme” (organization has at least one of Acme)" in said


def test_the_chain_begins_at_the_help_center(cast, premium_article):
    levels = explain(cast["dan"], premium_article).chain
    assert [type(level.thing).__name__ for level in levels] == [
        "HelpCenter",
        "Category",
        "Section",
        "Article",
    ]
    assert [level.admits for level in levels] == [True, True, True, False]


def test_a_hidden_section_hides_for_all_its_article_says(premium_article):
    said = said_of("anonymous", premium_article)
    assert "an anonymous visitor may not see" in said
    assert "✗ section “Members”" in said
    assert "sign in with an active account" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ines", "an anonymous or inactive visitor is in no segment"),
        ("maria", "not every condition holds"),
        ("lena", "the person is not of its base type, end_users"),
    ],
)
def test_why_somebody_is_not_in_it(cast, premium_article, name, words):
    assert words in said_of(cast[name], premium_article)


def test_included_and_excluded_people(cast, premium_article):
    segment = Segment.objects.get(name="Premium at Acme")
    segment.include(cast["dan"])
    segment.exclude(cast["nadia"])
    assert "the person is always included" in said_of(cast["dan"], premium_article)
    assert "the person is always excluded" in said_of(cast["nadia"], premium_article)


def test_the_rights_of_admins_and_editors_are_said(cast, segment_of, premium_article):
    assert "Admins see everything." in said_of(cast["ada"], premium_article)
    premium_article.permission_group = PermissionGroup.objects.create(
        name="Guides", edit=Audience.of(segment_of["editors"])
    )
    premium_article.save()
    assert "Management permissions" in said_of(cast["edda"], premium_article)


def test_broken_conditions_drafts_and_nobody(cast, premium_article):
    Segment.objects.filter(name="Premium at Acme").update(
        conditions=[{"attribute": "shoe size", "operator": "any", "values": [43]}]
    )
    assert "There is no attribute “shoe size”." in said_of(cast["nadia"], premium_article)
    draft = ArticleFactory(draft=True, audience=Audience.everyone())
    assert "must be published" in said_of(cast["dan"], draft)
    nobody = ArticleFactory(audience=Audience.nobody())
    assert "is for nobody" in said_of(cast["dan"], nobody)


def test_an_attachment_follows_its_article(cast, premium_article):
    attachment = AttachmentFactory(article=premium_article)
    said = said_of(cast["nadia"], attachment)
    assert "may see the attachment" in said
    assert "✓ attachment “file.txt” has no audience of its own" in said


@pytest.mark.parametrize("name", ["visitor", "dan", "maria", "nadia", "aki", "ines", "ada"])
def test_the_verdict_is_the_rules(cast, premium_article, name):
    verdict = explain(cast[name], premium_article).visible
    assert verdict is premium_article.is_visible_to(cast[name])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody@example.com", "helpcenter.Article", "1"], "There is no user"),
        (["maria@example.com", "accounts.User", "1"], "Accepted: helpcenter.Article"),
        (["maria@example.com", "helpcenter.Article", "12"], "There is no helpcenter.Article"),
        (["maria@example.com", "helpcenter.Article", "abc"], "with the id 'abc'"),
        (["maria@example.com", "helpcenter.Article", "9" * 30], "with the id"),
    ],
)
def test_wrong_arguments_are_named(cast, arguments, words):
    with pytest.raises(CommandError, match=words):
        call_command("explain_access", *arguments)

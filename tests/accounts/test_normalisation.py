import unicodedata

import pytest
from django.core.exceptions import ValidationError
from hypothesis import assume, given
from hypothesis import strategies as st

from accounts.models import AgentGroup, Organization, OrganizationDomain, Tag, User
from accounts.normalisation import normalise, normalise_domain, normalise_email, readable
from tests.factories_people import OrganizationFactory, PersonFactory, TagFactory

NAMES = st.text(min_size=1, max_size=20) | st.text("aA ßİıﬁΐЖ日カ가ÀÀ\t\u00a0Ａ①", max_size=20)


def accepted(spelling, text):
    """The text in that spelling; other texts are not what the test is about."""
    try:
        return spelling(text)
    except ValidationError:
        assume(False)


@given(NAMES)
def test_one_round_is_enough(text):
    once = accepted(normalise, text)
    assert normalise(once) == once
    assert once == " ".join(once.split())
    assert unicodedata.is_normalized("NFKC", once)


@given(NAMES)
def test_what_is_read_is_compared_the_same(text):
    shown = accepted(readable, text)
    assert readable(shown) == shown
    assert accepted(normalise, shown) == normalise(text)


@given(NAMES)
def test_case_and_width_make_no_difference(text):
    once = accepted(normalise, text)
    assert normalise(f"  {text}\t\n") == once
    assert accepted(normalise, unicodedata.normalize("NFD", once)) == once


@given(
    st.text("aA.@ßbй-0 ｘ。", max_size=20), st.sampled_from(["acme.com", "Bücher.DE", "почта.рф"])
)
def test_an_address_is_settled_too(local, domain):
    once = accepted(normalise_email, f"{local}@{domain}")
    assert normalise_email(once) == once
    assert once.rpartition("@")[2] == normalise_domain(domain)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  VIP \t Gold\n", "vip gold"),
        ("Straße", "strasse"),
        ("ＶＩＰ", "vip"),
        ("Ромашка 2", "ромашка 2"),
        ("日本 Acme カー", "日本 acme カー"),
        ("中文 Acme ㄅ", "中文 acme ㄅ"),
        ("한국 漢 Acme", "한국 漢 acme"),
        ("Łódź & Söhne", "łódź & söhne"),
    ],
)
def test_what_is_compared(text, expected):
    assert normalise(text) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a\0b", "U+0000"),
        ("vip\u200b", "U+200B ZERO WIDTH SPACE"),
        ("v\u00adip", "U+00AD SOFT HYPHEN"),
        ("vip\u202e", "U+202E"),
        ("vip\ufe0f", "U+FE0F"),
        ("vip\u3164", "U+3164 HANGUL FILLER"),
        ("vip\uffa0", "U+FFA0"),
        ("vip\u115f", "U+115F"),
        ("v\u034fip", "U+034F"),
        ("vip\ue000", "U+E000"),
        ("vip\ud800", "U+D800"),
        ("vip\x1f", "U+001F"),
        ("v\u0456p", "U+0456 CYRILLIC"),  # і
        ("аcme", "U+0430 CYRILLIC SMALL LETTER A"),
        ("αlpha", "U+03B1 GREEK"),
        ("カй", "U+0439 CYRILLIC"),
        ("ㄅ가", "U+AC00 HANGUL"),
        ("1٢", "U+0662 ARABIC"),
    ],
)
def test_what_is_refused_is_named(text, named):
    for spelling in (normalise, readable):
        with pytest.raises(ValidationError) as refusal:
            spelling(text)
        assert named in refusal.value.messages[0]


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u3000"])
def test_nothing_is_refused(text):
    with pytest.raises(ValidationError):
        normalise(text)


@pytest.mark.parametrize(
    "text",
    ["acme", "@acme.com", ".acme.com", "acme.com.", "a..b", "a b.com", "-a.com", "1.2.3.4"]
    + ["a．com", "straße.de", "пoчта.рф", "acme.com\x1f", "x" * 64 + ".com", "x." * 126 + "com"],
)
def test_what_is_no_domain(text):
    with pytest.raises(ValidationError):
        normalise_domain(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" Bob@Acme.COM ", "bob@acme.com"),
        ("ｂob@acme.com", "bob@acme.com"),
        ("a@Bücher.de", "a@xn--bcher-kva.de"),
        ('"a@evil.com"@acme.com', '"a@evil.com"@acme.com'),
        ("admin@localhost", "admin@localhost"),
    ],
)
def test_one_spelling_of_addresses(text, expected):
    assert normalise_email(text) == expected


@pytest.mark.parametrize(
    "text",
    ["bob", "bob@", "@acme.com", "b ob@acme.com", "b\u200bob@acme.com", "bob@acme", "a@b@acme.com"]
    + ["x" * 250 + "@acme.com", "bob@acme.com\0"],
)
def test_what_is_no_address(text):
    with pytest.raises(ValidationError):
        normalise_email(text)


BAD_TAG = "vip\u200b"


REFUSED_WRITES = {
    "create": lambda: Tag.objects.create(name=BAD_TAG),
    "save": lambda: Tag(name=BAD_TAG).save(),
    "bulk create": lambda: Tag.objects.bulk_create([Tag(name=BAD_TAG)]),
    "update": lambda: Tag.objects.update(name=BAD_TAG),
    "get or create": lambda: Tag.objects.get_or_create(name=BAD_TAG),
    "lookup": lambda: Tag.objects.filter(name=BAD_TAG).exists(),
    "validation": lambda: Tag(name=BAD_TAG).full_clean(),
    "empty": lambda: Tag(name="").save(),
    "organization": lambda: Organization.objects.update(name=BAD_TAG),
    "group": lambda: AgentGroup(name=BAD_TAG).save(),
    "domain": lambda: OrganizationDomain.objects.update(domain="@acme.com"),
    "address": lambda: User.objects.update(email="nobody"),
}


@pytest.mark.django_db
class TestEveryWayIntoTheDatabase:
    def test_single_rows(self):
        tag = Tag.objects.create(name=" VIP ")
        assert tag.name == "vip"
        tag.name = "Gold  Plus"
        tag.save()
        assert tag.name == "gold plus"
        tag.refresh_from_db()
        assert tag.name == "gold plus"
        assert Tag.objects.get_or_create(name="GOLD plus") == (tag, False)
        assert Tag.objects.get(name__in=["Gold Plus"]) == tag
        assert TagFactory(name="GOLD PLUS") == tag

    def test_many_rows(self):
        tags = Tag.objects.bulk_create([Tag(name="A  b"), Tag(name="C")])
        Tag.objects.filter(name="C").update(name=" D ")
        tags[0].name = "E\tF"
        Tag.objects.bulk_update(tags[:1], ["name"])
        assert set(Tag.objects.values_list("name", flat=True)) == {"d", "e f"}

    @pytest.mark.parametrize("write", REFUSED_WRITES.values(), ids=REFUSED_WRITES.keys())
    def test_refusals(self, write):
        with pytest.raises(ValidationError):
            write()

    def test_names_are_shown_as_written_and_compared_by_key(self):
        acme = Organization.objects.create(name=" Acme   Corp ")
        assert (acme.name, acme.key) == ("Acme Corp", "acme corp")
        assert Organization.objects.get(key="ACME corp") == acme
        with pytest.raises(ValidationError, match="This name is taken"):
            Organization(name="ACME CORP").full_clean()
        acme.full_clean()

    def test_keys_follow_names_wherever_these_are_written(self):
        def written(name, write):
            organization = OrganizationFactory(name="Before")
            write(organization)
            assert Organization.objects.get(pk=organization.pk).key == name
            organization.delete()

        def save(organization):
            organization.name = "After"
            organization.save(update_fields=["name"])

        def bulk_update(organization):
            organization.name = "After"
            Organization.objects.bulk_update([organization], ["name"])

        def upsert(organization):
            organization.name = "After"
            Organization.objects.bulk_create(
                [organization], update_conflicts=True, unique_fields=["id"], update_fields=["name"]
            )

        written("after", save)
        written("after", bulk_update)
        written("after", upsert)
        written("after", lambda o: Organization.objects.filter(pk=o.pk).update(name="After"))
        written(
            "after", lambda o: Organization.objects.update_or_create({"name": "After"}, pk=o.pk)
        )
        with pytest.raises(TypeError):
            Organization.objects.update(name=Organization.objects.values("key")[:1])

    def test_addresses(self):
        bob = PersonFactory(email=" Bob@Acme.COM")
        assert bob.email == "bob@acme.com"
        assert User.objects.get_by_natural_key("BOB@acme.com") == bob
        assert bob.emailaddress_set.get().email == "bob@acme.com"
        bob.emailaddress_set.create(email="B@Other.ORG")
        assert bob.emailaddress_set.filter(email="b@other.org").exists()

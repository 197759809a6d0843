"""What each person meets at each address."""

import re
from gettext import GNUTranslations
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from helpcenter import snippets
from helpcenter.models import HelpCenter, PermissionGroup
from segments.models import Audience, Segment
from tests.factories_content import (
    ArticleFactory,
    CategoryFactory,
    HelpCenterFactory,
    SectionFactory,
)


@pytest.fixture
def center(db):
    return HelpCenterFactory(name="Acme Help", locales=["en-us", "fr"])


@pytest.fixture
def category(center):
    return CategoryFactory(title="Guides", body="How things work.", help_center=center)


@pytest.fixture
def section(category):
    return SectionFactory(title="Basics", category=category)


@pytest.fixture
def public(section):
    """An article for everyone, in English only."""
    return ArticleFactory(
        title="Reset the <b>router</b>",
        body="Press the **button** for ten seconds.",
        section=section,
        audience=Audience.everyone(),
    )


@pytest.fixture
def guides(cast, segment_of):
    """The permission group that Edda edits and Pia publishes."""
    return PermissionGroup.objects.create(
        name="Guides",
        edit=Audience.of(segment_of["editors"]),
        publish=Audience.of(segment_of["publishers"]),
    )


@pytest.fixture
def client_of(cast):
    """client_of("maria"): a client who is signed in as Maria."""

    def client_of(name):
        client = Client()
        if cast[name].is_authenticated:
            client.force_login(cast[name])
        return client

    return client_of


def page_of(thing, locale="en-us"):
    """The canonical address of something."""
    thing.words = thing.translations.order_by("locale").first()
    return thing.address(locale)


def text_of(response):
    return response.content.decode()


def body_of(response):
    """What a visitor sees inside <main>, without white space."""
    main = re.search(r"<main.*</main>", text_of(response), re.S)[0]
    return " ".join(main.split())


# Who gets what ------------------------------------------------------------------------------------

# What a section and an article in it are for -> who gets the article's page.
EVERYBODY = {"visitor", "dan", "maria", "claire", "ines", "lena", "aki", "edda", "pia", "ada"}
SIGNED_IN = EVERYBODY - {"visitor", "ines"}
ACCESS = [
    ("everyone", "everyone", EVERYBODY),
    ("everyone", "signed in", SIGNED_IN),
    ("everyone", "acme", {"maria", "ada"}),
    ("everyone", "french", {"claire", "ada"}),
    ("everyone", "staff", {"lena", "aki", "edda", "pia", "ada"}),
    ("everyone", "full staff", {"aki", "edda", "pia", "ada"}),
    ("everyone", "nobody", {"ada"}),
    ("acme", "everyone", {"maria", "ada"}),
    ("acme", "french", {"ada"}),
    ("nobody", "everyone", {"ada"}),
]


@pytest.mark.parametrize(("of_section", "of_article", "allowed"), ACCESS)
def test_pages_answer_those_for_whom_they_are(
    center, category, segment_of, client_of, of_section, of_article, allowed
):
    fixed = {"everyone": Audience.everyone, "nobody": Audience.nobody}

    def audience(name):
        return fixed[name]() if name in fixed else Audience.of(segment_of[name])

    section = SectionFactory(category=category, audience=audience(of_section))
    article = ArticleFactory(section=section, audience=audience(of_article))
    for name in EVERYBODY:
        client = client_of(name)
        status = 200 if name in allowed else 404
        assert client.get("/hc/en-us").status_code == 200
        for thing in (category, section, article):
            address = page_of(thing)
            assert client.get(address).status_code == status, (name, address)
        found = text_of(client.get("/hc/en-us", {"query": "x"}))
        assert (category.words.title in found) == (name in allowed), name


def test_home_shows_categories_sections_and_promoted_articles(client, public):
    public.promoted = True
    public.save()
    shown = body_of(client.get("/hc/en-us"))
    for words in ("Guides", "How things work.", "Basics", "Reset the &lt;b&gt;router"):
        assert words in shown


def test_home_links_to_the_sections_it_has_no_room_for(client, category):
    for number in range(9):
        section = SectionFactory(title=f"Section {number}", category=category, position=number)
        ArticleFactory(section=section, audience=Audience.everyone())
    shown = body_of(client.get("/hc/en-us"))
    assert "Section 5" in shown and "Section 6" not in shown
    assert "3 more sections" in shown


def test_a_category_shows_its_sections_with_their_first_articles(client, section, category):
    for number in range(7):
        ArticleFactory(
            title=f"Part {number}", section=section, position=number, audience=Audience.everyone()
        )
    inner = SectionFactory(title="Details", category=category, parent=section)
    ArticleFactory(section=inner, audience=Audience.everyone())
    shown = body_of(client.get(page_of(category)))
    assert "Part 4" in shown and "Part 5" not in shown
    assert "All articles" in shown
    assert "Details" in shown


def test_a_section_shows_thirty_articles_a_page(client, section):
    for number in range(31):
        ArticleFactory(title=f"Part {number:02}", section=section, position=number, audience_id=2)
    address = page_of(section)
    first, second = client.get(address), client.get(address, {"page": "2"})
    assert "Part 29" in body_of(first) and "Part 30" not in body_of(first)
    assert "Page 1 of 2" in body_of(first)
    assert "Part 30" in body_of(second) and "Part 29" not in body_of(second)
    assert client.get(address, {"page": "3"}).status_code == 404


@pytest.mark.surface(7, 8)
def test_pages_of_a_section_count_only_what_is_visible(client, client_of, section):
    ArticleFactory.create_batch(2, section=section, audience_id=2)
    ArticleFactory.create_batch(60, section=section, audience_id=1)
    assert "Page 1" not in body_of(client.get(page_of(section)))
    assert client.get(page_of(section), {"page": "2"}).status_code == 404
    assert "Page 1 of 3" in body_of(client_of("ada").get(page_of(section)))


def test_an_article_shows_its_words_and_where_it_stands(client, public, section, category):
    inner = SectionFactory(title="Details", category=category, parent=section)
    article = ArticleFactory(
        title="Deep", body="## Down\n\nhere", section=inner, audience=Audience.everyone()
    )
    neighbour = ArticleFactory(title="Beside it", section=inner, audience=Audience.everyone())
    shown = body_of(client.get(page_of(article)))
    trail = shown[shown.index("<nav") : shown.index("</nav>")]
    links = re.findall(r'href="([^"]*)"', trail)
    assert links == ["/hc/en-us", *map(page_of, (category, section, inner))]
    assert '<h2 id="user-content-down">Down</h2>' in shown
    assert f'<time datetime="{timezone.now():%Y}' in shown
    assert page_of(neighbour) in shown
    assert "Restricted" not in shown


# Hidden equals missing ----------------------------------------------------------------------------


def same(first, second):
    """Two answers that nobody can tell apart."""

    def parts(response):
        headers = {k: v for k, v in response.headers.items() if k != "Set-Cookie"}
        body = re.sub(rb'name="csrfmiddlewaretoken" value="\w+"', b"", response.content)
        return response.status_code, headers, body, sorted(response.cookies)

    return parts(first) == parts(second)


@pytest.mark.surface(1, 34)
@pytest.mark.parametrize("name", ["visitor", "dan", "maria", "lena"])
@pytest.mark.parametrize("method", ["get", "head", "options", "post"])
def test_hidden_equals_missing(client_of, center, cast, public, name, method):
    hidden = CategoryFactory(title="Secret", help_center=center, audience=Audience.nobody())
    section = SectionFactory(title="Secret", category=public.section.category, audience_id=1)
    article = ArticleFactory(title="Secret", section=section, audience=Audience.everyone())
    addresses = [page_of(thing) for thing in (hidden, section, article)]
    addresses += [address.removesuffix("-Secret") for address in addresses]
    addresses += [f"{address}?page=2" for address in addresses]
    client = client_of(name)
    ask = getattr(client, method)
    before = [ask(address) for address in addresses]
    article.delete(), section.delete(), hidden.delete()
    after = [ask(address) for address in addresses]
    wanted = {"get": 404, "head": 404}.get(method, 405)
    assert {response.status_code for response in before} == {wanted}
    assert all(map(same, before, after))


def test_a_visitor_is_offered_to_sign_in_where_nothing_is(client, center):
    shown = text_of(client.get("/hc/en-us/articles/1?page=2"))
    assert 'href="/accounts/login/?next=%2Fhc%2Fen-us%2Farticles%2F1%3Fpage%3D2"' in shown


def test_who_is_signed_in_is_not_offered_it_again(client_of, center):
    response = client_of("dan").get("/hc/en-us/articles/1")
    assert response.status_code == 404
    assert "/accounts/login/" not in text_of(response)


@pytest.mark.parametrize(
    "address", ["/", "/hc", "/hc/", "/hc/en-us", "/hc/en-us/", "/hc/fr/search?query=reset"]
)
def test_a_hidden_help_center_answers_as_none_at_all(client, public, center, address):
    HelpCenter.objects.update(audience=Audience.nobody())
    addresses = [address, page_of(public), "/accounts/login/"]
    hidden = [client.get(each) for each in addresses]
    center.categories.all().delete()
    center.delete()
    missing = [client.get(each) for each in addresses]
    assert hidden[0].status_code == 404
    assert "Acme Help" not in text_of(hidden[0])
    assert "/accounts/login/" in text_of(hidden[0])
    assert all(map(same, hidden, missing))


def test_the_first_help_center_decides_even_if_another_is_visible(client, center):
    HelpCenter.objects.update(audience=Audience.nobody())
    HelpCenterFactory(name="Second")
    assert client.get("/hc/en-us").status_code == 404


# Addresses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "target"), [("/", "/hc/fr"), ("/hc", "/hc/fr"), ("/hc/", "/hc/fr")]
)
def test_the_way_in_leads_to_the_default_locale(client, center, address, target):
    HelpCenter.objects.update(default_locale="fr")
    response = client.get(address)
    assert (response.status_code, response["Location"]) == (302, target)


@pytest.mark.parametrize(
    "slug", ["", "-", "-Old-title", "-a/../b", "-%FF", "-Reset-the-b-router-b%0A"]
)
def test_an_old_slug_leads_to_the_present_one(client, public, slug):
    response = client.get(f"/hc/en-us/articles/{public.pk}{slug}?a=%2Fb&c")
    if "/" in slug:
        assert response.status_code == 404
        return
    assert response.status_code == 301
    assert response["Location"] == f"{page_of(public)}?a=%2Fb&c"


def test_categories_and_sections_have_one_address_too(client, public):
    for thing in (public.section, public.section.category):
        response = client.get(page_of(thing).rpartition("-")[0])
        assert (response.status_code, response["Location"]) == (301, page_of(thing))


def test_a_slug_in_any_script_is_found(client, section):
    article = ArticleFactory(title="ルーター é", section=section, audience=Audience.everyone())
    address = page_of(article)
    assert address.isascii()
    assert client.get(address).status_code == 200


@pytest.mark.parametrize("locale", ["de", "xx", "EN-US", "en", "en_us", "%20", "en-us%0A", "."])
def test_a_locale_that_is_not_enabled_is_missing(client, public, locale):
    assert client.get(f"/hc/{locale}").status_code == 404
    assert client.get(f"/hc/{locale}/search?query=reset").status_code == 404
    name = page_of(public).rpartition("/")[2]
    assert client.get(f"/hc/{locale}/articles/{name}").status_code == 404


# Languages ----------------------------------------------------------------------------------------


def test_the_address_decides_the_language_of_the_page(client, public):
    assert '<html lang="fr">' in text_of(client.get("/hc/fr"))
    assert '<html lang="en-us">' in text_of(client.get("/hc/en-us"))


def test_signing_in_goes_on_in_the_language_of_the_page(client, center):
    assert '<html lang="fr">' in text_of(client.get("/accounts/login/?next=/hc/fr/articles/1"))
    response = client.get("/accounts/login/", headers={"Accept-Language": "de"})
    assert '<html lang="de">' in text_of(response)


def test_an_article_falls_back_to_its_source_and_says_so(client, public):
    response = client.get(page_of(public, "fr"))
    shown = body_of(response)
    assert '<article lang="en-us">' in shown
    assert 'class="note"' in shown
    assert "Reset the" in shown


def test_a_translated_article_says_nothing_of_falling_back(client, public):
    public.translations.create(locale="fr", title="Redémarrer", body="Appuyez.", draft=False)
    words = public.translations.get(locale="fr")
    public.words = words
    shown = body_of(client.get(public.address("fr")))
    assert "Appuyez." in shown and 'class="note"' not in shown
    public.words = public.translations.get(locale="en-us")
    assert f'href="{public.address("en-us")}"' in shown


def test_the_switcher_keeps_the_page_where_it_exists(client, public):
    page = text_of(client.get(page_of(public)))
    assert '<a href="/hc/fr" lang="fr"' in page
    public.translations.create(locale="fr", title="Redémarrer", body="…", draft=False)
    page = text_of(client.get(page_of(public)))
    assert f'<a href="/hc/fr/articles/{public.pk}-Red%C3%A9marrer" lang="fr"' in page
    assert '<a href="/hc/fr/search?query=reset" lang="fr"' in text_of(
        client.get("/hc/en-us/search?query=reset")
    )


@pytest.mark.surface(29, 31)
def test_falling_back_never_reaches_a_draft(client_of, public, guides):
    public.translations.create(locale="fr", title="BROUILLON", body="BROUILLON", draft=True)
    article = ArticleFactory(
        title="ENTWURF", locale="fr", draft=True, section=public.section, audience_id=2
    )
    for name in ("visitor", "maria", "aki"):
        client = client_of(name)
        for address in (page_of(public, "fr"), page_of(public), page_of(public.section, "fr")):
            shown = text_of(client.get(address, follow=True))
            assert "BROUILLON" not in shown and "ENTWURF" not in shown
            assert "Brouillon" not in shown
        assert client.get(f"/hc/en-us/articles/{article.pk}").status_code == 404
        assert client.get(f"/hc/fr/articles/{article.pk}").status_code == 404


# Editors, locks and names -------------------------------------------------------------------------


@pytest.fixture
def secret(center, section, guides, segment_of):
    """An article of Guides in a section that admits nobody, with a French draft."""
    hidden = SectionFactory(title="Vault", category=section.category, audience_id=1)
    article = ArticleFactory(
        title="Plan",
        section=hidden,
        audience=Audience.of(segment_of["acme"]),
        permission_group=guides,
    )
    article.translations.create(locale="fr", title="Projet", body="Secret", draft=True)
    return article


@pytest.mark.surface(23)
@pytest.mark.parametrize("name", ["edda", "pia", "ada"])
def test_editors_see_the_breadcrumbs_of_their_article(client_of, secret, name):
    shown = body_of(client_of(name).get(page_of(secret)))
    assert page_of(secret.section) in shown
    assert page_of(secret.section.category) in shown


@pytest.mark.parametrize("name", ["edda", "pia", "ada"])
def test_editors_see_a_draft_in_its_locale_marked_as_such(client_of, secret, name):
    client = client_of(name)
    assert 'class="badge"' not in body_of(client.get(page_of(secret)))
    shown = body_of(client.get(f"/hc/fr/articles/{secret.pk}-Projet"))
    assert 'class="badge"' in shown and "Secret" in shown


@pytest.mark.surface(53)
def test_names_of_segments_are_for_those_who_may_publish(client_of, secret):
    names = "Customers of Acme"
    for name in ("pia", "ada"):
        assert names in body_of(client_of(name).get(page_of(secret)))
    shown = text_of(client_of("edda").get(page_of(secret)))
    assert names not in shown and "Restricted" in shown


def test_staff_see_locks_and_end_users_see_none(client_of, section, segment_of):
    ArticleFactory(title="Mine", section=section, audience=Audience.of(segment_of["signed in"]))
    ArticleFactory(title="Ours", section=section, audience=Audience.everyone())
    assert body_of(client_of("aki").get(page_of(section))).count("Restricted</span>") == 1
    assert body_of(client_of("maria").get(page_of(section))).count("Restricted") == 0
    for name in ("aki", "lena"):
        assert Segment.objects.get(built_in="signed_in_users").name not in text_of(
            client_of(name).get(page_of(section))
        )


# Search -------------------------------------------------------------------------------------------


def search(client, query, locale="en-us", **more):
    return client.get(f"/hc/{locale}/search", {"query": query, **more})


def test_search_shows_title_section_and_a_snippet(client, public):
    shown = body_of(search(client, "button"))
    assert "1 article found" in shown
    assert "Reset the &lt;b&gt;router&lt;/b&gt;" in shown
    assert page_of(public) in shown and page_of(public.section) in shown
    assert "Press the <mark>button</mark> for ten seconds." in shown


def test_search_escapes_what_it_shows(client, section):
    ArticleFactory(
        title="Code", body="`<script>alert(1)</script>` here", section=section, audience_id=2
    )
    shown = text_of(search(client, "script"))
    assert "&lt;<mark>script</mark>&gt;alert(1)" in shown
    assert "<script" not in shown
    shown = text_of(search(client, '"><script>x'))
    assert "&quot;&gt;&lt;script&gt;x" in shown and "<script" not in shown


@pytest.mark.surface(9, 11)
def test_search_finds_nothing_hidden_and_does_not_say_so(client, client_of, public, segment_of):
    words = {"title": "Zebra", "body": "zebra crossing"}
    ArticleFactory(section=public.section, audience=Audience.of(segment_of["acme"]), **words)
    hidden, missing = body_of(search(client, "zebra")), body_of(search(client, "xebra"))
    assert hidden.replace("zebra", "xebra") == missing
    assert "Nothing was found" in missing and "/accounts/login/" in missing
    assert "Zebra" in body_of(search(client_of("maria"), "zebra"))
    assert "/accounts/login/" not in body_of(search(client_of("dan"), "zebra"))


@pytest.mark.surface(23)
def test_search_names_a_section_only_to_those_who_may_know_it(client_of, secret, cast):
    assert "Vault" in body_of(search(client_of("edda"), "plan"))
    assert "Nothing was found" in body_of(search(client_of("maria"), "plan"))


def test_editors_find_drafts_marked_as_such(client_of, secret):
    assert 'class="badge"' in body_of(search(client_of("edda"), "projet", "fr"))
    assert "Projet" not in body_of(search(client_of("aki"), "projet", "fr"))


def test_search_is_for_the_locale_of_the_page(client, public):
    assert "Reset" in body_of(search(client, "button"))
    assert "Nothing was found" not in body_of(search(client, "button"))
    assert 'class="results"' not in body_of(search(client, "button", "fr"))


@pytest.mark.parametrize("query", ["", "   ", "!!!", '"', "*", "' OR 1=1 --", "a" * 5000, "NEAR("])
def test_search_takes_any_text(client, public, query):
    assert search(client, query).status_code == 200


def test_search_has_pages(client, section):
    for number in range(21):
        ArticleFactory(title=f"Zebra {number:02}", section=section, position=number, audience_id=2)
    shown = body_of(search(client, "zebra"))
    assert "21 articles found" in shown and "Zebra 20" not in shown
    assert '?query=zebra&amp;page=2"' in shown
    assert "Zebra 20" in body_of(search(client, "zebra", page="2"))
    assert search(client, "zebra", page="3").status_code == 404


def test_a_snippet_is_cut_at_words_around_the_first_hit():
    text = "one " * 100 + "the Zèbres run " + "two " * 100
    pieces = snippets.snippet(text, ["zebre"])
    assert [piece.text for piece in pieces if piece.is_hit] == ["Zèbres"]
    shown = "".join(piece.text for piece in pieces)
    assert shown.startswith("… one") and shown.endswith("two …")
    assert len(shown) < 240


def test_a_snippet_without_a_hit_is_the_beginning():
    assert snippets.snippet("Short text.", ["zebra"]) == [("Short text.", False)]
    assert snippets.snippet("", ["zebra"]) == []


def test_a_snippet_of_a_script_without_spaces():
    pieces = snippets.snippet("日本" * 300 + "電池" + "日本" * 300, ["電", "池"])
    assert "".join(piece.text for piece in pieces if piece.is_hit) == "電池"
    assert sum(len(piece.text) for piece in pieces) < 240


# Answers ------------------------------------------------------------------------------------------


@pytest.mark.surface(42, 43)
def test_nothing_of_it_is_kept_by_a_cache(client, client_of, public):
    for response in (
        client.get(page_of(public)),
        client.get("/hc"),
        client.get("/hc/en-us/articles/1"),
        client.get("/accounts/login/"),
        client_of("ada").get("/admin/"),
        client.get("/hc/en-us?a=%00"),
        client.post("/hc/en-us"),
    ):
        assert response["Cache-Control"] == "private, no-store", response.request["PATH_INFO"]
        assert response["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in response["Permissions-Policy"]
        assert not {"ETag", "Last-Modified", "Expires"} & {*response.headers}
        assert "default-src 'none'" in response["Content-Security-Policy"]


def test_static_files_may_be_kept(client, db):
    response = client.get("/static/helpcenter/site.css")
    assert response.status_code == 200
    assert "public" in response["Cache-Control"]
    response.close()


def test_a_page_without_forms_sets_no_cookie(client, public):
    assert not client.get(page_of(public)).cookies


def test_signing_out_is_a_form(client_of, center):
    page = text_of(client_of("maria").get("/hc/en-us"))
    assert '<form method="post" action="/accounts/logout/">' in page


@pytest.mark.surface(41)
def test_an_error_page_asks_the_database_for_nothing(client, center, monkeypatch):
    client.raise_request_exception = False
    monkeypatch.setattr("helpcenter.views.render", lambda *a, **k: 1 / 0)
    response = client.get("/hc/en-us")
    assert response.status_code == 500
    assert "Something went wrong" in text_of(response)


# Cost ---------------------------------------------------------------------------------------------


def grow(center, segment_of, by):
    """More of everything: categories, sections, articles, segments, audiences."""
    first = center.categories.first() or CategoryFactory(help_center=center)
    section = first.sections.first() or SectionFactory(category=first)
    for number in range(by):
        segment = Segment.objects.create(
            name=f"More {section.pk} {Segment.objects.count()}",
            conditions=[{"attribute": "tag", "operator": "any", "values": ["premium"]}],
        )
        audience = Audience.of(segment, segment_of["signed in"])
        other = CategoryFactory(help_center=center, audience=audience)
        for place in (section, SectionFactory(category=other), SectionFactory(category=first)):
            inner = SectionFactory(category=place.category, parent=place, audience=audience)
            ArticleFactory(section=inner, audience=audience, title=f"Zebra {number}")
            ArticleFactory(section=place, audience=audience, title="Zebra", promoted=True)
            ArticleFactory(section=place, audience=Audience.everyone(), title="Zebra")
    return first, section


@pytest.mark.parametrize("name", ["visitor", "maria", "aki", "pia", "ada"])
def test_the_number_of_queries_does_not_grow(center, client_of, segment_of, guides, name):
    # Two: where a list is empty Django does not even ask, and the counts would differ.
    category, section = grow(center, segment_of, 2)
    article = section.articles.filter(audience=Audience.everyone()).first()
    addresses = ["/hc/en-us", *map(page_of, (category, section, article))]
    addresses += ["/hc/en-us/search?query=zebra"]
    client = client_of(name)

    def queries(address):
        client.get(address)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address).status_code == 200
        return [query["sql"] for query in captured]

    small = [queries(address) for address in addresses]
    grow(center, segment_of, 4)
    large = [queries(address) for address in addresses]
    assert [len(found) for found in large] == [len(found) for found in small]


def test_search_reads_results_in_one_select(client, public):
    client.get("/hc/en-us/search?query=button")
    with CaptureQueriesContext(connection) as captured:
        client.get("/hc/en-us/search?query=button")
    reading = [q["sql"] for q in captured if 'FROM "helpcenter_articletranslation"' in q["sql"]]
    assert len(reading) == 2, "\n".join(reading)


def test_pages_that_show_no_help_center_ask_for_none(client, db):
    with CaptureQueriesContext(connection) as captured:
        client.get("/hc/en-us?a=%00")
    assert not captured.captured_queries


# Words --------------------------------------------------------------------------------------------


def test_the_french_catalogue_is_complete_and_compiled():
    """Every text of the templates is translated; run msgfmt after editing django.po."""
    folder = Path(snippets.__file__).parent / "locale" / "fr" / "LC_MESSAGES"
    with (folder / "django.mo").open("rb") as file:
        known = GNUTranslations(file)._catalog
    source = (folder / "django.po").read_text(encoding="utf-8")
    for words, french in re.findall(r'^msgid "(.+)"\nmsgstr "(.+)"$', source, re.M):
        assert known[words] == french
    used = {
        words
        for template in (Path(snippets.__file__).parents[1] / "templates").rglob("*.html")
        if template.parent.name not in ("account", "allauth", "elements", "layouts")
        for words in re.findall(r'{% translate "([^"]+)" %}', template.read_text(encoding="utf-8"))
    }
    assert len(used) > 40
    assert used <= set(known)

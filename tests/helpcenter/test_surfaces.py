"""The channels of docs/surfaces.md that need a question of their own."""

import json
import re
from pathlib import Path

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.core.management import get_commands
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from helpcenter import rendering
from helpcenter.models import Article, Category, Label, PermissionGroup, Section
from segments.checks import walk_urls
from segments.models import Audience
from tests import exits
from tests.factories_content import ArticleFactory, CategoryFactory, SectionFactory

pytestmark = pytest.mark.django_db
API = "/api/v2/help_center"
LISTS = ["articles", "sections", "categories"]


@pytest.fixture
def shown(segment_of, settings):
    settings.API_REQUESTS_PER_MINUTE = {"token": 10**6, "address": 10**6}
    return exits.show_something(segment_of)


@pytest.fixture
def hidden(shown):
    return exits.hide_something(shown)


@pytest.fixture
def clients(cast):
    """Name -> client, of some who may not see what is hidden."""
    return {
        "visitor": Client(),
        "dan": exits.signed_in(cast["dan"]),
        "maria": exits.by_token(cast["maria"]),
        "lena": exits.signed_in(cast["lena"]),
        "pia": exits.by_token(cast["pia"]),
    }


def asked(client, address, method="GET", **headers):
    """Status, headers and body."""
    client.cookies.pop("messages", None)  # the admin says on the next page what it did not find
    response = client.generic(method, address, headers=headers)
    status, found, text = exits.read(response)
    return status, str(found), text


def same_for(client, address, *numbers, method="GET", **headers):
    """Whether the answers at an address are the same for all of the numbers put into it."""
    answers = set()
    for number in numbers:
        answer = asked(client, address.format(number), method, **headers)
        answers.add(tuple(str(part).replace(str(number), "N") for part in answer))
    return len(answers) == 1


def shapes(client, address, number):
    """The statements of a request, without the values in them."""
    return with_shapes(client, address.format(number))[1]


def with_shapes(client, address):
    """The answer, and the statements that it took, without the values in them."""
    found = []

    def note(execute, sql, params, many, context):
        # Old counters of requests are removed by chance.
        if not sql.startswith(("DELETE", "SELECT")) or "helpcenter_ratecounter" not in sql:
            found.append(re.sub(r"\b\d+(, ?\d+)*\b|%s(, ?%s)*", "?", sql))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        answer = asked(client, address)
    return answer, found


@pytest.mark.surface(2)
def test_lists_and_details_agree(clients, cast, hidden):
    for name, client in clients.items():
        for kind, model in zip(LISTS, (Article, Section, Category), strict=True):
            listed = client.get(f"{API}/{kind}?per_page=100").json()[kind]
            found = {
                pk
                for pk in model._base_manager.values_list("pk", flat=True)
                if client.get(f"{API}/{kind}/{pk}").status_code == 200
            }
            assert found == {each["id"] for each in listed}, (name, kind)


@pytest.mark.surface(6)
def test_a_shelf_is_there_while_one_thing_in_it_is(cast, shown):
    """However many of the articles are hidden: the fallback for none is that there is no shelf."""
    everyone, nobody = Audience.everyone(), Audience.nobody()
    section = SectionFactory(
        audience=everyone,
        category=CategoryFactory(help_center=shown.section.category.help_center, audience=everyone),
    )
    articles = [ArticleFactory(section=section, audience=everyone) for _ in range(3)]
    for number in range(len(articles) + 1):
        for place, article in enumerate(articles):
            article.audience = nobody if place < number else everyone
            article.save()
        for model, pk in [(Category, section.category_id), (Section, section.pk)]:
            is_shown = model.objects.visible_to(cast["dan"]).filter(pk=pk).exists()
            assert is_shown == (number < len(articles))
            assert model.objects.visible_to(cast["ada"]).filter(pk=pk).exists()
        assert Article.objects.visible_to(cast["dan"]).filter(section=section).count() == 3 - number


@pytest.mark.surface(10, 14)
@pytest.mark.parametrize("name", ["visitor", "dan", "lena", "pia"])
def test_a_search_tells_no_letter_of_a_hidden_word(clients, hidden, name):
    """Each beginning of a hidden word is answered like one of a word that is nowhere."""
    word = hidden.things["articletranslation"][0].title
    nowhere = "xwkjvzx" * len(word)
    searches = ["/hc/en-us/search?query={}", f"{API}/articles/search?query={{}}"]
    searches += [f"{API}/articles/search?label_names={{}}"]
    if name != "lena":  # people are for staff to find
        searches += ["/api/v2/users/autocomplete?name={}", "/api/v2/organizations/search?name={}"]
    for length in [1, 2, 3, 5, 8, len(word)]:
        for search in searches if name != "pia" else searches[:3]:
            answers = {
                tuple(
                    re.sub(rf"(?:\b|(?<=3D)){text}\b", "W", str(part))
                    for part in asked(clients[name], search.format(text))
                )
                for text in (word[:length], nowhere[:length])
            }
            assert len(answers) == 1, (search, word[:length])


@pytest.mark.surface(15, 17)
@pytest.mark.parametrize("kind", LISTS)
def test_parameters_that_nobody_offers_change_nothing(clients, hidden, kind):
    """No field, depth or negation is chosen by the caller."""
    plain = asked(clients["dan"], f"{API}/{kind}")
    article, section = hidden.ids("article")[0], hidden.ids("section")[0]
    for query in [
        "fields=id,body,audience,user_segment_id",
        "expand=all&depth=9",
        "format=html&view=full",
        f"exclude={article}&exclude_ids={article}",
        f"exclude_section={section}&section!={section}&-section={section}",
        "not_label_names=Guides&label_names!=Guides",
        f"id={article}&ids={article}&audience=1&published=false&draft=true",
    ]:
        assert asked(clients["dan"], f"{API}/{kind}?{query}") == plain, query


@pytest.mark.surface(16, 18)
@pytest.mark.parametrize("kind", LISTS)
def test_only_what_is_offered_filters_and_orders(clients, hidden, kind):
    """Lookups through relations are refused, and so is an order by what is not shown."""
    for query in [
        "section__audience__segments__name=x",
        "translations__body__contains=q",
        "author__email__startswith=q",
        "id__gt=0",
    ]:
        assert clients["dan"].get(f"{API}/{kind}?{query}").status_code == 400
    for field in [
        "audience",
        "-id",
        "body",
        "section__audience",
        "author__email",
        "?",
        "published",
    ]:
        assert clients["dan"].get(f"{API}/{kind}?sort_by={field}").status_code == 400


@pytest.mark.surface(3, 19, 20)
def test_the_api_speaks_json_and_describes_nothing(clients, hidden):
    """No browsable pages with choices in them, and OPTIONS lists no field and no choice."""
    for address in (f"{API}/articles", f"{API}/sections/{hidden.ids('section')[0]}"):
        page = clients["pia"].get(address, headers={"Accept": "text/html"})
        assert page.headers["Content-Type"] == "application/json"
        described = clients["pia"].options(address, headers={"Accept": "text/html"})
        assert not {"actions", "choices", "name", "description"} & {*described.json()} - {
            "description"
        }
        assert "choices" not in described.content.decode()


@pytest.mark.surface(21, 32)
@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("section_id", "section"),
        ("permission_group_id", "permissiongroup"),
        ("author_id", "user"),
    ],
)
def test_moving_to_hidden_things_is_refused_like_missing_ones(clients, hidden, field, kind):
    """Hidden ids in bodies are missing ones; nothing is copied, and this is moving."""
    mine = Article.objects.get(permission_group__name="Guides")
    path = f"{API}/articles/{mine.pk}"
    answers = set()
    for pk in (hidden.ids(kind)[0], exits.missing(hidden.ids(kind)[0])):
        with transaction.atomic():
            response = clients["pia"].generic(
                "PUT", path, f'{{"article": {{"{field}": {pk}}}}}', content_type="application/json"
            )
            transaction.set_rollback(True)
        answers.add((response.status_code, response.content.replace(str(pk).encode(), b"N")))
    assert len(answers) == 1
    assert {status for status, _body in answers} <= {400, 403, 404, 422}


@pytest.mark.surface(26, 27, 28)
def test_a_reference_to_something_hidden_says_what_was_typed(clients, shown, hidden):
    """Nothing is put into a text when it is rendered, and nothing is looked up for it."""
    secret = hidden.things["article"][0]
    address, title = secret.address("en-us"), hidden.things["articletranslation"][0].title
    body = (
        f"[typed]({address}) <{address}> [[{secret.pk}]] {{{{ article {secret.pk} }}}}\n\n"
        f'{{% include "{secret.pk}" %}} <iframe src="{address}"></iframe>\n\n'
        f'<include src="{address}"></include> ![]({address}) !include({secret.pk})\n\n{address}\n'
    )
    with CaptureQueriesContext(connection) as captured:
        html = rendering.render(body, "markdown")
    assert not captured.captured_queries
    assert "typed" in html and title not in html
    article = ArticleFactory(section=shown.section, audience=Audience.everyone(), body=body)
    for client in (exits.signed_in(admin_of(shown)), clients["dan"], Client()):
        page = client.get(f"/hc/en-us/articles/{article.pk}", follow=True).content.decode()
        assert "typed" in page and not hidden.canaries & exits.words_of(page.split("<aside")[0])


def admin_of(shown):
    from accounts.models import User

    return User.objects.get(role="admin")


@pytest.mark.surface(33, 34, 45)
@pytest.mark.parametrize(
    ("name", "kind", "word"),
    [
        ("visitor", "article", "articles"),
        ("dan", "section", "sections"),
        ("maria", "category", "categories"),
    ],
)
def test_every_spelling_of_an_address_is_answered_alike(clients, hidden, name, kind, word):
    """Hidden and missing: status, body, headers and where they lead."""
    pk = hidden.ids(kind)[0]
    starts = [f"/hc/en-us/{word}", f"/hc/fr/{word}", f"/HC/en-us/{word}", f"{API}/{word}"]
    tails = ["", "-slug", "-", "/", "/x.css", ".json", "?page=2", "%0a", "%20", "-%2e%2e", "//"]
    for start in starts:
        for tail in tails:
            address = f"{start}/{{}}{tail}"
            assert same_for(clients[name], address, pk, exits.missing(pk)), address


@pytest.mark.surface(35)
def test_a_title_is_free_however_often_it_is_taken(clients, shown, hidden):
    """No number is added to a slug, and a title that something hidden has is not refused."""
    title = hidden.things["articletranslation"][0].title
    guides = PermissionGroup.objects.get(name="Guides")
    care = {"permission_group_id": guides.pk, "user_segment_id": None}
    answers = [
        clients["pia"].generic(
            "POST",
            f"{API}/sections/{shown.section.pk}/articles",
            json.dumps({"article": {"title": each} | care}),
            content_type="application/json",
        )
        for each in (title, "x" * len(title))
    ]
    assert [response.status_code for response in answers] == [201, 201]
    for response, each in zip(answers, (title, "x" * len(title)), strict=True):
        made = response.json()["article"]
        assert made["html_url"].endswith(f"{made['id']}-{each}")


@pytest.mark.surface(35)
def test_a_label_of_hidden_articles_is_new_to_its_next_user(clients, shown, hidden):
    """Labels are unique; one that only hidden articles have comes back as if it were new."""
    taken = hidden.things["label"][0]
    Label.objects.filter(pk=taken.pk).update(created_at="2001-01-01T00:00Z")
    mine = Article.objects.get(permission_group__name="Guides")
    made = [
        clients["pia"].generic(
            "POST",
            f"{API}/articles/{mine.pk}/labels",
            f'{{"label": {{"name": "{name}"}}}}',
            content_type="application/json",
        )
        for name in (taken.name, "brand new")
    ]
    assert {response.status_code for response in made} == {201}
    dates = [response.json()["label"]["created_at"][:10] for response in made]
    assert dates[0] == dates[1]


@pytest.mark.surface(37, 38)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_permission_comes_before_validators_and_ranges(clients, hidden, method):
    admin = exits.signed_in(admin_of(hidden))
    for kind, word in [("article", "articles"), ("section", "sections")]:
        pk = hidden.ids(kind)[0]
        etag = admin.get(f"{API}/{word}/{pk}").headers["ETag"]
        for headers in [
            {"If-None-Match": etag},
            {"If-Match": etag},
            {"If-Match": '"other"'},
            {"If-Modified-Since": "Sat, 01 Jan 2050 00:00:00 GMT"},
            {"Range": "bytes=0-3", "If-Range": etag},
        ]:
            for address in (f"{API}/{word}/{{}}", f"/hc/en-us/{word}/{{}}"):
                for client in (clients["dan"], clients["pia"]):
                    assert same_for(
                        client, address, pk, exits.missing(pk), method=method, **headers
                    )


@pytest.mark.surface(39)
@pytest.mark.parametrize("name", ["visitor", "dan", "pia"])
def test_hidden_and_missing_take_the_same_statements(clients, hidden, name):
    """The time is that of the statements: the same list of them, whatever the values."""
    templates = exits.reading_by_id(hidden)
    clients[name].get("/hc/en-us")  # the process has compiled the rules
    for template, pk in templates.items():
        found = shapes(clients[name], template, pk)
        assert found == shapes(clients[name], template, exits.missing(pk)), template
    assert len(templates) > 40


@pytest.mark.surface(40)
@pytest.mark.parametrize("name", ["dan", "lena"])
def test_no_text_raises_or_takes_longer_on_hidden_rows(clients, shown, name):
    """What somebody looks for is compared with the rows they may see, in the same statements."""
    texts = ["qzcanary1", "(a+)+$", "1/0", "%00", "'", '"', "\\", "NEAR(a b)", "a*b", "0001-01-01"]
    searches = ["/hc/en-us/search?query={}", f"{API}/articles/search?query={{}}"]
    searches += [f"{API}/articles?label_names={{}}", f"{API}/articles/search?created_before={{}}"]
    searches += [f"{API}/articles/search?query=article&section={{}}"]
    addresses = [search.format(text) for search in searches for text in texts]

    def answers():
        clients[name].get("/hc/en-us")  # the process has compiled the rules
        return {each: with_shapes(clients[name], each) for each in addresses}

    with transaction.atomic():
        exits.hide_something(shown)
        beside = answers()
        transaction.set_rollback(True)
    found = answers()
    assert not [each for each in addresses if beside[each] != found[each]]
    assert not [each for each, ((status, *_), _) in found.items() if status >= 500]


@pytest.mark.surface(49, 50)
def test_there_are_no_feeds_no_sitemap_and_no_cards(clients, shown):
    """Whoever adds one comes by here, and marks its own tests."""
    routes = " ".join(route for _name, route, _pattern in walk_urls())
    assert not re.search(r"rss|atom|feed|ical|sitemap|robots|oembed|manifest", routes)
    for address in ("/sitemap.xml", "/robots.txt", "/feed", "/hc/en-us.rss", "/hc/en-us/rss"):
        assert clients["dan"].get(address).status_code == 404
    page = Client().get(f"/hc/en-us/articles/{shown.pk}", follow=True).content.decode()
    assert "og:" not in page and "ld+json" not in page and 'rel="alternate" type' not in page


@pytest.mark.surface(51)
def test_nothing_of_content_is_mailed(clients, shown):
    """Subscriptions are kept, and nothing is sent for them."""
    for path, body in [
        (f"articles/{shown.pk}/subscriptions", '{"subscription": {"source_locale": "en-us"}}'),
        (f"articles/{shown.pk}/comments", '{"comment": {"body": "Hm", "locale": "en-us"}}'),
    ]:
        response = clients["maria"].generic(
            "POST", f"{API}/{path}", body, content_type="application/json"
        )
        assert response.status_code == 201, response.content
    ArticleFactory(section=shown.section, audience=Audience.everyone())
    shown.translations.update(title="New")
    assert mail.outbox == []


@pytest.mark.surface(54)
@pytest.mark.parametrize("name", ["edda", "pia", "lena"])
def test_limited_staff_see_nothing_hidden_in_the_admin(cast, hidden, name):
    """Popups, choices, history and confirmations, of hidden objects and of their own article."""
    client = exits.signed_in(cast[name])
    mine = Article.objects.get(permission_group__name="Guides")
    start = "/admin/helpcenter/article"
    addresses = [
        f"{start}/?_popup=1&_to_field=id",
        f"{start}/?_facets=True&q=qz",
        f"{start}/?section__id__exact={hidden.ids('section')[0]}",
        f"{start}/add/?_popup=1&section={hidden.ids('section')[0]}",
        *(f"{start}/{mine.pk}/{page}/" for page in ("change", "history", "delete")),
        *(
            f"/admin/autocomplete/?app_label=helpcenter&model_name={model}&field_name={field}&term={term}"
            for model, field in [
                ("article", "section"),
                ("section", "category"),
                ("article", "labels"),
            ]
            for term in ("q", "qz", "qzc")
        ),
    ]
    ask = [exits.Question(name, "GET", address, "text/html") for address in addresses]
    answers = exits.walk({name: client}, ask)
    # Whoever publishes chooses among all segments, by name.
    segments = {word for each in hidden.things["segment"] for word in (each.name, str(each.pk))}
    known = segments if name == "pia" else set()
    assert not [leak for leak in exits.leaks(hidden, answers) if set(leak[2]) - known]
    assert (name == "lena") == (answers[ask[0]].status != 200)


@pytest.mark.surface(56)
def test_what_runs_without_a_viewer_is_known():
    """The commands: none sends or publishes anything on its own. A new one is looked at here."""
    ours = {
        name
        for name, app in get_commands().items()
        if app in ("segments", "helpcenter", "accounts")
    }
    assert ours == {"create_token", "demo", "enable_rls", "explain_access", "import_markdown"}
    with pytest.raises(TypeError):
        Article.objects.visible_to(None)
    assert not Article.objects.visible_to(AnonymousUser()).exists()


@pytest.mark.surface(44)
def test_nothing_of_content_is_kept_in_a_cache():
    """No page, fragment or decision; the only one keeps for admins how many a segment holds."""
    root = Path(__file__).parents[2]
    sources = [*(root / "helpcenter").rglob("*.py"), *(root / "segments").rglob("*.py")]
    sources += (root / "templates").rglob("*.html")
    words = re.compile(r"cache_page|{% cache|django\.core\.cache|cached\.Loader|caches\[")
    assert [path.name for path in sources if words.search(path.read_text())] == ["segment_list.py"]


@pytest.mark.surface(34, 54)
@pytest.mark.parametrize("name", ["lena", "pia"])
def test_the_admin_asks_for_the_permission_before_the_object(cast, hidden, name):
    """Of every kind and every page, hidden and missing: the same answer, whoever has no rights."""
    client = exits.signed_in(cast[name])
    compared = 0
    for place in exits.places(hidden):
        pk = re.search(r"^/admin/\w+/\w+/(\d{9,})/", place.addresses[0])
        if pk is None:
            continue
        pk = pk[1]
        address = place.addresses[0].replace(pk, "{}")
        assert same_for(client, address, pk, exits.missing(pk)), place.route
        compared += 1
    assert compared > 50

"""Safe answers: what caches may keep, tried through a real one, and what browsers may do."""

import os
import random
import re
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from itertools import count, permutations
from threading import Thread
from types import SimpleNamespace
from urllib.parse import quote, unquote

import pytest
from django.conf import settings as site_settings
from django.core.cache import cache
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.servers.basehttp import ThreadedWSGIServer
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.testcases import QuietWSGIRequestHandler
from django.views.decorators.cache import cache_control, cache_page
from knox.models import get_token_model

from helpcenter import middleware
from segments.checks import walk_urls
from segments.models import Audience
from tests.factories_content import (
    ArticleFactory,
    AttachmentFactory,
    CategoryFactory,
    SectionFactory,
)
from tests.proxy import ROOT, nginx, proxy

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
PNG = b"\x89PNG\r\n\x1a\n pixels"
HTML = b"<!doctype html><script>alert(1)</script>"
# What two answers to the same question may differ in.
VOLATILE = {"date", "set-cookie", "x-cache", "x-rate-limit-remaining", "connection", "server"}
# Compared by the body, in which the address may be written.
VOLATILE |= {"content-length", "transfer-encoding", "keep-alive"}


# The middleware -----------------------------------------------------------------------------------


def passed_through(**headers):
    """The answer of a view that says this, after the middleware."""
    response = HttpResponse("x", headers={k.replace("_", "-"): v for k, v in headers.items()})
    return middleware.private_by_default(lambda request: response)(RequestFactory().get("/"))


@pytest.mark.surface(42)
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"Cache_Control": "public, max-age=600", "ETag": '"x"'},
        {"Cache_Control": "public, no-cache"},
        {"Cache_Control": "public, no-cache, s-maxage=600", "ETag": '"x"'},
        {"Cache_Control": "max-age=600", "ETag": '"x"'},
        {"Cache_Control": "private, max-age=600, x=public"},
        {"Cache_Control": "no-cache"},
        {"Expires": "Fri, 01 Jan 2100 00:00:00 GMT"},
        {"Cache_Control": "public, no-cache", "ETag": '"x"', "Expires": "0"},
        {"Vary": "*"},
    ],
)
def test_whatever_a_view_says_is_overruled(said):
    response = passed_through(**said)
    assert response["Cache-Control"] == "private, no-store"
    assert response["Vary"] == "Accept-Language, Authorization, Cookie"
    assert "Expires" not in response


def test_only_what_is_the_same_for_everybody_may_be_kept():
    same = {"Cache_Control": "public, no-cache", "ETag": '"x"'}
    assert passed_through(**same)["Cache-Control"] == "public, no-cache"


@pytest.mark.surface(43)
def test_a_cookie_makes_an_answer_somebodys():
    def view(request):
        response = HttpResponse(headers={"Cache-Control": "public, no-cache", "ETag": '"x"'})
        response.set_cookie("a", "b")
        return response

    response = middleware.private_by_default(view)(RequestFactory().get("/"))
    assert response["Cache-Control"] == "private, no-store"


@pytest.mark.once
@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/api/schema", "/api/docs"])
def test_the_documentation_is_asked_for_again_each_time(client, cast, address):
    first = client.get(address)
    assert first["Cache-Control"] == "public, no-cache"
    assert not first.cookies
    again = client.get(address, headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    client.force_login(cast["ada"])
    assert client.get(address).content == first.content
    french = client.get(address, headers={"Accept-Language": "fr"})
    assert "Accept-Language" in french["Vary"]


@pytest.mark.django_db
def test_what_holds_a_csrf_token_is_somebodys(client):
    answer = client.get("/api/docs?script=")
    assert site_settings.CSRF_COOKIE_NAME in answer.cookies
    assert answer["Cache-Control"] == "private, no-store"


def cached_views(text):
    """The ways of Django to keep whole pages that a source names."""
    return re.findall(r"\bcache_page\b|\b(?:Update|FetchFrom)?CacheMiddleware\b", text)


@pytest.mark.surface(42, 44)
def test_no_source_keeps_whole_pages():
    sources = [
        p for app in ("segments", "accounts", "helpcenter") for p in (ROOT / app).rglob("*.py")
    ]
    assert len(sources) > 50
    assert not [path for path in sources if cached_views(path.read_text())]
    assert cached_views("@cache_page(60)") and cached_views('"…UpdateCacheMiddleware",')


@pytest.mark.once
@pytest.mark.django_db
def test_static_files_are_kept_under_hashed_names_only(settings, tmp_path):
    storage = "whitenoise.storage.CompressedManifestStaticFilesStorage"
    settings.STATIC_ROOT, settings.WHITENOISE_USE_FINDERS = tmp_path, False
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATICFILES_DIRS = [ROOT / "helpcenter" / "static"]
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": storage}}
    call_command("collectstatic", interactive=False, verbosity=0)
    (hashed,) = (tmp_path / "helpcenter").glob("site.*.css")
    said = {}
    for name in (hashed.name, "site.css"):
        with closing(Client().get(f"/static/helpcenter/{name}")) as response:
            said[name] = response["Cache-Control"]
    assert said[hashed.name] == "max-age=315360000, public, immutable"
    assert said["site.css"] == "max-age=0, public"


# What a cache that looks at the end of an address takes for a file.
ENDINGS = [".css", ".js", ".png", "/x.css", "/.css", ";x.css", "%2fx.css", "%3bx.css", "%0ax.css"]
ENDINGS += ["%3fx.css", "%23x.css", "/..%2fx.css", "%2e%2e%2fstatic%2fx.css", "-x.css", "/x.woff2"]


@pytest.mark.once
@pytest.mark.django_db
def test_no_page_answers_at_an_address_that_ends_like_a_file(client, cast):
    """Not to the admin either, who sees all: a cache would keep it for everybody."""
    client.force_login(cast["ada"])
    article = ArticleFactory()
    attachment = AttachmentFactory(article=article, name="plan.png")
    things = [article.section.category, article.section, article]
    for thing in things:
        thing.words = thing.translations.get()
    pages = [
        "/hc/en-us",
        *(thing.address("en-us") for thing in things),
        *(f"/hc/en-us/{type(thing)._meta.verbose_name_plural}/{thing.pk}" for thing in things),
        "/hc/en-us/search",
        attachment.address(),
        f"/api/v2/help_center/articles/{article.pk}",
        "/api/v2/users/me.json",
        "/api/v2/help_center/sessions",
        "/accounts/email",
        "/accounts/logout",
        "/admin",
        f"/admin/accounts/user/{cast['maria'].pk}/change",
        "/view-as",
    ]
    wrong = []
    for page in pages:
        assert client.get(page, follow=True).status_code == 200, page
        for ending in ENDINGS:
            answer = client.get(page + ending)
            # The admin adds a slash to whatever has none, to what leads nowhere too.
            is_slash_added = answer.headers.get("Location") == f"{quote(unquote(page + ending))}/"
            if answer.status_code not in (400, 404) and not is_slash_added:
                wrong.append((page + ending, answer.status_code, answer.headers.get("Location")))
    assert wrong == []


# Through nginx ------------------------------------------------------------------------------------


@pytest.fixture
def server(transactional_db):
    """host:port of the application alone. (pytest's live server serves MEDIA_ROOT beside it.)"""
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietWSGIRequestHandler)
    server.set_app(WSGIHandler())
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(server, cast, segment_of, settings, tmp_path):
    """Articles and files for everyone, for the customers of Acme, for staff and for nobody."""
    settings.API_REQUESTS_PER_MINUTE = {"token": 10**6, "address": 10**6}
    settings.MEDIA_ROOT = tmp_path
    category = CategoryFactory(title="Guides")
    section = SectionFactory(title="Basics", category=category)
    site = SimpleNamespace(server=server, cast=cast, section=section)
    acme, staff = Audience.of(segment_of["acme"]), Audience.of(segment_of["staff"])
    site.public = ArticleFactory(title="Open", section=section, audience=Audience.everyone())
    site.acme = ArticleFactory(title="Zebra plan", section=section, audience=acme)
    site.staff = ArticleFactory(title="Rota", section=section, audience=staff)
    site.nobody = ArticleFactory(title="Later", section=section)
    site.file = AttachmentFactory(article=site.acme, content=PNG, name="plan.png")
    site.page = AttachmentFactory(article=site.acme, content=HTML, name="plan.html")
    site.drawing = AttachmentFactory(article=site.acme, content=SVG, name="plan.svg")
    for thing in (category, section, site.public, site.acme, site.staff):
        thing.words = thing.translations.get()
    site.addresses = [
        "/hc/en-us",
        section.address("en-us"),
        site.acme.address("en-us"),
        site.staff.address("en-us"),
        "/hc/en-us/search?query=zebra",
        site.file.address(),
        f"/api/v2/help_center/articles/{site.acme.pk}",
        "/api/v2/help_center/en-us/articles.json",
        "/api/v2/users/me.json",
        "/accounts/email/",
        "/admin/",
    ]
    site.personas = personas(cast)
    return site


def personas(cast):
    """Name -> the headers of whoever asks."""

    def session(person):
        client = Client()
        client.force_login(person)
        cookie = client.cookies[site_settings.SESSION_COOKIE_NAME]
        return {"Cookie": f"{cookie.key}={cookie.value}"}

    token = get_token_model().objects.create(cast["maria"])[1]
    return {
        "visitor": {},
        "somebody signed in": session(cast["dan"]),
        "member": session(cast["maria"]),
        "member by token": {"Authorization": f"Bearer {token}"},
        "staff": session(cast["lena"]),
        "admin": session(cast["ada"]),
        "odd visitor": {
            "Authorization": "",
            "Cookie": "sessionid=; other=1",
            "Accept-Language": "en-us",
            "X-Forwarded-Host": "evil.example",
            "Pragma": "x",
        },
    }


@pytest.fixture
def through(site, tmp_path):
    """The address of nginx in front of the site."""
    if nginx() is None:
        message = "no nginx on this machine (apt install nginx-light)"
        if os.environ.get("PROXY_TESTS") == "required":
            pytest.fail(message)
        pytest.skip(message)
    with proxy(f"http://{site.server}", str(tmp_path)) as address:
        yield address


def ask(host, address, headers, method="GET"):
    """(status, headers in lower case, body)."""
    with closing(HTTPConnection(host, timeout=20)) as connection:
        # nginx passes on the name without the port; asked directly, the server hears the same.
        connection.request(method, address, headers={"Host": "127.0.0.1", **headers})
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return response.status, found, response.read()


def comparable(answer, mark=""):
    """An answer without what differs between two equal ones, and without the mark."""
    status, headers, body = answer
    kept = {k: v.replace(mark, "") for k, v in headers.items() if k not in VOLATILE}
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", body.decode("utf-8", "replace"))
    return status, kept, text.replace(mark, "") if mark else text


numbers = count(1)


class Comparison:
    """Asks through the cache and compares with what the same person gets without it."""

    def __init__(self, site, through):
        self.site, self.through = site, through
        self.direct = {}

    def expected(self, name, address):
        if (name, address) not in self.direct:
            found = ask(self.site.server, _marked(address, ""), self.site.personas[name])
            self.direct[name, address] = comparable(found)
        return self.direct[name, address]

    def differences(self, address, order) -> Iterator[str]:
        """Who, asking in this order, gets from an empty cache what is not theirs."""
        mark = f"{next(numbers):06}"
        for place, name in enumerate(order):
            found = ask(self.through, _marked(address, mark), self.site.personas[name])
            if comparable(found, mark) != self.expected(name, address):
                before = order[place - 1] if place else "nobody"
                yield f"{address}: {name} after {before} ({found[1].get('x-cache')})"


def _marked(address, mark):
    """The address with a parameter that nobody reads: the cache has never seen it."""
    return f"{address}{'&' if '?' in address else '?'}nth={mark}"


def first_comes(name, names):
    return [name, *(other for other in names if other != name)]


def walk(site, through, tally):
    """All differences, with each persona as the first to ask for each address."""
    comparison, found = Comparison(site, through), []
    for address in site.addresses:
        for name in site.personas:
            order = first_comes(name, site.personas)
            found += comparison.differences(address, order)
            tally["requests through a cache"] += len(order)
    return found


@pytest.mark.surface(42, 43)
@pytest.mark.browser
def test_a_cache_changes_nothing(site, through, tally):
    assert walk(site, through, tally) == []


@pytest.mark.browser
def test_each_sees_their_own_without_a_cache(site):
    """What the comparison compares with is right, and differs from person to person."""
    comparison = Comparison(site, None)
    for name in site.personas:
        status, _headers, text = comparison.expected(name, site.acme.address("en-us"))
        assert (status, "Zebra plan" in text) in {(200, True), (404, False)}
        assert (status == 200) == (name in ("member", "admin"))
    address = f"/api/v2/help_center/articles/{site.acme.pk}"
    seen = {name for name in site.personas if comparison.expected(name, address)[0] == 200}
    assert seen == {"member", "member by token", "admin"}


@pytest.mark.once
@pytest.mark.fuzz
def test_any_order(site, through, tally):
    comparison, orders = Comparison(site, through), list(permutations(site.personas))
    for _ in range(200):
        order = random.choice(orders)
        assert not [*comparison.differences(random.choice(site.addresses), order)]
        tally["orders of personas through a cache"] += 1


def replaced(monkeypatch, name, change):
    """Plant: the view of this URL as `change` makes it."""
    (pattern,) = [pattern for known, _route, pattern in walk_urls() if known == name]
    monkeypatch.setattr(pattern, "callback", change(pattern.callback))


@pytest.mark.browser
def test_a_page_that_django_keeps_is_found(site, through, monkeypatch):
    """The positive control: `cache_page` on the article."""
    comparison, order = Comparison(site, through), ["member", "visitor"]
    address = site.acme.address("en-us")
    assert not [*comparison.differences(address, order)]  # and what is theirs is known now
    replaced(monkeypatch, "article", cache_page(60))
    assert any("visitor after member" in each for each in comparison.differences(address, order))
    cache.clear()


@pytest.mark.browser
@pytest.mark.parametrize("said", [{"public": True, "max_age": 600}, {}], ids=["public", "nothing"])
def test_an_answer_that_may_be_kept_is_found(site, through, monkeypatch, said):
    """The positive control: what the view says, and a middleware that leaves it at that."""
    replaced(monkeypatch, "api:article", cache_control(**said) if said else lambda view: view)
    address, order = f"/api/v2/help_center/articles/{site.acme.pk}", ["member by token", "visitor"]
    comparison = Comparison(site, through)
    assert not [*comparison.differences(address, order)]  # the middleware overrules it
    monkeypatch.setattr(middleware, "_is_the_same_for_everybody", lambda response: True)
    found = comparison.differences(address, order)
    assert any("visitor after member by token (HIT)" in each for each in found)


# Files through nginx ------------------------------------------------------------------------------


@pytest.fixture
def sent_by_nginx(settings, tmp_path):
    """The application tells nginx to send the files."""
    from django_sendfile.utils import _get_sendfile

    settings.SENDFILE_BACKEND = "django_sendfile.backends.nginx"
    settings.SENDFILE_ROOT = str(tmp_path)
    _get_sendfile.cache_clear()
    yield
    _get_sendfile.cache_clear()


BOX = {
    "content-security-policy": "sandbox; default-src 'none'",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "same-origin",
    "cache-control": "private, no-store",
}


@pytest.mark.browser
def test_nginx_sends_files_to_those_who_may_have_them(site, through, sent_by_nginx):
    kinds = {
        site.file: ("image/png", "inline", PNG),
        site.page: ("application/octet-stream", "attachment", HTML),
        site.drawing: ("application/octet-stream", "attachment", SVG),
    }
    for attachment, (content_type, disposition, content) in kinds.items():
        for name, headers in site.personas.items():
            status, found, body = ask(through, attachment.address(), headers)
            if name not in ("member", "admin"):
                assert status == 404 and content not in body, name
                continue
            assert (status, body) == (200, content)
            assert found["content-type"] == content_type
            assert found["content-disposition"].startswith(f"{disposition};")
            assert {name: found.get(name) for name in BOX} == BOX
            assert "x-accel-redirect" not in found


CONDITIONS = [
    {"Range": "bytes=0-3"},
    {"If-None-Match": "*"},
    {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    {"If-Match": '"x"'},
    {"If-Unmodified-Since": "Mon, 01 Jan 2001 00:00:00 GMT"},
]


@pytest.mark.surface(37, 38)
@pytest.mark.browser
def test_the_permission_comes_before_conditions(site, through, sent_by_nginx):
    member, other = site.personas["member"], site.personas["somebody signed in"]
    status, found, _ = ask(through, site.file.address(), member)
    known = {"If-None-Match": found["etag"]}
    missing = site.file.address().replace(str(site.file.pk), "1")
    for headers in [*CONDITIONS, known, {"Range": "bytes=0-3", "If-Range": found["etag"]}]:
        for method in ("GET", "HEAD"):
            hidden = ask(through, site.file.address(), {**other, **headers}, method)
            gone = ask(through, missing, {**other, **headers}, method)
            assert hidden[0] == gone[0] == 404
            assert len(hidden[2].replace(str(site.file.pk).encode(), b"1")) == len(gone[2])
            assert comparable(hidden)[1] == comparable(gone)[1]
    assert ask(through, site.file.address(), {**member, **known})[0] == 304
    status, found, body = ask(through, site.file.address(), {**member, "Range": "bytes=0-3"})
    assert (status, body) == (206, PNG[:4])


@pytest.mark.surface(48)
@pytest.mark.browser
def test_a_copied_link_works_for_nobody_else(site, through, sent_by_nginx):
    link = site.file.address()
    assert ask(through, link, site.personas["member"])[0] == 200
    others = ["visitor", "somebody signed in", "staff", "odd visitor"]
    assert {ask(through, link, site.personas[name])[0] for name in others} == {404}
    site.cast["maria"].memberships.all().delete()
    assert ask(through, link, site.personas["member"])[0] == 404


@pytest.mark.surface(46)
@pytest.mark.browser
def test_nginx_serves_no_folder(site, through, sent_by_nginx):
    stored = site.file.file.name
    for prefix in ("", "media/", "attachments/", "protected/", "static/../", "protected/../"):
        for name in ("visitor", "member", "admin"):
            status, _, body = ask(through, f"/{prefix}{stored}", site.personas[name])
            assert status in (400, 404) and PNG not in body, prefix
    status, _, body = ask(
        through, f"/protected/{stored}", {"X-Accel-Redirect": f"/protected/{stored}"}
    )
    assert status == 404


@pytest.mark.browser
def test_limits_count_by_the_real_address(site, through, settings):
    """nginx says who asks; what the visitor says of it counts for nothing."""
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    settings.API_REQUESTS_PER_MINUTE = {"token": 10**6, "address": 3}
    statuses = [
        ask(through, "/api/v2/help_center/locales", {"X-Forwarded-For": f"192.0.2.{n}"})[0]
        for n in range(9)
    ]
    # Two minutes may share them.
    assert statuses.count(429) >= 3

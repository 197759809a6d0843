"""Whatever somebody sends, the answer is a clear 4xx or a page, never a 500."""

import pytest
from django.test import Client

from segments.models import Audience
from tests.factories_content import ArticleFactory, AttachmentFactory

HUGE = "9" * 400


def short(value):
    """A readable id of a test, whatever it is about."""
    text = str(value)
    return text if len(text) <= 24 else f"{text[:20]}…{len(text)}"


ID = "1234567890123456"


@pytest.fixture
def article(db):
    return ArticleFactory(title="Reset", audience=Audience.everyone())


IDS = ["0", "-1", "1", str(2**53), str(2**63 - 1), str(2**63), HUGE, "9" * 5000, "abc", "1e3"]
IDS += ["1.0", "٣", "0x1", "01", "1-", "-", "%20", "%00", "1-%00", "1%0A", "%FF", "1-%C0%80", "%2F"]
IDS += ["1;drop", "'", "%F0%9F%92%A9", "1-" + "a" * 2000, "None", "..", "1-%ED%A0%80"]


@pytest.mark.parametrize("name", IDS, ids=short)
@pytest.mark.parametrize("kind", ["categories", "sections", "articles"])
def test_ids(client, article, kind, name):
    assert client.get(f"/hc/en-us/{kind}/{name}").status_code in (400, 404)


@pytest.mark.parametrize("name", IDS, ids=short)
def test_ids_of_attachments(client, article, name):
    AttachmentFactory(article=article)
    assert client.get(f"/hc/article_attachments/{name}/file.txt").status_code in (400, 404)
    assert client.get(f"/hc/article_attachments/{ID}/{name}").status_code in (400, 404)


LOCALES = ["%00", "%FF", "a" * 300, "en-us%00", "../en-us", "<b>", "%2e%2e", "en-us.json", "*", "?"]


@pytest.mark.parametrize("locale", LOCALES, ids=short)
def test_locales(client, article, locale):
    for rest in ("", "/search", f"/articles/{article.pk}"):
        # "?" alone is the end of the path /hc/, which leads to the home page.
        assert client.get(f"/hc/{locale}{rest}").status_code in (302, 400, 404)


PAGES = ["-1", "0", "abc", "1" + "0" * 30, "9" * 5000, "1.5", "", " 1", "٣", "1\x0b", "%00", "last"]


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_pages(client, article, page):
    article.section.words = article.section.translations.get()
    for address in (article.section.address("en-us"), "/hc/en-us/search"):
        response = client.get(address, query_params={"query": "reset", "page": page})
        assert response.status_code == 404
    assert client.get("/hc/en-us/search?query=reset&page=%00").status_code == 400


QUERIES = {
    "query=%00": 400,
    "a%00=1": 400,
    "query=%FF": 400,
    "query=%C0%80": 400,
    "query=%ED%A0%80": 400,
    "query=" + "a" * 9000: 414,
    "query=" + "a" * 1_000_000: 414,
    "&".join(f"a{n}=1" for n in range(900)): 200,
    "&" * 2000: 200,
    "&" * 9000: 414,
    "query=" + "%22" * 2000: 200,
    "query=%E2%80%AE%F0%9F%92%A9": 200,
    "query=a&query=b": 200,
    "query[]=a": 200,
    "query=%25": 200,
    "%": 200,
    "=&=&&&;": 200,
}


@pytest.mark.parametrize(("query", "status"), QUERIES.items(), ids=short)
def test_queries(client, article, query, status):
    response = client.get("/hc/en-us/search", QUERY_STRING=query)
    assert response.status_code == status
    assert status == 200 or b"<h1>This address" in response.content


@pytest.mark.parametrize(
    "path",
    ["/%00", "/hc/en-us%00", "/static/%00", "/static/helpcenter/%00site.css", "/admin/%00"]
    + ["/accounts/login/%00", "/" + "a" * 9000, "/%FF", "/%C0%AE%C0%AE/", "//evil.example/", "/\\"],
    ids=short,
)
def test_paths(client, article, path):
    assert client.get(path).status_code in (301, 302, 400, 404, 414)
    assert "evil.example" not in client.get(path).headers.get("Location", "")


@pytest.mark.parametrize(
    "cookie", ['"\\000aaaaaaaaaaaa"', '"aaaaaaaa\\000"', "é" * 40, "'", "a" * 9000]
)
def test_cookies(article, cookie):
    client = Client()
    for name in ("sessionid", "csrftoken", "messages"):
        response = client.get("/hc/en-us", headers={"Cookie": f"{name}={cookie}"})
        assert response.status_code in (200, 400)
        assert (response.status_code == 400) == ("\\000" in cookie)


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept-Language": "\xff" * 50},
        {"Accept-Language": "a," * 5000},
        {"Host": "evil.example"},
        {"Host": "a b"},
        {"Range": "bytes=" + "0-1," * 1000},
        {"If-Modified-Since": "yesterday"},
        {"Content-Length": "abc"},
        {"X-Forwarded-Host": "evil.example"},
    ],
    ids=short,
)
def test_headers(client, article, headers):
    for address in ("/hc/en-us", "/accounts/login/"):
        response = client.get(address, headers=headers)
        assert response.status_code in (200, 400)
        assert b"evil.example" not in response.content


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"\xff\x00", "application/x-www-form-urlencoded"),
        (b"\xff\x00", "multipart/form-data; boundary=x"),
        (b"--x\r\n", "multipart/form-data"),
        (b"a=1&" * 21_000, "application/x-www-form-urlencoded"),
        (b"{", "application/json"),
        (b"login=%00&password=%00", "application/x-www-form-urlencoded"),
        (b"login=a@example.com&password=b&next=%00", "application/x-www-form-urlencoded"),
    ],
    ids=short,
)
def test_bodies(client, article, body, content_type):
    for address in ("/hc/en-us", "/accounts/login/", f"/hc/en-us/articles/{article.pk}"):
        response = client.post(address, body, content_type=content_type)
        assert response.status_code in (200, 302, 400, 403, 405), address


@pytest.mark.parametrize(
    "after", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:1"]
)
def test_signing_in_leads_nowhere_else(client, cast, after):
    data = {"login": "maria@example.com", "password": "correct horse battery staple", "next": after}
    response = client.post("/accounts/login/", data)
    assert "evil" not in response.headers.get("Location", "")
    assert "javascript" not in response.headers.get("Location", "")


def test_methods(client, article):
    for method in ("post", "put", "patch", "delete", "trace"):
        for address in ("/", "/hc", "/hc/en-us", f"/hc/en-us/articles/{article.pk}"):
            assert getattr(client, method)(address).status_code == 405

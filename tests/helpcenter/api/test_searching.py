"""Search through the API: what the caller may see, and nothing that tells of the rest."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from segments.models import Audience
from tests.factories_content import ArticleFactory, HelpCenterFactory, SectionFactory

API = "/api/v2/help_center"


@pytest.fixture
def section(cast):
    return SectionFactory(category__help_center=HelpCenterFactory(locales=["en-us", "fr"]))


@pytest.fixture
def found(api):
    def found(name, query, path="articles/search.json"):
        answer = api(name).get(f"{API}/{path}?{query}")
        assert answer.status_code == 200, answer.content
        return sorted(each["title"] for each in answer.json()["results"])

    return found


def test_everybody_finds_what_they_may_see(found, section, segment_of):
    public = ArticleFactory(
        title="Reset", body="Press <b>reset</b>", section=section, audience=Audience.everyone()
    )
    public.translations.create(locale="fr", title="Remise", body="reset", draft=False)
    ArticleFactory(
        title="Acme reset", section=section, audience=Audience.of(segment_of["acme"])
    ).labels.create(name="Big")
    ArticleFactory(title="Draft reset", section=section, draft=True, audience=Audience.everyone())
    assert found("visitor", "query=reset") == ["Reset"]
    assert found("maria", "query=reset") == ["Acme reset", "Reset"]
    assert found("ada", "query=reset") == ["Acme reset", "Draft reset", "Reset"]
    assert found("visitor", "query=reset&locale=fr") == ["Remise"]
    assert found("visitor", "query=reset&locale=*") == ["Remise", "Reset"]
    assert found("visitor", "query=reset&locale=xx") == ["Reset"]
    assert found("visitor", "query=reset", "fr/articles/search") == ["Remise"]
    assert found("maria", "label_names=BIG,other") == ["Acme reset"]
    assert found("dan", "label_names=BIG") == []
    assert found("maria", f"section={section.pk}") == ["Acme reset", "Reset"]
    assert found("maria", f"category={section.category_id}&query=acme") == ["Acme reset"]
    assert found("maria", "query=reset&created_before=2000-01-01") == []
    assert found("visitor", "query=reset&created_after=2000-01-01&sort_by=created_at") == ["Reset"]


def test_a_result(api, section):
    ArticleFactory(
        title="Reset",
        body="Press **reset** & <wait>",
        section=section,
        audience=Audience.everyone(),
    )
    answer = api("visitor").get(f"{API}/articles/search?query=reset").json()
    result = answer["results"][0]
    assert result["result_type"] == "article"
    assert "<em>reset</em>" in result["snippet"] and "&amp;" in result["snippet"]
    assert (answer["count"], answer["per_page"], answer["next_page"]) == (1, 25, None)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "locale=fr",
        "query=x&page=41",
        "category=x",
        "query=x&created_at=tomorrow",
        "query=x&sort_by=title",
        "query=x&article__audience=1",
        f"section={2**70}",
    ],
)
def test_refusals(api, section, query):
    answer = api("visitor").get(f"{API}/articles/search?{query}&per_page=25")
    assert answer.status_code == 400, answer.content


@pytest.mark.parametrize(
    "query", ["query=%22%27*%20OR%20NEAR(", "query=%F0%9F%98%80", "query=%20&section=1"]
)
def test_odd_queries(api, section, query):
    assert api("visitor").get(f"{API}/articles/search?{query}").json()["results"] == []


@pytest.mark.parametrize("name", ["visitor", "maria", "edda"])
def test_cost(api, section, segment_of, name):
    def queries():
        client.get(f"{API}/articles/search?query=reset")
        with CaptureQueriesContext(connection) as found:
            client.get(f"{API}/articles/search?query=reset")
        return len(found)

    def grow(count):
        for _ in range(count):
            ArticleFactory(title="Reset", section=section, audience=Audience.everyone())

    client = api(name)
    grow(2)
    small = queries()
    grow(10)
    assert queries() == small


def test_labels_in_any_case(found, section):
    article = ArticleFactory(title="Sizes", section=section, audience=Audience.everyone())
    article.labels.create(name="Größe ÉTÉ")
    for asked in ("größe été", "GRÖSSE ÉTÉ", "x, Größe été"):
        assert found("visitor", f"label_names={asked}") == ["Sizes"], asked
    assert found("visitor", "label_names=größe") == []

"""Who can see this, what can they see, and why: the API says what the rule says."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from accounts.models import User
from helpcenter.models import Article
from segments.models import Audience, Segment
from tests import worlds
from tests.factories_content import ArticleFactory, SectionFactory

API = "/api/v2"


@pytest.fixture
def article(cast, segment_of, guides):
    """An article for Acme in a section for end users of Acme or premium ones."""
    section = SectionFactory(audience=Audience.of(segment_of["acme"], segment_of["premium"]))
    return ArticleFactory(
        section=section, audience=Audience.of(segment_of["acme"]), permission_group=guides
    )


def test_who_sees_an_article(api, article):
    path = f"{API}/help_center/articles/{article.pk}/audience"
    answer = api("pia").get(path).json()
    assert {each["name"] for each in answer["users"]} == {"Maria", "Nadia"}
    assert (
        answer["audience"]
        | {
            "public": False,
            "members": {"count": 2},
            "editors": {"count": 2},
            "admins": {"count": 1},
        }
        == answer["audience"]
    )
    assert [each["audience"] for each in answer["audience"]["levels"]] == [
        "everyone",
        "everyone",
        "user_segments",
        "user_segments",
    ]
    statuses = {"visitor": 401, "maria": 403, "aki": 404, "edda": 403, "ada": 200}
    for name, status in statuses.items():
        assert api(name).get(path).status_code == status, name
    for kind, pk in (("sections", article.section_id), ("categories", article.section.category_id)):
        path = f"{API}/help_center/{kind}/{pk}/audience"
        assert api("ada").get(path).status_code == 200
        assert api("pia").get(path).status_code == 403


def test_what_somebody_sees(api, article, cast):
    path = f"{API}/users/{cast['maria'].pk}/articles_visible"
    shown = api("ada").get(path).json()["articles"]
    assert [each["id"] for each in shown] == [article.pk]
    assert api("ada").get(f"{API}/users/{cast['dan'].pk}/articles_visible").json()["articles"] == []
    assert api("aki").get(path).status_code == 404
    assert api("maria").get(path).status_code == 403
    own = f"{API}/users/{cast['pia'].pk}/articles_visible"
    assert len(api("pia").get(own).json()["articles"]) == 1


def test_explain(api, article, cast):
    path = f"{API}/access/explain"

    def explained(**body):
        return api("ada").post(path, body).json()["explanation"]

    maria = explained(user_id=cast["maria"].pk, article_id=article.pk)
    assert maria["visible"] is True and maria["chain"][-1]["id"] == article.pk
    conditions = maria["chain"][-1]["user_segments"][0]["conditions"]
    assert conditions[0]["holds"] and "Acme" in conditions[0]["words"]
    assert explained(email="dan@example.com", article_id=article.pk)["visible"] is False
    assert explained(section_id=article.section_id)["visible"] is False
    assert explained(user_id=None, article_id=article.pk)["would_change"]
    for name in ("aki", "pia", "maria"):
        assert api(name).post(path, {"article_id": article.pk}).status_code == 403
    for body, name in [
        ({}, "base"),
        ({"article_id": 5}, "article_id"),
        ({"article_id": article.pk, "user_id": 5}, "user_id"),
        ({"article_id": article.pk, "email": "nobody"}, "email"),
    ]:
        assert [*api("ada").post(path, body).json()["errors"]] == [name]


@settings(
    max_examples=8,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(world=worlds.worlds())
def test_the_counts_are_the_rules(rollback, api_of, world):
    with rollback():
        worlds.build(world)
        ada = api_of(User.objects.create_user("admin@example.com", role="admin", verified=True))
        # The admin of this test is in segments too.
        for segment in Segment.objects.all()[:4]:
            answer = ada.get(f"{API}/help_center/user_segments/{segment.pk}/users").json()
            assert answer["count"] == segment.members().count()
            people = world.members.get(segment.pk, set())
            assert (
                set(segment.members().filter(pk__in=world.people).values_list("pk", flat=True))
                == people
            )
            impact = ada.post(
                f"{API}/help_center/user_segments/{segment.pk}/impact", {"user_segment": {}}
            )
            # A stored segment with broken conditions is refused as a draft.
            if impact.status_code == 200:
                found = impact.json()["impact"]
                assert found["members_before"] == found["members_after"] == answer["count"]
                assert found["gains"]["count"] == found["loses"]["count"] == 0
        for article in Article._base_manager.all()[:4]:
            answer = ada.get(f"{API}/help_center/articles/{article.pk}/audience")
            if answer.status_code == 404:
                continue  # without a translation in any locale
            everybody = User.objects.all()
            seen = {person.pk for person in everybody if article.is_visible_to(person)}
            people = {each["id"] for each in answer.json()["users"]}
            assert people <= seen
            assert answer.json()["audience"]["members"]["count"] == len(people)

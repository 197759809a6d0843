"""Over random worlds: null means that everyone can see, and what was read changes nothing."""

from django.contrib.auth.models import AnonymousUser
from hypothesis import HealthCheck, Phase, given, settings

from accounts.models import User
from helpcenter.models import Article
from segments.models import Change
from tests import worlds

ARTICLES = "/api/v2/help_center/articles"


@settings(
    max_examples=12,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(world=worlds.worlds())
def test_null_means_everyone(rollback, api_of, tally, world):
    with rollback():
        worlds.build(world)
        ada = api_of(User.objects.create_user("admin@example.com", role="admin", verified=True))
        seen = Article.objects.visible_to(AnonymousUser())
        public = set(seen.values_list("pk", flat=True))
        for shown in ada.get(f"{ARTICLES}?per_page=100").json()["articles"]:
            published = Article._base_manager.get(pk=shown["id"]).published
            is_null = shown["user_segment_id"] is None
            assert is_null == (shown["user_segment_ids"] == [])
            # A draft says whom it is for; nobody but its editors sees it.
            assert is_null == (shown["id"] in public) or not published
            tally["flat fields: articles"] += 1


@settings(
    max_examples=5,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(world=worlds.worlds())
def test_what_was_read_changes_nothing(rollback, api_of, world):
    with rollback():
        worlds.build(world)
        ada = api_of(User.objects.create_user("admin@example.com", role="admin", verified=True))
        before = Change.objects.count()
        for shown in ada.get(f"{ARTICLES}?per_page=5").json()["articles"]:
            answer = ada.put(f"{ARTICLES}/{shown['id']}", {"article": shown})
            assert answer.status_code == 200, answer.content
            assert answer.json()["article"]["user_segment_ids"] == shown["user_segment_ids"]
        assert Change.objects.count() == before

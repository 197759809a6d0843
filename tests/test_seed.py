"""`python -m benchmarks.seed` fills an empty database, says how far it is, and spares others."""

import subprocess
import sys

from django.conf import settings
from django.db import connection

from accounts.models import User
from helpcenter.models import Article, ArticleTranslation
from helpcenter.search import search
from segments import triggers
from segments.models import Audience, Segment

SIZE = ["--segments", "10", "--articles", "60", "--people", "40"]


def seed(env):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.seed", *SIZE],
        cwd=settings.BASE_DIR,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_an_empty_database_is_filled_once(process_env):
    done = seed(process_env)
    assert done.returncode == 0, done.stderr
    for step in ("rules", "articles", "people", "words", "done"):
        assert step in done.stdout
    assert Segment.objects.filter(built_in=None).count() == 10
    assert Article._base_manager.count() == 60
    assert User.objects.count() >= 40
    assert not triggers.missing(connection)
    member = next(m for s in Segment.objects.filter(built_in=None) for m in s.members())
    seen = Article.objects.visible_to(member)
    assert 0 < seen.count() < 60
    title = ArticleTranslation._base_manager.filter(article=seen.first()).get().title
    assert search(ArticleTranslation.objects.visible_to(member), title).exists()
    # Ids that were given are known to the sequence.
    Audience.of(*Segment.objects.filter(built_in=None)[:9])
    again = seed(process_env)
    assert again.returncode != 0
    assert "people, organizations, tags, help centers already" in again.stderr
    assert Article._base_manager.count() == 60

"""What do the pages that manage segments cost? `python -m benchmarks.managing`.

1,000 segments, 100,000 articles and 1,000,000 people on PostgreSQL, whole requests, the median of a
few. Beside each: what the same request costs where there is hardly anything.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

from benchmarks.visible import table, title
from tests.postgres import PostgresUnavailable, postgres

ROUNDS = 5
USING = "default"


def main() -> None:
    """Build a small world and the large one, measure both, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--articles", type=int, default=100_000)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--postgres", type=Path, help="a folder such as /usr/lib/postgresql/15/bin")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="helpcenter-bench-") as folder:
        try:
            with postgres(arguments.postgres) as url:
                os.environ.update(DATA_DIR=folder, SECRET_KEY="benchmark", DATABASE_URL=url)
                os.environ.update(DJANGO_SETTINGS_MODULE="helpcenter.settings", DEBUG="0", DEMO="0")
                django.setup()
                run(arguments)
        except PostgresUnavailable as error:
            sys.exit(str(error))


def run(arguments: argparse.Namespace) -> None:
    """Both worlds, one after the other, in one database."""
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connections

    from benchmarks.world import Size, World

    settings.ALLOWED_HOSTS = ["testserver"]
    settings.SECURE_SSL_REDIRECT = False
    storage = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": storage}}
    call_command("migrate", verbosity=0)
    results = {}
    for name, size in {
        "small": Size(articles=100, people=100, segments=20, audiences=20, sections=10),
        "large": Size(arguments.articles, arguments.people, segments=1_000),
    }.items():
        call_command("flush", interactive=False, verbosity=0)
        with connections[USING].cursor() as cursor:
            cursor.execute("DROP TABLE IF EXISTS textbook_article_segment")
            cursor.execute("DROP TABLE IF EXISTS textbook_section_segment")
        world = World(USING, size)
        world.build(lambda step, name=name: print(f"  {name}: {step}", flush=True))
        results[name] = measure(world)
    title("Whole requests. ms in the small world and in the large one, and queries.")
    head = ["page", "small ms", "large ms", "queries small", "queries large"]
    rows = [
        [page, f"{small[0]:.0f}", f"{large[0]:.0f}", str(small[1]), str(large[1])]
        for (page, small), large in zip(
            results["small"].items(), results["large"].values(), strict=True
        )
    ]
    table(head, rows)
    connections.close_all()


def measure(world: Any) -> dict[str, tuple[float, int]]:
    """Page -> (median ms, queries)."""
    from django.test import Client

    from accounts.models import User
    from helpcenter.models import Article
    from segments.models import Segment

    admin = User.objects.create_superuser("admin@example.com", name="Admin")
    client = Client()
    client.force_login(admin)
    # The one that most audiences name, and so the most expensive one.
    busy = max(
        world.segments, key=lambda pk: sum(pk in named for named in world.audiences.values())
    )
    segment = Segment.objects.get(pk=busy)
    article = Article.objects.filter(published=True).exclude(audience__in=[1, 2]).first()
    pages = "/admin/segments/segment/"
    draft = posted(segment, world)
    # Nearly every one of these has an audience and shelves of its own, the others share one.
    mixed = bulk(Article.objects.all())
    alike = bulk(Article.objects.filter(audience=article.audience_id))
    person = User.objects.order_by("pk")[50]
    asked = {
        "list": lambda: client.get(pages),
        "list by use": lambda: client.get(pages, {"sort": "-uses"}),
        "count of one segment": lambda: client.get(f"{pages}{busy}/count/"),
        "form": lambda: client.get(f"{pages}{busy}/change/"),
        "live preview": lambda: client.post(f"{pages}{busy}/draft/", draft),
        "impact of a segment": lambda: client.post(f"{pages}{busy}/change/", draft),
        "impact of articles of one audience, for few": lambda: client.post(
            "/admin/helpcenter/article/", alike | {"audience": str(busy)}
        ),
        "impact of articles of one audience, for all": lambda: client.post(
            "/admin/helpcenter/article/", alike | {"audience": "everyone"}
        ),
        "impact of 100 mixed articles, for few": lambda: client.post(
            "/admin/helpcenter/article/", mixed | {"audience": str(busy)}
        ),
        "impact of 100 mixed articles, for all": lambda: client.post(
            "/admin/helpcenter/article/", mixed | {"audience": "everyone"}
        ),
        "who can see": lambda: client.get(f"/admin/helpcenter/article/{article.pk}/who-can-see/"),
        "what one can see": lambda: client.get(f"/admin/accounts/user/{person.pk}/can-see/"),
        "suggest organizations": lambda: client.get(
            f"{pages}suggest/",
            {"row": "c", "c-attribute": "organization", "c-add": f"org {str(world.values[0])[:5]}"},
        ),
        "suggest people": lambda: client.get(
            f"{pages}suggest/", {"row": "people-0", "people-0-add": person.email[:9]}
        ),
    }
    found = {}
    for page, ask in asked.items():
        found[page] = timed(ask)
        print(f"    {page}: {found[page][0]:.0f} ms, {found[page][1]} queries", flush=True)
    return found


def bulk(articles: Any) -> dict[str, Any]:
    """The form of the list, with a hundred of these articles chosen."""
    return {
        "action": "change_audience",
        "how": "replace",
        "_selected_action": list(articles.order_by("pk").values_list("pk", flat=True)[:100]),
    }


def posted(segment: Any, world: Any) -> dict[str, Any]:
    """The segment's form with one more value in its condition."""
    condition = segment.conditions[0]
    place = 1 if condition["attribute"] == "tag" else 0
    more = world.values[place::2][:3]
    values = [f"tag {value}" for value in more] if place else more
    return {
        "name": segment.name,
        "user_type": segment.user_type,
        "seen_version": segment.version,
        "conditions-TOTAL_FORMS": 1,
        "conditions-INITIAL_FORMS": 1,
        "conditions-0-attribute": condition["attribute"],
        "conditions-0-operator": "any",
        "conditions-0-values": [*condition["values"], *values],
        "people-TOTAL_FORMS": 0,
        "people-INITIAL_FORMS": 0,
    }


def timed(ask: Callable[[], Any]) -> tuple[float, int]:
    """(median ms, queries) of a request that must succeed."""
    from benchmarks.visible import counted

    times, queries = [], 0
    for _round in range(ROUNDS):
        with counted(USING) as sent:
            started = time.perf_counter()
            answer = ask()
            times.append((time.perf_counter() - started) * 1000)
        queries = len(sent)
        assert answer.status_code == 200, (answer.status_code, answer.content[:500])
    return statistics.median(times), queries


if __name__ == "__main__":
    main()

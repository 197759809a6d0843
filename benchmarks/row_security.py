"""What does row-level security cost? `python -m benchmarks.row_security --articles 100000`.

The same reads on PostgreSQL, first as a site without the wall and then behind it, as the role that
it binds: with `visible_to`, as pages ask, and without, as a view that forgot it would.
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
import psycopg

from benchmarks.visible import PAGE, table, viewers
from tests.postgres import PostgresUnavailable, postgres

ROUNDS = 5
WEB = "helpcenter_web"
# Functions of the search that PostgreSQL does not know to keep secrets: see the documentation.
SEARCHING = [
    "ts_match_vq(tsvector, tsquery)",
    "to_tsvector(regconfig, text)",
    "textcat(text, text)",
]
WORDS = """
INSERT INTO helpcenter_articletranslation (id, locale, title, body, outdated, created_at,
    updated_at, draft, format, html, search_title, search_text, edited_at, article_id)
SELECT id, 'en-us', 'Article', '', false, created_at, updated_at, NOT published, 'markdown', '',
    'article', CASE WHEN id % 50 = 0 THEN 'reset ' ELSE '' END ||
    (SELECT string_agg(substr(md5(id::text || n), 1, 6), ' ') FROM generate_series(1, 150) n),
    updated_at, id
FROM helpcenter_article
"""


def main() -> None:
    """Build one world, measure it twice, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--articles", type=int, default=20_000)
    parser.add_argument("--postgres", type=Path, help="a folder such as /usr/lib/postgresql/15/bin")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="helpcenter-bench-") as folder:
        try:
            with postgres(arguments.postgres) as url:
                os.environ.update(DATA_DIR=folder, SECRET_KEY="benchmark", DATABASE_URL=url)
                os.environ.update(DJANGO_SETTINGS_MODULE="helpcenter.settings", DEBUG="0", DEMO="0")
                django.setup()
                run(arguments.articles, url)
        except PostgresUnavailable as error:
            sys.exit(str(error))


def run(articles: int, url: str) -> None:
    """Without the wall, behind it, and behind it when the search is trusted."""
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection

    build(articles)
    without = measure(["page", "count", "sections", "search"])
    call_command("enable_rls", "--role", WEB)
    settings.SEGMENTS["ROW_SECURITY"] = True
    connection.close()
    connection.settings_dict["USER"] = WEB
    behind = measure(["who is looking", "page", "count", "sections", "search", "forgetful page"])
    trust_the_search(url)
    trusted = measure(["search"])
    connection.close()
    print(f"\n{articles:,} articles. ms without the wall, and how many times as long behind it.")
    show(without, behind, trusted)


def build(articles: int) -> None:
    """A migrated database with content, words included."""
    from django.core.management import call_command
    from django.db import connection

    from benchmarks.world import Size, World

    call_command("migrate", verbosity=0)
    world = World("default", Size(articles=articles, people=1_000))
    world.build(lambda step: print(f"  {step}", flush=True))
    with connection.cursor() as cursor:
        cursor.execute(WORDS)
        cursor.execute("VACUUM ANALYZE")


def trust_the_search(url: str) -> None:
    """Say, as only a superuser may, that the functions of the search tell nothing of rows."""
    superuser = url.replace("helpcenter_test@", "postgres@")
    with psycopg.connect(superuser, autocommit=True) as connection:
        for function in SEARCHING:
            connection.execute(f"ALTER FUNCTION {function} LEAKPROOF")


def measure(steps: list[str]) -> dict[tuple[str, str], float]:
    """(viewer, step) -> the median, in ms, of the step in a request of its own."""
    found = {}
    for name, user in viewers("default").items():
        for step in steps:
            times = [time_of(STEPS[step], user) for _round in range(ROUNDS)]
            found[name, step] = statistics.median(times)
            print(f"  {name}, {step}: {found[name, step]:.1f} ms", flush=True)
    return found


def time_of(step: Callable[[Any], Any], user: Any) -> float:
    """Milliseconds of one step, when the viewer and the shelves are known."""
    from helpcenter.models import Section
    from segments import snapshot
    from segments.querysets import visible_ids
    from segments.ruleset import viewer_for

    with snapshot.read_only():
        viewer_for(user)
        if step is not say:
            say(user)
            visible_ids(Section, viewer_for(user), "default")
        started = time.perf_counter()
        step(user)
        return (time.perf_counter() - started) * 1000


def say(user: Any) -> None:
    """Tell the database who is looking."""
    from segments.row_security import see_as

    see_as(user)


def page(user: Any) -> None:
    """The first articles of all."""
    list(articles().visible_to(user)[:PAGE])


def count(user: Any) -> None:
    """How many there are."""
    articles().visible_to(user).count()


def sections(user: Any) -> None:
    """All sections that are shown."""
    from helpcenter.models import Section

    list(Section.objects.visible_to(user))


def search(user: Any) -> None:
    """The first results of a search for a word that one article in fifty has."""
    from helpcenter.models import ArticleTranslation
    from helpcenter.search import search

    list(search(ArticleTranslation.objects.visible_to(user).without_text(), "reset")[:PAGE])


def forgetful_page(user: Any) -> None:
    """The first articles, by a view without `visible_to`."""
    list(articles()[:PAGE])


def articles() -> Any:
    """Published articles in order."""
    from helpcenter.models import Article

    return Article.objects.filter(published=True).order_by("position", "id")


STEPS: dict[str, Callable[[Any], Any]] = {
    "who is looking": say,
    "page": page,
    "count": count,
    "sections": sections,
    "search": search,
    "forgetful page": forgetful_page,
}


def show(without: Any, behind: Any, trusted: Any) -> None:
    """One line for each viewer."""
    head = ["viewer", "who is looking"]
    for step in ("page", "count", "sections", "search"):
        head += [f"{step} ms", "wall"]
    rows = []
    for name in viewers("default"):
        row = [name, f"+{behind[name, 'who is looking']:.1f}"]
        for step in ("page", "count", "sections", "search"):
            ratio = behind[name, step] / without[name, step]
            row += [f"{without[name, step]:.1f}", f"×{ratio:.1f}"]
        forgot = behind[name, "forgetful page"] / behind[name, "page"]
        row += [f"×{trusted[name, 'search'] / without[name, 'search']:.1f}", f"×{forgot:.1f}"]
        rows.append(row)
    table([*head, "trusted", "forgetful page"], rows)


if __name__ == "__main__":
    main()

"""Fill an empty database of your own with a large help center: `python -m benchmarks.seed`.

1,000 segments, 100,000 articles and 1,000,000 people, in the database of DATABASE_URL or DATA_DIR,
to look at every page at that size. It takes a minute or two, and refuses a database that holds
anything already.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import django

# So many rows are written between two words about it.
STEP = 100_000
BODY = "A few words, the same in every article."


def main() -> None:
    """Migrate, look whether it is empty, fill it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"segments": 1_000, "articles": 100_000, "people": 1_000_000}.items():
        parser.add_argument(f"--{name}", type=_at_least_ten, default=default)
    arguments = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "helpcenter.settings")
    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    if present := what_is_there():
        sys.exit(f"Nothing was written: the database holds {present} already.")
    started = time.monotonic()
    build(
        arguments, lambda words: print(f"{time.monotonic() - started:6.0f} s  {words}", flush=True)
    )
    print("To look at it: manage.py createsuperuser, then manage.py runserver.")


def _at_least_ten(text: str) -> int:
    number = int(text)
    if number < 10:
        raise argparse.ArgumentTypeError("at least 10")
    return number


def what_is_there() -> str:
    """The kinds of rows that somebody has written already; empty for a new database."""
    from accounts.models import Organization, Tag, User
    from helpcenter.models import HelpCenter
    from segments.models import Segment

    own = [Segment.objects.filter(built_in=None)]
    own += [model._base_manager.all() for model in (User, Organization, Tag, HelpCenter)]
    return ", ".join(str(rows.model._meta.verbose_name_plural) for rows in own if rows.exists())


def build(arguments: argparse.Namespace, say: Callable[[str], None]) -> None:
    """The world of the benchmarks, with words to read and without the textbook's tables."""
    from django.db import connections

    from benchmarks.world import Size, World
    from helpcenter import models, search

    class Seed(World):
        def steps(self) -> list[Callable[[], None]]:
            return [self.rules, self.shelves, self.articles, self.people, self.words]

        def words(self) -> None:
            """A title for everything, so that it can be told apart, found and opened."""
            kinds: dict[str, tuple[Any, list[int]]] = {
                "category": (models.CategoryTranslation, self.categories),
                "section": (models.SectionTranslation, self.sections),
            }
            for name, (model, ids) in kinds.items():
                columns = ["id", "locale", "title", "body", "created_at", "updated_at"]
                rows = (
                    (pk, "en-us", f"{name.title()} {number}", "", self.now, self.now, pk)
                    for number, pk in enumerate(ids, 1)
                )
                self._insert(model, rows, [*columns, f"{name}_id"])
            columns = ["id", "article_id", "draft", "locale", "title", "body", "format", "html"]
            columns += ["search_title", "search_text", "created_at", "updated_at"]
            self._insert(models.ArticleTranslation, self._article_words(), columns)
            if connections[self.using].vendor == "sqlite":
                with connections[self.using].cursor() as cursor:
                    cursor.execute(search.CATCH_UP)

        def _article_words(self) -> Iterator[tuple[Any, ...]]:
            for number, (pk, _section, _audience, _position, published) in enumerate(
                self.article_rows, 1
            ):
                words = models.ArticleTranslation(title=f"Article {number}", body=BODY)
                words.derive()
                texts = (words.title, BODY, words.format, words.html)
                found = (words.search_title, words.search_text)
                yield (pk, pk, not published, "en-us", *texts, *found, self.now, self.now)

        def _insert(self, model: Any, rows: Iterable[tuple[Any, ...]], columns: list[str]) -> None:
            super()._insert(model, self._counted(model, rows), columns)

        def _counted(self, model: Any, rows: Iterable[Any]) -> Iterator[Any]:
            for number, row in enumerate(rows, 1):
                yield row
                if number % STEP == 0:
                    say(f"  {number:,} {model._meta.verbose_name_plural}")

    audiences = arguments.segments * 4
    size = Size(arguments.articles, arguments.people, arguments.segments, audiences)
    Seed("default", size).build(say)


if __name__ == "__main__":
    main()

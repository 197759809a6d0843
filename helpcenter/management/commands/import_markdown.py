"""`manage.py import_markdown DIR --locale en-us [--restrict FILE]`: see docs/importing.md."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from helpcenter.importing import EVERYONE, ImportRefused, Report, import_markdown
from helpcenter.restrictions import NOBODY, VALUES
from segments import snapshot

# How many of a list are printed without -v 2.
SHOWN = 20
KINDS = ("categories", "sections", "articles", "files")
OUTCOMES = ("created", "updated", "unchanged")


class Command(BaseCommand):
    """Prints what became of the folder, or every reason why nothing did."""

    help = "Imports a folder of Markdown files: category/section/article.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path, metavar="DIR", help="the folder of categories")
        parser.add_argument("--locale", required=True, help="the language of the folder: en-us")
        parser.add_argument(
            "--audience",
            action="append",
            metavar="NAME",
            help=f"who sees what is new: {EVERYONE} (the default), {NOBODY}, "
            "or the name of a segment, once for each",
        )
        parser.add_argument(
            "--restrict",
            type=Path,
            metavar="FILE",
            help=f"a YAML file: path or pattern: {VALUES}",
        )
        parser.add_argument(
            "--host",
            action="append",
            default=[],
            metavar="HOST",
            help="where the articles were until now: links to them there lead here (repeatable)",
        )
        parser.add_argument(
            "--allow-wider",
            action="store_true",
            help="also move and publish where more people will see an article than before",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be done, and change nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        started = time.monotonic()
        try:
            report = import_markdown(
                options["folder"],
                options["locale"],
                audience=options["audience"] or [EVERYONE],
                restrict=options["restrict"],
                hosts=options["host"],
                allow_wider=options["allow_wider"],
                dry_run=options["dry_run"],
                progress=self.show_progress,
            )
        except ImportRefused as error:
            raise CommandError("\n".join(["Nothing was changed.", *error.problems])) from error
        except OSError as error:
            raise CommandError(f"Nothing was changed: {error}") from error
        except OperationalError as error:
            if not snapshot.is_conflict(error):
                raise
            words = "Nothing was changed: the database was busy each time. Try again."
            raise CommandError(words) from error
        if options["verbosity"]:
            self.show(report, options, time.monotonic() - started)

    def show_progress(self, what: str, done: int, total: int) -> None:
        """One line that counts, on a terminal only."""
        if self.stderr.isatty() and (done % 10 == 0 or done == total):
            end = "\n" if done == total else "\r"
            self.stderr.write(f"{what} {done}/{total}", self.style.NOTICE, ending=end)

    def show(self, report: Report, options: dict[str, Any], seconds: float) -> None:
        """The lists, and the numbers last, where they stay on the screen."""
        shown = None if options["verbosity"] > 1 else SHOWN
        self.show_list("Skipped", report.skipped, shown)
        self.show_list("Links that lead nowhere", report.dead_links, shown)
        self.show_list(
            "In the help center but not in the folder, left alone", report.missing, shown
        )
        self.show_list("Replaced by the folder's words", report.replaced, shown)
        # Never cut short: somebody has to look at each.
        self.show_list("Who sees more", report.widened, None)
        if report.created_help_center:
            names = ", ".join(options["audience"] or [EVERYONE])
            self.stdout.write(f"The help center “{report.help_center}” is new, for {names}.")
        for kind in KINDS:
            numbers = [f"{report.counts[kind, each]} {each}" for each in OUTCOMES]
            self.stdout.write(f"{kind}: {', '.join(numbers)}")
        done = "Nothing was changed: a dry run" if options["dry_run"] else "Done"
        self.stdout.write(self.style.SUCCESS(f"{done} ({seconds:.1f} s)."))

    def show_list(self, title: str, items: Iterable[object], at_most: int | None) -> None:
        """The first of the items, and how many more there are; nothing when there are none."""
        lines = [*map(str, items)]
        if not lines:
            return
        self.stdout.write(f"{title} ({len(lines)}):")
        for line in lines[:at_most]:
            self.stdout.write(f"  {line}")
        if at_most and len(lines) > at_most:
            self.stdout.write(f"  and {len(lines) - at_most} more (-v 2 shows all)")

"""Does the time of an answer tell what is hidden from what is not there? `make bench-timing`.

Every page and every operation of the API that takes an id is asked for something hidden and for
nothing, in turns, by somebody who may see neither. A figure is the probability that the answer for
the hidden one took longer (the area under the curve of Mann and Whitney): 0.50 tells nothing,
0.00 and 1.00 tell everything. A view that looks first and refuses then stands beside them.
"""

import argparse
import logging
import os
import random
import sys
import tempfile
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import django

from benchmarks.visible import table, title

TOLERANCE = 0.02
ARTICLE = "/hc/en-us/articles/{}"


def main() -> None:
    """Build a help center, ask, print; fails when an address tells something."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=5_000)
    parser.add_argument("--only", default="", help="addresses that contain this")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="helpcenter-bench-") as folder:
        os.environ.update(DATA_DIR=folder, SECRET_KEY="benchmark", DEBUG="0", DEMO="0")
        os.environ["DJANGO_SETTINGS_MODULE"] = "helpcenter.settings"
        Path(folder, "static").mkdir()  # WhiteNoise misses it
        django.setup()
        sys.exit(run(arguments.pairs, arguments.only))


def run(pairs: int, only: str) -> int:
    """How many addresses tell something, 1 more if the view that does tell is not found out."""
    from django.db import connection

    client, templates = build()
    asked = {each: pk for each, pk in templates.items() if only in each}
    figures = {}
    for place, (template, pk) in enumerate(asked.items(), 1):
        figures[template] = measure(client, template, pk, pairs)
        print(f"  {place}/{len(asked)}  {figures[template]:.3f}  {template}", flush=True)
    with looking_first():
        telling = measure(client, ARTICLE, templates[ARTICLE], pairs)
    told = [template for template, figure in figures.items() if abs(figure - 0.5) > TOLERANCE]
    title(
        f"{connection.vendor}: {pairs:,} pairs at each of {len(asked)} addresses. How probably the"
        f" answer for the hidden one took longer:"
    )
    table(
        ["", "addresses", "lowest", "highest", "beyond"],
        [
            ["ours", str(len(asked)), f"{min(figures.values()):.3f}"]
            + [f"{max(figures.values()):.3f}", str(len(told))],
            ["looks first", "1", f"{telling:.3f}", f"{telling:.3f}", "1"],
        ],
    )
    return len(told) + (abs(telling - 0.5) <= TOLERANCE)


def build() -> tuple[Any, dict[str, int]]:
    """(somebody who may not see what is hidden, address -> the id of something hidden)."""
    from django.conf import settings
    from django.core.management import call_command

    settings.ALLOWED_HOSTS = ["testserver"]
    settings.SECURE_SSL_REDIRECT = False
    settings.API_REQUESTS_PER_MINUTE = dict.fromkeys(settings.API_REQUESTS_PER_MINUTE, 10**9)
    storage = "django.contrib.staticfiles.storage.StaticFilesStorage"
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": storage}}
    call_command("migrate", verbosity=0)

    # Denials are written as on a site, for it takes time, but not among what is printed here.
    for handler in logging.getLogger("segments.access").handlers:
        handler.setStream(Path(os.devnull).open("w"))  # noqa: SIM115  as long as the process

    from segments.models import Segment
    from tests import exits
    from tests.factories_people import PersonFactory

    staff = Segment.objects.get(built_in="staff")
    hidden = exits.hide_something(exits.show_something({"editors": staff, "publishers": staff}))
    return exits.signed_in(PersonFactory()), exits.reading_by_id(hidden)


def measure(client: Any, template: str, pk: int, pairs: int) -> float:
    """The probability that the answer for the hidden id took longer than that for a missing one."""
    from tests.exits import missing

    addresses = {True: template.format(pk), False: template.format(missing(pk))}
    times: dict[bool, list[float]] = {True: [], False: []}
    for address in addresses.values():
        client.get(address)  # what is found once only, is found
    for _pair in range(pairs):
        first = random.random() < 0.5  # noqa: S311
        for which in (first, not first):
            started = time.perf_counter()
            client.get(addresses[which])
            times[which].append(time.perf_counter() - started)
    return longer(times[True], times[False])


def longer(some: list[float], others: list[float]) -> float:
    """How probably one of some is above one of the others; of two equal ones either half is."""
    ranked = sorted(others)
    below = sum(bisect_left(ranked, each) + bisect_right(ranked, each) for each in some)
    return below / (2 * len(some) * len(others))


@contextmanager
def looking_first() -> Any:
    """The page of an article as one writes it who reads it first and asks then who may see it."""
    from django.http import Http404

    from helpcenter import views
    from helpcenter.models import Article

    ours: Callable[..., Any] = views._find

    def look(manager: Any, site: Any, locale: str, name: str) -> Any:
        thing = Article.objects.filter(pk=name).first()
        if thing is None:
            raise Http404
        return ours(manager, site, locale, name)

    with mock.patch.object(views, "_find", look):
        yield


if __name__ == "__main__":
    main()

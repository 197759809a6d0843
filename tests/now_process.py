"""A second web process for test_now.py: answers real requests, one JSON line in, one out.

`{"address": …, "session": …, "words": […]}` → `{"status": …, "found": […]}`: which of the words
the page contains. With `"seconds"` and `"threads"` it asks for all of the `"addresses"` again and
again and answers how often it saw which status, and a word.

Its arguments are ways to break it, and to slow it down: tests that fail for no broken build prove
nothing.
"""

import json
import sys
import threading
import time
from collections import Counter
from wsgiref.util import setup_testing_defaults

# What is written while nobody may see it.
SECRET = "quicksilver"


def wait_for_the_secret():
    """Let as much time pass as a reader needs who wants to see it: 100 ms at most."""
    from helpcenter.models import ArticleTranslation

    end = time.monotonic() + 0.1
    there = ArticleTranslation._base_manager.filter(title__contains=SECRET)
    while time.monotonic() < end and not there.exists():
        time.sleep(0.001)


def never_look_at_the_token_again():
    """A build that compiles the rules once and trusts them for ever."""
    from segments import ruleset

    really, known = ruleset.current_ruleset, {}

    def current_ruleset(using):
        if using not in known:
            known[using] = really(using)
        return known[using]

    ruleset.current_ruleset = current_ruleset


def remember_people():
    """A build that reads each person once, as caches with a lifetime do."""
    from segments import ruleset

    really, known = ruleset.read_person, {}

    def read_person(pk, using):
        if pk not in known:
            known[pk] = really(pk, using)
        return known[pk]

    ruleset.read_person = read_person


def forget_the_snapshot():
    """A build in which every statement sees what is committed by then."""
    from django.conf import settings

    name = "segments.snapshot.SnapshotMiddleware"
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if each != name]


def decide_slowly():
    """Not a fault: between decision and content the worst happens."""
    from helpcenter.models import ArticleTranslation
    from segments import querysets

    really = querysets.admitted

    def admitted(model, *args, **options):
        decision = really(model, *args, **options)
        if model is ArticleTranslation:
            wait_for_the_secret()
        return decision

    querysets.admitted = admitted


def decide_twice():
    """A build that asks whether an article may be seen and then, in a second step, reads it."""
    from helpcenter import views

    really = views._find

    def find(manager, site, locale, name):
        thing = really(manager, site, locale, name)
        wait_for_the_secret()
        thing.words = thing.translations.get(pk=thing.words.pk)
        return thing

    views._find = find


FAULTS = {
    "stale-rules": never_look_at_the_token_again,
    "stale-people": remember_people,
    "no-snapshot": forget_the_snapshot,
    "slow": decide_slowly,
    "two-steps": decide_twice,
}


def get(application, address, session):
    """The status and all text of the answer, made by the whole stack of middleware."""
    path, _, query = address.partition("?")
    environ = {"PATH_INFO": path, "QUERY_STRING": query, "HTTP_HOST": "localhost"}
    if session:
        environ["HTTP_COOKIE"] = f"sessionid={session}"
    setup_testing_defaults(environ)
    head = []
    answer = application(environ, lambda status, headers, *rest: head.extend([status, headers]))
    try:
        text = b"".join(answer).decode()
    finally:
        answer.close()
    # The headers too: a redirect names the title in its address.
    return int(head[0].split()[0]), f"{head[1]}{text}"


def ask(application, order):
    """One request."""
    status, text = get(application, order["address"], order["session"])
    return {"status": status, "found": [word for word in order["words"] if word in text]}


def ask_often(application, order):
    """Requests from several threads at once, until the time is over or a word is seen."""
    seen, end = Counter(), time.monotonic() + order["seconds"]

    def reader(first):
        number = first
        while time.monotonic() < end and not seen["found"]:
            address = order["addresses"][number % len(order["addresses"])]
            status, text = get(application, address, order["session"])
            seen[str(status)] += 1
            seen["found"] += any(word in text for word in order["words"])
            number += 1

    threads = [threading.Thread(target=reader, args=[each]) for each in range(order["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def main(faults):
    from django.core.wsgi import get_wsgi_application

    application = get_wsgi_application()
    if "no-snapshot" in faults:
        forget_the_snapshot()
        application = get_wsgi_application()
    for fault in set(faults) - {"no-snapshot"}:
        FAULTS[fault]()
    # The first request imports everything.
    get(application, "/hc", "")
    for line in sys.stdin:
        order = json.loads(line)
        answer = (ask_often if "seconds" in order else ask)(application, order)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""What several tests of the plugin need: a second connection, compiled rules that do not stay."""

import threading

import pytest
from django.db import connections

from segments import ruleset


@pytest.fixture(autouse=True)
def fresh_rules():
    """Rules compiled in a transaction that is rolled back are of no use to the next test."""
    ruleset._compiled.clear()
    yield
    ruleset._compiled.clear()


@pytest.fixture
def elsewhere(transactional_db):
    """elsewhere(function) runs it in a thread, on a connection of its own, to its end."""

    def run(function, *args):
        outcome = {}

        def work():
            try:
                outcome["result"] = function(*args)
            except BaseException as error:
                outcome["error"] = error
            finally:
                connections.close_all()

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(30)
        if "error" in outcome:
            raise outcome["error"]
        return outcome["result"]

    return run


def tags_any(*names):
    """The conditions "has at least one of these tags"."""
    return [{"attribute": "tag", "operator": "any", "values": list(names)}]

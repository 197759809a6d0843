"""What every test has: the parts of the suite, Hypothesis profiles, counts, second processes."""

import os
import random
import shutil
from collections import Counter
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from whitenoise.middleware import WhiteNoiseMiddleware

from tests.committing_client import CommittingClient
from tests.web_server import Web

# `make test` is the same every time; `make fuzz` looks for what it has not seen.
for profile, options in {
    "test": {"max_examples": 100, "derandomize": True},
    "fuzz": {"max_examples": 1000},
}.items():
    hypothesis_settings.register_profile(
        profile,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
        **options,
    )
hypothesis_settings.load_profile("test")

TALLY = pytest.StashKey[Counter]()

# Tests that ask the database nothing but what others ask of both: `make test` asks them of one, so
# that it takes less than ten minutes, and --everything (as in CI) of all. PostgreSQL, which takes
# longer for the same, is left less, and the browser's tests follow when it has finished.
# Of test_now.py that is not quite so: SQLite's workers are asked by CI and `make fuzz` alone.
LEFT_TO = {
    "tests/accounts/test_domains.py": "sqlite",
    "tests/accounts/test_enumeration.py": "postgresql",
    "tests/accounts/test_revocation.py": "sqlite",
    "tests/accounts/test_self_service.py": "postgresql",
    "tests/accounts/test_sign_in.py": "postgresql",
    "tests/helpcenter/api/": "postgresql",
    "tests/helpcenter/test_admin_alone.py": "sqlite",
    "tests/helpcenter/test_asking_first.py": "sqlite",
    "tests/helpcenter/test_attachments.py": "postgresql",
    "tests/helpcenter/test_audience_admin.py": "sqlite",
    "tests/helpcenter/test_bad_input.py": "postgresql",
    "tests/helpcenter/test_browser_policy.py": "sqlite",
    "tests/helpcenter/test_care_admin.py": "sqlite",
    "tests/helpcenter/test_counts.py": "sqlite",
    "tests/helpcenter/test_crowd.py": "sqlite",
    "tests/helpcenter/test_demo.py": "postgresql",
    "tests/helpcenter/test_denials.py": "postgresql",
    "tests/helpcenter/test_effects.py": "sqlite",
    "tests/helpcenter/test_files.py": "postgresql",
    "tests/helpcenter/test_history_pages.py": "sqlite",
    "tests/helpcenter/test_import_markdown.py": "sqlite",
    "tests/helpcenter/test_inspection.py": "sqlite",
    "tests/helpcenter/test_markdown_tree.py": "sqlite",
    "tests/helpcenter/test_pages.py": "sqlite",
    "tests/helpcenter/test_place_admin.py": "sqlite",
    "tests/helpcenter/test_rendering.py": "sqlite",
    "tests/helpcenter/test_roles.py": "sqlite",
    "tests/helpcenter/test_rule.py::test_a_planted_bug_is_found": "sqlite",
    "tests/helpcenter/test_surfaces.py": "sqlite",
    "tests/helpcenter/test_viewing.py": "sqlite",
    "tests/segments/test_admin.py": "sqlite",
    "tests/segments/test_choosing.py": "sqlite",
    "tests/segments/test_conditions.py": "sqlite",
    "tests/segments/test_crowd.py": "sqlite",
    "tests/segments/test_effects.py": "sqlite",
    "tests/segments/test_explain.py": "sqlite",
    "tests/segments/test_forms.py": "sqlite",
    "tests/segments/test_impact.py": "sqlite",
    "tests/segments/test_managing_pages.py": "sqlite",
    "tests/segments/test_models.py": "sqlite",
    "tests/segments/test_person_changes.py": "sqlite",
    "tests/segments/test_phrases.py": "sqlite",
    "tests/segments/test_protection.py": "sqlite",
    "tests/segments/test_recollection.py": "sqlite",
    "tests/segments/test_rules_alone.py": "sqlite",
    "tests/segments/test_segment_admin.py": "sqlite",
    "tests/segments/test_segment_form.py": "sqlite",
    "tests/segments/test_segment_list.py": "sqlite",
    "tests/segments/test_views.py": "sqlite",
    "tests/segments/test_wording.py": "sqlite",
    "tests/test_call_sites.py": "sqlite",
    "tests/test_now.py": "postgresql",
    "tests/test_otherproject.py": "sqlite",
    "tests/test_security_documents.py": "sqlite",
    "tests/test_words.py": "sqlite",
}


def pytest_addoption(parser):
    parser.addoption(
        "--part",
        choices=["all", "plain", "browser", "fuzz"],
        default="all",
        help="all (but fuzz), all without browser tests, only browser tests, only fuzz tests",
    )
    parser.addoption(
        "--fuzz-seconds",
        type=float,
        default=0,
        help="how long the fuzz tests with `budget` may take together; with 0 they are left out",
    )
    parser.addoption(
        "--everything",
        action="store_true",
        help="also the tests that `make test` leaves to another database",
    )


def pytest_configure(config):
    config.stash[TALLY] = Counter()
    settings.DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings.STATIC_ROOT.mkdir()  # whitenoise warns when it is missing
    if config.option.part == "fuzz":
        hypothesis_settings.load_profile("fuzz")


def pytest_unconfigure():
    shutil.rmtree(settings.DATA_DIR, ignore_errors=True)


def left_to(item):
    """The database that the test is left to: for most tests the one of this run."""
    for place, vendor in LEFT_TO.items():
        if item.nodeid.startswith(place):
            return vendor
    return connection.vendor


def pytest_ignore_collect(collection_path, config):
    """Importing every file takes ten seconds, and few have a test for a browser."""
    if config.option.part == "browser" and collection_path.suffix == ".py":
        names_one = "browser" in collection_path.parts or "browser" in collection_path.read_text()
        return None if names_one else True
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Leave out the other parts; browser tests come last, as an event loop runs after the first."""

    def part_of(item):
        # Not by its keywords: the name of the folder that holds the project is among them.
        return next((p for p in ("fuzz", "browser") if item.get_closest_marker(p)), "plain")

    def is_wanted(item):
        if item.get_closest_marker("once") and connection.vendor != "sqlite":
            return False
        if left_to(item) != connection.vendor and not config.option.everything:
            return False
        has_budget = "budget" in item.fixturenames
        return part_of(item) in wanted and (not has_budget or config.option.fuzz_seconds > 0)

    wanted = {"all": {"plain", "browser"}}.get(config.option.part, {config.option.part})
    config.hook.pytest_deselected(items=[item for item in items if not is_wanted(item)])
    items[:] = [item for item in items if is_wanted(item)]
    items.sort(key=lambda item: part_of(item) == "browser")


@pytest.fixture(scope="session", autouse=True)
def static_files_found_once():
    """Each test client builds the middleware, and WhiteNoise looks for 200 files every time."""
    found = WhiteNoiseMiddleware().files
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            WhiteNoiseMiddleware, "add_files_from_finders", lambda self: self.files.update(found)
        )
        yield


@pytest.fixture(scope="session")
def tally(request):
    """A Counter of what the tests compared, printed at the end of the run: tally["pairs"] += 1."""
    return request.config.stash[TALLY]


@pytest.fixture(scope="session")
def share():
    """Of what the two databases do together in `make test`, the part that this one takes.

    PostgreSQL needs three times as long for the same, and gets a third as much to do.
    """
    return 0.25 if connection.vendor == "postgresql" else 0.75


@pytest.fixture
def budget(request):
    """How many seconds a test of `make fuzz` may take: its share of --fuzz-seconds."""
    users = [item for item in request.session.items if "budget" in item.fixturenames]
    return request.config.option.fuzz_seconds / len(users)


@pytest.fixture
def chance(request):
    """A random.Random: the same in every `make test`, from the printed seed in `make fuzz`."""
    return random.Random(request.config.getoption("--hypothesis-seed") or 0)


def pytest_terminal_summary(terminalreporter, config):
    for name, number in config.stash[TALLY].items():
        terminalreporter.write_line(f"tally: {name}: {number}")


@pytest.fixture
def process_env(transactional_db):
    """The environment for another process that works on the tests' database and files."""
    return environment()


@pytest.fixture(scope="session")
def running_web(django_db_setup, django_db_blocker):
    """One site (tests/web_server.py) for all tests; whatever it remembers is from before each."""
    with django_db_blocker.unblock():
        started = Web(environment())
    yield started
    started.stop()


@pytest.fixture
def web(running_web, transactional_db):
    """The running site on an empty database."""
    return running_web


def environment():
    """The same, for what lives longer than a test."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        url = f"sqlite:///{name}"
    else:
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    return os.environ | {"DATABASE_URL": url, "TEST_DATA_DIR": str(settings.DATA_DIR)}


@pytest.fixture
def client():
    """A browser without a session."""
    return CommittingClient()


# The cast: who they are, in one sentence each.
CAST = {
    "visitor": "has not signed in",
    "dan": "signed in, and nothing more is known of him",
    "maria": "is a customer of Acme",
    "omar": "is a customer of Globex, which is tagged premium",
    "nadia": "belongs to Acme and to Globex",
    "claire": "is a customer who speaks French",
    "ines": "was in everything, and is inactive now",
    "lena": "is a light agent",
    "aki": "is an agent in the group Returns, and belongs to Globex",
    "edda": "is an agent who may edit the articles of the group Guides",
    "pia": "is an agent who may publish the articles of the group Guides",
    "ada": "is an admin",
}


@pytest.fixture
def cast(db):
    """Name -> person, for everybody in CAST; the visitor is an AnonymousUser."""
    from django.contrib.auth.models import AnonymousUser

    from tests.factories_people import OrganizationFactory, PersonFactory

    OrganizationFactory(name="Globex", tags=["premium"])
    attributes = {
        "dan": {},
        "maria": {"organizations": ["Acme"]},
        "omar": {"organizations": ["Globex"]},
        "nadia": {"organizations": ["Acme", "Globex"]},
        "claire": {"language": "fr"},
        "ines": {
            "organizations": ["Acme", "Globex"],
            "tags": ["premium"],
            "language": "fr",
            "is_active": False,
        },
        "lena": {"role": "light_agent"},
        "aki": {"role": "agent", "groups": ["Returns"], "organizations": ["Globex"]},
        "edda": {"role": "agent", "groups": ["Editors"]},
        "pia": {"role": "agent", "groups": ["Publishers"]},
        "ada": {"role": "admin"},
    }
    people = {
        name: PersonFactory(email=f"{name}@example.com", name=name.title(), verified=True, **values)
        for name, values in attributes.items()
    }
    return {"visitor": AnonymousUser(), **people}


@pytest.fixture
def segment_of(cast):
    """Name -> segment, one for each way of choosing people that the tests use."""
    from accounts.models import AgentGroup, Organization
    from segments.models import Segment

    def segment(name, attribute, operator, *values, user_type="signed_in_users"):
        condition = {"attribute": attribute, "operator": operator, "values": list(values)}
        return Segment.objects.create(name=name, user_type=user_type, conditions=[condition])

    def group(name):
        return AgentGroup.objects.get(name=name).pk

    acme = Organization.objects.get(name="Acme").pk
    return {
        "signed in": Segment.objects.get(built_in="signed_in_users"),
        "staff": Segment.objects.get(built_in="staff"),
        "acme": segment("Customers of Acme", "organization", "any", acme, user_type="end_users"),
        "premium": segment("Premium", "tag", "any", "premium"),
        "french": segment("French", "language", "any", "fr"),
        "returns": segment("Returns team", "group", "any", group("Returns"), user_type="staff"),
        "full staff": segment("Full staff", "role", "none", "light_agent", user_type="staff"),
        "editors": segment("Editors", "group", "any", group("Editors"), user_type="staff"),
        "publishers": segment("Publishers", "group", "any", group("Publishers"), user_type="staff"),
    }

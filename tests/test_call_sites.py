"""Every place that keeps somebody out is missed by a test when it is gone (call_sites.py)."""

import pytest
from django.db import connection

from tests import call_sites

one_engine = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="the mutants are the same on every database"
)


def hunt(*arguments):
    """(exit status, number of the killed, the survivors)"""
    status, killed, _alive, names = call_sites.hunt_apart("tests.call_sites", *arguments)
    return status, killed, names


@one_engine
def test_every_call_site_is_missed_when_it_is_gone(tally):
    status, killed, alive = hunt()
    tally["call-site mutants: killed"] += killed
    assert (status, alive) == (0, [])
    assert killed == len(call_sites.sites()) - len(call_sites.named()[1])


@one_engine
def test_a_mutant_that_nobody_misses_is_found():
    """The positive control: tests that ask no view miss nothing of a view."""
    (name,) = [site.name for site in call_sites.sites() if site.path == "segments/views.py"]
    assert hunt("--only", name, "tests/test_harness.py") == (1, 0, [name])


def test_what_is_written_down_is_there():
    known = {site.name for site in call_sites.sites()}
    killed, alive = call_sites.named()
    assert len(known) == len(call_sites.sites())
    gone = {*killed, *alive} - known
    assert not gone, "They are not there any more: run `make mutants`, which forgets them."
    assert not killed.keys() & alive.keys()
    assert all(len(proof.split()) >= 8 for proof in alive.values())


SOURCE = """
class Endpoint:
    permission_classes = [MayCall]
    filter_backends = [VisibleToViewerFilter, Other]
    allowed = {"list": staff, "retrieve": anybody}
    place = ForeignKey(Place, on_delete=models.PROTECT)

    def get(self):
        refuse_unless(self.mine and self.open)
        refuse_unless(permissions.may_edit(self.user, thing))
        if self.has_change_permission(request) and thing.is_visible_to(user):
            return [Article.objects.visible_to(user).filter(pk=pk) for _ in rows.visible_to(user)]
"""


def test_places_are_found_by_their_form():
    found = [site.name.partition("::")[2] for site in call_sites.sites_of("x.py", SOURCE)]
    assert sorted(found) == [
        "Endpoint.get::has_change_permission#0",
        "Endpoint.get::is_visible_to#0",
        "Endpoint.get::may_edit#0",
        "Endpoint.get::refuse_unless#0",
        "Endpoint.get::visible_to#0",
        "Endpoint.get::visible_to#1",
        "Endpoint::MayCall#0",
        "Endpoint::VisibleToViewerFilter#0",
        "Endpoint::allowed staff#0",
        "Endpoint::on_delete#0",
    ]


def test_no_template_asks_by_itself():
    """A filter in a template would be a place that is not looked at."""
    folders = [
        call_sites.ROOT / name for name in ("templates", "segments", "accounts", "helpcenter")
    ]
    templates = [path for folder in folders for path in folder.rglob("*.html")]
    assert len(templates) > 30
    assert not [path for path in templates if "visible_to" in path.read_text()]

"""The system checks: one project for each mistake, and the message that it gets."""

import pytest
from django.apps import apps
from django.conf import settings as project
from django.core.management import CommandError, call_command
from django.db import models
from django.db.models import Q
from django.http import HttpResponse
from django.test.utils import isolate_apps
from django.urls import include, path

from segments import checks, triggers
from segments.models import Audience, InheritsAudience, Restricted
from segments.querysets import RestrictedQuerySet

SESSION = "django.contrib.sessions.middleware.SessionMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


def ids(messages):
    assert all(isinstance(message.msg, str) for message in messages)
    return [message.id for message in messages]


def with_segments(settings, **changes):
    settings.SEGMENTS = {**project.SEGMENTS, **changes}


def test_the_help_center_passes():
    for check in (checks.check_settings, checks.check_middleware, checks.check_models):
        assert check(None) == []
    assert checks.check_urls(None) == []


@pytest.mark.parametrize(
    ("changes", "expected", "words"),
    [
        ({"ATRIBUTES": {}}, ["segments.E001"], "ATRIBUTES"),
        ({"STAFF": Q()}, ["segments.E002"], "STAFF"),
        ({"ADMIN": None}, ["segments.E002"], "ADMIN"),
        ({"ACTIVE": {"is_active": True}}, ["segments.E002"], "ACTIVE"),
        (
            {"ATTRIBUTES": {"plan": ["company__plan"]}},
            ["segments.E003", "segments.E004"],
            "company",
        ),
        (
            {"ATTRIBUTES": {"role": ["role__name"]}},
            ["segments.E003", "segments.E004"],
            "role__name",
        ),
        ({"END_USER_ATTRIBUTES": ["plan"]}, ["segments.E004"], "plan"),
    ],
)
def test_settings(settings, changes, expected, words):
    with_segments(settings, **changes)
    found = checks.check_settings(None)
    assert ids(found) == expected
    assert words in found[0].msg


def test_a_project_without_settings_is_told_nothing_wrong(settings):
    del settings.SEGMENTS
    assert {*ids(checks.check_settings(None))} <= {"segments.E002", "segments.E003"}
    assert checks.check_urls(None) == []


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([SESSION, checks.SNAPSHOT, AUTHENTICATION], []),
        ([SESSION, "other", checks.SNAPSHOT, "another", AUTHENTICATION], []),
        ([SESSION, AUTHENTICATION], ["segments.W001"]),
        ([], ["segments.W001"]),
        ([checks.SNAPSHOT, SESSION, AUTHENTICATION], ["segments.E005"]),
        ([SESSION, AUTHENTICATION, checks.SNAPSHOT], ["segments.E005"]),
    ],
)
def test_middleware(settings, order, expected):
    settings.MIDDLEWARE = order
    assert ids(checks.check_middleware(None)) == expected


def messages_for(model):
    return [message for message in checks._check_model(model) if message.obj is model]


@isolate_apps("tests")
def test_models_e006_a_manager_without_visible_to():
    class Plain(Restricted):
        objects = models.Manager()

        class Meta:
            app_label = "tests"

    assert ids(messages_for(Plain)) == ["segments.E006"]


@pytest.mark.parametrize("parents", [["folder"], ["name"], ["other"]])
@isolate_apps("tests")
def test_models_e007_a_parent_that_is_none(parents):
    class Report(Restricted):
        audience_parents = parents
        name = models.CharField(max_length=10)
        # A foreign key, but not to anything restricted.
        other = models.ForeignKey(Audience, on_delete=models.CASCADE)

        class Meta:
            app_label = "tests"

    assert ids(messages_for(Report)) == ["segments.E007"]
    assert repr(parents[0]) in messages_for(Report)[0].msg


@isolate_apps("tests")
def test_models_e021_neither_an_audience_nor_parents():
    class Note(InheritsAudience):
        class Meta:
            app_label = "tests"

    assert ids(messages_for(Note)) == ["segments.E021"]


@pytest.mark.parametrize(
    "lookup", ["audience", "name", "folder__name", "folder__edit__key", "x__y"]
)
@isolate_apps("tests")
def test_models_e008_editors_who_are_no_audience(lookup):
    class Folder(Restricted):
        name = models.CharField(max_length=10)
        edit = models.ForeignKey(Audience, on_delete=models.PROTECT)

        class Meta:
            app_label = "tests"

    class Report(Restricted):
        audience_editors = [lookup]
        name = models.CharField(max_length=10)
        folder = models.ForeignKey(Folder, on_delete=models.CASCADE)

        class Meta:
            app_label = "tests"

    assert ids(messages_for(Report)) == ["segments.E008"]
    Report.audience_editors = ["folder__edit"]
    assert messages_for(Report) == []


@isolate_apps("tests")
def test_models_e009_published_by_a_field_that_is_none():
    class Report(Restricted):
        audience_published = {"draft": False}

        class Meta:
            app_label = "tests"

    assert ids(messages_for(Report)) == ["segments.E009"]


@isolate_apps("tests")
def test_models_e010_parents_in_a_circle():
    class Folder(Restricted):
        audience_parents = ["report"]
        report = models.ForeignKey("Report", on_delete=models.CASCADE)

        class Meta:
            app_label = "tests"

    class Report(Restricted):
        audience_parents = ["folder"]
        folder = models.ForeignKey(Folder, on_delete=models.CASCADE)

        class Meta:
            app_label = "tests"

    assert ids(messages_for(Folder)) == ids(messages_for(Report)) == ["segments.E010"]


@isolate_apps("tests")
def test_a_sound_model_passes():
    class Folder(Restricted):
        audience_parents = ["parent"]
        parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE)

        class Meta:
            app_label = "tests"

    class Note(InheritsAudience):
        audience_parents = ["folder"]
        folder = models.ForeignKey(Folder, on_delete=models.CASCADE)
        objects = RestrictedQuerySet.as_manager()

        class Meta:
            app_label = "tests"

    assert messages_for(Folder) == messages_for(Note) == []


def test_every_restricted_model_of_the_project_is_looked_at(monkeypatch):
    asked = []
    monkeypatch.setattr(checks, "_check_model", lambda model: asked.append(model) or [])
    checks.check_models(None)
    assert set(asked) == {m for m in apps.get_models() if issubclass(m, InheritsAudience)}
    assert len(asked) >= 8


@pytest.mark.django_db
def test_e011_triggers_that_are_missing(monkeypatch):
    assert checks.check_triggers(["default"]) == []
    assert checks.check_triggers(None) == []
    monkeypatch.setattr(triggers, "missing", lambda connection: ["accounts_tag"])
    (error,) = checks.check_triggers(["default"])
    assert error.id == "segments.E011" and "accounts_tag" in error.msg


def page(request):
    return HttpResponse()


inner = ([path("list", page, name="list"), path("nameless/<int:pk>", page)], "inner")
urlpatterns = [path("", page, name="home"), path("in/", include(inner))]
CLASSES = {"home": "public", "inner:list": "filtered", "inner:in/nameless/<int:pk>": "staff"}


@pytest.mark.parametrize(
    ("classes", "expected", "words"),
    [
        (None, [], ""),
        (CLASSES, [], ""),
        ({"home": "public", "inner:*": "filtered"}, [], ""),
        ({**CLASSES, "inner:*": "staff"}, [], ""),
        ({**CLASSES, "home": "open"}, ["segments.E012"], "open"),
        ({k: v for k, v in CLASSES.items() if k != "home"}, ["segments.E013"], "home"),
        ({"home": "public", "inner:list": "staff"}, ["segments.E013"], "nameless"),
        (
            {"home": "public", "i*": "staff", "inner:*": "filtered"},
            ["segments.E014"] * 2,
            "several",
        ),
        ({**CLASSES, "gone": "public"}, ["segments.E015"], "gone"),
        ({}, ["segments.E013"] * 3, "not classified"),
    ],
)
def test_urls(settings, classes, expected, words):
    settings.ROOT_URLCONF = __name__
    with_segments(settings, URLS=classes)
    found = checks.check_urls(None)
    assert ids(found) == expected
    assert all(words in message.msg for message in found)


def test_an_unclassified_url_stops_the_command(settings, monkeypatch):
    from helpcenter import urls

    monkeypatch.setattr(urls, "urlpatterns", [*urls.urlpatterns, path("new", page, name="new")])
    from django.urls import clear_url_caches

    clear_url_caches()
    try:
        with pytest.raises(CommandError, match="'new' is not classified"):
            call_command("check")
    finally:
        monkeypatch.undo()
        clear_url_caches()

"""The classes of the admin ask by themselves: a project may have a site that does not ask first."""

import pytest
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404

from helpcenter.models import ArchivedArticle, Article, PermissionGroup
from segments.models import Segment


@pytest.fixture
def asked_by(rf, cast):
    """asked_by("lena"): a request of hers."""

    def asked_by(name):
        request = rf.get("/")
        request.user = cast[name]
        return request

    return asked_by


def class_of(model):
    return admin.site._registry[model]


@pytest.mark.parametrize("name", ["dan", "lena", "pia"])
def test_segments(asked_by, segment_of, name):
    request, pages, acme = asked_by(name), class_of(Segment), str(segment_of["acme"].pk)
    for ask in (
        lambda: pages.changelist_view(request),
        lambda: pages.suggest_view(request),
        lambda: pages.count_view(request, acme),
        lambda: pages.changeform_view(request),
        lambda: pages.changeform_view(request, acme),
        lambda: pages.history_view(request, acme),
    ):
        with pytest.raises(PermissionDenied):
            ask()
    assert not pages.has_change_permission(request, segment_of["acme"])


@pytest.mark.parametrize("model", [PermissionGroup, ArchivedArticle])
def test_what_only_admins_change(asked_by, model):
    for name, may in {"pia": False, "ada": True}.items():
        assert class_of(model).has_change_permission(asked_by(name)) is may
        assert class_of(model).has_delete_permission(asked_by(name)) is may


def test_articles(asked_by):
    for name, may in {"lena": False, "edda": False, "ada": True}.items():
        assert class_of(Article).has_view_permission(asked_by(name)) is may
        assert class_of(Article).has_change_permission(asked_by(name)) is may


def test_the_history_of_what_is_missing_is_refused_first(asked_by):
    with pytest.raises(PermissionDenied):
        class_of(PermissionGroup).history_view(asked_by("pia"), "12345")
    with pytest.raises(Http404):
        class_of(Segment).history_view(asked_by("ada"), "12345")

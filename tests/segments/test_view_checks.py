"""The system checks of views, serializers, filters and the admin: a planted leak, and its message.

"The help center passes" is in tests/test_exits.py: `manage.py check` runs them all.
"""

import django_filters
import pytest
from django.conf import settings as project
from django.contrib import admin
from django.urls import clear_url_caches, path
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import serializers
from rest_framework.filters import OrderingFilter
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.views import APIView
from rest_framework.viewsets import ModelViewSet

from helpcenter.models import Article, ArticleTranslation, Attachment, Label, Vote
from segments import view_checks
from segments.admin import RestrictedAdmin, VisibleChoices
from segments.rest_framework import VisibleToViewerField, VisibleToViewerFilter

pytestmark = pytest.mark.once
FILTER = [VisibleToViewerFilter]


class Plain(serializers.Serializer):
    title = serializers.CharField()


class Open(Plain):
    article = serializers.PrimaryKeyRelatedField(queryset=Article.objects.all())


class Nested(Plain):
    votes = Open(many=True)


class Several(Plain):
    articles = serializers.SlugRelatedField("pk", queryset=Article.objects.all(), many=True)


class Closed(Plain):
    article = VisibleToViewerField(queryset=Article.objects.all())
    articles = VisibleToViewerField(queryset=Article.objects.all(), many=True)
    author = serializers.PrimaryKeyRelatedField(read_only=True)


class ByEverything(django_filters.FilterSet):
    class Meta:
        model = Label
        fields = "__all__"


class ByAllButOne(django_filters.FilterSet):
    class Meta:
        model = Label
        exclude = ["created_at"]


class ByName(django_filters.FilterSet):
    class Meta:
        model = Label
        fields = ["name"]


class ByAnyArticle(django_filters.FilterSet):
    article = django_filters.ModelChoiceFilter(queryset=Article.objects.all())


class ByVisibleArticle(django_filters.FilterSet):
    article = django_filters.ModelChoiceFilter(
        queryset=lambda request: Article.objects.visible_to(request.user)
    )


urlpatterns = []


@pytest.fixture
def found(settings, monkeypatch):
    """A view class, and what it is given -> the ids of the messages about them."""
    settings.ROOT_URLCONF = __name__

    def ids(view, url_class="filtered", action="list", **attributes):
        attributes = {"queryset": Article.objects.all(), "serializer_class": Plain} | attributes
        callback = type("Planted", (view,), attributes).as_view(
            **({"actions": {"get": action}} if issubclass(view, ModelViewSet) else {})
        )
        clear_url_caches()
        monkeypatch.setattr(f"{__name__}.urlpatterns", [path("planted", callback, name="planted")])
        settings.SEGMENTS = {**project.SEGMENTS, "URLS": url_class and {"planted": url_class}}
        messages = view_checks.check_rest_views(None)
        assert all("Planted" in message.msg and message.hint for message in messages)
        assert all(message.obj.__name__ == "Planted" for message in messages)
        return [message.id for message in messages]

    yield ids
    clear_url_caches()


@pytest.mark.parametrize("view", [ListAPIView, ModelViewSet])
def test_a_view_filters_by_viewer_or_says_who_sees_it(found, view):
    assert found(view, filter_backends=[]) == ["segments.E016"]
    assert found(view, filter_backends=[], who_sees="staff") == []
    assert found(view, filter_backends=FILTER) == []
    assert found(view, filter_backends=FILTER, serializer_class=None) == []


@pytest.mark.parametrize("url_class", ["public", "staff", "signed-in", None])
def test_what_is_of_another_class_is_not_asked_for_the_filter(found, url_class):
    assert found(ListAPIView, url_class, filter_backends=[]) == []


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, ["segments.E017"]),
        ({"filterset_fields": "__all__"}, ["segments.E017"]),
        ({"filterset_class": ByEverything}, ["segments.E017"]),
        ({"filterset_class": ByAllButOne}, ["segments.E017"]),
        ({"filterset_class": ByName}, []),
        ({"filterset_class": ByAnyArticle}, ["segments.E019"]),
        ({"filterset_class": ByVisibleArticle}, []),
        ({"filterset_fields": ["promoted"]}, []),
        ({"filterset_fields": ()}, []),
    ],
)
def test_filters_are_listed(found, attributes, expected):
    backends = [*FILTER, DjangoFilterBackend]
    assert found(ListAPIView, filter_backends=backends, **attributes) == expected


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, ["segments.E018"]),
        ({"ordering_fields": "__all__"}, ["segments.E018"]),
        ({"ordering_fields": ["position"]}, []),
        ({"ordering_fields": ["position"], "queryset": "unordered"}, ["segments.E018"]),
    ],
)
def test_orders_are_listed_and_lists_have_one(found, attributes, expected):
    if "queryset" in attributes:
        attributes = {**attributes, "queryset": ArticleTranslation.objects.all()}
    backends = [*FILTER, OrderingFilter]
    assert found(ListAPIView, filter_backends=backends, **attributes) == expected


@pytest.mark.parametrize(
    ("view", "action", "expected"),
    [
        (ListAPIView, None, ["segments.E018"]),
        (RetrieveAPIView, None, []),
        (ModelViewSet, "list", ["segments.E018"]),
        (ModelViewSet, "retrieve", []),
    ],
)
def test_what_lists_nothing_needs_no_order(found, view, action, expected):
    unordered = {"filter_backends": FILTER, "queryset": ArticleTranslation.objects.all()}
    assert found(view, action=action, **unordered) == expected


@pytest.mark.parametrize(
    ("serializer", "where"),
    [(Open, "article"), (Nested, "votes.article"), (Several, "articles")],
)
def test_relations_accept_only_what_the_viewer_may_see(found, serializer, where):
    given = {"filter_backends": FILTER, "serializer_class": serializer}
    assert found(ListAPIView, **given) == ["segments.E019"]
    assert [*view_checks._open_relations(serializer())] == [(where, Article)]


def test_what_has_no_fields_and_no_filters_is_still_looked_at(found):
    """A plain view and a serializer of its own making: nothing to name, and nothing that breaks."""
    raw = type("Raw", (serializers.BaseSerializer,), {})
    assert found(ListAPIView, filter_backends=FILTER, serializer_class=raw) == []
    assert found(APIView) == ["segments.E016"]


def test_the_field_of_the_plugin_is_accepted(found):
    assert found(ListAPIView, filter_backends=FILTER, serializer_class=Closed) == []


def messages_of(kind, model, **attributes):
    planted = type("Planted", (kind,), attributes)(model, admin.site)
    found = list(view_checks._check_model_admin(planted))
    assert all(message.id == "segments.E020" and message.hint for message in found)
    assert all(message.obj.__name__ == "Planted" for message in found)
    return [message.msg for message in found]


class Files(admin.TabularInline):
    model = Attachment


class Votes(admin.TabularInline):
    model = Vote
    fk_name = "comment"


class VotesForAdmins(Votes):
    who_sees = "admins"


class AnyFilter(admin.SimpleListFilter):
    pass


class VisibleVotes(VisibleChoices, Votes):
    pass


def test_the_admin_lists_only_what_the_viewer_may_see():
    messages = messages_of(admin.ModelAdmin, Label, inlines=[Files])
    assert any("'Attachment'" in each for each in messages)
    assert any("'Article'" in each for each in messages_of(admin.ModelAdmin, Article))
    assert messages_of(RestrictedAdmin, Article) == []
    assert messages_of(admin.ModelAdmin, Article, who_sees="admins") == []


def test_the_admin_offers_only_what_the_viewer_may_see():
    (message,) = messages_of(admin.ModelAdmin, Label, list_filter=["articles"])
    assert "'articles'" in message
    by_article = ("articles", admin.RelatedOnlyFieldListFilter)
    (message,) = messages_of(admin.ModelAdmin, Label, list_filter=[by_article, AnyFilter])
    assert "'articles'" in message
    (message,) = messages_of(RestrictedAdmin, Article, inlines=[Votes])
    assert "'comment'" in message
    assert messages_of(RestrictedAdmin, Article, inlines=[VotesForAdmins]) == []
    assert messages_of(RestrictedAdmin, Article, inlines=[VisibleVotes]) == []
    assert messages_of(admin.ModelAdmin, Label) == []


def test_every_admin_is_looked_at(settings, monkeypatch):
    monkeypatch.setattr(view_checks, "_check_model_admin", lambda each: [each.model.__name__])
    assert {"Article", "User", "Viewing"} <= {*view_checks.check_admin(None)}
    settings.SEGMENTS = {**project.SEGMENTS, "URLS": None}
    assert view_checks.check_admin(None) == []

"""Class-based views and REST framework: lists and details, and hidden answers as missing."""

import pytest
from django.http import HttpResponse
from django.urls import include, path
from django.views.generic import DeleteView, DetailView, ListView, UpdateView
from rest_framework import serializers, viewsets
from rest_framework.permissions import AllowAny
from rest_framework.routers import SimpleRouter

from helpcenter.models import Article
from segments.models import Audience
from segments.rest_framework import VisibleToViewerFilter
from segments.views import VisibleToViewerMixin
from tests.factories_content import ArticleFactory
from tests.factories_people import PersonFactory

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


class Plain:
    """The words of a page without a template."""

    model = Article
    fields = ["position"]
    success_url = "/done"

    def render_to_response(self, context, **kwargs):
        found = context.get("object_list", [context.get("object")])
        return HttpResponse(" ".join(sorted(map(str, found))))


class ArticleList(VisibleToViewerMixin, Plain, ListView):
    pass


class ArticleDetail(VisibleToViewerMixin, Plain, DetailView):
    pass


class ArticleUpdate(VisibleToViewerMixin, Plain, UpdateView):
    pass


class ArticleDelete(VisibleToViewerMixin, Plain, DeleteView):
    pass


class Words(serializers.ModelSerializer):
    class Meta:
        model = Article
        fields = ["id", "position"]


class Articles(viewsets.ModelViewSet):
    queryset = Article.objects.order_by("pk")
    serializer_class = Words
    filter_backends = [VisibleToViewerFilter]
    permission_classes = [AllowAny]


router = SimpleRouter()
router.register("api", Articles)
urlpatterns = [
    path("list", ArticleList.as_view()),
    path("detail/<int:pk>", ArticleDetail.as_view()),
    path("update/<int:pk>", ArticleUpdate.as_view()),
    path("delete/<int:pk>", ArticleDelete.as_view()),
    path("", include(router.urls)),
    # The page that says 404 has links into the site.
    path("", include("helpcenter.urls")),
]


@pytest.fixture
def articles():
    return {
        "open": ArticleFactory(title="open", audience=Audience.everyone()),
        "hidden": ArticleFactory(title="hidden"),
    }


def test_lists(client, articles):
    assert client.get("/list").content == b"open"
    assert [each["id"] for each in client.get("/api/").json()] == [articles["open"].pk]
    client.force_login(PersonFactory(role="admin"))
    assert client.get("/list").content == b"hidden open"
    assert len(client.get("/api/").json()) == 2


@pytest.mark.parametrize("page", ["/detail/{}", "/update/{}", "/delete/{}", "/api/{}/"])
@pytest.mark.parametrize("method", ["get", "head", "options", "post", "put", "patch", "delete"])
def test_hidden_objects_answer_as_missing(client, articles, page, method):
    client.raise_request_exception = False

    def answer(pk):
        response = getattr(client, method)(page.format(pk))
        body = response.content.decode().replace(str(pk), "ID")
        # Each request counts towards the caller's limit.
        headers = dict(response.headers) | {"X-Rate-Limit-Remaining": ""}
        return response.status_code, sorted(headers.items()), body

    assert client.get(page.format(articles["open"].pk)).status_code == 200
    hidden, missing = articles["hidden"].pk, articles["hidden"].pk + 1
    assert len(str(hidden)) == len(str(missing))
    assert answer(hidden) == answer(missing)
    assert answer(hidden)[0] in (404, 405) or method == "options"
    assert Article.objects.filter(pk=hidden).exists()


def test_what_is_visible_can_be_changed(client, articles):
    """The control for the test above: its requests would have done something."""
    pk = articles["open"].pk
    change = {"data": {"position": 3}, "content_type": "application/json"}
    assert client.patch(f"/api/{pk}/", **change).status_code == 200
    assert client.post(f"/update/{pk}", {"position": 4}).status_code == 302
    assert Article.objects.get(pk=pk).position == 4
    assert client.delete(f"/api/{pk}/").status_code == 204
    assert not Article.objects.filter(pk=pk).exists()


@pytest.mark.parametrize("pk", ["0", "-1", "9" * 30, "x", "1e3"])
def test_numbers_that_are_none_are_missing(client, articles, pk):
    client.raise_request_exception = False
    assert client.get(f"/api/{pk}/").status_code == 404
    assert client.get(f"/detail/{pk}").status_code == 404

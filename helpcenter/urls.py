"""The addresses of the site. Those under /hc are Zendesk's, so that old links keep working."""

from allauth.account.decorators import secure_admin_login
from django.conf import settings
from django.contrib import admin
from django.urls import include, path, register_converter
from django.views import defaults

from . import viewing, views
from .api.documentation import BrowsableView, SchemaView
from .api.errors import or_unavailable, page_or_json, unavailable_page


class PublicId:
    """A number that fits the database's 64 bits; anything else is no address."""

    regex = "0|[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if number >= 2**63:
            raise ValueError("too large for an id")
        return number

    def to_url(self, value: int) -> str:
        return str(value)


register_converter(PublicId, "id")
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", views.start, name="start"),
    path("hc", views.to_home, name="hc"),
    path("hc/", views.to_home, name="hc_slash"),
    path("hc/article_attachments/<id:pk>/<str:name>", views.attachment, name="attachment"),
    path("hc/<str:locale>", views.home, name="home"),
    path("hc/<str:locale>/", views.home, name="home_slash"),
    path("hc/<str:locale>/categories/<str:name>", views.category, name="category"),
    path("hc/<str:locale>/sections/<str:name>", views.section, name="section"),
    path("hc/<str:locale>/articles/<str:name>", views.article, name="article"),
    path("hc/<str:locale>/search", views.search, name="search"),
    path("view-as/", viewing.choose, name="view_as"),
    path("view-as/stop", viewing.stop, name="view_as_stop"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/v2/", include("helpcenter.api.urls")),
    path("api/schema", SchemaView.as_view(), name="api-schema"),
    path("api/docs", BrowsableView.as_view(), name="api-docs"),
]

# Below /api/ refusals are JSON too.
handler400 = page_or_json(400, "BadRequest", "The request cannot be read", defaults.bad_request)
handler403 = page_or_json(403, "Forbidden", "Forbidden", defaults.permission_denied)
handler404 = page_or_json(404, "InvalidEndpoint", "Not found", defaults.page_not_found)
handler500 = or_unavailable(
    page_or_json(500, "InternalError", "Something is wrong here", defaults.server_error)
)
# What segments.snapshot answers while the database cannot.
handler503 = page_or_json(503, "ServiceUnavailable", "Try again in a moment.", unavailable_page)

if settings.DEMO:
    from .demo import sign_in

    urlpatterns.append(path("demo/sign-in", sign_in, name="demo_sign_in"))

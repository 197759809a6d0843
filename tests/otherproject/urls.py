"""The addresses of the other project."""

from django.contrib import admin
from django.urls import include, path
from library import views
from rest_framework.routers import SimpleRouter

router = SimpleRouter()
router.register("reports", views.ReportViewSet)

urlpatterns = [
    path("", views.Home.as_view()),
    path("reports/", views.ReportList.as_view()),
    path("reports/<int:pk>/", views.ReportDetail.as_view()),
    path("api/", include(router.urls)),
    path("admin/", admin.site.urls),
]

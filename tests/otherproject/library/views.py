"""Pages and an API that show each visitor what they may see."""

from django.views.generic import DetailView, ListView, TemplateView
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from segments.rest_framework import VisibleToViewerFilter
from segments.views import VisibleToViewerMixin

from .models import Report


# [readme:views]
class ReportList(VisibleToViewerMixin, ListView):
    model = Report


class ReportDetail(VisibleToViewerMixin, DetailView):  # hidden -> 404, as if it were missing
    model = Report


# [/readme]


class ReportSerializer(ModelSerializer):
    class Meta:
        model = Report
        fields = ["id", "title"]


# [readme:api]
class ReportViewSet(ReadOnlyModelViewSet):
    queryset = Report.objects.order_by("id")
    serializer_class = ReportSerializer
    filter_backends = [VisibleToViewerFilter]  # list and detail


# [/readme]


class Home(TemplateView):
    """Leaves it to the template to leave out what is hidden."""

    template_name = "library/home.html"
    extra_context = {"reports": Report.objects.all()}

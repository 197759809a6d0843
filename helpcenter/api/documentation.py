"""Where the schema is served: as JSON or YAML, and as a page to look at."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.utils.decorators import method_decorator
from django.utils.translation import get_language
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page
from django.views.decorators.vary import vary_on_headers
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.permissions import AllowAny


class CachedGenerator(SchemaGenerator):
    """The schema, which is the same for everybody, generated once for each language."""

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        return _generate(get_language())


@lru_cache(maxsize=16)
def _generate(language: str) -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


# A cache may keep the answer, in each language, and asks each time whether it still holds.
the_same_for_everybody = [
    conditional_page,
    cache_control(public=True, no_cache=True),
    vary_on_headers("Accept", "Accept-Language", "Cookie"),
]


@method_decorator(the_same_for_everybody, name="dispatch")
class SchemaView(SpectacularAPIView):
    """The schema as JSON, or YAML for those who ask for it. The same for everybody."""

    permission_classes = [AllowAny]
    authentication_classes = []
    renderer_classes = [OpenApiJsonRenderer2, OpenApiYamlRenderer2]
    generator_class = CachedGenerator

    def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """The schema in the language of the request."""
        return self._get_schema_response(request)

    def _get_version_parameter(self, request: Any) -> None:
        # It would become a part of a header, whatever it is.
        return None


@method_decorator(the_same_for_everybody, name="dispatch")
class BrowsableView(SpectacularSwaggerSplitView):
    """The schema as a page, from files of this site only: it works offline."""

    permission_classes = [AllowAny]
    authentication_classes = []
    template_name = "api/browse.html"
    url_name = "api-schema"

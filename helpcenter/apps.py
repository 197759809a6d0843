"""The content app, which is the project's package too."""

import logging
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.admin import apps as admin
from django.core.checks import CheckMessage, Error, register
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy

logger = logging.getLogger("helpcenter")


@register(deploy=True)
def check_demo(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The demo lets anybody be anybody, so it is never deployed."""
    if not settings.DEMO:
        return []
    return [Error("DEMO is on: every visitor can sign in as anybody.", id="helpcenter.E001")]


class AdminSiteConfig(admin.AdminConfig):
    """Django's admin, with the site of this project."""

    default = False
    default_site = "helpcenter.admin_site.HelpCenterAdminSite"


class HelpCenterConfig(AppConfig):
    """Categories, sections, articles and the pages that show them."""

    default = True
    name = "helpcenter"
    verbose_name = gettext_lazy("Help center")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from segments import policies
        from segments.triggers import providers

        from . import builtin, publishing, revocation, row_security, search

        compile_translations()
        for provider in (publishing.triggers, revocation.triggers, search.triggers):
            if provider not in providers:
                providers.append(provider)
        if row_security.conditions not in policies.providers:
            policies.providers.append(row_security.conditions)
        post_migrate.connect(
            builtin.restore_after_migrate, sender=self, dispatch_uid="helpcenter.restore"
        )


def compile_translations() -> None:
    """Make the translations ready; where their folder is read-only the site speaks English."""
    from segments.catalogs import compile_stale

    for name in ("segments", "accounts", "helpcenter"):
        try:
            compile_stale(Path(apps.get_app_config(name).path) / "locale")
        except OSError as error:
            logger.warning("The interface stays untranslated: %s", error)

"""The content app, which is the project's package too."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class HelpCenterConfig(AppConfig):
    """Categories, sections, articles and the pages that show them."""

    name = "helpcenter"
    verbose_name = "Help center"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from segments.triggers import providers

        from . import builtin, publishing, search

        for provider in (publishing.triggers, search.triggers):
            if provider not in providers:
                providers.append(provider)
        post_migrate.connect(
            builtin.restore_after_migrate, sender=self, dispatch_uid="helpcenter.restore"
        )

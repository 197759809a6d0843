"""Connects the plugin: built-in rows and triggers after migrations, protection of named values."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import m2m_changed, post_migrate, pre_delete, pre_migrate, pre_save
from django.utils.translation import gettext_lazy


class SegmentsConfig(AppConfig):
    """User segments, audiences and visibility."""

    name = "segments"
    verbose_name = gettext_lazy("User segments")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # The checks register themselves.
        from . import checks, history, protection, row_security_checks, triggers, view_checks  # noqa: F401

        triggers.providers.append(history.history_triggers)
        pre_migrate.connect(make_way, dispatch_uid="segments.make_way")
        post_migrate.connect(restore, dispatch_uid="segments.restore")
        pre_delete.connect(protection.refuse_deletion, dispatch_uid="segments.refuse_deletion")
        pre_save.connect(protection.refuse_renaming, dispatch_uid="segments.refuse_renaming")
        m2m_changed.connect(
            protection.refuse_other_segments,
            sender=apps.get_model("segments", "AudienceSegment"),
            dispatch_uid="segments.refuse_other_segments",
        )


def make_way(using: str, plan: Any = (), **kwargs: Any) -> None:
    """Drop what is in the way of migrations; `restore` puts it back afterwards.

    SQLite cannot rebuild a table that the triggers of other tables name, and row-level security
    would hide rows from a migration.
    """
    from django.db import connections

    from . import policies, triggers

    if plan and connections[using].vendor == "sqlite":
        triggers.uninstall(connections[using])
    if plan and policies.is_installed(connections[using]):
        policies.make_way(connections[using])


def restore(app_config: AppConfig, using: str, plan: Any = (), **kwargs: Any) -> None:
    """Put back what the plugin needs: flushing a database removes rows, SQLite drops triggers."""
    from django.db import connections

    from . import builtin, policies, triggers

    # The signal is sent once for each app that has models; only the last one finds every table.
    if app_config is not [c for c in apps.get_app_configs() if c.models_module][-1]:
        return
    if "segments_token" in connections[using].introspection.table_names():
        builtin.restore_rows(using)
        triggers.install(connections[using])
        if policies.is_installed(connections[using]):
            policies.install(connections[using])
            for role in policies.web_roles(connections[using]):
                policies.grant(connections[using], role)

"""Whoever is erased leaves no name behind: not in the admin's log either."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.utils.translation import gettext

from .models import User


@receiver(post_delete, sender=User, dispatch_uid="accounts.forget_name")
def forget_name(instance: User, using: str, **kwargs: Any) -> None:
    """Take the name of a deleted person out of what others are logged to have done to them."""
    about = ContentType.objects.db_manager(using).get_for_model(User)
    # The primary key is gone from nothing else: Django keeps it on the instance for us.
    entries = LogEntry.objects.using(using).filter(content_type=about, object_id=str(instance.pk))
    entries.update(object_repr=gettext("erased person"), change_message="")

"""A library: who people are beyond `auth.User`, and content that not everybody may see."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

from segments.models import InheritsAudience, Restricted


class Tag(models.Model):
    """A word on people and companies."""

    name = models.CharField(max_length=50, unique=True)

    def __str__(self) -> str:
        return self.name


class Company(models.Model):
    """A customer, with the plan that it pays for."""

    name = models.CharField(max_length=100)
    plan = models.CharField(max_length=10, choices=[("free", "Free"), ("team", "Team")])
    tags = models.ManyToManyField(Tag, blank=True)

    def __str__(self) -> str:
        return self.name


class Region(models.Model):
    """A part of the world, with a primary key that is no number."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Profile(models.Model):
    """What `auth.User` does not know of a person."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    company = models.ForeignKey(Company, null=True, blank=True, on_delete=models.SET_NULL)
    region = models.ForeignKey(Region, null=True, blank=True, on_delete=models.SET_NULL)
    tags = models.ManyToManyField(Tag, blank=True)
    is_beta_tester = models.BooleanField(default=False)

    def __str__(self) -> str:
        return str(self.user)


# [readme:models]
class Folder(Restricted):
    audience_parents = ["parent"]  # folders lie in folders

    name = models.CharField(max_length=100)
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return self.name


class Report(Restricted):
    audience_parents = ["folder"]  # a hidden folder hides its reports

    title = models.CharField(max_length=100)
    folder = models.ForeignKey(Folder, on_delete=models.CASCADE, related_name="reports")

    def __str__(self) -> str:
        return self.title


class Note(InheritsAudience):  # no audience of its own: seen by whoever sees the report
    audience_parents = ["report"]

    text = models.TextField()
    report = models.ForeignKey(Report, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return self.text


# [/readme]


class Box(Restricted):
    """Keys of content need not be numbers either."""

    audience_parents = ["outer"]
    audience_depth = 2

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    outer = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return f"Box {self.id}"


class Letter(InheritsAudience):
    """Lies in a box, or on the table for all to see."""

    audience_parents = ["box"]

    text = models.TextField()
    box = models.ForeignKey(Box, null=True, blank=True, on_delete=models.CASCADE)

    def __str__(self) -> str:
        return self.text

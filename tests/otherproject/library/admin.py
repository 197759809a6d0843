"""Staff see in the admin what they see elsewhere."""

from django.contrib import admin

from segments.admin import RestrictedAdmin

from .models import Folder, Report

# [readme:admin]
admin.site.register([Folder, Report], RestrictedAdmin)
# [/readme]

"""In the admin: permission groups are for admins, articles for those who take care of some."""

import pytest
from django.test import Client
from django.urls import reverse

from helpcenter.models import PermissionGroup
from segments.models import Audience

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("name", "status"), [("pia", 403), ("lena", 403), ("ada", 200)])
def test_who_opens_them(cast, segment_of, name, status):
    group = PermissionGroup.objects.create(
        name="Guides", publish=Audience.of(segment_of["publishers"])
    )
    client = Client()
    client.force_login(cast[name])
    pages = {
        page: client.get(reverse(f"admin:helpcenter_permissiongroup_{page}", args=args)).status_code
        for page, args in [
            ("changelist", []),
            ("add", []),
            ("change", [group.pk]),
            ("delete", [group.pk]),
        ]
    }
    assert pages == dict.fromkeys(pages, status)


@pytest.mark.parametrize(("name", "status"), [("lena", 403), ("edda", 200), ("ada", 200)])
def test_articles_are_for_those_who_take_care_of_some(cast, segment_of, name, status):
    PermissionGroup.objects.create(name="Guides", edit=Audience.of(segment_of["editors"]))
    client = Client()
    client.force_login(cast[name])
    address = reverse("admin:helpcenter_article_changelist")
    assert client.get(address).status_code == status
    assert (address in client.get(reverse("admin:index")).text) == (status == 200)

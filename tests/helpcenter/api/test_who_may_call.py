"""Who may call which operation at all, written down here and asked of every address.

Asked with ids that name nothing: whoever may call learns that, everybody else is refused before
anything is looked up.
"""

import re

import pytest

from segments.checks import walk_urls
from tests.factories_content import HelpCenterFactory
from tests.factories_people import PersonFactory

# What is not here is for admins. N is an id, L a locale.
WHO = """
anybody:
    help_center/locales GET
    help_center/articles GET
    help_center/articles/N GET
    help_center/categories/N/articles GET
    help_center/sections/N/articles GET
    help_center/users/N/articles GET
    help_center/categories GET
    help_center/categories/N GET
    help_center/categories/N/sections GET
    help_center/sections GET
    help_center/sections/N GET
    help_center/sections/N/sections GET
    help_center/articles/N/translations GET
    help_center/articles/N/translations/L GET
    help_center/sections/N/translations GET
    help_center/sections/N/translations/L GET
    help_center/categories/N/translations GET
    help_center/categories/N/translations/L GET
    help_center/articles/search GET
    help_center/articles/attachments/N GET
    help_center/articles/N/attachments GET
    help_center/articles/N/attachments/inline GET
    help_center/articles/N/attachments/block GET
    help_center/articles/N/attachments/N GET
    help_center/articles/N/comments GET
    help_center/articles/N/comments/N GET
    help_center/sessions GET
    users/me GET
signed in:
    help_center/translations/N DELETE
    help_center/articles/attachments/N DELETE
    help_center/articles/N/comments POST
    help_center/articles/N/comments/N PUT DELETE
    help_center/users/N/comments GET
    help_center/articles/N/votes GET
    help_center/articles/N/up POST
    help_center/articles/N/down POST
    help_center/articles/N/comments/N/votes GET
    help_center/articles/N/comments/N/up POST
    help_center/articles/N/comments/N/down POST
    help_center/votes/N GET DELETE
    help_center/users/N/votes GET
    help_center/articles/N/subscriptions GET POST
    help_center/articles/N/subscriptions/N GET PUT DELETE
    help_center/sections/N/subscriptions GET POST
    help_center/sections/N/subscriptions/N GET PUT DELETE
    help_center/users/N/subscriptions GET
    help_center/users/N/user_subscriptions GET
    help_center/users/me/comments GET
    help_center/users/me/votes GET
    help_center/users/me/subscriptions GET
    help_center/users/me/user_subscriptions GET
    help_center/users/N/user_segments GET
    help_center/users/me/user_segments GET
    users/N GET
    users/N/organization_memberships GET
    organizations/N/organization_memberships GET
    organization_memberships GET
staff:
    help_center/articles/labels GET
    help_center/articles/labels/N GET
    help_center/articles/N/labels GET POST
    help_center/articles/N/labels/N DELETE
    help_center/articles/N PUT DELETE
    help_center/sections/N/articles POST
    help_center/incremental/articles GET
    help_center/articles/N/translations POST
    help_center/articles/N/translations/missing GET
    help_center/articles/N/translations/L PUT
    help_center/articles/N/source_locale PUT
    help_center/articles/attachments POST
    help_center/articles/N/attachments POST
    help_center/articles/N/bulk_attachments POST
    help_center/user_segments GET
    help_center/user_segments/applicable GET
    help_center/user_segments/N GET
    guide/permission_groups GET
    guide/permission_groups/N GET
    help_center/articles/N/audience GET
    help_center/sections/N/audience GET
    help_center/categories/N/audience GET
    users/N/articles_visible GET
    users GET
    users/show_many GET
    users/search GET
    users/autocomplete GET
    users/count GET
    users/N/tags GET
    users/N/organizations GET
    users/N/groups GET
    users/N/group_memberships GET
    organizations GET
    organizations/show_many GET
    organizations/search GET
    organizations/autocomplete GET
    organizations/count GET
    organizations/N GET
    organizations/N/tags GET
    organizations/N/users GET
    organization_memberships/N GET
    groups GET
    groups/assignable GET
    groups/count GET
    groups/N GET
    groups/N/users GET
    groups/N/memberships GET
    group_memberships GET
    group_memberships/assignable GET
    group_memberships/N GET
"""
# Who may call -> who may not, and how that is said.
REFUSED = {
    "signed in": [(None, 401)],
    "staff": [(None, 401), ("end_user", 403)],
    "admin": [(None, 401), ("end_user", 403), ("light_agent", 403)],
}


def written_down():
    """(method, route) -> who may call."""
    found, who = {}, ""
    for line in WHO.strip().splitlines():
        if line.startswith(" "):
            route, *methods = line.split()
            found |= {(method, route): who for method in methods}
        else:
            who = line.removesuffix(":")
    return found


def operations():
    """Every (method, route), one spelling of each."""
    for name, route, pattern in walk_urls():
        actions = getattr(pattern.callback, "actions", {})
        if name.startswith("api:") and not re.search(r"\.json$|<locale:locale>", route):
            route = re.sub(r"<locale:\w+>", "L", route.removeprefix("api/v2/"))
            route = re.sub(r"<[^>]+>", "N", route)
            yield from ((method.upper(), route) for method in actions if method != "head")


def test_no_operation_is_forgotten():
    assert written_down().keys() <= set(operations())
    assert len(set(operations())) > 160


@pytest.mark.parametrize("is_safe", [True, False], ids=["reads", "writes"])
@pytest.mark.parametrize("who", REFUSED)
def test_whoever_may_not_call_is_refused(db, api_of, unlimited, client, who, is_safe):
    HelpCenterFactory()
    known = written_down()
    asked = [
        operation
        for operation in sorted(set(operations()))
        if known.get(operation, "admin") == who and (operation[0] == "GET") == is_safe
    ]
    assert len(asked) > 5
    for role, status in REFUSED[who]:
        caller = api_of(PersonFactory(role=role)) if role else client
        answers = {
            (method, route): caller.generic(
                method,
                "/api/v2/" + re.sub(r"\bL\b", "en-us", re.sub(r"\bN\b", "12345", route)),
                "{}",
                "application/json",
            ).status_code
            for method, route in asked
        }
        assert answers == dict.fromkeys(asked, status), role

"""Users, shaped like Zendesk's Support API: where the attributes that decide access come from.

Staff read everybody, everybody else reads themselves, and only admins write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import django_filters
from django.conf import settings
from django.core.exceptions import ValidationError as ModelValidationError
from django.db.models import Q, prefetch_related_objects
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from accounts.models import AgentGroup, Organization, OrganizationMembership, Role, Tag, User
from accounts.normalisation import normalise, normalise_email
from segments.ruleset import viewer_for

from .base import AllowListFilter, Endpoint, IdField, Rows, UrlField, anybody, signed_in, staff
from .errors import InvalidParameter, support_envelope

# Zendesk's words for our roles, and what its `role_type` says of staff.
ROLES = {
    Role.END_USER: "end-user",
    Role.LIGHT_AGENT: "agent",
    Role.AGENT: "agent",
    Role.ADMIN: "admin",
}
ROLE_TYPES = {Role.AGENT: 0, Role.LIGHT_AGENT: 1, Role.ADMIN: 4}
WRITTEN_ROLES = {
    "end-user": Role.END_USER,
    "end_user": Role.END_USER,
    "agent": Role.AGENT,
    "light_agent": Role.LIGHT_AGENT,
    "light-agent": Role.LIGHT_AGENT,
    "admin": Role.ADMIN,
}
MANY = 100
GROUP_LINKS: Any = User.agent_groups.through


# What is shown ------------------------------------------------------------------------------------


def user_records(request: Any, users: Iterable[User]) -> list[dict[str, Any]]:
    """The users as the API shows them to the caller; a constant number of queries."""
    context = {"request": request}
    return [dict(UserSerializer(user, context=context).data) for user in prepare(list(users))]


def prepare(users: list[Any]) -> list[Any]:
    """The users with all that `UserSerializer` shows, fetched for all at once."""
    prefetch_related_objects(users, "tags", "memberships", "emailaddress_set")
    groups = defaultdict(list)
    links = GROUP_LINKS.objects.filter(user__in=users).order_by("pk")
    for user, group in links.values_list("user_id", "agentgroup_id"):
        groups[user].append(group)
    for user in users:
        user.group_ids = groups[user.pk]
        memberships = sorted(user.memberships.all(), key=lambda each: each.pk)
        user.organization_ids = [each.organization_id for each in memberships]
        default = [each.organization_id for each in memberships if each.is_default]
        user.organization_id = next(iter(default + user.organization_ids), None)
    return users


class SpelledNames(serializers.ListField):
    """Names in the one spelling that is compared, each once; a refusal says which and why."""

    spelling: Any

    def to_internal_value(self, data: Any) -> list[str]:
        names: list[str] = []
        problems: Any = {}
        for place, name in enumerate(super().to_internal_value(data)):
            try:
                names.append(self.spelling(name))
            except ModelValidationError as error:
                problems[place] = error.messages
        if problems:
            raise serializers.ValidationError(problems)
        return list(dict.fromkeys(names))


class TagNames(SpelledNames):
    """Names of tags."""

    child = serializers.CharField(max_length=200)
    spelling = staticmethod(normalise)

    def to_representation(self, data: Any) -> list[str]:
        return sorted(tag.name for tag in data.all())


def tags_called(names: list[str]) -> list[Tag]:
    """The tags with these normalised names; new ones are made."""
    Tag.objects.bulk_create([Tag(name=name) for name in names], ignore_conflicts=True)
    return list(Tag.objects.filter(name__in=names))


class UserSerializer(serializers.Serializer):
    """A person as Zendesk shows a user; to others than staff only their names."""

    id = serializers.IntegerField(read_only=True, allow_null=True)
    url = UrlField("users/{pk}")
    name = serializers.CharField(required=False, max_length=150, allow_blank=True)
    email = serializers.CharField(required=False, max_length=254)
    created_at = serializers.DateTimeField(read_only=True, source="date_joined")
    updated_at = serializers.DateTimeField(read_only=True)
    time_zone = serializers.SerializerMethodField()
    iana_time_zone = serializers.SerializerMethodField(method_name="get_time_zone")
    phone = serializers.SerializerMethodField(method_name="get_nothing")
    photo = serializers.SerializerMethodField(method_name="get_nothing")
    locale = serializers.CharField(
        required=False, allow_null=True, max_length=20, source="language"
    )
    organization_id = IdField(required=False, allow_null=True)
    organization_ids = serializers.ListField(child=IdField(), required=False, max_length=300)
    group_ids = serializers.ListField(child=IdField(), required=False, max_length=300)
    default_group_id = serializers.SerializerMethodField()
    role = serializers.CharField(required=False, max_length=20)
    role_type = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=5)
    custom_role_id = serializers.SerializerMethodField(method_name="get_nothing")
    verified = serializers.BooleanField(required=False)
    active = serializers.BooleanField(required=False, source="is_active")
    suspended = serializers.BooleanField(required=False)
    shared = serializers.SerializerMethodField(method_name="get_no")
    external_id = serializers.CharField(required=False, allow_null=True, max_length=255)
    tags = TagNames(required=False, max_length=500)
    user_fields = serializers.SerializerMethodField()

    def get_time_zone(self, user: User) -> str:
        """All people share the site's."""
        return str(settings.TIME_ZONE)

    @extend_schema_field({"type": ["string", "null"]})
    def get_nothing(self, user: User) -> None:
        """What is not kept here."""

    def get_no(self, user: User) -> bool:
        """What cannot be here."""
        return False

    def get_default_group_id(self, user: Any) -> int | None:
        """The group that the agent joined first."""
        return next(iter(user.group_ids), None)

    def get_user_fields(self, user: User) -> dict[str, Any]:
        """There are no custom fields."""
        return {}

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """The user; to people who are neither staff nor that user, only who it is."""
        instance.role_type = ROLE_TYPES.get(instance.role)
        instance.suspended = not instance.is_active
        addresses = instance.emailaddress_set.all()
        instance.verified = any(
            each.verified and each.primary and each.email == instance.email for each in addresses
        )
        shown = super().to_representation(instance)
        shown["role"] = ROLES[instance.role]
        viewer = viewer_for(self.context["request"].user)
        if viewer.is_staff or viewer.pk == instance.pk:
            return shown
        return {name: shown[name] for name in ("id", "url", "name", "photo")}

    # What is accepted

    def validate_email(self, email: str) -> str:
        """The address in its one spelling, if nobody else has it."""
        try:
            email = normalise_email(email)
        except ModelValidationError as error:
            raise serializers.ValidationError(error.messages) from error
        if self._others().filter(email=email).exists():
            raise serializers.ValidationError(f"{email} is already being used by another user")
        return email

    def validate_external_id(self, external_id: str | None) -> str | None:
        """Unique; nothing is said by an empty one."""
        if external_id and self._others().filter(external_id=external_id).exists():
            raise serializers.ValidationError(f"{external_id} is already being used")
        return external_id or None

    def validate_role(self, role: str) -> str:
        """One of Zendesk's words, or ours for light agents."""
        if role not in WRITTEN_ROLES:
            accepted = ", ".join(WRITTEN_ROLES)
            raise serializers.ValidationError(f"`{role}` is not accepted; use one of {accepted}")
        return role

    def validate_locale(self, locale: str | None) -> str | None:
        """A language of the site, however its letters are written; null for none."""
        if locale is None:
            return None
        known = {code.lower(): code for code, _name in settings.LANGUAGES}
        if locale.lower() not in known:
            accepted = ", ".join(known.values())
            raise serializers.ValidationError(f"`{locale}` is not accepted; use one of {accepted}")
        return known[locale.lower()]

    def validate_organization_id(self, pk: int | None) -> int | None:
        """An organization that exists."""
        if pk is not None:
            self._check_ids(Organization, [pk], "organization")
        return pk

    def validate_organization_ids(self, ids: list[int]) -> list[int]:
        """Organizations that exist."""
        return self._check_ids(Organization, ids, "organization")

    def validate_group_ids(self, ids: list[int]) -> list[int]:
        """Groups that exist."""
        return self._check_ids(AgentGroup, ids, "group")

    def _check_ids(self, model: Any, ids: list[int], kind: str) -> list[int]:
        known = set(model.objects.filter(pk__in=ids).values_list("pk", flat=True))
        if missing := sorted(set(ids) - known):
            raise serializers.ValidationError(f"there is no {kind} {', '.join(map(str, missing))}")
        return ids

    def _others(self) -> Any:
        return User.objects.exclude(pk=getattr(self.instance, "pk", None))

    # What is stored

    def create(self, validated: dict[str, Any]) -> User:
        """A new person without a password: they set one by the reset link."""
        if "email" not in validated:
            raise serializers.ValidationError({"email": ["is required"]})
        user = User.objects.create_user(
            validated["email"], verified=validated.get("verified", False)
        )
        return self.update(user, validated)

    def update(self, user: Any, validated: dict[str, Any]) -> User:
        """Store what was named; the rest stays."""
        prepare([user])
        for name in ("email", "name", "external_id", "language"):
            if name in validated:
                setattr(user, name, validated[name])
        user.role = _role(user.role, validated)
        user.is_active = _is_active(user.is_active, validated)
        user.save()
        if validated.get("verified") and not user.has_verified_email():
            user.verify_email()
        if "tags" in validated:
            user.tags.set(tags_called(validated["tags"]))
        _set_organizations(user, validated)
        if "group_ids" in validated and validated["group_ids"] != user.group_ids:
            user.agent_groups.set(validated["group_ids"])
        if user.agent_groups.exists() and not user.is_staff and user.is_active:
            raise serializers.ValidationError({"group_ids": ["only agents can be in groups"]})
        self._keep_an_admin(user)
        return user

    def _keep_an_admin(self, user: User) -> None:
        """Nobody locks everybody out, or themselves."""
        if not user.is_superuser and user.pk == self.context["request"].user.pk:
            raise serializers.ValidationError({"role": ["you cannot take this from yourself"]})
        if not User.objects.filter(role=Role.ADMIN, is_active=True).exists():
            raise serializers.ValidationError({"role": ["somebody must stay admin"]})


def _role(stored: str, validated: dict[str, Any]) -> str:
    """The role that `role` and `role_type` mean. `agent` alone does not promote a light agent."""
    given = validated.get("role")
    role = WRITTEN_ROLES[given] if given else Role(stored)
    staff_roles = (Role.AGENT, Role.LIGHT_AGENT)
    if role not in staff_roles:
        return role
    if "role_type" in validated and given != "light_agent":
        if validated["role_type"] is not None:
            return Role.LIGHT_AGENT if validated["role_type"] == 1 else Role.AGENT
        return role
    return Role(stored) if given == "agent" and stored in staff_roles else role


def _is_active(stored: bool, validated: dict[str, Any]) -> bool:
    """What `active` and `suspended` mean; of the two, whichever is not what was read."""
    if validated.get("is_active", stored) != stored:
        return not stored
    return not validated.get("suspended", not stored)


def _set_organizations(user: Any, validated: dict[str, Any]) -> None:
    if "organization_ids" in validated and set(validated["organization_ids"]) != set(
        user.organization_ids
    ):
        wanted = set(validated["organization_ids"])
        leave_organizations(user.memberships.exclude(organization__in=wanted))
        for pk in wanted - set(user.organization_ids):
            user.memberships.create(organization_id=pk)
    if "organization_id" not in validated:
        return
    pk = validated["organization_id"]
    if pk == user.organization_id:
        return
    if pk is None:
        leave_organizations(user.memberships.filter(organization=user.organization_id))
        return
    membership, _created = user.memberships.get_or_create(organization_id=pk)
    make_default(membership)


def leave_organizations(memberships: Any) -> None:
    """End these memberships. One by an e-mail domain ends with the address or the domain."""
    if memberships.filter(source=OrganizationMembership.Source.DOMAIN).exists():
        raise serializers.ValidationError(
            {"organization_id": ["the membership comes with the e-mail domain; change that"]}
        )
    memberships.delete()


def make_default(membership: OrganizationMembership) -> None:
    """Make it the one default membership of its user."""
    OrganizationMembership.objects.filter(user=membership.user_id).update(is_default=False)
    membership.is_default = True
    membership.save()


# Endpoints ----------------------------------------------------------------------------------------


class UserFilter(django_filters.FilterSet):
    """What the list of users can be filtered by."""

    role = django_filters.CharFilter(method="with_role")
    external_id = django_filters.CharFilter()
    organization_id = django_filters.NumberFilter(field_name="memberships__organization_id")

    class Meta:
        model = User
        fields: list[str] = []

    def with_role(self, rows: Any, name: str, value: str) -> Any:
        """The users with one of the roles."""
        wanted = [*self.data.getlist("role"), *self.data.getlist("role[]")]
        for role in wanted:
            if role not in WRITTEN_ROLES:
                raise InvalidParameter(name, f"Use one of {', '.join(WRITTEN_ROLES)}")
        # At Zendesk light agents are agents.
        roles = {WRITTEN_ROLES[role] for role in wanted}
        return rows.filter(role__in=roles | ({Role.LIGHT_AGENT} if Role.AGENT in roles else set()))


# No Python name, but what clients send for several.
UserFilter.base_filters["role[]"] = django_filters.CharFilter(method="with_role")


class PeopleEndpoint(Endpoint):
    """What endpoints about people have in common."""

    filter_backends: Any = [AllowListFilter]
    who_sees = "staff, as at Zendesk; everybody themselves"
    default_per_page = 100
    invalid_envelope: Any = staticmethod(support_envelope)

    def change_or_create(self, known: Any) -> Response:
        """The known row changed by the body (200), or a new one without it (201)."""
        if known is None:
            return self.create(self.request)
        serializer = self.get_serializer(known, data=self.body(), partial=True)
        serializer.is_valid(raise_exception=True)
        return self.answer(self.stored(serializer.save()))

    def known_by(self, field: str, key: str) -> Any:
        """The row that the body names by `external_id`, or else by a text that `key` compares."""
        body, rows = self.body(), self.get_queryset()
        external_id, text = body.get("external_id"), body.get(field)
        found = None
        if isinstance(external_id, str) and external_id:
            found = rows.filter(external_id=external_id).first()
        if found is None and isinstance(text, str):
            try:
                found = rows.filter(**{key: text}).first()
            except ModelValidationError:
                # No text that a row could have; creating one says why.
                return None
        return found


class CountValueSerializer(serializers.Serializer):
    """A number, and when it was counted."""

    value = serializers.IntegerField()
    refreshed_at = serializers.DateTimeField()


class CountSerializer(serializers.Serializer):
    """How many there are."""

    count = CountValueSerializer()


class TagsSerializer(serializers.Serializer):
    """The tags of something."""

    tags = TagNames()


class TagsEndpoint(PeopleEndpoint):
    """The tags of one user or organization: POST sets, PUT adds, DELETE removes, as at Zendesk."""

    serializer_class = TagsSerializer
    allowed = {"retrieve": staff}

    def retrieve(self, request: Any, **kwargs: Any) -> Response:
        """`{"tags": [names]}`."""
        return Response({"tags": sorted(tag.name for tag in self.get_object().tags.all())})

    @extend_schema(request=TagsSerializer, responses={200: TagsSerializer})
    def replace(self, request: Any, **kwargs: Any) -> Response:
        """Make these the tags."""
        row = self.get_object()
        row.tags.set(tags_called(self._names()))
        return self.retrieve(request)

    @extend_schema(request=TagsSerializer, responses={200: TagsSerializer})
    def add(self, request: Any, **kwargs: Any) -> Response:
        """Add these tags."""
        row = self.get_object()
        row.tags.add(*tags_called(self._names()))
        return self.retrieve(request)

    @extend_schema(request=TagsSerializer, responses={200: TagsSerializer})
    def remove(self, request: Any, **kwargs: Any) -> Response:
        """Take these tags off."""
        row = self.get_object()
        row.tags.remove(*row.tags.filter(name__in=self._names()))
        return self.retrieve(request)

    def _names(self) -> Any:
        data = self.request.data if isinstance(self.request.data, dict) else {}
        if "tags" not in data and "tags" in self.request.query_params:
            data = {"tags": self.request.query_params["tags"].split(",")}
        serializer = TagsSerializer(data=data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data["tags"]


class UserEndpoint(PeopleEndpoint):
    """Users: all of them for staff, oneself for everybody else."""

    singular, plural = "user", "users"
    serializer_class = UserSerializer
    filterset_class = UserFilter
    allowed = {
        "list": staff,
        "retrieve": signed_in,
        "me": anybody,
        "show_many": staff,
        "search": staff,
        "autocomplete": staff,
        "count": staff,
    }
    sorts = {"id": "pk", "created_at": "date_joined", "updated_at": "updated_at", "name": "name"}
    default_sort = "id"
    includes = {
        "organizations": "include_organizations",
        "groups": "include_groups",
    }

    def get_queryset(self) -> Any:
        users = User.objects.order_by("pk")
        return users if self.viewer.is_staff else users.filter(pk=self.viewer.pk)

    def prepare(self, rows: Rows) -> Rows:
        return prepare(rows)

    def include_organizations(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The organizations of the users, for staff."""
        from .organizations import organization_records

        ids = {pk for each in rows for pk in each.organization_ids}
        wanted = ids if self.viewer.is_staff else []
        found = Organization.objects.filter(pk__in=wanted)
        return {"organizations": organization_records(self.request, found)}

    def include_groups(self, rows: Rows, data: Rows) -> dict[str, Any]:
        """The groups of the agents, for staff."""
        from .groups import group_records

        ids = {pk for each in rows for pk in each.group_ids} if self.viewer.is_staff else []
        return {"groups": group_records(self.request, AgentGroup.objects.filter(pk__in=ids))}

    def perform_destroy(self, instance: Any) -> None:
        """Deactivate: nothing of what the person wrote or had is lost."""
        self.get_serializer().update(instance, {"is_active": False})

    @extend_schema(responses={200: UserSerializer})
    def destroy(self, request: Any, **kwargs: Any) -> Response:
        """The user, who is inactive from now on."""
        row = self.get_object()
        self.check_version(row)
        self.perform_destroy(row)
        return self.answer(self.stored(row))

    @extend_schema(responses={200: UserSerializer})
    def me(self, request: Any, **kwargs: Any) -> Response:
        """The caller; to an anonymous visitor a user without an id."""
        if self.viewer.pk is not None:
            return self.answer(User.objects.get(pk=self.viewer.pk))
        nobody = {"id": None, "name": "Anonymous user", "email": "invalid@example.com"}
        return Response({"user": {**nobody, "role": "end-user", "verified": False, "tags": []}})

    @extend_schema(request=UserSerializer, responses={200: UserSerializer, 201: UserSerializer})
    def create_or_update(self, request: Any, **kwargs: Any) -> Response:
        """The user with this `external_id` or `email` changed (200), or a new one (201)."""
        return self.change_or_create(self.known_by("email", "email"))

    @extend_schema(responses={200: UserSerializer(many=True)})
    def show_many(self, request: Any, **kwargs: Any) -> Response:
        """The users with these `ids` or `external_ids`, at most 100; missing ones are left out."""
        return self.paged(named_in_query(self.get_queryset(), request.query_params))

    @extend_schema(responses={200: UserSerializer(many=True)})
    def search(self, request: Any, **kwargs: Any) -> Response:
        """Users by `query` (a name, an address, `role:agent`, `organization:name`, …)."""
        params, rows = request.query_params, self.get_queryset()
        if params.get("external_id"):
            return self.paged(rows.filter(external_id=params["external_id"]))
        if not params.get("query"):
            raise InvalidParameter("query", "Say what to look for, or an external_id")
        return self.paged(rows.filter(_matching(params["query"])).distinct())

    @extend_schema(responses={200: UserSerializer(many=True)})
    def autocomplete(self, request: Any, **kwargs: Any) -> Response:
        """Users whose name or address begins like `name`, of two letters at least."""
        name = request.query_params.get("name", "").strip()
        if len(name) < 2:
            raise InvalidParameter("name", "Give two letters at least")
        begins = Q(name__istartswith=name) | Q(email__istartswith=name)
        return self.paged(self.get_queryset().filter(begins))

    @extend_schema(responses=CountSerializer)
    def count(self, request: Any, **kwargs: Any) -> Response:
        """How many users there are."""
        return count_of(self.filter_queryset(self.get_queryset()))


def count_of(rows: Any) -> Response:
    """`{"count": {"value": …}}`, exact and fresh."""
    return Response({"count": {"value": rows.count(), "refreshed_at": timezone.now()}})


def named_in_query(rows: Any, params: Any) -> Any:
    """Those of the rows whose `ids` or `external_ids` the query names; 400 for what is no id."""
    ids = [each.strip() for each in params.get("ids", "").split(",") if each.strip()]
    external = [each for each in params.get("external_ids", "").split(",") if each]
    if not ids and not external or len(ids) > MANY or len(external) > MANY:
        raise InvalidParameter("ids", f"Name between 1 and {MANY} ids, or external_ids")
    if not all(each.isascii() and each.isdigit() and int(each) < 2**63 for each in ids):
        raise InvalidParameter("ids", "Ids are numbers")
    return rows.filter(Q(pk__in=[int(each) for each in ids]) | Q(external_id__in=external))


def _matching(query: str) -> Q:
    """The users that each word of a search means."""
    found = Q()
    for word in query.split()[:10]:
        name, mark, value = word.partition(":")
        value = value.strip('"')
        if not mark or name not in ("email", "name", "role", "organization", "external_id", "type"):
            found &= Q(name__icontains=word) | Q(email__istartswith=word)
        elif name == "role":
            found &= Q(role=WRITTEN_ROLES.get(value, ""))
        elif name == "organization":
            found &= Q(organizations__name__iexact=value)
        elif name == "name":
            found &= Q(name__icontains=value)
        elif name == "type":
            found &= Q() if value == "user" else Q(pk__in=[])
        else:
            found &= Q(**{f"{name}__iexact" if name == "email" else name: value})
    return found


class UserTagsEndpoint(TagsEndpoint):
    """The tags of a user."""

    queryset = User.objects.all()

"""People for tests: PersonFactory(role="agent", organizations=[acme], tags=["vip"])."""

import factory
from factory.django import DjangoModelFactory

from accounts.models import AgentGroup, Organization, OrganizationMembership, Tag, User

PASSWORD = "correct horse battery staple"


class TagFactory(DjangoModelFactory):
    class Meta:
        model = Tag
        django_get_or_create = ("name",)

    name = factory.Sequence("tag {}".format)


def tags_named(tags):
    """Tags, made where only their names are given."""
    return [tag if isinstance(tag, Tag) else TagFactory(name=tag) for tag in tags or ()]


class AgentGroupFactory(DjangoModelFactory):
    class Meta:
        model = AgentGroup
        django_get_or_create = ("name",)

    name = factory.Sequence("Group {}".format)


class OrganizationFactory(DjangoModelFactory):
    """OrganizationFactory(name="Acme", tags=["gold"], domains=["acme.com"])."""

    class Meta:
        model = Organization
        django_get_or_create = ("name",)
        skip_postgeneration_save = True

    name = factory.Sequence("Organization {}".format)

    @factory.post_generation
    def tags(organization, create, tags, **kwargs):
        organization.tags.add(*tags_named(tags))

    @factory.post_generation
    def domains(organization, create, domains, **kwargs):
        for domain in domains or ():
            organization.domains.create(domain=domain)


class PersonFactory(DjangoModelFactory):
    """Organizations, tags and groups may be given by name; `verified=True` for who signs in.

    The first organization is the default one. The password is PASSWORD.
    """

    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence("person{}@example.org".format)
    name = factory.Sequence("Person {}".format)

    @classmethod
    def _create(cls, model_class, *args, password=PASSWORD, verified=False, **fields):
        return model_class.objects.create_user(
            *args, password=password, verified=verified, **fields
        )

    @factory.post_generation
    def organizations(person, create, organizations, **kwargs):
        for number, organization in enumerate(organizations or ()):
            if not isinstance(organization, Organization):
                organization = OrganizationFactory(name=organization)
            # Whoever belongs to it by domain becomes a member by hand.
            OrganizationMembership.objects.update_or_create(
                user=person,
                organization=organization,
                defaults={"is_default": number == 0, "source": "manual", "domain": None},
            )

    @factory.post_generation
    def tags(person, create, tags, **kwargs):
        person.tags.add(*tags_named(tags))

    @factory.post_generation
    def groups(person, create, groups, **kwargs):
        for group in groups or ():
            person.agent_groups.add(
                group if isinstance(group, AgentGroup) else AgentGroupFactory(name=group)
            )

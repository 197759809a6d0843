"""`manage.py explain_access maria@example.com library.Report 12`."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from segments import snapshot
from segments.explain import Explanation, explain
from segments.models import InheritsAudience
from segments.phrases import joined, kind_and_name, labelled, quoted
from segments.row_security import lifted


class Command(BaseCommand):
    """Prints the verdict and the chain that led to it."""

    help = "Says whether a person may see an object, why, and what would change that."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("person", help='the login (e-mail or name) of a user, or "anonymous"')
        parser.add_argument("model", help="a restricted model, such as helpcenter.Article")
        parser.add_argument("id", help="the primary key of the object")

    def handle(self, *args: Any, **options: Any) -> None:
        with snapshot.read_only(), lifted():
            person = find_person(options["person"])
            explanation = explain(person, find_thing(options["model"], options["id"]))
            self.stdout.write("\n".join(describe(explanation)))


def find_person(name: str) -> Any:
    """The user with this login; CommandError when there is none."""
    if name == "anonymous":
        return AnonymousUser()
    model = get_user_model()
    try:
        return model._default_manager.get_by_natural_key(name)
    except (model.DoesNotExist, ValidationError) as error:
        raise CommandError(f'There is no user {name!r}. (For visitors say "anonymous".)') from error


def find_thing(label: str, pk: str) -> Any:
    """The object; CommandError names what is accepted."""
    models = {m._meta.label_lower: m for m in apps.get_models() if issubclass(m, InheritsAudience)}
    if label.lower() not in models:
        accepted = ", ".join(sorted(m._meta.label for m in models.values()))
        raise CommandError(f"{label!r} is not a restricted model. Accepted: {accepted}.")
    try:
        # The base manager: whoever runs commands on the server may explain hidden objects.
        return models[label.lower()]._base_manager.get(pk=pk)
    except (
        models[label.lower()].DoesNotExist,
        ValueError,
        ValidationError,
        OverflowError,
    ) as error:
        raise CommandError(f"There is no {label} with the id {pk!r}.") from error


def describe(explanation: Explanation) -> list[str]:
    """The explanation as lines of plain text."""
    verdict = _("%(person)s may not see the %(thing)s.")
    if explanation.visible:
        verdict = _("%(person)s may see the %(thing)s.")
    thing = kind_and_name(explanation.thing)
    lines = [verdict % {"person": explanation.person, "thing": thing}]
    if explanation.bypass:
        lines.append(explanation.bypass)
    for level in explanation.chain:
        lines.append(f"{_tick(level.admits)} {level}")
        for reason in level.segments:
            said = labelled(quoted(reason.segment), reason.words)
            lines.append(f"    {_tick(reason.is_member)} {said}")
            for condition in reason.conditions:
                has = joined(condition.has) or _("nothing")
                said = _("%(condition)s — has %(values)s")
                said %= {"condition": condition.words, "values": has}
                lines.append(f"        {_tick(condition.holds)} {said}")
    lines.append(_("What would change the verdict:"))
    return [*lines, *(f"  {words}" for words in explanation.would_change)]


def _tick(yes: bool) -> str:
    return "✓" if yes else "✗"

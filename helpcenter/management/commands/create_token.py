"""Make an API token for a person."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from knox.models import get_token_model

from accounts.models import User
from accounts.normalisation import normalise_email


class Command(BaseCommand):
    help = "Print a new API token of the person with this address, and nothing else."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--days", type=int, default=365, help="valid for (default: 365)")

    def handle(self, *args: Any, email: str, days: int, **options: Any) -> str:
        """The token. Only its hash is stored, so it cannot be shown again."""
        if not 0 < days <= 36_500:
            raise CommandError("--days: use a number from 1 to 36500.")
        try:
            user = User.objects.get(email=normalise_email(email))
        except (User.DoesNotExist, ValidationError):
            raise CommandError(f"Nobody has the address {email}.") from None
        if not user.is_active:
            raise CommandError(f"{email} is not active, so a token would open nothing.")
        _stored, token = get_token_model().objects.create(user, expiry=timedelta(days=days))
        return str(token)

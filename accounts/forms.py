"""The forms of allauth that need to know more about addresses than the adapter is asked."""

from __future__ import annotations

import secrets
from typing import Any

from allauth.account import forms
from allauth.account.adapter import get_adapter
from django.db import transaction
from django.http import HttpRequest

from .domains import belongs_to_domain
from .models import User
from .normalisation import normalise_email


class LoginForm(forms.LoginForm):
    """Signs in with the stored spelling of what was typed.

    Without it, allauth would write a second EmailAddress in the spelling that was typed, and send
    its verification there.
    """

    def clean_login(self) -> str:
        """The address as it is stored."""
        return normalise_email(super().clean_login())


class SignupForm(forms.SignupForm):
    """Signs up, and works as long for an address that somebody has."""

    def try_save(self, request: HttpRequest) -> Any:
        """As usual; the owner of a known address is told by mail, the visitor is not."""
        if self.account_already_exists:
            # The hash of a password takes long enough to be noticed.
            with transaction.atomic():
                nobody = f"{secrets.token_hex(16)}@example.com"
                User.objects.create_user(nobody, self.cleaned_data["password1"])
                transaction.set_rollback(True)
        return super().try_save(request)


class AddEmailForm(forms.AddEmailForm):
    """Begins to change the address, where its owner may (the adapter asks again at the end)."""

    def clean_email(self) -> str:
        """The new address as it is stored."""
        adapter = get_adapter()
        if not self.user.has_verified_email():
            # allauth takes an unverified address for one that the new one replaces, and leaves
            # the person without any.
            raise adapter.validation_error("address_is_unverified")
        if belongs_to_domain(self.user):
            raise adapter.validation_error("address_is_managed")
        return super().clean_email()

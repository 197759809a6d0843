"""What allauth asks us about addresses, redirects and who may sign in."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core import context as present
from allauth.core.internal.httpkit import headed_redirect_response
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sites.shortcuts import get_current_site
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _

from .domains import may_move_to
from .normalisation import normalise_email


class AccountAdapter(DefaultAccountAdapter):
    """allauth with our addresses, and without a difference between inactive and unknown people."""

    error_messages = DefaultAccountAdapter.error_messages | {
        "address_is_managed": _(
            "An organization manages this address. Ask an administrator to change it."
        ),
        "address_is_unverified": _(
            "Verify your present address first: sign out, sign in again and follow the link in "
            "the e-mail."
        ),
    }

    def clean_email(self, email: str) -> str:
        """The address as it is stored, or a form error."""
        return normalise_email(email)

    def is_safe_url(self, url: str) -> bool:
        """Whether a redirect stays on this site: only paths do."""
        return url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def authenticate(self, request: HttpRequest, **credentials: Any) -> AbstractBaseUser | None:
        """Who has these credentials; nobody if inactive, at the price of a wrong password."""
        user = super().authenticate(request, **credentials)
        if user is None or user.is_active:
            return user
        # A success costs no attempt, and a free one would tell that the password was right.
        self.pre_authenticate(request, **credentials)
        return None

    def respond_user_inactive(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
        """Where a sign-in ends that did not ask for the password: where it can begin again."""
        return headed_redirect_response("account_login")

    def confirm_email(self, request: HttpRequest, email_address: EmailAddress) -> bool:
        """Verify the address, unless it would take its owner into or out of an organization."""
        if not may_move_to(email_address.user, email_address.email):
            self.add_message(
                request, messages.ERROR, message=str(self.error_messages["address_is_managed"])
            )
            return False
        return super().confirm_email(request, email_address)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Write the message now and send it after the commit: a request may be tried again.

        A mail server that fails then is logged. What was stored stays, and people can ask again.
        """
        request = present.request
        known = {"request": request, "email": email, "current_site": get_current_site(request)}
        message = self.render_mail(template_prefix, email, known | context)
        transaction.on_commit(message.send, robust=True)

    def send_password_reset_mail(
        self, user: AbstractBaseUser, email: str, context: dict[str, Any]
    ) -> None:
        """Send the link to the stored address.

        `email` is what was typed. It led to this person after normalisation, but as it stands it
        may be the mailbox of somebody else, who would take over the account.
        """
        super().send_password_reset_mail(user, normalise_email(email), context)

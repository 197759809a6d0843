"""A browser for tests whose transaction is rolled back at the end."""

from django.test import Client, TestCase


class CommittingClient(Client):
    """Does at once what a request does on commit, such as sending mail."""

    def request(self, **request):
        with TestCase.captureOnCommitCallbacks(execute=True):
            return super().request(**request)

"""Sessions in the database, for requests that read in one snapshot.

A safe request cannot write until its snapshot has ended. Django ends a session in the middle of
one when the password was changed elsewhere, allauth when a verification link is someone else's.
"""

from __future__ import annotations

from typing import Any

from django.contrib.sessions.backends import db
from django.db import router, transaction
from django.db.models.functions import Now


class SessionStore(db.SessionStore):
    """Forgets a session at once and deletes its row after the transaction.

    Whether it has expired is said by the database's clock, which all processes share.
    """

    def _get_session_from_db(self) -> Any:
        in_force = self.model.objects.filter(expire_date__gt=Now())
        found = in_force.filter(session_key=self.session_key).first()
        if found is None:
            self._session_key = None
        return found

    def flush(self) -> None:
        """End the session; whoever holds its key has none as soon as the request is answered."""
        key = self.session_key
        self.clear()
        self._session_key = None
        if key is None:
            # delete(None) deletes whatever session there is by then: the next one.
            return
        using = router.db_for_write(self.model)
        transaction.on_commit(lambda: self.delete(key), using=using)

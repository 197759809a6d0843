"""Ends what people are signed in with, by triggers: whatever changes them, bulk updates included.

A change of role or activation ends all sessions and API tokens of the person for good: neither
comes back with the role or the activation. A new password ends the tokens; sessions know the
password themselves, so the one in which it was changed can go on (accounts.models.User).
"""

from __future__ import annotations

from collections.abc import Iterator

from segments.triggers import Trigger

PEOPLE, TOKENS = "accounts_user", "knox_authtoken"
ENDS_SESSIONS = ["role", "is_active"]
ENDS_TOKENS = [*ENDS_SESSIONS, "password"]


def triggers() -> Iterator[Trigger]:
    """After updates that change one of the columns, for the people whose column it is."""
    count_up = f"UPDATE {PEOPLE} SET sign_in_version = sign_in_version + 1 WHERE id"
    people = "SELECT id FROM old_rows o JOIN new_rows n USING (id) WHERE {}"
    changed = people.format(_differs("o.{0} IS DISTINCT FROM n.{0}", ENDS_SESSIONS))
    yield Trigger(
        PEOPLE,
        "UPDATE",
        f"{count_up} = NEW.id",
        # A trigger for statements runs for no rows too: without the IF it would never end.
        f"IF EXISTS ({changed}) THEN {count_up} IN ({changed}); END IF",
        _differs("OLD.{0} IS NOT NEW.{0}", ENDS_SESSIONS),
    )
    changed = people.format(_differs("o.{0} IS DISTINCT FROM n.{0}", ENDS_TOKENS))
    yield Trigger(
        PEOPLE,
        "UPDATE",
        f"DELETE FROM {TOKENS} WHERE user_id = NEW.id",
        f"DELETE FROM {TOKENS} WHERE user_id IN ({changed})",
        _differs("OLD.{0} IS NOT NEW.{0}", ENDS_TOKENS),
    )


def _differs(comparison: str, columns: list[str]) -> str:
    return " OR ".join(comparison.format(column) for column in columns)

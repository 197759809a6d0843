"""Many people at once: of whom does the rule hold?

A crowd answers what a `Person` answers, with one bit for each of its people instead of yes or no.
So the rule of design §2.3 is written once (ruleset.py, conditions.py) and asked of one person in a
request, and of a million by a page that foretells what a change would do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import compress, count
from typing import Any

from .attributes import ALL, NONE, Asked, Those, read_facts
from .conditions import named_values
from .ruleset import Rule

# So many people are named in a query; for more of them everybody's facts are read.
ONE_BY_ONE = 20_000


class Crowd:
    """People, told apart by all that some rules ask of them: `Who` for many.

    Whoever has nothing of it has no bit of their own. They are alike, and the bits above the
    highest one stand for them: so ~bits, which is negative, has them where bits has not.
    """

    def __init__(self, like: Crowd | None = None) -> None:
        self._facts: dict[tuple[str, Any], Those] = {}
        # Shared with the crowd that it is like, so that the bits of both can be compared.
        # Whoever is looked up and was not there gets the next number.
        self._bits: defaultdict[Any, int] = like._bits if like else defaultdict(count().__next__)

    def add(self, kind: str, value: Any, people: Iterable[Any]) -> None:
        """These people, by id, have this fact; `read_facts` says which there are."""
        self._facts[kind, value] = self._with(kind, value) | self.those(people)

    def _with(self, kind: str, value: Any = "") -> Those:
        return self._facts.get((kind, value), NONE)

    # As `Who`.

    @property
    def active(self) -> Those:
        return ~self._with("is inactive")

    @property
    def staff(self) -> Those:
        return self._with("is staff")

    def included_in(self, segment: int) -> Those:
        return self._with("included", segment)

    def excluded_from(self, segment: int) -> Those:
        return self._with("excluded", segment)

    def with_any(self, attribute: str, values: Iterable[Any]) -> Those:
        found = NONE
        for value in values:
            found |= self._with(f"has {attribute}", value)
        return found

    def with_each(self, attribute: str, values: Iterable[Any]) -> Those:
        found = ALL
        for value in values:
            found &= self._with(f"has {attribute}", value)
        return found

    # Bits and people --------------------------------------------------------------------------

    @property
    def known(self) -> Those:
        """Everybody with a bit of their own."""
        return (1 << len(self._bits)) - 1

    def those(self, people: Iterable[Any]) -> Those:
        """These people, by id, as bits; whoever had no bit of their own gets one."""
        places = [*map(self._bits.__getitem__, people)]
        flags = bytearray((len(self._bits) >> 3) + 1)
        for place in places:
            flags[place >> 3] |= 1 << (place & 7)
        return int.from_bytes(flags, "little")

    def has(self, those: Those, pk: Any) -> bool:
        """Is this person one of them?"""
        place = self._bits.get(pk)
        return those < 0 if place is None else bool(those >> place & 1)

    def ids(self, those: Those) -> list[Any]:
        """The ids of those of them who have a bit of their own."""
        digits = f"{those & self.known:b}"[::-1]
        return list(compress(self._bits, map("1".__eq__, digits)))


def read_crowd(
    rules: Iterable[Rule],
    using: str,
    among: Collection[Any] | None = None,
    like: Crowd | None = None,
) -> Crowd:
    """Everybody as these rules see them; or these people, by id, each with a bit. One query."""
    rules = list(rules)
    named = named_values(condition for rule in rules for condition in rule.conditions)
    few = among if among is not None and len(among) <= ONE_BY_ONE else None
    crowd = Crowd(like)
    crowd.those(among or ())
    for fact in read_facts(Asked(named, [rule.pk for rule in rules]), using, few):
        crowd.add(*fact)
    return crowd

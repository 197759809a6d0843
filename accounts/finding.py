"""Finding people by what somebody types: fast among a million of them."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db import connections
from django.db.models import Q, QuerySet

# More words than this make no search better.
AT_MOST = 8


def people_called(people: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Those whose address, or a word of whose name, begins like each word of the text."""
    words = text.split()[:AT_MOST]
    if connections[people.db].vendor != "postgresql":
        for word in words:
            inside = Q(name__icontains=f" {word}") | Q(name__istartswith=word)
            people = people.filter(inside | Q(email__istartswith=word))
        return people
    # As in migration 0003: only the same expression finds the index.
    vector = SearchVector("name", config="simple")
    for number, word in enumerate(words):
        quoted = word.replace("\\", " ").replace("'", " ").strip()
        found = Q(email__startswith=word.lower())
        if any(map(str.isalnum, quoted)):
            query = SearchQuery(f"'{quoted}':*", config="simple", search_type="raw")
            people = people.alias(**{f"words_{number}": vector})
            found |= Q(**{f"words_{number}": query})
        people = people.filter(found)
    return people

"""How many requests a caller may make in a minute, counted in the database for all processes.

Outside of the request's snapshot, because a reading request cannot write in it, and a refused one
must count too.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from helpcenter.denials import log_denial
from helpcenter.models import RateCounter
from segments.snapshot import is_outage, unavailable

from .authentication import credentials_of, find_token

Handler = Callable[[HttpRequest], HttpResponseBase]

# The database's clock, which all processes share: seconds since 1970.
CLOCK = {
    "sqlite": "CAST(STRFTIME('%%s', 'now') AS integer)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS bigint)",
}
# One statement, so two processes never count one request twice or not at all.
COUNT = """
INSERT INTO {table} (key, minute, count) VALUES (%s, {clock} / 60, 1)
ON CONFLICT (key) DO UPDATE SET
    count = CASE WHEN {table}.minute = excluded.minute THEN {table}.count + 1 ELSE 1 END,
    minute = excluded.minute
RETURNING count, minute, 60 - {clock} %% 60
"""
# Counters of callers who have been silent for so many minutes are forgotten.
FORGOTTEN_AFTER = 60


def rate_limit(get_response: Handler) -> Handler:
    """Middleware: count requests to the API, say what is left, refuse what is too many with 429."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith("/api/"):
            return get_response(request)
        try:
            key, limit = caller_of(request)
            count, seconds_left = count_request(key)
        except Error as error:
            if not is_outage(error):
                raise
            return unavailable(request)
        if count > limit:
            log_denial(request, "api", 429, "rate")
            response = refusal(seconds_left)
        else:
            response = get_response(request)
        response.headers["X-Rate-Limit"] = str(limit)
        response.headers["X-Rate-Limit-Remaining"] = str(max(0, limit - count))
        return response

    return middleware


def caller_of(request: HttpRequest) -> tuple[str, int]:
    """(whom to count the request for, their limit): a valid token, or else the network address.

    Invalid tokens count for the address: guessing them must not be free.
    """
    given = credentials_of(request.META.get("HTTP_AUTHORIZATION", ""))
    found = find_token(given[1]) if given else None
    if found is not None:
        return f"token {found.digest[:40]}", settings.API_REQUESTS_PER_MINUTE["token"]
    address = get_adapter().get_client_ip(request)
    return f"address {address}", settings.API_REQUESTS_PER_MINUTE["address"]


def count_request(key: str) -> tuple[int, int]:
    """(requests of this minute, this one included; seconds until the next minute)."""
    table = connection.ops.quote_name(RateCounter._meta.db_table)
    statement = COUNT.format(table=table, clock=CLOCK[connection.vendor])
    with connection.cursor() as cursor:
        cursor.execute(statement, [key])
        count, minute, seconds_left = cursor.fetchone()
    if count == 1 and random.random() < 0.01:
        RateCounter.objects.filter(minute__lt=minute - FORGOTTEN_AFTER).delete()
    return count, seconds_left


def refusal(seconds_left: int) -> HttpResponseBase:
    """429 in Zendesk's words."""
    return JsonResponse(
        {
            "error": "APIRateLimitExceeded",
            "description": "Number of allowed API requests per minute exceeded",
        },
        status=429,
        headers={"Retry-After": str(seconds_left)},
    )

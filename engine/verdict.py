"""What an answer of Discord, or the lack of one, means for the attempt that got it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.discord_errors import JsonObject, clean_text, describe, error_code, json_object

WAIT_MARGIN_SECONDS = 0.05
"""Added to every wait that Discord names, against clocks that differ. Source: discord.js."""

MIN_WAIT_SECONDS = 1.0
"""Waited when a limit names zero or less, so that nobody loops."""

MAX_WAIT_SECONDS = 86_400.0
"""No named wait is longer: bans of an hour are known. Source: discord-api-docs issue 5385."""


class FailureKind(StrEnum):
    """What went wrong below HTTP."""

    DNS = "DNS"
    CONNECT = "CONNECT"
    TLS = "TLS"
    TIMEOUT = "TIMEOUT"
    RESET = "RESET"
    PROTOCOL = "PROTOCOL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; `headers` ignores case, `complete` is False when `body` was cut."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportFailure:
    """No status line came; `sent` says that the request may have reached Discord all the same."""

    kind: FailureKind
    sent: bool
    message: str


class Outcome(StrEnum):
    """What became of the message."""

    DELIVERED = "DELIVERED"
    REFUSED = "REFUSED"  # for good: the same request would be refused again
    LIMITED = "LIMITED"  # not taken now: the same attempt again, uncounted
    NOT_SENT = "NOT_SENT"  # surely not posted: safe to repeat
    UNCERTAIN = "UNCERTAIN"  # perhaps posted


class Stops(StrEnum):
    """How far a refusal reaches."""

    RUN = "RUN"
    TASK = "TASK"
    WEBHOOK = "WEBHOOK"  # every task with this id and token
    WEBHOOK_ID = "WEBHOOK_ID"  # every task with this id, whatever its token


class Waits(StrEnum):
    """What is held while a limit lasts."""

    NOTHING = "NOTHING"
    WEBHOOK = "WEBHOOK"
    CHANNEL = "CHANNEL"  # and the webhook
    ORIGIN = "ORIGIN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The state of a webhook's limit as its last answer told it."""

    limit: int
    remaining: int
    reset_after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do about an attempt.

    `wait_seconds` is None when nothing was named; if an origin then waits, the caller decides how
    long. `outage` says that Discord was not there, which is what the breaker counts.
    """

    outcome: Outcome
    message: str
    http_status: int | None = None
    discord_code: int | None = None
    message_id: str | None = None
    channel_id: str | None = None
    stops: Stops = Stops.RUN
    bucket: Bucket | None = None
    waits: Waits = Waits.NOTHING
    wait_seconds: float | None = None
    counts_as_invalid: bool = False
    outage: bool = False


_STOPS: Mapping[int | None, Stops] = {
    10003: Stops.TASK,  # unknown channel: the thread is gone, the webhook may live
    10015: Stops.WEBHOOK_ID,  # unknown webhook
    50001: Stops.WEBHOOK,  # missing access
    50013: Stops.WEBHOOK,  # missing permissions
    50027: Stops.WEBHOOK,  # invalid webhook token
}

# Discord's edge blocks an address with this code in JSON too (discord-api-docs issue 6473).
_BLOCKED_CODE = 40333

# 408 says that the request did not arrive in full, 425 that it was not looked at; the others come
# from an edge that did not reach Discord's application (520 and 524 do not say so).
_SURELY_NOT_POSTED = frozenset({408, 425, 502, 503, 521, 522, 523, 525, 526})
_OUTAGES = frozenset({502, 503, *range(520, 530)})


def judge(answer: Answer | TransportFailure) -> Verdict:
    """Say what an attempt's answer means; never raises, whatever came back.

    Source: Discord docs, Rate Limits and Opcodes; RFC 9110 section 15.
    """
    if isinstance(answer, TransportFailure):
        return _unanswered(answer)
    data = json_object(answer.body)
    status = answer.status
    if 200 <= status < 300:
        return _delivered(answer, data or {})
    if status == 429:
        return _limited(answer, data or {})
    if status == 403 and error_code(data) in (None, _BLOCKED_CODE):
        return _blocked(answer, data)
    if 300 <= status < 500 and status not in _SURELY_NOT_POSTED:
        return _refused(answer, data)
    return _broken(answer, data)


def _unanswered(failure: TransportFailure) -> Verdict:
    if failure.sent:
        message = f"{failure.message}; whether it was posted is unknown"
        return Verdict(outcome=Outcome.UNCERTAIN, message=clean_text(message))
    return Verdict(outcome=Outcome.NOT_SENT, message=clean_text(failure.message), outage=True)


def _delivered(answer: Answer, data: JsonObject) -> Verdict:
    message_id = _snowflake(data.get("id"))
    return Verdict(
        outcome=Outcome.DELIVERED,
        message="Delivered" if message_id else "Delivered; the answer did not tell its id",
        http_status=answer.status,
        message_id=message_id,
        channel_id=_snowflake(data.get("channel_id")),
        bucket=_bucket(answer.headers),
    )


def _limited(answer: Answer, data: JsonObject) -> Verdict:
    """Tell Discord's own limit, which names its wait, from an edge that holds our address."""
    headers = answer.headers
    wait = _wait_seconds(data.get("retry_after"))
    if wait is None:
        wait = _wait_seconds(headers.get("Retry-After"))
    scope = headers.get("X-RateLimit-Scope", "").lower()
    from_discord = "retry_after" in data and wait is not None and _passed_discord(headers)
    note = "" if from_discord else "our address is held"
    bucket = _bucket(headers)
    waits = Waits.CHANNEL if scope == "shared" else Waits.WEBHOOK
    return Verdict(
        outcome=Outcome.LIMITED,
        message=describe(answer.status, answer.body, data, note),
        http_status=answer.status,
        discord_code=error_code(data),
        # With sends left, this is another limit beneath the bucket, which stays as it was known.
        bucket=bucket if bucket is not None and bucket.remaining == 0 else None,
        waits=waits if from_discord and not _is_global(answer, data) else Waits.ORIGIN,
        wait_seconds=wait,
        counts_as_invalid=not (from_discord and scope == "shared"),
    )


def _blocked(answer: Answer, data: JsonObject | None) -> Verdict:
    return Verdict(
        outcome=Outcome.LIMITED,
        message=describe(answer.status, answer.body, data, "our address is blocked"),
        http_status=answer.status,
        discord_code=error_code(data),
        waits=Waits.ORIGIN,
        wait_seconds=_wait_seconds(answer.headers.get("Retry-After")),
        counts_as_invalid=True,
    )


def _refused(answer: Answer, data: JsonObject | None) -> Verdict:
    code = error_code(data)
    redirect = answer.status < 400
    note = "redirects are not followed" if redirect else ""
    return Verdict(
        outcome=Outcome.REFUSED,
        message=describe(answer.status, answer.body, data, note),
        http_status=answer.status,
        discord_code=code,
        stops=Stops.RUN if redirect else _STOPS.get(code, Stops.RUN),
        bucket=_bucket(answer.headers),
        counts_as_invalid=answer.status in (401, 403),
    )


def _broken(answer: Answer, data: JsonObject | None) -> Verdict:
    surely_not_posted = answer.status in _SURELY_NOT_POSTED
    note = "" if surely_not_posted else "whether it was posted is unknown"
    return Verdict(
        outcome=Outcome.NOT_SENT if surely_not_posted else Outcome.UNCERTAIN,
        message=describe(answer.status, answer.body, data, note),
        http_status=answer.status,
        discord_code=error_code(data),
        bucket=_bucket(answer.headers),
        wait_seconds=_wait_seconds(answer.headers.get("Retry-After")),
        outage=answer.status in _OUTAGES,
    )


def _bucket(headers: Mapping[str, str]) -> Bucket | None:
    try:
        limit = int(headers["X-RateLimit-Limit"])
        remaining = int(headers["X-RateLimit-Remaining"])
    except (KeyError, ValueError):
        return None
    reset_after = _number(headers.get("X-RateLimit-Reset-After"))
    if limit < 1 or remaining < 0 or reset_after is None or reset_after < 0:
        return None
    reset_after_seconds = min(reset_after, MAX_WAIT_SECONDS)
    return Bucket(limit=limit, remaining=remaining, reset_after_seconds=reset_after_seconds)


def _is_global(answer: Answer, data: JsonObject) -> bool:
    headers = answer.headers
    return (
        data.get("global") is True
        or headers.get("X-RateLimit-Scope", "").lower() == "global"
        or headers.get("X-RateLimit-Global", "").lower() == "true"
    )


def _passed_discord(headers: Mapping[str, str]) -> bool:
    return "Via" in headers or any(name.lower().startswith("x-ratelimit-") for name in headers)


def _wait_seconds(value: object) -> float | None:
    seconds = _number(value)
    if seconds is None:
        return None
    named = min(seconds, MAX_WAIT_SECONDS) if seconds > 0 else MIN_WAIT_SECONDS
    return named + WAIT_MARGIN_SECONDS


def _number(value: object) -> float | None:
    """Read what may be an int, a float or text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _snowflake(value: object) -> str | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        return value
    return None

"""How fast may be sent: Discord's limits as pauses, holds and rates."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.verdict import WAIT_MARGIN_SECONDS, Bucket

SENDS_PER_WINDOW = 5
WINDOW_SECONDS = 2.0
"""A webhook's limit until its headers tell it. Source: discord-api-docs pull request 6753."""

CHANNEL_SENDS = 30
CHANNEL_WINDOW_SECONDS = 60.0
"""All webhooks of a channel together; no header tells it. Source: discord-api-docs issue 367."""

INVALID_REQUESTS_PER_10_MIN = 10_000
"""More of 401, 403 and 429 bans the address. Source: Discord docs, Rate Limits."""

INVALID_REQUEST_BUDGET = INVALID_REQUESTS_PER_10_MIN // 2
"""Where we stop by ourselves."""

FIRST_HOLD_SECONDS = 60.0
MAX_HOLD_SECONDS = 900.0

_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_RATE = re.compile(r"([0-9]{1,9})\s*/\s*(second|minute|hour)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many in so many seconds."""

    count: int
    seconds: int


def parse_rate(text: str) -> Rate:
    """Read "50/second", "100/minute" or "1000/hour". Raises: ValueError with a sentence."""
    parts = _RATE.fullmatch(text.strip())
    if parts is None or int(parts[1]) < 1:
        raise ValueError(f"{text!r} is no rate; it takes a form like 50/second, /minute or /hour")
    return Rate(count=int(parts[1]), seconds=_UNIT_SECONDS[parts[2].lower()])


def lane_pause_seconds(bucket: Bucket | None) -> float:
    """Return how long a webhook rests by its headers: until the reset once nothing remains."""
    if bucket is None or bucket.remaining > 0:
        return 0.0
    return bucket.reset_after_seconds + WAIT_MARGIN_SECONDS


def pause_after(recent: Sequence[float], now: float, bucket: Bucket | None) -> float:
    """Return the seconds until a webhook may send again, its last answer having come at `now`.

    `recent` are the times when its channel's (else its own) last sends finished, this one included,
    the newest last; up to CHANNEL_SENDS of them are looked at. All times are of one clock.
    """
    channel = _window_pause(recent, now, CHANNEL_SENDS, CHANNEL_WINDOW_SECONDS)
    if bucket is not None:
        return max(channel, lane_pause_seconds(bucket))
    return max(channel, _window_pause(recent, now, SENDS_PER_WINDOW, WINDOW_SECONDS))


def origin_hold_seconds(previous_hold_seconds: float | None) -> float:
    """Return how long to hold an origin that named no wait: a minute, then twice the last hold."""
    if previous_hold_seconds is None:
        return FIRST_HOLD_SECONDS
    return min(max(2 * previous_hold_seconds, FIRST_HOLD_SECONDS), MAX_HOLD_SECONDS)


def _window_pause(recent: Sequence[float], now: float, sends: int, window_seconds: float) -> float:
    """Return the seconds until fewer than `sends` lie in the window that ends then."""
    if len(recent) < sends:
        return 0.0
    # A clock that stepped back must not stretch the pause beyond one window.
    age_seconds = max(now - recent[-sends], 0.0)
    if age_seconds >= window_seconds:
        return 0.0
    return window_seconds - age_seconds + WAIT_MARGIN_SECONDS

"""How fast may be sent: Discord's limits as pauses, holds and rates."""

import re
from dataclasses import dataclass
from datetime import timedelta

from engine.verdict import WAIT_MARGIN_SECONDS, Bucket

SENDS_PER_WINDOW = 5
WINDOW_SECONDS = 2.0
"""A webhook's limit until its headers tell it. Source: discord-api-docs pull request 6753."""

CHANNEL_SENDS = 30
CHANNEL_WINDOW_SECONDS = 60.0
CHANNEL_MARGIN_SECONDS = 0.005
"""All webhooks of a channel together; no header tells it. Source: discord-api-docs issue 367.

The margin is for requests that take uneven ways; see docs/decisions.
"""

CHANNEL_RESERVE_SECONDS = 15.0
"""An open request counts in its channel as sent this long after its claim, until it has ended.

No request is counted later: it leaves within 4 s of its claim, and ends within 10 s.
"""

INVALID_REQUESTS = 5_000
INVALID_WINDOW_MINUTES = 10
"""Half of what Discord bans an address for. Source: Discord docs, Rate Limits."""

OUTAGE_WEBHOOKS = 5
OUTAGE_WINDOW_SECONDS = 10.0
PROBE_SECONDS = 5.0

FIRST_HOLD_SECONDS = 60.0
MAX_HOLD_SECONDS = 900.0

_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_RATE = re.compile(r"([0-9]{1,9})\s*/\s*(second|minute|hour)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many in so many seconds."""

    count: int
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The origins that share one address' request rate, and that rate."""

    origins: tuple[str, ...]
    rate: Rate

    # A burst may take a tenth of the budget at once and the rest follows evenly, so that no span
    # of the rate's length, wherever it starts, holds more than nine tenths: what is left is for
    # requests that were held up on their way, and arrive among later ones.
    BURST_SHARE = 0.1
    STEADY_SHARE = 0.8

    @property
    def burst(self) -> float:
        """How many requests may leave at once."""
        return max(1.0, self.rate.count * self.BURST_SHARE)

    @property
    def slot(self) -> timedelta:
        """The time that each request takes up of the budget."""
        count = self.rate.count
        steady = max(min(count - self.burst, count * self.STEADY_SHARE), count / 2)
        return max(timedelta(seconds=self.rate.seconds / steady), timedelta.resolution)


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

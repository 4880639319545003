"""What follows an attempt: the one policy for retries."""

from dataclasses import dataclass
from typing import assert_never

from engine.verdict import Outcome, Verdict
from models.enums import DeliveryGuarantee, LogStatus

JITTER_SHARE = 0.1

MAX_RETRY_AFTER_SECONDS = 900.0
"""A failing server that asks for more is tried again after this all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The state an attempt ends in, and when the next one is due.

    QUEUED is the same attempt again, uncounted. `retry_in_seconds` is None when nothing follows,
    or, with QUEUED, when only the hold of the origin decides.
    """

    status: LogStatus
    retry_in_seconds: float | None = None


def backoff_seconds(retry_count: int, jitter: float) -> float:
    """Return the pause after attempt `retry_count`: 1, 2, 4 ..., plus 10 % of it times `jitter`."""
    return float(2**retry_count) * (1 + JITTER_SHARE * jitter)


def decide(
    verdict: Verdict,
    *,
    retry_count: int,
    max_retry: int,
    guarantee: DeliveryGuarantee,
    jitter: float,
) -> Decision:
    """Say what becomes of the attempt that got `verdict`; `jitter` is random in [0, 1)."""
    match verdict.outcome:
        case Outcome.DELIVERED:
            return Decision(status=LogStatus.SUCCESS)
        case Outcome.REFUSED:
            return Decision(status=LogStatus.FAILED)
        case Outcome.LIMITED:
            return Decision(status=LogStatus.QUEUED, retry_in_seconds=verdict.wait_seconds)
        case Outcome.UNCERTAIN if guarantee is DeliveryGuarantee.AT_MOST_ONCE:
            return Decision(status=LogStatus.UNKNOWN)
        case Outcome.NOT_SENT | Outcome.UNCERTAIN:
            if retry_count >= max_retry:
                return Decision(status=LogStatus.FAILED)
            asked = min(verdict.wait_seconds or 0.0, MAX_RETRY_AFTER_SECONDS)
            pause = max(backoff_seconds(retry_count, jitter), asked)
            return Decision(status=LogStatus.RETRYING, retry_in_seconds=pause)
        case _:
            assert_never(verdict.outcome)

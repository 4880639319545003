"""Deliver one claimed attempt: is it still to be sent, send it, say how it ended."""

import math
import random
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime

import orjson
import structlog

from engine.claims import Claim
from engine.client import DiscordClient
from engine.discord import WebhookAddress, parse_webhook_url
from engine.ending import Finished
from engine.errors import InvalidWebhookUrl
from engine.limits import lane_pause_seconds
from engine.message.rules import needs_components
from engine.metrics import (
    BUCKET_WAIT_SECONDS,
    LATENESS_SECONDS,
    RATE_LIMITED,
    REQUEST_SECONDS,
)
from engine.retry import decide
from engine.stored_urls import StoredUrls
from engine.verdict import Outcome, Stops, Verdict, Waits, judge
from models.enums import LogStatus, RunTrigger, TaskStatus

log = structlog.get_logger(__name__)

# So long the webhook rests that this copy could not read; by then others know that it is theirs.
UNREADABLE_SECONDS = 1.0
# The shortest of so many round trips is known; of fewer, all may have been slow on their way.
ROUND_TRIPS = 200
# Components are rare, so the payload is parsed only when it may have some.
_COMPONENTS = '"components"'


class _RoundTrips:
    """The shortest of the last ROUND_TRIPS to twice as many; 0 until there are so many."""

    def __init__(self) -> None:
        self._count = 0
        self._of_this_round = math.inf
        self._of_the_last = math.inf

    @property
    def shortest_seconds(self) -> float:
        """Return what is known."""
        is_known = self._of_the_last < math.inf
        return min(self._of_this_round, self._of_the_last) if is_known else 0.0

    def note(self, seconds: float) -> None:
        """Take another."""
        self._count += 1
        self._of_this_round = min(self._of_this_round, seconds)
        if self._count == ROUND_TRIPS:
            self._of_the_last, self._of_this_round, self._count = self._of_this_round, math.inf, 0


class Delivery:
    """Sends claims through the one HTTP client; knows nothing of the database."""

    def __init__(
        self,
        client: DiscordClient,
        urls: StoredUrls,
        *,
        origins: Collection[str],
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._urls = urls
        self._origins = origins
        self._clock = clock
        self._monotonic = monotonic
        self._jitter = jitter
        self._round_trips = _RoundTrips()

    def settle_unsent(self, claim: Claim) -> Finished | None:
        """Return how the attempt ends without being sent; None if it is to be sent."""
        if claim.is_deleted:
            return _unsent(claim, LogStatus.SKIPPED, "Skipped: the task was deleted.")
        if claim.trigger is not RunTrigger.MANUAL and claim.task_status is not TaskStatus.ACTIVE:
            reason = f"Skipped: the task was {claim.task_status} before this was sent."
            return _unsent(claim, LogStatus.SKIPPED, reason)
        if claim.is_expired:
            reason = "Given up: the run's deadline passed while it waited."
            return _unsent(claim, LogStatus.FAILED, reason)
        if claim.has_moved:
            return _unsent(claim, LogStatus.QUEUED, "Waits for the task's new webhook.")
        if claim.dead_reason is not None:
            reason = f"Not sent: Discord had refused this webhook for good ({claim.dead_reason})"
            return _unsent(claim, LogStatus.FAILED, reason)
        return None

    def address(self, claim: Claim) -> WebhookAddress | Finished:
        """Return where the claim goes, or how it ends because that can't be told.

        What this copy's keys can't read is given back, for a copy whose keys can.
        """
        url = self._urls.read(claim)
        if url is None:
            return Finished(
                claim=claim,
                status=LogStatus.QUEUED,
                message="Waits for a copy whose ENCRYPTION_KEYS can read its webhook URL.",
                knows_bucket=True,
                lane_pause_seconds=UNREADABLE_SECONDS,
            )
        try:
            return parse_webhook_url(url, origins=self._origins)
        except InvalidWebhookUrl as error:
            return _unsent(claim, LogStatus.FAILED, str(error), counts_as_failure=True)

    async def send(self, claim: Claim, address: WebhookAddress) -> Finished:
        """POST the attempt, once, and return how it ended."""
        with_components = _COMPONENTS in claim.payload and needs_components(
            orjson.loads(claim.payload)
        )
        sent_at, started = self._clock(), self._monotonic()
        answer = await self._client.post(
            address, claim.payload.encode(), with_components=with_components
        )
        duration_seconds = self._monotonic() - started
        verdict = judge(answer)
        lateness = sent_at - claim.scheduled_for.timestamp() if claim.retry_count == 0 else None
        end = self._finished(claim, verdict, duration_seconds, lateness)
        _observe(end, verdict, duration_seconds, lateness)
        return end

    def interrupted(self, claim: Claim, reason: str) -> Finished:
        """Return how an attempt ends whose sending broke off: its outcome is unknown."""
        verdict = Verdict(
            outcome=Outcome.UNCERTAIN, message=f"Whether it was posted is unknown: {reason}"
        )
        return self._finished(claim, verdict, None, None)

    def _finished(
        self, claim: Claim, verdict: Verdict, duration_seconds: float | None, lateness: float | None
    ) -> Finished:
        decision = decide(
            verdict,
            retry_count=claim.retry_count,
            max_retry=claim.max_retry,
            guarantee=claim.delivery_guarantee,
            jitter=self._jitter(),
        )
        pause_seconds = lane_pause_seconds(verdict.bucket)
        if verdict.waits in (Waits.WEBHOOK, Waits.CHANNEL):
            pause_seconds = max(pause_seconds, verdict.wait_seconds or 0.0)
        return Finished(
            claim=claim,
            status=decision.status,
            message=verdict.message,
            http_status=verdict.http_status,
            duration_ms=_ms(duration_seconds),
            lateness_ms=_ms(lateness),
            message_id=verdict.message_id,
            channel_id=verdict.channel_id,
            counted_at=self._counted_at(verdict, duration_seconds),
            counts_as_failure=True,
            stops=verdict.stops,
            retry_in_seconds=decision.retry_in_seconds,
            lane_pause_seconds=pause_seconds,
            knows_bucket=verdict.bucket is not None,
            holds_channel=verdict.waits is Waits.CHANNEL,
            holds_origin=verdict.waits is Waits.ORIGIN,
            hold_seconds=verdict.wait_seconds,
            is_outage=verdict.outage,
            counts_as_invalid=verdict.counts_as_invalid,
        )

    def _counted_at(self, verdict: Verdict, duration_seconds: float | None) -> datetime | None:
        """Return the latest instant at which Discord can have counted this request, by the clock.

        It was counted before the answer came, by the way back at least. So much will the next
        request take at least on its way, so a full round trip of the shortest kind is left out:
        else a webhook that sends exactly at its limit would fall behind with every request.
        """
        if verdict.outcome is Outcome.NOT_SENT and verdict.http_status is None:
            return None
        if duration_seconds is not None:
            self._round_trips.note(duration_seconds)
        return datetime.fromtimestamp(self._clock() - self._round_trips.shortest_seconds, UTC)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _unsent(
    claim: Claim, status: LogStatus, message: str, *, counts_as_failure: bool = False
) -> Finished:
    log.info(
        "attempt_not_sent",
        task_id=str(claim.task_id),
        run_id=str(claim.run_id),
        webhook_id=claim.webhook_id,
        status=status,
        retry_count=claim.retry_count,
        reason=message,
    )
    return Finished(
        claim=claim,
        status=status,
        message=message,
        counts_as_failure=counts_as_failure,
        knows_bucket=True,
        stops=Stops.RUN,
    )


def _observe(
    end: Finished, verdict: Verdict, duration_seconds: float, lateness: float | None
) -> None:
    REQUEST_SECONDS.observe(duration_seconds)
    BUCKET_WAIT_SECONDS.observe(end.claim.rested_seconds)
    if lateness is not None and end.claim.trigger is RunTrigger.SCHEDULE:
        LATENESS_SECONDS.observe(max(lateness, 0.0))
    if verdict.outcome is Outcome.LIMITED:
        RATE_LIMITED.labels(verdict.waits).inc()
    log.info(
        "attempt_sent",
        task_id=str(end.claim.task_id),
        run_id=str(end.claim.run_id),
        webhook_id=end.claim.webhook_id,
        status=end.status,
        http_status=end.http_status,
        retry_count=end.claim.retry_count,
        duration_ms=end.duration_ms,
        lateness_ms=end.lateness_ms,
        due=end.claim.scheduled_for.isoformat(),
    )

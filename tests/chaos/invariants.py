"""The invariants, checked from the outside; what breaks one is told with its evidence."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg

from engine.cron import parse_schedule
from engine.takeover import TAKEN_OVER, UNKNOWN
from tests.chaos.observer import Observed, Period
from tests.fake_discord import Received

# A change stores the ticks before it, and then takes this long at most to be made, on a machine
# that is busy.
CHANGE_SECONDS = 1.0
_OUTPUT_SIGNS = ("Traceback", "part_failed", "never retrieved", '"level":"error"')

Ticks = Counter[tuple[UUID, datetime]]


@dataclass(slots=True, kw_only=True)
class TickCount:
    """The ticks that had to be stored, and how the record covers them.

    `cut` are the ticks, by their age in seconds, that a change ended before they were stored.
    """

    required: set[tuple[UUID, datetime]] = field(default_factory=set)
    covered: Ticks = field(default_factory=Counter)
    cut: list[tuple[UUID, datetime, float]] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)

    @property
    def lost(self) -> list[tuple[UUID, datetime]]:
        """The ticks that no row accounts for."""
        return sorted(tick for tick in self.required if not self.covered[tick])

    @property
    def doubled(self) -> list[tuple[UUID, datetime]]:
        """The ticks that more than one row accounts for."""
        return sorted(tick for tick, rows in self.covered.items() if rows > 1)

    @property
    def strays(self) -> list[tuple[UUID, datetime]]:
        """What was stored though the task was not ACTIVE, or had no such tick."""
        return sorted(tick for tick in self.covered if tick not in self.required)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCount:
    """Requests that came, attempts that were sent, and the requests beyond those.

    A takeover's time counts from the claim that it ends.
    """

    requests: int
    attempts: int
    repeated: int
    taken_over: int
    given_up: int
    slowest_takeover_seconds: float
    breaches: list[str]


def count_ticks(observed: Observed) -> TickCount:
    """Compare the record with the ticks of every period in which a task was ACTIVE."""
    count = TickCount()
    by_task: dict[UUID, list[datetime]] = defaultdict(list)
    for period in observed.periods:
        schedule = parse_schedule(period.schedule, period.timezone)
        ticks = list(schedule.ticks_between(period.start, period.accounted))
        by_task[period.task_id] += ticks
        count.cut += _cut(period)
    count.required = {(task, tick) for task, ticks in by_task.items() for tick in ticks}
    for row in observed.attempts:
        if row["trigger"] == "MANUAL" or row["retry_count"] > 0:
            continue
        ticks = _covered(row, by_task[row["task_id"]])
        count.covered.update((row["task_id"], tick) for tick in ticks)
        if row["skipped_from"] is not None and row["skipped_count"] != len(ticks):
            count.breaches.append(f"a range of {len(ticks)} ticks says otherwise: {_shown(row)}")
    named = {"lost": count.lost, "stored twice": count.doubled, "not of its task": count.strays}
    for problem, found in named.items():
        count.breaches += [f"tick {problem}: {tick} of task {task}" for task, tick in found]
    for task, tick, age in count.cut:
        if age > CHANGE_SECONDS:
            count.breaches.append(
                f"tick not stored: {tick} of task {task}, ACTIVE for {age:.2f} s more"
            )
    return count


def _cut(period: Period) -> Iterator[tuple[UUID, datetime, float]]:
    if period.end is not None and period.end > period.accounted:
        schedule = parse_schedule(period.schedule, period.timezone)
        for tick in schedule.ticks_between(max(period.start, period.accounted), period.end):
            yield period.task_id, tick, (period.end - tick).total_seconds()


def _covered(row: asyncpg.Record, ticks: Sequence[datetime]) -> list[datetime]:
    if row["skipped_from"] is None:
        return [row["scheduled_for"]]
    return [tick for tick in ticks if row["skipped_from"] <= tick <= row["scheduled_for"]]


def check_rows(observed: Observed) -> list[str]:
    """Every row is final, every retry follows, nothing is held, the feed has no gap."""
    attempts = observed.attempts
    breaches = [f"not final: {_shown(row)}" for row in attempts if row["status"] == "QUEUED"]
    steps = {(row["run_id"], row["retry_count"]) for row in attempts}
    breaches += [
        f"no retry follows: {_shown(row)}"
        for row in attempts
        if row["status"] == "RETRYING" and (row["run_id"], row["retry_count"] + 1) not in steps
    ]
    if observed.owned:
        breaches.append(f"{observed.owned} lanes are still held")
    feed = sorted(row["feed_id"] or 0 for row in attempts)
    if feed != list(range(1, observed.feed + 1)):
        breaches.append(f"the feed has gaps: {len(feed)} rows, the counter is {observed.feed}")
    return breaches


def count_requests(
    observed: Observed, requests: Sequence[Received], *, excused: Collection[str]
) -> RequestCount:
    """Compare what came to Discord with what was recorded, for each task's own webhook.

    A claim that was given back by a takeover may have sent; any other sent nothing. `excused` are
    the ids of the copies that were killed, or stopped for long.
    """
    taken = [row for row in observed.returns if row["message"] == TAKEN_OVER]
    unknown = [row for row in observed.attempts if row["message"] == UNKNOWN]
    breaches = [
        f"taken over from a copy that lived: {dict(row)}"
        for row, owner in [
            *((row, row["instance_id"]) for row in taken),
            *((row, row["claimed_by"]) for row in unknown),
        ]
        if str(owner) not in excused
    ]
    came, posted = _by_webhook(requests)
    sent = _sent(observed.attempts)
    answered = Counter(row["task_id"] for row in observed.attempts if row["http_status"])
    resendable = Counter(row["task_id"] for row in taken)
    repeated = 0
    for task, webhook in observed.webhooks.items():
        expected = sum(sent[task].values())
        problem = _problem(
            sent[task],
            came=came[webhook],
            posted=posted[webhook],
            answered=answered[task],
            most=expected + resendable[task],
            at_most_once=observed.guarantees[task] == {"AT_MOST_ONCE"},
        )
        repeated += max(0, came[webhook] - expected)
        if problem:
            counts = f"{came[webhook]} requests, {posted[webhook]} posted, {dict(sent[task])}"
            breaches.append(f"{problem}: task {task}: {counts}, {resendable[task]} taken over")
    return RequestCount(
        requests=len(requests),
        attempts=sum(sum(statuses.values()) for statuses in sent.values()),
        repeated=repeated,
        taken_over=len(taken),
        given_up=len(unknown),
        slowest_takeover_seconds=max(
            (
                *((row["at"] - row["started_at"]).total_seconds() for row in taken),
                *((row["finished_at"] - row["started_at"]).total_seconds() for row in unknown),
            ),
            default=0.0,
        ),
        breaches=breaches,
    )


def _problem(
    sent: Counter[str],
    *,
    came: int,
    posted: int,
    answered: int,
    most: int,
    at_most_once: bool,
) -> str | None:
    if posted < sent["SUCCESS"]:
        return "more SUCCESS than posts"
    if came > most:
        return "more requests than attempts and takeovers"
    if at_most_once and came > sum(sent.values()):
        return "AT_MOST_ONCE sent more than once"
    if came < answered:
        return "more answers than requests"
    return None


def _by_webhook(requests: Sequence[Received]) -> tuple[Counter[str], Counter[str]]:
    came = Counter(request.webhook_id for request in requests)
    posted = Counter(request.webhook_id for request in requests if request.status == 200)
    return came, posted


def _sent(attempts: Sequence[asyncpg.Record]) -> Mapping[UUID, Counter[str]]:
    """Return, by task and status, the attempts that a request may belong to."""
    sent: dict[UUID, Counter[str]] = defaultdict(Counter)
    for row in attempts:
        if row["status"] != "SKIPPED":
            sent[row["task_id"]][row["status"]] += 1
    return sent


def check_acknowledged(
    observed: Observed, *, created: Collection[str], triggered: Collection[str]
) -> list[str]:
    """What the API answered with success is stored."""
    tasks = {str(task) for task in observed.webhooks}
    runs = {str(row["id"]) for row in observed.attempts}
    return [
        *(f"task created and lost: {task}" for task in sorted(set(created) - tasks)),
        *(f"run triggered and lost: {run}" for run in sorted(set(triggered) - runs)),
    ]


def check_outputs(outputs: Sequence[tuple[str, str]]) -> list[str]:
    """No copy says that something happened which nobody expected."""
    return [
        f"{name} printed: {line}"
        for name, text in outputs
        for line in text.splitlines()
        if any(sign in line for sign in _OUTPUT_SIGNS)
    ]


def _shown(row: asyncpg.Record) -> str:
    return ", ".join(f"{key}={value}" for key, value in row.items() if value is not None)

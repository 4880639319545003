"""The figures of the dashboard."""

import asyncio
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from math import ceil, floor
from typing import Any

from engine.cache import Cache
from engine.cron import parse_schedule
from engine.errors import InvalidSchedule
from engine.log_counts import HIDDEN, UNCOUNTED
from models.database import Database
from models.enums import LogStatus

# How old the runs' figures may be; those of the tasks also end with any change of a task.
KEPT_SECONDS = 60.0
# Schedules are computed in so many at a time, so that the loop stays free in between.
BATCH = 50
# What stands in place of a bucket for an attempt that is not the first, or was not sent.
NO_BUCKET = -32768

_TASKS = """
select statement_timestamp() as now,
    count(*) as total,
    count(*) filter (where status = 'ACTIVE') as active,
    count(*) filter (where status = 'INACTIVE') as inactive,
    count(*) filter (where status = 'FAILED') as failed
from tasks where deleted_at is null
"""

# Whole hours and minutes from the roll-ups; by indexes what of the day is before them, in no
# roll-up yet, or of a deleted task.
_SINCE = "statement_timestamp() - interval '24 hours'"
_MINUTE = f"(date_bin('1 minute', {_SINCE}, 'epoch') + interval '1 minute')"
_HOUR = f"(date_bin('1 hour', {_SINCE}, 'epoch') + interval '1 hour')"
_RUNS = f"""
with {HIDDEN}, {UNCOUNTED}, runs as (
    select status, is_first, bucket, n, lateness_ms from log_lateness r
    where r.span_seconds = 3600 and r.start >= {_HOUR}
    union all
    select status, is_first, bucket, n, lateness_ms from log_lateness r
    where r.span_seconds = 60 and r.start >= {_MINUTE} and r.start < {_HOUR}
    union all
    select l.status, l.retry_count = 0, lateness_bucket(l.retry_count, l.lateness_ms), l.n,
        l.n * greatest(0.1, least(l.lateness_ms, 1e12))
    from (
        select l.status, l.retry_count, l.lateness_ms, 1 as n from task_logs l
        where l.execution_time > {_SINCE} and l.execution_time < {_MINUTE}
            and l.task_id not in (select id from hidden)
        union all
        select l.status, l.retry_count, l.lateness_ms, 1 from uncounted l
        where l.execution_time >= {_MINUTE} and l.task_id not in (select id from hidden)
        union all
        select l.status, l.retry_count, l.lateness_ms, -1
        from hidden h cross join lateral (
            select * from task_logs where task_id = h.id and execution_time >= {_MINUTE} offset 0
        ) l
        where l.feed_id <= (select counted from log_fold)
    ) l
)
select status, is_first, bucket, sum(n)::bigint as n, sum(lateness_ms) as lateness_ms
from runs group by status, is_first, bucket having sum(n) > 0
"""  # noqa: S608 - constants of ours

_QUEUED = """
select count(*) from task_logs l join tasks t on t.id = l.task_id and t.deleted_at is null
where l.status = 'QUEUED'
"""

_SCHEDULES = """
select distinct schedule, timezone from tasks where status = 'ACTIVE' and deleted_at is null
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStats:
    """How runs went; the rate is between 0 and 1, or None while none has ended."""

    succeeded: int
    failed: int
    retried: int
    skipped: int
    success_rate: float | None
    lateness_ms_p50: float | None
    lateness_ms_p99: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard:
    """The tasks by status, the runs of the last 24 hours, and what comes next."""

    total: int
    active: int
    inactive: int
    failed: int
    last_24h: RunStats
    queued: int
    next_run_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tasks:
    """The dashboard's part that changes with tasks, and with time when the next one has run."""

    now: datetime
    total: int
    active: int
    inactive: int
    failed: int
    next_run_at: datetime | None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "_Tasks":
        at, now = stored["next_run_at"], datetime.fromisoformat(stored["now"])
        return cls(**{**stored, "now": now, "next_run_at": at and datetime.fromisoformat(at)})

    @property
    def seconds(self) -> float:
        """For how long it is right, unless a task changes."""
        if self.next_run_at is None:
            return KEPT_SECONDS
        return min((self.next_run_at - self.now).total_seconds(), KEPT_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """The dashboard's part that changes all the time, and is shown a minute old."""

    last_24h: RunStats
    queued: int

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "_Runs":
        return cls(last_24h=RunStats(**stored["last_24h"]), queued=stored["queued"])


class Statistics:
    """Counts tasks and runs."""

    def __init__(self, database: Database, cache: Cache | None = None) -> None:
        self._database = database
        self._cache = cache or Cache()

    async def dashboard(self) -> Dashboard:
        """Return the figures: of tasks as they are now, of runs and the queue at most a minute old.

        Raises:
            DatabaseUnavailable: the server can't be reached.
        """
        tasks = await self._cache.read(
            "dashboard:tasks", self._tasks, restore=_Tasks.of, seconds=lambda kept: kept.seconds
        )
        runs = await self._cache.read(
            "dashboard:runs",
            self._runs,
            restore=_Runs.of,
            seconds=lambda _: KEPT_SECONDS,
            until_change=False,
        )
        return Dashboard(
            total=tasks.total,
            active=tasks.active,
            inactive=tasks.inactive,
            failed=tasks.failed,
            last_24h=runs.last_24h,
            queued=runs.queued,
            next_run_at=tasks.next_run_at,
        )

    async def _tasks(self) -> _Tasks:
        (counts,) = await self._database.read(_TASKS)
        schedules = await self._database.read(_SCHEDULES)
        pairs = [(row["schedule"], row["timezone"]) for row in schedules]
        return _Tasks(**counts, next_run_at=await _earliest(pairs, counts["now"]))

    async def _runs(self) -> _Runs:
        runs = await self._database.read(_RUNS)
        (queued,) = await self._database.read(_QUEUED)
        return _Runs(last_24h=run_stats([dict(row) for row in runs]), queued=queued[0])


def run_stats(groups: Iterable[Mapping[str, Any]]) -> RunStats:
    """Return the figures of attempts in groups of one status, `is_first` and `bucket`.

    A run ends with its one SUCCESS, FAILED or SKIPPED row, and is retried after its attempt 0.
    """
    counts: Counter[str] = Counter()
    retried = 0
    lateness: defaultdict[int, list[float]] = defaultdict(lambda: [0, 0.0])
    for group in groups:
        counts[group["status"]] += group["n"]
        if group["is_first"] and group["status"] == LogStatus.RETRYING:
            retried += group["n"]
        if group["bucket"] != NO_BUCKET:
            lateness[group["bucket"]][0] += group["n"]
            lateness[group["bucket"]][1] += group["lateness_ms"]
    ended = counts[LogStatus.SUCCESS] + counts[LogStatus.FAILED]
    buckets = [(int(n), total / n) for _, (n, total) in sorted(lateness.items())]
    return RunStats(
        succeeded=counts[LogStatus.SUCCESS],
        failed=counts[LogStatus.FAILED],
        retried=retried,
        skipped=counts[LogStatus.SKIPPED],
        success_rate=counts[LogStatus.SUCCESS] / ended if ended else None,
        lateness_ms_p50=_percentile(buckets, 0.5),
        lateness_ms_p99=_percentile(buckets, 0.99),
    )


def _percentile(buckets: Sequence[tuple[int, float]], fraction: float) -> float | None:
    """Return the value at a fraction of all, between two if it is, or None without any.

    Each bucket is a number of values and their mean, which stands for each of them.
    """
    total = sum(n for n, _ in buckets)
    if not total:
        return None
    place = fraction * (total - 1)
    below, above = _at(buckets, floor(place)), _at(buckets, ceil(place))
    return round(below + (above - below) * (place % 1), 3)


def _at(buckets: Sequence[tuple[int, float]], place: int) -> float:
    """Return the value of which so many are less."""
    ends = list(accumulate(n for n, _ in buckets))
    return buckets[bisect_right(ends, place)][1]


async def _earliest(schedules: Iterable[tuple[str, str]], now: datetime) -> datetime | None:
    """Return the first tick of any of them; one that can't be read has none."""
    earliest: datetime | None = None
    for done, (expression, timezone) in enumerate(schedules):
        if done % BATCH == 0:
            await asyncio.sleep(0)
        try:
            tick = parse_schedule(expression, timezone).next_after(now)
        except InvalidSchedule:
            continue
        earliest = tick if earliest is None else min(earliest, tick)
    return earliest

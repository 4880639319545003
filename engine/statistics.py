"""The figures of the dashboard."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from engine.cron import parse_schedule
from engine.errors import InvalidSchedule
from models.database import Database

# Schedules are computed in so many at a time, so that the loop stays free in between.
BATCH = 50

_TASKS = """
select statement_timestamp() as now,
    count(*) as total,
    count(*) filter (where status = 'ACTIVE') as active,
    count(*) filter (where status = 'INACTIVE') as inactive,
    count(*) filter (where status = 'FAILED') as failed
from tasks where deleted_at is null
"""

# A run ends with its one SUCCESS, FAILED or SKIPPED row, and is retried after its attempt 0.
_RUNS = """
select count(*) filter (where l.status = 'SUCCESS') as succeeded,
    count(*) filter (where l.status = 'FAILED') as failed,
    count(*) filter (where l.status = 'RETRYING' and l.retry_count = 0) as retried,
    count(*) filter (where l.status = 'SKIPPED') as skipped,
    percentile_cont(array[0.5, 0.99]) within group (order by l.lateness_ms)
        filter (where l.retry_count = 0) as lateness_ms
from task_logs l join tasks t on t.id = l.task_id and t.deleted_at is null
where l.execution_time > statement_timestamp() - interval '24 hours'
"""

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


class Statistics:
    """Counts tasks and runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def dashboard(self) -> Dashboard:
        """Return the figures as they are now.

        Raises:
            DatabaseUnavailable: the server can't be reached.
        """
        async with self._database.connection() as connection:
            tasks = dict(await connection.fetchrow(_TASKS) or {})
            runs = dict(await connection.fetchrow(_RUNS) or {})
            queued = await connection.fetchval(_QUEUED)
            schedules = await connection.fetch(_SCHEDULES)
        now = tasks.pop("now")
        return Dashboard(
            **tasks,
            last_24h=_run_stats(**runs),
            queued=queued,
            next_run_at=await _earliest([(row[0], row[1]) for row in schedules], now),
        )


def _run_stats(
    *, succeeded: int, failed: int, retried: int, skipped: int, lateness_ms: list[float] | None
) -> RunStats:
    ended = succeeded + failed
    p50, p99 = lateness_ms or (None, None)
    return RunStats(
        succeeded=succeeded,
        failed=failed,
        retried=retried,
        skipped=skipped,
        success_rate=succeeded / ended if ended else None,
        lateness_ms_p50=p50,
        lateness_ms_p99=p99,
    )


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

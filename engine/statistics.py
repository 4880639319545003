"""The figures of the dashboard."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.cache import Cache
from engine.cron import parse_schedule
from engine.errors import InvalidSchedule
from engine.run_stats import RUNS, RunStats, run_stats
from models.database import Database

# How old the runs' figures may be; those of the tasks also end with any change of a task.
KEPT_SECONDS = 60.0
# So far ahead all ticks are remembered: a task that fires each second doesn't end what is kept.
AHEAD = timedelta(seconds=10)
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

_QUEUED = """
select count(*) from task_logs l join tasks t on t.id = l.task_id and t.deleted_at is null
where l.status = 'QUEUED'
"""

_SCHEDULES = """
select distinct schedule, timezone from tasks where status = 'ACTIVE' and deleted_at is null
"""


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
    """The dashboard's part that changes with tasks, and with time when the ticks are over."""

    now: datetime
    total: int
    active: int
    inactive: int
    failed: int
    upcoming: list[datetime]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "_Tasks":
        upcoming = [datetime.fromisoformat(at) for at in stored["upcoming"]]
        now = datetime.fromisoformat(stored["now"])
        return cls(**{**stored, "now": now, "upcoming": upcoming})

    @property
    def seconds(self) -> float:
        """For how long it is right, unless a task changes."""
        if not self.upcoming:
            return KEPT_SECONDS
        return min((self.upcoming[-1] - self.now).total_seconds(), KEPT_SECONDS)

    def next_run_at(self, now: datetime) -> datetime | None:
        """Return the first tick after `now`."""
        last = self.upcoming[-1] if self.upcoming else None
        return next((at for at in self.upcoming if at > now), last)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runs:
    """The dashboard's part that changes all the time, and is shown a minute old."""

    last_24h: RunStats
    queued: int

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "_Runs":
        return cls(last_24h=RunStats(**stored["last_24h"]), queued=stored["queued"])


class Statistics:
    """Counts tasks and runs; `clock` gives epoch seconds, best the database's."""

    def __init__(
        self,
        database: Database,
        cache: Cache | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._cache = cache or Cache()
        self._clock = clock

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
            next_run_at=tasks.next_run_at(datetime.fromtimestamp(self._clock(), UTC)),
        )

    async def _tasks(self) -> _Tasks:
        (counts,) = await self._database.read(_TASKS)
        schedules = await self._database.read(_SCHEDULES)
        pairs = [(row["schedule"], row["timezone"]) for row in schedules]
        return _Tasks(**counts, upcoming=await _upcoming(pairs, counts["now"]))

    async def _runs(self) -> _Runs:
        runs = await self._database.read(RUNS)
        (queued,) = await self._database.read(_QUEUED)
        return _Runs(last_24h=run_stats([dict(row) for row in runs]), queued=queued[0])


async def _upcoming(schedules: Iterable[tuple[str, str]], now: datetime) -> list[datetime]:
    """Return all ticks until AHEAD and the first one after; a schedule that can't be read has none.

    They are in order, and each instant is there once.
    """
    soon: set[datetime] = set()
    later: datetime | None = None
    for done, (expression, timezone) in enumerate(schedules):
        if done % BATCH == 0:
            await asyncio.sleep(0)
        try:
            schedule = parse_schedule(expression, timezone)
            tick = schedule.next_after(now)
            while tick <= now + AHEAD:
                soon.add(tick)
                tick = schedule.next_after(tick)
        except InvalidSchedule:
            continue
        later = tick if later is None else min(later, tick)
    return sorted(soon) if later is None else [*sorted(soon), later]

"""A job on an event loop and a clock that stand still until told to move."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from typing import cast
from uuid import UUID

from engine.cron import parse_schedule
from engine.job import TaskJob

TASK_ID = UUID("0190a7c4-0000-7000-8000-000000000001")
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class FakeLoop:
    """An event loop whose time stands still until told to move, beside a clock that can step."""

    def __init__(self, start: datetime = NOON) -> None:
        self.monotonic = 1000.0
        self.wall = start.timestamp()
        self.rate = 1.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._order = count()

    def time(self) -> float:
        return self.monotonic

    def clock(self) -> float:
        return self.wall

    def as_loop(self) -> asyncio.AbstractEventLoop:
        return cast("asyncio.AbstractEventLoop", self)

    def get_debug(self) -> bool:
        return False

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, (), self.as_loop())
        heappush(self._timers, (when, next(self._order), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: what is cancelled is left out when its time comes."""

    def timers(self) -> list[float]:
        """Return how long each live timer has to wait yet, in seconds."""
        return [when - self.monotonic for when, _, h in sorted(self._timers) if not h.cancelled()]

    def stall(self, seconds: float) -> None:
        """Let time pass without running what becomes due, as a blocked loop does."""
        self.monotonic += seconds
        self.wall += seconds * self.rate

    def turn(self, *, early_seconds: float = 0.0) -> None:
        """Run what is due, or will be within `early_seconds`, once."""
        due = []
        while self._timers and self._timers[0][0] <= self.monotonic + early_seconds:
            due.append(heappop(self._timers)[2])
        for handle in due:
            if not handle.cancelled():
                handle._run()

    def run(self, seconds: float) -> None:
        """Let time pass, running each timer when it is due."""
        end = self.monotonic + seconds
        while self._timers and self._timers[0][0] <= end:
            self.stall(max(self._timers[0][0] - self.monotonic, 0.0))
            self.turn()
        self.stall(end - self.monotonic)


class Reports:
    """What a job reported: each call with the clock's reading at that moment."""

    def __init__(self, loop: FakeLoop) -> None:
        self.loop = loop
        self.calls: list[tuple[float, list[datetime]]] = []
        self.since: list[datetime] = []
        self.gaps: list[float] = []
        self.at_report: Callable[[TaskJob], None] = lambda job: None

    def on_ticks(self, job: TaskJob, since: datetime, ticks: Sequence[datetime]) -> None:
        self.since.append(since)
        self.calls.append((self.loop.wall, list(ticks)))
        self.at_report(job)

    def on_gap(self, job: TaskJob) -> None:
        self.gaps.append(self.loop.wall)
        self.at_report(job)

    @property
    def ticks(self) -> list[datetime]:
        return [tick for _, ticks in self.calls for tick in ticks]

    @property
    def latenesses(self) -> list[float]:
        return [at - tick.timestamp() for at, ticks in self.calls for tick in ticks]


def make_job(reports: Reports, expression: str, timezone: str = "UTC") -> TaskJob:
    return TaskJob(
        task_id=TASK_ID,
        version=3,
        checksum=7,
        schedule=parse_schedule(expression, timezone),
        loop=reports.loop.as_loop(),
        clock=reports.loop.clock,
        on_ticks=reports.on_ticks,
        on_gap=reports.on_gap,
    )


def started(reports: Reports, expression: str, timezone: str = "UTC") -> TaskJob:
    job = make_job(reports, expression, timezone)
    job.start()
    return job


def every(step_seconds: float, first: datetime, how_many: int) -> list[datetime]:
    return [first + timedelta(seconds=step_seconds * n) for n in range(how_many)]

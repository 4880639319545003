"""The timer of one ACTIVE task: an aiocron job that follows the wall clock and knows its ticks."""

import math
from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import UUID

import structlog
from aiocron import Cron

LAST_SLEEP_SECONDS: Final = 30.0
"""A job that has longer to wait reads the clock again before its tick."""

SLEEP_SHARE: Final = 0.9
"""The part of a longer wait that it sleeps.

Steps of the clock are told by `reanchor`. Corrections too small for that come once per heartbeat,
and make it faster than the loop's by less than a tenth.
"""

LATE_SECONDS: Final = 5.0
"""A tick noticed later than this is a misfire, which the job leaves to `on_gap`."""

_logger: Final[structlog.typing.FilteringBoundLogger] = structlog.get_logger(__name__)


class Ticking(Protocol):
    """What a job needs of a schedule."""

    @property
    def expression(self) -> str:
        """The schedule as it was given."""

    def next_after(self, at: datetime) -> datetime:
        """Return the first tick that is strictly later than `at`."""


class TaskJob(Cron):  # type: ignore[misc] # aiocron has no types
    """Report the ticks of one version of a task, none early, on a clock that may step.

    The timer is aiocron's (start, stop, handle, call_next). Its way to read the clock once and to
    add up from there, which every step of the clock puts off for good, is replaced: each wake
    reads the clock, and sleeps again if nothing is due. There may be 100,000 jobs in a process,
    so no more than the next tick is kept, and `Cron.__init__`, which makes a wrapped coroutine, a
    UUID and more, is not called. aiocron's `next()` is not supported.
    """

    # With slots for aiocron's own attributes too, no instance gets a dict.
    __slots__ = (
        "_clock",
        "_on_gap",
        "_on_ticks",
        "_seen",
        "_since",
        "checksum",
        "cronsim",
        "future",
        "handle",
        "last_tick",
        "loop",
        "next_tick",
        "schedule",
        "spec",
        "task_id",
        "version",
    )

    loop: AbstractEventLoop
    handle: TimerHandle | None
    future: Future[None] | None
    cronsim: None

    def __init__(
        self,
        *,
        task_id: UUID,
        version: int,
        checksum: int,
        schedule: Ticking,
        loop: AbstractEventLoop,
        clock: Callable[[], float],
        on_ticks: Callable[["TaskJob", datetime, Sequence[datetime]], None],
        on_gap: Callable[["TaskJob"], None],
    ) -> None:
        """Make a stopped job.

        `clock` gives epoch seconds and may step. `on_ticks` gets the ticks that are due, oldest
        first, and before them an instant from which on there are no others; `on_gap` is called
        instead when the oldest is more than LATE_SECONDS late. Both must be quick; what they raise
        is logged. After the clock stepped back, ticks may come again.
        """
        self.loop = loop
        self.handle = self.future = self.cronsim = None
        self.spec = schedule.expression
        self.task_id = task_id
        self.version = version
        self.checksum = checksum
        self.schedule = schedule
        self.last_tick: datetime | None = None
        self.next_tick: datetime
        self._seen: float
        self._since: datetime
        self._clock = clock
        self._on_ticks = on_ticks
        self._on_gap = on_gap

    def start(self, after: datetime | None = None) -> None:
        """Report every tick later than `after` (left out: now) from here on.

        What is due already is reported on the loop's next turn, as a gap if it is old.
        """
        self._seen = self._clock()
        self._wait_from(_floor(self._seen) if after is None else after)
        self._set_timer()

    def reanchor(self) -> None:
        """Set the timer by the clock as it is now; to be called when the clock has jumped."""
        if self.handle is not None:
            self._set_timer()

    def initialize(self) -> None:
        """Do nothing: aiocron's one reading of the clock is not used."""

    def get_next(self) -> float:
        """Return when to wake next, in the loop's time."""
        now = self._clock()
        # When the clock stepped back, an earlier tick may come first.
        if now < self._seen and self.schedule.next_after(_floor(now)) < self.next_tick:
            self._wait_from(_floor(now))
        self._seen = now
        wait = max(self.next_tick.timestamp() - now, 0.0)
        return self.loop.time() + min(wait, max(wait * SLEEP_SHARE, LAST_SLEEP_SECONDS))

    def call_next(self) -> None:
        """Take what is due by the clock, set the next timer, then report.

        In this order, so that the one who is told may stop the job.
        """
        now = self._clock()
        late_seconds = now - self.next_tick.timestamp()
        ticks: Sequence[datetime] = ()
        since = self._since
        if late_seconds > LATE_SECONDS:
            self._wait_from(_floor(now))
        elif late_seconds >= 0.0:
            ticks = self._take_due(now)
        self._set_timer()
        if late_seconds >= 0.0:
            self.call_func(since, ticks)

    def call_func(self, since: datetime, ticks: Sequence[datetime]) -> None:
        """Report the ticks, or the gap when there are none; log what the callback raises."""
        try:
            if ticks:
                self._on_ticks(self, since, ticks)
            else:
                self._on_gap(self)
        except Exception:
            _logger.exception("tick_report_failed", task_id=str(self.task_id))

    def _set_timer(self) -> None:
        super().start()

    def _take_due(self, now: float) -> list[datetime]:
        ticks = []
        while self.next_tick.timestamp() <= now:
            ticks.append(self.next_tick)
            self.next_tick = self.schedule.next_after(self.next_tick)
        self.last_tick = self._since = ticks[-1]
        return ticks

    def _wait_from(self, since: datetime) -> None:
        self._since = since
        self.next_tick = self.schedule.next_after(since)

    def __repr__(self) -> str:
        return f"<TaskJob {self.task_id} version {self.version}: {self.spec}>"

    __str__ = __repr__


def _floor(at: float) -> datetime:
    # Rounded down, since a rounding up to the second of a tick would pass over that tick.
    return datetime.fromtimestamp(math.floor(at), UTC)

"""The bounded buffer between the jobs that tick and the database that records the ticks."""

import asyncio
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from engine.clock import sleepless
from engine.ticks import Stored, Tick, count_ticks, store_ticks
from models.database import Connection, Database
from models.errors import DatabaseUnavailable

MAX_ENTRIES = 50_000
# After this, a tick would be a misfire anyway.
MAX_AGE_SECONDS = 5.0
BATCH = 200
EARLY_SECONDS = 0.005
COALESCE_SECONDS = 0.003

log = structlog.get_logger(__name__)


class TickBuffer:
    """Takes ticks at once and stores them in batches.

    `on_queued` says that there is work; `on_holes` names tasks with unaccounted ticks before the
    one that came. When the buffer overflows, is held up for too long or can't store, it forgets
    what it holds and calls `on_dropped`: the cursors in the database still say what is missing.
    """

    def __init__(
        self,
        database: Database,
        *,
        run_deadline_seconds: int,
        on_queued: Callable[[], None],
        on_holes: Callable[[Collection[UUID]], None],
        on_dropped: Callable[[], None],
        elapsed: Callable[[], float] = sleepless,
    ) -> None:
        self._database = database
        self._run_deadline_seconds = run_deadline_seconds
        self._on_queued = on_queued
        self._on_holes = on_holes
        self._on_dropped = on_dropped
        self._elapsed = elapsed
        self._entries: list[Tick] = []
        self._pending: list[Tick] = []
        self._oldest_at = 0.0
        self._drops = 0
        self._filled = asyncio.Event()
        self.last_tick_at: datetime | None = None

    def put(self, ticks: Iterable[Tick]) -> None:
        """Take ticks, those of each task in order."""
        if not self._entries:
            self._oldest_at = self._elapsed()
        self._entries += ticks
        if len(self._entries) + len(self._pending) > MAX_ENTRIES:
            self.drop("overflow")
        else:
            self._filled.set()

    async def run(self) -> None:
        """Store what comes, until cancelled."""
        while True:
            await self._filled.wait()
            # Timers of one instant run out up to a millisecond or two apart.
            await asyncio.sleep(COALESCE_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Store what the buffer holds now."""
        self._filled.clear()
        early: list[Tick] = []
        drops = self._drops
        while batch := self._next_batch():
            try:
                stored = await self._store(batch)
            except (DatabaseUnavailable, asyncpg.PostgresError) as error:
                self.drop(type(error).__name__)
                return
            early += stored.early
        # Dropped meanwhile, they are covered by the cursors too.
        if early and drops == self._drops:
            self._entries[:0] = early
            asyncio.get_running_loop().call_later(EARLY_SECONDS, self._filled.set)

    def _take(self) -> list[Tick]:
        entries, self._entries = self._entries, []
        if entries and self._elapsed() - self._oldest_at > MAX_AGE_SECONDS:
            self.drop("held up")
            return []
        return entries

    def _next_batch(self) -> list[Tick]:
        """Return what to store next of what is pending.

        What came meanwhile has a batch of its own, unless a tick of its task is still pending: so
        who ticks a second after a burst waits neither for the burst nor with it.
        """
        if self._entries:
            came = self._take()
            waiting = {tick.task_id for tick in self._pending}
            if first := [tick for tick in came if tick.task_id not in waiting]:
                behind = [tick for tick in came if tick.task_id in waiting]
                self._pending = [*first[BATCH:], *self._pending, *behind]
                return first[:BATCH]
            self._pending += came
        batch, self._pending = self._pending[:BATCH], self._pending[BATCH:]
        return batch

    def drop(self, reason: str) -> None:
        """Forget what the buffer holds; the cursors cover it."""
        log.warning("ticks_dropped", reason=reason)
        self._entries, self._pending = [], []
        self._drops += 1
        self._on_dropped()

    async def _store(self, ticks: list[Tick]) -> Stored:
        async def work(connection: Connection) -> Stored:
            return await store_ticks(
                connection, ticks, run_deadline_seconds=self._run_deadline_seconds
            )

        stored = await self._database.transact(work)
        count_ticks(stored)
        self.last_tick_at = ticks[-1].at
        if stored.queued:
            self._on_queued()
        if stored.holes:
            self._on_holes(stored.holes)
        return stored

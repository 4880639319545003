"""The registry of jobs: one per ACTIVE task, kept equal to the database by a single actor."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import structlog

from engine.catch_up import Accounting, Gap
from engine.clock import DatabaseClock
from engine.errors import InvalidSchedule
from engine.job import LATE_SECONDS, TaskJob
from engine.jobs import Jobs
from engine.metrics import JOBS
from engine.registry import (
    RANGE,
    TaskRow,
    find_lagging,
    read_checksum,
    read_rows,
    read_versions,
)
from engine.slices import Slices
from engine.tick_buffer import TickBuffer
from engine.ticks import Tick
from engine.timetable import Timetable, Timetables
from models.database import Database
from models.errors import DatabaseUnavailable

RECONCILE_SECONDS = 30.0
RETRY_SECONDS = 1.0
BATCH = 200
# The notice that asks for everything; any other names a task.
RELOAD = "*"

log = structlog.get_logger(__name__)


class Scheduler:
    """Handles notices and reconciles one at a time; reads inside its turn.

    So a job is replaced only by a higher version, and a missed notice is made up for by the next
    reconcile: every 30 s, and on every (re)connect.
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        *,
        accounting: Accounting,
        on_queued: Callable[[], None],
        on_ready: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._accounting = accounting
        self._on_queued = on_queued
        self._on_ready = on_ready
        self._jobs = Jobs(clock=clock.time, on_ticks=self._tick, on_gap=self._gap)
        self._slices = Slices()
        self._timetables = Timetables()
        self._changed: set[UUID] = set()
        self._gaps: set[UUID] = set()
        self._is_stale = False
        self._is_retrying = False
        self._retry_at = 0.0
        self._wake = asyncio.Event()
        self._awaiting_changes: list[asyncio.Future[None]] = []
        self._awaiting_comparison: list[asyncio.Future[None]] = []
        self.is_ready = False
        self.buffer = TickBuffer(
            database,
            run_deadline_seconds=accounting.run_deadline_seconds,
            on_queued=on_queued,
            on_holes=self._note_gaps,
            on_dropped=self._retry_soon,
        )

    @property
    def job_count(self) -> int:
        """How many jobs are registered."""
        return len(self._jobs)

    def hear(self, notice: str) -> None:
        """Take a notice: the id of a changed task, or RELOAD."""
        if notice == RELOAD:
            self.reconcile_soon()
            return
        with suppress(ValueError):
            self._changed.add(UUID(notice))
            self._wake.set()

    def reconcile_soon(self) -> None:
        """Compare everything with the database on the next turn."""
        self._is_stale = True
        self._wake.set()

    def reanchor(self, step_seconds: float) -> None:
        """Set all timers anew: the database's clock stepped."""
        if step_seconds < 0:
            self.buffer.drop("the clock stepped back")
        self._jobs.reanchor()

    async def apply(self, task_id: UUID) -> None:
        """Return once the change of this task has reached its job.

        Nobody waits for that while all tasks are loaded.
        """
        self._changed.add(task_id)
        if self.is_ready:
            await self._turn_of(self._awaiting_changes)
        self._wake.set()

    async def reconcile(self) -> None:
        """Return once everything has been compared with the database."""
        self._is_stale = True
        await self._turn_of(self._awaiting_comparison)

    async def run(self) -> None:
        """Act until cancelled, then stop every job."""
        loop = asyncio.get_running_loop()
        compare_at = loop.time() + RECONCILE_SECONDS
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(compare_at):
                        await self._wake.wait()
                if loop.time() >= compare_at:
                    self._is_stale = True
                    compare_at = loop.time() + RECONCILE_SECONDS
                await self._turn()
        finally:
            self._jobs.stop_all()
            _resolve([*self._awaiting_changes, *self._awaiting_comparison])

    async def _turn_of(self, queue: list[asyncio.Future[None]]) -> None:
        done = asyncio.get_running_loop().create_future()
        queue.append(done)
        self._wake.set()
        await done

    async def _turn(self) -> None:
        self._wake.clear()
        is_stale, self._is_stale = self._is_stale, False
        waiting, self._awaiting_comparison = self._awaiting_comparison, []
        try:
            if is_stale:
                await self._compare()
                if not self.is_ready:
                    self.is_ready = True
                    self._on_ready()
            await self._apply_changes()
        except (DatabaseUnavailable, asyncpg.PostgresError) as error:
            log.warning("reconcile_failed", reason=type(error).__name__)
            self._retry_soon()
        except Exception:
            log.exception("reconcile_failed")
            self._retry_soon()
        finally:
            JOBS.set(len(self._jobs))
            # After a failure too: the change is stored, and the next comparison brings it here.
            _resolve([*waiting, *self._awaiting_changes])

    async def _apply_changes(self) -> set[UUID]:
        """Handle the notices that have come so far; return the tasks that they name."""
        changed, self._changed = self._changed, set()
        gaps, self._gaps = self._gaps, set()
        waiting, self._awaiting_changes = self._awaiting_changes, []
        try:
            await self._sync(changed | gaps, gaps=gaps)
        except BaseException:
            # The comparison that follows finds changes again, but not who noticed a gap.
            self._gaps |= gaps
            raise
        finally:
            _resolve(waiting)
        return changed | gaps

    def _retry_soon(self) -> None:
        """Compare again when what is lost now counts as lagging; once a second at most."""
        loop = asyncio.get_running_loop()
        self._retry_at = loop.time() + RETRY_SECONDS
        if not self._is_retrying:
            self._is_retrying = True
            loop.call_later(RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        loop = asyncio.get_running_loop()
        self._is_retrying = self._retry_at > loop.time()
        if self._is_retrying:
            loop.call_later(RETRY_SECONDS, self._retry)
        self.reconcile_soon()

    def _note_gaps(self, task_ids: Collection[UUID]) -> None:
        self._gaps |= set(task_ids)
        self._wake.set()

    async def _compare(self) -> None:
        """Make the jobs equal to the ACTIVE tasks, and ask for ticks that aren't accounted for."""
        # Handed over a while ago, and not stored yet.
        until = self._clock.now() - timedelta(seconds=RETRY_SECONDS)
        lagging = await find_lagging(self._database, self._jobs, until=until)
        await self._sync(lagging, gaps=lagging)
        await self._apply_changes()
        if await read_checksum(self._database) != self._jobs.versions():
            await self._walk()

    async def _walk(self) -> None:
        """Go over all ACTIVE tasks, and read those in full that differ from their jobs.

        Changes that come meanwhile are not kept waiting.
        """
        absent = self._jobs.ids()
        after = UUID(int=0)
        while True:
            versions = await read_versions(self._database, after=after)
            absent.difference_update(task_id for task_id, _ in versions)
            await self._sync(
                [task_id for task_id, version in versions if not self._jobs.has(task_id, version)],
                gaps=(),
            )
            absent -= await self._apply_changes()
            if len(versions) < RANGE:
                break
            after, _ = versions[-1]
        for task_id in absent:
            self._jobs.stop(task_id)

    async def _sync(self, task_ids: Iterable[UUID], *, gaps: Collection[UUID]) -> None:
        ids = list(task_ids)
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            async with self._database.connection() as connection:
                rows = await read_rows(connection, batch)
            for task_id in set(batch).difference(row.id for row in rows):
                self._jobs.stop(task_id)
            await self._take(rows, gaps)

    async def _take(self, rows: Sequence[TaskRow], gaps: Collection[UUID]) -> None:
        """Start or replace the jobs of these rows, those last that missed something."""
        missed: list[tuple[Gap, Timetable]] = []
        for row in rows:
            await self._slices.give_way()
            if self._jobs.has(row.id, row.version) and row.id not in gaps:
                continue
            try:
                timetable = self._timetables.get(row.schedule, row.timezone)
                oldest = timetable.next_after(row.cursor)
            except InvalidSchedule as error:
                log.warning("schedule_unusable", task_id=str(row.id), reason=str(error))
                self._jobs.stop(row.id)
                continue
            if row.read_at - oldest > timedelta(seconds=LATE_SECONDS):
                gap = Gap(row=row, schedule=timetable.schedule, until=row.read_at)
                missed.append((gap, timetable))
            else:
                self._jobs.start(row, timetable, after=row.cursor)
        await self._catch_up(missed)

    async def _catch_up(self, missed: Sequence[tuple[Gap, Timetable]]) -> None:
        """Account for what was missed, and only then start the jobs."""
        if not missed:
            return
        await self._accounting.fill(self._database, [gap for gap, _ in missed])
        self._on_queued()
        for gap, timetable in missed:
            await self._slices.give_way()
            self._jobs.start(gap.row, timetable, after=gap.until)

    def _tick(self, job: TaskJob, since: datetime, ticks: Sequence[datetime]) -> None:
        self.buffer.put(
            Tick(task_id=job.task_id, version=job.version, at=at, since=before)
            for at, before in zip(ticks, (since, *ticks), strict=False)
        )

    def _gap(self, job: TaskJob) -> None:
        self._note_gaps((job.task_id,))


def _resolve(waiting: Iterable[asyncio.Future[None]]) -> None:
    for done in waiting:
        if not done.done():
            done.set_result(None)

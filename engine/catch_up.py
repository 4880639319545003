"""Account for the ticks that no job has stored, by each task's policy."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from uuid import UUID

import structlog

from engine.cron import Schedule, parse_schedule
from engine.errors import InvalidSchedule
from engine.job import LATE_SECONDS
from engine.misfire import CatchUp, plan_catch_up
from engine.registry import TaskRow, read_rows
from engine.ticks import (
    Stored,
    Tick,
    count_ticks,
    lock_cursors,
    store_ticks,
    store_unnumbered,
)
from models.database import Connection, Database
from models.enums import MisfirePolicy, RunTrigger

# One task's ticks are never divided; FIRE_ALL may have ten thousand of them.
TICKS_AT_ONCE = 2_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A task with missed ticks in (its cursor, `until`]."""

    row: TaskRow
    schedule: Schedule
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Up to what instant each ACTIVE task's ticks were stored, and what became of them.

    Who closed them numbers what was skipped last of all (`assign_feed_ids`), and counts it after
    the commit (`count_ticks`).
    """

    until: Mapping[UUID, datetime] = field(default_factory=dict)
    stored: Stored = field(default_factory=Stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounting:
    """Stores what the policies say about missed ticks; durations in seconds."""

    fire_all_limit: int
    run_deadline_seconds: int

    async def fill(self, database: Database, gaps: Sequence[Gap]) -> None:
        """Account for gaps that are misfires, in transactions of some thousand ticks.

        A task whose cursor moved meanwhile is left alone: another copy was quicker. The plans are
        made in a thread, because the ticks of a long outage take a while.
        """
        while gaps:
            ticks, gaps = await asyncio.to_thread(self._plan, gaps)
            store = partial(
                store_ticks, ticks=ticks, run_deadline_seconds=self.run_deadline_seconds
            )
            count_ticks(await database.transact(store))

    async def close(self, connection: Connection, task_ids: Collection[UUID]) -> Closed:
        """Account for all ticks of these tasks up to now, inside the caller's transaction.

        To be called before a change after which their ticks are others, or none; the change
        counts from the instant up to which they are closed.
        """
        await lock_cursors(connection, task_ids)
        rows = await read_rows(connection, task_ids)
        until = {row.id: row.read_at for row in rows}
        gaps: Sequence[Gap] = [
            Gap(row=row, schedule=schedule, until=row.read_at)
            for row in rows
            if (schedule := _schedule(row)) is not None
        ]
        stored = Stored()
        while gaps:
            ticks, gaps = await asyncio.to_thread(self._plan, gaps)
            stored += await store_unnumbered(
                connection, ticks, run_deadline_seconds=self.run_deadline_seconds
            )
        return Closed(until=until, stored=stored)

    def _plan(self, gaps: Sequence[Gap]) -> tuple[list[Tick], Sequence[Gap]]:
        """Return the ticks of the first of these gaps, and the gaps that are left."""
        ticks: list[Tick] = []
        for done, gap in enumerate(gaps, start=1):
            ticks += self._ticks(gap)
            if len(ticks) >= TICKS_AT_ONCE:
                return ticks, gaps[done:]
        return ticks, ()

    def _ticks(self, gap: Gap) -> list[Tick]:
        row, schedule = gap.row, gap.schedule
        oldest = schedule.next_after(row.cursor)
        if gap.until - oldest <= timedelta(seconds=LATE_SECONDS):
            ticks = [row.cursor, *schedule.ticks_between(row.cursor, gap.until)]
            return [
                Tick(task_id=row.id, version=row.version, at=at, since=since)
                for since, at in pairwise(ticks)
            ]
        plan = plan_catch_up(
            schedule,
            cursor=row.cursor,
            until=gap.until,
            policy=row.misfire_policy,
            grace_seconds=row.misfire_grace_seconds,
            fire_all_limit=self.fire_all_limit,
        )
        return _missed(gap, plan) if plan is not None else []


def _schedule(row: TaskRow) -> Schedule | None:
    try:
        return parse_schedule(row.schedule, row.timezone)
    except InvalidSchedule as error:
        log.warning("schedule_unusable", task_id=str(row.id), reason=str(error))
        return None


def _missed(gap: Gap, plan: CatchUp) -> list[Tick]:
    """FIRE_ALL asks for every tick, so its ticks run in turn instead of skipping one another."""
    row, policy = gap.row, gap.row.misfire_policy
    ticks = []
    if plan.skipped is not None:
        ticks.append(
            Tick(
                task_id=row.id,
                version=row.version,
                at=plan.skipped.newest,
                since=row.cursor,
                trigger=RunTrigger.CATCH_UP,
                skipped_from=plan.skipped.oldest,
                skipped_count=plan.skipped.count,
                expected_cursor=row.cursor,
                moves_to=gap.until,
                message=f"Skipped: missed while nothing was running (misfire policy {policy}).",
            )
        )
    ticks += [
        Tick(
            task_id=row.id,
            version=row.version,
            at=tick,
            since=row.cursor,
            trigger=RunTrigger.CATCH_UP,
            expected_cursor=row.cursor,
            moves_to=gap.until,
            ignores_overlap=policy is MisfirePolicy.FIRE_ALL,
        )
        for tick in plan.fired
    ]
    return ticks

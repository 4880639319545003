"""Account for the ticks that were missed while nothing was running, by each task's policy."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from engine.metrics import TICKS
from engine.misfire import CatchUp, plan_catch_up
from engine.registry import TaskRow
from engine.ticks import Stored, Tick, store_ticks
from engine.timetable import Timetable
from models.database import Connection, Database
from models.enums import MisfirePolicy, RunTrigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A task with missed ticks in (its cursor, `until`]."""

    row: TaskRow
    timetable: Timetable
    until: datetime


async def catch_up(
    database: Database,
    gaps: Sequence[Gap],
    *,
    fire_all_limit: int,
    run_deadline_seconds: int,
) -> None:
    """Store what the policies say about these gaps, in one transaction.

    A task whose cursor moved meanwhile is left alone: another copy was quicker. The plans are made
    in a thread, because counting the ticks of a long outage takes a while.
    """
    ticks = await asyncio.to_thread(_plan, gaps, fire_all_limit)
    if not ticks:
        return

    async def work(connection: Connection) -> Stored:
        return await store_ticks(connection, ticks, run_deadline_seconds=run_deadline_seconds)

    stored = await database.transact(work)
    TICKS.labels("queued").inc(stored.queued)
    TICKS.labels("skipped").inc(stored.skipped)


def _plan(gaps: Sequence[Gap], fire_all_limit: int) -> list[Tick]:
    ticks: list[Tick] = []
    for gap in gaps:
        plan = plan_catch_up(
            gap.timetable.schedule,
            cursor=gap.row.cursor,
            until=gap.until,
            policy=gap.row.misfire_policy,
            grace_seconds=gap.row.misfire_grace_seconds,
            fire_all_limit=fire_all_limit,
        )
        if plan is not None:
            ticks += _ticks(gap, plan)
    return ticks


def _ticks(gap: Gap, plan: CatchUp) -> list[Tick]:
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

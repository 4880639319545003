"""What becomes of ticks that no job has stored yet when their task changes."""

import asyncio
from datetime import timedelta
from itertools import pairwise

import pytest

from engine.catch_up import TICKS_AT_ONCE, Accounting, Gap
from engine.cron import parse_schedule
from engine.registry import read_rows
from engine.service import TaskService
from models.database import Database
from models.enums import LogStatus, MisfirePolicy, OverlapPolicy, RunTrigger, TaskStatus
from models.task import Task
from models.task_log import TaskLog
from tests.conftest import RUN_DEADLINE_SECONDS, StartEngine
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, logs_of, make_task, move_cursor
from tests.waiting import wait_until

EACH_SECOND = "* * * * * *"
YEARLY = {"schedule": "0 0 1 1 *"}


@pytest.mark.parametrize("change", [{"status": TaskStatus.INACTIVE}, YEARLY, {"timezone": "CET"}])
async def test_ticks_before_a_change_are_stored_by_it(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    change: dict[str, object],
) -> None:
    task = await make_task(
        service, fake_discord, schedule=EACH_SECOND, overlap_policy=OverlapPolicy.ALLOW
    )
    cursor = await move_cursor(database, task, back=timedelta(seconds=2.1))

    changed = await service.update(ACTOR, task.id, change)

    rows = await logs_of(task)
    assert {(row.status, row.trigger) for row in rows} == {(LogStatus.QUEUED, RunTrigger.SCHEDULE)}
    assert rows[0].scheduled_for == cursor.replace(microsecond=0) + timedelta(seconds=1)
    assert changed.updated_at - rows[-1].scheduled_for < timedelta(seconds=1.5)
    gaps = {after.scheduled_for - before.scheduled_for for before, after in pairwise(rows)}
    assert gaps == {timedelta(seconds=1)}


async def test_change_after_a_long_gap_keeps_to_the_misfire_policy(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(service, fake_discord, schedule=EACH_SECOND)
    await move_cursor(database, task, back=timedelta(minutes=10))

    await service.toggle(ACTOR, task.id)

    summary, fired = await logs_of(task)
    assert (summary.status, fired.status) == (LogStatus.SKIPPED, LogStatus.QUEUED)
    assert summary.trigger is fired.trigger is RunTrigger.CATCH_UP
    assert summary.skipped_count in range(599, 611)
    assert summary.feed_id is not None


async def test_new_schedule_begins_where_the_old_one_was_closed(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    """However long the change waits in between, here for the webhook's lane."""
    task = await make_task(service, fake_discord, schedule=EACH_SECOND)
    await service.trigger(ACTOR, task.id)
    async with database.transaction() as connection:
        await connection.execute("select from webhook_lanes for update")
        changing = asyncio.create_task(service.update(ACTOR, task.id, {"timezone": "CET"}))

        async def is_waiting() -> bool:
            async with database.connection() as other:
                waited = """
                    select count(*) from pg_locks join pg_stat_activity using (pid)
                    where waitstart < clock_timestamp() - $1::interval
                        and datname = current_database()
                """
                return bool(await other.fetchval(waited, timedelta(seconds=1.2)))

        await wait_until(is_waiting, what="change that waits")
    await changing

    async with database.connection() as connection:
        cursor = await connection.fetchval("select cursor from task_cursors")
        now = await connection.fetchval("select clock_timestamp()")
    rows = [row for row in await logs_of(task) if row.trigger is not RunTrigger.MANUAL]
    newest = max((row.scheduled_for for row in rows), default=task.created_at)
    assert cursor - newest < timedelta(seconds=1) <= now - cursor


async def test_ticks_before_a_deletion_are_stored_by_it(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(service, fake_discord, schedule=EACH_SECOND)
    await move_cursor(database, task, back=timedelta(seconds=2.1))

    await service.delete(ACTOR, task.id)

    assert len(await logs_of(task)) >= 2


async def test_change_that_ends_no_ticks_stores_none(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(service, fake_discord, schedule=EACH_SECOND)
    cursor = await move_cursor(database, task, back=timedelta(seconds=2.1))

    await service.update(ACTOR, task.id, {"payload": {"content": "new"}})

    assert await logs_of(task) == []
    async with database.connection() as connection:
        assert cursor == await connection.fetchval("select cursor from task_cursors")


async def test_ticks_before_a_task_turns_failed_are_stored(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    url = fake_discord.url()
    failing = await make_task(service, fake_discord, webhook_url=url, max_retry=0)
    other = await make_task(
        service,
        fake_discord,
        name="same webhook",
        webhook_url=url,
        schedule=EACH_SECOND,
        overlap_policy=OverlapPolicy.ALLOW,
    )
    await move_cursor(database, other, back=timedelta(seconds=2.1))
    fake_discord.delete(failing.webhook_id)
    await service.trigger(ACTOR, failing.id)

    await start_engine(roles=frozenset({"worker"}))

    async def are_accounted_for() -> bool:
        rows = await logs_of(other)
        return len(rows) >= 2 and {row.status for row in rows} == {LogStatus.SKIPPED}

    await wait_until(are_accounted_for, what="ticks SKIPPED by the FAILED task")
    assert len(fake_discord.requests) == 1
    assert (await Task.get(id=other.id)).status is TaskStatus.FAILED


async def test_more_missed_ticks_than_one_transaction_takes_are_all_stored(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    accounting = Accounting(fire_all_limit=10_000, run_deadline_seconds=RUN_DEADLINE_SECONDS)
    for number in range(3):
        task = await make_task(
            service,
            fake_discord,
            name=f"task {number}",
            schedule=EACH_SECOND,
            misfire_policy=MisfirePolicy.FIRE_ALL,
            misfire_grace_seconds=86_400,
        )
        await move_cursor(database, task, back=timedelta(seconds=TICKS_AT_ONCE - 500))
    schedule = parse_schedule(EACH_SECOND, "UTC")
    async with database.connection() as connection:
        rows = await read_rows(connection, [task.id for task in await Task.all()])

    await accounting.fill(
        database, [Gap(row=row, schedule=schedule, until=row.read_at) for row in rows]
    )

    stored = await TaskLog.filter(status=LogStatus.QUEUED).count()
    assert stored - 3 * (TICKS_AT_ONCE - 500) in range(61)

"""Transactions that meet lock what they share in one order, so that none costs another a second."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY

from engine.channels import count_sends
from engine.claims import Claim, claim
from engine.ending import Finished
from engine.errors import Conflict
from engine.finish import record
from engine.lanes import Settled
from engine.recorder import Recorder
from engine.service import TaskService
from engine.ticks import lock_cursors
from engine.verdict import Stops
from models.database import Connection, Database
from models.enums import LogStatus, MisfirePolicy, TaskStatus
from models.task import Task
from models.task_log import TaskLog
from tests.conftest import NO_BUDGET, accounting
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, logs_of, make_task, move_cursor
from tests.waiting import wait_until_blocked

ME = uuid4()
EACH_SECOND = "* * * * * *"
LOCK_LANE = "select from webhook_lanes where webhook_key = $1 for update"
LOCK_CHANNEL = "select from webhook_channels where channel_id = $1 for update"
ADD_CHANNEL = """
insert into webhook_channels (channel_id, webhook_key, is_shared) values ($1, $2, true)
"""
LOCK_COUNTER = "select from feed_counter for update"


@asynccontextmanager
async def no_deadlocks(database: Database) -> AsyncIterator[None]:
    before = await deadlocks(database)
    yield
    assert await deadlocks(database) == before


async def deadlocks(database: Database) -> int:
    async with database.connection() as connection:
        await connection.execute("select pg_stat_force_next_flush()")
        count: int = await connection.fetchval(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
    return count


async def claim_all(database: Database) -> list[Claim]:
    async with database.connection() as connection:
        claimed = await claim(
            connection, instance_id=ME, limit=10, budget=NO_BUDGET, claimed_at=0.0
        )
    return claimed.claims


def refused(one: Claim) -> Finished:
    return Finished(
        claim=one,
        status=LogStatus.FAILED,
        message="Unknown Webhook",
        counts_as_failure=True,
        stops=Stops.WEBHOOK_ID,
    )


async def record_end(end: Finished, connection: Connection) -> None:
    await record(connection, [end], instance_id=ME, budgeted=(), accounting=accounting())


@pytest.fixture
async def recorder(database: Database) -> Recorder:
    return Recorder(
        database,
        instance_id=ME,
        budget=NO_BUDGET,
        accounting=accounting(),
        on_recorded=lambda: None,
    )


async def test_refused_webhook_and_ticks_of_another_task_on_it(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    url = fake_discord.url()
    first = await make_task(service, fake_discord, name="first", webhook_url=url)
    other = await make_task(
        service, fake_discord, name="other", webhook_url=url, schedule=EACH_SECOND
    )
    await service.trigger(ACTOR, first.id)
    (one,) = await claim_all(database)

    async with no_deadlocks(database):
        async with database.transaction() as storing:
            await lock_cursors(storing, [other.id])
            recording = asyncio.create_task(database.transact(partial(record_end, refused(one))))
            await wait_until_blocked(database)
            await storing.execute(LOCK_LANE, other.webhook_key)
        await recording

    assert {task.status for task in await Task.all()} == {TaskStatus.FAILED}


async def test_change_that_skips_ticks_and_result_of_the_same_webhook(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(
        service, fake_discord, schedule=EACH_SECOND, misfire_policy=MisfirePolicy.SKIP
    )
    await service.trigger(ACTOR, task.id)
    await move_cursor(database, task, back=timedelta(minutes=5))

    async with no_deadlocks(database):
        async with database.transaction() as recording:
            await recording.execute(LOCK_LANE, task.webhook_key)
            changing = asyncio.create_task(
                service.update(ACTOR, task.id, {"schedule": "0 0 1 1 *", "status": "ACTIVE"})
            )
            await wait_until_blocked(database)
            await recording.execute(LOCK_COUNTER)
        await changing

    skipped = [row for row in await logs_of(task) if row.status is LogStatus.SKIPPED]
    assert [row.feed_id is None for row in skipped] == [False]


async def test_webhook_that_turns_its_tasks_failed_and_the_feed(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    """The ticks that it skips are numbered after everything else is locked, the channel too."""
    task = await make_task(
        service, fake_discord, schedule=EACH_SECOND, misfire_policy=MisfirePolicy.SKIP
    )
    await service.trigger(ACTOR, task.id)
    (one,) = await claim_all(database)
    await move_cursor(database, task, back=timedelta(minutes=5))
    async with database.connection() as connection:
        await connection.execute(ADD_CHANNEL, "1", one.webhook_key)
    end = Finished(
        claim=one,
        status=LogStatus.FAILED,
        counts_as_failure=True,
        stops=Stops.WEBHOOK,
        channel_id="1",
    )

    async with no_deadlocks(database):
        async with database.transaction() as counting:
            await counting.execute(LOCK_CHANNEL, "1")
            recording = asyncio.create_task(database.transact(partial(record_end, end)))
            await wait_until_blocked(database)
            await counting.execute(LOCK_COUNTER)
        await recording

    rows = await TaskLog.filter(task_id=task.id).order_by("feed_id")
    assert [(row.feed_id, row.status) for row in rows] == [
        (1, LogStatus.FAILED),
        (2, LogStatus.SKIPPED),
    ]


async def test_claim_given_back_beside_a_result_and_ticks(
    database: Database, service: TaskService, fake_discord: FakeDiscord, recorder: Recorder
) -> None:
    for name in ("given back", "failed"):
        task = await make_task(service, fake_discord, name=name)
        await service.trigger(ACTOR, task.id)
    unsent, failed = await claim_all(database)
    recorder.give_back(unsent)
    recorder.put(Finished(claim=failed, status=LogStatus.FAILED, counts_as_failure=True))

    async with no_deadlocks(database):
        async with database.transaction() as storing:
            await lock_cursors(storing, [failed.task_id])
            running = asyncio.create_task(recorder.run())
            await wait_until_blocked(database)
            await storing.execute(LOCK_LANE, unsent.webhook_key)
        await asyncio.wait_for(recorder.wait_until_empty(), 5)

    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_channel_that_is_new_and_one_that_is_known(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    for name in ("known", "new"):
        task = await make_task(service, fake_discord, name=name)
        await service.trigger(ACTOR, task.id)
    claims = await claim_all(database)
    keys = [one.webhook_key for one in claims]
    async with database.connection() as connection:
        for channel_id, key in zip("12", keys, strict=True):
            await connection.execute(ADD_CHANNEL, channel_id, key)
    ends = [
        Finished(claim=one, status=LogStatus.SUCCESS, channel_id=channel_id)
        for one, channel_id in zip(claims, "12", strict=True)
    ]

    settled = Settled(learned={keys[1]: "2"}, share_channels=True)
    async with no_deadlocks(database):
        async with database.transaction() as other:
            await other.execute(LOCK_CHANNEL, "1")
            counting = asyncio.create_task(
                database.transact(partial(count_sends, ends=ends, settled=settled))
            )
            await wait_until_blocked(database)
            await other.execute(LOCK_CHANNEL, "2")
        await counting


async def test_ticks_count_in_the_metrics_once_they_are_committed(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    def count() -> float:
        return REGISTRY.get_sample_value("scheduler_ticks_total", {"outcome": "skipped"}) or 0.0

    task = await make_task(
        service, fake_discord, schedule=EACH_SECOND, misfire_policy=MisfirePolicy.SKIP
    )
    await make_task(service, fake_discord, name="taken")
    await move_cursor(database, task, back=timedelta(minutes=5))
    before = count()

    with pytest.raises(Conflict):
        await service.update(ACTOR, task.id, {"status": "INACTIVE", "name": "taken"})
    assert count() == before
    await service.update(ACTOR, task.id, {"status": "INACTIVE"})

    assert count() == before + 1

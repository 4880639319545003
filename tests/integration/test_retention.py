"""What is old goes, in batches; what still matters stays."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from engine.channels import count_sends
from engine.lanes import Settled
from engine.retention import Retention
from engine.service import TaskService
from engine.sweep import REST, unused_channels, unused_lanes
from engine.takeover import take_over
from models.audit_log import AuditLog
from models.database import Connection, Database
from models.runtime import EngineInstance, InvalidRequests, WebhookChannel, WebhookLane
from models.task import Task, TaskCursor
from models.task_log import TaskLog
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, make_task
from tests.waiting import wait_until_blocked

_INSERT = """
insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for, execution_time,
    deadline_at, status, finished_at)
select gen_random_uuid(), gen_random_uuid(), $1, $2, 'MANUAL', at, at, at, $4::text,
    case when $4::text <> 'QUEUED' then at end
from (select clock_timestamp() - $5::interval as at) a, generate_series(1, $3)
"""
ORIGIN = "https://discord.com"
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
CHANNEL = "123456789012345678"
OLD, YOUNG = REST + timedelta(minutes=1), REST - timedelta(minutes=1)


def ago(age: timedelta) -> datetime:
    return datetime.now(UTC) - age


def aged(fields: Mapping[str, object]) -> dict[str, Any]:
    """Return the fields with instants in place of ages."""
    return {
        name: ago(value)
        if isinstance(value, timedelta)
        else [ago(age) for age in value]
        if isinstance(value, list)
        else value
        for name, value in fields.items()
    }


async def add_logs(
    database: Database, task: Task, count: int, *, age: timedelta, status: str = "SUCCESS"
) -> None:
    async with database.connection() as connection:
        await connection.execute(_INSERT, task.id, task.webhook_key, count, status, age)


async def execute(database: Database, statement: str, *arguments: object) -> None:
    async with database.connection() as connection:
        await connection.execute(statement, *arguments)


@pytest.fixture
def retention(database: Database) -> Retention:
    return Retention(database, log_retention_days=30)


async def clean(retention: Retention) -> int:
    """Clean until nothing is left to remove; return how many rows went."""
    count = 0
    while removed := await retention.clean():
        count += removed
    return count


async def test_old_logs_go_in_batches_and_young_and_queued_ones_stay(
    database: Database, service: TaskService, fake_discord: FakeDiscord, retention: Retention
) -> None:
    task = await make_task(service, fake_discord)
    await add_logs(database, task, 1500, age=timedelta(days=31))
    await add_logs(database, task, 3, age=timedelta(days=29))
    await add_logs(database, task, 2, age=timedelta(days=31), status="QUEUED")

    removed = [await retention.clean() for _ in range(3)]

    assert removed == [1000, 500, 0]
    assert await TaskLog.all().count() == 5


async def test_deleted_task_goes_after_its_logs_and_its_audit_rows_stay(
    database: Database, service: TaskService, fake_discord: FakeDiscord, retention: Retention
) -> None:
    task = await make_task(service, fake_discord)
    other = await make_task(service, fake_discord)
    await add_logs(database, task, 1200, age=timedelta(0))
    await add_logs(database, other, 1, age=timedelta(0))
    await service.delete(ACTOR, task.id)
    await execute(database, "update tasks set deleted_at = deleted_at - interval '2 minutes'")

    await clean(retention)

    assert await Task.all().values_list("id", flat=True) == [other.id]
    assert await TaskCursor.all().count() == 1
    assert await TaskLog.all().count() == 1
    assert await AuditLog.filter(task_id=task.id).count() == 2


async def test_two_copies_do_not_clean_at_once(database: Database, retention: Retention) -> None:
    async with database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock(hashtextextended('retention', 0))")
        assert await retention.clean() == 0


async def test_copies_that_died_are_forgotten(database: Database) -> None:
    """But not while they hold a webhook, and not before they were surely called dead."""
    gone, holding, young = uuid4(), uuid4(), uuid4()
    for instance_id, age in ((gone, 61), (holding, 5), (young, 59)):
        seen_at = ago(timedelta(seconds=age))
        await EngineInstance.create(id=instance_id, seen_at=seen_at, started_at=seen_at, roles="")
    await WebhookLane.create(webhook_key=KEY, origin=ORIGIN, owner=holding)

    async with database.transaction() as connection:
        await take_over(connection, instance_id=uuid4(), seen_at=datetime.now(UTC))

    assert set(await EngineInstance.all().values_list("id", flat=True)) == {holding, young}


async def test_minutes_of_invalid_requests_go_long_after_their_window(retention: Retention) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    ages = [timedelta(minutes=minutes) for minutes in (0, 11, 58, 62, 10_000)]
    for age in ages:
        await InvalidRequests.create(minute=minute - age, count=1)

    assert await clean(retention) == 2

    left = await InvalidRequests.all().order_by("-minute").values_list("minute", flat=True)
    assert left == [minute - age for age in ages[:3]]


@pytest.mark.parametrize(
    ("lane", "goes"),
    [
        ({}, True),
        ({"dead_reason": "Unknown Webhook"}, True),
        ({"open_at": OLD, "recent_sends": [2 * OLD, OLD]}, True),
        ({"recent_sends": [OLD, YOUNG]}, False),
        ({"outage_at": YOUNG}, False),
        ({"open_at": -OLD}, False),
        ({"next_at": OLD}, False),
        ({"owner": uuid4()}, False),
    ],
)
async def test_webhook_without_a_task_goes_once_nothing_about_it_counts(
    retention: Retention, lane: dict[str, object], goes: bool
) -> None:
    await WebhookLane.create(webhook_key=KEY, origin=ORIGIN, **aged(lane))

    assert await clean(retention) == goes

    assert await WebhookLane.all().count() == (not goes)


async def test_webhook_for_which_an_attempt_waits_stays(
    database: Database, service: TaskService, fake_discord: FakeDiscord, retention: Retention
) -> None:
    """Its task moved on to another webhook while it was being sent."""
    task = await make_task(service, fake_discord)
    await add_logs(database, task, 1, age=timedelta(0), status="QUEUED")
    await execute(database, "update task_logs set webhook_key = $1", KEY)
    await WebhookLane.create(webhook_key=KEY, origin=ORIGIN)

    assert await clean(retention) == 0


async def test_webhook_of_a_task_stays_and_of_a_deleted_one_goes_with_it(
    database: Database, service: TaskService, fake_discord: FakeDiscord, retention: Retention
) -> None:
    """That Discord refused it must not be forgotten while a task could use it."""
    task = await make_task(service, fake_discord)
    await WebhookLane.create(
        webhook_key=task.webhook_key, origin=task.origin, dead_reason="Unknown Webhook"
    )
    assert await clean(retention) == 0
    await service.delete(ACTOR, task.id)
    assert await clean(retention) == 0
    await execute(database, "update tasks set deleted_at = deleted_at - interval '2 minutes'")

    await clean(retention)

    assert await WebhookLane.all().count() == await Task.all().count() == 0


async def test_every_unused_webhook_is_found_a_page_at_a_time(
    database: Database, service: TaskService, fake_discord: FakeDiscord, retention: Retention
) -> None:
    used = await make_task(service, fake_discord)
    await execute(
        database,
        "insert into webhook_lanes (webhook_key, origin) select webhook_key, origin from tasks "
        "union all select sha256(n::text::bytea), $1 from generate_series(1, 2500) as n",
        ORIGIN,
    )

    removed = [await retention.clean() for _ in range(4)]

    assert sum(removed) == 2500
    assert max(removed) <= 1000
    assert [lane.webhook_key for lane in await WebhookLane.all()] == [used.webhook_key]


@pytest.mark.parametrize(
    ("channel", "goes"),
    [
        ({}, True),
        ({"is_shared": True, "recent_sends": [OLD], "opens_at": OLD}, True),
        ({"is_shared": True, "recent_sends": [YOUNG, OLD]}, False),
        ({"held_until": -OLD}, False),
        ({"opens_at": -OLD}, False),
    ],
)
async def test_channel_without_a_webhook_goes_once_its_sends_are_forgotten(
    retention: Retention, channel: dict[str, object], goes: bool
) -> None:
    await WebhookChannel.create(channel_id=CHANNEL, webhook_key=KEY, **aged(channel))

    assert await clean(retention) == goes

    assert await WebhookChannel.all().count() == (not goes)


async def test_channel_stays_for_any_webhook_that_posts_there(
    service: TaskService, fake_discord: FakeDiscord, retention: Retention
) -> None:
    """The first one that did is gone."""
    task = await make_task(service, fake_discord)
    await WebhookLane.create(webhook_key=task.webhook_key, origin=task.origin, channel_id=CHANNEL)
    await WebhookChannel.create(channel_id=CHANNEL, webhook_key=KEY, is_shared=True)

    assert await clean(retention) == 0

    channel = await WebhookChannel.get(channel_id=CHANNEL)
    assert (channel.webhook_key, channel.is_shared) == (task.webhook_key, True)


async def test_run_of_a_webhook_that_is_being_removed_is_not_lost(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    """The webhook is given to a new task while the sweep holds it."""
    task = await make_task(service, fake_discord, status="INACTIVE")
    await WebhookLane.create(webhook_key=task.webhook_key, origin=task.origin)
    await execute(database, "update tasks set webhook_key = $1", OTHER_KEY)

    async with database.transaction() as connection:
        assert await unused_lanes().page(connection, 1000) == 1
        await execute(database, "update tasks set webhook_key = $1", task.webhook_key)
        triggering = asyncio.create_task(service.trigger(ACTOR, task.id))
        await wait_until_blocked(database)

    await triggering
    assert (await WebhookLane.get(webhook_key=task.webhook_key)).next_at is not None


async def test_webhook_that_a_run_is_being_queued_for_is_left_alone(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    lane = await WebhookLane.create(webhook_key=KEY, origin=ORIGIN)

    async with database.transaction() as connection:
        await connection.execute("update webhook_lanes set next_at = now()")
        removed = await database.transact(lambda other: unused_lanes().page(other, 1000))

    assert removed == 0
    assert (await WebhookLane.get(webhook_key=lane.webhook_key)).next_at is not None


async def learn(connection: Connection) -> None:
    """The webhook turns out to post in the channel."""
    await connection.execute("update webhook_lanes set channel_id = $1", CHANNEL)
    await count_sends(connection, [], Settled(learned={KEY: CHANNEL}, share_channels=False))


@pytest.mark.parametrize("sweeps_first", [True, False])
async def test_channel_that_is_learned_while_it_would_be_removed_is_known(
    database: Database, service: TaskService, sweeps_first: bool
) -> None:
    """The webhook was removed before, and has a task again.

    If it named a channel that has no row, it would never share the channel's limit.
    """
    await WebhookChannel.create(channel_id=CHANNEL, webhook_key=KEY)
    await WebhookLane.create(webhook_key=KEY, origin=ORIGIN)

    async def sweep(connection: Connection) -> None:
        await unused_channels().page(connection, 1000)

    async with database.transaction() as connection:
        await (sweep if sweeps_first else learn)(connection)
        other = asyncio.create_task(database.transact(learn if sweeps_first else sweep))
        if sweeps_first:
            await wait_until_blocked(database)
        else:
            await other
    await other

    assert await WebhookChannel.all().count() == 1

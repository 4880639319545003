"""A task with very many logs is deleted in a moment, and what it leaves goes without harm."""

import asyncio
from datetime import datetime, timedelta

from engine.cipher import WebhookCipher
from engine.retention import _LOGS_OF_DELETED, BATCH, Retention
from engine.service import TaskService
from engine.ticks import Tick, store_ticks
from models.database import Database
from models.task import Task
from models.task_log import TaskLog
from tests.conftest import RUN_DEADLINE_SECONDS
from tests.fake_discord import FakeDiscord
from tests.plans import scans_of
from tests.serving import make_app, serving
from tests.tasks import ACTOR, make_task, move_cursor

LOGS = 200_000
BATCHES = 10
SECOND = timedelta(seconds=1)

_INSERT = """
insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for, execution_time,
    deadline_at, status, finished_at, feed_id)
select id, id, $1, $2, 'SCHEDULE', at, at, at, 'SUCCESS', at, n
from (
    select gen_random_uuid() as id, n, now() - n * interval '1 second' as at
    from generate_series(1, $3::int) as n
) l
"""
_LOGS = "{ logs { data { id taskId } meta { total } } }"


async def add_logs(database: Database, task: Task) -> None:
    async with database.connection() as connection:
        await connection.execute(_INSERT, task.id, task.webhook_key, LOGS)
        await connection.execute("analyze task_logs")


async def ways_to_logs(database: Database) -> set[object]:
    """Return how the logs of deleted tasks are found: by which indexes, or by what else."""
    async with database.connection() as connection:
        found = await scans_of(connection, _LOGS_OF_DELETED, BATCH)
    logs = [scan for scan in found if scan["Relation Name"] == "task_logs"]
    by_id = {"task_logs_pkey", "Bitmap Heap Scan"}
    return {scan.get("Index Name", scan["Node Type"]) for scan in logs} - by_id


async def store_tick(database: Database, task: Task, cursor: datetime) -> None:
    """Store the task's tick a second after its cursor."""
    tick = Tick(task_id=task.id, version=task.version, at=cursor + SECOND, since=cursor)
    stored = await database.transact(
        lambda connection: store_ticks(
            connection, [tick], run_deadline_seconds=RUN_DEADLINE_SECONDS
        )
    )
    assert stored.queued == 1


async def test_task_with_200_000_logs_goes_without_holding_anybody_up(
    database: Database, service: TaskService, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> None:
    deleted = await make_task(service, fake_discord)
    other = await make_task(service, fake_discord, overlap_policy="ALLOW")
    await add_logs(database, deleted)
    # Though nearly all logs are of one task: there may be other deleted tasks, without any.
    assert await ways_to_logs(database) == {"task_logs_task"}
    cursor = await move_cursor(database, other, back=timedelta(hours=1))

    await service.delete(ACTOR, deleted.id)
    assert await TaskLog.filter(task_id=deleted.id).count() == LOGS

    async with serving(make_app(database, cipher)) as api:
        assert (await api.run(_LOGS))["logs"] == {"data": [], "meta": {"total": 0}}

    retention = Retention(database, log_retention_days=30)
    cleaning = asyncio.create_task(clean(retention))
    stored = 0
    while not cleaning.done():
        await store_tick(database, other, cursor + stored * SECOND)
        stored += 1
    assert await cleaning == [BATCH] * BATCHES
    assert stored >= BATCHES
    assert await TaskLog.filter(task_id=deleted.id).count() == LOGS - BATCHES * BATCH


async def clean(retention: Retention) -> list[int]:
    return [await retention.clean() for _ in range(BATCHES)]

"""What is old goes, in batches; what still matters stays."""

from datetime import timedelta

from engine.retention import Retention
from engine.service import TaskService
from models.audit_log import AuditLog
from models.database import Database
from models.task import Task, TaskCursor
from models.task_log import TaskLog
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, make_task

_INSERT = """
insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for, execution_time,
    deadline_at, status, finished_at)
select gen_random_uuid(), gen_random_uuid(), $1, $2, 'MANUAL', at, at, at, $4::text,
    case when $4::text <> 'QUEUED' then at end
from (select clock_timestamp() - $5::interval as at) a, generate_series(1, $3)
"""


async def add_logs(
    database: Database, task: Task, count: int, *, age: timedelta, status: str = "SUCCESS"
) -> None:
    async with database.connection() as connection:
        await connection.execute(_INSERT, task.id, task.webhook_key, count, status, age)


async def test_old_logs_go_in_batches_and_young_and_queued_ones_stay(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(service, fake_discord)
    await add_logs(database, task, 1500, age=timedelta(days=31))
    await add_logs(database, task, 3, age=timedelta(days=29))
    await add_logs(database, task, 2, age=timedelta(days=31), status="QUEUED")
    retention = Retention(database, log_retention_days=30)

    removed = [await retention.clean() for _ in range(3)]

    assert removed == [1000, 500, 0]
    assert await TaskLog.all().count() == 5


async def test_deleted_task_goes_after_its_logs_and_its_audit_rows_stay(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(service, fake_discord)
    other = await make_task(service, fake_discord)
    await add_logs(database, task, 1200, age=timedelta(0))
    await add_logs(database, other, 1, age=timedelta(0))
    await service.delete(ACTOR, task.id)
    async with database.connection() as connection:
        await connection.execute(
            "update tasks set deleted_at = deleted_at - interval '2 minutes' where id = $1", task.id
        )
    retention = Retention(database, log_retention_days=30)

    while await retention.clean():
        pass

    assert await Task.all().values_list("id", flat=True) == [other.id]
    assert await TaskCursor.all().count() == 1
    assert await TaskLog.all().count() == 1
    assert await AuditLog.filter(task_id=task.id).count() == 2


async def test_two_copies_do_not_clean_at_once(database: Database) -> None:
    retention = Retention(database, log_retention_days=30)

    async with database.transaction() as connection:
        await connection.execute("select pg_advisory_xact_lock(hashtextextended('retention', 0))")
        assert await retention.clean() == 0

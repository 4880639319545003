"""Make tasks for tests, and wait for what becomes of them."""

from datetime import datetime, timedelta
from uuid import UUID

from engine.audit import Actor
from engine.feed import assign_feed_ids
from engine.service import TaskService
from models.database import Database
from models.enums import LogStatus
from models.task import Task
from models.task_log import TaskLog
from tests.fake_discord import FakeDiscord
from tests.waiting import wait_until

ACTOR = Actor(name="test")
NEVER_SOON = "0 0 1 1 *"

_STORE = """
insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for, execution_time,
    deadline_at, status, finished_at, message)
select gen_random_uuid(), gen_random_uuid(), t.id, t.webhook_key, 'MANUAL', at, at, at, 'SUCCESS',
    at, $3
from tasks t, generate_series(1, $2), coalesce($4::timestamptz, clock_timestamp()) as at
where t.id = $1
returning id
"""


async def make_task(service: TaskService, fake: FakeDiscord, **fields: object) -> Task:
    """Create a task that does not tick by itself during a test, unless `fields` say so."""
    given: dict[str, object] = {
        "name": f"task {len(fake.tokens)} {fields.get('schedule', '')}",
        "schedule": NEVER_SOON,
        "payload": {"content": "hello"},
    }
    if "webhook_url" not in fields:
        given["webhook_url"] = fake.url()
    return await service.create(ACTOR, given | fields)


async def logs_of(task: Task) -> list[TaskLog]:
    """Return the task's attempts, in the order in which they were made."""
    return await TaskLog.filter(task_id=task.id).order_by("scheduled_for", "retry_count")


async def wait_for_logs(
    task: Task, *statuses: LogStatus, timeout_seconds: float = 10.0
) -> list[TaskLog]:
    """Wait until the task's attempts are exactly these, in order, and return them."""
    rows: list[TaskLog] = []

    async def reached() -> bool:
        nonlocal rows
        rows = await logs_of(task)
        return tuple(row.status for row in rows) == statuses

    try:
        await wait_until(reached, what=f"{statuses}", timeout_seconds=timeout_seconds)
    except AssertionError:
        found = [(row.status.value, row.message) for row in rows]
        raise AssertionError(f"{list(statuses)} expected, found {found}") from None
    return rows


async def store_attempts(
    database: Database,
    task: Task,
    count: int = 1,
    *,
    message: str | None = None,
    due: datetime | None = None,
) -> list[str]:
    """Store attempts that are finished, but have no place in the feed yet; return their ids."""
    async with database.connection() as connection:
        rows = await connection.fetch(_STORE, task.id, count, message, due)
    return [str(row["id"]) for row in rows]


async def finish(
    database: Database,
    task: Task,
    count: int = 1,
    *,
    message: str | None = None,
    due: datetime | None = None,
) -> list[str]:
    """Finish attempts in one transaction; return their ids in the feed's order."""
    ids = await store_attempts(database, task, count, message=message, due=due)
    async with database.transaction() as connection:
        await assign_feed_ids(connection, [UUID(log_id) for log_id in ids])
    return ids


async def move_cursor(database: Database, task: Task, *, back: timedelta) -> datetime:
    """Pretend that nothing was running for a while; return where the cursor stands now."""
    async with database.connection() as connection:
        cursor: datetime = await connection.fetchval(
            "update task_cursors set cursor = clock_timestamp() - $2::interval where task_id = $1 "
            "returning cursor",
            task.id,
            back,
        )
    return cursor

"""Make tasks for tests, and wait for what becomes of them."""

from datetime import datetime, timedelta

from engine.audit import Actor
from engine.service import TaskService
from models.database import Database
from models.enums import LogStatus
from models.task import Task
from models.task_log import TaskLog
from tests.fake_discord import FakeDiscord
from tests.waiting import wait_until

ACTOR = Actor(name="test")
NEVER_SOON = "0 0 1 1 *"


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

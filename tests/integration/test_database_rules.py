"""What the database itself guards: checks, versions and cursors, also against SQL by hand."""

import asyncpg
import pytest

from engine.audit import Actor
from engine.service import TaskService
from models.database import Database
from models.task import Task, TaskCursor
from tests.fake_discord import FakeDiscord

ACTOR = Actor(name="test")


async def make_task(service: TaskService, fake: FakeDiscord, **fields: object) -> Task:
    given = {
        "name": "daily",
        "schedule": "0 9 * * *",
        "webhook_url": fake.url(),
        "payload": {"content": "hello"},
    }
    return await service.create(ACTOR, given | fields)


@pytest.mark.parametrize(
    "change",
    [
        "status = 'PAUSED'",
        "overlap_policy = 'QUEUE'",
        "misfire_policy = 'LATER'",
        "delivery_guarantee = 'EXACTLY'",
        "name = ' daily'",
        "name = ''",
        "max_retry = 11",
        "failure_threshold = 0",
        "misfire_grace_seconds = 86401",
        "webhook_key = 'short'::bytea",
    ],
)
async def test_wrong_value_is_refused_by_the_database(
    service: TaskService, fake_discord: FakeDiscord, database: Database, change: str
) -> None:
    await make_task(service, fake_discord)

    async with database.connection() as connection:
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute(f"update tasks set {change}")


async def test_version_rises_with_sql_by_hand(
    service: TaskService, fake_discord: FakeDiscord, database: Database
) -> None:
    task = await make_task(service, fake_discord)

    async with database.connection() as connection:
        await connection.execute("update tasks set schedule = '0 10 * * *'")

    changed = await Task.get(id=task.id)
    assert changed.version == task.version + 1
    assert changed.updated_at > task.updated_at


async def test_new_encryption_is_no_new_version(
    service: TaskService, fake_discord: FakeDiscord, database: Database
) -> None:
    task = await make_task(service, fake_discord)

    async with database.connection() as connection:
        await connection.execute("update tasks set webhook_url = 'another ciphertext'")

    assert (await Task.get(id=task.id)).version == task.version


@pytest.mark.parametrize(
    ("change", "moves"),
    [
        ("schedule = '0 10 * * *'", True),
        ("timezone = 'Europe/Berlin'", True),
        ("status = 'ACTIVE'", True),
        ("status = 'FAILED'", False),
        ("payload = '{}'", False),
    ],
)
async def test_cursor_moves_to_now_when_the_ticks_change(
    service: TaskService, fake_discord: FakeDiscord, database: Database, change: str, moves: bool
) -> None:
    task = await make_task(service, fake_discord, status="INACTIVE")
    before = await TaskCursor.get(task_id=task.id)

    async with database.connection() as connection:
        await connection.execute(f"update tasks set {change}")

    after = await TaskCursor.get(task_id=task.id)
    assert (after.cursor > before.cursor) is moves


async def test_name_is_free_again_after_a_delete(
    service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(service, fake_discord)
    await service.delete(ACTOR, task.id)

    again = await make_task(service, fake_discord)

    assert again.id != task.id

"""Runs that waited in vain for an origin end, however many webhooks wait with them."""

from datetime import timedelta
from uuid import uuid4

import pytest

from engine.cipher import WebhookCipher
from engine.expiry import Expiry
from models.database import Database
from models.enums import LogStatus
from models.runtime import Origin
from models.task_log import TaskLog
from tests.backlog import add_tasks, queue_attempts
from tests.fake_discord import FakeDiscord

ME = uuid4()
WEBHOOKS = 7


@pytest.fixture
async def waiting(database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord) -> None:
    """Each webhook has two attempts that wait for an origin that is held."""
    task_ids = await add_tasks(database, cipher, fake_discord, WEBHOOKS)
    await queue_attempts(database, task_ids, 2, step=timedelta(seconds=1))
    await execute(database, "update origins set held_until = now() + interval '1 hour'")


async def execute(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(statement)


async def let_pass(database: Database) -> None:
    await execute(database, "update task_logs set deadline_at = now() - interval '1 second'")


@pytest.mark.usefixtures("waiting")
async def test_all_overdue_runs_end_a_page_at_a_time(database: Database) -> None:
    await let_pass(database)
    expiry = Expiry(instance_id=ME, page=3, limit=100)

    passes = [await expiry.end_overdue(database) for _ in range(4)]

    assert passes == [6, 6, 2, 0]
    rows = await TaskLog.all().order_by("feed_id")
    assert {row.status for row in rows} == {LogStatus.FAILED}
    assert [row.feed_id for row in rows] == [*range(1, 2 * WEBHOOKS + 1)]


@pytest.mark.usefixtures("waiting")
async def test_page_with_more_overdue_runs_than_one_pass_ends_is_looked_at_again(
    database: Database,
) -> None:
    await let_pass(database)
    expiry = Expiry(instance_id=ME, page=3, limit=4)

    assert [await expiry.end_overdue(database) for _ in range(5)] == [4, 2, 4, 2, 2]


@pytest.mark.usefixtures("waiting")
async def test_walk_begins_again_at_its_end(database: Database) -> None:
    expiry = Expiry(instance_id=ME, page=3)
    for _ in range(3):
        assert await expiry.end_overdue(database) == 0
    await let_pass(database)

    assert await expiry.end_overdue(database) == 6


@pytest.mark.usefixtures("waiting")
async def test_nothing_ends_while_every_origin_is_there(database: Database) -> None:
    await let_pass(database)
    await Origin.all().update(held_until=None)

    assert await Expiry(instance_id=ME).end_overdue(database) == 0

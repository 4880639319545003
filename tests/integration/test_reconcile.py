"""Jobs become equal to the ACTIVE tasks, and are compared one by one only when they differ."""

from collections.abc import AsyncIterator

import pytest

from engine.cipher import WebhookCipher
from engine.engine import Engine
from engine.registry import _VERSIONS, read_checksum
from models.database import Database
from models.task import Task
from tests.conftest import make_service
from tests.fake_discord import FakeDiscord
from tests.lossy_database import LossyDatabase
from tests.tasks import ACTOR, make_task

COPY = """
insert into tasks select (jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(), 'name', 'a copy'))).* from tasks t where name = 'first'
"""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[LossyDatabase]:
    """The clean database, connected, that tells whether a statement was run."""
    database = await LossyDatabase.connect(database_url)
    yield database
    await database.close()


@pytest.fixture
async def tasks(cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine) -> list[Task]:
    """Three tasks with jobs."""
    service = make_service(cipher, fake_discord.origin, engine)
    return [
        await make_task(service, fake_discord, name=name) for name in ("first", "second", "third")
    ]


async def run_sql(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(statement)


async def assert_jobs_are_the_active_tasks(database: Database, engine: Engine) -> None:
    jobs = engine._scheduler._jobs
    active = await Task.filter(status="ACTIVE", deleted_at=None).values_list("id", "version")
    assert {job.task_id: job.version for job in jobs} == dict(active)
    assert jobs.versions() == await read_checksum(database)


async def was_walked_over(database: LossyDatabase, engine: Engine) -> bool:
    """Compare, and return whether all versions were read; the walk fails then, and is repeated."""
    database.loses_answer_of = _VERSIONS
    await engine.reloaded()
    was_read = database.loses_answer_of is None
    database.loses_answer_of = None
    await engine.reloaded()
    return was_read


async def test_checksum_follows_every_change(
    database: LossyDatabase,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    engine: Engine,
    tasks: list[Task],
) -> None:
    service = make_service(cipher, fake_discord.origin, engine)
    first, second, third = tasks

    await service.update(ACTOR, first.id, {"max_retry": 1})
    await service.update(ACTOR, first.id, {"max_retry": 2})
    await service.toggle(ACTOR, second.id)
    await service.delete(ACTOR, third.id)
    await make_task(service, fake_discord, name="fourth")
    await service.toggle(ACTOR, second.id)

    await assert_jobs_are_the_active_tasks(database, engine)
    assert not await was_walked_over(database, engine)


@pytest.mark.parametrize(
    "statement",
    [
        "update tasks set max_retry = 9 where name = 'second'",
        "update tasks set status = 'INACTIVE' where name = 'second'",
        "update tasks set deleted_at = clock_timestamp() where name = 'second'",
        "delete from tasks where name = 'second'",
        COPY,
        f"update tasks set status = 'INACTIVE' where name = 'second'; {COPY}",
    ],
)
async def test_change_without_a_notice_is_found(
    database: LossyDatabase, engine: Engine, tasks: list[Task], statement: str
) -> None:
    await run_sql(database, statement)

    assert await was_walked_over(database, engine)

    await assert_jobs_are_the_active_tasks(database, engine)
    assert not await was_walked_over(database, engine)


async def test_task_whose_schedule_is_unusable_is_looked_for_again(
    database: LossyDatabase, engine: Engine, tasks: list[Task]
) -> None:
    await run_sql(database, "update tasks set timezone = 'Nowhere/Else' where name = 'second'")

    assert await was_walked_over(database, engine)
    assert await was_walked_over(database, engine)
    assert (await engine.status()).scheduled_jobs == 2
    await run_sql(database, "update tasks set timezone = 'UTC' where name = 'second'")
    await engine.reloaded()
    await assert_jobs_are_the_active_tasks(database, engine)

"""Folds that meet folds, deletions and recording: no log is counted twice, or not at all."""

import asyncio
from random import Random
from uuid import UUID

import pytest

from engine.log_counts import LogFold
from engine.retention import Retention
from models.database import Connection, Database
from models.enums import LogStatus
from schema.log_statements import LogFilter
from tests.log_counting import add_logs, add_task, check_all, end_some, totals_agree
from tests.waiting import wait_until_blocked

DELETE = "delete from task_logs where status <> 'FAILED'"
FOLD = "select fold_logs(1000)"
ROUNDS = 30


@pytest.fixture
async def tasks(database: Database) -> list[UUID]:
    """Two tasks with 60 logs that no roll-up has."""
    async with database.transaction() as connection:
        tasks = [await add_task(connection) for _ in range(2)]
        await add_logs(connection, Random(0), tasks, 60)
    return tasks


async def delete(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(DELETE)


async def test_logs_that_a_fold_counts_while_they_are_deleted(
    database: Database, tasks: list[UUID]
) -> None:
    """The deletion waits for the fold, and then takes back what that counted."""
    async with database.transaction() as connection:
        assert await connection.fetchval(FOLD) == 60
        deleting = asyncio.create_task(delete(database))
        await wait_until_blocked(database)
    await deleting

    await check_all(database, Random(1), tasks)


async def test_logs_that_are_deleted_while_a_fold_gives_up(
    database: Database, tasks: list[UUID]
) -> None:
    async with database.connection() as connection:
        folding = connection.transaction()
        await folding.start()
        await connection.fetchval(FOLD)
        deleting = asyncio.create_task(delete(database))
        await wait_until_blocked(database)
        await folding.rollback()
    await deleting

    await check_all(database, Random(1), tasks)
    await LogFold(database, min_batch=1).fold()
    await check_all(database, Random(1), tasks)


@pytest.mark.parametrize("commits", [True, False])
async def test_fold_leaves_logs_alone_whose_deletion_is_not_committed(
    database: Database, tasks: list[UUID], *, commits: bool
) -> None:
    async with database.connection() as connection:
        deletion = connection.transaction()
        await deletion.start()
        await connection.execute(DELETE)
        assert await LogFold(database, min_batch=1).fold() == 0
        await (deletion.commit() if commits else deletion.rollback())

    assert await LogFold(database, min_batch=1).fold() == 60
    await check_all(database, Random(1), tasks)


async def test_second_fold_passes(database: Database, tasks: list[UUID]) -> None:
    async with database.transaction() as connection:
        await connection.fetchval(FOLD)
        assert await LogFold(database, min_batch=1).fold() == 0

    await check_all(database, Random(1), tasks)


async def test_numbers_that_are_not_committed_are_not_passed_over(
    database: Database, tasks: list[UUID]
) -> None:
    async with database.transaction() as connection:
        await add_logs(connection, Random(2), tasks, 20)
        assert await LogFold(database, min_batch=1).fold() == 60

    assert await LogFold(database, min_batch=1).fold() == 20
    await check_all(database, Random(1), tasks)


async def test_everything_at_once(database: Database, tasks: list[UUID]) -> None:
    """Recording, two folds, retention and deletions; each total is right in its own snapshot."""
    retention = Retention(database, log_retention_days=1)

    async def record(rng: Random) -> None:
        queued = [LogStatus.QUEUED]
        for _ in range(ROUNDS):
            async with database.transaction() as connection:
                await add_logs(connection, rng, tasks, 5, statuses=queued)
            async with database.transaction() as connection:
                await end_some(connection, rng, rng.randrange(8))

    async def fold(_rng: Random) -> None:
        for _ in range(ROUNDS):
            await LogFold(database, min_batch=1).fold()

    async def remove(rng: Random) -> None:
        async def some(connection: Connection) -> None:
            await connection.execute("delete from task_logs where id > $1", UUID(int=bound))

        for _ in range(ROUNDS):
            await retention.clean()
            bound = rng.randrange(15 << 124, 16 << 124)
            await database.transact(some)

    async def read(rng: Random) -> None:
        for _ in range(ROUNDS):
            wanted = LogFilter(task_id=rng.choice([None, *tasks]), status=rng.choice([*LogStatus]))
            async with (
                database.connection() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                assert await totals_agree(connection, LogFilter())
                assert await totals_agree(connection, wanted)

    jobs = [record, record, fold, fold, remove, read]
    await asyncio.gather(*(job(Random(seed)) for seed, job in enumerate(jobs)))

    await check_all(database, Random(1), tasks)

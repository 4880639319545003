"""Totals, pages and figures by the roll-ups are those of a plain count, whatever happens."""

from collections.abc import Awaitable, Callable
from random import Random
from uuid import UUID

import pytest

from engine.log_counts import MIN_BATCH, LogFold
from engine.run_stats import run_stats
from models.database import Connection, Database
from models.enums import LogStatus
from tests.conftest import StartEngine
from tests.log_counting import add_logs, add_task, check_all, end_some
from tests.waiting import wait_until

Step = Callable[[Connection, Random, list[UUID]], Awaitable[object]]
STEPS = 40
COUNTED = "select counted from log_fold"
LEFT = """
select (select count(*) from log_task_counts) + (select count(*) from log_hours)
    + (select coalesce(sum(n), 0) from log_lateness)
"""


async def queue(connection: Connection, rng: Random, tasks: list[UUID]) -> None:
    await add_logs(connection, rng, tasks, 20, statuses=[LogStatus.QUEUED])


async def skip(connection: Connection, rng: Random, tasks: list[UUID]) -> None:
    await add_logs(connection, rng, tasks, 10, statuses=[LogStatus.SKIPPED])


async def load(connection: Connection, rng: Random, tasks: list[UUID]) -> None:
    """Insert rows by hand, without a place in the feed."""
    await add_logs(connection, rng, tasks, 10, numbered=False)


async def end(connection: Connection, rng: Random, tasks: list[UUID]) -> None:
    await end_some(connection, rng, 12)


async def remove_logs(connection: Connection, rng: Random, tasks: list[UUID]) -> None:
    await connection.execute("select setseed($1)", rng.random())
    await connection.execute("delete from task_logs where random() < 0.1")


async def delete_task(connection: Connection, rng: Random, tasks: list[UUID]) -> None:
    await connection.execute("update tasks set deleted_at = now() where id = $1", rng.choice(tasks))


async def restore_task(connection: Connection, rng: Random, tasks: list[UUID]) -> None:
    await connection.execute("update tasks set deleted_at = null")


async def remove_task(connection: Connection, rng: Random, tasks: list[UUID]) -> None:
    """Remove a task's row by hand, and leave its logs."""
    await connection.execute("delete from tasks where id = $1", rng.choice(tasks))
    tasks.append(await add_task(connection))


async def fold(connection: Connection, rng: Random, tasks: list[UUID]) -> None:
    await connection.fetchval("select fold_logs($1)", rng.choice([1, 7, 1000]))


USUAL: list[Step] = [queue, end, end, fold, fold, skip]
RARE: list[Step] = [load, remove_logs, delete_task, restore_task, remove_task]


@pytest.mark.parametrize("seed", range(4))
async def test_any_sequence_of_changes_leaves_every_figure_right(
    database: Database, seed: int
) -> None:
    rng = Random(seed)
    async with database.transaction() as connection:
        tasks = [await add_task(connection) for _ in range(4)]
        await add_logs(connection, rng, tasks, 40)
    for _ in range(STEPS):
        step = rng.choice(USUAL if rng.random() < 0.7 else RARE)
        async with database.transaction() as connection:
            await step(connection, rng, tasks)
        await check_all(database, rng, tasks, filter_count=12)
    await check_all(database, rng, tasks)


async def test_few_waiting_rows_are_left_to_be_counted_one_by_one(database: Database) -> None:
    """So a service with little to do writes nothing for this."""
    async with database.transaction() as connection:
        await add_logs(connection, Random(1), [await add_task(connection)], 9)

    assert await LogFold(database, min_batch=10).fold() == 0
    assert await LogFold(database, min_batch=9).fold() == 9


async def test_running_copy_folds(database: Database, start_engine: StartEngine) -> None:
    rng = Random(5)
    async with database.transaction() as connection:
        tasks = [await add_task(connection)]
        await add_logs(connection, rng, tasks, MIN_BATCH)

    await start_engine(roles=frozenset({"worker"}))

    async def is_counted() -> bool:
        return [row[0] for row in await database.read(COUNTED)] == [MIN_BATCH]

    await wait_until(is_counted, what="fold")
    await check_all(database, rng, tasks, filter_count=12)


async def test_rebuilding_mends_what_was_changed_by_hand(database: Database) -> None:
    rng = Random(2)
    async with database.transaction() as connection:
        tasks = [await add_task(connection) for _ in range(2)]
        await add_logs(connection, rng, tasks, 50)
    await LogFold(database, min_batch=1).fold()

    async with database.transaction() as connection:
        await connection.execute("update task_logs set status = 'UNKNOWN' where status = 'SUCCESS'")
        assert await connection.fetchval("select rebuild_log_counts()") == 50

    await check_all(database, rng, tasks)


@pytest.mark.parametrize("statement", ["delete from task_logs", "truncate task_logs"])
async def test_nothing_is_left_of_logs_that_went(database: Database, statement: str) -> None:
    rng = Random(3)
    async with database.transaction() as connection:
        tasks = [await add_task(connection)]
        await add_logs(connection, rng, tasks, 50)
    await LogFold(database, min_batch=1).fold()

    async with database.transaction() as connection:
        await connection.execute(statement)
        assert await connection.fetchval(LEFT) == 0
        await add_logs(connection, rng, tasks, 10)
    await LogFold(database, min_batch=1).fold()

    await check_all(database, rng, tasks)


async def test_lateness_that_is_no_usual_number_spoils_nothing(database: Database) -> None:
    async with database.transaction() as connection:
        await add_logs(connection, Random(4), [await add_task(connection)], 30)
        await connection.execute("update task_logs set lateness_ms = 'nan' where retry_count = 0")
        await connection.execute(
            "update task_logs set lateness_ms = '-infinity' where retry_count = 1"
        )

    assert await LogFold(database, min_batch=1).fold() == 30


def test_percentile_lies_between_two_buckets_where_it_does_between_two_values() -> None:
    groups = [
        {"status": "SUCCESS", "is_first": True, "bucket": bucket, "n": 1, "lateness_ms": value}
        for bucket, value in ((61, 20.0), (47, 10.0))
    ]

    stats = run_stats(groups)

    assert (stats.lateness_ms_p50, stats.lateness_ms_p99) == (15.0, 19.9)

"""A connection that is terminated goes back to the pool, and hides no cancellation."""

import asyncio
import threading
from contextlib import suppress

import asyncpg
import pytest

from models.database import LOST_CONNECTION, Database, orm_transaction
from models.orm import credentials
from tests.chaos.proxy import DatabaseProxy
from tests.waiting import wait_until

TERMINATE = """
select pg_terminate_backend(pid) from pg_stat_activity
where pid <> pg_backend_pid() and datname = current_database()
"""


def terminate_others(url: str) -> None:
    """End all connections, from a thread: this loop must not see it happen."""

    async def terminate() -> None:
        connection = await asyncpg.connect(**credentials(url))
        await connection.fetch(TERMINATE)
        await connection.close()

    thread = threading.Thread(target=asyncio.run, args=(terminate(),))
    thread.start()
    thread.join()


async def use_orm() -> None:
    async with orm_transaction() as connection:
        await connection.execute_query("select 1")


@pytest.mark.parametrize("turns", range(5))
async def test_transaction_that_can_not_begin_gives_its_connection_back(
    database_url: str, turns: int
) -> None:
    database = await Database.connect(database_url, pool_size=1, pool_timeout_seconds=10.0)
    try:
        await asyncio.create_task(use_orm())
        terminate_others(database_url)
        for _ in range(turns):
            await asyncio.sleep(0)
        with suppress(*LOST_CONNECTION):
            await asyncio.create_task(use_orm())

        async with asyncio.timeout(10), database.connection() as connection:
            assert await connection.fetchval("select 1") == 1
    finally:
        await database.close()


async def test_part_that_is_cancelled_ends_though_the_server_can_not_be_told(
    database: Database, database_url: str
) -> None:
    """asyncpg then breaks the connection, which is an error of its own."""

    async def is_sleeping() -> bool:
        async with database.connection() as connection:
            sleeping = "select from pg_stat_activity where query = 'select pg_sleep(60)'"
            return bool(await connection.fetchval(f"select exists ({sleeping})"))

    async with DatabaseProxy(database_url) as proxy:
        behind = await Database.connect(proxy.url)
        part = asyncio.create_task(behind.transact(lambda one: one.execute("select pg_sleep(60)")))
        await wait_until(is_sleeping, what="statement that takes long")
        proxy.stop_listening()
        part.cancel()

        with pytest.raises(asyncio.CancelledError):
            await part

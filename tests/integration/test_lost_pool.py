"""A connection that is terminated under the ORM goes back to the pool."""

import asyncio
import threading
from contextlib import suppress

import asyncpg
import pytest

from models.database import LOST_CONNECTION, Database, orm_transaction
from models.orm import credentials

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
    database = await Database.connect(database_url, pool_size=1, pool_timeout_seconds=3.0)
    try:
        await asyncio.create_task(use_orm())
        terminate_others(database_url)
        for _ in range(turns):
            await asyncio.sleep(0)
        with suppress(*LOST_CONNECTION):
            await asyncio.create_task(use_orm())

        async with asyncio.timeout(3), database.connection() as connection:
            assert await connection.fetchval("select 1") == 1
    finally:
        await database.close()

"""Bring the database's tables to this version; safe to run in every copy at once."""

import asyncio
from pathlib import Path

import asyncpg
from aerich import Command
from tortoise.context import TortoiseContext
from tortoise.exceptions import BaseORMException

from models.database import LOST_CONNECTION, Connection
from models.errors import DatabaseUnavailable, MigrationFailed
from models.orm import credentials, tortoise_config

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
# Any number will do, as long as nothing else in the database uses it.
LOCK_ID = 0x6D69_6772_6174_65
POLL_SECONDS = 0.2
_TRY = "select pg_try_advisory_lock($1)"


async def migrate(url: str, *, timeout_seconds: float = 300.0) -> list[str]:
    """Apply the migrations that the database at `url` lacks, and return their names.

    The advisory lock is polled: a session that waits inside `pg_advisory_lock` holds a snapshot,
    and CREATE INDEX CONCURRENTLY waits for it for ever.

    Raises:
        DatabaseUnavailable: the server can't be reached.
        MigrationFailed: the lock was not free in time, or a migration's SQL failed.
    """
    try:
        lock = await asyncpg.connect(timeout=10.0, **credentials(url))
    except LOST_CONNECTION as error:
        raise DatabaseUnavailable(f"the database is unavailable: {error}") from error
    try:
        await _acquire(lock, timeout_seconds)
        return await _upgrade(url)
    except (asyncpg.PostgresError, BaseORMException) as error:
        raise MigrationFailed(f"the migration failed: {error}") from error
    finally:
        await lock.close()


async def pending_migrations(url: str) -> list[str]:
    """Return the names of the migrations that the database at `url` lacks; apply nothing.

    Raises:
        DatabaseUnavailable: the server can't be reached.
    """
    try:
        connection = await asyncpg.connect(timeout=10.0, **credentials(url))
    except LOST_CONNECTION as error:
        raise DatabaseUnavailable(f"the database is unavailable: {error}") from error
    try:
        known = await connection.fetchval("select to_regclass('aerich') is not null")
        rows = await connection.fetch("select version from aerich") if known else []
    finally:
        await connection.close()
    applied = {row["version"] for row in rows}
    files = sorted(path.name for path in (MIGRATIONS / "models").glob("[0-9]*.py"))
    return [name for name in files if name not in applied]


async def _acquire(lock: Connection, timeout_seconds: float) -> None:
    try:
        async with asyncio.timeout(timeout_seconds):
            # Another process holds it, so there is no event to wait for.
            while not await lock.fetchval(_TRY, LOCK_ID):  # noqa: ASYNC110 - see above
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise MigrationFailed(
            f"another copy has been migrating for {timeout_seconds:.0f} s"
        ) from None


async def _upgrade(url: str) -> list[str]:
    config = tortoise_config(url)
    # An index on a large table takes its time.
    config["connections"]["default"]["credentials"]["command_timeout"] = None
    # A context of its own keeps aerich's Tortoise.init out of the application's.
    async with (
        TortoiseContext(),
        Command(config, app="models", location=str(MIGRATIONS)) as command,
    ):
        return await command.upgrade(run_in_transaction=True)

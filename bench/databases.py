"""Databases for the scenarios."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from models.database import Database
from models.embedded import EmbeddedPostgres
from models.migrate import migrate
from models.orm import credentials


@asynccontextmanager
async def fresh_database(server: EmbeddedPostgres, name: str) -> AsyncIterator[Database]:
    """Make a migrated database, and yield it connected."""
    admin = await asyncpg.connect(**credentials(server.url("postgres")))
    await admin.execute(f"create database {name}")
    await admin.close()
    await migrate(server.url(name))
    database = await Database.connect(server.url(name))
    try:
        yield database
    finally:
        await database.close()

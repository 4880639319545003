"""The PostgreSQL server of the scenarios, and databases on it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.processes import cpu_seconds
from models.database import Database
from models.embedded import EmbeddedPostgres
from models.migrate import migrate
from models.orm import credentials

# What the peers write, one row for each delivery, as an application of their kind would have it.
_RUNS = """
create table runs (
    id uuid primary key default gen_random_uuid(),
    task_id integer not null,
    scheduled_for timestamptz not null,
    started_at timestamptz not null,
    finished_at timestamptz,
    status text not null,
    http_status smallint,
    duration_ms double precision,
    message_id text,
    message text
);
create index runs_task on runs (task_id, started_at desc);
create index runs_time on runs (started_at desc);
"""


@dataclass(frozen=True, slots=True)
class Server:
    """The embedded server, durable, with the settings that the service gives it."""

    postgres: EmbeddedPostgres
    folder: Path

    def url(self, name: str) -> str:
        """Return a database's URL."""
        return self.postgres.url(name)

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far, ended ones too."""
        found = next(self.folder.glob("*/postmaster.pid"))
        return cpu_seconds(int(found.read_text().splitlines()[0]))

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables by which libpq, asyncpg and pg find a database."""
        given = credentials(self.url(name))
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "database": "PGDATABASE"}
        return {variable: str(given[key]) for key, variable in names.items() if key in given}

    @asynccontextmanager
    async def made(self, name: str, statements: str = "") -> AsyncIterator[str]:
        """Make a database with what the statements make, yield its name, and drop it."""
        safe = re.sub(r"\W", "_", name)
        await self._execute("postgres", f"drop database if exists {safe} with (force)")
        await self._execute("postgres", f"create database {safe}")
        if statements:
            await self._execute(safe, statements)
        try:
            yield safe
        finally:
            await self._execute("postgres", f"drop database if exists {safe} with (force)")

    @asynccontextmanager
    async def migrated(self, name: str) -> AsyncIterator[tuple[str, Database]]:
        """Make a database of the service; yield its name, and it connected."""
        async with self.made(name) as safe:
            await migrate(self.url(safe))
            database = await Database.connect(self.url(safe))
            try:
                yield safe, database
            finally:
                await database.close()

    @asynccontextmanager
    async def of_peers(self, name: str) -> AsyncIterator[str]:
        """Make a database with the table that the peers log to; yield its name."""
        async with self.made(name, _RUNS) as safe:
            yield safe

    async def count(self, name: str, statement: str) -> int:
        """Return the number that a statement finds, by a connection of its own."""
        connection = await asyncpg.connect(**credentials(self.url(name)))
        try:
            return int(await connection.fetchval(statement))
        finally:
            await connection.close()

    async def _execute(self, name: str, statements: str) -> None:
        connection = await asyncpg.connect(**credentials(self.url(name)))
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

"""The real database, whose answers get lost or come late when a test asks for it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient

from models.database import Connection, Database, PooledConnection


class LossyConnection:
    """A real connection that breaks after a statement was run, before its answer came."""

    def __init__(self, connection: Connection, database: "LossyDatabase") -> None:
        self._connection = connection
        self._database = database

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)

    async def fetch(
        self, statement: str, *arguments: object, **options: Any
    ) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self._connection.fetch(statement, *arguments, **options)
        if rows and statement == self._database.loses_answer_of:
            self._database.loses_answer_of = None
            raise self._database.breaks_with
        if rows and statement == self._database.holds_answer_of:
            self._database.holds_answer_of = None
            self._database.is_held.set()
            await self._database.is_let_go.wait()
        return rows


class LossyDatabase(Database):
    """The database, on whose connections one answer is lost or late when a test asks for it."""

    loses_answer_of: str | None = None
    breaks_with: Exception = asyncpg.ConnectionDoesNotExistError("connection was closed")
    holds_answer_of: str | None = None

    def __init__(self, client: AsyncpgDBClient, url: str, **seconds: float) -> None:
        super().__init__(client, url, **seconds)
        self.is_held = asyncio.Event()
        self.is_let_go = asyncio.Event()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PooledConnection]:
        async with super().connection() as connection:
            yield cast("PooledConnection", LossyConnection(connection, self))

    async def dedicated(
        self, settings: Mapping[str, str] | None = None
    ) -> "asyncpg.Connection[asyncpg.Record]":
        connection = LossyConnection(await super().dedicated(settings), self)
        return cast("asyncpg.Connection[asyncpg.Record]", connection)

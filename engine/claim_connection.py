"""The connection on which a copy claims, with settings of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import MappingProxyType
from typing import Final

import asyncpg

from models.database import LOST_CONNECTION, Connection, Database, loss

SETTINGS: Final = MappingProxyType({"enable_bitmapscan": "off", "enable_seqscan": "off"})
CLOSE_SECONDS = 1.0


class ClaimConnection:
    """Opened outside the pool when it is needed, and kept for as long as it works.

    PostgreSQL keeps the plan that it made first, and on a new database that was for empty tables.
    On this connection plans are made by index, whatever the tables hold.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Connection]:
        """Yield it, to one user at a time.

        Raises:
            DatabaseUnavailable: the server is gone.
        """
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.dedicated(SETTINGS)
        try:
            yield self._connection
        except LOST_CONNECTION as error:
            self._connection.terminate()
            raise loss(error) from error

    async def close(self) -> None:
        """Let it go."""
        if self._connection is not None:
            with suppress(*LOST_CONNECTION, asyncpg.PostgresError):
                await self._connection.close(timeout=CLOSE_SECONDS)

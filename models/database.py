"""The connection to PostgreSQL: the ORM's pool, raw connections from it, and dedicated ones."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from tortoise import Tortoise
from tortoise.backends.asyncpg.client import AsyncpgDBClient
from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext
from tortoise.exceptions import DBConnectionError, TransactionManagementError
from tortoise.transactions import in_transaction

from models.errors import DatabaseUnavailable, ReadTooSlow
from models.orm import SERVER_SETTINGS, credentials, tortoise_config

T = TypeVar("T")
if TYPE_CHECKING:
    PooledConnection: TypeAlias = PoolConnectionProxy[asyncpg.Record]
    Connection: TypeAlias = PooledConnection | asyncpg.Connection[asyncpg.Record]
else:  # at run time asyncpg's classes take no parameters
    PooledConnection = PoolConnectionProxy
    Connection = PoolConnectionProxy | asyncpg.Connection

# What asyncpg raises when the server is gone, going, full or not yet there.
LOST_CONNECTION = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    # A connection that was terminated while it was idle says this at its next use.
    asyncpg.InternalClientError,
    DBConnectionError,
)
# Deadlock and serialization failure: the same work may be tried again.
TRY_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
DEADLOCK_TRIES = 5
READ_TIMEOUT_SECONDS = 5.0
# The part of the pool that the reads of clients may take: the engine always finds the rest.
READS_SHARE = 3

_IDENTITY = """
select c.system_identifier || '-' || d.oid
from pg_control_system() c, pg_database d where d.datname = current_database()
"""


@asynccontextmanager
async def orm_transaction() -> AsyncIterator[BaseDBAsyncClient]:
    """Yield a connection of the ORM's pool inside one transaction, committed at the end.

    The ORM's own `in_transaction` keeps the pooled connection for good when it can't begin.
    """
    context = in_transaction()
    async with AsyncExitStack() as stack:
        try:
            connection = await context.__aenter__()
        except LOST_CONNECTION:
            if hasattr(context, "token"):  # it has a connection
                with suppress(*LOST_CONNECTION):
                    await context.__aexit__(TransactionManagementError, None, None)
            raise
        stack.push_async_exit(context.__aexit__)
        yield connection


async def orm_transact(
    work: Callable[[BaseDBAsyncClient], Awaitable[T]], *, timeout_seconds: float
) -> T:
    """Run `work` in one transaction of the ORM's pool, and again when it lost a deadlock.

    Raises:
        TimeoutError: all of it together took too long.
    """
    async with asyncio.timeout(timeout_seconds):
        for _ in range(DEADLOCK_TRIES - 1):
            try:
                async with orm_transaction() as connection:
                    return await work(connection)
            except TRY_AGAIN:
                continue
        async with orm_transaction() as connection:
            return await work(connection)


def is_unavailable(error: BaseException | None) -> bool:
    """Return whether the error, or what caused it, says that the database can't be reached."""
    while error is not None:
        if isinstance(error, (DatabaseUnavailable, *LOST_CONNECTION)):
            return True
        error = error.__cause__
    return False


def loss(error: Exception) -> DatabaseUnavailable | asyncio.CancelledError:
    """Return what to raise for one of LOST_CONNECTION.

    When a server doesn't answer, asyncpg may raise it in place of the task's cancellation.
    """
    if (task := asyncio.current_task()) is not None and task.cancelling():
        return asyncio.CancelledError()
    return DatabaseUnavailable(f"the database is unavailable: {type(error).__name__}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """Open connections that are idle and in use, and how many there may be in all."""

    idle: int
    in_use: int
    limit: int


class Database:
    """The database as the engine uses it: raw connections of the ORM's own pool."""

    def __init__(
        self,
        client: AsyncpgDBClient,
        url: str,
        *,
        pool_timeout_seconds: float,
        read_timeout_seconds: float,
    ) -> None:
        self._client = client
        self._url = url
        self._pool_timeout_seconds = pool_timeout_seconds
        self._read_timeout_seconds = read_timeout_seconds
        self._reads = asyncio.Semaphore(max(1, client.pool_maxsize // READS_SHARE))

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        pool_size: int = 10,
        pool_timeout_seconds: float = 20.0,
        read_timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> Self:
        """Configure the ORM and return the database; the first query connects."""
        context: TortoiseContext = await Tortoise.init(
            config=tortoise_config(url, pool_size=pool_size), _enable_global_fallback=True
        )
        client = context.db()
        if not isinstance(client, AsyncpgDBClient):
            raise TypeError("the database's client is not asyncpg's")
        return cls(
            client,
            url,
            pool_timeout_seconds=pool_timeout_seconds,
            read_timeout_seconds=read_timeout_seconds,
        )

    async def close(self) -> None:
        """Close every pooled connection."""
        await Tortoise.close_connections()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PooledConnection]:
        """Yield a raw connection of the pool.

        Raises:
            DatabaseUnavailable: the server is gone, or no connection was free in time.
        """
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._pool_timeout_seconds):
                    connection = await stack.enter_async_context(self._client.acquire_connection())
                yield connection
        except LOST_CONNECTION as error:
            lost = loss(error)
            if isinstance(lost, DatabaseUnavailable) and not isinstance(error, TimeoutError):
                # The others were probably lost with it; each would fail somebody else once.
                await self._client._expire_connections()  # noqa: SLF001 - the pool's own is hidden
            raise lost from error

    async def read(self, statement: str, *values: object) -> "list[asyncpg.Record]":
        """Return the rows of a statement that a client's request asks for.

        A third of the pool, at least one connection, serves such reads; more of them wait.

        Raises:
            ReadTooSlow: it took longer than READ_TIMEOUT_SECONDS; the server was told to stop.
            DatabaseUnavailable: as for `connection`.
        """
        async with self._read_turn(), self.connection() as connection:
            seconds = self._read_timeout_seconds
            try:
                return await connection.fetch(statement, *values, timeout=seconds)
            except TimeoutError:
                raise ReadTooSlow(f"a read took longer than {seconds:g} s") from None

    @asynccontextmanager
    async def _read_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._pool_timeout_seconds):
                await self._reads.acquire()
        except TimeoutError as error:
            raise DatabaseUnavailable("too many reads are waiting for the database") from error
        try:
            yield
        finally:
            self._reads.release()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PooledConnection]:
        """Yield a raw connection inside one transaction, committed at the end.

        Raises:
            DatabaseUnavailable: as for `connection`.
        """
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def transact(self, work: Callable[[PooledConnection], Awaitable[T]]) -> T:
        """Run `work` in one transaction, and again when it lost a deadlock.

        Raises:
            DatabaseUnavailable: as for `connection`.
        """
        for _ in range(DEADLOCK_TRIES - 1):
            try:
                async with self.transaction() as connection:
                    return await work(connection)
            except TRY_AGAIN:
                await asyncio.sleep(0)
        async with self.transaction() as connection:
            return await work(connection)

    def pool_use(self) -> "PoolUse":
        """Return how the pool of this process is used; before the first query it has nothing."""
        pool = self._client._pool  # noqa: SLF001 - the ORM shows no figures of it
        if pool is None:
            return PoolUse(idle=0, in_use=0, limit=self._client.pool_maxsize)
        idle = pool.get_idle_size()
        return PoolUse(idle=idle, in_use=pool.get_size() - idle, limit=pool.get_max_size())

    async def identity(self) -> str:
        """Return what tells this database from all others, those of other servers too.

        Raises:
            DatabaseUnavailable: as for `connection`.
        """
        async with self.connection() as connection:
            found: str = await connection.fetchval(_IDENTITY)
        return found

    async def dedicated(
        self, settings: Mapping[str, str] | None = None
    ) -> "asyncpg.Connection[asyncpg.Record]":
        """Return a connection outside the pool, with these of the server's settings.

        The caller closes it, and makes errors of it ours by `loss`.

        Raises:
            DatabaseUnavailable: the server can't be reached.
        """
        try:
            return await asyncpg.connect(
                timeout=10.0,
                command_timeout=30.0,
                server_settings={**SERVER_SETTINGS, **(settings or {})},
                **credentials(self._url),
            )
        except LOST_CONNECTION as error:
            raise loss(error) from error

"""This copy among the others: its heartbeat, and the notices it hears, on one connection."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import structlog

from engine.clock import DatabaseClock, sleepless
from models.database import LOST_CONNECTION, Connection, Database
from models.errors import DatabaseUnavailable

BEAT_SECONDS = 2.0
BEAT_TIMEOUT_SECONDS = 3.0
LEASE_SECONDS = 6.0
# A copy stops sending this long after its last heartbeat: well before others take its work over.
FENCE_SECONDS = 4.0
# In so short a gap no living copy misses so many heartbeats that its lease ends.
SHORT_GAP_SECONDS = LEASE_SECONDS - BEAT_SECONDS - 1.0
RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0)

TASKS_CHANNEL = "task_scheduler_tasks"
WORK_CHANNEL = "task_scheduler_work"

_BEAT = """
insert into engine_instances (id, seen_at, started_at, roles)
values ($1, clock_timestamp(), clock_timestamp(), $2)
on conflict (id) do update set seen_at = clock_timestamp()
returning seen_at, started_at
"""

# With work of ours left open the row stays: the others take that over when it has become old.
_LEAVE = """
delete from engine_instances i
where id = $1 and not exists (select from webhook_lanes l where l.owner = i.id)
"""

log = structlog.get_logger(__name__)


class Instance:
    """One running copy. `on_connect` runs after each (re)connect, `on_step` when the clock stepped.

    From `on_lost` to the next `on_connect` notices are missed.

    The heartbeat has a connection of its own, so that neither a full pool nor a slow statement
    lets a living copy look dead; the same connection hears the notices. `monotonic` is what the
    database's clock is carried on by; by `elapsed`, a heartbeat grows old. `seen_at` is the last
    heartbeat by the database's clock.
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        *,
        roles: str,
        listeners: Mapping[str, Callable[[str], None]],
        on_connect: Callable[[], None],
        on_lost: Callable[[], None],
        on_step: Callable[[float], None],
        revive: Callable[[], Awaitable[None]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        elapsed: Callable[[], float] = sleepless,
    ) -> None:
        self.id: UUID = uuid4()
        self.started_at: datetime | None = None
        self.seen_at = datetime.min.replace(tzinfo=UTC)
        self._database = database
        self._clock = clock
        self._roles = roles
        self._listeners = listeners
        self._on_connect = on_connect
        self._on_lost = on_lost
        self._on_step = on_step
        self._revive = revive
        self._monotonic = monotonic
        self._elapsed = elapsed
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._lost = asyncio.Event()
        self._beat_at = float("-inf")
        self._judging_since = float("inf")

    def is_fresh(self) -> bool:
        """Return whether our heartbeat went through lately enough to send what we claimed."""
        return self._elapsed() - self._beat_at < FENCE_SECONDS

    def may_judge(self) -> bool:
        """Return whether we have beaten for a whole lease, and so may call others dead."""
        return self.is_connected and self._elapsed() - self._judging_since > LEASE_SECONDS

    @property
    def is_connected(self) -> bool:
        """Whether the heartbeat's connection stands."""
        return self._connection is not None

    async def connect(self) -> None:
        """Connect, listen and give the first heartbeat.

        Raises:
            DatabaseUnavailable: the server can't be reached.
        """
        self._lost.clear()
        connection = await self._database.dedicated({"synchronous_commit": "off"})
        try:
            connection.add_termination_listener(lambda _: self._lost.set())
            for channel, hear in self._listeners.items():
                await connection.add_listener(channel, _listener(hear))
            await self._beat(connection)
        except (*LOST_CONNECTION, asyncpg.PostgresError) as error:
            connection.terminate()
            raise DatabaseUnavailable(f"connecting failed: {type(error).__name__}") from error
        except BaseException:
            connection.terminate()
            raise
        self._connection = connection
        self._on_connect()

    async def run(self) -> None:
        """Beat until cancelled; reconnect for as long as it takes."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await self._lost.wait()
            try:
                await self._beat(self._connection)
            except DatabaseUnavailable as error:
                await self._reconnect(error)

    async def leave(self) -> None:
        """Say goodbye, so that the others need not wait for our lease to end."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(*LOST_CONNECTION, asyncpg.PostgresError):
            async with asyncio.timeout(BEAT_TIMEOUT_SECONDS):
                await connection.execute(_LEAVE, self.id)
                await connection.close()
        connection.terminate()

    async def _beat(self, connection: Connection | None) -> None:
        if connection is None or self._lost.is_set():
            raise DatabaseUnavailable("the connection was closed")
        asked_at, began_at = self._monotonic(), self._elapsed()
        try:
            async with asyncio.timeout(BEAT_TIMEOUT_SECONDS):
                row = await connection.fetchrow(_BEAT, self.id, self._roles)
        except (*LOST_CONNECTION, asyncpg.PostgresError) as error:
            raise DatabaseUnavailable(f"heartbeat failed: {type(error).__name__}") from error
        if row is None:
            raise DatabaseUnavailable("heartbeat failed: no row")
        self.started_at = self.started_at or row["started_at"]
        step = self._clock.observe(row["seen_at"], asked_at=asked_at, answered_at=self._monotonic())
        # After a longer gap the others' heartbeats may be as old as ours was, or look so.
        if max(began_at - self._beat_at, abs(step)) > SHORT_GAP_SECONDS:
            self._judging_since = self._elapsed()
        self._beat_at, self.seen_at = began_at, row["seen_at"]
        if step:
            self._on_step(step)

    async def _reconnect(self, error: DatabaseUnavailable) -> None:
        log.warning("database_lost", reason=str(error))
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None
        self._on_lost()
        tries = 0
        while True:
            await asyncio.sleep(RECONNECT_SECONDS[min(tries, len(RECONNECT_SECONDS) - 1)])
            tries += 1
            try:
                if self._revive is not None:
                    await self._revive()
                await self.connect()
            except DatabaseUnavailable:
                continue
            log.info("database_back", tries=tries)
            return


def _listener(hear: Callable[[str], None]) -> Callable[..., None]:
    def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        hear(str(payload))

    return heard

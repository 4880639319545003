"""What no event counts: the queue, the pool, and the parts' health, set when somebody looks."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

import asyncpg

from engine.engine import Engine
from engine.metrics import (
    PART_HEALTH,
    POOL_CONNECTIONS,
    POOL_LIMIT,
    QUEUE_AGE_SECONDS,
    QUEUE_DEPTH,
)
from models.database import Database
from models.errors import DatabaseUnavailable

TIMEOUT_SECONDS: Final = 1.0
# All copies are looked at, and each would ask the same.
KEPT_SECONDS: Final = 5.0
MAX_COUNTED: Final = 100_000
# A webhook's first attempts by tick; a retry may stand before some that are due for longer.
HEADS: Final = 10

_HEALTH: Final = {"ok": 1.0, "off": 1.0, "degraded": 0.5, "down": 0.0}

# $1 how many to count at most, $2 how many of each webhook to look at
_QUEUE: Final = """
select (
    select count(*) from (select from task_logs where status = 'QUEUED' limit $1) q
) as depth, (
    select extract(epoch from statement_timestamp() - min(q.execution_time))
    from webhook_lanes w cross join lateral (
        select execution_time from task_logs
        where webhook_key = w.webhook_key and status = 'QUEUED'
            and execution_time <= statement_timestamp()
        order by scheduled_for limit $2
    ) q
    where w.next_at is not null
) as age_seconds
"""


class Gauges:
    """Sets the gauges; the queue's are asked for at most every KEPT_SECONDS."""

    def __init__(
        self, database: Database, engine: Engine, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._engine = engine
        self._monotonic = monotonic
        self._asked_at = float("-inf")

    async def refresh(self) -> None:
        """Set all gauges, within a little more than TIMEOUT_SECONDS."""
        pool = self._database.pool_use()
        POOL_CONNECTIONS.labels("idle").set(pool.idle)
        POOL_CONNECTIONS.labels("in_use").set(pool.in_use)
        POOL_LIMIT.set(pool.limit)
        for name, part in (await self._engine.health()).items():
            PART_HEALTH.labels(name).set(_HEALTH[part.state])
        if self._monotonic() - self._asked_at >= KEPT_SECONDS:
            self._asked_at = self._monotonic()
            depth, age_seconds = await self._queue()
            QUEUE_DEPTH.set(depth)
            QUEUE_AGE_SECONDS.set(age_seconds)

    async def _queue(self) -> tuple[float, float]:
        """Return depth and age; NaN while the database doesn't say."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._database.connection() as connection:
                row = await connection.fetchrow(_QUEUE, MAX_COUNTED, HEADS)
        except (DatabaseUnavailable, TimeoutError, asyncpg.PostgresError):
            return math.nan, math.nan
        return (row["depth"], float(row["age_seconds"] or 0)) if row else (math.nan, math.nan)

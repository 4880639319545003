"""Count finished attempts into roll-ups, a batch at a time, some time after they were recorded."""

import asyncio
from typing import Final

import asyncpg
import structlog

from models.database import Connection, Database
from models.errors import DatabaseUnavailable

# Whoever asks for a total counts the rows that wait for this one by one: 1,000 take a millisecond.
MIN_BATCH = 1_000
MAX_BATCH = 5_000
PAUSE_SECONDS = 0.05
INTERVAL_SECONDS = 5.0

log = structlog.get_logger(__name__)

HIDDEN: Final = """
hidden as materialized (
    select id from tasks where deleted_at is not null
    union all
    select r.task_id from removed_tasks r
    where not exists (select from tasks t where t.id = r.task_id)
)"""
"""Tasks whose logs are in the roll-ups but not shown, as part of a WITH."""

# Each branch is a short index; a condition that comes in from outside can't lead to a longer one.
UNCOUNTED: Final = """
tail as materialized (
    select l.task_id, l.status, l.execution_time, l.retry_count, l.lateness_ms
    from task_logs l where l.feed_id between (select counted + 1 from log_fold)
        and (select max(feed_id) from task_logs)
), uncounted as (
    select * from tail
    union all
    select task_id, status, execution_time, retry_count, lateness_ms from task_logs
    where status = 'QUEUED'
    union all
    select task_id, status, execution_time, retry_count, lateness_ms from task_logs
    where feed_id is null and status <> 'QUEUED'
)"""
"""Logs that are in no roll-up, those of hidden tasks too, as part of a WITH; to be used once."""

_WAITING = """
select coalesce((select max(feed_id) from task_logs), 0) - counted from log_fold
"""
_FOLD = "select fold_logs($1)"


class LogFold:
    """Moves the mark up to which the feed is in the roll-ups; one copy at a time does."""

    def __init__(self, database: Database, *, min_batch: int = MIN_BATCH) -> None:
        self._database = database
        self._min_batch = min_batch

    async def run(self) -> None:
        """Look every few seconds whether enough rows wait, until cancelled."""
        while True:
            try:
                counted = await self.fold()
            except (DatabaseUnavailable, asyncpg.PostgresError) as error:
                log.warning("log_fold_failed", reason=type(error).__name__)
                counted = 0
            await asyncio.sleep(PAUSE_SECONDS if counted == MAX_BATCH else INTERVAL_SECONDS)

    async def fold(self) -> int:
        """Count one batch; return how many rows, 0 if too few wait or another copy is at it."""
        return await self._database.transact(self._batch)

    async def _batch(self, connection: Connection) -> int:
        if await connection.fetchval(_WAITING) < self._min_batch:
            return 0
        counted: int = await connection.fetchval(_FOLD, MAX_BATCH)
        return counted

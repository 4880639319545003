"""Remove what is old, in small batches that hold up no writer."""

import asyncio
from datetime import timedelta

import asyncpg
import structlog

from engine.sweep import unused_channels, unused_lanes
from models.database import Connection, Database
from models.errors import DatabaseUnavailable

BATCH = 1000
PAUSE_SECONDS = 0.05
INTERVAL_SECONDS = 60.0

log = structlog.get_logger(__name__)

# One copy at a time does a batch; the others pass.
_MINE = "select pg_try_advisory_xact_lock(hashtextextended('retention', 0))"

_OLD_LOGS = """
delete from task_logs where id = any(array(
    select id from task_logs
    where execution_time < statement_timestamp() - $1::interval and status <> 'QUEUED'
    order by execution_time limit $2 for update skip locked))
"""

# A range in place of an equality: with that, any index by time would be in the order asked for.
_LOGS_OF_DELETED = """
delete from task_logs where id = any(array(
    select l.id from tasks t join lateral (
        select id from task_logs
        where task_id between t.id and t.id and status <> 'QUEUED'
        order by task_id, execution_time desc, id desc limit $1
    ) l on true
    where t.deleted_at is not null limit $1))
"""

# The row goes last, when nothing is left of its attempts; then nothing can name it any more.
_DELETED = """
with gone as (
    delete from tasks where id in (
        select t.id from tasks t
        where t.deleted_at < statement_timestamp() - interval '1 minute'
            and not exists (select from task_logs l where l.task_id = t.id)
        order by t.deleted_at limit $1 for update skip locked)
    returning id
)
delete from task_cursors where task_id in (select id from gone)
"""

# Long after they have left the window that they are counted in.
_OLD_MINUTES = """
delete from invalid_requests where minute in (
    select minute from invalid_requests
    where minute < statement_timestamp() - interval '1 hour' order by minute limit $1)
"""


class Retention:
    """Removes logs older than `log_retention_days`, and deleted tasks with all that was theirs."""

    def __init__(self, database: Database, *, log_retention_days: int) -> None:
        self._database = database
        self._age = timedelta(days=log_retention_days)
        self._sweeps = (unused_lanes(), unused_channels())

    async def run(self) -> None:
        """Clean up every minute, until cancelled."""
        while True:
            try:
                removed = await self.clean()
            except (DatabaseUnavailable, asyncpg.PostgresError) as error:
                log.warning("retention_failed", reason=type(error).__name__)
                removed = 0
            await asyncio.sleep(PAUSE_SECONDS if removed else INTERVAL_SECONDS)

    async def clean(self) -> int:
        """Remove at most one batch of each kind; return how many rows went."""
        return await self._database.transact(self._batch)

    async def _batch(self, connection: Connection) -> int:
        if not await connection.fetchval(_MINE):
            return 0
        done = [
            await connection.execute(_OLD_LOGS, self._age, BATCH),
            await connection.execute(_LOGS_OF_DELETED, BATCH),
            await connection.execute(_DELETED, BATCH),
            await connection.execute(_OLD_MINUTES, BATCH),
        ]
        swept = [await sweep.page(connection, BATCH) for sweep in self._sweeps]
        return sum(int(tag.split()[-1]) for tag in done) + sum(swept)

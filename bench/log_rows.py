"""Millions of log rows, made by the database itself."""

from datetime import datetime, timedelta
from uuid import UUID

from bench.scenario import tell
from models.database import Connection, Database

DAYS = 30
BATCH = 500_000
REBUILD = "rebuild_log_counts"
STATEMENT_SECONDS = 900.0

# Row n is the n-th of the last DAYS days; its id begins with its time, as those of the service do.
# Of the runs 97 % succeed, 1 % fail, 1 % are retried and 1 % skipped.
_ROWS = """
insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for, execution_time,
    deadline_at, status, retry_count, started_at, finished_at, http_status, duration_ms,
    lateness_ms, discord_message_id, message, feed_id, created_at)
select id, id, t.task_id, t.webhook_key, 'SCHEDULE', at, at, at + interval '1 hour', status, 0,
    at, at + interval '80 milliseconds', case status when 'SUCCESS' then 200 when 'SKIPPED'
    then null else 503 end, 40 + n % 60, 5 + n % 90, (10::numeric ^ 18 + n)::text,
    case status when 'SUCCESS' then null else 'Discord answered 503.' end, n, at
from (
    select n, $5::timestamptz - ($4 - n) * ($6::interval / $4) as at,
        coalesce((array['FAILED', 'RETRYING', 'SKIPPED'])
            [1 + abs(hashint8(n)::bigint) % 100], 'SUCCESS') as status,
        ((n * 7919) % cardinality($1::uuid[]) + 1)::int as place
    from generate_series($2::bigint, $3::bigint) as n
) r
cross join lateral (select ($1::uuid[])[place] as task_id, ($7::bytea[])[place] as webhook_key) t
cross join lateral (
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7'
        || lpad(to_hex(n % 4096), 3, '0') || '8' || lpad(to_hex(n), 15, '0'))::uuid as id
) i
"""
_TASKS = "select id, webhook_key from tasks order by id"
_INDEXES = """
select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
from pg_index i left join pg_constraint c on c.conindid = i.indexrelid
where i.indrelid = 'task_logs'::regclass and c.oid is null
"""
_HAS_REBUILD = "select exists (select from pg_proc where proname = $1)"


async def make_rows(database: Database, rows: int, until: datetime) -> list[UUID]:
    """Insert so many finished attempts of all tasks, ending at `until`; return the tasks' ids.

    Indexes are made anew afterwards, which is faster than keeping them. Triggers do their work,
    unless the schema has a function that makes up for it in one go.
    """
    async with database.connection() as connection:
        tasks = await connection.fetch(_TASKS)
        ids, keys = [row["id"] for row in tasks], [row["webhook_key"] for row in tasks]
        rebuilds = await connection.fetchval(_HAS_REBUILD, REBUILD)
        await connection.execute("set synchronous_commit = off; set maintenance_work_mem = '512MB'")
        if rebuilds:
            await connection.execute("alter table task_logs disable trigger user")
        indexes = await connection.fetch(_INDEXES)
        for index in indexes:
            await connection.execute(f"drop index {index['name']}")
        for first in range(1, rows + 1, BATCH):
            last = min(first + BATCH - 1, rows)
            values = (ids, first, last, rows, until, timedelta(days=DAYS), keys)
            await connection.execute(_ROWS, *values, timeout=STATEMENT_SECONDS)
            tell(f"logs: {last:,} of {rows:,} rows")
        for index in indexes:
            await connection.execute(index["definition"], timeout=STATEMENT_SECONDS)
        await _finish(connection, rows, rebuilds=rebuilds)
    return ids


async def _finish(connection: Connection, rows: int, *, rebuilds: bool) -> None:
    tell("logs: indexes made")
    if rebuilds:
        await connection.execute("alter table task_logs enable trigger user")
        await connection.execute(f"select {REBUILD}()", timeout=STATEMENT_SECONDS)
    await connection.execute("update feed_counter set n = $1", rows)
    # As autovacuum would have done by then.
    await connection.execute("vacuum analyze", timeout=STATEMENT_SECONDS)

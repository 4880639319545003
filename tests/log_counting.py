"""Logs in every state, and what a plain count of them says."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID, uuid4

import pytest

from engine.feed import assign_feed_ids
from engine.statistics import Statistics
from models.database import Connection, Database
from models.enums import LogStatus
from schema.log_records import LogRecords
from schema.log_statements import LogFilter
from schema.log_statements import total as total_query
from schema.records import Span

ENDS: Final = [status for status in LogStatus if status is not LogStatus.QUEUED]
# None lies near the edge of the last 24 hours, which moves during a test.
AGES: Final = [timedelta(hours=hours) for hours in (0, 1, 2, 3, 5, 20, 25, 30, 49)]

_ADD_TASK = """
insert into tasks (id, name, schedule, timezone, webhook_url, webhook_url_masked, webhook_id,
    webhook_key, origin, payload, max_retry, status, failure_threshold, overlap_policy,
    misfire_policy, misfire_grace_seconds, delivery_guarantee)
values ($1::uuid, $1::uuid::text, '0 0 1 1 *', 'UTC', 'encrypted', 'masked', '1',
    sha256($1::uuid::text::bytea), 'https://discord.com', '{}', 3, 'ACTIVE', 1, 'SKIP',
    'FIRE_ONCE', 300, 'AT_LEAST_ONCE')
"""
_ADD_LOG = """
insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for, execution_time,
    deadline_at, status, finished_at, retry_count, lateness_ms)
values ($1, $1, $2, 'key', 'MANUAL', $3::timestamptz, $3, $3, $4::text,
    case when $4::text <> 'QUEUED' then $3::timestamptz end, $5, $6)
"""
_END = "update task_logs set status = $2, finished_at = now(), lateness_ms = $3 where id = $1"
_SHOWN = """
from task_logs l join tasks t on t.id = l.task_id and t.deleted_at is null
where ($1::uuid is null or l.task_id = $1) and ($2::text is null or l.status = $2)
    and ($3::timestamptz is null or l.execution_time >= $3)
    and ($4::timestamptz is null or l.execution_time <= $4)
"""
_DAY = """
select count(*) filter (where l.status = 'SUCCESS') as succeeded,
    count(*) filter (where l.status = 'FAILED') as failed,
    count(*) filter (where l.status = 'RETRYING' and l.retry_count = 0) as retried,
    count(*) filter (where l.status = 'SKIPPED') as skipped,
    percentile_cont(array[0.5, 0.99]) within group (order by l.lateness_ms)
        filter (where l.retry_count = 0) as lateness_ms
from task_logs l join tasks t on t.id = l.task_id and t.deleted_at is null
where l.execution_time > statement_timestamp() - interval '24 hours'
"""


async def add_task(connection: Connection) -> UUID:
    task_id = uuid4()
    await connection.execute(_ADD_TASK, task_id)
    return task_id


async def add_logs(
    connection: Connection,
    rng: Random,
    tasks: Sequence[UUID],
    count: int,
    *,
    statuses: Sequence[LogStatus] = ENDS,
    numbered: bool = True,
) -> list[UUID]:
    """Add logs within the caller's transaction; those that have ended get their places."""
    hour = await connection.fetchval("select date_trunc('hour', now())")
    ended = []
    for _ in range(count):
        log_id, status = uuid4(), rng.choice(statuses)
        at = hour - rng.choice(AGES) + timedelta(microseconds=rng.choice([-1, 0, 1, 10**9]))
        late = _lateness(rng) if status is not LogStatus.QUEUED else None
        retries = rng.choice([0, 0, 1, 2])
        await connection.execute(_ADD_LOG, log_id, rng.choice(tasks), at, status, retries, late)
        if status is not LogStatus.QUEUED:
            ended.append(log_id)
    if numbered:
        await assign_feed_ids(connection, ended)
    return ended


async def end_some(connection: Connection, rng: Random, at_most: int) -> None:
    """End queued logs, as recording does."""
    rows = await connection.fetch(
        "select id from task_logs where status = 'QUEUED' order by id limit $1 for update", at_most
    )
    for row in rows:
        await connection.execute(_END, row["id"], rng.choice(ENDS), _lateness(rng))
    await assign_feed_ids(connection, [row["id"] for row in rows])


async def plain_total(connection: Connection, wanted: LogFilter) -> int:
    total: int = await connection.fetchval(f"select count(*) {_SHOWN}", *_values(wanted))
    return total


async def totals_agree(connection: Connection, wanted: LogFilter) -> bool:
    """Return whether the total is the plain count's; both in the connection's snapshot."""
    query = total_query(wanted)
    told = await connection.fetchval(query.text, *query.values)
    return bool(told == await plain_total(connection, wanted))


async def check_all(
    database: Database, rng: Random, tasks: Sequence[UUID], *, filter_count: int | None = None
) -> None:
    """Check totals, pages and figures, at rest; by so many filters, or all."""
    records = LogRecords(database, near_rows=rng.choice([3, 30]))
    async with database.connection() as connection:
        now = await connection.fetchval("select date_trunc('hour', now())")
        every = list(filters(rng, tasks, now))
        for wanted in rng.sample(every, filter_count or len(every)):
            total = await plain_total(connection, wanted)
            assert await records.count_logs(wanted) == total, wanted
            span = Span(limit=rng.choice([1, 3, 20]), offset=rng.randrange(total + 3))
            told = list((await records.logs(wanted, span))["id"])
            assert told == await _plain_page(connection, wanted, span), (wanted, span)
        await _check_tasks(connection, records, tasks)
        await _check_day(connection, database)


def filters(rng: Random, tasks: Sequence[UUID], now: datetime) -> Iterator[LogFilter]:
    """Yield every kind of filter, with a range over many hours, over one, and half-open ones."""
    since = now - rng.choice(AGES) + timedelta(minutes=rng.choice([0, 20]))
    until = since + rng.choice([timedelta(hours=26), timedelta(hours=1), timedelta(minutes=30)])
    base = LogFilter()
    ranges = [
        base,
        replace(base, date_from=since),
        replace(base, date_to=until),
        replace(base, date_from=since, date_to=until),
        replace(base, date_from=until, date_to=since),
    ]
    for span in ranges:
        for status in (None, *LogStatus):
            yield replace(span, status=status)
            yield replace(span, status=status, task_id=rng.choice(tasks))


async def _plain_page(connection: Connection, wanted: LogFilter, span: Span) -> list[UUID]:
    statement = f"select l.id {_SHOWN} order by l.execution_time desc, l.id desc limit $5 offset $6"
    rows = await connection.fetch(statement, *_values(wanted), span.limit, span.offset)
    return [row["id"] for row in rows]


async def _check_tasks(connection: Connection, records: LogRecords, tasks: Sequence[UUID]) -> None:
    rows = await connection.fetch("select id from tasks where deleted_at is null")
    live = [row["id"] for row in rows]
    for status in (None, LogStatus.SUCCESS, LogStatus.QUEUED, LogStatus.FAILED):
        told = await records.count_logs_of_tasks(live, status)
        for task_id in live:
            wanted = LogFilter(task_id=task_id, status=status)
            assert told.get(task_id, 0) == await plain_total(connection, wanted)


async def _check_day(connection: Connection, database: Database) -> None:
    plain = await connection.fetchrow(_DAY)
    assert plain is not None
    told = (await Statistics(database).dashboard()).last_24h
    for name in ("succeeded", "failed", "retried", "skipped"):
        assert getattr(told, name) == plain[name], name
    percentiles = plain["lateness_ms"] or [None, None]
    for value, exact in zip((told.lateness_ms_p50, told.lateness_ms_p99), percentiles, strict=True):
        assert value == (None if exact is None else pytest.approx(exact, rel=0.05, abs=0.1))


def _values(wanted: LogFilter) -> tuple[object, ...]:
    return wanted.task_id, wanted.status, wanted.date_from, wanted.date_to


def _lateness(rng: Random) -> float | None:
    return rng.choice([None, 0.0, 0.01, rng.uniform(0, 3), rng.lognormvariate(4, 3)])

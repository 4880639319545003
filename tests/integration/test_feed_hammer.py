"""The feed under many writers: each poller sees each finished attempt exactly once, in order."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import repeat
from typing import TypeAlias, TypeVar
from uuid import UUID, uuid4

import pytest

from engine.cipher import WebhookCipher
from engine.claims import Claim
from engine.ending import Finished
from engine.finish import record
from engine.ticks import Tick, store_ticks
from models.database import Database, PooledConnection
from models.enums import DeliveryGuarantee, LogStatus, RunTrigger, TaskStatus
from tests.conftest import accounting
from tests.serving import Api, make_app, serving

# Tracing would slow the pollers down; other tests cover these lines.
pytestmark = pytest.mark.no_cover

T = TypeVar("T")
Work: TypeAlias = Callable[[PooledConnection], Awaitable[object]]

WRITERS = 8
# What was numbered but isn't committed is met by who looks often, more than by who looks long.
POLL_SECONDS = 0.005
PAGE_SIZES = (100, 100, 71, 50)
TASKS_OF_WRITER = 50
ATTEMPTS_OF_TASK = int(os.environ.get("FEED_ATTEMPTS_OF_TASK", "10"))
ATTEMPTS = WRITERS * TASKS_OF_WRITER * ATTEMPTS_OF_TASK
ME = uuid4()
SECOND = timedelta(seconds=1)
BEGAN = datetime(2026, 1, 31, 12, tzinfo=UTC)
FEED = """
query ($after: String, $first: Int!) {
  logFeed(after: $after, first: $first) { entries { id } cursor hasMore }
}
"""

SEED = f"""
insert into tasks (id, name, schedule, timezone, webhook_url, webhook_url_masked, webhook_id,
    webhook_key, origin, payload, max_retry, status, failure_threshold, overlap_policy,
    misfire_policy, misfire_grace_seconds, delivery_guarantee)
select gen_random_uuid(), 'task ' || n, '0 0 1 1 *', 'UTC', 'encrypted', 'masked', '1',
    sha256(n::text::bytea), 'http://127.0.0.1', '{{}}', 3, 'ACTIVE', 1, 'ALLOW', 'SKIP', 300,
    'AT_LEAST_ONCE'
from generate_series(1, {WRITERS * TASKS_OF_WRITER}) as n;

update task_cursors set cursor = '{BEGAN}';

insert into webhook_lanes (webhook_key, origin) select webhook_key, origin from tasks;

insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for, execution_time,
    deadline_at, status, claimed_by, started_at)
select gen_random_uuid(), gen_random_uuid(), id, webhook_key, 'MANUAL', now(), now(),
    now() + interval '1 hour', 'QUEUED', '{ME}', '{BEGAN}'
from (select * from tasks order by id limit {ATTEMPTS // ATTEMPTS_OF_TASK // 2}) t,
    generate_series(1, {ATTEMPTS_OF_TASK});
"""


class RolledBack(Exception):
    """The writer changed its mind after its attempts had their numbers."""


@pytest.fixture
async def api(database: Database, cipher: WebhookCipher) -> AsyncIterator[Api]:
    async with serving(make_app(database, cipher, RATE_LIMIT="1000000/minute")) as api:
        yield api


def claim_of(log_id: UUID, task_id: UUID, webhook_key: bytes) -> Claim:
    return Claim(
        log_id=log_id,
        run_id=log_id,
        task_id=task_id,
        webhook_key=webhook_key,
        origin="http://127.0.0.1",
        channel_id=None,
        reserved_at=None,
        trigger=RunTrigger.MANUAL,
        scheduled_for=BEGAN,
        retry_count=0,
        is_expired=False,
        started_at=BEGAN,
        claimed_at=0.0,
        rested_seconds=0.0,
        dead_reason=None,
        task_status=TaskStatus.ACTIVE,
        is_deleted=False,
        has_moved=False,
        failures_in_row=0,
        webhook_id="1",
        encrypted_url="",
        payload="{}",
        max_retry=3,
        failure_threshold=1,
        delivery_guarantee=DeliveryGuarantee.AT_LEAST_ONCE,
    )


def tick_of(task_id: UUID, version: int, number: int) -> Tick:
    at = BEGAN + number * SECOND
    return Tick(
        task_id=task_id,
        version=version,
        at=at,
        since=at - SECOND,
        trigger=RunTrigger.CATCH_UP,
        skipped_from=at,
        skipped_count=1,
        message="skipped",
    )


def shares(work: Sequence[T], count: int) -> list[list[T]]:
    """Share out what is in the order of rounds, so that no two have a task in common."""
    return [list(work[number::count]) for number in range(count)]


def batches(work: Sequence[T], chance: random.Random) -> Iterator[Sequence[T]]:
    """Cut the work into parts of random size, none of which has a task twice."""
    start = 0
    while start < len(work):
        size = chance.randint(TASKS_OF_WRITER // 2, TASKS_OF_WRITER)
        yield work[start : start + size]
        start += size


async def commit(database: Database, work: Work, chance: random.Random) -> None:
    """Run the work in one transaction; now and then it is rolled back first."""
    if chance.random() < 0.1:
        with suppress(RolledBack):
            async with database.transaction() as connection:
                await work(connection)
                raise RolledBack
    await database.transact(work)


async def deliver(database: Database, claims: Sequence[Claim], chance: random.Random) -> None:
    """Record the end of open attempts, as a worker does."""
    for batch in batches(claims, chance):
        ends = [Finished(claim=claim, status=LogStatus.SUCCESS) for claim in batch]
        work = partial(record, finished=ends, instance_id=ME, budgeted=(), accounting=accounting())
        await commit(database, work, chance)


async def skip(database: Database, ticks: Sequence[Tick], chance: random.Random) -> None:
    """Store ticks that are not sent, as a scheduler does."""
    for batch in batches(ticks, chance):
        work = partial(store_ticks, ticks=batch, run_deadline_seconds=3600)
        await commit(database, work, chance)


async def poll(api: Api, first: int, has_ended: Callable[[], bool]) -> list[str]:
    """Follow the feed by its cursor, to its end after the writers'; return what was seen."""
    seen: list[str] = []
    cursor, is_last = None, False
    while not is_last:
        await asyncio.sleep(POLL_SECONDS)
        is_last, has_more = has_ended(), True
        while has_more:
            page = (await api.run(FEED, after=cursor, first=first))["logFeed"]
            seen += [entry["id"] for entry in page["entries"]]
            cursor, has_more = page["cursor"], page["hasMore"]
    return seen


async def work_of_writers(database: Database) -> tuple[list[list[Claim]], list[list[Tick]]]:
    """Return what each of the writers does: one half delivers, the other skips ticks."""
    async with database.connection() as connection:
        await connection.execute(SEED)
        tasks = await connection.fetch("select * from tasks order by id")
        logs = await connection.fetch(
            "select * from task_logs order by row_number() over (partition by task_id), task_id"
        )
    busy = {log["task_id"] for log in logs}
    idle = [task for task in tasks if task["id"] not in busy]
    claims = [claim_of(log["id"], log["task_id"], log["webhook_key"]) for log in logs]
    ticks = [
        tick_of(task["id"], task["version"], number)
        for number in range(1, ATTEMPTS_OF_TASK + 1)
        for task in idle
    ]
    half = WRITERS // 2
    return shares(claims, half), shares(ticks, half)


async def test_each_poller_sees_each_attempt_exactly_once(api: Api, database: Database) -> None:
    claims, ticks = await work_of_writers(database)
    chances = [random.Random(number) for number in range(WRITERS)]

    writing = asyncio.gather(
        *map(deliver, repeat(database), claims, chances),
        *map(skip, repeat(database), ticks, reversed(chances)),
    )
    seen = await asyncio.gather(*(poll(api, size, writing.done) for size in PAGE_SIZES))
    await writing

    async with database.connection() as connection:
        rows = await connection.fetch("select id, feed_id from task_logs order by feed_id")
    assert [row["feed_id"] for row in rows] == list(range(1, ATTEMPTS + 1))
    stored = [str(row["id"]) for row in rows]
    assert [found == stored for found in seen] == [True] * len(PAGE_SIZES)

"""Whatever waits on some webhooks, the others have their turn, and memory stays bounded."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet

from engine.cipher import WebhookCipher
from engine.claim_connection import ClaimConnection
from engine.claims import _CLAIM, _arguments, claim
from engine.lanes import LaneEnd, lock_lanes, settle_lanes
from engine.service import TaskService
from engine.ticks import Tick, store_ticks
from engine.worker import MAX_UNRECORDED
from models.database import Connection, Database
from models.enums import LogStatus, OverlapPolicy
from models.runtime import WebhookLane
from models.task import Task
from models.task_log import TaskLog
from sandbox.discord_rules import Limit
from tests.acceptance.running import API_KEY, Service, running
from tests.backlog import add_tasks, queue_attempts
from tests.conftest import NO_BUDGET, RUN_DEADLINE_SECONDS, StartEngine, make_service
from tests.fake_discord import FakeDiscord
from tests.plans import scanned_whole
from tests.tasks import ACTOR, make_task, move_cursor
from tests.waiting import wait_until

SUCCESS, QUEUED = LogStatus.SUCCESS, LogStatus.QUEUED
ALLOW = OverlapPolicy.ALLOW
CONCURRENCY = 100
SECOND, A_MINUTE, AN_HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
MEBIBYTE = 1024 * 1024
# How many rows this session has read of late, by scans of whole tables and of indexes.
_READ = """
select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int
from pg_stat_xact_user_tables
"""
# How many attempts of others began while one of these tasks was due, for each that was sent.
_OVERTAKEN_BY = """
select count(other.id)::int from task_logs l
left join task_logs other on other.task_id <> all($1::uuid[])
    and other.started_at between l.execution_time and l.started_at
where l.task_id = any($1::uuid[]) and l.status = 'SUCCESS' group by l.id
"""


async def overtaken_by(database: Database, task_ids: Sequence[UUID]) -> list[int]:
    async with database.connection() as connection:
        rows = await connection.fetch(_OVERTAKEN_BY, task_ids)
    return [row["count"] for row in rows]


async def sent(database: Database) -> int:
    """Return how many attempts have ended."""
    async with database.connection() as connection:
        count: int = await connection.fetchval("select n from feed_counter")
    return count


@dataclass
class Watched:
    """What the worker held in the moments when it was looked at."""

    memory_bytes: list[float] = field(default_factory=list)
    claimed: list[int] = field(default_factory=list)

    async def look(self, database: Database, worker: Service) -> None:
        headers = {"X-API-Key": API_KEY}
        async with worker.http.get(f"{worker.url}/metrics", headers=headers) as response:
            lines = (await response.text()).splitlines()
        figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        self.memory_bytes.append(float(figures["process_resident_memory_bytes"]))
        self.claimed.append(await TaskLog.filter(status=QUEUED, claimed_by__isnull=False).count())


@asynccontextmanager
async def backlog_worker(
    database_url: str, key: str, origin: str, folder: Path
) -> AsyncIterator[Service]:
    """Run the real program, which starts on whatever is queued."""
    settings = {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(folder),
        "ENCRYPTION_KEYS": key,
        "API_KEY": API_KEY,
        "DISCORD_ORIGINS": origin,
        "WORKER_CONCURRENCY": str(CONCURRENCY),
    }
    async with running(settings, command="worker") as worker:
        yield worker


@pytest.mark.no_cover
async def test_backlog_of_200_000_attempts_fills_no_memory_and_delays_no_fresh_one(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    key = Fernet.generate_key().decode()
    cipher = WebhookCipher([key])
    async with FakeDiscord(sink=True) as fake:
        backlog = await add_tasks(database, cipher, fake, 2_000)
        fresh = await add_tasks(database, cipher, fake, 4)
        await queue_attempts(database, backlog, 100, step=SECOND)
        service, watched = make_service(cipher, fake.origin), Watched()
        async with backlog_worker(database_url, key, fake.origin, tmp_path) as worker:
            await watched.look(database, worker)
            for task_id in fresh:
                enough = await sent(database) + 1_000
                await service.trigger(ACTOR, task_id)

                async def is_on(enough: int = enough) -> bool:
                    await watched.look(database, worker)
                    return await sent(database) >= enough

                await wait_until(is_on, what="1,000 more attempts sent", timeout_seconds=20)
            left = await TaskLog.filter(status=QUEUED).count()

    assert left > 100_000
    assert max(watched.claimed) <= CONCURRENCY + MAX_UNRECORDED
    assert max(watched.memory_bytes) - watched.memory_bytes[0] < 100 * MEBIBYTE
    ahead = await overtaken_by(database, fresh)
    assert len(ahead) == len(fresh)
    assert max(ahead) < 0.75 * len(backlog)  # behind all of them it would be one of each at least


async def trigger(database: Database, service: TaskService, task: Task) -> None:
    await service.trigger(ACTOR, task.id)


async def tick(
    database: Database, service: TaskService, task: Task, *, back: timedelta = A_MINUTE
) -> None:
    """Store the tick that comes a second after a cursor so far back."""
    cursor = await move_cursor(database, task, back=back)
    ticks = [Tick(task_id=task.id, version=task.version, at=cursor + SECOND, since=cursor)]
    await database.transact(
        partial(store_ticks, ticks=ticks, run_deadline_seconds=RUN_DEADLINE_SECONDS)
    )


@pytest.mark.parametrize("queue", [trigger, tick])
async def test_webhook_that_was_served_least_recently_has_its_turn_first(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    queue: Callable[[Database, TaskService, Task], Awaitable[None]],
) -> None:
    """Whichever was due first: those that have little to send don't wait for those with much."""
    earlier, later, new = [await make_task(service, fake_discord) for _ in range(3)]
    for task, seconds in ((earlier, 20), (later, 10)):
        open_at = datetime.now(UTC) - seconds * SECOND
        await WebhookLane.create(webhook_key=task.webhook_key, origin=task.origin, open_at=open_at)

    for task in (later, earlier, new):
        await queue(database, service, task)

    order = [await claim_one(database) for _ in range(3)]
    assert order == [new.id, earlier.id, later.id]


@pytest.mark.parametrize("queue", [trigger, tick])
async def test_half_of_the_room_is_for_what_came_last(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    queue: Callable[[Database, TaskService, Task], Awaitable[None]],
) -> None:
    """A webhook that was served a moment ago would be the last of a burst."""
    burst = [await make_task(service, fake_discord) for _ in range(8)]
    frequent = await make_task(service, fake_discord)
    await WebhookLane.create(
        webhook_key=frequent.webhook_key, origin=frequent.origin, open_at=datetime.now(UTC)
    )
    for task in (*burst, frequent):
        await queue(database, service, task)

    first = await claim_some(database, 4)
    second = await claim_some(database, 4)

    assert frequent.id in first
    assert len({*first, *second}) == 8
    # The other half is for those that have waited longest.
    assert {task.id for task in burst[:2]} <= {*first, *second}


async def test_later_tick_passes_what_is_stored_after_it_of_an_earlier_burst(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    """What came last goes by the tick: storing a burst may take longer than to the next one."""
    burst = [await make_task(service, fake_discord) for _ in range(4)]
    later = await make_task(service, fake_discord)
    await WebhookLane.create(
        webhook_key=later.webhook_key, origin=later.origin, open_at=datetime.now(UTC)
    )
    await tick(database, service, later, back=A_MINUTE - SECOND)
    for task in burst:
        await tick(database, service, task)

    assert later.id in await claim_some(database, 2)


async def test_webhook_that_was_settled_is_fresh_no_more(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(service, fake_discord)
    for _ in range(2):  # the second waits behind the first
        await service.trigger(ACTOR, task.id)
    async with database.transaction() as connection:
        await lock_lanes(connection, [task.webhook_key])
        await settle_lanes(connection, [LaneEnd(webhook_key=task.webhook_key)], instance_id=uuid4())

    lane = await WebhookLane.get(webhook_key=task.webhook_key)
    assert (lane.next_at is not None, lane.fresh_at) == (True, None)


async def claim_one(database: Database) -> UUID:
    return (await claim_some(database, 1))[0]


async def claim_some(database: Database, limit: int) -> list[UUID]:
    async with database.connection() as connection:
        return await claim_from(connection, limit)


async def claim_from(connection: Connection, limit: int) -> list[UUID]:
    claimed = await claim(
        connection, instance_id=uuid4(), limit=limit, budget=NO_BUDGET, claimed_at=0.0
    )
    return [one.task_id for one in claimed.claims]


@asynccontextmanager
async def claim_connection(database: Database) -> AsyncIterator[Connection]:
    """Yield a connection as a worker claims on."""
    claiming = ClaimConnection(database)
    async with claiming.opened() as connection:
        yield connection
    await claiming.close()


async def test_claim_of_a_large_backlog_reads_by_index_only(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> None:
    """What one claim costs must not grow with what waits."""
    task_ids = await add_tasks(database, cipher, fake_discord, 200)
    await queue_attempts(database, task_ids, 100, step=SECOND)

    async with claim_connection(database) as connection:
        whole = await scanned_whole(
            connection,
            _CLAIM,
            uuid4(),
            CONCURRENCY,
            *_arguments(NO_BUDGET),
            30,
            A_MINUTE,
            A_MINUTE,
            A_MINUTE,
        )

    assert "task_logs" not in whole


async def test_claim_that_was_planned_on_empty_tables_reads_few_rows(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> None:
    """PostgreSQL keeps a prepared statement's plan, and a burst comes before new statistics."""
    rooms = 10
    async with claim_connection(database) as connection:
        for _ in range(rooms):
            await claim_from(connection, 1)
        task_ids = await add_tasks(database, cipher, fake_discord, 1_000)
        await queue_attempts(database, task_ids, 1, step=SECOND, analyze=False)
        await connection.execute("update webhook_lanes set fresh_at = next_at")
        async with connection.transaction():  # in which nothing is taken from the counts
            before = await connection.fetchval(_READ)
            claimed = await claim_from(connection, rooms)
            read = await connection.fetchval(_READ) - before

    assert len(claimed) == rooms
    # Each of what is claimed is read once in each table, and looked at again where it is changed.
    assert read <= 20 * rooms


async def test_storing_that_was_planned_on_small_tables_reads_few_rows(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> None:
    """As the first seconds of a new database go: a few ticks each, and then many."""
    task_ids = await add_tasks(database, cipher, fake_discord, 1_200)
    async with database.connection() as connection:
        await connection.execute("update tasks set overlap_policy = 'SKIP'")  # now version 2
        await connection.execute("update task_cursors set cursor = now() - interval '1 hour'")
        small, many = batched(task_ids[:200], 20), batched(task_ids[200:], 200)
        for batch in [*small, *many][:-1]:
            await store_ticks_of(connection, batch)
        async with connection.transaction():  # in which nothing is taken from the counts
            before = await connection.fetchval(_READ)
            await store_ticks_of(connection, task_ids[-200:])
            read = await connection.fetchval(_READ) - before

    assert read <= 20 * 200


def batched(task_ids: Sequence[UUID], size: int) -> Iterator[Sequence[UUID]]:
    for first in range(0, len(task_ids), size):
        yield task_ids[first : first + size]


async def store_ticks_of(connection: Connection, task_ids: Sequence[UUID]) -> None:
    """Store a tick of a moment ago of each of these tasks, which have nothing queued."""
    at = datetime.now(UTC) - SECOND
    since = at - 2 * AN_HOUR
    ticks = [Tick(task_id=task_id, version=2, at=at, since=since) for task_id in task_ids]
    stored = await store_ticks(connection, ticks, run_deadline_seconds=RUN_DEADLINE_SECONDS)
    assert stored.queued == len(task_ids)


async def test_ten_thousand_attempts_on_one_webhook_delay_no_other(
    database: Database, cipher: WebhookCipher, start_engine: StartEngine
) -> None:
    async with FakeDiscord(webhook_limit=Limit(sends=5, seconds=2.0)) as fake:
        (busy,) = await add_tasks(database, cipher, fake, 1)
        await queue_attempts(database, [busy], 10_000, step=timedelta(milliseconds=10))
        engine = await start_engine(origins=(fake.origin,))
        service = make_service(cipher, fake.origin, engine)
        others = [
            await make_task(service, fake, schedule="* * * * * *", overlap_policy=ALLOW)
            for _ in range(20)
        ]

        async def have_ticked() -> bool:
            return await TaskLog.filter(task_id__not=busy, status=SUCCESS).count() >= 60

        await wait_until(have_ticked, what="three ticks of each of the others", timeout_seconds=30)
        for task in others:
            await service.toggle(ACTOR, task.id)

    ahead = await overtaken_by(database, [task.id for task in others])
    assert len(ahead) >= 60
    assert max(ahead) <= 10  # what its limit lets through in four seconds
    assert fake.limited == 0
    await check_order(busy)


async def check_order(task_id: UUID) -> None:
    """The oldest of the attempts were sent, in the order of their ticks."""
    rows = await TaskLog.filter(task_id=task_id).order_by("scheduled_for")
    sent = [row for row in rows if row.status is SUCCESS]
    assert len(sent) >= 5
    assert sent == rows[: len(sent)]
    assert sent == sorted(sent, key=lambda row: row.feed_id or 0)

"""The tick buffer stores in batches or forgets; what it forgot, the scheduler makes up for soon."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from engine import scheduler as scheduling
from engine import tick_buffer
from engine.cipher import WebhookCipher
from engine.engine import Engine
from engine.service import TaskService
from engine.tick_buffer import BATCH, MAX_AGE_SECONDS, MAX_ENTRIES, TickBuffer
from engine.ticks import _STORE, Tick
from models.database import Database
from models.enums import LogStatus, MisfirePolicy, OverlapPolicy, RunTrigger
from models.task import Task, TaskCursor
from models.task_log import TaskLog
from tests.conftest import RUN_DEADLINE_SECONDS, StartEngine, make_service
from tests.fake_discord import FakeDiscord
from tests.lossy_database import LossyDatabase
from tests.tasks import ACTOR, logs_of, make_task, move_cursor
from tests.waiting import wait_until, wait_until_blocked

QUEUED, SKIPPED = LogStatus.QUEUED, LogStatus.SKIPPED


class Watched:
    """A buffer on a clock that the test turns, and what it said."""

    def __init__(self, database: Database) -> None:
        self.now = 1000.0
        self.queued = 0
        self.dropped = 0
        self.holes: list[Collection[UUID]] = []
        self.buffer = TickBuffer(
            database,
            run_deadline_seconds=RUN_DEADLINE_SECONDS,
            on_queued=self._queued,
            on_holes=self.holes.append,
            on_dropped=self._dropped,
            elapsed=lambda: self.now,
        )

    def _queued(self) -> None:
        self.queued += 1

    def _dropped(self) -> None:
        self.dropped += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Storing what comes."""
        storing = asyncio.create_task(self.buffer.run())
        try:
            yield
        finally:
            storing.cancel()
            with suppress(asyncio.CancelledError):
                await storing


@pytest.fixture
def watched(database: Database) -> Watched:
    return Watched(database)


@pytest.fixture
async def task(service: TaskService, fake_discord: FakeDiscord, database: Database) -> Task:
    """A task whose last hour is not accounted for; no engine is running."""
    task = await make_task(service, fake_discord, overlap_policy=OverlapPolicy.ALLOW)
    await move_cursor(database, task, back=timedelta(hours=1))
    return task


async def ticks_of(task: Task, count: int, *, first: datetime | None = None) -> list[Tick]:
    """Return ticks of every second since the cursor, or since `first`."""
    cursor = (await TaskCursor.get(task_id=task.id)).cursor
    begin = first or cursor + timedelta(seconds=1)
    instants = [begin + timedelta(seconds=number) for number in range(count)]
    return [
        Tick(task_id=task.id, version=task.version, at=at, since=since)
        for at, since in zip(instants, [cursor, *instants], strict=False)
    ]


def ticks_of_nobody(count: int) -> list[Tick]:
    now = datetime.now(UTC)
    return [Tick(task_id=uuid4(), version=1, at=now, since=now) for _ in range(count)]


async def run_sql(database: Database, *statements: str) -> None:
    async with database.connection() as connection:
        for statement in statements:
            await connection.execute(statement)


async def refuse_logs(database: Database, *, of: str = "true") -> None:
    """Make every statement fail that would insert such a row."""
    await run_sql(
        database,
        "create function refuse() returns trigger language plpgsql as "
        "$$ begin raise exception 'refused'; end $$",
        "create trigger refuse before insert on task_logs for each row "
        f"when ({of}) execute function refuse()",
    )


async def wait_for_database_time(database: Database, at: datetime) -> None:
    async def is_past() -> bool:
        async with database.connection() as connection:
            return bool(await connection.fetchval("select clock_timestamp() > $1::timestamptz", at))

    await wait_until(is_past, what=f"{at}")


async def test_ticks_are_stored_and_the_worker_is_told(watched: Watched, task: Task) -> None:
    ticks = await ticks_of(task, 3)
    watched.buffer.put(ticks)

    await watched.buffer.flush()

    assert [row.scheduled_for for row in await logs_of(task)] == [tick.at for tick in ticks]
    assert (watched.queued, watched.dropped, watched.holes) == (1, 0, [])
    assert watched.buffer.last_tick_at == ticks[-1].at


async def test_ticks_that_are_only_skipped_tell_the_worker_nothing(
    watched: Watched, task: Task, service: TaskService
) -> None:
    task = await service.update(ACTOR, task.id, {"overlap_policy": OverlapPolicy.SKIP})
    first, second = await ticks_of(task, 2)
    watched.buffer.put([first])
    await watched.buffer.flush()

    watched.buffer.put([second])
    await watched.buffer.flush()

    assert [row.status for row in await logs_of(task)] == [QUEUED, SKIPPED]
    assert watched.queued == 1


async def test_more_than_a_batch_is_stored_without_a_gap(watched: Watched, task: Task) -> None:
    ticks = await ticks_of(task, 2 * BATCH + 200)
    watched.buffer.put(ticks)

    await watched.buffer.flush()

    assert [row.scheduled_for for row in await logs_of(task)] == [tick.at for tick in ticks]
    assert (watched.queued, watched.dropped, watched.holes) == (3, 0, [])


async def test_hole_is_told_with_its_task(watched: Watched, task: Task) -> None:
    (_, late) = await ticks_of(task, 2)
    watched.buffer.put([late])

    await watched.buffer.flush()

    assert watched.holes == [{task.id}]
    assert await logs_of(task) == []


async def test_full_buffer_takes_no_more_and_forgets_all(watched: Watched, task: Task) -> None:
    (tick,) = await ticks_of(task, 1)
    watched.buffer.put([tick])
    watched.buffer.put(ticks_of_nobody(MAX_ENTRIES - 1))
    assert watched.dropped == 0

    watched.buffer.put(ticks_of_nobody(1))
    await watched.buffer.flush()

    assert watched.dropped == 1
    assert await logs_of(task) == []


async def test_ticks_that_come_faster_than_they_are_stored_overflow_it(
    watched: Watched, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one flush has taken and not stored counts as well."""
    monkeypatch.setattr(tick_buffer, "MAX_ENTRIES", 3 * BATCH)
    watched.buffer.put(ticks_of_nobody(2 * BATCH))
    async with database.transaction() as connection:
        await connection.execute("lock task_cursors")
        async with watched.running():
            await wait_until_blocked(database)
            watched.buffer.put(ticks_of_nobody(2 * BATCH))
            assert watched.dropped == 0
            watched.buffer.put(ticks_of_nobody(1))
            assert watched.dropped == 1


async def test_buffer_that_overflowed_goes_on(watched: Watched, task: Task) -> None:
    watched.buffer.put(ticks_of_nobody(MAX_ENTRIES + 1))

    async with watched.running():
        watched.buffer.put(await ticks_of(task, 1))

        await wait_until(lambda: watched.queued == 1, what="stored tick")
    assert len(await logs_of(task)) == 1


@pytest.mark.parametrize(("held_seconds", "stored"), [(MAX_AGE_SECONDS, 1), (5.001, 0)])
async def test_ticks_held_up_too_long_are_forgotten(
    watched: Watched, task: Task, held_seconds: float, stored: int
) -> None:
    """Its age is that of the oldest: a tick that came just now changes nothing."""
    first, second = await ticks_of(task, 2)
    watched.buffer.put([first])
    watched.now += held_seconds
    watched.buffer.put([second])

    await watched.buffer.flush()

    assert len(await logs_of(task)) == 2 * stored
    assert watched.dropped == 1 - stored


async def test_age_begins_anew_once_the_buffer_was_empty(watched: Watched, task: Task) -> None:
    first, second = await ticks_of(task, 2)
    watched.buffer.put([first])
    await watched.buffer.flush()
    watched.now += 60.0

    watched.buffer.put([second])
    await watched.buffer.flush()

    assert (len(await logs_of(task)), watched.dropped) == (2, 0)


async def test_early_tick_is_offered_again_until_it_is_due(
    watched: Watched, task: Task, database: Database
) -> None:
    async with database.connection() as connection:
        due = await connection.fetchval("select clock_timestamp() + interval '0.5 s'")
    ticks = await ticks_of(task, 1, first=due)

    async with watched.running():
        watched.buffer.put(ticks)

        await wait_until(lambda: watched.queued == 1, what="stored tick")
    (row,) = await logs_of(task)
    assert row.scheduled_for == due
    assert due <= row.created_at
    assert watched.dropped == 0


async def test_early_tick_holds_up_no_other(
    watched: Watched, task: Task, service: TaskService, fake_discord: FakeDiscord
) -> None:
    other = await make_task(service, fake_discord, name="other")
    far = await ticks_of(other, 1, first=datetime.now(UTC) + timedelta(hours=1))

    async with watched.running():
        watched.buffer.put(far)
        await asyncio.sleep(0)
        watched.buffer.put(await ticks_of(task, 1))

        await wait_until(lambda: watched.queued == 1, what="stored tick")
    assert (len(await logs_of(task)), len(await logs_of(other))) == (1, 0)


async def test_early_tick_is_forgotten_with_the_others(
    watched: Watched, task: Task, database: Database
) -> None:
    """Else it would be offered 200 times a second for as long as the clock stepped back."""
    async with database.connection() as connection:
        due = await connection.fetchval("select clock_timestamp() + interval '2 s'")
    async with watched.running():
        watched.buffer.put(await ticks_of(task, 1, first=due))

        await wait_until(lambda: watched.buffer.last_tick_at is not None, what="first offer")
        watched.buffer.drop("the clock stepped back")

        await wait_for_database_time(database, due + timedelta(seconds=0.3))
    assert await logs_of(task) == []


async def test_refused_statement_forgets_the_ticks_and_says_so(
    watched: Watched, task: Task, database: Database
) -> None:
    watched.buffer.put(await ticks_of(task, 1))
    await run_sql(database, "alter table task_cursors rename to elsewhere")

    await watched.buffer.flush()

    await run_sql(database, "alter table elsewhere rename to task_cursors")
    await watched.buffer.flush()
    assert (watched.dropped, watched.queued) == (1, 0)
    assert await logs_of(task) == []


async def test_unreachable_database_forgets_the_ticks_and_says_so(database_url: str) -> None:
    database = await Database.connect(database_url, pool_size=1, pool_timeout_seconds=0.1)
    watched = Watched(database)
    watched.buffer.put(ticks_of_nobody(1))

    async with database.connection():
        await watched.buffer.flush()

    assert watched.dropped == 1
    await database.close()


async def test_batch_that_fails_keeps_those_before_it(
    watched: Watched, task: Task, database: Database
) -> None:
    ticks = await ticks_of(task, BATCH + 1)
    await refuse_logs(database, of=f"new.scheduled_for = '{ticks[-1].at}'")
    watched.buffer.put(ticks)

    await watched.buffer.flush()

    assert len(await logs_of(task)) == BATCH
    assert (watched.queued, watched.dropped) == (1, 1)
    assert (await TaskCursor.get(task_id=task.id)).cursor == ticks[-2].at


async def test_tick_that_was_stored_before_harms_no_other_in_its_batch(
    watched: Watched,
    task: Task,
    service: TaskService,
    fake_discord: FakeDiscord,
    database: Database,
) -> None:
    """A cursor may lie before a stored tick: set anew after the database's clock stepped back."""
    other = await make_task(service, fake_discord, name="other")
    await move_cursor(database, other, back=timedelta(hours=1))
    first = await ticks_of(task, 1)
    watched.buffer.put(first)
    await watched.buffer.flush()
    await move_cursor(database, task, back=timedelta(hours=2))

    watched.buffer.put([*await ticks_of(task, 1, first=first[0].at), *await ticks_of(other, 1)])
    await watched.buffer.flush()

    assert len(await logs_of(other)) == 1


def once_in_a_year(at: datetime) -> str:
    return f"{at.second} {at.minute} {at.hour} {at.day} {at.month} *"


async def make_task_for(
    seconds: int, tasks: TaskService, fake: FakeDiscord, database: Database
) -> tuple[Task, datetime]:
    """Make a task that ticks once in so many seconds; it does without its misfires."""
    async with database.connection() as connection:
        now = await connection.fetchval("select date_trunc('second', clock_timestamp())")
    due: datetime = now + timedelta(seconds=seconds)
    task = await make_task(
        tasks, fake, schedule=once_in_a_year(due), misfire_policy=MisfirePolicy.SKIP
    )
    return task, due


async def test_tick_whose_flush_failed_is_stored_late_and_is_no_misfire(
    cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine, database: Database
) -> None:
    """A gap of under five seconds is none, whatever the policy."""
    tasks = make_service(cipher, fake_discord.origin, engine)
    await refuse_logs(database)
    task, due = await make_task_for(2, tasks, fake_discord, database)
    await wait_for_database_time(database, due + timedelta(seconds=0.3))
    await run_sql(database, "drop trigger refuse on task_logs")

    async def is_stored() -> bool:
        return len(await logs_of(task)) == 1

    await wait_until(is_stored, what="row of the tick")
    (row,) = await logs_of(task)
    assert (row.scheduled_for, row.trigger) == (due, RunTrigger.SCHEDULE)


async def test_gap_noticed_while_the_database_failed_is_not_forgotten(
    cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine, database: Database
) -> None:
    tasks = make_service(cipher, fake_discord.origin, engine)
    task = await make_task(tasks, fake_discord, schedule="0 0 * * *")
    await move_cursor(database, task, back=timedelta(days=2))
    await run_sql(database, "alter table tasks rename column misfire_policy to elsewhere")
    job = engine._scheduler._jobs.get(task.id)
    assert job is not None

    engine._scheduler._gap(job)  # as a job does that wakes too late, after a pause of the machine
    await engine.applied(task.id)  # returns after the turn, which fails
    await run_sql(database, "alter table tasks rename column elsewhere to misfire_policy")

    async def is_filled() -> bool:
        return await TaskLog.filter(task_id=task.id, skipped_count__gte=1).exists()

    await wait_until(is_filled, what="summary of the gap")


async def test_lost_ticks_ask_for_one_comparison_a_second_while_the_database_fails(
    engine: Engine, database: Database
) -> None:
    """Each failure asks for the next, and each lost batch too: they must not add up."""
    loop = asyncio.get_running_loop()
    await run_sql(database, "alter table tasks rename column version to elsewhere")
    began = loop.time()
    with capture_logs() as log:
        for number in range(8):
            loop.call_later(0.1 * number, engine._scheduler.buffer.drop, "a test")

        await wait_until(
            lambda: [entry["event"] for entry in log].count("reconcile_failed") == 4,
            what="fourth comparison",
        )

    await run_sql(database, "alter table tasks rename column elsewhere to version")
    assert loop.time() - began > 3.0


async def test_reconcile_comes_in_time_however_many_notices_come(
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here every second instead of every 30: a change by hand sends no notice."""
    monkeypatch.setattr(scheduling, "RECONCILE_SECONDS", 1.0)
    engine = await start_engine(roles=frozenset({"scheduler"}))
    await make_task(make_service(cipher, fake_discord.origin, engine), fake_discord)
    await run_sql(database, "update tasks set status = 'INACTIVE'")

    async def is_gone() -> bool:
        engine._scheduler.hear(str(uuid4()))
        return (await engine.status()).scheduled_jobs == 0

    await wait_until(is_gone, what="end of the job")


async def test_stopping_lets_go_of_those_who_wait_for_the_scheduler(
    start_engine: StartEngine,
) -> None:
    """A mutation may be waiting for its turn when the service stops."""
    engine = await start_engine(roles=frozenset({"scheduler"}))
    waiting: Sequence[asyncio.Task[None]] = [
        asyncio.create_task(engine.applied(uuid4())) for _ in range(3)
    ]
    await asyncio.sleep(0)

    await engine.stop()

    _, pending = await asyncio.wait(waiting, timeout=2)
    for one in pending:
        one.cancel()
    assert pending == set()


async def test_change_is_answered_while_the_database_fails_the_comparison(
    cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine, database: Database
) -> None:
    """It is stored; that the engine knows of it may come later."""
    task = await make_task(make_service(cipher, fake_discord.origin, engine), fake_discord)
    await run_sql(database, "alter table tasks rename column version to elsewhere")

    waiting = asyncio.create_task(engine.applied(task.id))
    await asyncio.sleep(0)
    engine._scheduler.reconcile_soon()
    done, _ = await asyncio.wait([waiting], timeout=3)

    await run_sql(database, "alter table tasks rename column elsewhere to version")
    await asyncio.wait([waiting], timeout=5)
    assert done == {waiting}


async def test_what_comes_during_a_burst_is_stored_before_the_rest_of_it(
    database_url: str, service: TaskService, fake_discord: FakeDiscord, task: Task
) -> None:
    """But not before earlier ticks of its own task."""
    database = await LossyDatabase.connect(database_url)
    other = await make_task(service, fake_discord, overlap_policy=OverlapPolicy.ALLOW)
    await move_cursor(database, other, back=timedelta(hours=1))
    burst, more = await ticks_of(task, 2 * BATCH + 1), await ticks_of(other, 1)
    watched = Watched(database)
    database.holds_answer_of = _STORE
    watched.buffer.put(burst[:-1])
    async with watched.running():
        await database.is_held.wait()
        watched.buffer.put([burst[-1], *more])
        database.is_let_go.set()

        async def is_stored() -> bool:
            return await TaskLog.filter(task_id=task.id).count() == len(burst)

        await wait_until(is_stored, what="end of the burst")

    (late,) = await TaskLog.filter(task_id=other.id)
    rows = await TaskLog.filter(task_id=task.id).order_by("-scheduled_for")
    assert [row.created_at > late.created_at for row in rows[:2]] == [True, True]
    # Stored in a batch of its own: it doesn't wait with others.
    assert late.created_at not in {row.created_at for row in rows}
    assert watched.holes == []

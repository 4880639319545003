"""Ticks are stored once, in order and without holes, whoever ticks and whatever changes."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from engine.cipher import WebhookCipher
from engine.engine import Engine
from engine.service import TaskService
from engine.ticks import Stored, Tick, store_ticks
from models.database import Connection, Database
from models.enums import LogStatus, MisfirePolicy, OverlapPolicy, RunTrigger, TaskStatus
from models.fields import uuid7
from models.task import Task, TaskCursor
from models.task_log import TaskLog
from tests.conftest import RUN_DEADLINE_SECONDS, StartEngine, make_service
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, logs_of, make_task, move_cursor, wait_for_logs
from tests.waiting import wait_until

SUCCESS, SKIPPED, QUEUED = LogStatus.SUCCESS, LogStatus.SKIPPED, LogStatus.QUEUED


async def store(database: Database, *ticks: Tick) -> Stored:
    async def work(connection: Connection) -> Stored:
        return await store_ticks(connection, ticks, run_deadline_seconds=RUN_DEADLINE_SECONDS)

    return await database.transact(work)


async def tick_of(task: Task, *, seconds_ago: float = 0.5, since: datetime | None = None) -> Tick:
    """Return a tick between the cursor and now, which the cursor was moved back for."""
    cursor = (await TaskCursor.get(task_id=task.id)).cursor
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return Tick(task_id=task.id, version=task.version, at=at, since=since or cursor)


@pytest.fixture
async def task(service: TaskService, fake_discord: FakeDiscord, database: Database) -> Task:
    """A task whose last minute is not accounted for; no engine is running."""
    task = await make_task(service, fake_discord)
    await move_cursor(database, task, back=timedelta(minutes=1))
    return task


async def test_tick_is_stored_once_and_moves_the_cursor(database: Database, task: Task) -> None:
    tick = await tick_of(task)

    first, again = await store(database, tick), await store(database, tick)

    assert (first.queued, again.queued) == (1, 0)
    (row,) = await logs_of(task)
    assert row.status is QUEUED
    assert (await TaskCursor.get(task_id=task.id)).cursor == row.scheduled_for


async def test_tick_of_an_old_version_is_not_stored(database: Database, task: Task) -> None:
    tick = await tick_of(task)
    async with database.connection() as connection:
        await connection.execute("update tasks set max_retry = 5")

    assert (await store(database, tick)).queued == 0


async def test_tick_of_an_inactive_or_deleted_task_is_not_stored(
    database: Database, task: Task, service: TaskService
) -> None:
    tick = await tick_of(task)
    await service.toggle(ACTOR, task.id)

    assert (await store(database, tick)).queued == 0


async def test_tick_ahead_of_the_databases_clock_is_kept_for_later(
    database: Database, task: Task
) -> None:
    tick = await tick_of(task, seconds_ago=-60)

    stored = await store(database, tick)

    assert (stored.queued, stored.early) == (0, (tick,))


async def test_tick_after_a_hole_is_not_stored_and_the_hole_is_named(
    database: Database, task: Task
) -> None:
    since = datetime.now(UTC) - timedelta(seconds=10)

    stored = await store(database, await tick_of(task, since=since))

    assert (stored.queued, stored.holes) == (0, frozenset({task.id}))


@pytest.mark.parametrize(
    ("policy", "statuses"),
    [(OverlapPolicy.SKIP, [QUEUED, SKIPPED]), (OverlapPolicy.ALLOW, [QUEUED, QUEUED])],
)
async def test_overlap_policy_decides_about_a_tick_while_a_run_is_queued(
    database: Database,
    service: TaskService,
    task: Task,
    policy: OverlapPolicy,
    statuses: list[LogStatus],
) -> None:
    task = await service.update(ACTOR, task.id, {"overlap_policy": policy})
    first = await tick_of(task, seconds_ago=2)
    second = Tick(
        task_id=task.id, version=task.version, at=first.at + timedelta(seconds=1), since=first.at
    )

    await store(database, first)
    await store(database, second)

    rows = await logs_of(task)
    assert [row.status for row in rows] == statuses
    assert (rows[1].finished_at is not None) is (rows[1].status is SKIPPED)


async def test_of_several_ticks_in_one_batch_the_first_runs(database: Database, task: Task) -> None:
    first = await tick_of(task, seconds_ago=3)
    ticks = [first]
    for _ in range(2):
        before = ticks[-1].at
        ticks.append(
            Tick(
                task_id=task.id,
                version=task.version,
                at=before + timedelta(seconds=1),
                since=before,
            )
        )

    stored = await store(database, *reversed(ticks))

    assert (stored.queued, len(stored.skipped)) == (1, 2)
    assert [row.status for row in await logs_of(task)] == [QUEUED, SKIPPED, SKIPPED]


async def test_tick_that_comes_twice_in_one_batch_runs(database: Database, task: Task) -> None:
    first = await tick_of(task, seconds_ago=3)
    again = replace(first, log_id=uuid7())

    stored = await store(database, again, first)

    assert (stored.queued, stored.skipped) == (1, ())
    assert [row.status for row in await logs_of(task)] == [QUEUED]


async def test_batches_in_opposite_orders_do_not_lose_to_a_deadlock(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    tasks = [await make_task(service, fake_discord, name=f"task {n}") for n in range(50)]
    for one in tasks:
        await move_cursor(database, one, back=timedelta(minutes=1))
    ticks = [await tick_of(one) for one in tasks]

    stored = await asyncio.gather(*(store(database, *ticks[:: (-1) ** n]) for n in range(8)))

    assert sum(one.queued for one in stored) == 50
    assert await TaskLog.all().count() == 50


async def test_two_copies_store_and_send_each_tick_once(
    start_engine: StartEngine, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> None:
    one, other = await start_engine(), await start_engine()
    service = make_service(cipher, fake_discord.origin, one)
    tasks = [
        await make_task(service, fake_discord, name=f"task {n}", schedule="* * * * * *")
        for n in range(20)
    ]
    await other.reloaded()

    await fake_discord.wait_for(60)
    for task in tasks:
        await service.toggle(ACTOR, task.id)

    async def is_quiet() -> bool:
        return await TaskLog.filter(status=QUEUED).count() == 0

    await wait_until(is_quiet, what="empty queue")
    rows = await TaskLog.filter(status=SUCCESS)
    assert len(rows) == len(fake_discord.requests)
    assert len({(row.task_id, row.scheduled_for) for row in rows}) == len(rows)


async def test_copy_that_missed_the_notice_of_a_change_stores_no_tick_of_the_old_version(
    database: Database,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    """Here nobody is told of a change by hand, and one copy is asked to look."""
    told, untold = await start_engine(), await start_engine()
    service = make_service(cipher, fake_discord.origin, told)
    task = await make_task(service, fake_discord, schedule="* * * * * *", overlap_policy="ALLOW")
    await untold.reloaded()
    await fake_discord.wait_for(1)

    await Task.filter(id=task.id).update(schedule="*/2 * * * * *")
    await told.applied(task.id)
    cursor = (await TaskCursor.get(task_id=task.id)).cursor
    stale = untold._scheduler._jobs.get(task.id)
    assert stale is not None

    def has_ticked() -> bool:
        return stale.last_tick is not None and stale.last_tick > cursor + timedelta(seconds=6)

    await wait_until(has_ticked, what="ticks of the old version")
    assert untold._scheduler._jobs.get(task.id) is stale
    rows = [row.scheduled_for for row in await logs_of(task) if row.scheduled_for > cursor]
    assert {at.second % 2 for at in rows} == {0}
    assert {after - before for before, after in pairwise(rows)} == {timedelta(seconds=2)}


@pytest.mark.parametrize(
    ("policy", "fired", "skipped"),
    [
        (MisfirePolicy.SKIP, 0, 600),
        (MisfirePolicy.FIRE_ONCE, 1, 599),
        (MisfirePolicy.FIRE_ALL, 61, 539),
    ],
)
async def test_long_gap_is_accounted_for_by_the_misfire_policy(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
    policy: MisfirePolicy,
    fired: int,
    skipped: int,
) -> None:
    task = await make_task(
        service,
        fake_discord,
        schedule="* * * * * *",
        misfire_policy=policy,
        misfire_grace_seconds=60,
    )
    cursor = await move_cursor(database, task, back=timedelta(minutes=10))

    await start_engine(roles=frozenset({"scheduler"}))

    rows = await TaskLog.filter(task_id=task.id, trigger=RunTrigger.CATCH_UP)
    (summary,) = [row for row in rows if row.skipped_count]
    assert abs(len(rows) - 1 - fired) <= 1
    assert summary.skipped_count is not None
    assert summary.skipped_from is not None
    assert -1 <= summary.skipped_count - skipped <= 10
    assert summary.skipped_from == cursor.replace(microsecond=0) + timedelta(seconds=1)
    ticks = (summary.scheduled_for - summary.skipped_from).total_seconds() + 1
    assert ticks == summary.skipped_count
    assert summary.feed_id is not None


async def test_gap_younger_than_five_seconds_is_no_misfire(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    task = await make_task(
        service, fake_discord, schedule="* * * * * *", overlap_policy=OverlapPolicy.ALLOW
    )
    cursor = await move_cursor(database, task, back=timedelta(seconds=2.1))

    await start_engine(roles=frozenset({"scheduler"}))

    async def are_stored() -> bool:
        return len(await logs_of(task)) >= 3

    await wait_until(are_stored, what="late ticks")
    rows = await logs_of(task)
    assert {row.trigger for row in rows} == {RunTrigger.SCHEDULE}
    assert rows[0].scheduled_for == cursor.replace(microsecond=0) + timedelta(seconds=1)
    gaps = {
        (after.scheduled_for - before.scheduled_for).total_seconds()
        for before, after in pairwise(rows)
    }
    assert gaps == {1.0}


async def test_hole_is_noticed_and_filled_by_the_scheduler(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> None:
    service = make_service(cipher, fake_discord.origin, engine)
    task = await make_task(service, fake_discord, schedule="* * * * * *")
    await move_cursor(database, task, back=timedelta(seconds=30))

    async def is_filled() -> bool:
        return await TaskLog.filter(task_id=task.id, skipped_count__gte=25).exists()

    await wait_until(is_filled, what="summary of the hole")


async def test_tick_of_a_task_turned_off_before_it_was_sent_is_skipped(
    service: TaskService, task: Task, database: Database, start_engine: StartEngine
) -> None:
    await store(database, await tick_of(task))
    await service.toggle(ACTOR, task.id)

    await start_engine(roles=frozenset({"worker"}))

    (row,) = await wait_for_logs(task, SKIPPED)
    assert "INACTIVE" in (row.message or "")


async def test_queued_tick_of_a_deleted_task_is_not_sent(
    service: TaskService,
    task: Task,
    database: Database,
    start_engine: StartEngine,
    fake_discord: FakeDiscord,
) -> None:
    await store(database, await tick_of(task))
    await service.delete(ACTOR, task.id)

    await start_engine(roles=frozenset({"worker"}))

    await wait_for_logs(task, SKIPPED)
    assert fake_discord.requests == []


async def test_queued_tick_is_sent_as_the_task_is_at_that_moment(
    service: TaskService,
    task: Task,
    database: Database,
    start_engine: StartEngine,
    fake_discord: FakeDiscord,
) -> None:
    await store(database, await tick_of(task))
    url = fake_discord.url()
    await service.update(ACTOR, task.id, {"payload": {"content": "new"}, "webhook_url": url})

    await start_engine(roles=frozenset({"worker"}))

    await wait_for_logs(task, SUCCESS)
    (request,) = fake_discord.requests
    assert request.payload == {"content": "new"}
    assert request.webhook_id in url


async def test_rescheduled_task_forgets_the_ticks_of_its_old_schedule(
    cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> None:
    service = make_service(cipher, fake_discord.origin, engine)
    task = await make_task(service, fake_discord, schedule="* * * * * *")
    await fake_discord.wait_for(1)

    await service.update(ACTOR, task.id, {"schedule": "0 0 1 1 *"})

    sent = len(fake_discord.requests)
    status = await engine.status()
    assert status.scheduled_jobs == 1
    with pytest.raises(TimeoutError):
        await fake_discord.wait_for(sent + 2, timeout_seconds=2.5)


async def test_toggled_and_deleted_tasks_have_no_job(
    cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> None:
    service = make_service(cipher, fake_discord.origin, engine)
    one = await make_task(service, fake_discord)
    other = await make_task(service, fake_discord)
    assert (await engine.status()).scheduled_jobs == 2

    await service.toggle(ACTOR, one.id)
    await service.delete(ACTOR, other.id)

    assert (await engine.status()).scheduled_jobs == 0
    assert (await service.toggle(ACTOR, one.id)).status is TaskStatus.ACTIVE
    assert (await engine.status()).scheduled_jobs == 1


async def test_change_by_hand_in_another_copy_arrives_by_reload(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> None:
    elsewhere = make_service(cipher, fake_discord.origin)
    await make_task(elsewhere, fake_discord)

    async def has_job() -> bool:
        return (await engine.status()).scheduled_jobs == 1

    await wait_until(has_job, what="job for the task made elsewhere")
    async with database.connection() as connection:
        await connection.execute("update tasks set status = 'INACTIVE'")
    assert await elsewhere.reload(ACTOR) == 0

    async def has_none() -> bool:
        return (await engine.status()).scheduled_jobs == 0

    await wait_until(has_none, what="end of the job")


@pytest.mark.parametrize("roles", [{"scheduler"}, {"worker"}, {"api", "scheduler", "worker"}])
async def test_engine_tells_once_when_it_is_ready(
    start_engine: StartEngine, roles: set[str]
) -> None:
    ready: list[bool] = []
    engine = await start_engine(roles=frozenset(roles), on_ready=lambda: ready.append(True))
    await engine.reloaded()

    assert ready == [True]

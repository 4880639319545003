"""What a lost copy, a lost connection or an uncertain answer leaves behind."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from engine.cipher import WebhookCipher
from engine.client import TIMEOUT_SECONDS
from engine.engine import Engine
from engine.service import TaskService
from engine.takeover import TakenOver, take_over
from models.database import Database
from models.enums import DeliveryGuarantee, LogStatus
from models.task import Task
from models.task_log import TaskLog
from tests.conftest import StartEngine, make_service
from tests.fake_discord import FakeDiscord
from tests.fake_discord_behaviours import answer, hang, held, reset
from tests.tasks import ACTOR, logs_of, make_task, wait_for_logs
from tests.waiting import wait_until

SUCCESS, FAILED, QUEUED, RETRYING, UNKNOWN = (
    LogStatus.SUCCESS,
    LogStatus.FAILED,
    LogStatus.QUEUED,
    LogStatus.RETRYING,
    LogStatus.UNKNOWN,
)
AT_MOST_ONCE = DeliveryGuarantee.AT_MOST_ONCE


async def claim_for(database: Database, task: Task, instance_id: UUID, seen: timedelta) -> None:
    """Make it look as if a copy, last seen so long ago, had claimed the task's attempt."""
    async with database.transaction() as connection:
        await connection.execute(
            "insert into engine_instances values ($1, clock_timestamp() - $2::interval, now(), '')",
            instance_id,
            seen,
        )
        await connection.execute(
            "update task_logs set claimed_by = $1, started_at = now() where task_id = $2",
            instance_id,
            task.id,
        )
        await connection.execute(
            "update webhook_lanes set owner = $1 where webhook_key = $2",
            instance_id,
            task.webhook_key,
        )


async def take_over_as(database: Database, *, seen: timedelta = timedelta()) -> TakenOver:
    """Take over as a copy whose own last heartbeat was so long ago."""
    async with database.transaction() as connection:
        seen_at = await connection.fetchval("select clock_timestamp() - $1::interval", seen)
        return await take_over(connection, instance_id=uuid4(), seen_at=seen_at)


@pytest.mark.parametrize(
    ("guarantee", "status"),
    [(DeliveryGuarantee.AT_LEAST_ONCE, QUEUED), (AT_MOST_ONCE, UNKNOWN)],
)
async def test_attempt_of_a_dead_copy_is_taken_over_by_its_guarantee(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    guarantee: DeliveryGuarantee,
    status: LogStatus,
) -> None:
    task = await make_task(service, fake_discord, delivery_guarantee=guarantee)
    await service.trigger(ACTOR, task.id)
    await claim_for(database, task, uuid4(), timedelta(seconds=7))

    await take_over_as(database)

    (row,) = await logs_of(task)
    assert row.status is status
    assert (row.feed_id is not None) is (status is UNKNOWN)
    assert row.claimed_by is None or status is UNKNOWN


async def test_attempt_of_a_living_copy_is_left_alone(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    owner = uuid4()
    await claim_for(database, task, owner, timedelta(seconds=3))

    taken = await take_over_as(database)

    assert (taken.resent, taken.unknown) == (0, 0)
    assert (await logs_of(task))[0].claimed_by == owner


@pytest.mark.parametrize(
    ("ours", "others", "resent"), [(0, -600, 1), (4, 604, 0), (-1, 604, 0), (-600, -600, 0)]
)
async def test_heartbeats_by_a_clock_that_stepped_tell_nothing_until_the_next_ones(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    ours: int,
    others: int,
    resent: int,
) -> None:
    """A copy that died before a step back looks seen at an instant to come."""
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    await claim_for(database, task, uuid4(), timedelta(seconds=others))

    taken = await take_over_as(database, seen=timedelta(seconds=ours))

    assert taken.resent == resent


async def test_running_copy_takes_over(
    database: Database,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    service: TaskService,
    start_engine: StartEngine,
) -> None:
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    await claim_for(database, task, uuid4(), timedelta(seconds=0))

    await start_engine()

    await wait_for_logs(task, SUCCESS, timeout_seconds=20)


async def test_result_of_an_attempt_that_was_taken_over_is_dropped(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> None:
    tasks = make_service(cipher, fake_discord.origin, engine)
    task = await make_task(tasks, fake_discord)
    is_stolen = asyncio.Event()
    fake_discord.script(task.webhook_id, held(is_stolen, answer(200)))
    await tasks.trigger(ACTOR, task.id)
    await fake_discord.wait_for(1)
    thief = uuid4()
    async with database.connection() as connection:
        await connection.execute("update task_logs set claimed_by = $1", thief)
    is_stolen.set()

    async def is_recorded() -> bool:
        return (await engine.status()).in_flight == 0

    await wait_until(is_recorded, what="end of the delivery")
    (row,) = await logs_of(task)
    assert (row.status, row.claimed_by) == (QUEUED, thief)


@pytest.mark.parametrize(
    ("guarantee", "statuses"),
    [(DeliveryGuarantee.AT_LEAST_ONCE, [RETRYING, SUCCESS]), (AT_MOST_ONCE, [UNKNOWN])],
)
async def test_uncertain_answer_is_resent_or_given_up_by_the_guarantee(
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    engine: Engine,
    guarantee: DeliveryGuarantee,
    statuses: list[LogStatus],
) -> None:
    tasks = make_service(cipher, fake_discord.origin, engine)
    task = await make_task(tasks, fake_discord, delivery_guarantee=guarantee)
    fake_discord.script(task.webhook_id, reset())

    await tasks.trigger(ACTOR, task.id)

    await wait_for_logs(task, *statuses)


async def test_lost_connections_are_replaced_and_ticks_go_on(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> None:
    tasks = make_service(cipher, fake_discord.origin, engine)
    task = await make_task(tasks, fake_discord, schedule="* * * * * *", overlap_policy="ALLOW")
    await fake_discord.wait_for(1)

    async with database.connection() as connection:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where pid <> pg_backend_pid() and datname = current_database()"
        )
    await fake_discord.wait_for(4)
    await tasks.toggle(ACTOR, task.id)

    async def is_quiet() -> bool:
        return await TaskLog.filter(status=QUEUED).count() == 0

    await wait_until(is_quiet, what="empty queue")
    rows = await logs_of(task)
    seconds = [row.scheduled_for.timestamp() for row in rows]
    assert seconds == [seconds[0] + number for number in range(len(seconds))]
    assert {row.status for row in rows} == {SUCCESS}
    health = await engine.health()
    assert health["database"].state == "ok"


async def test_stopping_finishes_what_is_open_and_gives_back_the_rest(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord, start_engine: StartEngine
) -> None:
    engine = await start_engine()
    tasks = make_service(cipher, fake_discord.origin, engine)
    task = await make_task(tasks, fake_discord)
    fake_discord.latency_seconds = 0.5
    await tasks.trigger(ACTOR, task.id)
    await tasks.trigger(ACTOR, task.id)
    await fake_discord.wait_for(1)

    await engine.stop()

    assert sorted(row.status for row in await logs_of(task)) == [QUEUED, SUCCESS]
    async with database.connection() as connection:
        owned = await connection.fetchval(
            "select count(*) from webhook_lanes where owner is not null"
        )
        claimed = await connection.fetchval(
            "select count(*) from task_logs where status = 'QUEUED' and claimed_by is not null"
        )
        instances = await connection.fetchval("select count(*) from engine_instances")
    assert (owned, claimed, instances) == (0, 0, 0)


async def test_work_left_by_one_copy_is_done_by_the_next(
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    service: TaskService,
    start_engine: StartEngine,
) -> None:
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)

    await start_engine()

    await wait_for_logs(task, SUCCESS)


async def test_run_is_given_up_at_its_deadline(
    database: Database, fake_discord: FakeDiscord, service: TaskService, start_engine: StartEngine
) -> None:
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    async with database.connection() as connection:
        await connection.execute("update task_logs set deadline_at = clock_timestamp()")

    await start_engine()

    (row,) = await wait_for_logs(task, FAILED)
    assert "deadline" in (row.message or "")
    assert fake_discord.requests == []


async def test_slow_webhook_holds_up_no_other(
    cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> None:
    tasks = make_service(cipher, fake_discord.origin, engine)
    slow = await make_task(tasks, fake_discord)
    quick = await make_task(tasks, fake_discord)
    fake_discord.script(slow.webhook_id, hang())
    await tasks.trigger(ACTOR, slow.id)
    await fake_discord.wait_for(1)

    await tasks.trigger(ACTOR, quick.id)

    await wait_for_logs(quick, SUCCESS, timeout_seconds=TIMEOUT_SECONDS - 1)
    await asyncio.sleep(0)
    assert (await logs_of(slow))[0].status is QUEUED


async def test_attempt_whose_task_was_removed_by_hand_blocks_nothing(
    database: Database, fake_discord: FakeDiscord, service: TaskService, start_engine: StartEngine
) -> None:
    gone = await make_task(service, fake_discord)
    healthy = await make_task(service, fake_discord)
    await service.trigger(ACTOR, gone.id)
    await service.trigger(ACTOR, healthy.id)
    async with database.connection() as connection:
        await connection.execute("delete from tasks where id = $1", gone.id)

    await start_engine()

    await wait_for_logs(healthy, SUCCESS)
    await wait_for_logs(gone, LogStatus.SKIPPED)

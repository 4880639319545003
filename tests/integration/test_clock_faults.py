"""Clocks that step, stand still or are wrong: no tick is lost, early or stored twice."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from engine.cipher import WebhookCipher
from engine.claims import _CLAIM
from engine.clock import sleepless
from engine.engine import Engine
from engine.service import TaskService
from engine.takeover import take_over
from models.database import Connection, Database
from models.enums import DeliveryGuarantee, LogStatus, MisfirePolicy, OverlapPolicy, RunTrigger
from models.orm import credentials
from models.task import Task
from tests.chaos.invariants import count_ticks
from tests.chaos.observer import install, observe
from tests.conftest import StartEngine, make_service
from tests.fake_discord import FakeDiscord
from tests.lossy_database import LossyDatabase
from tests.tasks import ACTOR, logs_of, make_task, wait_for_logs
from tests.waiting import wait_until

SUCCESS = LogStatus.SUCCESS
SCHEDULE, CATCH_UP = RunTrigger.SCHEDULE, RunTrigger.CATCH_UP
EVERY_SECOND = "* * * * * *"
GRACE_SECONDS = 10
# A heartbeat has come by then, and told of a step.
NOTICE_SECONDS = 4.0

# What stands before pg_catalog in the search path is what the engine's statements call.
SHIFTED = """
create schema shifted;
create table shifted.clock as select interval '0' as by;
create function shifted.clock_timestamp() returns timestamptz volatile language sql as
    'select pg_catalog.clock_timestamp() + by from shifted.clock';
create function shifted.statement_timestamp() returns timestamptz stable language sql as
    'select pg_catalog.statement_timestamp() + by from shifted.clock';
create function shifted.now() returns timestamptz stable language sql as
    'select pg_catalog.now() + by from shifted.clock';
"""


@pytest.fixture
async def database_url(database_url: str) -> str:
    """A clean database whose clock can be set, and that notes when tasks are ACTIVE."""
    connection = await asyncpg.connect(**credentials(database_url))
    name = await connection.fetchval("select current_database()")
    await connection.execute(SHIFTED)
    await connection.execute(
        f'alter database "{name}" set search_path = shifted, pg_catalog, public'
    )
    await connection.close()
    await install(database_url)
    return database_url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[LossyDatabase]:
    """The clean database, connected; it can hold an answer back."""
    database = await LossyDatabase.connect(database_url)
    yield database
    await database.close()


async def fetch(database: Database, statement: str, *arguments: object) -> Any:
    async with database.connection() as connection:
        return await connection.fetchval(statement, *arguments)


async def now(database: Database) -> datetime:
    at: datetime = await fetch(database, "select clock_timestamp()")
    return at


async def step(database: Database, seconds: float) -> None:
    await fetch(database, f"update shifted.clock set by = by + {seconds} * interval '1 second'")


async def wait_for_notice(database: Database, *engines: Engine) -> None:
    """Wait until the engines know the database's time."""

    async def is_known() -> bool:
        at = (await now(database)).timestamp()
        return all(abs(engine._clock.time() - at) < 0.2 for engine in engines)

    await wait_until(is_known, what="word of the step")


async def wait_for_ticks(database: Database) -> None:
    """Wait until two more seconds of every task are accounted for."""
    until = await now(database) + timedelta(seconds=2)

    async def are_accounted() -> bool:
        return bool(await fetch(database, "select min(cursor) > $1 from task_cursors", until))

    await wait_until(are_accounted, what=f"ticks after {until}", timeout_seconds=15)


async def assert_each_tick_is_stored_once_and_in_time(database: Database, url: str) -> None:
    """Turn off all tasks, and compare the record with the ticks of their schedules."""
    await fetch(database, "update tasks set status = 'INACTIVE'")
    count = count_ticks(await observe(url, until=await now(database)))
    assert count.required
    assert count.breaches == []
    early = "select count(*) from task_logs where least(created_at, started_at) < scheduled_for"
    assert await fetch(database, early) == 0


async def make_tasks(service: TaskService, fake: FakeDiscord) -> dict[MisfirePolicy, Task]:
    """Make a task per misfire policy, which tick every second."""
    return {
        policy: await make_task(
            service,
            fake,
            schedule=EVERY_SECOND,
            overlap_policy=OverlapPolicy.ALLOW,
            misfire_policy=policy,
            misfire_grace_seconds=GRACE_SECONDS,
        )
        for policy in MisfirePolicy
    }


@pytest.mark.parametrize("steps", [(600.0, -600.0, 600.0), (-1.5, 1.5)])
async def test_step_of_the_databases_clock_loses_and_doubles_no_tick(
    steps: Collection[float],
    database: Database,
    database_url: str,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    engines = [await start_engine(), await start_engine()]
    service = make_service(cipher, fake_discord.origin, engines[0])
    await make_tasks(service, fake_discord)
    await make_task(service, fake_discord, schedule="*/2 * * * * *")
    await wait_for_ticks(database)

    for seconds in steps:
        await step(database, seconds)
        await wait_for_notice(database, *engines)
    noticed_at = await now(database)
    await wait_for_ticks(database)

    await assert_each_tick_is_stored_once_and_in_time(database, database_url)
    earliest = """
        select min(created_at - scheduled_for) from task_logs
        where trigger = 'SCHEDULE' and scheduled_for > $1
    """
    assert await fetch(database, earliest, noticed_at) < timedelta(seconds=0.5)


async def test_step_of_the_databases_clock_lets_no_living_copy_look_dead(
    database: Database,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    """Its open requests would be sent again, or given up as UNKNOWN."""
    engines = [await start_engine(), await start_engine()]
    service = make_service(cipher, fake_discord.origin, engines[0])
    tasks = [
        await make_task(service, fake_discord, delivery_guarantee=guarantee)
        for guarantee in DeliveryGuarantee
    ]
    await wait_until(
        lambda: all(engine._instance.may_judge() for engine in engines), what="right to judge"
    )
    fake_discord.latency_seconds = 5.0
    for task in tasks:
        await service.trigger(ACTOR, task.id)
    await fake_discord.wait_for(len(tasks))
    await wait_for_heartbeat(database)

    await step(database, 600.0)

    for task in tasks:
        await wait_for_logs(task, SUCCESS)
    assert len(fake_discord.requests) == len(tasks)


async def wait_for_heartbeat(database: Database) -> None:
    """Wait for the next one of a copy that has requests open."""
    statement = """
        select max(seen_at) from engine_instances where id in (select owner from webhook_lanes)
    """
    before = await fetch(database, statement)

    async def is_newer() -> bool:
        return bool(await fetch(database, statement) > before)

    await wait_until(is_newer, what="heartbeat")


class Sleep:
    """How long the machine slept, beside a clock that shows it; its monotonic clock does not."""

    seconds = 0.0

    def elapsed(self) -> float:
        return sleepless() + self.seconds

    async def fall(self, database: Database, seconds: float) -> None:
        self.seconds = seconds
        await step(database, seconds)


async def test_ticks_missed_while_the_machine_slept_follow_the_policies(
    database: Database,
    database_url: str,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    sleep = Sleep()
    engine = await start_engine(elapsed=sleep.elapsed)
    tasks = await make_tasks(make_service(cipher, fake_discord.origin, engine), fake_discord)
    await wait_for_ticks(database)

    sleep.seconds = 30.0
    assert not engine._instance.is_fresh()
    await step(database, 30.0)
    await wait_for_notice(database, engine)
    await wait_for_ticks(database)

    await assert_each_tick_is_stored_once_and_in_time(database, database_url)
    for policy, fired in {MisfirePolicy.SKIP: 0, MisfirePolicy.FIRE_ONCE: 1}.items():
        rows = [row for row in await logs_of(tasks[policy]) if row.trigger is CATCH_UP]
        (skipped, *others) = rows
        assert skipped.skipped_count is not None
        assert 25 <= skipped.skipped_count <= 40
        assert len(others) == fired
    fired_all = [
        row for row in await logs_of(tasks[MisfirePolicy.FIRE_ALL]) if row.trigger is CATCH_UP
    ]
    assert GRACE_SECONDS <= len(fired_all) <= GRACE_SECONDS + 2


async def far_tick(database: Database, service: TaskService, fake: FakeDiscord) -> datetime:
    """Make a daily task that ticks in three hours at the earliest, and return when."""
    tick = (await now(database)).replace(second=0, microsecond=0) + timedelta(hours=3, minutes=1)
    await make_task(service, fake, schedule=f"{tick.minute} {tick.hour} * * *", timezone="UTC")
    return tick


async def assert_is_stored_in_time(database: Database, tick: datetime) -> None:
    created_at = "select min(created_at) from task_logs where scheduled_for = $1"

    async def is_stored() -> bool:
        return await fetch(database, created_at, tick) is not None

    await wait_until(is_stored, what=f"the tick of {tick}")
    assert await fetch(database, created_at, tick) - tick < timedelta(seconds=3)


async def test_far_tick_that_steps_bring_near_is_stored_in_time(
    database: Database,
    database_url: str,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    engines = [await start_engine(), await start_engine()]
    service = make_service(cipher, fake_discord.origin, engines[0])
    tick = await far_tick(database, service, fake_discord)
    await engines[1].reloaded()

    for seconds in (3600.0, -1800.0):
        await step(database, seconds)
        await wait_for_notice(database, *engines)
    await step(database, (tick - await now(database)).total_seconds() - NOTICE_SECONDS)

    await assert_is_stored_in_time(database, tick)
    await assert_each_tick_is_stored_once_and_in_time(database, database_url)


async def test_far_tick_that_comes_near_while_the_machine_sleeps_is_stored_in_time(
    database: Database,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    sleep = Sleep()
    engine = await start_engine(elapsed=sleep.elapsed)
    service = make_service(cipher, fake_discord.origin, engine)
    tick = await far_tick(database, service, fake_discord)

    await sleep.fall(database, (tick - await now(database)).total_seconds() - NOTICE_SECONDS)

    await assert_is_stored_in_time(database, tick)


async def take_over_now(database: Database) -> None:
    """Take over from every other copy, which were all seen long ago."""

    async def work(connection: Connection) -> None:
        await connection.execute(
            "update engine_instances set seen_at = clock_timestamp() - interval '30 s'"
        )
        now = await connection.fetchval("select clock_timestamp()")
        assert (await take_over(connection, instance_id=uuid4(), seen_at=now)).resent == 1

    await database.transact(work)


async def test_claim_from_before_a_sleep_is_not_sent_after_it(
    database: LossyDatabase,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    """Another copy took it over in the meantime."""
    sleep = Sleep()
    sleeping = await start_engine(elapsed=sleep.elapsed)
    service = make_service(cipher, fake_discord.origin, sleeping)
    task = await make_task(service, fake_discord)
    database.holds_answer_of = _CLAIM
    await service.trigger(ACTOR, task.id)
    await database.is_held.wait()

    sleep.seconds = 30.0
    await take_over_now(database)
    other = await start_engine()
    await wait_for_logs(task, SUCCESS)
    await other.stop()
    await wait_until(sleeping._instance.is_fresh, what="heartbeat after the sleep")
    database.is_let_go.set()
    await service.trigger(ACTOR, task.id)

    await wait_for_logs(task, SUCCESS, SUCCESS)
    assert len(fake_discord.requests) == 2


async def test_blocked_loop_stores_its_ticks_late_and_loses_none(
    database: Database,
    database_url: str,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    """Less than five seconds are no misfire, whatever the policy."""
    engine = await start_engine()
    await make_tasks(make_service(cipher, fake_discord.origin, engine), fake_discord)
    await wait_for_ticks(database)

    asyncio.get_running_loop().call_soon(time.sleep, 2.0)
    await wait_for_ticks(database)

    await assert_each_tick_is_stored_once_and_in_time(database, database_url)
    triggers = await fetch(database, "select array_agg(distinct trigger) from task_logs")
    assert triggers == [SCHEDULE]
    late = "select max(created_at - scheduled_for) from task_logs"
    assert await fetch(database, late) > timedelta(seconds=1)


async def test_wrong_wall_clock_changes_no_tick_and_shows_in_health(
    database: Database,
    database_url: str,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    engines = {
        side: await start_engine(wall_clock=lambda off=off: time.time() + off)
        for side, off in {"ahead of": 3600.0, "behind": -3600.0}.items()
    }
    await make_tasks(make_service(cipher, fake_discord.origin), fake_discord)
    for engine in engines.values():
        await engine.reloaded()
    await wait_for_ticks(database)

    await assert_each_tick_is_stored_once_and_in_time(database, database_url)
    assert (
        await fetch(database, "select count(*) from task_logs where skipped_from is not null") == 0
    )
    for side, engine in engines.items():
        clock = (await engine.health())["clock"]
        assert clock.state == "degraded"
        told = re.search(rf"([\d.]+) s {side}", clock.detail)
        assert told is not None
        assert float(told[1]) == pytest.approx(3600.0, abs=2)

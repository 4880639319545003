"""A full disk, a full pool, a slow database, and answers made to harm: nothing is lost."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta

import asyncpg
import pytest

from engine.cipher import WebhookCipher
from engine.client import TIMEOUT_SECONDS
from engine.engine import Engine
from engine.instance import FENCE_SECONDS
from engine.service import TaskService
from models.database import Database
from models.enums import LogStatus, MisfirePolicy, OverlapPolicy, TaskStatus
from models.orm import credentials
from models.task import Task
from models.task_log import TaskLog
from tests.conftest import StartEngine, make_service
from tests.fake_discord import FakeDiscord
from tests.fake_discord_behaviours import (
    Behaviour,
    big_body,
    cut_body,
    endless_body,
    endless_headers,
    raw,
    redirect,
)
from tests.serving import make_app, serving
from tests.tasks import ACTOR, logs_of, make_task, wait_for_logs
from tests.waiting import wait_until

SUCCESS, FAILED, QUEUED, RETRYING = (
    LogStatus.SUCCESS,
    LogStatus.FAILED,
    LogStatus.QUEUED,
    LogStatus.RETRYING,
)
POOL_SIZE, POOL_TIMEOUT_SECONDS = 4, 1.0

# A disk can be filled only by root, and PostgreSQL says no more of it than this error. The
# sequences count what was refused: they keep what a transaction loses.
FULL_DISK = """
create table disk (is_full bool not null);
insert into disk values (false);
create sequence refused_insert;
create sequence refused_update;
create function write_to_disk() returns trigger language plpgsql as $$ begin
    if (select is_full from disk) then
        perform nextval('refused_' || lower(tg_op));
        raise 'could not extend file: No space left on device' using errcode = 'disk_full';
    end if;
    return new;
end $$;
"""
WRITTEN = ("tasks", "task_logs", "webhook_lanes", "engine_instances")
COUNT_CLAIMS = """
create sequence claims;
create function count_claim() returns trigger language plpgsql as $$ begin
    perform nextval('claims');
    return null;
end $$;
create trigger on_claim after update on task_logs for each row
    when (old.claimed_by is null and new.claimed_by is not null) execute function count_claim();
"""
SLOW_DISK = """
create function be_slow() returns trigger language plpgsql as $$ begin
    perform pg_sleep(0.2);
    return null;
end $$;
"""
CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
TRIGGER = "mutation ($id: UUID!) { triggerTask(id: $id) { id } }"


@pytest.fixture
async def database(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    """The clean database, with few connections; a test may say how long to wait for one."""
    database = await Database.connect(
        database_url,
        pool_size=POOL_SIZE,
        pool_timeout_seconds=getattr(request, "param", POOL_TIMEOUT_SECONDS),
    )
    yield database
    await database.close()


@pytest.fixture
async def other(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Another connection to the database, in no pool."""
    connection = await asyncpg.connect(**credentials(database_url))
    yield connection
    await connection.close()


async def add_trigger(
    other: "asyncpg.Connection[asyncpg.Record]", tables: Iterable[str], what: str
) -> None:
    """Add it to one table after the other: all at once, it deadlocks with the engine."""
    for table in tables:
        await other.execute(f"create trigger added before insert or update on {table} {what}")


@pytest.fixture
async def ticking(cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine) -> list[Task]:
    """Three tasks that tick each second, with an attempt sent, and of which no tick is skipped."""
    service = make_service(cipher, fake_discord.origin, engine)
    tasks = [
        await make_task(
            service,
            fake_discord,
            name=f"ticking {number}",
            schedule="* * * * * *",
            overlap_policy=OverlapPolicy.ALLOW,
            misfire_policy=MisfirePolicy.FIRE_ALL,
        )
        for number in range(3)
    ]
    await fake_discord.wait_for(len(tasks))
    return tasks


async def check_that_nothing_is_lost_or_sent_twice(
    engine: Engine, fake: FakeDiscord, tasks: list[Task]
) -> None:
    """Each second has its run, and of those all but the newest were sent, once."""
    await fake.wait_for(len(fake.requests) + 3 * len(tasks), timeout_seconds=15.0)
    await engine.stop()
    for task in tasks:
        rows = await logs_of(task)
        seconds = [row.scheduled_for.timestamp() for row in rows]
        assert seconds == [seconds[0] + number for number in range(len(rows))]
        sent = [row for row in rows if row.status is SUCCESS]
        assert rows == [*sent, *(row for row in rows if row.status is QUEUED)]
        requests = [one for one in fake.requests if one.webhook_id == task.webhook_id]
        assert len(requests) == len(sent)


async def test_full_disk_delays_ticks_and_results_and_loses_none(
    engine: Engine,
    fake_discord: FakeDiscord,
    ticking: list[Task],
    other: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    fake_discord.latency_seconds = 0.3
    await other.execute(FULL_DISK)
    await add_trigger(other, WRITTEN, "for each row execute function write_to_disk()")
    await fake_discord.wait_for(len(fake_discord.requests) + 1)  # and it is not answered yet
    await other.execute("update disk set is_full = true")

    async def was_refused() -> bool:
        ticks = await other.fetchval("select last_value from refused_insert")
        results = await other.fetchval("select last_value from refused_update")
        return bool(min(ticks, results) > 3)

    await wait_until(was_refused, what="ticks and results refused")
    await other.execute("update disk set is_full = false")

    await check_that_nothing_is_lost_or_sent_twice(engine, fake_discord, ticking)


async def test_full_disk_refuses_changes_until_there_is_room_again(
    database: Database,
    cipher: WebhookCipher,
    service: TaskService,
    fake_discord: FakeDiscord,
    other: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    task = await make_task(service, fake_discord)
    given = {"name": "new", "schedule": "@daily", "webhookUrl": fake_discord.url()}
    changes: list[tuple[str, dict[str, object]]] = [
        (CREATE, {"input": {**given, "payload": {"content": "hello"}}}),
        (TRIGGER, {"id": str(task.id)}),
    ]
    await other.execute(FULL_DISK)
    await add_trigger(other, WRITTEN, "for each row execute function write_to_disk()")
    async with serving(make_app(database, cipher, origin=fake_discord.origin)) as api:
        await other.execute("update disk set is_full = true")
        for query, variables in changes:
            error = await api.fail(query, **variables)
            assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
            assert "device" not in str(error)
        await other.execute("update disk set is_full = false")
        for query, variables in changes:
            await api.run(query, **variables)

    assert (await Task.all().count(), await TaskLog.all().count()) == (2, 1)


async def last_beat(other: "asyncpg.Connection[asyncpg.Record]") -> datetime:
    seen_at: datetime = await other.fetchval("select max(seen_at) from engine_instances")
    return seen_at


async def wait_for_beats(other: "asyncpg.Connection[asyncpg.Record]", seconds: float) -> None:
    """Wait until the heartbeat has gone on for so long."""
    begin = await last_beat(other)

    async def has_gone_on() -> bool:
        return (await last_beat(other) - begin).total_seconds() >= seconds

    await wait_until(has_gone_on, what=f"heartbeats for {seconds} s")


async def test_pool_without_a_free_connection_holds_up_all_but_the_heartbeat(
    database: Database,
    engine: Engine,
    fake_discord: FakeDiscord,
    ticking: list[Task],
    other: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    async with every_connection_of(database):
        await wait_for_beats(other, 3.0)
        health = await engine.health()

    assert {part.state for part in health.values()} == {"ok", "off"}
    await check_that_nothing_is_lost_or_sent_twice(engine, fake_discord, ticking)


@asynccontextmanager
async def every_connection_of(database: Database) -> AsyncIterator[None]:
    """Hold all connections of the pool."""
    async with AsyncExitStack() as held:
        for _ in range(POOL_SIZE):
            await held.enter_async_context(database.connection())
        yield


@pytest.mark.parametrize("database", [20.0], indirect=True)
async def test_attempt_claimed_after_a_long_wait_for_a_connection_is_sent_by_this_claim(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
    other: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """The claim is not as old as the wait; an old one is given back, and its budget is spent."""
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    await other.execute(COUNT_CLAIMS)
    async with every_connection_of(database):
        await start_engine(roles=frozenset({"worker"}))
        await wait_for_beats(other, FENCE_SECONDS)

    await wait_for_logs(task, SUCCESS)

    claims = await other.fetchrow("select last_value, is_called from claims")
    assert tuple(claims or ()) == (1, True)


async def test_statements_that_wait_for_seconds_lose_and_repeat_nothing(
    engine: Engine,
    fake_discord: FakeDiscord,
    ticking: list[Task],
    other: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """Claims among them: what they bring then is too old to be sent."""
    async with other.transaction():
        await other.execute("lock table task_logs in exclusive mode")

        async def have_waited() -> bool:
            waiting = (
                "select count(*) from pg_locks join pg_stat_activity using (pid) "
                "where waitstart < clock_timestamp() - $1::interval "
                "and datname = current_database()"
            )
            return bool(await other.fetchval(waiting, timedelta(seconds=FENCE_SECONDS + 0.5)) >= 2)

        await wait_until(have_waited, what="statements that wait long")

    await check_that_nothing_is_lost_or_sent_twice(engine, fake_discord, ticking)


async def test_slow_statements_lose_and_repeat_nothing(
    engine: Engine,
    fake_discord: FakeDiscord,
    ticking: list[Task],
    other: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await other.execute(SLOW_DISK)
    slow = "for each statement execute function be_slow()"
    await add_trigger(other, ("task_logs", "webhook_lanes"), slow)
    await check_that_nothing_is_lost_or_sent_twice(engine, fake_discord, ticking)


async def test_answers_made_to_harm_end_as_they_should_and_delay_nobody(
    cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine, ticking: list[Task]
) -> None:
    service = make_service(cipher, fake_discord.origin, engine)
    elsewhere = fake_discord.url()
    harmful: dict[str, tuple[Behaviour, int | None, list[LogStatus]]] = {
        "50 MB": (big_body(50_000_000), 200, [SUCCESS]),
        "endless": (endless_body(), 200, [SUCCESS]),
        "cut off": (cut_body(), 200, [SUCCESS]),
        "an error, cut off": (cut_body(500), 500, [RETRYING, SUCCESS]),
        "an endless error": (endless_body(503), 503, [RETRYING, SUCCESS]),
        "no more than a status": (raw(b"HTTP/1.1 200"), None, [RETRYING, SUCCESS]),
        "endless headers": (endless_headers(), None, [RETRYING, SUCCESS]),
        "elsewhere": (redirect(elsewhere), 302, [FAILED]),
    }
    tasks = {name: await make_task(service, fake_discord, name=name) for name in harmful}
    for name, (behaviour, _, _) in harmful.items():
        fake_discord.script(tasks[name].webhook_id, behaviour)
        await service.trigger(ACTOR, tasks[name].id)

    for name, (_, http_status, statuses) in harmful.items():
        first, *_ = await wait_for_logs(tasks[name], *statuses)
        assert (name, first.http_status, first.discord_message_id) == (name, http_status, None)
    assert (await Task.get(id=tasks["elsewhere"].id)).status is TaskStatus.FAILED
    assert elsewhere.split("/")[-2] not in {one.webhook_id for one in fake_discord.requests}
    await check_that_nothing_is_lost_or_sent_twice(engine, fake_discord, ticking)
    rows = await TaskLog.filter(task_id__in=[task.id for task in ticking], status=SUCCESS)
    assert max(row.lateness_ms or 0.0 for row in rows) < 1000 * TIMEOUT_SECONDS / 2

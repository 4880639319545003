"""What the settings bound stays within its bounds: GLOBAL_RATE, WORKER_CONCURRENCY and the pool."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import uuid4

import pytest

from engine.cipher import WebhookCipher
from engine.claims import Claim, claim, seconds_to_next
from engine.engine import Engine, EngineOptions
from engine.limits import Budget, Rate
from engine.service import TaskService
from models.database import Database
from models.enums import LogStatus
from models.runtime import Origin, WebhookLane
from models.task import Task
from models.task_log import TaskLog
from tests.conftest import NO_BUDGET, StartEngine, accounting, make_service
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, make_task, wait_for_logs
from tests.waiting import wait_until

SUCCESS = LogStatus.SUCCESS
FIFTY = Rate(count=50, seconds=1)
# Shorter than the rate's second by what a statement may wait between its time and its commit.
WINDOW_SECONDS = 0.95


async def queue_on(database: Database, task: Task, origin: str, lanes: int) -> None:
    """Queue one due attempt of the task on each of so many lanes of an origin."""
    async with database.transaction() as connection:
        await connection.execute(
            "insert into origins (origin) values ($1) on conflict do nothing", origin
        )
        await connection.execute(
            "with lanes as (insert into webhook_lanes (webhook_key, origin, next_at) "
            "select sha256((($1::text) || n)::bytea), $1, now() "
            "from generate_series(1, $2::int) as n returning webhook_key) "
            "insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for, "
            "execution_time, deadline_at, status) select gen_random_uuid(), gen_random_uuid(), $3, "
            "webhook_key, 'MANUAL', now(), now(), now() + interval '1 h', 'QUEUED' from lanes",
            origin,
            lanes,
            task.id,
        )


async def claim_up_to(database: Database, budget: Budget, limit: int) -> list[Claim]:
    async with database.connection() as connection:
        claimed = await claim(
            connection, instance_id=uuid4(), limit=limit, budget=budget, claimed_at=0.0
        )
    return claimed.claims


async def claim_until(database: Database, budget: Budget, times: list[datetime], end: int) -> None:
    """Claim as fast as the database answers; add when each was claimed, until there are `end`."""
    while len(times) < end:
        times += [one.started_at for one in await claim_up_to(database, budget, 100)]


def most_in_a_window(times: Sequence[datetime], seconds: float) -> int:
    ordered = sorted(at.timestamp() for at in times)
    return max(
        sum(begin <= at < begin + seconds for at in ordered[number:])
        for number, begin in enumerate(ordered)
    )


@pytest.fixture
async def task(service: TaskService, fake_discord: FakeDiscord) -> Task:
    return await make_task(service, fake_discord)


async def test_first_claim_takes_the_burst_and_the_next_a_slot(
    database: Database, task: Task
) -> None:
    budget = Budget(origins=("https://a",), rate=Rate(count=20, seconds=60))
    await queue_on(database, task, "https://a", 5)

    assert len(await claim_up_to(database, budget, 100)) == 2
    assert await claim_up_to(database, budget, 100) == []
    async with database.connection() as connection:
        seconds = await seconds_to_next(connection, budget)
    assert seconds is not None
    assert 0 < seconds <= budget.slot.total_seconds() + 0.5


async def test_slot_that_came_free_lets_one_more_leave(database: Database, task: Task) -> None:
    budget = Budget(origins=("https://a",), rate=Rate(count=20, seconds=60))
    await queue_on(database, task, "https://a", 5)
    await claim_up_to(database, budget, 100)

    async with database.connection() as connection:
        await connection.execute(
            "update origins set next_slot_at = next_slot_at - $1::interval", budget.slot
        )

    assert len(await claim_up_to(database, budget, 100)) == 1


async def test_budget_saves_up_no_more_than_the_burst(database: Database, task: Task) -> None:
    budget = Budget(origins=("https://a",), rate=Rate(count=20, seconds=60))
    await queue_on(database, task, "https://a", 5)
    await Origin.filter(origin="https://a").update(
        next_slot_at=datetime.fromisoformat("2020-01-01T00:00:00Z")
    )

    assert len(await claim_up_to(database, budget, 100)) == 2


async def test_smaller_claim_spends_only_what_it_took(database: Database, task: Task) -> None:
    budget = Budget(origins=("https://a",), rate=Rate(count=20, seconds=60))
    await queue_on(database, task, "https://a", 5)

    assert len(await claim_up_to(database, budget, 1)) == 1
    assert len(await claim_up_to(database, budget, 100)) == 1


async def test_due_lane_without_work_spends_nothing(database: Database, task: Task) -> None:
    budget = Budget(origins=("https://a",), rate=Rate(count=20, seconds=60))
    await queue_on(database, task, "https://a", 2)
    await TaskLog.all().delete()
    assert await claim_up_to(database, budget, 100) == []
    await WebhookLane.all().delete()

    await queue_on(database, task, "https://a", 2)

    assert len(await claim_up_to(database, budget, 100)) == 2


async def test_origin_without_a_budget_is_not_held_up(database: Database, task: Task) -> None:
    budget = Budget(origins=("https://a",), rate=Rate(count=20, seconds=60))
    await queue_on(database, task, "https://a", 30)
    await queue_on(database, task, "https://b", 30)

    claimed = await claim_up_to(database, budget, 100)

    assert sorted(one.origin for one in claimed) == ["https://a"] * 2 + ["https://b"] * 30


async def test_held_origin_spends_nothing_and_holds_up_no_other(
    database: Database, task: Task
) -> None:
    budget = Budget(origins=("https://a",), rate=Rate(count=20, seconds=60))
    await queue_on(database, task, "https://a", 3)
    await queue_on(database, task, "https://b", 3)
    async with database.connection() as connection:
        await connection.execute(
            "update origins set held_until = clock_timestamp() + interval '1 h' "
            "where origin = 'https://a'"
        )

    claimed = await claim_up_to(database, budget, 100)

    assert {one.origin for one in claimed} == {"https://b"}
    assert (await Origin.get(origin="https://a")).next_slot_at is None


async def test_copies_together_never_claim_more_than_the_rate(
    database: Database, task: Task
) -> None:
    budget = Budget(origins=("https://a",), rate=FIFTY)
    await queue_on(database, task, "https://a", 400)

    times: list[datetime] = []
    await asyncio.gather(*(claim_until(database, budget, times, 100) for _ in range(4)))

    assert most_in_a_window(times, WINDOW_SECONDS) <= FIFTY.count


async def test_two_running_copies_keep_the_rate_at_the_server(
    start_engine: StartEngine, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> None:
    budget = Budget(origins=(fake_discord.origin,), rate=Rate(count=20, seconds=1))
    service = make_service(cipher, fake_discord.origin)
    for number in range(50):
        task = await make_task(service, fake_discord, name=f"task {number}")
        await service.trigger(ACTOR, task.id)

    for _ in range(2):
        await start_engine(roles=frozenset({"worker"}), budget=budget)
    await fake_discord.wait_for(50, timeout_seconds=15)

    arrived = [
        datetime.fromtimestamp(request.wall).astimezone() for request in fake_discord.requests
    ]
    assert most_in_a_window(arrived, 0.8) <= 20


@asynccontextmanager
async def running(
    database: Database, cipher: WebhookCipher, origin: str, *, concurrency: int = 100
) -> AsyncIterator[Engine]:
    options = EngineOptions(
        roles=frozenset({"scheduler", "worker"}),
        origins=(origin,),
        budget=NO_BUDGET,
        worker_concurrency=concurrency,
        accounting=accounting(),
        log_retention_days=30,
        shutdown_seconds=5.0,
    )
    engine = Engine(database, cipher, options)
    await engine.start()
    try:
        await engine.reloaded()
        yield engine
    finally:
        await engine.stop()


async def test_no_more_requests_are_open_than_allowed(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord, service: TaskService
) -> None:
    tasks = [await make_task(service, fake_discord, name=f"task {n}") for n in range(10)]
    for task in tasks:
        await service.trigger(ACTOR, task.id)
    fake_discord.latency_seconds = 0.2

    async with running(database, cipher, fake_discord.origin, concurrency=3):
        await fake_discord.wait_for(10)

    # The fake notes a request when it came; an answer leaves no sooner than its latency.
    arrived = sorted(request.at for request in fake_discord.requests)
    spans = [later - at for at, later in zip(arrived, arrived[3:], strict=False)]
    assert min(spans) >= 0.19


async def test_one_connection_is_enough(
    database_url: str, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> None:
    """DB_POOL_SIZE=1 is allowed, also when a due lane turns out to have no work."""
    database = await Database.connect(database_url, pool_size=1, pool_timeout_seconds=5.0)
    try:
        async with running(database, cipher, fake_discord.origin) as engine:
            tasks = make_service(cipher, fake_discord.origin, engine)
            task = await make_task(tasks, fake_discord)
            await WebhookLane.create(
                webhook_key=b"x" * 32,
                origin=fake_discord.origin,
                next_at=datetime.fromisoformat("2020-01-01T00:00:00Z"),
            )
            await tasks.trigger(ACTOR, task.id)
            await wait_for_logs(task, SUCCESS)

            async def is_settled() -> bool:
                return (await WebhookLane.get(webhook_key=b"x" * 32)).next_at is None

            await wait_until(is_settled, what="settled lane")
    finally:
        await database.close()

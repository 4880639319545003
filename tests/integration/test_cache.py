"""The dashboard and the list of active tasks are remembered, and never older than a change."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from engine import statistics
from engine.cipher import WebhookCipher
from models.database import Database
from models.enums import LogStatus, TaskStatus
from models.task import Task
from tests.conftest import StartEngine
from tests.fake_discord import FakeDiscord
from tests.serving import Api, make_app, serving
from tests.waiting import wait_until

LIST = "{ tasks(status: ACTIVE) { data { id name payload createdAt } meta { total } } }"
COUNTS = "{ dashboardStats { total active inactive failed } }"
CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
UPDATE = 'mutation ($id: UUID!) { updateTask(id: $id, input: {name: "other"}) { id } }'
TOGGLE = "mutation ($id: UUID!) { toggleTask(id: $id) { id } }"
DELETE = "mutation ($id: UUID!) { deleteTask(id: $id) { id } }"
TRIGGER = "mutation ($id: UUID!) { triggerTask(id: $id) { id } }"


@pytest.fixture
async def copies(
    database: Database,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> AsyncIterator[tuple[Api, Api]]:
    """Two copies: one with every role, one with the API alone."""
    async with AsyncExitStack() as stack:
        apis = []
        for roles in ({"scheduler", "worker"}, {"api"}):
            engine = await start_engine(roles=frozenset(roles))
            app = make_app(database, cipher, origin=fake_discord.origin, engine=engine)
            apis.append(await stack.enter_async_context(serving(app)))
        yield apis[0], apis[1]


@pytest.fixture
def api(copies: tuple[Api, Api]) -> Api:
    return copies[0]


async def create(api: Api, fake: FakeDiscord, name: str = "a task", **fields: object) -> str:
    given = {
        "name": name,
        "schedule": "@yearly",
        "webhookUrl": fake.url(),
        "payload": {"content": "hello"},
    }
    created = await api.run(CREATE, input=given | fields)
    return str(created["createTask"]["id"])


async def names(api: Api) -> list[str]:
    return [task["name"] for task in (await api.run(LIST))["tasks"]["data"]]


async def counts(api: Api) -> tuple[int, ...]:
    return tuple((await api.run(COUNTS))["dashboardStats"].values())


@asynccontextmanager
async def statements(database: Database) -> AsyncIterator[Counter[str]]:
    """Count the statements that run on the pool's connections, by their text."""
    seen: Counter[str] = Counter()

    def note(record: "asyncpg.connection.LoggedQuery") -> None:
        seen[record.query] += 1

    pool = database._client._pool
    assert pool is not None
    connections = [await pool.acquire() for _ in range(pool.get_max_size())]
    for connection in connections:
        connection.add_query_logger(note)
        await pool.release(connection)
    yield seen


async def test_list_is_remembered_as_it_was_read(
    api: Api, database: Database, fake_discord: FakeDiscord
) -> None:
    task_id = await create(api, fake_discord)
    first = await api.run(LIST)

    # By hand, without the notice that every change gives.
    await Task.filter(id=task_id).update(name="changed by hand")
    second = await api.run(LIST)
    await api.run("mutation { reloadTasks }")

    assert second == first
    assert first["tasks"]["data"][0]["payload"] == {"content": "hello"}
    assert await names(api) == ["changed by hand"]


async def test_change_is_seen_at_once_where_it_was_made(
    api: Api, fake_discord: FakeDiscord
) -> None:
    seen: list[tuple[tuple[int, ...], list[str]]] = [(await counts(api), await names(api))]
    task_id = await create(api, fake_discord)
    seen.append((await counts(api), await names(api)))
    for change in (UPDATE, TOGGLE, TOGGLE, DELETE):
        await api.run(change, id=task_id)
        seen.append((await counts(api), await names(api)))

    assert seen == [
        ((0, 0, 0, 0), []),
        ((1, 1, 0, 0), ["a task"]),
        ((1, 1, 0, 0), ["other"]),
        ((1, 0, 1, 0), []),
        ((1, 1, 0, 0), ["other"]),
        ((0, 0, 0, 0), []),
    ]


async def test_change_in_one_copy_is_seen_in_the_others(
    copies: tuple[Api, Api], fake_discord: FakeDiscord
) -> None:
    one, other = copies

    async def agrees() -> bool:
        found = await counts(other), await names(other)
        return found == (await counts(one), await names(one))

    for name in ("first", "second"):
        assert len(await names(other)) == (await counts(other))[1]
        await create(one, fake_discord, name)
        await wait_until(agrees, what="same answers")
        assert name in await names(other)


async def test_task_that_the_engine_fails_is_seen_in_all_copies(
    copies: tuple[Api, Api], fake_discord: FakeDiscord
) -> None:
    one, other = copies
    task_id = await create(one, fake_discord)
    fake_discord.delete(next(iter(fake_discord.tokens)))
    assert [await counts(api) for api in copies] == [(1, 1, 0, 0)] * 2
    assert [await names(api) for api in copies] == [["a task"]] * 2

    await one.run(TRIGGER, id=task_id)

    async def has_failed() -> bool:
        return (await Task.get(id=task_id)).status is TaskStatus.FAILED

    await wait_until(has_failed, what="FAILED task")

    async def is_seen() -> bool:
        found = [(await counts(api), await names(api)) for api in (one, other)]
        return found == [((1, 0, 0, 1), [])] * 2

    await wait_until(is_seen, what="FAILED in both")


async def test_fifty_at_once_cost_one_reading(
    api: Api, database: Database, fake_discord: FakeDiscord
) -> None:
    await create(api, fake_discord)

    async with statements(database) as seen:
        lists = await asyncio.gather(*(api.run(LIST) for _ in range(50)))
        boards = await asyncio.gather(*(api.run(COUNTS) for _ in range(50)))

    assert len({str(one) for one in lists}) == 1
    assert len({str(one) for one in boards}) == 1
    pages = [n for text, n in seen.items() if "order by t.created_at" in text]
    runs = [n for text, n in seen.items() if "from log_lateness" in text]
    assert (pages, runs) == ([1], [1])


async def test_runs_may_be_a_minute_old(api: Api, fake_discord: FakeDiscord) -> None:
    runs = "{ dashboardStats { last24h { succeeded } queued } }"
    task_id = await create(api, fake_discord)
    before = await api.run(runs)

    await api.run(TRIGGER, id=task_id)

    async def is_sent() -> bool:
        logs = await api.run("{ logs { data { status } } }")
        return [log["status"] for log in logs["logs"]["data"]] == [LogStatus.SUCCESS]

    await wait_until(is_sent, what="sent run")
    assert await api.run(runs) == before


async def test_next_run_is_never_a_past_one(api: Api, fake_discord: FakeDiscord) -> None:
    await create(api, fake_discord, schedule="* * * * * *")
    seen: set[datetime] = set()

    async def has_moved() -> bool:
        asked = datetime.now(UTC)
        stats = (await api.run("{ dashboardStats { nextRunAt } }"))["dashboardStats"]
        seen.add(at := datetime.fromisoformat(stats["nextRunAt"]))
        assert at > asked - timedelta(seconds=0.3)
        return len(seen) == 3

    await wait_until(has_moved, what="third next run")


async def test_tasks_that_fire_each_second_don_t_end_what_is_kept(
    api: Api, database: Database, fake_discord: FakeDiscord
) -> None:
    await create(api, fake_discord, schedule="* * * * * *")
    seen: set[str] = set()

    async def has_moved() -> bool:
        stats = await api.run("{ dashboardStats { active nextRunAt } }")
        seen.add(stats["dashboardStats"]["nextRunAt"])
        return len(seen) == 4

    async with statements(database) as asked:
        await wait_until(has_moved, what="fourth next run")

    assert asked[statistics._TASKS] == 1


async def test_searches_and_later_pages_are_read_each_time(
    api: Api, database: Database, fake_discord: FakeDiscord
) -> None:
    await create(api, fake_discord)

    async with statements(database) as seen:
        for _ in range(2):
            await api.run('{ tasks(status: ACTIVE, search: "a") { data { id } } }')
            await api.run("{ tasks { data { id } } }")
            await api.run("{ tasks(status: ACTIVE, limit: 60, page: 2) { data { id } } }")

    assert sum(n for text, n in seen.items() if "order by t.created_at" in text) == 6


async def test_who_stops_has_left_before_it_waits_for_its_cache(
    database: Database, start_engine: StartEngine
) -> None:
    engine = await start_engine()
    present: list[int] = []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            async with database.connection() as connection:
                present.append(await connection.fetchval("select count(*) from engine_instances"))

    reading = asyncio.create_task(
        engine.cache.read("never", never, restore=lambda _: None, seconds=lambda _: 1.0)
    )

    await engine.stop()

    assert present == [0]
    with pytest.raises(asyncio.CancelledError):
        await reading

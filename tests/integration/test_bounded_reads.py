"""Reads of clients take a part of the pool, a bounded time, and answers a bounded length."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine.cipher import WebhookCipher
from models.database import Database
from models.errors import DatabaseUnavailable, ReadTooSlow
from schema.errors import MAX_ANSWER_BYTES
from tests.conftest import make_service
from tests.fake_discord import FakeDiscord
from tests.serving import Api, make_app, serving
from tests.sockets import open_socket
from tests.tasks import make_task
from tests.waiting import wait_until

BUSY = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
"""
READS = [
    "{ tasks { data { id } } }",
    "{ tasks { meta { total } } }",
    "{ logs { data { id } } }",
    "{ logs { meta { total } } }",
    "{ auditLogs { data { id } } }",
    "{ auditLogs { meta { total } } }",
    "{ logFeed { cursor } }",
    "{ dashboardStats { total } }",
    "{ engineStatus { queued } }",
]
COUNT = "select count(*) from tasks"
PAYLOADS = "{ tasks { data { payload } } }"


async def connect(
    url: str, *, pool_timeout_seconds: float = 20.0, read_timeout_seconds: float = 60.0
) -> Database:
    """Return a database of six connections, of which reads may take two."""
    return await Database.connect(
        url,
        pool_size=6,
        pool_timeout_seconds=pool_timeout_seconds,
        read_timeout_seconds=read_timeout_seconds,
    )


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await connect(database_url)
    yield database
    await database.close()


@asynccontextmanager
async def all_locked(database: Database) -> AsyncIterator[None]:
    """Let no read of tasks, logs or the audit log come to an end."""
    async with database.transaction() as connection:
        await connection.execute("lock table tasks, task_logs, audit_logs")
        yield


async def busy(database: Database) -> int:
    async with database.connection() as connection:
        return int(await connection.fetchval(BUSY))


async def test_reads_leave_connections_for_the_engine(
    database: Database, cipher: WebhookCipher
) -> None:
    """One connection holds the locks; the reads have two, and three stay free."""
    text = f"{{ {' '.join(f'a{n}: logs(limit: 1) {{ data {{ id }} }}' for n in range(20))} }}"

    async def are_two_busy() -> bool:
        return await busy(database) == 2

    async with serving(make_app(database, cipher)) as api:
        async with all_locked(database):
            asking = asyncio.create_task(api.post(text))
            await wait_until(are_two_busy, what="two reads that wait")
            in_use = database.pool_use().in_use
        answer = await asking

    assert in_use == 3
    assert answer.codes == []
    assert len(answer.json["data"]) == 20


async def test_read_that_gets_no_turn_in_time_fails(database_url: str) -> None:
    database = await connect(database_url, pool_timeout_seconds=1.0)
    try:
        async with all_locked(database):
            reads = [asyncio.create_task(database.read(COUNT)) for _ in range(3)]
            done, running = await asyncio.wait(reads, return_when=asyncio.FIRST_COMPLETED)
            (refused,) = (read.exception() for read in done)

        assert isinstance(refused, DatabaseUnavailable)
        assert not isinstance(refused, ReadTooSlow)
        assert len(await asyncio.gather(*running)) == 2
    finally:
        await database.close()


@pytest.mark.parametrize("query", READS)
async def test_read_that_takes_too_long_is_stopped_and_told(
    database_url: str, cipher: WebhookCipher, query: str
) -> None:
    database = await connect(database_url, read_timeout_seconds=0.2)
    try:
        async with serving(make_app(database, cipher)) as api, all_locked(database):
            error = await api.fail(query)

            assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
            assert "took too long" in error["message"]

            async def is_idle() -> bool:
                return await busy(database) == 0

            await wait_until(is_idle, what="end of the statement at the server")
    finally:
        await database.close()


async def test_stopped_read_frees_its_turn(database_url: str) -> None:
    database = await connect(database_url, read_timeout_seconds=1.0)
    try:
        for _ in range(3):
            with pytest.raises(ReadTooSlow):
                await database.read("select pg_sleep(60)")

        assert [tuple(row) for row in await database.read("select 1")] == [(1,)]
    finally:
        await database.close()


@pytest.fixture
async def api(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> AsyncIterator[Api]:
    """The API with one task, whose payload alone is longer than an answer may be."""
    await make_task(make_service(cipher, fake_discord.origin), fake_discord)
    async with database.connection() as connection:
        await connection.execute(
            "update tasks set payload = json_build_object('content', repeat('x', $1::int))",
            MAX_ANSWER_BYTES,
        )
    async with serving(make_app(database, cipher)) as api:
        yield api


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
async def test_answer_that_is_too_long_is_refused(api: Api, accept: str) -> None:
    answer = await api.post(PAYLOADS, headers={"Accept": accept})

    assert (answer.status, answer.codes) == (400, ["QUERY_TOO_COMPLEX"])
    assert str(MAX_ANSWER_BYTES) in answer.json["errors"][0]["message"]


async def test_message_that_is_too_long_is_refused(api: Api) -> None:
    async with open_socket(api.url) as socket:
        await socket.init()

        message = await socket.run(PAYLOADS)

    assert message["payload"]["data"] is None
    assert message["payload"]["errors"][0]["extensions"]["code"] == "QUERY_TOO_COMPLEX"

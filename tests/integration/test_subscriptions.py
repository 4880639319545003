"""taskLogs: live, complete and once, over all copies; and listeners that are slow or gone."""

import asyncio
import socket as sockets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from engine import live_feed
from engine.cipher import WebhookCipher
from engine.engine import Engine
from engine.feed import FEED_CHANNEL
from engine.feed_reader import FeedPage, FeedReader
from engine.live_feed import BUFFER, LiveFeed
from engine.service import TaskService
from models.database import Database
from models.errors import DatabaseUnavailable
from models.orm import credentials
from models.task import Task
from tests.conftest import StartEngine
from tests.fake_discord import FakeDiscord
from tests.serving import Api, as_reader, make_app, serving
from tests.sockets import Socket, codes_of, open_socket
from tests.tasks import ACTOR, finish, make_task, store_attempts
from tests.waiting import wait_until
from web import server
from web.connections import BoundedSocket

LIVE = "subscription ($taskId: UUID) { taskLogs(taskId: $taskId) { id message } }"
FEED = "query ($after: String) { logFeed(after: $after) { entries { id } cursor hasMore } }"
LONG = "long " * 800
CUT = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


@pytest.fixture
async def engine(start_engine: StartEngine) -> Engine:
    """A copy that has nothing but the API."""
    return await start_engine(roles=frozenset({"api"}))


@pytest.fixture
async def api(database: Database, cipher: WebhookCipher, engine: Engine) -> AsyncIterator[Api]:
    async with serving(make_app(database, cipher, engine=engine)) as api:
        yield api


@pytest.fixture
async def socket(api: Api) -> AsyncIterator[Socket]:
    async with open_socket(api.url) as socket:
        await socket.init()
        yield socket


@pytest.fixture
async def task(service: TaskService, fake_discord: FakeDiscord) -> Task:
    return await make_task(service, fake_discord)


async def listen(engine: Engine, socket: Socket, task: Task | None = None) -> None:
    """Subscribe, and return when that is done."""
    count = engine.live_feed.listener_count + 1
    await socket.subscribe(LIVE, {"taskId": str(task.id)} if task else None)
    await wait_for_listeners(engine, count)


async def wait_for_listeners(engine: Engine, count: int) -> None:
    await wait_until(lambda: engine.live_feed.listener_count == count, what=f"{count} listeners")


async def heard(socket: Socket, count: int) -> list[str]:
    """Return the ids of the next attempts."""
    messages = [await socket.receive() for _ in range(count)]
    return [message["payload"]["data"]["taskLogs"]["id"] for message in messages]


async def test_attempt_of_another_copy_comes_when_it_finishes(
    engine: Engine,
    socket: Socket,
    start_engine: StartEngine,
    service: TaskService,
    task: Task,
) -> None:
    await listen(engine, socket)
    await start_engine(roles=frozenset({"scheduler", "worker"}))

    log = await service.trigger(ACTOR, task.id)

    assert await heard(socket, 1) == [str(log.id)]


async def test_what_finished_before_is_not_told(
    engine: Engine, socket: Socket, database: Database, task: Task
) -> None:
    await finish(database, task, 3)
    await listen(engine, socket)
    later = await finish(database, task, 2)

    assert await heard(socket, 2) == later


async def test_listener_to_a_task_hears_of_no_other(
    engine: Engine,
    socket: Socket,
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    task: Task,
) -> None:
    other = await make_task(service, fake_discord, name="other")
    await listen(engine, socket, task)

    await finish(database, other, 2)
    (mine,) = await finish(database, task)

    assert await heard(socket, 1) == [mine]


async def test_reading_key_may_listen(
    api: Api, engine: Engine, database: Database, task: Task
) -> None:
    async with open_socket(api.url, headers=as_reader()) as socket:
        await socket.init({})
        await listen(engine, socket)

        stored = await finish(database, task)

        assert await heard(socket, 1) == stored


async def test_entries_are_read_once_for_all_listeners(database: Database, task: Task) -> None:
    class CountingReader(FeedReader):
        rows = 0

        async def page(self, after: int, limit: int, task_id: UUID | None = None) -> FeedPage:
            page = await super().page(after, limit, task_id)
            self.rows += len(page.entries)
            return page

    reader = CountingReader(database)
    live = LiveFeed(reader)
    running = asyncio.create_task(live.run())

    async with live.listen() as one, live.listen() as two, live.listen(task.id) as three:
        stored = await finish(database, task, 5)
        live.wake()
        told = [[str((await anext(each))["id"]) for _ in stored] for each in (one, two, three)]
    running.cancel()

    assert told == [stored] * 3
    assert reader.rows == 5


@pytest.mark.parametrize("statement", ["assign", "record"])
async def test_copies_are_told_when_attempts_finish(
    database: Database,
    database_url: str,
    start_engine: StartEngine,
    service: TaskService,
    task: Task,
    statement: str,
) -> None:
    heard_of = asyncio.Event()
    connection = await asyncpg.connect(**credentials(database_url))
    await connection.add_listener(FEED_CHANNEL, lambda *_: heard_of.set())

    if statement == "assign":
        await finish(database, task)
    else:
        await start_engine()
        await service.trigger(ACTOR, task.id)

    async with asyncio.timeout(10):
        await heard_of.wait()
    await connection.close()


async def test_notice_wakes_the_reader(
    monkeypatch: pytest.MonkeyPatch,
    start_engine: StartEngine,
    cipher: WebhookCipher,
    database: Database,
    task: Task,
) -> None:
    monkeypatch.setattr(live_feed, "POLL_SECONDS", 3600.0)
    engine = await start_engine(roles=frozenset({"api"}))
    async with (
        serving(make_app(database, cipher, engine=engine)) as api,
        open_socket(api.url) as socket,
    ):
        await socket.init()
        await listen(engine, socket)

        stored = await finish(database, task)

        assert await heard(socket, 1) == stored


async def test_entry_whose_notice_was_lost_comes_with_the_next_poll(
    engine: Engine, socket: Socket, database: Database, task: Task
) -> None:
    await listen(engine, socket)
    (stored,) = await store_attempts(database, task)
    async with database.transaction() as connection:
        number = await connection.fetchval("update feed_counter set n = n + 1 returning n")
        await connection.execute(
            "update task_logs set feed_id = $1 where id = $2", number, UUID(stored)
        )

    assert await heard(socket, 1) == [stored]


async def test_burst_reaches_a_listener_who_reads(
    engine: Engine, socket: Socket, database: Database, task: Task
) -> None:
    await listen(engine, socket)

    stored = await finish(database, task, 5 * BUFFER)

    assert await heard(socket, len(stored)) == stored


async def test_listener_who_reads_too_slowly_is_told_where_to_go_on(
    api: Api, engine: Engine, database: Database, task: Task
) -> None:
    narrow = narrow_connection(api)
    async with (
        open_socket(api.url, sock=narrow, max_queue=1) as slow,
        open_socket(api.url) as quick,
    ):
        for socket in (slow, quick):
            await socket.init()
            await listen(engine, socket)
        stored = await finish(database, task, 4 * BUFFER, message=LONG)
        assert await heard(quick, len(stored)) == stored
        await wait_for_listeners(engine, 1)

        told = []
        while "errors" not in (message := await slow.receive())["payload"]:
            told.append(message["payload"]["data"]["taskLogs"]["id"])
        ended = await slow.receive()
        alive = await slow.run("{ __typename }")

    assert (codes_of(message), ended["type"]) == (["RATE_LIMITED"], "complete")
    assert "data" in alive["payload"]
    assert BUFFER <= len(told) < len(stored)
    cursor = message["payload"]["errors"][0]["extensions"]["cursor"]
    assert told + await rest_of_feed(api, cursor) == stored


def narrow_connection(api: Api) -> sockets.socket:
    """Return a connection with so small a buffer that what is unread stays with the sender."""
    host, port = api.url.removeprefix("http://").split(":")
    narrow = sockets.socket()
    narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    narrow.connect((host, int(port)))
    narrow.setblocking(False)
    return narrow


@pytest.mark.parametrize("most_buffered_bytes", [65_536, 1_000_000_000])
async def test_client_that_takes_nothing_is_cut_off(
    engine: Engine,
    database: Database,
    cipher: WebhookCipher,
    task: Task,
    most_buffered_bytes: int,
) -> None:
    """Where everything can be buffered, nothing but the ping's answer is missed."""
    lost: list[Exception | None] = []

    class Hasty(BoundedSocket):
        UNREAD_SECONDS = 0.2

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.set_write_buffer_limits(high=most_buffered_bytes)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.append(exc)

    app = make_app(database, cipher, engine=engine)
    async with (
        serving(app, ws=Hasty, ping_seconds=1.0) as api,
        open_socket(api.url, sock=narrow_connection(api), max_queue=1) as socket,
    ):
        await socket.init()
        await listen(engine, socket)
        with capture_logs() as logs:
            await finish(database, task, 2 * BUFFER, message=LONG)
            await wait_until(lambda: len(lost) == 1, what="end of the connection")
            await wait_for_listeners(engine, 0)
            await wait_until(lambda: "socket" in [line["event"] for line in logs], what="line")
        socket.connection.transport.abort()

    assert [line for line in logs if line["log_level"] == "error"] == []


async def rest_of_feed(api: Api, cursor: str) -> list[str]:
    found: list[str] = []
    page: dict[str, Any] = {"cursor": cursor, "hasMore": True}
    while page["hasMore"]:
        page = (await api.run(FEED, after=page["cursor"]))["logFeed"]
        found += [entry["id"] for entry in page["entries"]]
    return found


async def test_listener_who_left_is_forgotten(
    api: Api, engine: Engine, database: Database, task: Task
) -> None:
    async with open_socket(api.url) as socket:
        await socket.init()
        await listen(engine, socket)
        await finish(database, task, 10)
        socket.connection.transport.abort()

    await wait_for_listeners(engine, 0)


async def test_completed_subscription_ends_alone(
    engine: Engine, socket: Socket, database: Database, task: Task
) -> None:
    await socket.subscribe(LIVE, name="other")
    await wait_for_listeners(engine, 1)
    await listen(engine, socket)

    await socket.send("complete", id="other")
    await wait_for_listeners(engine, 1)
    stored = await finish(database, task)

    assert await heard(socket, 1) == stored


async def test_lost_database_leaves_no_gap_and_tells_nothing_twice(
    engine: Engine, socket: Socket, database: Database, database_url: str, task: Task
) -> None:
    await listen(engine, socket)
    stored = await finish(database, task, 3)
    other = await asyncpg.connect(**credentials(database_url))

    for _ in range(3):
        await other.execute(CUT)
        stored += await finish_soon(database, task)
    await other.close()
    stored += await finish(database, task)

    assert await heard(socket, len(stored)) == stored


async def finish_soon(database: Database, task: Task) -> list[str]:
    """Finish attempts as soon as the database can be used."""
    found: list[str] = []

    async def has_finished() -> bool:
        try:
            found.extend(await finish(database, task, 2))
        except (asyncpg.PostgresError, DatabaseUnavailable):
            return False
        return True

    await wait_until(has_finished, what="connection")
    return found


async def test_shutdown_closes_sockets_at_once(
    engine: Engine, database: Database, cipher: WebhookCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GOODBYE_SECONDS", 30)
    app = make_app(database, cipher, engine=engine)
    async with AsyncExitStack() as outlives:
        with capture_logs() as logs:
            async with serving(app) as api:
                socket = await outlives.enter_async_context(open_socket(api.url))
                await socket.init()
                await listen(engine, socket)
                began = time.monotonic()
            took = time.monotonic() - began

        assert (await socket.receive(), socket.code) == (None, 1012)
    assert took < 15
    await wait_for_listeners(engine, 0)
    assert [line for line in logs if line["log_level"] == "error"] == []

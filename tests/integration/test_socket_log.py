"""Each operation over a websocket is told apart: in the log, in its errors, in the audit log."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from engine.cipher import WebhookCipher
from engine.engine import Engine
from models.database import Database
from tests.conftest import StartEngine
from tests.serving import Api, absent_database, make_app, serving, socket_app
from tests.sockets import codes_of, open_socket
from tests.waiting import wait_until
from web.connections import BoundedSocket
from web.graphql_socket import MAX_OPERATIONS
from web.socket_log import SocketLog

NAME = "query Name { __typename }"
LIVE = "subscription Live { taskLogs { id } }"
RELOAD = "mutation { reloadTasks }"
BOTH = "query A { __typename } query B { __typename }"
ID = {"X-Request-ID": "abc"}

Line = MutableMapping[str, Any]


@pytest.fixture
async def engine(start_engine: StartEngine) -> Engine:
    return await start_engine(roles=frozenset({"api"}))


@pytest.fixture
async def api(database: Database, cipher: WebhookCipher, engine: Engine) -> AsyncIterator[Api]:
    async with serving(make_app(database, cipher, engine=engine)) as api:
        yield api


@contextmanager
def logged() -> Iterator[list[Line]]:
    """Yield the lines of the log, with what is bound to them."""
    with capture_logs(processors=[merge_contextvars]) as lines:
        yield lines


def of_operations(lines: list[Line]) -> list[tuple[str, str, str]]:
    """Return of each operation's line its id, name and outcome."""
    return [
        (line["request_id"], line["operation"], line["outcome"])
        for line in lines
        if line["event"] == "socket_operation"
    ]


async def counted(api: Api) -> dict[str, float]:
    """Return how many operations were counted, by their labels."""
    shown = (await api.send("GET", "/metrics")).text
    found = re.findall(r"^scheduler_graphql_operations_total{(.*)} (\S+)$", shown, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


async def test_each_operation_is_one_line_with_an_id_of_its_own(api: Api) -> None:
    with logged() as lines:
        async with open_socket(api.url, headers=ID) as socket:
            await socket.init()
            for query in (NAME, "{ nonsense", "{ nonsense }", BOTH, RELOAD):
                await socket.run(query)
        await wait_until(lambda: lines[-1]["event"] == "socket", what="line of the socket")

    assert of_operations(lines) == [
        ("abc-1", "Name", "ok"),
        ("abc-2", "anonymous", "BAD_USER_INPUT"),
        ("abc-3", "anonymous", "BAD_USER_INPUT"),
        ("abc-4", "A", "BAD_USER_INPUT"),
        ("abc-5", "anonymous", "ok"),
    ]
    first = next(line for line in lines if line["event"] == "socket_operation")
    assert first.pop("duration_ms") >= 0
    assert first == {
        "event": "socket_operation",
        "log_level": "info",
        "request_id": "abc-1",
        "api_key": "default",
        "client": "127.0.0.1",
        "operation": "Name",
        "outcome": "ok",
    }
    assert lines[-1]["request_id"] == "abc"
    assert "operation" not in lines[-1]


@pytest.mark.parametrize(
    ("query", "name"), [("{ nonsense", None), ("{ nonsense }", None), ("", None), (NAME, "Other")]
)
async def test_refused_operation_is_counted_with_the_code_that_the_client_gets(
    api: Api, query: str, name: str | None
) -> None:
    async with open_socket(api.url) as socket:
        await socket.init()
        before = await counted(api)
        await socket.send("subscribe", id="1", payload={"query": query, "operationName": name})
        assert codes_of(await socket.receive()) == ["BAD_USER_INPUT"]
        after = await counted(api)

    [(labels, growth)] = {key: after[key] - before.get(key, 0.0) for key in after}.items() - {
        (key, 0.0) for key in after
    }
    assert growth == 1.0
    assert 'outcome="BAD_USER_INPUT"' in labels


async def test_subscription_has_its_line_when_it_ends(api: Api, engine: Engine) -> None:
    with logged() as lines:
        async with open_socket(api.url, headers=ID) as socket:
            await socket.init()
            await socket.subscribe(LIVE)
            await wait_until(lambda: engine.live_feed.listener_count == 1, what="listener")
            assert of_operations(lines) == []
            await socket.send("complete", id="1")
            await wait_until(lambda: len(of_operations(lines)) == 1, what="line")
            await socket.subscribe(LIVE, name="2")
            await wait_until(lambda: engine.live_feed.listener_count == 1, what="listener")
        await wait_until(lambda: lines[-1]["event"] == "socket", what="line of the socket")

    assert of_operations(lines) == [
        ("abc-1", "Live", "unanswered"),
        ("abc-2", "Live", "unanswered"),
    ]


async def test_refused_operations_have_a_line_too(
    database: Database, cipher: WebhookCipher, engine: Engine
) -> None:
    app = make_app(database, cipher, engine=engine, RATE_LIMIT=f"{MAX_OPERATIONS + 2}/hour")
    async with serving(app) as api:
        with logged() as lines:
            async with open_socket(api.url, headers=ID) as socket:
                await socket.init()
                for number in range(MAX_OPERATIONS + 1):
                    await socket.subscribe(LIVE, name=str(number))
                assert codes_of(await socket.receive()) == ["RATE_LIMITED"]
                assert [line[1:] for line in of_operations(lines)] == [
                    ("anonymous", "RATE_LIMITED")
                ]
                lines.clear()
                await socket.send("complete", id="0")
                assert codes_of(await socket.run(NAME)) == ["RATE_LIMITED"]
                await wait_until(lambda: len(of_operations(lines)) == 2, what="lines")

    outcomes = {number: outcome for number, _, outcome in of_operations(lines)}
    assert outcomes[f"abc-{MAX_OPERATIONS + 2}"] == "RATE_LIMITED"


async def test_error_inside_has_the_id_of_its_operation(cipher: WebhookCipher) -> None:
    async with absent_database() as database, serving(make_app(database, cipher)) as api:
        with logged() as lines:
            async with open_socket(api.url, headers=ID) as socket:
                await socket.init()
                await socket.run(NAME)
                answer = await socket.run("{ tasks { data { id } } }")
                live = await socket.run(LIVE)

    told = [
        error["extensions"]["requestId"]
        for message in (answer, live)
        for error in (
            message["payload"] if message["type"] == "error" else message["payload"]["errors"]
        )
    ]
    inside = [line["request_id"] for line in lines if line["event"] == "database_unavailable"]
    assert told == inside == ["abc-2", "abc-3"]


async def test_change_is_in_the_audit_log_with_the_id_of_its_operation(api: Api) -> None:
    async with open_socket(api.url, headers=ID) as socket:
        await socket.init()
        await socket.run(RELOAD)
        await socket.run(RELOAD)

    audit = await api.run("{ auditLogs { data { action actor ip requestId } } }")
    rows = audit["auditLogs"]["data"]
    assert {row["requestId"] for row in rows} == {"abc-1", "abc-2"}
    assert {(row["actor"], row["ip"]) for row in rows} == {("default", "127.0.0.1")}


@pytest.mark.parametrize(("length", "is_kept"), [(56, True), (57, False), (64, False)])
async def test_id_of_a_socket_leaves_room_for_the_numbers(
    api: Api, length: int, is_kept: bool
) -> None:
    given = "x" * length
    with logged() as lines:
        async with open_socket(api.url, headers={"X-Request-ID": given}) as socket:
            await socket.init()
            await socket.run(RELOAD)
            await wait_until(lambda: len(of_operations(lines)) == 1, what="line")

    [(own_id, _, outcome)] = of_operations(lines)
    assert outcome == "ok"
    assert len(own_id) <= 64
    assert own_id.startswith(given) is is_kept


@pytest.mark.parametrize("said", ['{"type":"connection_init","payload":{}}', "nonsense", None])
async def test_client_that_is_gone_before_it_is_refused_is_no_error(
    cipher: WebhookCipher, said: str | None
) -> None:
    found_gone = asyncio.Event()

    class Gone(BoundedSocket):
        """Finds that the client is gone when the socket is to be closed."""

        async def send(self, message: Any) -> None:
            if message["type"] == "websocket.close":
                self.disconnected = True
                found_gone.set()
            await super().send(message)

    async with absent_database() as database:
        app = SocketLog(socket_app(database, cipher, init_seconds=0.1))
        async with serving(app, ws=Gone) as api:
            with logged() as lines:
                async with open_socket(api.url) as socket:
                    if said is not None:
                        await socket.connection.send(said)
                    await asyncio.wait_for(found_gone.wait(), 10)
                await wait_until(lambda: "socket" in [line["event"] for line in lines], what="end")

    assert [line for line in lines if line["log_level"] == "error"] == []

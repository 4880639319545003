"""WS /graphql, word by word: keys, errors, what breaks the protocol, and what is too much."""

import asyncio
import base64
import os
import re
from collections.abc import AsyncIterator, Mapping

import orjson
import pytest
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from engine.cipher import WebhookCipher
from models.database import Database
from tests.serving import (
    ADMIN,
    Api,
    absent_database,
    as_admin,
    as_reader,
    idle_engine,
    make_app,
    serving,
    socket_app,
)
from tests.sockets import Socket, codes_of, open_socket
from tests.waiting import wait_until
from web.connections import BoundedSocket
from web.graphql_socket import MAX_OPERATIONS

NAME = "{ __typename }"
LIVE = "subscription { taskLogs { id } }"
PREVIEW = 'query ($text: String = "x") { schedulePreview(schedule: $text) { description } }'
OTHER = "http://elsewhere.example"
ADMIN_KEY = ADMIN.key.get_secret_value()


@pytest.fixture
async def api(database: Database, cipher: WebhookCipher) -> AsyncIterator[Api]:
    app = make_app(database, cipher, MAX_BODY_BYTES="2000", ALLOWED_ORIGINS="https://app.example")
    async with serving(app, max_message_bytes=2000) as api:
        yield api


@pytest.fixture
async def socket(api: Api) -> AsyncIterator[Socket]:
    """A socket of the admin."""
    async with open_socket(api.url) as socket:
        await socket.init()
        yield socket


@pytest.mark.parametrize(
    ("headers", "payload"),
    [
        (as_admin(), {}),
        (as_reader(), {}),
        ({"Authorization": f"Bearer {ADMIN_KEY}"}, {}),
        ({}, as_admin()),
        ({}, as_reader()),
        ({}, {"Authorization": f"Bearer {ADMIN_KEY}"}),
        ({"X-API-Key": "wrong"}, as_admin()),
    ],
)
async def test_key_comes_with_the_upgrade_or_with_the_first_message(
    api: Api, headers: Mapping[str, str], payload: Mapping[str, str]
) -> None:
    async with open_socket(api.url, headers=headers) as socket:
        assert await socket.init(payload) == {"type": "connection_ack"}
        answer = await socket.run(NAME)

    assert answer["payload"] == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("headers", "payload", "reason"),
    [
        ({}, {}, "missing"),
        ({}, {"X-API-Key": None}, "missing"),
        ({}, {"X-API-Key": ["a"]}, "missing"),
        ({"X-API-Key": "wrong-one"}, {}, "wrong"),
        ({}, {"X-API-Key": "wrong-one"}, "wrong"),
        (as_admin(), {"X-API-Key": "wrong-one"}, "wrong"),
        ({}, {"Authorization": f"Basic {ADMIN_KEY}"}, "missing"),
    ],
)
async def test_socket_without_a_right_key_is_closed_for_good(
    api: Api, headers: Mapping[str, str], payload: Mapping[str, object], reason: str
) -> None:
    with capture_logs() as logs:
        async with open_socket(api.url, headers=headers) as socket:
            assert await socket.init(payload) is None

    assert socket.code == 4403
    assert [line["reason"] for line in logs if line["event"] == "api_key_refused"] == [reason]
    assert "wrong-one" not in str(logs)


async def test_payload_may_be_null_or_left_out(api: Api) -> None:
    for message in ('{"type":"connection_init"}', '{"type":"connection_init","payload":null}'):
        async with open_socket(api.url, headers=as_admin()) as socket:
            await socket.connection.send(message)

            assert await socket.receive() == {"type": "connection_ack"}


async def test_reading_key_changes_nothing(api: Api) -> None:
    async with open_socket(api.url) as socket:
        await socket.init(as_reader())

        assert codes_of(await socket.run("mutation { reloadTasks }")) == ["FORBIDDEN"]


async def test_queries_and_mutations_work_too(socket: Socket) -> None:
    preview = await socket.run(PREVIEW, text="@daily")
    reloaded = await socket.run("mutation { reloadTasks }")

    assert preview["payload"]["data"] == {"schedulePreview": {"description": "At 00:00 every day"}}
    assert reloaded["payload"] == {"data": {"reloadTasks": 0}}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ nonsense", "BAD_USER_INPUT"),
        ("", "BAD_USER_INPUT"),
        ("{ nonsense }", "BAD_USER_INPUT"),
        ("subscription { nonsense }", "BAD_USER_INPUT"),
        ("subscription { taskLogs(taskId: 5) { id } }", "BAD_USER_INPUT"),
        ("query A { __typename } query B { __typename }", "BAD_USER_INPUT"),
        ("subscription A { taskLogs { id } } query B { __typename }", "BAD_USER_INPUT"),
        (PREVIEW, "BAD_USER_INPUT"),
        ('{ task(id: "01890a5d-ac96-774b-bcce-b302099a8057") { id } }', "NOT_FOUND"),
    ],
)
async def test_error_has_its_code_and_the_socket_goes_on(
    socket: Socket, query: str, code: str
) -> None:
    failed = await socket.run(query)

    assert codes_of(failed) == [code]
    assert (await socket.run(NAME))["payload"] == {"data": {"__typename": "Query"}}


async def test_unknown_operation_name_is_an_error_of_that_operation(socket: Socket) -> None:
    payload = {"query": "query A { __typename }", "operationName": "B"}
    await socket.send("subscribe", id="1", payload=payload)

    assert codes_of(await socket.receive()) == ["BAD_USER_INPUT"]


async def test_empty_operation_name_is_none(socket: Socket) -> None:
    payload = {"query": "query A { __typename }", "operationName": ""}
    await socket.send("subscribe", id="1", payload=payload)

    assert (await socket.receive())["payload"] == {"data": {"__typename": "Query"}}


async def test_lost_database_is_masked(cipher: WebhookCipher) -> None:
    async with (
        absent_database() as database,
        serving(make_app(database, cipher)) as api,
        open_socket(api.url) as socket,
    ):
        await socket.init()
        for query in ("{ tasks { data { id } } }", LIVE):
            answer = await socket.run(query)

            assert codes_of(answer) == ["INTERNAL_SERVER_ERROR"]
            assert "127.0.0.1" not in str(answer)


async def test_subscription_by_post_is_refused(api: Api) -> None:
    answer = await api.post(LIVE)

    assert (answer.status, answer.codes) == (200, ["BAD_USER_INPUT"])
    assert "websocket" in answer.text


async def test_introspection_that_is_off_is_off_here_too(
    database: Database, cipher: WebhookCipher
) -> None:
    async with (
        serving(make_app(database, cipher, INTROSPECTION="off")) as api,
        open_socket(api.url) as socket,
    ):
        await socket.init()

        refused = await socket.run("{ __schema { queryType { name } } }")

    assert set(codes_of(refused)) == {"BAD_USER_INPUT"}


@pytest.mark.parametrize(
    "message",
    [
        "nonsense",
        "[]",
        "5",
        "null",
        "{}",
        '{"type":5}',
        '{"type":"unknown"}',
        '{"type":"complete"}',
        '{"type":"complete","id":[]}',
        '{"type":"subscribe","id":"1"}',
        '{"type":"subscribe","id":["1"],"payload":{"query":"{ __typename }"}}',
        '{"type":"subscribe","id":"1","payload":[]}',
        '{"type":"subscribe","id":"1","payload":{"query":5}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{ __typename }","variables":[]}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{ __typename }","operationName":5}}',
        '{"type":"connection_init","payload":[]}',
        "[" * 1500,
        b"{}",
    ],
)
async def test_what_breaks_the_protocol_closes_the_socket(
    socket: Socket, message: str | bytes
) -> None:
    with capture_logs() as logs:
        await socket.connection.send(message)
        answer = await socket.receive()

    assert (answer, socket.code) == (None, 4400)
    assert [line for line in logs if line["log_level"] == "error"] == []


async def test_operation_before_the_introduction_closes_the_socket(api: Api) -> None:
    async with open_socket(api.url, headers=as_admin()) as socket:
        await socket.subscribe(NAME)

        assert (await socket.receive(), socket.code) == (None, 4401)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('{"type":"ping"}', 4401),
        ('{"type":"pong","payload":{}}', 4401),
        ('{"type":"complete","id":"1"}', 4401),
        ('{"type":"unknown"}', 4401),
        ('{"type":"complete"}', 4400),
        ("nonsense", 4400),
        (b"{}", 4400),
    ],
)
async def test_whatever_else_comes_before_the_introduction_closes_the_socket(
    api: Api, message: str | bytes, code: int
) -> None:
    async with open_socket(api.url, headers=as_admin()) as socket:
        await socket.connection.send(message)

        assert (await socket.receive(), socket.code) == (None, code)


@pytest.mark.parametrize("kind", ["connection_init", "ping"])
async def test_nobody_unknown_sends_much(
    database: Database, cipher: WebhookCipher, kind: str
) -> None:
    large = {"type": kind, "payload": {**as_admin(), "more": "x" * BoundedSocket.MAX_FIRST_BYTES}}
    async with (
        serving(make_app(database, cipher)) as api,
        open_socket(api.url) as socket,
    ):
        await socket.connection.send(orjson.dumps(large).decode())

        assert (await socket.receive(), socket.code) == (None, 1009)


async def test_many_pieces_before_the_introduction_are_counted_together(
    database: Database, cipher: WebhookCipher
) -> None:
    async def pieces() -> AsyncIterator[str]:
        for _ in range(BoundedSocket.MAX_FIRST_BYTES // 100):
            yield "x" * 100
        await refused.wait()

    refused = asyncio.Event()
    async with (
        serving(make_app(database, cipher)) as api,
        open_socket(api.url) as socket,
    ):
        sending = asyncio.create_task(socket.connection.send(pieces()))
        answer = await socket.receive()
        refused.set()
        await asyncio.gather(sending, return_exceptions=True)

        assert (answer, socket.code) == (None, 1009)


async def test_who_is_known_sends_more(database: Database, cipher: WebhookCipher) -> None:
    async with (
        serving(make_app(database, cipher)) as api,
        open_socket(api.url) as socket,
    ):
        await socket.init({**as_admin(), "more": "x" * 15_000})

        answer = await socket.run(NAME + " " * 100_000)

    assert answer["payload"] == {"data": {"__typename": "Query"}}


async def test_second_introduction_closes_the_socket(socket: Socket) -> None:
    assert (await socket.init(), socket.code) == (None, 4429)


@pytest.mark.parametrize("count", [1, MAX_OPERATIONS])
async def test_second_operation_of_one_name_closes_the_socket(
    database: Database, cipher: WebhookCipher, count: int
) -> None:
    engine = idle_engine(database, cipher)
    async with (
        serving(make_app(database, cipher, engine=engine)) as api,
        open_socket(api.url) as socket,
    ):
        await socket.init()
        for number in range(count):
            await socket.subscribe(LIVE, name=str(number))
        await wait_until(lambda: engine.live_feed.listener_count == count, what="listeners")
        await socket.subscribe(LIVE, name="0")

        assert (await socket.receive(), socket.code) == (None, 4409)
        await wait_until(lambda: engine.live_feed.listener_count == 0, what="end of listening")


async def test_who_says_nothing_is_not_waited_for(
    database: Database, cipher: WebhookCipher
) -> None:
    async with (
        serving(socket_app(database, cipher, init_seconds=0.1)) as api,
        open_socket(api.url) as socket,
    ):
        assert (await socket.receive(), socket.code) == (None, 4408)


async def test_operations_past_the_limit_are_refused_one_by_one(socket: Socket) -> None:
    for number in range(MAX_OPERATIONS + 1):
        await socket.subscribe(LIVE, name=str(number))
    refused = await socket.receive()
    await socket.send("complete", id="0")

    assert (refused["id"], codes_of(refused)) == (str(MAX_OPERATIONS), ["RATE_LIMITED"])
    assert (await socket.run(NAME))["payload"] == {"data": {"__typename": "Query"}}


async def test_operation_past_the_limit_counts_as_a_request_too(
    database: Database, cipher: WebhookCipher
) -> None:
    app = make_app(database, cipher, RATE_LIMIT=f"{MAX_OPERATIONS + 2}/hour")
    async with serving(app) as api, open_socket(api.url) as socket:
        await socket.init()
        for number in range(MAX_OPERATIONS + 1):
            await socket.subscribe(LIVE, name=str(number))
        assert codes_of(await socket.receive()) == ["RATE_LIMITED"]
        answer = await api.post(NAME)

    assert answer.status == 429


async def test_message_longer_than_a_body_may_be_closes_the_socket(socket: Socket) -> None:
    await socket.subscribe(NAME + " " * 2000)

    assert (await socket.receive(), socket.code) == (None, 1009)


async def test_ping_is_answered(socket: Socket) -> None:
    await socket.send("ping")

    assert await socket.receive() == {"type": "pong"}


@pytest.mark.parametrize("protocol", ["graphql-ws", "something"])
async def test_other_protocols_are_not_spoken(api: Api, protocol: str) -> None:
    async with open_socket(api.url, protocol=protocol) as socket:
        assert (await socket.receive(), socket.code) == (None, 4406)


async def test_page_of_another_origin_is_refused(api: Api) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(api.url, headers=as_admin(), origin=OTHER):
            pass

    answer = refused.value.response
    assert answer.status_code == 403
    assert orjson.loads(answer.body or b"")["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_pages_of_this_origin_and_of_allowed_ones_may_connect(api: Api) -> None:
    for origin in (api.url, "https://app.example"):
        async with open_socket(api.url, headers=as_admin(), origin=origin) as socket:
            assert await socket.init({}) == {"type": "connection_ack"}


async def test_each_socket_and_each_operation_counts_as_a_request(
    database: Database, cipher: WebhookCipher
) -> None:
    async with serving(make_app(database, cipher, RATE_LIMIT="3/hour")) as api:
        assert (await api.post(NAME)).status == 200
        async with open_socket(api.url) as socket:
            await socket.init()
            answers = [await socket.run(NAME) for _ in range(2)]

    assert [answer["type"] for answer in answers] == ["next", "error"]
    assert codes_of(answers[1]) == ["RATE_LIMITED"]


async def test_each_wrong_key_counts_as_one_over_http(
    database: Database, cipher: WebhookCipher
) -> None:
    async with serving(make_app(database, cipher, FAILED_KEY_LIMIT="2/hour")) as api:
        for _ in range(3):
            async with open_socket(api.url) as socket:
                await socket.init({"X-API-Key": "wrong"})
                assert await socket.receive() is None
        wrong = await api.post(NAME, headers={"X-API-Key": "wrong"})
        right = await api.post(NAME)

    assert (wrong.status, right.status) == (429, 200)


@pytest.mark.parametrize("payload", [{"X-API-Key": "wrong"}, {}])
async def test_who_guesses_too_many_keys_is_told_when_to_come_back(
    database: Database, cipher: WebhookCipher, payload: Mapping[str, str]
) -> None:
    async with serving(make_app(database, cipher, FAILED_KEY_LIMIT="1/hour")) as api:
        assert (await api.send("GET", "/metrics", headers={})).status == 401
        async with open_socket(api.url) as socket:
            assert (await socket.init(payload), socket.code) == (None, 4429)
        async with open_socket(api.url) as known:
            assert await known.init() == {"type": "connection_ack"}

    assert re.search("try again in [0-9]+ s", socket.connection.close_reason or "")


async def test_socket_has_a_line_in_the_log_with_its_request_id(api: Api) -> None:
    with capture_logs() as logs:
        async with open_socket(api.url, headers={"X-Request-ID": "abc"}) as socket:
            await socket.init()
            await socket.send("nonsense")
            assert await socket.receive() is None

    (line,) = [line for line in logs if line["event"] == "socket"]
    assert (line["path"], line["code"], line["client"]) == ("/graphql", 4400, "127.0.0.1")
    assert socket.connection.response is not None
    assert socket.connection.response.headers["X-Request-ID"] == "abc"


async def test_client_that_answers_no_ping_is_gone(
    database: Database, cipher: WebhookCipher
) -> None:
    async with serving(make_app(database, cipher), ping_seconds=0.2) as api:
        host, port = api.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET /graphql HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )
        with capture_logs() as logs:
            async with asyncio.timeout(5):
                said = await reader.read()
            await wait_until(lambda: "socket" in [line["event"] for line in logs], what="line")
        writer.close()

    assert b"101 Switching Protocols" in said
    assert b"keepalive ping timeout" in said

"""Clients that take their time, or too much of anything, are cut off."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from engine.cipher import WebhookCipher
from tests.serving import Api, absent_database, as_admin, make_app, serving
from tests.waiting import wait_until
from web.connections import BoundedHttp
from web.middleware import BodyLimit
from web.server import http_server

SOON = 0.3
# Time enough for a client that shall be answered.
IN_TIME = 2.0
HEAD = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
POST = (
    "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    + "".join(f"{name}: {value}\r\n" for name, value in as_admin().items())
).encode()
BIG = b"x" * 30_000_000


class Hasty(BoundedHttp):
    HEAD_SECONDS = SOON
    UNREAD_SECONDS = SOON


class Patient(BoundedHttp):
    HEAD_SECONDS = IN_TIME
    UNREAD_SECONDS = IN_TIME


class Few(BoundedHttp):
    MAX_CONNECTIONS = 3


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[Api], Awaitable[Connection]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def open_one(api: Api) -> Connection:
            host, port = api.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            stack.callback(writer.close)
            return reader, writer

        yield open_one


@asynccontextmanager
async def service(
    cipher: WebhookCipher, http: type[BoundedHttp] = BoundedHttp
) -> AsyncIterator[Api]:
    async with (
        absent_database() as database,
        serving(make_app(database, cipher), http=http) as api,
    ):
        yield api


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Return what still comes until the other side closes, or cuts the connection."""
    got = b""
    try:
        while chunk := await asyncio.wait_for(reader.read(65_536), 10):
            got += chunk
    except ConnectionError:
        pass
    return got


async def drip(writer: asyncio.StreamWriter, text: bytes) -> None:
    """Send a byte every 20 ms, until the connection is closed."""
    while not writer.is_closing():
        for byte in text:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)


async def answered_though_dripping(connection: Connection, text: bytes) -> bytes:
    reader, writer = connection
    dripping = asyncio.create_task(drip(writer, text))
    try:
        return await rest(reader)
    finally:
        dripping.cancel()


@pytest.mark.parametrize("sent", [b"", b"GET ", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ", b"\r\n"])
async def test_connection_without_a_request_is_cut(
    cipher: WebhookCipher, connect: Connect, sent: bytes
) -> None:
    async with service(cipher, Hasty) as api:
        reader, writer = await connect(api)
        writer.write(sent)

        assert await rest(reader) == b""


@pytest.mark.parametrize("text", [b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 5000, b"\r\n"])
async def test_head_that_comes_in_drips_is_cut(
    cipher: WebhookCipher, connect: Connect, text: bytes
) -> None:
    async with service(cipher, Hasty) as api:
        got = await answered_though_dripping(await connect(api), text)

    assert got == b""


@pytest.mark.parametrize("text", [b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 5000, b"\r\n"])
async def test_second_head_of_a_connection_has_the_same_time(
    cipher: WebhookCipher, connect: Connect, text: bytes
) -> None:
    async with service(cipher, Patient) as api:
        reader, writer = await connect(api)
        writer.write(HEAD)
        await reader.readuntil(b'{"status":"ok"}')

        assert await answered_though_dripping((reader, writer), text) == b""


async def test_head_longer_than_64_kilobytes_is_cut(
    cipher: WebhookCipher, connect: Connect
) -> None:
    async with service(cipher) as api:
        reader, writer = await connect(api)
        writer.write(b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"a" * 200_000)

        assert await rest(reader) == b""


async def test_long_bodies_and_many_requests_on_one_connection_are_no_long_head(
    cipher: WebhookCipher, connect: Connect
) -> None:
    body = b'{"query": "{ __typename }"}'.ljust(200_000)
    request = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with service(cipher) as api:
        reader, writer = await connect(api)
        for _ in range(5):
            writer.write(request)
            await reader.readuntil(b'{"data":{"__typename":"Query"}}')


async def test_pipelined_requests_are_all_answered(cipher: WebhookCipher, connect: Connect) -> None:
    async with service(cipher, Patient) as api:
        reader, writer = await connect(api)
        writer.write(HEAD * 5)

        for _ in range(5):
            await reader.readuntil(b'{"status":"ok"}')


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(IN_TIME + SOON)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def test_time_that_we_take_is_not_the_clients(connect: Connect) -> None:
    async with serving(slow, http=Patient) as api:
        reader, writer = await connect(api)
        writer.write(HEAD)

        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize("length", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_body_that_comes_in_drips_is_408(
    cipher: WebhookCipher, connect: Connect, length: bytes
) -> None:
    async with (
        absent_database() as database,
        serving(BodyLimit(make_app(database, cipher), 2000, max_seconds=SOON)) as api,
    ):
        reader, writer = await connect(api)
        writer.write(POST + length + b"\r\n\r\n")

        got = await answered_though_dripping((reader, writer), b"1\r\n{\r\n")

    assert got.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"BAD_USER_INPUT"' in got
    assert b"\r\nconnection: close\r\n" in got.lower()


async def big(scope: Scope, receive: Receive, send: Send) -> None:
    length = str(len(BIG)).encode()
    headers = [(b"content-length", length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BIG})


@pytest.mark.parametrize("head", [HEAD, LAST])
async def test_client_that_does_not_read_is_cut_off(head: bytes) -> None:
    lost: list[Exception | None] = []

    class Recording(Hasty):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.append(exc)

    async with serving(big, http=Recording) as api:
        host, port = api.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(head)

            await wait_until(lambda: len(lost) == 1, what="end of the connection")


async def test_client_that_has_read_in_time_is_left_alone(connect: Connect) -> None:
    async with serving(big, http=Patient) as api:
        reader, writer = await connect(api)
        writer.write(HEAD)
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(BIG))
        over = time.monotonic() + IN_TIME + SOON
        await wait_until(lambda: time.monotonic() > over, what="end of the time to read")

        writer.write(HEAD)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")


async def test_connections_beyond_the_bound_are_refused_until_one_ends(
    cipher: WebhookCipher, connect: Connect
) -> None:
    async with service(cipher, Few) as api:
        with capture_logs() as logs:
            kept = [await connect(api) for _ in range(3)]
            refused, _ = await connect(api)
            assert await rest(refused) == b""
        reader, writer = kept[0]
        writer.write(LAST)
        assert (await rest(reader)).startswith(b"HTTP/1.1 200")

        answer = await api.send("GET", "/health/live")

    assert [entry["event"] for entry in logs] == ["connections_exhausted"]
    assert answer.status == 200


async def next_millisecond() -> None:
    """Return when a timer for a delay is later than one that was set before."""
    over = time.monotonic() + 0.01
    await wait_until(lambda: time.monotonic() > over, what="next millisecond")


async def test_connection_that_is_idle_for_longest_makes_way(
    cipher: WebhookCipher, connect: Connect
) -> None:
    async with service(cipher, Few) as api:
        with capture_logs() as logs:
            begun, first, second = [await connect(api) for _ in range(3)]
            for reader, writer in (first, second, first):
                writer.write(HEAD)
                await reader.readuntil(b'{"status":"ok"}')
                await next_millisecond()
            begun[1].write(HEAD[:10])

            answer = await api.send("GET", "/health/live")
            assert await rest(second[0]) == b""
            for (reader, writer), text in ((first, HEAD), (begun, HEAD[10:])):
                writer.write(text)
                await reader.readuntil(b'{"status":"ok"}')

    assert answer.status == 200
    assert "connections_exhausted" not in [entry["event"] for entry in logs]


async def test_many_connections_at_once_never_are_more_than_the_bound(
    cipher: WebhookCipher, connect: Connect
) -> None:
    most = 0

    class Counting(Few):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base has it
            nonlocal most
            super().connection_made(transport)
            most = max(most, sum(not each.transport.is_closing() for each in self.connections))

    async with service(cipher, Counting) as api:
        for reader, writer in [await connect(api) for _ in range(3)]:
            writer.write(HEAD)
            await reader.readuntil(b'{"status":"ok"}')
        await asyncio.gather(*(connect(api) for _ in range(20)))
        await wait_until(lambda: most > 0, what="connections")

    assert most == 3


async def test_idle_connection_outlives_those_that_proxies_keep() -> None:
    """Traefik keeps them for 90 s, nginx for 60 s."""
    assert http_server(slow, max_message_bytes=1).config.timeout_keep_alive > 90

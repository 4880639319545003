"""Bodies that are not what their headers say; the bytes are written by hand."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from engine.cipher import WebhookCipher
from tests.serving import Api, absent_database, as_admin, make_app, serving

OPERATION = b'{"query": "{ __typename }"}'
ANSWER = b'{"data":{"__typename":"Query"}}'


@pytest.fixture
async def api(cipher: WebhookCipher) -> AsyncIterator[Api]:
    async with (
        absent_database() as database,
        serving(make_app(database, cipher, MAX_BODY_BYTES="2000")) as api,
    ):
        yield api


async def answers(api: Api, headers: str, body: bytes) -> bytes:
    """Return all that comes back for a request with these headers and this body."""
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    (key,) = as_admin().values()
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n{headers}\r\n\r\n".encode() + body)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ("Content-Length: 2001", b" " * 2001),
        ("Content-Length: 2001", b""),
        ("Content-Length: 9223372036854775807", OPERATION),
        ("Content-Length: 2001\r\nConnection: keep-alive", OPERATION),
        ("Transfer-Encoding: chunked", b"7d1\r\n" + b" " * 2001 + b"\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", (b"1\r\n \r\n") * 2001 + b"0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"fffffff\r\n" + b" " * 2001),
    ],
)
async def test_longer_body_is_413_whatever_its_length_is_said_to_be(
    api: Api, headers: str, body: bytes
) -> None:
    got = await answers(api, headers, body)

    assert got.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"PAYLOAD_TOO_LARGE"' in got
    assert b"\r\nconnection: close\r\n" in got.lower()
    assert got.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: -5",
        "Content-Length: +5",
        "Content-Length: five",
        "Content-Length: 99999999999999999999",
        "Content-Length: 27\r\nContent-Length: 28",
        "Content-Length: 27\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
    ],
)
async def test_length_that_could_be_read_in_two_ways_is_refused(api: Api, headers: str) -> None:
    got = await answers(api, headers, OPERATION)

    assert got.startswith(b"HTTP/1.1 400 ")
    assert ANSWER not in got


async def test_bytes_beyond_the_length_are_no_part_of_the_body(api: Api) -> None:
    length = f"Content-Length: {len(OPERATION)}"

    got = await answers(api, length, OPERATION + b"}{ these are no request\r\n\r\n")

    assert b"HTTP/1.1 400 " in got
    assert b"BAD_USER_INPUT" not in got


@pytest.mark.parametrize("data", ["\x00", "\ufffe", "\\u0000", "\\ud800"])
async def test_odd_characters_are_answered_properly(api: Api, data: str) -> None:
    body = f'{{"query": "{{ __typename }}{data}"}}'.encode()

    got = await answers(api, f"Content-Length: {len(body)}\r\nConnection: close", body)

    assert got.split(b" ")[1] in {b"200", b"400"}
    assert b'"code":"BAD_USER_INPUT"' in got

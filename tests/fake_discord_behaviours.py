"""Ways to answer a request that Discord, its edge or the network between have shown."""

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from sandbox.discord_rules import VIA, Problem, Refusal

Behaviour = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Body = bytes | str | dict[str, object]

_CHUNK = b"x" * 65_536


def answer(status: int, body: Body = b"", headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer as given: a dict is sent as JSON, text as HTML."""

    async def behave(_: web.BaseRequest) -> web.StreamResponse:
        return response(status, body, headers)

    return behave


def response(
    status: int, body: Body = b"", headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a response whose Content-Type follows from the body."""
    match body:
        case dict():
            content_type, data = "application/json", json.dumps(body).encode()
        case str():
            content_type, data = "text/html", body.encode()
        case bytes():
            content_type, data = "application/octet-stream", body
    return web.Response(
        status=status, body=data, headers={"Content-Type": content_type} | dict(headers or {})
    )


def problem(given: Problem) -> Behaviour:
    """Answer with an error of Discord's."""
    return answer(given.status, given.body(), VIA)


def limited(retry_after: float = 0.3, scope: str = "user") -> Behaviour:
    """Answer 429 as Discord does; `scope` is user, shared or global."""
    refusal = Refusal(retry_after=retry_after, scope=scope)
    return answer(429, refusal.body(), VIA | refusal.headers())


def html_403() -> Behaviour:
    """Answer as the edge does to an address that it blocks."""
    return answer(403, "<!DOCTYPE html><title>Access denied</title>", {"Server": "cloudflare"})


def edge_429(retry_after: str | None = None) -> Behaviour:
    """Answer as the edge does to an address that it limits: text, no figure in the body."""
    headers = {"Server": "cloudflare"}
    return answer(
        429,
        "error code: 1015",
        headers if not retry_after else headers | {"Retry-After": retry_after},
    )


def redirect(location: str = "/elsewhere", status: int = 302) -> Behaviour:
    """Answer with a redirect."""
    return answer(status, b"", {"Location": location})


def hang() -> Behaviour:
    """Answer nothing until the client goes away."""

    async def behave(_: web.BaseRequest) -> web.StreamResponse:
        return await _never()

    return behave


def slow(seconds: float, then: Behaviour) -> Behaviour:
    """Answer late."""

    async def behave(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await then(request)

    return behave


def held(until: asyncio.Event, then: Behaviour) -> Behaviour:
    """Answer once the event has happened."""

    async def behave(request: web.BaseRequest) -> web.StreamResponse:
        await until.wait()
        return await then(request)

    return behave


def reset() -> Behaviour:
    """Break the connection (RST) after the request was read, before any answer."""

    async def behave(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        sock: socket.socket = request.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
        return web.Response()

    return behave


def raw(data: bytes) -> Behaviour:
    """Send exactly these bytes and close the connection."""

    async def behave(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(data)
        request.transport.close()
        return web.Response()

    return behave


def endless_headers() -> Behaviour:
    """Send a status and headers without an end."""

    async def behave(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\n")
        while not request.transport.is_closing():
            request.transport.write(b"X-Padding: x\r\n" * 100)
            await asyncio.sleep(0)
        return web.Response()

    return behave


def cut_body(status: int = 200) -> Behaviour:
    """Promise 500 bytes of body, send a few and close."""
    return raw(
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"
        '{"id": "1'.encode()
    )


def stalled_body(status: int = 200) -> Behaviour:
    """Send the status and the headers, then nothing."""

    async def behave(request: web.BaseRequest) -> web.StreamResponse:
        stream = web.StreamResponse(status=status, headers={"Content-Length": "500"})
        await stream.prepare(request)
        await stream.write(b"{")
        return await _never()

    return behave


def endless_body(status: int = 200) -> Behaviour:
    """Send a body without an end."""

    async def behave(request: web.BaseRequest) -> web.StreamResponse:
        stream = web.StreamResponse(status=status)
        stream.enable_chunked_encoding()
        await stream.prepare(request)
        while True:
            await stream.write(_CHUNK)

    return behave


def big_body(size_bytes: int = 50_000_000, status: int = 200) -> Behaviour:
    """Send a body of that size."""

    async def behave(request: web.BaseRequest) -> web.StreamResponse:
        stream = web.StreamResponse(status=status, headers={"Content-Length": str(size_bytes)})
        await stream.prepare(request)
        for start in range(0, size_bytes, len(_CHUNK)):
            await stream.write(_CHUNK[: size_bytes - start])
        return stream

    return behave


async def _never() -> web.StreamResponse:
    future: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
    return await future

"""A Discord on 127.0.0.1: real HTTP, Discord's limits and checks, and every way to break.

In a test: `async with FakeDiscord() as fake`, and `fake.url()` is a webhook. As a process:
`python -m tests.fake_discord --port 9100`; GET /requests then tells what came.
"""

import argparse
import asyncio
import secrets
import signal
import ssl
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from types import TracebackType
from typing import Self, assert_never

import orjson
import uvloop
from aiohttp import web

from sandbox.discord_rules import (
    INVALID_TOKEN,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TOO_LARGE,
    UNKNOWN_WEBHOOK,
    VIA,
    Limit,
    Limits,
    request_problem,
)
from tests.fake_discord_behaviours import Behaviour, Body, answer, hang, problem, response

Scripted = Behaviour | tuple[int] | tuple[int, Body] | tuple[int, Body, Mapping[str, str]]

WEBHOOK_LIMIT = Limit(sends=5, seconds=2.0)
CHANNEL_LIMIT = Limit(sends=30, seconds=60.0)
GLOBAL_LIMIT = Limit(sends=50, seconds=1.0)
_FIRST_MESSAGE_ID = 1_100_000_000_000_000_000


class Down(StrEnum):
    """How Discord is away: connections refused, every answer 503, or no answers at all."""

    REFUSE = "REFUSE"
    UNAVAILABLE = "UNAVAILABLE"
    HANG = "HANG"


@dataclass(slots=True, kw_only=True)
class Received:
    """One request; `at` is monotonic, `wall` epoch seconds.

    `status` stays None when no whole answer was sent. A sink fills `at`, `wall`, `webhook_id` and
    `status` only.
    """

    at: float
    wall: float
    webhook_id: str
    token: str = field(default="", repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    payload: object = None
    status: int | None = None


class FakeDiscord:
    """The server; limits that are None are off, and a `sink` checks nothing at all."""

    def __init__(
        self,
        *,
        port: int = 0,
        latency_seconds: float = 0.0,
        webhook_limit: Limit | None = WEBHOOK_LIMIT,
        channel_limit: Limit | None = CHANNEL_LIMIT,
        global_limit: Limit | None = None,
        channels: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        sink: bool = False,
    ) -> None:
        """`channels` maps webhook ids to channel ids; others have a channel of their own."""
        self.port = port
        self.latency_seconds = latency_seconds
        self.requests: list[Received] = []
        self.limited = 0
        self.channels = dict(channels or {})
        self.tokens: dict[str, str] = {}
        self.deleted: set[str] = set()
        self._limits = Limits(
            webhook_limit=webhook_limit, channel_limit=channel_limit, global_limit=global_limit
        )
        self._ssl_context = ssl_context
        self._sink = sink
        self._down: Down | None = None
        self._scripts: dict[str | None, deque[Behaviour]] = {}
        self._arrived = asyncio.Event()
        self._message_ids = count(_FIRST_MESSAGE_ID)
        self._runner: web.ServerRunner | None = None
        self._site: web.TCPSite | None = None

    async def __aenter__(self) -> Self:
        # Handlers that wait are ended when their connection ends.
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._drop_connections()
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def origin(self) -> str:
        """The scheme, host and port to send to."""
        return f"{'https' if self._ssl_context else 'http'}://127.0.0.1:{self.port}"

    def url(self, webhook_id: str | None = None, token: str | None = None) -> str:
        """Return a webhook's URL; what is not given is made and registered."""
        webhook_id = webhook_id or str(10**18 + secrets.randbelow(8 * 10**18))
        if token is None:
            token = self.tokens.setdefault(webhook_id, secrets.token_urlsafe(51))
        return f"{self.origin}/api/webhooks/{webhook_id}/{token}"

    def script(self, webhook_id: str | None, *scripted: Scripted) -> None:
        """Answer the next requests of a webhook (None: of any) in these ways, one each."""
        behaviours = [answer(*item) if isinstance(item, tuple) else item for item in scripted]
        self._scripts.setdefault(webhook_id, deque()).extend(behaviours)

    def delete(self, webhook_id: str) -> None:
        """Make a webhook unknown."""
        self.deleted.add(webhook_id)

    async def set_down(self, down: Down | None) -> None:
        """Go away in this way, or come back on the same port with None."""
        self._down = down
        if down is Down.REFUSE and self._site is not None:
            await self._site.stop()
            self._site = None
            self._drop_connections()
            for _ in range(5):  # a client in this process sees its connections end, then we return
                await asyncio.sleep(0)
        elif down is not Down.REFUSE and self._site is None:
            await self._listen()

    async def wait_for(self, requests: int, timeout_seconds: float = 15.0) -> None:
        """Wait until so many requests have come in all. Raises: TimeoutError with a sentence."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while len(self.requests) < requests:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            came = f"{len(self.requests)} of {requests} requests came in {timeout_seconds} s"
            raise TimeoutError(came) from None

    def channel_of(self, webhook_id: str) -> str:
        """Return the channel that a webhook posts to."""
        return self.channels.get(webhook_id) or str(10**17 + int(webhook_id) % 10**17)

    async def _listen(self) -> None:
        assert self._runner is not None
        self._site = web.TCPSite(
            self._runner,
            "127.0.0.1",
            self.port,
            backlog=1024,
            reuse_address=True,
            ssl_context=self._ssl_context,
        )
        await self._site.start()
        self.port = self._site.port

    def _drop_connections(self) -> None:
        assert self._runner is not None
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.path.split("/"):
            case ["", "requests"]:
                return self._report()
            case ["", "api", "v10", "webhooks", webhook_id, token] if webhook_id.isdecimal():
                received = Received(at=time.monotonic(), wall=time.time(), webhook_id=webhook_id)
                self.requests.append(received)
                self._arrived.set()
            case _:
                return await problem(NOT_FOUND)(request)
        if self._sink and self._down is None:
            answered: web.StreamResponse = await self._swallow(request, webhook_id)
        else:
            received.token = token
            answered = await self._take(request, received)
        if request.transport is not None and not request.transport.is_closing():
            received.status = answered.status
            self.limited += answered.status == 429
        return answered

    async def _swallow(self, request: web.BaseRequest, webhook_id: str) -> web.Response:
        await request.read()
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        body = b'{"id":"%d","channel_id":"%b"}' % (next(self._message_ids), webhook_id.encode())
        return web.Response(body=body, content_type="application/json")

    async def _take(self, request: web.BaseRequest, received: Received) -> web.StreamResponse:
        received.query = dict(request.query)
        received.headers = request.headers
        try:
            received.payload = orjson.loads(await request.read())
        except orjson.JSONDecodeError:
            received.payload = None
        except web.HTTPRequestEntityTooLarge:
            return await problem(TOO_LARGE)(request)
        if self.latency_seconds:
            await asyncio.sleep(self.latency_seconds)
        behaviour = self._behaviour(received.webhook_id)
        return await behaviour(request) if behaviour else self._ordinary(request, received)

    def _behaviour(self, webhook_id: str) -> Behaviour | None:
        match self._down:
            case Down.HANG:
                return hang()
            case Down.UNAVAILABLE | Down.REFUSE:
                return answer(503, "upstream connect error")
            case None:
                script = self._scripts.get(webhook_id) or self._scripts.get(None)
                return script.popleft() if script else None
            case _:
                assert_never(self._down)

    def _ordinary(self, request: web.BaseRequest, received: Received) -> web.Response:
        webhook_id = received.webhook_id
        channel_id = self.channel_of(webhook_id)
        headers, refusal = self._limits.take(webhook_id, channel_id, received.at)
        headers |= VIA
        if refusal is not None:
            return response(429, refusal.body(), headers | refusal.headers())
        if request.method != "POST":
            return response(405, METHOD_NOT_ALLOWED.body(), headers)
        wrong = request_problem(received.query, request.content_type, received.payload)
        if webhook_id in self.deleted:
            wrong = UNKNOWN_WEBHOOK
        elif self.tokens.get(webhook_id, received.token) != received.token:
            wrong = INVALID_TOKEN
        if wrong is not None:
            return response(wrong.status, wrong.body(), headers)
        if received.query.get("wait") not in ("true", "True", "1"):
            return response(204, b"", headers)
        message = {"id": str(next(self._message_ids)), "channel_id": channel_id, "type": 0}
        return response(200, message | {"webhook_id": webhook_id}, headers)

    def _report(self) -> web.Response:
        rows = [(row.wall, row.webhook_id, row.status) for row in self.requests]
        body = orjson.dumps({"limited": self.limited, "requests": rows})
        return web.Response(body=body, content_type="application/json")


async def _serve(arguments: argparse.Namespace) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    limited = not (arguments.sink or arguments.no_limits)
    fake = FakeDiscord(
        port=arguments.port,
        latency_seconds=arguments.latency,
        webhook_limit=WEBHOOK_LIMIT if limited else None,
        channel_limit=CHANNEL_LIMIT if limited else None,
        global_limit=GLOBAL_LIMIT if limited else None,
        sink=arguments.sink,
    )
    async with fake:
        sys.stdout.write(f"{fake.origin}\n")
        sys.stdout.flush()
        await stopped.wait()


def main() -> None:
    """Serve until SIGINT or SIGTERM; the first line printed is the origin."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_discord", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--no-limits", action="store_true", help="never answer 429")
    parser.add_argument("--sink", action="store_true", help="for load: record and answer 200")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()

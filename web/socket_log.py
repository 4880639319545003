"""What every websocket passes through: its id, its line in the log and those of its operations."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from web.middleware import MAX_LOGGED_PATH_CHARS, MAX_REQUEST_ID_CHARS, give_request_id
from web.requests import client_address

# What a closed connection without a close frame is called. Source: RFC 6455, section 7.4.1.
ABNORMAL: Final = 1006
# An operation's id is the socket's, a hyphen and its number: room is left for these.
NUMBER_CHARS: Final = 8
# What sending to a client that has left raises: uvicorn's error, or what Starlette makes of it.
GONE: Final = (ClientDisconnected, WebSocketDisconnect)

log = structlog.get_logger(__name__)


class SocketLog:
    """Gives each websocket an id, and writes one line about it with the code of its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        request_id = give_request_id(scope, MAX_REQUEST_ID_CHARS - NUMBER_CHARS)
        began, code = time.perf_counter(), ABNORMAL

        async def receive_noted() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect" and code == ABNORMAL:
                code = message["code"]
            return message

        async def send_noted(message: Message) -> None:
            nonlocal code
            if message["type"] in {"websocket.accept", "websocket.http.response.start"}:
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            if message["type"] == "websocket.close":
                code = message["code"]
            code = message.get("status", code)
            await send(message)

        try:
            await self._app(scope, receive_noted, send_noted)
        except GONE:
            pass
        except Exception:
            log.exception("socket_failed")
            with suppress(*GONE):
                await send_noted({"type": "websocket.close", "code": 1011})
        finally:
            log.info(
                "socket",
                path=scope["path"][:MAX_LOGGED_PATH_CHARS],
                code=code,
                seconds=round(time.perf_counter() - began, 1),
                client=client_address(scope),
            )


@contextmanager
def operation_line(client: str | None, **bound: str) -> Iterator[None]:
    """Write one line about an operation of a websocket at its end, whatever becomes of it.

    `bound` is what it and everything else that is logged meanwhile carries.
    """
    began = time.perf_counter()
    with structlog.contextvars.bound_contextvars(**bound):
        try:
            yield
        finally:
            duration_ms = round((time.perf_counter() - began) * 1000, 1)
            log.info("socket_operation", duration_ms=duration_ms, client=client)

"""What every request passes through: its id, its line in the log, the limits of its body."""

import asyncio
import re
import time
import uuid
from typing import Final

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.metrics import HTTP_SECONDS
from schema.errors import UNEXPECTED
from web.answers import refusal
from web.requests import client_address, request_id

MAX_LOGGED_PATH_CHARS: Final = 200
MAX_BODY_SECONDS: Final = 10.0
# What proxies write down for a request whose client didn't wait for the answer.
CLIENT_LEFT: Final = 499
# Python refuses to read numbers of thousands of digits; this many are too long for any limit.
MAX_LENGTH_DIGITS: Final = 18
# What the audit log has room for, and what a log doesn't take for a webhook's token.
MAX_REQUEST_ID_CHARS: Final = 64
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]+")

log = structlog.get_logger(__name__)


class RequestLog:
    """Gives each request an id, and writes one line about it, whatever becomes of it.

    A client's own X-Request-ID is kept if it is well-formed; every answer carries the id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given_id = give_request_id(scope)
        began, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = given_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            _write_line(scope, status or CLIENT_LEFT, time.perf_counter() - began)


class InternalErrors:
    """Answers what nobody caught, without telling anything of the inside."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; its error is logged once."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_begun = False

        async def send_on(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except ClientDisconnect:
            log.debug("client_left")
        except Exception:
            log.exception("request_failed")
            if is_begun:
                raise
            await refusal(500, UNEXPECTED, request_id=request_id(scope))(scope, receive, send)


def give_request_id(scope: Scope, max_chars: int = MAX_REQUEST_ID_CHARS) -> str:
    """Return the request's id, which everything that is logged about it carries from now on."""
    given = Headers(scope=scope).get("X-Request-ID", "")
    is_kept = len(given) <= max_chars and _REQUEST_ID.fullmatch(given)
    given_id = given if is_kept else uuid.uuid4().hex
    scope.setdefault("state", {})["request_id"] = given_id
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=given_id)
    return given_id


def _write_line(scope: Scope, status: int, seconds: float) -> None:
    HTTP_SECONDS.labels(status).observe(seconds)
    log.info(
        "request",
        method=scope["method"],
        path=scope["path"][:MAX_LOGGED_PATH_CHARS],
        status=status,
        duration_ms=round(seconds * 1000, 1),
        client=client_address(scope),
    )


class BodyLimit:
    """Refuses a body that is longer than allowed, also one that doesn't tell its length.

    It also has to be there within `max_seconds`: who sends a byte a minute is not waited for.
    """

    def __init__(
        self, app: ASGIApp, max_body_bytes: int, max_seconds: float = MAX_BODY_SECONDS
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; reading on past a limit raises 413 or 408."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced, received, is_whole = _announced(scope), 0, False
        deadline = asyncio.get_running_loop().time() + self._max_seconds

        async def receive_limited() -> Message:
            nonlocal received, is_whole
            if announced > self._max_body_bytes:
                raise self._too_large()
            try:
                async with asyncio.timeout_at(None if is_whole else deadline):
                    message = await receive()
            except TimeoutError:
                raise self._too_slow() from None
            is_whole = not message.get("more_body", False)
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise self._too_large()
            return message

        await self._app(scope, receive_limited, send)

    def _too_large(self) -> HTTPException:
        # What is still on its way is not worth reading.
        return HTTPException(
            413,
            f"The body may have at most {self._max_body_bytes} bytes.",
            {"Connection": "close"},
        )

    def _too_slow(self) -> HTTPException:
        return HTTPException(
            408,
            f"The body must be sent within {self._max_seconds:g} s.",
            {"Connection": "close"},
        )


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("Content-Length", "")
    return int(length[:MAX_LENGTH_DIGITS]) if length.isdecimal() else 0

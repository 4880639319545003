"""What every request passes through: its id, its line in the log, the limit of its body."""

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
from web.requests import client_address

MAX_LOGGED_PATH_CHARS: Final = 200
# What proxies write down for a request whose client didn't wait for the answer.
CLIENT_LEFT: Final = 499
# Python refuses to read numbers of thousands of digits; this many are too long for any limit.
MAX_LENGTH_DIGITS: Final = 18
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

log = structlog.get_logger(__name__)


class RequestLog:
    """Gives each request an id, writes one line about it, and answers what nobody caught.

    A client's own X-Request-ID is kept if it is well-formed; every answer carries the id.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        began, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.debug("client_left")
        except Exception:
            log.exception("request_failed")
            if status:
                raise
            answer = refusal(500, UNEXPECTED, request_id=request_id)
            await answer(scope, receive, send_with_id)
        finally:
            _write_line(scope, status or CLIENT_LEFT, time.perf_counter() - began)


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
    """Refuses a body that is longer than allowed, also one that doesn't tell its length."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; reading on past the limit raises 413."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced, received = _announced(scope), 0

        async def receive_limited() -> Message:
            nonlocal received
            if announced > self._max_body_bytes:
                raise self._too_large()
            message = await receive()
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


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("Content-Length", "")
    return int(length[:MAX_LENGTH_DIGITS]) if length.isdecimal() else 0

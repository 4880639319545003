"""What the sandbox serves: the stand-in's webhook, the page, and the messages as they come."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from sandbox.channel import Channel
from sandbox.discord import MAX_BODY_BYTES, Sent, StandIn
from sandbox.discord_rules import NOT_FOUND
from web.headers import SecurityHeaders

PAGE: Final = Path(__file__).with_name("page")
_FILES: Final[Mapping[str, str]] = {
    "/": "index.html",
    "/page.css": "page.css",
    "/page.js": "page.js",
}
# Nothing inline and nothing from elsewhere; the icon is an empty data: URL.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
# Other names could be a stranger's that resolve to this machine, and the page tells a key.
_HOSTS: Final = ["127.0.0.1", "localhost"]
_METHODS: Final = ["DELETE", "GET", "PATCH", "POST", "PUT"]


def create_app(stand_in: StandIn, channel: Channel, details: Mapping[str, str]) -> Starlette:
    """Return the application; `details` is what the page tells of how to make a task."""

    async def execute(request: Request) -> Response:
        reply = stand_in.answer(await _sent(request))
        body = b"" if reply.body is None else orjson.dumps(reply.body)
        media_type = None if reply.body is None else "application/json"
        return Response(body, reply.status, headers=reply.headers, media_type=media_type)

    async def events(request: Request) -> Response:
        last = request.headers.get("Last-Event-ID", "")
        after = int(last) if last.isdecimal() and len(last) <= 20 else 0
        return StreamingResponse(_events(channel, after), media_type="text/event-stream")

    async def show_details(request: Request) -> Response:
        return Response(orjson.dumps(details), media_type="application/json")

    app = Starlette(
        routes=[
            *(Route(path, _file) for path in _FILES),
            Route("/details", show_details),
            Route("/events", events),
            *(
                Route(f"/api{version}/webhooks/{{webhook_id}}/{{token}}", execute, methods=_METHODS)
                for version in ("", "/v9", "/v10")
            ),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=_HOSTS),
            Middleware(SecurityHeaders),
        ],
        exception_handlers={HTTPException: _refused},
    )
    app.router.redirect_slashes = False
    return app


async def _sent(request: Request) -> Sent:
    return Sent(
        method=request.method,
        webhook_id=request.path_params["webhook_id"],
        token=request.path_params["token"],
        query=request.query_params,
        content_type=request.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        body=await _body(request),
    )


async def _body(request: Request) -> bytes | None:
    """Return the body, or None if it is longer than MAX_BODY_BYTES."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


async def _events(channel: Channel, after: int) -> AsyncIterator[bytes]:
    """Yield Server-Sent Events. Source: HTML, section 9.2."""
    yield b": connected\n\n"
    async for message in channel.watch(after):
        yield b"id: %d\ndata: %b\n\n" % (message.id, orjson.dumps(message.shown))


async def _file(request: Request) -> Response:
    return FileResponse(PAGE / _FILES[request.url.path], headers=_HEADERS)


async def _refused(request: Request, error: Exception) -> Response:
    """Answer what there is not, as Discord does."""
    status = error.status_code if isinstance(error, HTTPException) else NOT_FOUND.status
    body = NOT_FOUND.body() | {"message": f"{status}: {getattr(error, 'detail', '')}"}
    return Response(orjson.dumps(body), status, media_type="application/json")

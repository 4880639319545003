"""What browsers are told about every answer: to trust as little as possible."""

from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Origin-Agent-Cluster": "?1",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-DNS-Prefetch-Control": "off",
    "X-Download-Options": "noopen",
    "X-Frame-Options": "DENY",
    "X-Permitted-Cross-Domain-Policies": "none",
    "X-XSS-Protection": "0",
}
# For this host alone: what else lives in its domain is not ours to decide.
STRICT_TRANSPORT: Final = "max-age=31536000"
# Both as they are sent, with names in small letters.
_RAW: Final = tuple(Headers(HEADERS).raw)
_OVER_TLS: Final = (*_RAW, *Headers({"Strict-Transport-Security": STRICT_TRANSPORT}).raw)


class SecurityHeaders:
    """Adds to each answer those headers that it doesn't set itself. Source: helmet's defaults."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; only behind TLS are browsers told to stay with it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = message["headers"]
                there = {name for name, _ in own}
                added = _OVER_TLS if scope["scheme"] == "https" else _RAW
                message["headers"] = [*own, *(pair for pair in added if pair[0] not in there)]
            await send(message)

        await self._app(scope, receive, send_with_headers)

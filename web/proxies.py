"""Who asks behind a proxy: X-Forwarded-For and X-Forwarded-Proto, from TRUSTED_PROXIES alone."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from web.requests import IPAddress, parse_address

_SCHEMES: Final = {
    "http": {"http": "http", "https": "https"},
    "websocket": {"http": "ws", "https": "wss"},
}


class Proxies:
    """Puts the client and the scheme that trusted proxies tell in place of the proxy's own."""

    def __init__(self, app: ASGIApp, trusted: Sequence[IPv4Network | IPv6Network]) -> None:
        self._app = app
        self._trusted = tuple(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or websocket."""
        peer = scope.get("client")
        address = parse_address(peer[0]) if peer else None
        if scope["type"] in _SCHEMES and address is not None and self._trusts(address):
            headers = Headers(scope=scope)
            scope["client"] = (str(self._client(address, headers)), 0)
            said = ",".join(headers.getlist("X-Forwarded-Proto")).rpartition(",")[2]
            schemes = _SCHEMES[scope["type"]]
            scope["scheme"] = schemes.get(said.strip().lower(), scope["scheme"])
        await self._app(scope, receive, send)

    def _client(self, proxy: IPAddress, headers: Headers) -> IPAddress:
        """Return the last address that no trusted proxy has: who is before it may be made up.

        Each proxy writes down whom it was asked by, at the end. What is no address ends the list.
        """
        client = proxy
        entries = ",".join(headers.getlist("X-Forwarded-For")).split(",")
        for entry in reversed(entries):
            said = parse_address(_without_port(entry.strip()))
            if said is None:
                break
            client = said
            if not self._trusts(said):
                break
        return client

    def _trusts(self, address: IPAddress) -> bool:
        return any(address in network for network in self._trusted)


def _without_port(entry: str) -> str:
    """Return the address of `1.2.3.4:5` and `[2001:db8::1]:5`, which some proxies write."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    return entry.partition(":")[0] if entry.count(":") == 1 else entry

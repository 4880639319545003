"""How often one client may ask: RATE_LIMIT for requests, FAILED_KEY_LIMIT for refused keys."""

from collections.abc import Collection
from ipaddress import IPv6Address, ip_network
from typing import Final, Self

from limits import RateLimitItem, parse
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from settings import Settings
from web.answers import JSON_TYPE, refusal, unauthenticated
from web.hits import Hits, Quota
from web.requests import client_address, graphql_media_type, parse_address

IPV6_PREFIX_BITS: Final = 64
"""What one network is given: all its addresses are one client."""
IPV6_GUESSER_BITS: Final = 56
"""What one household or machine may be given: whoever guesses keys has 256 networks there.

Source: RIPE-690, section 4.2.
"""


class RateLimited(Exception):
    """The client has used up a limit; the message is fit for a user."""

    def __init__(self, quota: Quota, what: str) -> None:
        self.quota = quota
        super().__init__(f"There were too many {what}; try again in {quota.reset_seconds} s.")


class ClientLimits:
    """The limits of each client address; all clients without an address are one."""

    def __init__(self, hits: Hits, *, rate_limit: str, failed_key_limit: str) -> None:
        self._hits = hits
        self._requests = parse(rate_limit)
        self._refused_keys = parse(failed_key_limit)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of the settings, which have to be closed at the end."""
        url = settings.redis_url.get_secret_value() if settings.redis_url else None
        return cls(
            Hits(url), rate_limit=settings.rate_limit, failed_key_limit=settings.failed_key_limit
        )

    async def admit(self, client: str | None) -> Quota:
        """Count a request, a websocket or an operation of one. Raises: RateLimited."""
        return await self._count(self._requests, "requests", network_of(client))

    async def refuse_key(self, client: str | None) -> None:
        """Count a missing or wrong key; right ones are not counted. Raises: RateLimited."""
        network = network_of(client, IPV6_GUESSER_BITS)
        await self._count(self._refused_keys, "requests without a right API key", network)

    async def aclose(self) -> None:
        """Close what the counting has open."""
        await self._hits.aclose()

    async def _count(self, item: RateLimitItem, what: str, network: str) -> Quota:
        is_within, quota = await self._hits.hit(item, what.replace(" ", "-"), network)
        if not is_within:
            raise RateLimited(quota, what)
        return quota


class RateLimit:
    """Counts requests and websockets, and tells in each answer what the client has left.

    Those of the paths in `exempt` alone are not counted.
    """

    def __init__(self, app: ASGIApp, limits: ClientLimits, exempt: Collection[str] = ()) -> None:
        self._app = app
        self._limits = limits
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or websocket, or answer 429, before any key is looked at."""
        if scope["path"].removeprefix(scope.get("root_path", "")) in self._exempt:
            await self._app(scope, receive, send)
            return
        try:
            quota = await self._limits.admit(client_address(scope))
        except RateLimited as error:
            media_type = graphql_media_type(Headers(scope=scope).get("Accept"))
            await rate_limited(error, media_type)(scope, receive, send)
            return

        async def send_with_quota(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in quota.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_quota)


async def refused_key(
    limits: ClientLimits, request: Request, media_type: str = JSON_TYPE
) -> Response:
    """Return the answer to a missing or wrong key: 401, or 429 to a client with too many."""
    try:
        await limits.refuse_key(client_address(request.scope))
    except RateLimited as error:
        return rate_limited(error, media_type)
    return unauthenticated(media_type)


def rate_limited(error: RateLimited, media_type: str = JSON_TYPE) -> Response:
    """Return the answer to a client that has used up a limit."""
    quota = error.quota
    headers = {"Retry-After": str(quota.reset_seconds), **quota.headers}
    return refusal(429, str(error), media_type=media_type, headers=headers)


def network_of(client: str | None, ipv6_bits: int = IPV6_PREFIX_BITS) -> str:
    """Return what stands for a client: its address, or the network of one of IPv6."""
    address = parse_address(client) if client else None
    if isinstance(address, IPv6Address):
        return str(ip_network((int(address), ipv6_bits), strict=False))
    return str(address)

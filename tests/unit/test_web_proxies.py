"""Only trusted proxies say who asks, and only what they saw themselves is believed."""

from ipaddress import ip_network

import pytest
from starlette.types import Receive, Scope, Send

from web.proxies import Proxies

TRUSTED = tuple(ip_network(text) for text in ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8"))
PROXY, STRANGER = "10.0.0.1", "203.0.113.9"


async def nothing() -> dict[str, object]:
    return {}


async def unsent(message: object) -> None:
    raise AssertionError(message)


async def seen(
    peer: tuple[str, int] | None, *headers: tuple[str, str], kind: str = "http"
) -> tuple[str | None, str]:
    """Return the client's address and the scheme that the application is told."""
    told: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told.append(scope)

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scheme = {"http": "http", "websocket": "ws"}[kind]
    scope = {"type": kind, "client": peer, "scheme": scheme, "headers": raw}
    await Proxies(app, TRUSTED)(scope, nothing, unsent)
    client = told[0]["client"]
    return client and client[0], told[0]["scheme"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        (PROXY, ["198.51.100.7"], "198.51.100.7"),
        (PROXY, ["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
        (PROXY, ["6.6.6.6, 198.51.100.7, 10.2.3.4"], "198.51.100.7"),
        (PROXY, ["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
        (PROXY, ["198.51.100.7:4711"], "198.51.100.7"),
        (PROXY, ["[2001:db8::7]:4711"], "2001:db8::7"),
        (PROXY, ["2001:DB8:0::7"], "2001:db8::7"),
        (PROXY, ["::ffff:198.51.100.7"], "198.51.100.7"),
        (PROXY, ["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["198.51.100.7"], "198.51.100.7"),
    ],
)
async def test_client_is_the_last_address_that_no_proxy_has(
    peer: str, forwarded: list[str], client: str
) -> None:
    headers = [("X-Forwarded-For", text) for text in forwarded]

    assert (await seen((peer, 5), *headers))[0] == client


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("garbage", PROXY),
        ("", PROXY),
        ("198.51.100.7, ", PROXY),
        ("198.51.100.7, unknown", PROXY),
        ("198.51.100.7, <script>", PROXY),
        ("198.51.100.7, unknown, 10.2.3.4", "10.2.3.4"),
        ("198.51.100.7, 10.2.3.4.5", PROXY),
        ("198.51.100.7:80:80", PROXY),
        ("\xe4\xb8\x80", PROXY),
    ],
)
async def test_garbage_ends_what_is_believed(forwarded: str, client: str) -> None:
    assert (await seen((PROXY, 5), ("X-Forwarded-For", forwarded)))[0] == client


@pytest.mark.parametrize("peer", [(STRANGER, 5), ("garbage", 5), ("", 0), None])
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_nobody_else_is_believed(peer: tuple[str, int] | None, kind: str) -> None:
    told = await seen(
        peer, ("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-Proto", "https"), kind=kind
    )

    assert told == (peer and peer[0], {"http": "http", "websocket": "ws"}[kind])


@pytest.mark.parametrize(
    ("kind", "said", "scheme"),
    [
        ("http", "https", "https"),
        ("http", " HTTPS ", "https"),
        ("http", "http", "http"),
        ("http", "http, https", "https"),
        ("http", "https, http", "http"),
        ("http", "gopher", "http"),
        ("http", "", "http"),
        ("websocket", "https", "wss"),
        ("websocket", "http", "ws"),
    ],
)
async def test_scheme_is_what_the_nearest_proxy_says(kind: str, said: str, scheme: str) -> None:
    told = await seen((PROXY, 5), ("X-Forwarded-Proto", said), kind=kind)

    assert told == (PROXY, scheme)

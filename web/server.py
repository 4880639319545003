"""uvicorn as this service runs it, for requests and for websockets."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from web.connections import BoundedHttp, BoundedSocket

# Connections are let go this long after the last answer.
GOODBYE_SECONDS: Final = 3
# Longer than proxies keep idle connections (Traefik 90 s, nginx 60 s), so that none sends a request
# on one that is just being closed. When there are too many, BoundedHttp closes some sooner.
KEEP_ALIVE_SECONDS: Final = 95
# A websocket's client is asked so often whether it is there, and has as long to answer.
PING_SECONDS: Final = 20.0


def http_server(
    app: ASGIApp,
    *,
    root_path: str = "",
    max_message_bytes: int,
    ping_seconds: float = PING_SECONDS,
    http: type[BoundedHttp] = BoundedHttp,
    ws: type[BoundedSocket] = BoundedSocket,
) -> uvicorn.Server:
    """Return a server whose websockets take messages of that length at most.

    It leaves proxies' headers and signals to others.
    """
    config = uvicorn.Config(
        app,
        root_path=root_path,
        http=http,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
        ws=ws,
        ws_max_size=max_message_bytes,
        ws_ping_interval=ping_seconds,
        ws_ping_timeout=ping_seconds,
        ws_per_message_deflate=False,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: a second signal would cut the drain."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the program."""
        yield

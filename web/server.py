"""uvicorn as this service runs it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from web.connections import BoundedHttp

# Kept-alive connections are let go this long after the last answer.
GOODBYE_SECONDS: Final = 3


def http_server(
    app: ASGIApp, root_path: str = "", *, http: type[BoundedHttp] = BoundedHttp
) -> uvicorn.Server:
    """Return the server, which leaves proxies' headers and signals to others."""
    config = uvicorn.Config(
        app,
        root_path=root_path,
        http=http,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GOODBYE_SECONDS,
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: a second signal would cut the drain."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `main`."""
        yield

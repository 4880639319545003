"""Which PostgreSQL server to use: the configured one, or an embedded one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from models.embedded import EmbeddedPostgres

log = structlog.get_logger(__name__)


@asynccontextmanager
async def database_server(
    configured_url: str | None, data_dir: Path
) -> AsyncIterator[tuple[str, Callable[[], Awaitable[None]] | None]]:
    """Yield the database's URL and, for the embedded server, what starts it again if it died."""
    if configured_url is not None:
        yield configured_url, None
        return
    embedded = EmbeddedPostgres(data_dir)

    async def revive() -> None:
        if await asyncio.to_thread(embedded.ensure_running):
            log.warning("embedded_database_restarted")

    starting = asyncio.ensure_future(asyncio.to_thread(embedded.start))
    try:
        yield await asyncio.shield(starting), revive
    finally:
        # Its thread can't be cancelled, and what it has begun is stopped once it is complete.
        await asyncio.wait((starting,))
        await asyncio.to_thread(embedded.stop)

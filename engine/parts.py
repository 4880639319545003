"""The engine's parts, such as its loops, are kept running."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

RESTART_SECONDS = 1.0

log = structlog.get_logger(__name__)


async def keep_running(name: str, run: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run a part until it ends or is cancelled; an error that nobody expected starts it again."""
    while True:
        try:
            return await run()
        except Exception:
            log.exception("part_failed", part=name)
            await asyncio.sleep(RESTART_SECONDS)

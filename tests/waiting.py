"""Wait for what must become true, instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

from models.database import Database


async def wait_until(
    condition: Callable[[], bool | Awaitable[bool]], *, what: str, timeout_seconds: float = 10.0
) -> None:
    """Return when the condition holds; fail, saying what was awaited, when it takes too long."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        is_last = time.monotonic() >= deadline
        held = condition()
        if inspect.isawaitable(held):
            held = await held
        if held:
            return
        if is_last:
            raise AssertionError(f"after {timeout_seconds:g} s there was still no {what}")
        await asyncio.sleep(0.01)


async def wait_until_blocked(database: Database) -> None:
    """Return when some statement waits for another's lock."""

    async def is_blocked() -> bool:
        async with database.connection() as connection:
            found: bool = await connection.fetchval(
                "select exists (select from pg_stat_activity where wait_event_type = 'Lock' "
                "and datname = current_database())"
            )
        return found

    await wait_until(is_blocked, what="statement that waits for a lock")

"""Wait for what must become true, instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


async def wait_until(
    condition: Callable[[], bool | Awaitable[bool]], *, what: str, timeout_seconds: float = 10.0
) -> None:
    """Return when the condition holds; fail, saying what was awaited, when it takes too long."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        held = condition()
        if inspect.isawaitable(held):
            held = await held
        if held:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"after {timeout_seconds:g} s there was still no {what}")

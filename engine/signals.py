"""SIGINT and SIGTERM end a program cleanly, whatever it is about."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


async def until_signalled(run: Coroutine[Any, Any, int]) -> int:
    """Return what `run` returns; a signal cancels it, and it is 128 and the signal's number then.

    Further signals change nothing. `run` may handle them itself from some time on.
    """
    task = asyncio.ensure_future(run)
    received: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not received:
            task.cancel()
        received.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        return await task
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]

"""Long work in slices of time, between which the event loop does what else is due."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

SLICE_SECONDS: Final = 0.001
"""A request waits for a dozen answers of the database, and each time for a slice at most."""


class Slices:
    """Tells work that never waits when to give way; one for each work that is under way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at = float("-inf")

    async def give_way(self) -> None:
        """Return at once, or, when the slice is over, after a turn of the loop."""
        if self._clock() >= self._ends_at:
            await asyncio.sleep(0)
            self._ends_at = self._clock() + SLICE_SECONDS

"""The database's clock, told without asking the database, and one that no sleep stops."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

# On Linux the monotonic clock stands still while the machine is suspended; elsewhere it goes on.
_SLEEPLESS: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def sleepless() -> float:
    """Return seconds that pass while this machine is suspended, too."""
    return time.clock_gettime(_SLEEPLESS)


class DatabaseClock:
    """The database's time: its last reading, carried on by this machine's monotonic clock.

    The wall clock of this machine plays no part, so its steps and its errors change nothing.
    Each heartbeat gives a reading; until the first one, `time` fails.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._offset: float | None = None

    def observe(self, database_time: datetime, *, asked_at: float, answered_at: float) -> float:
        """Take a reading of the database's clock and return by how many seconds ours stepped.

        `asked_at` and `answered_at` are monotonic. The database read its clock in between, so the
        true offset lies between two bounds. Only when ours lies outside does it change, and then
        to the lower bound: told early, a tick would be refused; told late, it is late by less
        than the round trip.
        """
        reading = database_time.timestamp()
        lowest, highest = reading - answered_at, reading - asked_at
        before = self._offset
        if before is None:
            self._offset = lowest
            return 0.0
        if not lowest <= before <= highest:
            self._offset = lowest
            return lowest - before
        return 0.0

    def time(self) -> float:
        """Return the database's time in seconds since 1970."""
        if self._offset is None:
            raise RuntimeError("the database's clock was not read yet")
        return self._monotonic() + self._offset

    def now(self) -> datetime:
        """Return the database's time, in UTC."""
        return datetime.fromtimestamp(self.time(), UTC)

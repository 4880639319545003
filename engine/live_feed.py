"""The feed as it grows: read once by this process, for all who are listening."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self
from uuid import UUID

import asyncpg
import structlog

from engine.feed_reader import FeedPage, FeedReader
from models.errors import DatabaseUnavailable

POLL_SECONDS: Final = 2.0
# Reads follow one another no faster.
COALESCE_SECONDS: Final = 0.02
PAGE: Final = 500
# What a listener may leave unread; more, and it is cut off.
BUFFER: Final = 1_000
# How long those who are behind may hold up the next page of a backlog.
ROOM_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class ListenerTooSlow(Exception):
    """The listener left too much unread; `position` is where it can go on by reading the feed."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(f"too much was left unread after {position}")


class Listener:
    """One who listens, to all tasks or one; iterating yields the attempts as they finish."""

    def __init__(self, position: int, task_id: UUID | None) -> None:
        self.position = position
        self.is_cut = False
        self.has_room = asyncio.Event()
        self.has_room.set()
        self._told = position
        self._task_id = task_id
        self._arrived = asyncio.Event()
        self._unread: deque[Mapping[str, Any]] = deque()

    def hear(self, page: FeedPage) -> None:
        """Take what is new in the page; with more unread than may be, take no more ever."""
        for row in page.entries:
            if row["feed_id"] <= self.position or self._task_id not in {None, row["task_id"]}:
                continue
            if len(self._unread) >= BUFFER:
                self.is_cut = True
                break
            self._unread.append(row)
        self.position = max(self.position, page.position)
        self._note_room()
        self._arrived.set()

    def leave(self) -> None:
        """Hold up nobody any more."""
        self.has_room.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Mapping[str, Any]:
        """Return the next row of task_logs; raises ListenerTooSlow after the last that was kept."""
        while not self._unread:
            if self.is_cut:
                raise ListenerTooSlow(self._told)
            self._arrived.clear()
            await self._arrived.wait()
        row = self._unread.popleft()
        self._told = row["feed_id"]
        self._note_room()
        return row

    def _note_room(self) -> None:
        if len(self._unread) + PAGE <= BUFFER or self.is_cut:
            self.has_room.set()
        else:
            self.has_room.clear()


class LiveFeed:
    """Reads new entries when it is woken, and every 2 s anyway, as long as anybody listens."""

    def __init__(self, reader: FeedReader) -> None:
        self._reader = reader
        self._listeners: set[Listener] = set()
        self._awake = asyncio.Event()

    @property
    def listener_count(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def wake(self) -> None:
        """Look for new entries now."""
        self._awake.set()

    @asynccontextmanager
    async def listen(self, task_id: UUID | None = None) -> AsyncIterator[Listener]:
        """Listen from the feed's present end on, to one task or all.

        Raises:
            DatabaseUnavailable: the server is gone.
        """
        listener = Listener(await self._reader.end(), task_id)
        self._listeners.add(listener)
        self.wake()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            listener.leave()

    async def run(self) -> None:
        """Read until cancelled. While the database is away the listeners' positions stay."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._awake.wait()
            await asyncio.sleep(COALESCE_SECONDS)
            self._awake.clear()
            try:
                await self._read_on()
            except (DatabaseUnavailable, asyncpg.PostgresError) as error:
                log.warning("feed_not_read", reason=type(error).__name__)

    async def _read_on(self) -> None:
        while self._listeners:
            after = min(listener.position for listener in self._listeners)
            page = await self._reader.page(after, PAGE)
            for listener in tuple(self._listeners):
                listener.hear(page)
                if listener.is_cut:
                    self._listeners.discard(listener)
            if not page.has_more:
                return
            await self._make_room()

    async def _make_room(self) -> None:
        """Let a burst not cut off those who read: wait for them, but not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ROOM_SECONDS):
                for listener in tuple(self._listeners):
                    await listener.has_room.wait()

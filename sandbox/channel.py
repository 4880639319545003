"""The messages that came, and those who watch them come."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sandbox.shown import Json

MAX_MESSAGES = 200
"""How many of them are kept, in memory only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message; ids grow."""

    id: int
    shown: Json


class Channel:
    """Where messages are posted to; those who watch see each of them once, in order."""

    def __init__(self) -> None:
        self._messages: deque[Message] = deque(maxlen=MAX_MESSAGES)
        self._changed = asyncio.Event()
        self._is_closed = False

    def post(self, message: Message) -> None:
        """Keep a message, and show it to all who watch."""
        self._messages.append(message)
        self._wake()

    def close(self) -> None:
        """End every `watch`."""
        self._is_closed = True
        self._wake()

    async def watch(self, after: int) -> AsyncIterator[Message]:
        """Yield the kept messages with ids above `after`, and then each that comes."""
        while not self._is_closed:
            changed = self._changed
            for message in [one for one in self._messages if one.id > after]:
                yield message
                after = message.id
            await changed.wait()

    def _wake(self) -> None:
        """Whoever waits has the old event; who comes later waits for the new one."""
        self._changed.set()
        self._changed = asyncio.Event()

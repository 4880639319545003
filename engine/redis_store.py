"""Redis as the place of what all copies remember, asked with little patience."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias
from uuid import uuid4

import structlog
from cashews import Cache
from cashews.exceptions import CacheBackendInteractionError
from cashews.picklers import PicklerType
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

TIMEOUT_SECONDS = 0.1
# While it is away it is tried this often, by one who asks; the others do without it.
RETRY_SECONDS = 1.0
# Who computes for all copies holds a lock for at most this long.
LOCK_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 0.02
# An answer takes less than a millisecond, so few are enough; each costs some round trips at first.
MAX_CONNECTIONS = 10
SHORTEST_SECONDS = 0.001

Produce: TypeAlias = Callable[[], Awaitable[tuple[bytes, float]]]
"""Computes what is to be kept, and says for how many seconds."""

log = structlog.get_logger(__name__)


class RedisAway(Exception):
    """Redis gave no answer in time."""


class RedisStore:
    """Keeps bytes for all copies of one service; `namespace` tells services apart.

    Only bytes are read back, so that nobody who writes to Redis can run code here. Every method
    raises RedisAway when there is no answer.
    """

    def __init__(
        self, url: str, *, namespace: str, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._namespace = namespace
        self._monotonic = monotonic
        self._cache = Cache()
        self._cache.setup(
            url,
            suppress=False,
            pickle_type=PicklerType.NULL,
            check_repr=False,
            client_side=False,
            max_connections=MAX_CONNECTIONS,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            wait_for_connection_timeout=TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._is_away = False
        self._is_closed = False
        self._retry_at = 0.0
        self._begun_for = -1

    def may_ask(self) -> bool:
        """Return whether to ask now; while it is away, True once in RETRY_SECONDS."""
        if self._is_closed:
            return False
        if not self._is_away:
            return True
        if self._monotonic() < self._retry_at:
            return False
        self._retry_at = self._monotonic() + RETRY_SECONDS
        return True

    async def generation(self, number: int) -> str:
        """Return the name of the generation that all copies are in.

        If this copy's `number` has risen since it last began one, or Redis was away meanwhile, a
        new one begins first. Names are never used twice, so that a Redis that forgot the present
        one can't come back to an earlier one.
        """
        key = f"{self._namespace}:generation"
        async with self._asking():
            if self._begun_for < number:
                await self._cache.set(key, uuid4().bytes)
                self._begun_for = max(self._begun_for, number)
            found = await self._cache.get(key)
            if found is None:
                await self._cache.set(key, uuid4().bytes, exist=False)
                found = await self._cache.get(key)
        if not isinstance(found, bytes):
            raise RedisAway(f"{key} is not what was stored")
        return found.hex()

    async def read(self, key: str, produce: Produce) -> bytes:
        """Return what is kept, or produce it, in one copy at a time."""
        place = f"{self._namespace}:{key}"
        async with self._asking():
            kept = await self._cache.get(place)
            if isinstance(kept, bytes):
                return kept
            lock = self._cache.lock(
                f"{place}:lock", expire=LOCK_SECONDS, check_interval=LOOK_AGAIN_SECONDS
            )
            async with lock:
                kept = await self._cache.get(place)
                if isinstance(kept, bytes):
                    return kept
                made, seconds = await produce()
                await self._cache.set(place, made, expire=max(seconds, SHORTEST_SECONDS))
        return made

    async def answers(self) -> bool:
        """Return whether it answers; without asking if it was away a moment ago."""
        if not self.may_ask():
            return False
        try:
            async with self._asking():
                await self._cache.ping()
        except RedisAway:
            return False
        return True

    async def close(self) -> None:
        """Close the connections; nobody asks any more."""
        self._is_closed = True
        await self._cache.close()

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        try:
            yield
        except CacheBackendInteractionError as error:
            self._lost(error.__cause__ or error)
            raise RedisAway from error
        if self._is_away:
            self._is_away = False
            log.info("redis_back")

    def _lost(self, error: BaseException) -> None:
        # What was changed meanwhile may not have reached it.
        self._begun_for = -1
        self._retry_at = self._monotonic() + RETRY_SECONDS
        if not self._is_away:
            self._is_away = True
            log.warning("redis_lost", reason=type(error).__name__)

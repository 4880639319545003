"""Counting what clients do: on Redis for all copies together, or by this process alone."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from limits import RateLimitItem
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import StorageError
from redis.asyncio import BlockingConnectionPool

# A Redis that takes longer would slow down every request.
ANSWER_SECONDS: Final = 0.5
RETRY_SECONDS: Final = 2.0
CONNECTIONS: Final = 10
KEY_PREFIX: Final = "discord-task-scheduler"

# Source: draft-ietf-httpapi-ratelimit-headers-06, which more clients know than the later drafts.
RATE_LIMIT_HEADERS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a client has left of a limit, and in how many seconds it has more."""

    limit: int
    remaining: int
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """The headers that tell it."""
        figures = (self.limit, self.remaining, self.reset_seconds)
        return {name: str(figure) for name, figure in zip(RATE_LIMIT_HEADERS, figures, strict=True)}


class Hits:
    """Counts hits in sliding windows; while Redis is lost, in memory, until it is back."""

    def __init__(
        self, redis_url: str | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._pool = _pool(redis_url) if redis_url else None
        self._shared = _on_redis(self._pool) if self._pool else None
        self._is_lost = False
        self._retry_at = -math.inf

    async def hit(self, item: RateLimitItem, *names: str) -> tuple[bool, Quota]:
        """Count a hit; return whether it is within the limit, and what is left."""
        if self._shared is not None and self._clock() >= self._retry_at:
            if self._is_lost:
                # One hit finds out whether it is back; the others don't wait for that.
                self._retry_at = self._clock() + RETRY_SECONDS
            try:
                counted = await _counted(self._shared, item, names)
            except StorageError as error:
                self._lost(error)
            else:
                self._found()
                return counted
        return await _counted(self._own, item, names)

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        if self._pool is not None:
            await self._pool.disconnect()

    def _lost(self, error: StorageError) -> None:
        self._retry_at = self._clock() + RETRY_SECONDS
        if not self._is_lost:
            self._is_lost = True
            log.warning("rate_limits_lost_redis", reason=type(error.__cause__).__name__)

    def _found(self) -> None:
        if self._is_lost:
            self._is_lost = False
            self._retry_at = -math.inf
            log.info("rate_limits_found_redis")


async def _counted(
    limiter: SlidingWindowCounterRateLimiter, item: RateLimitItem, names: tuple[str, ...]
) -> tuple[bool, Quota]:
    is_within = await limiter.hit(item, *names)
    left = await limiter.get_window_stats(item, *names)
    seconds = left.reset_time - time.time()
    if seconds <= 0:
        # In the moment in which a window begins, the library takes it for over.
        seconds = item.get_expiry()
    return is_within, Quota(
        limit=item.amount, remaining=left.remaining, reset_seconds=math.ceil(seconds)
    )


def _pool(url: str) -> BlockingConnectionPool:
    return BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=ANSWER_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
    )


def _on_redis(pool: BlockingConnectionPool) -> SlidingWindowCounterRateLimiter:
    # Where Redis is, the pool knows; the storage's types don't know pools, its documentation does.
    options: dict[str, Any] = {"connection_pool": pool}
    storage = RedisStorage(
        "redis://",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix=KEY_PREFIX,
        **options,
    )
    return SlidingWindowCounterRateLimiter(storage)

"""What is read often is remembered: by this process, or with Redis by all copies."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import cashews
import orjson
from pydantic import SecretStr

from engine.health import PartHealth
from engine.metrics import CACHE_READS
from engine.redis_store import SHORTEST_SECONDS, Produce, RedisAway, RedisStore
from models.database import Database

# A page of a list is some 100 kB at most, so all of them are some MB.
MAX_REMEMBERED = 64
CLOSE_SECONDS = 1.0

T = TypeVar("T")


class Cache:
    """Remembers values as JSON, each computed once however many ask for it at once.

    What depends on tasks is kept under the name of a generation, and each change of a task begins a
    new one. A reading that began before the change thus fills the old generation only, which
    nobody asks for any more. While this copy can't hear of changes, it remembers nothing.
    """

    def __init__(self, redis: RedisStore | None = None) -> None:
        self._redis = redis
        self._memory = cashews.Cache()
        # Without an interval there is no task that looks for what has expired; few are kept.
        self._memory.setup("mem://", size=MAX_REMEMBERED, check_interval=0, check_repr=False)
        self._generation = 0
        self._hears = False
        self._computing: dict[str, asyncio.Task[bytes]] = {}

    async def open(self) -> None:
        """Look whether Redis is there; if not, it is tried again later."""
        if self._redis is not None:
            with suppress(RedisAway):
                await self._redis.generation(self._generation)

    async def close(self) -> None:
        """Let those who wait have their values, forget everything, and close the connections."""
        self.listens(False)
        computing = list(self._computing.values())
        if computing:
            await asyncio.wait(computing, timeout=CLOSE_SECONDS)
        for task in computing:
            task.cancel()
        await asyncio.gather(*computing, return_exceptions=True)
        await self._memory.close()
        if self._redis is not None:
            await self._redis.close()

    def listens(self, hears: bool) -> None:
        """Say whether this copy hears of changes; what it didn't hear of has happened too."""
        self._hears = hears
        self.drop()

    def drop(self) -> None:
        """Forget, at once, what depends on tasks."""
        self._generation += 1

    async def drop_everywhere(self) -> None:
        """Return once no copy that reaches Redis gives old values any more."""
        self.drop()
        if self._redis is not None and self._redis.may_ask():
            with suppress(RedisAway):
                await self._redis.generation(self._generation)

    async def read(
        self,
        name: str,
        compute: Callable[[], Awaitable[T]],
        *,
        restore: Callable[[Any], T],
        seconds: Callable[[T], float],
        until_change: bool = True,
    ) -> T:
        """Return what `compute` gave at most `seconds` ago, and since the last change of a task.

        `restore` makes the value of its JSON. Without `until_change` it outlives changes.
        """
        if not self._hears:
            return await compute()

        outcome = "remembered"

        async def produce() -> tuple[bytes, float]:
            nonlocal outcome
            outcome = "computed"
            value = await compute()
            return orjson.dumps(value, default=str), seconds(value)

        kept = await self._kept(name, produce, until_change=until_change)
        CACHE_READS.labels(outcome).inc()
        return restore(orjson.loads(kept))

    async def health(self) -> PartHealth:
        """Return how Redis is: without it everything works, from this process' memory."""
        if self._redis is None:
            return PartHealth(state="off", detail="REDIS_URL is not set; the cache is in memory")
        if await self._redis.answers():
            return PartHealth(state="ok", detail="connected")
        return PartHealth(state="degraded", detail="gives no answer; the cache is in memory")

    async def _kept(self, name: str, produce: Produce, *, until_change: bool) -> bytes:
        if self._redis is not None and self._redis.may_ask():
            with suppress(RedisAway):
                shared = await self._redis.generation(self._generation)
                key = f"{name}:{shared}" if until_change else name
                return await self._once(key, partial(self._redis.read, key, produce))
        key = f"{name}:{self._generation}" if until_change else name
        return await self._once(f"memory:{key}", partial(self._from_memory, key, produce))

    async def _from_memory(self, key: str, produce: Produce) -> bytes:
        kept = await self._memory.get(key)
        if isinstance(kept, bytes):
            return kept
        made, seconds = await produce()
        await self._memory.set(key, made, expire=max(seconds, SHORTEST_SECONDS))
        return made

    async def _once(self, key: str, work: Callable[[], Coroutine[None, None, bytes]]) -> bytes:
        """Do the work, or wait for who does it already; a client that leaves stops nobody else."""
        task = self._computing.get(key)
        if task is None:
            # A clean context: it is nobody's request, and in nobody's transaction.
            task = asyncio.create_task(work(), context=contextvars.Context())
            self._computing[key] = task
            task.add_done_callback(partial(self._done, key))
        return await asyncio.shield(task)

    def _done(self, key: str, task: asyncio.Task[bytes]) -> None:
        del self._computing[key]
        if not task.cancelled():
            task.exception()  # those who waited have it, unless all have left


async def cache_of(database: Database, redis_url: SecretStr | None) -> Cache:
    """Return the cache of a service: in Redis if there is one, apart from other databases'.

    Raises:
        DatabaseUnavailable: the server can't be reached.
    """
    if redis_url is None:
        return Cache()
    namespace = f"discord-task-scheduler:{await database.identity()}"
    return Cache(RedisStore(redis_url.get_secret_value(), namespace=namespace))

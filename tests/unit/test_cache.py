"""The cache alone, in memory: what it remembers, for how long, and for whom it computes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from engine.cache import Cache
from tests.waiting import wait_until


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    cache = Cache()
    cache.listens(True)
    yield cache
    await cache.close()


class Counter:
    """Computes 1, 2, 3 and so on; each as soon as it may."""

    def __init__(self) -> None:
        self.count = 0
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def compute(self) -> int:
        self.count += 1
        value = self.count
        await self.may_end.wait()
        return value


async def read(
    cache: Cache,
    compute: Callable[[], Awaitable[int]],
    *,
    seconds: float = 60,
    until_change: bool = True,
) -> int:
    return await cache.read(
        "number", compute, restore=int, seconds=lambda _: seconds, until_change=until_change
    )


async def test_value_is_computed_once_and_remembered(cache: Cache) -> None:
    counter = Counter()

    assert [await read(cache, counter.compute) for _ in range(3)] == [1, 1, 1]


async def test_many_who_ask_at_once_share_one_computation(cache: Cache) -> None:
    counter = Counter()

    values = await asyncio.gather(*(read(cache, counter.compute) for _ in range(50)))

    assert values == [1] * 50
    assert counter.count == 1


async def test_change_drops_what_depends_on_tasks_only(cache: Cache) -> None:
    tasks, runs = Counter(), Counter()
    await read(cache, tasks.compute)
    await cache.read("runs", runs.compute, restore=int, seconds=lambda _: 60, until_change=False)

    cache.drop()

    assert await read(cache, tasks.compute) == 2
    again = await cache.read(
        "runs", runs.compute, restore=int, seconds=lambda _: 60, until_change=False
    )
    assert again == 1


async def test_reading_that_began_before_a_change_fills_nothing(cache: Cache) -> None:
    counter = Counter()
    counter.may_end.clear()
    old = asyncio.create_task(read(cache, counter.compute))
    await wait_until(lambda: counter.count == 1, what="reading under way")

    cache.drop()
    new = asyncio.create_task(read(cache, counter.compute))
    await wait_until(lambda: counter.count == 2, what="reading of its own for who asks later")
    counter.may_end.set()

    assert (await old, await new) == (1, 2)
    assert await read(cache, counter.compute) == 2


async def test_value_expires(cache: Cache) -> None:
    counter = Counter()
    await read(cache, counter.compute, seconds=0.05)

    async def is_new() -> bool:
        return await read(cache, counter.compute, seconds=60) == 2

    await wait_until(is_new, what="new value")


async def test_who_leaves_takes_nothing_from_those_who_wait(cache: Cache) -> None:
    counter = Counter()
    counter.may_end.clear()
    first = asyncio.create_task(read(cache, counter.compute))
    second = asyncio.create_task(read(cache, counter.compute))
    await wait_until(lambda: counter.count == 1, what="reading under way")

    first.cancel()
    await asyncio.wait({first})
    counter.may_end.set()

    assert first.cancelled()
    assert (await second, counter.count) == (1, 1)


async def test_failure_reaches_all_who_wait_and_is_not_remembered(cache: Cache) -> None:
    async def fail() -> int:
        raise OSError("no database")

    failed = await asyncio.gather(*(read(cache, fail) for _ in range(3)), return_exceptions=True)

    assert [type(one) for one in failed] == [OSError] * 3
    assert await read(cache, Counter().compute) == 1


async def test_copy_that_hears_of_no_changes_remembers_nothing(cache: Cache) -> None:
    counter = Counter()
    await read(cache, counter.compute)

    cache.listens(False)
    deaf = [await read(cache, counter.compute) for _ in range(2)]
    cache.listens(True)

    assert deaf == [2, 3]
    assert await read(cache, counter.compute) == 4


async def test_without_redis_health_says_that_it_is_off(cache: Cache) -> None:
    assert (await cache.health()).state == "off"

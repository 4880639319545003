"""The cache of all copies in a real Redis, that goes away and comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from structlog.testing import capture_logs

from engine.cache import Cache
from engine.cipher import WebhookCipher
from engine.redis_store import RedisStore
from models.database import Database
from tests.acceptance.running import API_KEY, running
from tests.conftest import StartEngine
from tests.databases import of_database
from tests.e2e.redis_server import RedisServer, redis_server
from tests.fake_discord import FakeDiscord
from tests.serving import Api, make_app, serving
from tests.waiting import wait_until

LIST = "{ tasks(status: ACTIVE) { data { name } meta { total } } dashboardStats { active } }"
CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
NOBODY: dict[str, str] = {}
# A little more than what one request may wait for a Redis that says nothing.
PATIENCE_SECONDS = 0.6

MakeCache = Callable[..., Cache]


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@pytest.fixture
async def make_cache(redis: RedisServer) -> AsyncIterator[MakeCache]:
    """Make caches that hear of changes by `drop` alone, as copies do by their notices."""
    caches: list[Cache] = []

    def make(namespace: str = "service") -> Cache:
        caches.append(cache := Cache(RedisStore(redis.url, namespace=namespace)))
        cache.listens(True)
        return cache

    yield make
    for cache in caches:
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


async def read(cache: Cache, compute: Callable[[], Awaitable[int]]) -> int:
    return await cache.read("number", compute, restore=int, seconds=lambda _: 60.0)


async def is_degraded(cache: Cache) -> bool:
    return (await cache.health()).state == "degraded"


async def is_ok(cache: Cache) -> bool:
    return (await cache.health()).state == "ok"


async def test_copies_share_one_computation(make_cache: MakeCache) -> None:
    one, other, counter = make_cache(), make_cache(), Counter()
    await one.open()
    await other.open()
    counter.may_end.clear()

    reading = [asyncio.create_task(read(cache, counter.compute)) for cache in [one, other] * 25]
    await wait_until(lambda: counter.count > 0, what="reading under way")
    counter.may_end.set()

    assert set(await asyncio.gather(*reading)) == {1}
    assert await read(other, counter.compute) == 1
    assert counter.count == 1


async def test_change_in_one_copy_is_known_to_all_before_its_answer(make_cache: MakeCache) -> None:
    one, other, counter = make_cache(), make_cache(), Counter()
    for cache in (one, other, one, other):
        await read(cache, counter.compute)
    before = await read(other, counter.compute)

    await one.drop_everywhere()

    assert await read(other, counter.compute) == before + 1


async def test_reading_that_began_before_a_change_elsewhere_fills_nothing(
    make_cache: MakeCache,
) -> None:
    one, other, counter = make_cache(), make_cache(), Counter()
    await one.open()
    await other.open()
    counter.may_end.clear()
    old = asyncio.create_task(read(other, counter.compute))
    await wait_until(lambda: counter.count == 1, what="reading under way")

    await one.drop_everywhere()
    new = asyncio.create_task(read(other, counter.compute))
    await wait_until(lambda: counter.count == 2, what="reading of its own for who asks later")
    counter.may_end.set()

    assert (await old, await new) == (1, 2)
    assert await read(one, counter.compute) == 2


async def test_services_that_share_a_redis_share_nothing_else(make_cache: MakeCache) -> None:
    counter = Counter()

    assert await read(make_cache("one"), counter.compute) == 1
    assert await read(make_cache("other"), counter.compute) == 2


async def test_databases_of_one_server_have_identities_of_their_own(
    database: Database, database_url: str
) -> None:
    mine = await database.identity()
    await database.close()
    other = await Database.connect(of_database(database_url, "postgres"))
    theirs = await other.identity()

    assert mine != theirs
    assert mine.split("-")[0] == theirs.split("-")[0]


async def test_what_others_put_into_redis_is_not_taken(
    make_cache: MakeCache, redis: RedisServer, tmp_path: Path
) -> None:
    cache, counter = make_cache(), Counter()
    await read(cache, counter.compute)
    # A pickle that runs a command when it is read.
    ran = tmp_path / "ran"
    pickled = f"cposix\nsystem\n(S'touch {ran}'\ntR.".encode()
    _, writer = await asyncio.open_connection("127.0.0.1", redis.port)
    script = (
        "for _, key in ipairs(redis.call('KEYS', 'service:number:*')) do "
        "redis.call('SET', key, ARGV[1]) end return 'done'"
    )
    parts = [b"EVAL", script.encode(), b"0", pickled]
    head = f"*{len(parts)}\r\n".encode()
    writer.write(head + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts))
    await writer.drain()

    async def is_computed_anew() -> bool:
        return await read(cache, counter.compute) == 2

    await wait_until(is_computed_anew, what="value of our own")
    writer.close()
    assert not ran.exists()


async def test_lost_redis_costs_no_time_and_no_change(
    make_cache: MakeCache, redis: RedisServer
) -> None:
    one, other, counter = make_cache(), make_cache(), Counter()
    await read(one, counter.compute)
    await read(other, counter.compute)

    with capture_logs() as logs:
        await redis.stop()
        began = time.perf_counter()
        alone = [await read(one, counter.compute) for _ in range(3)]
        seconds = time.perf_counter() - began
        await one.drop_everywhere()
        after = await read(one, counter.compute)

    assert len(set(alone)) == 1
    assert after == alone[0] + 1
    assert seconds < PATIENCE_SECONDS
    assert [entry["event"] for entry in logs] == ["redis_lost"]


async def test_redis_that_comes_back_gives_nothing_from_before(
    make_cache: MakeCache, redis: RedisServer
) -> None:
    cache, counter = make_cache(), Counter()
    await read(cache, counter.compute)
    redis.pause()
    await wait_until(lambda: is_degraded(cache), what="loss")
    # Redis still has the old value, and could not be told of this change.
    await cache.drop_everywhere()

    with capture_logs() as logs:
        redis.resume()
        await wait_until(lambda: is_ok(cache), what="return")

    assert await read(cache, counter.compute) == 2
    assert [entry["event"] for entry in logs] == ["redis_back"]


async def test_silent_redis_keeps_nobody_waiting(make_cache: MakeCache, redis: RedisServer) -> None:
    cache, counter = make_cache(), Counter()
    await read(cache, counter.compute)
    redis.pause()

    began = time.perf_counter()
    await asyncio.gather(*(read(cache, counter.compute) for _ in range(50)))
    seconds = time.perf_counter() - began
    redis.resume()

    assert seconds < PATIENCE_SECONDS


async def test_redis_that_goes_while_a_value_is_computed_harms_nobody(
    make_cache: MakeCache, redis: RedisServer
) -> None:
    cache, counter = make_cache(), Counter()
    await cache.open()
    counter.may_end.clear()
    reading = asyncio.create_task(read(cache, counter.compute))
    await wait_until(lambda: counter.count == 1, what="reading under way")

    await redis.stop()
    counter.may_end.set()

    assert await reading in {1, 2}


async def test_service_works_on_without_redis_and_says_so(
    database: Database,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
    make_cache: MakeCache,
    redis: RedisServer,
) -> None:
    engine = await start_engine(cache=make_cache())
    async with serving(
        make_app(database, cipher, origin=fake_discord.origin, engine=engine)
    ) as api:
        assert await health(api) == (200, "ok", "ok")
        await create(api, fake_discord, "before")

        await redis.stop()
        assert await active(api) == ["before"]
        await create(api, fake_discord, "while it is away")
        assert await active(api) == ["while it is away", "before"]
        assert await health(api) == (200, "degraded", "degraded")

        await redis.start()

        async def is_back() -> bool:
            return await health(api) == (200, "ok", "ok")

        await wait_until(is_back, what="return")
        assert await active(api) == ["while it is away", "before"]
        await create(api, fake_discord, "after")
        assert await active(api) == ["after", "while it is away", "before"]


async def test_start_without_redis_is_degraded_and_logged(
    database: Database,
    cipher: WebhookCipher,
    start_engine: StartEngine,
    make_cache: MakeCache,
    redis: RedisServer,
) -> None:
    await redis.stop()

    with capture_logs() as logs:
        engine = await start_engine(cache=make_cache())

    assert "redis_lost" in [entry["event"] for entry in logs]
    async with serving(make_app(database, cipher, engine=engine)) as api:
        assert await health(api) == (200, "degraded", "degraded")


async def test_program_starts_without_the_redis_of_its_settings(
    database_url: str, tmp_path: Path
) -> None:
    settings = {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path),
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "API_KEY": API_KEY,
        "REDIS_URL": "redis://:hunter22@127.0.0.1:1/0",
    }

    async with running(settings) as service:
        status, body = await service.health()
        shown = await service.data("{ tasks(status: ACTIVE) { meta { total } } }")

    assert (status, body["status"]) == (200, "degraded")
    assert body["parts"]["redis"]["state"] == "degraded"
    assert shown == {"tasks": {"meta": {"total": 0}}}
    assert '"event":"redis_lost"' in service.text
    assert "hunter22" not in service.text


async def test_copies_of_the_program_agree_at_once(
    database_url: str, tmp_path: Path, redis: RedisServer, fake_discord: FakeDiscord
) -> None:
    settings = {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path),
        "DISCORD_ORIGINS": fake_discord.origin,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "API_KEY": API_KEY,
        "REDIS_URL": redis.url,
        # The tests' own requests come from one address.
        "RATE_LIMIT": "10000/second",
    }
    async with running(settings) as one, running({**settings, "ROLES": "api"}) as other:
        for number in range(20):
            await other.data(LIST)
            given = {
                "name": f"task {number}",
                "schedule": "@yearly",
                "webhookUrl": fake_discord.url(),
                "payload": {"content": "hello"},
            }
            await one.data(CREATE, {"input": given})
            shown = await other.data(LIST)
            assert shown["tasks"]["data"][0]["name"] == f"task {number}"
            assert shown["tasks"]["meta"]["total"] == number + 1
            assert shown["dashboardStats"]["active"] == number + 1


async def create(api: Api, fake: FakeDiscord, name: str) -> None:
    given = {
        "name": name,
        "schedule": "@yearly",
        "webhookUrl": fake.url(),
        "payload": {"content": "hello"},
    }
    await api.run(CREATE, input=given)


async def active(api: Api) -> list[str]:
    """Return the names of the list, which all figures have to agree with."""
    data = await api.run(LIST)
    names = [task["name"] for task in data["tasks"]["data"]]
    assert data["tasks"]["meta"]["total"] == len(names)
    assert data["dashboardStats"]["active"] == len(names)
    return names


async def health(api: Api) -> tuple[int, str, str]:
    answer = await api.send("GET", "/health", headers=NOBODY)
    return answer.status, answer.json["status"], answer.json["parts"]["redis"]["state"]

"""Limits on a real Redis: shared by all copies, and never the reason for not answering."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from limits import parse
from structlog.testing import capture_logs

from engine.cipher import WebhookCipher
from settings import load_settings
from tests.e2e.redis_server import RedisServer, redis_server
from tests.serving import absent_database, make_app, serving
from tests.waiting import wait_until
from web.hits import ANSWER_SECONDS, RETRY_SECONDS, Hits
from web.rate_limits import ClientLimits

NAME = "{ __typename }"
CLIENT = "198.51.100.7"
THREE = parse("3/hour")


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def hits(redis: RedisServer, clock: Clock) -> AsyncIterator[Hits]:
    hits = Hits(redis.url, clock=clock)
    yield hits
    await hits.aclose()


async def within(hits: Hits, times: int = 1) -> list[bool]:
    """Return of each hit whether it was within three an hour."""
    return [(await hits.hit(THREE, CLIENT))[0] for _ in range(times)]


async def test_copies_count_together(redis: RedisServer, hits: Hits) -> None:
    other = Hits(redis.url)

    counted = [*await within(hits, 2), *await within(other, 2), *await within(hits)]
    _, quota = await other.hit(THREE, "another client")
    await other.aclose()

    assert counted == [True, True, True, False, False]
    assert (quota.limit, quota.remaining) == (3, 2)
    assert 3500 < quota.reset_seconds <= 3600


async def test_many_hits_at_once_are_each_counted_once(redis: RedisServer, hits: Hits) -> None:
    limit = parse("20/hour")

    counted = await asyncio.gather(*(hits.hit(limit, CLIENT) for _ in range(50)))

    assert sum(is_within for is_within, _ in counted) == 20


async def test_lost_redis_costs_no_request_and_is_found_again(
    redis: RedisServer, hits: Hits, clock: Clock
) -> None:
    with capture_logs() as logs:
        assert await within(hits, 4) == [True, True, True, False]

        await redis.stop()
        assert await within(hits, 4) == [True, True, True, False]
        clock.now += RETRY_SECONDS
        assert await within(hits) == [False]

        await redis.start()
        assert await within(hits) == [False]
        clock.now += RETRY_SECONDS
        assert await within(hits, 4) == [True, True, True, False]

    assert [entry["event"] for entry in logs] == [
        "rate_limits_lost_redis",
        "rate_limits_found_redis",
    ]


async def test_redis_that_does_not_answer_is_waited_for_once(
    redis: RedisServer, hits: Hits, clock: Clock
) -> None:
    await within(hits)
    redis.pause()
    began = time.monotonic()
    try:
        await within(hits, 20)
        clock.now += RETRY_SECONDS
        await asyncio.gather(*(within(hits) for _ in range(20)))
    finally:
        redis.resume()

    assert time.monotonic() - began < 4 * ANSWER_SECONDS


@pytest.mark.parametrize(
    "url", ["redis://nobody:a-wrong-password@127.0.0.1:{port}/0", "redis://127.0.0.1:1/0"]
)
async def test_redis_that_cannot_be_used_is_told_without_its_password(
    redis: RedisServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    hits = Hits(url.format(port=redis.port))

    with capture_logs() as logs:
        assert await within(hits, 4) == [True, True, True, False]
    await hits.aclose()

    (entry,) = logs
    assert entry["event"] == "rate_limits_lost_redis"
    assert "a-wrong-password" not in f"{logs}{caplog.text}{vars(hits)}"


async def test_api_is_limited_over_all_copies_and_while_redis_is_away(
    redis: RedisServer, cipher: WebhookCipher
) -> None:
    env = {"REDIS_URL": redis.url, "RATE_LIMIT": "3/hour"}
    limits = [ClientLimits.of(load_settings(env, None)) for _ in range(2)]
    async with (
        absent_database() as database,
        serving(make_app(database, cipher, limits=limits[0])) as one,
        serving(make_app(database, cipher, limits=limits[1])) as other,
    ):
        answers = [await api.post(NAME) for api in (one, other, one, other, one)]
        await redis.stop()
        alone = [await one.post(NAME) for _ in range(4)]
    for each in limits:
        await each.aclose()

    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[3].codes == ["RATE_LIMITED"]
    assert 3500 < int(answers[3].headers["Retry-After"]) <= 3600
    assert [answer.status for answer in alone] == [200, 200, 200, 429]


async def test_who_waits_as_long_as_told_is_answered_again(hits: Hits) -> None:
    limit = parse("2/second")
    for _ in range(3):
        is_within, quota = await hits.hit(limit, CLIENT)

    assert (is_within, quota.reset_seconds) == (False, 1)
    over = time.monotonic() + quota.reset_seconds
    await wait_until(lambda: time.monotonic() > over, what="end of the wait")
    assert (await hits.hit(limit, CLIENT))[0]

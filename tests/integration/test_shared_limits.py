"""The limits that copies share: a channel, an outage, and what earns a ban."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from engine.cipher import WebhookCipher
from engine.claims import Claim, claim, seconds_to_next
from engine.client import DiscordClient
from engine.delivery import ROUND_TRIPS, Delivery
from engine.discord import WebhookAddress
from engine.ending import Finished
from engine.finish import record
from engine.service import TaskService
from engine.stored_urls import StoredUrls
from models.database import Database
from models.enums import DeliveryGuarantee, LogStatus, TaskStatus
from models.runtime import InvalidRequests, Origin, WebhookChannel
from models.task import Task
from models.task_log import TaskLog
from tests.conftest import NO_BUDGET, StartEngine, accounting, make_service
from tests.fake_discord import Down, FakeDiscord
from tests.tasks import ACTOR, logs_of, make_task, wait_for_logs
from tests.waiting import wait_until

SUCCESS, FAILED, RETRYING, QUEUED, UNKNOWN = (
    LogStatus.SUCCESS,
    LogStatus.FAILED,
    LogStatus.RETRYING,
    LogStatus.QUEUED,
    LogStatus.UNKNOWN,
)
ME, OTHER = uuid4(), uuid4()
CHANNEL = "123456789012345678"
SECOND = timedelta(seconds=1)


async def claims_of(database: Database, instance_id: UUID = ME, limit: int = 100) -> list[Claim]:
    async with database.connection() as connection:
        claimed = await claim(
            connection, instance_id=instance_id, limit=limit, budget=NO_BUDGET, claimed_at=0.0
        )
    assert claimed.idle_lanes == []
    return claimed.claims


async def finish(database: Database, *ends: Finished, budgeted: tuple[str, ...] = ()) -> None:
    await database.transact(
        lambda connection: record(
            connection, ends, instance_id=ME, budgeted=budgeted, accounting=accounting()
        )
    )


def delivered(one: Claim, *, ago: timedelta = timedelta()) -> Finished:
    return Finished(
        claim=one,
        status=SUCCESS,
        http_status=200,
        channel_id=CHANNEL,
        counted_at=datetime.now(UTC) - ago,
        knows_bucket=True,
    )


async def share(database: Database, service: TaskService, *tasks: Task) -> WebhookChannel:
    """Let these webhooks learn that they post in one channel."""
    for task in tasks:
        await service.trigger(ACTOR, task.id)
    claims = await claims_of(database)
    await finish(database, *(delivered(one) for one in claims))
    return await WebhookChannel.get(channel_id=CHANNEL)


@pytest.fixture
async def pair(service: TaskService, fake_discord: FakeDiscord) -> tuple[Task, Task]:
    return await make_task(service, fake_discord), await make_task(service, fake_discord)


async def test_request_counts_from_its_answer_until_the_shortest_round_trip_is_known(
    database: Database, service: TaskService, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> None:
    """A copy's first requests may all be slow on their way, as in a burst on a busy machine."""
    fake_discord.latency_seconds = 0.05
    client = DiscordClient()
    delivery = Delivery(client, StoredUrls(cipher), origins=[fake_discord.origin], clock=time.time)
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    (one,) = await claims_of(database)
    address = delivery.address(one)
    assert isinstance(address, WebhookAddress)

    async def left_out_seconds() -> float:
        """Send, and return how long before its answer the request counts."""
        end = await delivery.send(one, address)
        assert end.counted_at is not None
        return time.time() - end.counted_at.timestamp()

    await client.open()
    end = await delivery.send(one, address)
    assert end.counted_at is not None
    assert end.counted_at.timestamp() >= fake_discord.requests[0].wall + 0.045
    await asyncio.gather(*(delivery.send(one, address) for _ in range(ROUND_TRIPS - 1)))
    assert await left_out_seconds() >= 0.045
    await client.close()


async def test_webhook_alone_in_its_channel_shares_nothing(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    channel = await share(database, service, await make_task(service, fake_discord))

    assert (channel.is_shared, channel.recent_sends) == (False, [])


async def test_webhooks_of_one_channel_share_its_limit(
    database: Database, service: TaskService, pair: tuple[Task, Task]
) -> None:
    channel = await share(database, service, *pair)
    assert channel.is_shared
    assert len(channel.recent_sends) == 2
    now = datetime.now(UTC)
    await WebhookChannel.filter(channel_id=CHANNEL).update(
        recent_sends=[now - n * SECOND for n in range(1, 30)]
    )
    for task in pair:
        await service.trigger(ACTOR, task.id)

    (one,) = await claims_of(database)
    assert one.channel_id == CHANNEL
    assert one.reserved_at is not None
    assert await claims_of(database, OTHER) == []
    await finish(database, delivered(one))

    channel = await WebhookChannel.get(channel_id=CHANNEL)
    assert one.reserved_at not in channel.recent_sends
    assert len(channel.recent_sends) == 30
    assert channel.opens_at is not None
    opens_in = (channel.opens_at - now).total_seconds()
    assert 30.9 < opens_in < 31.5  # the oldest was 29 s old
    assert await claims_of(database) == []
    async with database.connection() as connection:
        seconds = await seconds_to_next(connection, NO_BUDGET)
    assert seconds is not None
    assert 28 < seconds < 31.5


async def test_place_that_was_not_used_is_given_back(
    database: Database, service: TaskService, pair: tuple[Task, Task]
) -> None:
    await share(database, service, *pair)
    await service.trigger(ACTOR, pair[0].id)
    (one,) = await claims_of(database)
    assert len((await WebhookChannel.get(channel_id=CHANNEL)).recent_sends) == 3

    await finish(database, Finished(claim=one, status=FAILED, knows_bucket=True))

    assert len((await WebhookChannel.get(channel_id=CHANNEL)).recent_sends) == 2


async def test_copies_that_claim_at_once_take_no_more_places_than_there_are(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    tasks = [await make_task(service, fake_discord) for _ in range(8)]
    await share(database, service, *tasks)
    for taken in range(20, 28):
        now = datetime.now(UTC)
        await WebhookChannel.filter(channel_id=CHANNEL).update(
            recent_sends=[now - n * SECOND / 10 for n in range(taken)], opens_at=None
        )
        for task in tasks:
            await service.trigger(ACTOR, task.id)
        found = await asyncio.gather(*(claims_of(database, ME, limit=4) for _ in range(4)))
        claims = [one for claimed in found for one in claimed]
        assert claims
        assert len(claims) <= 30 - taken
        await finish(
            database, *(Finished(claim=one, status=FAILED, knows_bucket=True) for one in claims)
        )
        await TaskLog.filter(status=QUEUED).delete()


async def test_shared_429_holds_the_channels_other_webhooks(
    database: Database, service: TaskService, pair: tuple[Task, Task]
) -> None:
    await share(database, service, *pair)
    for task in pair:
        await service.trigger(ACTOR, task.id)
    one, other = await claims_of(database)

    await finish(
        database,
        Finished(
            claim=one,
            status=QUEUED,
            http_status=429,
            counted_at=datetime.now(UTC),
            lane_pause_seconds=7.0,
            holds_channel=True,
        ),
        delivered(other),
    )

    await service.trigger(ACTOR, other.task_id)
    assert await claims_of(database) == []
    channel = await WebhookChannel.get(channel_id=CHANNEL)
    assert channel.opens_at is not None
    assert 1 < (channel.opens_at - datetime.now(UTC)).total_seconds() < 7.1


@pytest.mark.parametrize("down", [Down.REFUSE, Down.UNAVAILABLE])
async def test_outage_fails_nothing_and_all_is_sent_afterwards(
    down: Down,
    database: Database,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    engines = [await start_engine() for _ in range(2)]
    service = make_service(cipher, fake_discord.origin, engines[0])
    tasks = [await make_task(service, fake_discord, max_retry=0) for _ in range(8)]
    await fake_discord.set_down(down)
    for task in tasks:
        await service.trigger(ACTOR, task.id)

    async def is_down() -> bool:
        return await Origin.filter(down_since__not_isnull=True).exists()

    await wait_until(is_down, what="origin that is down")
    await fake_discord.set_down(None)

    for task in tasks:
        (row,) = await wait_for_logs(task, SUCCESS, timeout_seconds=15.0)
        assert row.retry_count == 0
        assert (await Task.get(id=task.id)).status is TaskStatus.ACTIVE
    assert not await is_down()


async def test_one_failing_webhook_among_answering_ones_counts(
    cipher: WebhookCipher, fake_discord: FakeDiscord, start_engine: StartEngine
) -> None:
    service = make_service(cipher, fake_discord.origin, await start_engine())
    healthy = await make_task(service, fake_discord)
    task = await make_task(service, fake_discord, max_retry=1)
    fake_discord.script(task.webhook_id, (503, "no"), (503, "no"))
    await service.trigger(ACTOR, healthy.id)
    await wait_for_logs(healthy, SUCCESS)

    await service.trigger(ACTOR, task.id)

    await wait_for_logs(task, RETRYING, FAILED)
    assert (await Task.get(id=task.id)).status is TaskStatus.FAILED


async def test_uncertain_outage_is_not_repeated_at_most_once(
    cipher: WebhookCipher, fake_discord: FakeDiscord, start_engine: StartEngine
) -> None:
    service = make_service(cipher, fake_discord.origin, await start_engine())
    task = await make_task(service, fake_discord, delivery_guarantee=DeliveryGuarantee.AT_MOST_ONCE)
    fake_discord.script(None, (520, "no"))

    await service.trigger(ACTOR, task.id)

    await wait_for_logs(task, UNKNOWN)


async def test_run_that_waits_for_an_origin_ends_at_its_deadline(
    database: Database, service: TaskService, fake_discord: FakeDiscord, start_engine: StartEngine
) -> None:
    task = await make_task(service, fake_discord)
    held = datetime.now(UTC) + timedelta(hours=1)
    await Origin.filter(origin=task.origin).update(held_until=held)
    await service.trigger(ACTOR, task.id)
    await TaskLog.filter(task_id=task.id).update(deadline_at=datetime.now(UTC) - SECOND)

    await start_engine()

    (row,) = await wait_for_logs(task, FAILED)
    assert row.feed_id is not None
    assert row.message is not None
    assert "deadline" in row.message
    assert (await Task.get(id=task.id)).status is TaskStatus.ACTIVE
    assert fake_discord.requests == []


async def refuse(
    database: Database, service: TaskService, task: Task, *, budgeted: tuple[str, ...]
) -> datetime | None:
    """End a run with a 401, and return until when the origin is held."""
    await service.trigger(ACTOR, task.id)
    (one,) = await claims_of(database)
    end = Finished(claim=one, status=FAILED, http_status=401, counts_as_invalid=True)
    await finish(database, end, budgeted=budgeted)
    assert (await logs_of(task))[-1].status is FAILED
    return (await Origin.get(origin=task.origin)).held_until


async def test_half_of_a_ban_holds_the_budgeted_origins(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(service, fake_discord)
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    await InvalidRequests.create(minute=minute - timedelta(minutes=15), count=9_000)
    await InvalidRequests.create(minute=minute - timedelta(minutes=8), count=4_000)
    await InvalidRequests.create(minute=minute - timedelta(minutes=2), count=998)
    budgeted = (task.origin,)
    assert await refuse(database, service, task, budgeted=()) is None
    assert await refuse(database, service, task, budgeted=budgeted) is None

    held_until = await refuse(database, service, task, budgeted=budgeted)

    assert held_until is not None
    # Once the 4,000 have left the window, there is room again.
    assert held_until == minute + timedelta(minutes=3)

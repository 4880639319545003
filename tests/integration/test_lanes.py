"""A webhook's lane: when it opens, when it is due, and that no change of its queue is missed."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from engine.claims import Claim, Claimed, claim
from engine.ending import Finished
from engine.finish import record
from engine.lanes import LaneEnd, lock_lanes, settle_lanes
from engine.releases import release
from engine.service import TaskService
from engine.ticks import Stored, Tick, store_ticks
from models.database import Connection, Database
from models.enums import LogStatus, OverlapPolicy, TaskStatus
from models.runtime import WebhookLane
from models.task import Task, TaskCursor
from models.task_log import TaskLog
from tests.conftest import NO_BUDGET, RUN_DEADLINE_SECONDS, accounting
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, make_task, move_cursor
from tests.waiting import wait_until_blocked

SUCCESS, RETRYING, QUEUED, SKIPPED = (
    LogStatus.SUCCESS,
    LogStatus.RETRYING,
    LogStatus.QUEUED,
    LogStatus.SKIPPED,
)
ME = uuid4()
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Lane:
    """A lane as it is stored, its times in seconds from now by the database's clock."""

    owner: UUID | None
    next_in: float | None
    open_in: float | None
    recent: list[float]

    @property
    def is_due(self) -> bool:
        return self.next_in is not None and self.next_in <= 0.0


async def lane_of(database: Database, task: Task) -> Lane:
    async with database.connection() as connection:
        row = await connection.fetchrow(
            "select *, clock_timestamp() as now from webhook_lanes where webhook_key = $1",
            task.webhook_key,
        )
    assert row is not None

    def seconds(at: datetime | None) -> float | None:
        return None if at is None else (at - row["now"]).total_seconds()

    recent = [(at - row["now"]).total_seconds() for at in row["recent_sends"]]
    return Lane(row["owner"], seconds(row["next_at"]), seconds(row["open_at"]), recent)


async def settle(database: Database, *ends: LaneEnd, instance_id: UUID = ME) -> None:
    async def work(connection: Connection) -> None:
        await lock_lanes(connection, [end.webhook_key for end in ends])
        await settle_lanes(connection, ends, instance_id=instance_id)

    await database.transact(work)


async def claim_all(database: Database, *, instance_id: UUID = ME) -> Claimed:
    async with database.connection() as connection:
        return await claim(
            connection, instance_id=instance_id, limit=100, budget=NO_BUDGET, claimed_at=0.0
        )


async def claim_one(database: Database) -> Claim:
    (one,) = (await claim_all(database)).claims
    return one


async def finish(database: Database, *ends: Finished, instance_id: UUID = ME) -> list[Finished]:
    recorded = await database.transact(
        lambda connection: record(
            connection, ends, instance_id=instance_id, budgeted=(), accounting=accounting()
        )
    )
    return recorded.ends


async def store(database: Database, *ticks: Tick) -> Stored:
    return await database.transact(
        lambda connection: store_ticks(connection, ticks, run_deadline_seconds=RUN_DEADLINE_SECONDS)
    )


async def tick_of(task: Task) -> Tick:
    cursor = (await TaskCursor.get(task_id=task.id)).cursor
    return Tick(task_id=task.id, version=task.version, at=cursor + SECOND, since=cursor)


def sent(
    task: Task,
    *,
    pause_seconds: float = 0.0,
    knows_bucket: bool = True,
    channel_id: str | None = None,
) -> LaneEnd:
    """A request of the task's webhook ended."""
    return LaneEnd(
        webhook_key=task.webhook_key,
        counted_at=datetime.now(UTC),
        pause_seconds=pause_seconds,
        knows_bucket=knows_bucket,
        channel_id=channel_id,
    )


@pytest.fixture
async def task(service: TaskService, fake_discord: FakeDiscord, database: Database) -> Task:
    """A task with unaccounted ticks, whose webhook has a lane and nothing queued."""
    task = await make_task(service, fake_discord, overlap_policy=OverlapPolicy.ALLOW)
    await move_cursor(database, task, back=timedelta(hours=1))
    await WebhookLane.create(webhook_key=task.webhook_key, origin=task.origin)
    return task


async def test_lane_without_work_is_never_due(database: Database, task: Task) -> None:
    await settle(database, sent(task))

    assert (await lane_of(database, task)).next_in is None
    assert (await claim_all(database)) == Claimed(claims=[], idle_lanes=[])


async def test_lane_is_due_when_its_retry_is(
    database: Database, task: Task, service: TaskService
) -> None:
    await service.trigger(ACTOR, task.id)
    one = await claim_one(database)

    await finish(
        database,
        Finished(
            claim=one,
            status=RETRYING,
            retry_in_seconds=30.0,
            counted_at=datetime.now(UTC),
            knows_bucket=True,
        ),
    )

    lane = await lane_of(database, task)
    assert lane.next_in == pytest.approx(30.0, abs=3.0)
    retry = await TaskLog.get(status=QUEUED)
    assert (retry.retry_count, retry.run_id) == (1, one.run_id)
    assert (await claim_all(database)).claims == []


async def test_lane_with_a_due_attempt_and_a_later_retry_is_due_at_once(
    database: Database, task: Task, service: TaskService
) -> None:
    for _ in range(2):
        await service.trigger(ACTOR, task.id)

    await finish(
        database,
        Finished(
            claim=await claim_one(database),
            status=RETRYING,
            retry_in_seconds=30.0,
            knows_bucket=True,
        ),
    )

    assert (await lane_of(database, task)).is_due
    assert (await claim_one(database)).retry_count == 0


async def test_lane_without_remaining_sends_opens_at_the_reset(
    database: Database, task: Task, service: TaskService
) -> None:
    await service.trigger(ACTOR, task.id)

    await settle(database, sent(task, pause_seconds=20.0))

    lane = await lane_of(database, task)
    assert lane.open_in == pytest.approx(20.0, abs=3.0)
    assert lane.next_in == lane.open_in


async def test_rest_is_kept_while_nothing_waits_and_for_what_comes_then(
    database: Database, task: Task, service: TaskService
) -> None:
    await settle(database, sent(task, pause_seconds=20.0))
    assert (await lane_of(database, task)).next_in is None

    await service.trigger(ACTOR, task.id)
    await store(database, await tick_of(task))

    lane = await lane_of(database, task)
    assert lane.next_in == lane.open_in
    assert lane.next_in == pytest.approx(20.0, abs=3.0)


async def test_longer_rest_is_not_cut_by_a_shorter_one(database: Database, task: Task) -> None:
    await settle(database, sent(task, pause_seconds=20.0))
    await settle(database, sent(task, pause_seconds=1.0))

    assert (await lane_of(database, task)).open_in == pytest.approx(20.0, abs=3.0)


@pytest.mark.parametrize(("sends", "rests"), [(4, False), (5, True)])
async def test_five_sends_in_two_seconds_are_the_limit_until_headers_tell_one(
    database: Database, task: Task, sends: int, rests: bool
) -> None:
    for _ in range(sends):
        await settle(database, sent(task, knows_bucket=False))

    lane = await lane_of(database, task)
    assert len(lane.recent) == sends
    assert lane.open_in is not None
    if rests:
        assert lane.open_in == pytest.approx(lane.recent[-5] + 2.05, abs=0.001)
    else:
        assert lane.open_in <= 0.0


async def test_headers_that_tell_the_limit_count_instead(database: Database, task: Task) -> None:
    for _ in range(29):
        await settle(database, sent(task))

    open_in = (await lane_of(database, task)).open_in
    assert open_in is not None
    assert open_in <= 0.0


async def test_thirty_sends_in_a_minute_are_the_limit_whatever_headers_say(
    database: Database, task: Task
) -> None:
    for _ in range(30):
        await settle(database, sent(task))

    lane = await lane_of(database, task)
    assert lane.open_in == pytest.approx(lane.recent[-30] + 60.005, abs=0.001)


async def test_window_slides_with_the_sends(database: Database, task: Task) -> None:
    """The thirtieth last send lies 50 s back, so the next may leave in 10 s."""
    async with database.connection() as connection:
        await connection.execute(
            "update webhook_lanes set recent_sends = array(select clock_timestamp() "
            "- make_interval(secs => 51 - n) from generate_series(1, 29) as n)"
        )

    await settle(database, sent(task))

    assert (await lane_of(database, task)).open_in == pytest.approx(10.05, abs=3.0)


async def test_only_the_last_thirty_sends_are_kept(database: Database, task: Task) -> None:
    for _ in range(35):
        await settle(database, sent(task))

    recent = (await lane_of(database, task)).recent
    assert len(recent) == 30
    assert recent == sorted(recent)


async def test_what_was_not_sent_leaves_the_limits_alone(database: Database, task: Task) -> None:
    await settle(database, LaneEnd(webhook_key=task.webhook_key))

    assert (await lane_of(database, task)).recent == []


async def test_channel_that_an_answer_told_is_kept(database: Database, task: Task) -> None:
    await settle(database, sent(task, channel_id="123"))
    await settle(database, sent(task))

    assert (await WebhookLane.get(webhook_key=task.webhook_key)).channel_id == "123"


@pytest.mark.parametrize("is_ours", [True, False])
async def test_settling_lets_go_of_our_own_lanes_only(
    database: Database, task: Task, service: TaskService, is_ours: bool
) -> None:
    owner = ME if is_ours else uuid4()
    await service.trigger(ACTOR, task.id)
    await claim_all(database, instance_id=owner)

    await settle(database, LaneEnd(webhook_key=task.webhook_key))

    assert (await lane_of(database, task)).owner == (None if is_ours else owner)


async def test_due_lane_without_work_is_named_by_the_claim(
    database: Database, task: Task, service: TaskService
) -> None:
    await service.trigger(ACTOR, task.id)
    await TaskLog.all().delete()

    assert await claim_all(database) == Claimed(claims=[], idle_lanes=[task.webhook_key])


async def test_claims_that_are_given_back_stay_due(
    database: Database, task: Task, service: TaskService
) -> None:
    await service.trigger(ACTOR, task.id)
    one = await claim_one(database)

    async with database.connection() as connection:
        await release(connection, instance_id=ME, claims=[one])

    lane = await lane_of(database, task)
    assert (lane.owner, lane.is_due) == (None, True)
    row = await TaskLog.get(id=one.log_id)
    assert (row.claimed_by, row.started_at) == (None, None)


async def test_copies_that_claim_at_once_get_each_lane_once(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    for number in range(40):
        task = await make_task(service, fake_discord, name=f"task {number}")
        for _ in range(2):
            await service.trigger(ACTOR, task.id)

    rounds = await asyncio.gather(*(claim_all(database, instance_id=uuid4()) for _ in range(8)))

    keys = [one.webhook_key for claimed in rounds for one in claimed.claims]
    assert len(keys) == len(set(keys)) == 40


async def test_tick_stored_while_a_finish_holds_the_lane_is_not_lost(
    database: Database, task: Task, service: TaskService
) -> None:
    await service.trigger(ACTOR, task.id)
    one = await claim_one(database)
    tick = await tick_of(task)

    async with database.transaction() as connection:
        end = Finished(claim=one, status=SUCCESS, knows_bucket=True)
        await record(connection, [end], instance_id=ME, budgeted=(), accounting=accounting())
        storing = asyncio.create_task(store(database, tick))
        await wait_until_blocked(database)

    assert (await storing).queued == 1
    assert (await lane_of(database, task)).is_due
    assert (await claim_one(database)).scheduled_for == tick.at


async def test_tick_that_holds_the_lane_while_a_finish_waits_is_not_lost(
    database: Database, task: Task, service: TaskService
) -> None:
    await service.trigger(ACTOR, task.id)
    one = await claim_one(database)
    tick = await tick_of(task)

    async with database.transaction() as connection:
        await store_ticks(connection, [tick], run_deadline_seconds=RUN_DEADLINE_SECONDS)
        end = Finished(claim=one, status=SUCCESS, knows_bucket=True)
        ending = asyncio.create_task(finish(database, end))
        await wait_until_blocked(database)

    await ending
    assert (await lane_of(database, task)).is_due
    assert (await claim_one(database)).scheduled_for == tick.at


async def test_run_triggered_while_a_lane_is_settled_is_not_lost(
    database: Database, task: Task, service: TaskService
) -> None:
    async with database.transaction() as connection:
        await lock_lanes(connection, [task.webhook_key])
        await settle_lanes(connection, [LaneEnd(webhook_key=task.webhook_key)], instance_id=ME)
        triggering = asyncio.create_task(service.trigger(ACTOR, task.id))
        await wait_until_blocked(database)

    await triggering
    assert (await claim_one(database)).task_id == task.id


async def move(service: TaskService, fake: FakeDiscord, task: Task) -> Task:
    return await service.update(ACTOR, task.id, {"webhook_url": fake.url()})


@pytest.mark.parametrize("status", [RETRYING, QUEUED])
async def test_attempt_whose_task_moved_while_it_was_sent_wakes_the_new_lane(
    database: Database,
    task: Task,
    service: TaskService,
    fake_discord: FakeDiscord,
    status: LogStatus,
) -> None:
    """QUEUED is what a 429 makes of it. Else it waits for ever, and by SKIP so does its task."""
    await service.trigger(ACTOR, task.id)
    one = await claim_one(database)
    moved = await move(service, fake_discord, task)

    await finish(
        database,
        Finished(claim=one, status=status, retry_in_seconds=0.0, counted_at=datetime.now(UTC)),
    )

    again = await claim_one(database)
    assert again.webhook_key == moved.webhook_key
    assert not again.has_moved


async def test_attempt_being_sent_to_the_old_webhook_is_an_overlap_all_the_same(
    database: Database, task: Task, service: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await service.update(ACTOR, task.id, {"overlap_policy": OverlapPolicy.SKIP})
    await service.trigger(ACTOR, task.id)
    await claim_one(database)
    task = await move(service, fake_discord, task)

    await store(database, await tick_of(task))

    assert [row.status for row in await TaskLog.all().order_by("id")] == [QUEUED, SKIPPED]


async def test_failure_of_the_old_webhook_does_not_count_against_the_new_one(
    database: Database, task: Task, service: TaskService, fake_discord: FakeDiscord
) -> None:
    """A person mends the task while its last request is still under way."""
    await service.trigger(ACTOR, task.id)
    one = await claim_one(database)
    await move(service, fake_discord, task)

    await finish(
        database,
        Finished(
            claim=one, status=LogStatus.FAILED, counts_as_failure=True, counted_at=datetime.now(UTC)
        ),
    )

    assert (await Task.get(id=task.id)).status is TaskStatus.ACTIVE

"""A copy's heartbeat: seen by the others, fenced by time, and back by itself after any loss."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from engine.cipher import WebhookCipher
from engine.claims import _CLAIM
from engine.clock import DatabaseClock
from engine.engine import Engine
from engine.finish import _OURS
from engine.instance import (
    FENCE_SECONDS,
    LEASE_SECONDS,
    TASKS_CHANNEL,
    WORK_CHANNEL,
    Instance,
)
from engine.service import TaskService
from engine.takeover import take_over
from models.database import Database
from models.enums import LogStatus
from models.errors import DatabaseUnavailable
from models.orm import credentials
from tests.conftest import make_service
from tests.fake_discord import FakeDiscord
from tests.lossy_database import LossyDatabase
from tests.serving import closed_port
from tests.tasks import ACTOR, logs_of, make_task, wait_for_logs
from tests.waiting import wait_until


class Copy:
    """An instance with a clock that the test turns, and what it was told."""

    def __init__(
        self, database: Database, *, revive: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.now = 1000.0
        self.slept = 0.0
        self.connects = 0
        self.steps: list[float] = []
        self.heard: list[tuple[str, str]] = []
        self.clock = DatabaseClock(self._monotonic)
        self.instance = Instance(
            database,
            self.clock,
            roles="scheduler,worker",
            listeners={channel: self._hear(channel) for channel in (TASKS_CHANNEL, WORK_CHANNEL)},
            on_connect=self._connected,
            on_lost=lambda: None,
            on_step=self.steps.append,
            revive=revive,
            monotonic=self._monotonic,
            elapsed=lambda: self.now + self.slept,
        )

    def _monotonic(self) -> float:
        return self.now

    def _hear(self, channel: str) -> Callable[[str], None]:
        return lambda payload: self.heard.append((channel, payload))

    def _connected(self) -> None:
        self.connects += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected and beating."""
        await self.instance.connect()
        beating = asyncio.create_task(self.instance.run())
        try:
            yield
        finally:
            beating.cancel()
            with suppress(asyncio.CancelledError):
                await beating
            await self.instance.leave()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[LossyDatabase]:
    database = await LossyDatabase.connect(database_url)
    yield database
    await database.close()


@pytest.fixture
def copy(database: Database) -> Copy:
    return Copy(database)


@pytest.fixture
async def other(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Another connection to the database, in no pool."""
    connection = await asyncpg.connect(**credentials(database_url))
    yield connection
    await connection.close()


async def terminate_others(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where pid <> pg_backend_pid() and datname = current_database()"
    )


async def rows(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[UUID, asyncpg.Record]:
    return {row["id"]: row for row in await connection.fetch("select * from engine_instances")}


async def test_connecting_leaves_a_row_with_the_databases_time(
    copy: Copy, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    before = await other.fetchval("select clock_timestamp()")

    await copy.instance.connect()

    row = (await rows(other))[copy.instance.id]
    assert before <= row["seen_at"] <= await other.fetchval("select clock_timestamp()")
    assert row["roles"] == "scheduler,worker"
    assert copy.instance.started_at == row["started_at"]
    assert copy.connects == 1
    assert abs(copy.clock.now() - row["seen_at"]) < timedelta(milliseconds=1)
    await copy.instance.leave()


async def test_heartbeat_goes_on(copy: Copy, other: "asyncpg.Connection[asyncpg.Record]") -> None:
    async with copy.running():
        first = (await rows(other))[copy.instance.id]
        copy.now += 3.0

        async def is_seen_again() -> bool:
            return bool((await rows(other))[copy.instance.id]["seen_at"] > first["seen_at"])

        await wait_until(is_seen_again, what="second heartbeat")
        again = (await rows(other))[copy.instance.id]
        assert again["started_at"] == first["started_at"]
        await wait_until(copy.instance.is_fresh, what="freshness")


async def test_row_that_somebody_removed_comes_back(
    copy: Copy, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """A copy that was away for a minute is forgotten by the others, and may return."""
    async with copy.running():
        await other.execute("delete from engine_instances")

        async def is_back() -> bool:
            return copy.instance.id in await rows(other)

        await wait_until(is_back, what="row of the copy")


def test_copy_that_never_connected_may_neither_send_nor_judge(database: Database) -> None:
    instance = Copy(database).instance

    assert not instance.is_fresh()
    assert not instance.may_judge()
    assert not instance.is_connected


async def test_copy_is_fresh_for_less_than_the_fence(copy: Copy) -> None:
    await copy.instance.connect()

    copy.now += FENCE_SECONDS - 0.001
    assert copy.instance.is_fresh()
    copy.now += 0.001
    assert not copy.instance.is_fresh()
    await copy.instance.leave()


async def test_copy_that_slept_is_not_fresh(copy: Copy) -> None:
    await copy.instance.connect()

    copy.slept += FENCE_SECONDS

    assert not copy.instance.is_fresh()
    await copy.instance.leave()


async def test_copy_judges_only_after_being_connected_for_more_than_a_lease(copy: Copy) -> None:
    await copy.instance.connect()

    copy.now += LEASE_SECONDS
    assert not copy.instance.may_judge()
    copy.now += 0.001
    assert copy.instance.may_judge()
    await copy.instance.leave()


@pytest.mark.parametrize("clock", ["now", "slept"])
async def test_copy_that_missed_heartbeats_waits_to_judge_others(copy: Copy, clock: str) -> None:
    """It may not have been the only one that stood still, or slept."""
    async with copy.running():
        setattr(copy, clock, getattr(copy, clock) + LEASE_SECONDS + 0.001)
        assert copy.instance.may_judge()

        await wait_until(copy.instance.is_fresh, what="next heartbeat")

        assert not copy.instance.may_judge()


def test_fence_ends_well_before_the_lease() -> None:
    """A request that leaves at the very end of the fence is on its way before anyone takes over."""
    assert FENCE_SECONDS + 1 < LEASE_SECONDS


async def test_lost_connection_is_replaced_and_everything_begins_anew(
    copy: Copy, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with copy.running():
        copy.now += 100.0
        assert copy.instance.may_judge()

        await terminate_others(other)

        await wait_until(lambda: copy.connects == 2, what="second connect")
        assert copy.instance.is_connected
        assert copy.instance.is_fresh()
        assert not copy.instance.may_judge()
        assert list(await rows(other)) == [copy.instance.id]


async def test_notices_are_heard_on_their_channels_before_and_after_a_loss(
    copy: Copy, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with copy.running():
        await other.execute(f"notify {TASKS_CHANNEL}, 'one'")
        await wait_until(lambda: len(copy.heard) == 1, what="first notice")
        await terminate_others(other)
        await wait_until(lambda: copy.connects == 2, what="second connect")

        await other.execute(f"notify {TASKS_CHANNEL}, 'two'")
        await other.execute(f"notify {WORK_CHANNEL}")

        await wait_until(lambda: len(copy.heard) == 3, what="later notices")
    assert copy.heard == [(TASKS_CHANNEL, "one"), (TASKS_CHANNEL, "two"), (WORK_CHANNEL, "")]


async def test_several_losses_in_a_row_are_survived(
    copy: Copy, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with copy.running():
        for _ in range(3):
            expected = copy.connects + 1
            await terminate_others(other)
            await wait_until(lambda: copy.connects == expected, what="next connect")  # noqa: B023 - waited for at once


async def test_heartbeat_that_hangs_counts_as_a_lost_connection(
    copy: Copy, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Here a lock holds it up; a dead network would do the same."""
    async with copy.running():
        transaction = other.transaction()
        await transaction.start()
        await other.execute("select from engine_instances for update")

        await wait_until(lambda: not copy.instance.is_connected, what="loss", timeout_seconds=15)
        await transaction.rollback()

        await wait_until(lambda: copy.connects == 2, what="second connect", timeout_seconds=15)


async def test_revive_runs_before_each_try_to_connect(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    tries = 0

    async def revive() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise DatabaseUnavailable("not yet")

    copy = Copy(database, revive=revive)
    async with copy.running():
        await terminate_others(other)

        await wait_until(lambda: copy.connects == 2, what="second connect")
        assert tries == 3


async def test_unreachable_server_is_a_database_unavailable(database_url: str) -> None:
    with closed_port() as port:
        database = await Database.connect(f"postgresql://postgres@127.0.0.1:{port}/x")
        copy = Copy(database)

        with pytest.raises(DatabaseUnavailable):
            await copy.instance.connect()

        assert (copy.connects, copy.instance.is_connected) == (0, False)
        await copy.instance.leave()
        await database.close()


async def test_leaving_removes_the_row_and_ends_the_connection(
    copy: Copy, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await copy.instance.connect()
    copy.now += 100.0

    await copy.instance.leave()

    assert await rows(other) == {}
    assert not copy.instance.is_connected
    assert not copy.instance.may_judge()
    await copy.instance.leave()


async def test_leaving_after_the_connection_was_lost_is_quiet(
    copy: Copy, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await copy.instance.connect()
    await terminate_others(other)

    await copy.instance.leave()

    assert not copy.instance.is_connected


@pytest.mark.parametrize("step_seconds", [-60.0, 60.0])
async def test_step_between_the_clocks_is_told(copy: Copy, step_seconds: float) -> None:
    """Our monotonic clock can't step, so that of the database did, the other way round."""
    async with copy.running():
        copy.now -= step_seconds

        await wait_until(lambda: bool(copy.steps), what="step")

    assert len(copy.steps) == 1
    assert abs(copy.steps[0] - step_seconds) < 5


async def query_a_connection_that_just_ended(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async with database.connection() as connection:
        await connection.fetchval("select 1")
        await terminate_others(other)
        await connection.fetchval("select 1")


async def test_statement_on_a_connection_that_just_ended_is_a_database_unavailable(
    database: Database, other: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Whatever asyncpg raises there: every part of the engine goes on after this one error."""
    for _ in range(5):
        with pytest.raises(DatabaseUnavailable):
            await query_a_connection_that_just_ended(database, other)


async def test_copy_never_takes_over_from_itself(
    copy: Copy, database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    """After a pause of its process it may judge before its first heartbeat, but it is not dead."""
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    own = copy.instance.id
    async with database.connection() as connection:
        await connection.execute(
            "insert into engine_instances values ($1, now() - interval '10 s', now(), '')", own
        )
        await connection.execute("update webhook_lanes set owner = $1", own)
        await connection.execute("update task_logs set claimed_by = $1, started_at = now()", own)

    async with database.transaction() as connection:
        now = await connection.fetchval("select clock_timestamp()")
        taken = await take_over(connection, instance_id=own, seen_at=now)

    assert (taken.resent, taken.unknown) == (0, 0)


async def test_claim_whose_answer_was_lost_is_sent_all_the_same(
    database: LossyDatabase, cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> None:
    """The database holds the claim of a living copy, which knows nothing of it."""
    tasks = make_service(cipher, fake_discord.origin, engine)
    task = await make_task(tasks, fake_discord)
    database.loses_answer_of = _CLAIM

    await tasks.trigger(ACTOR, task.id)

    await wait_for_logs(task, LogStatus.SUCCESS)
    assert not database.loses_answer_of
    assert len(fake_discord.requests) == 1


async def test_claim_that_was_under_way_at_a_stop_is_given_back(
    database: LossyDatabase, cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> None:
    """Else the next copy must take it for sent, and AT_MOST_ONCE gives it up."""
    tasks = make_service(cipher, fake_discord.origin, engine)
    task = await make_task(tasks, fake_discord)
    database.holds_answer_of = _CLAIM
    await tasks.trigger(ACTOR, task.id)
    await database.is_held.wait()

    stopping = asyncio.create_task(engine.stop())
    await asyncio.wait([stopping], timeout=0.5)
    database.is_let_go.set()
    await stopping

    (row,) = await logs_of(task)
    assert (row.status, row.claimed_by) == (LogStatus.QUEUED, None)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ConnectionDoesNotExistError("connection was closed"),
        asyncpg.InternalClientError("cannot switch to state 11"),
        RuntimeError("a part of the engine that fails is started again"),
    ],
)
async def test_result_whose_recording_broke_off_is_recorded_all_the_same(
    database: LossyDatabase,
    cipher: WebhookCipher,
    fake_discord: FakeDiscord,
    engine: Engine,
    error: Exception,
) -> None:
    tasks = make_service(cipher, fake_discord.origin, engine)
    task = await make_task(tasks, fake_discord)
    database.loses_answer_of, database.breaks_with = _OURS, error

    await tasks.trigger(ACTOR, task.id)

    await wait_for_logs(task, LogStatus.SUCCESS)
    assert not database.loses_answer_of
    assert len(fake_discord.requests) == 1

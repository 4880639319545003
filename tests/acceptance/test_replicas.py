"""Copies of the real program on one database: killed, stopped, replaced and cut off."""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from engine.instance import LEASE_SECONDS
from models.database import credentials
from tests.acceptance.running import Service
from tests.chaos.cluster import Cluster, Copy, cluster, instance_id
from tests.chaos.invariants import check_outputs, check_rows, count_requests, count_ticks
from tests.chaos.mutations import CREATE, TRIGGER
from tests.chaos.observer import observe
from tests.chaos.proxy import DatabaseProxy
from tests.fake_discord_behaviours import answer, slow
from tests.waiting import wait_until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

LATE_MS = 250.0
TAKEOVER_SECONDS = 10.0
SLOW_SECONDS = 3.0
# Each second a third of the tasks ticks, each of them twenty times a minute.
LOAD = [f"{second}-59/3 * * * * *" for second in range(3)]
GUARANTEES = ("AT_LEAST_ONCE", "AT_MOST_ONCE")
Row = asyncpg.Record


@dataclass(frozen=True, slots=True)
class Made:
    """A task that a test made, with a webhook of its own."""

    id: str
    webhook_id: str
    guarantee: str


class Replicas:
    """The copies, and a connection to look into their database with."""

    def __init__(self, parts: Cluster, database: "asyncpg.Connection[Row]") -> None:
        self.parts = parts
        self.database = database
        self.cut_off: set[str] = set()

    async def now(self) -> datetime:
        """Return the database's time."""
        at: datetime = await self.database.fetchval("select clock_timestamp()")
        return at

    async def create(
        self, count: int, schedules: Sequence[str] = ("@yearly",), *, slow_seconds: float = 0.0
    ) -> list[Made]:
        """Make so many tasks; each one's first request takes so much longer."""
        service = running(self.parts.idle[0])
        return await asyncio.gather(
            *(
                self._create(service, number, schedules[number % len(schedules)], slow_seconds)
                for number in range(count)
            )
        )

    async def _create(
        self, service: Service, number: int, schedule: str, slow_seconds: float
    ) -> Made:
        url = self.parts.fake.url()
        webhook_id = url.split("/")[-2]
        if slow_seconds:
            channel_id = self.parts.fake.channel_of(webhook_id)
            then = answer(200, {"id": "1", "channel_id": channel_id})
            self.parts.fake.script(webhook_id, slow(slow_seconds, then))
        given = {
            "name": f"task {webhook_id}",
            "schedule": schedule,
            "webhookUrl": url,
            "payload": {"content": "hello"},
            "overlapPolicy": "ALLOW",
            "deliveryGuarantee": GUARANTEES[number % 2],
        }
        made = await service.data(CREATE, {"input": given})
        return Made(made["createTask"]["id"], webhook_id, GUARANTEES[number % 2])

    async def owned_by(self, service: Service) -> set[str]:
        """Return the webhooks on which a copy has claimed an attempt."""
        rows = await self.database.fetch(
            """
            select t.webhook_id from webhook_lanes l join tasks t on t.webhook_key = l.webhook_key
            where l.owner = $1
            """,
            instance_id(service),
        )
        return {row["webhook_id"] for row in rows}

    async def worst_lateness_ms(self, since: datetime, *, besides: set[str]) -> float:
        """Return it for the ticks later than that, on all webhooks but those."""
        worst: float = await self.database.fetchval(
            """
            select max(lateness_ms) from task_logs l join tasks t on t.id = l.task_id
            where scheduled_for > $1 and trigger = 'SCHEDULE' and t.webhook_id <> all($2)
            """,
            since,
            sorted(besides),
        )
        return worst

    def add(self, **settings: str) -> Copy:
        """Return a place for one more process."""
        number = len(self.parts.copies) + 1
        first = self.parts.copies[0].settings
        folder = f"{first['DATA_DIR']}-{number}"
        copy = Copy(number, first | {"DATA_DIR": folder} | settings)
        self.parts.copies.append(copy)
        return copy

    async def count(self, condition: str, *arguments: object) -> int:
        """Return how many attempts are so."""
        statement = f"select count(*) from task_logs where {condition}"
        count: int = await self.database.fetchval(statement, *arguments)
        return count

    async def wait_for_judges(self) -> None:
        """Wait until every copy has lived for a lease, and so may take over from others."""

        async def are_old() -> bool:
            started_at = await self.database.fetchval(
                "select max(started_at) from engine_instances"
            )
            return bool(await self.now() - started_at > timedelta(seconds=LEASE_SECONDS + 1))

        await wait_until(are_old, what="copies that may judge")

    async def wait_between_ticks(self) -> None:
        """Wait until the last tick of tasks that fire every five seconds is over."""

        async def is_between() -> bool:
            return 1 <= (await self.now()).second % 5 < 3

        await wait_until(is_between, what="moment without ticks")

    def have_come(self, tasks: Sequence[Made]) -> bool:
        """Return whether each of these tasks has sent a request."""
        came = {request.webhook_id for request in self.parts.fake.requests}
        return {task.webhook_id for task in tasks} <= came

    async def wait_for_open(self, service: Service, tasks: Sequence[Made]) -> None:
        """Wait until requests are open that this copy has sent."""

        async def are_open() -> bool:
            webhooks = await self.owned_by(service)
            owned = [task for task in tasks if task.webhook_id in webhooks]
            return bool(owned) and self.have_come(owned)

        await wait_until(are_open, what="open requests")

    async def wait_for_claims(self, service: Service, tasks: Sequence[Made]) -> list[Made]:
        """Wait until the copy has claimed runs of these tasks, and return which."""
        owned: list[Made] = []

        async def are_claimed() -> bool:
            nonlocal owned
            webhooks = await self.owned_by(service)
            owned = [task for task in tasks if task.webhook_id in webhooks]
            return bool(owned)

        await wait_until(are_claimed, what="claims")
        return owned

    async def wait_for_ends(self, tasks: Sequence[Made]) -> datetime:
        """Wait until every run of these tasks has ended, and return when the last one did."""
        ids = [task.id for task in tasks]

        async def have_ended() -> bool:
            return not await self.count("task_id = any($1) and status = 'QUEUED'", ids)

        await wait_until(have_ended, what="end of all runs", timeout_seconds=20)
        ended_at: datetime = await self.database.fetchval(
            "select max(finished_at) from task_logs where task_id = any($1)", ids
        )
        return ended_at

    @asynccontextmanager
    async def claims_held_up(self) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        """Let every claim wait at its beginning; yield what tells whether one does."""

        async def are_waiting() -> bool:
            return bool(
                await self.database.fetchval("""
                select count(*) from pg_locks
                where relation = 'origins'::regclass and not granted
            """)
            )

        async with self.database.transaction():
            await self.database.execute("lock table origins in exclusive mode")
            yield are_waiting

    async def settle(self) -> None:
        """Turn all tasks off, wait until nothing is queued, and check every invariant."""
        await self.database.execute("update tasks set status = 'INACTIVE'")

        async def is_empty() -> bool:
            return not await self.count("status = 'QUEUED'")

        await wait_until(is_empty, what="empty queue", timeout_seconds=20)
        observed = await observe(self.parts.url, until=await self.now())
        ticks = count_ticks(observed)
        excused = self.parts.killed | self.parts.stopped_long | self.cut_off
        requests = count_requests(observed, self.parts.fake.requests, excused=excused)
        assert ticks.required
        assert [*ticks.breaches, *requests.breaches, *check_rows(observed)] == []
        assert [*self.parts.unclean, *check_outputs(self.parts.outputs)] == []
        assert self.parts.fake.limited == 0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicas(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicas]:
    """Three copies; each test leaves three behind."""
    async with cluster(tmp_path_factory.mktemp("replicas"), copies=3) as parts:
        database = await asyncpg.connect(**credentials(parts.url))
        try:
            yield Replicas(parts, database)
        finally:
            await database.close()
            await asyncio.gather(*(copy.stack.aclose() for copy in parts.copies))


def running(copy: Copy) -> Service:
    assert copy.service is not None
    return copy.service


async def trigger(service: Service, tasks: Sequence[Made]) -> None:
    await asyncio.gather(*(service.data(TRIGGER, {"id": task.id}) for task in tasks))


@contextmanager
def standing_still(*copies: Copy) -> Iterator[None]:
    """Stop these copies with SIGSTOP, and let them go on."""
    processes = [running(copy).process for copy in copies]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def requests_of(replicas: Replicas, tasks: Sequence[Made]) -> dict[str, set[int]]:
    """Return how many requests the tasks of each guarantee got."""
    counts = Counter(request.webhook_id for request in replicas.parts.fake.requests)
    return {
        guarantee: {counts[task.webhook_id] for task in tasks if task.guarantee == guarantee}
        for guarantee in GUARANTEES
    }


async def test_kill_delays_no_other_webhook_and_open_sends_end_within_ten_seconds(
    replicas: Replicas,
) -> None:
    parts = replicas.parts
    await replicas.create(18, LOAD)
    hanging = await replicas.create(12, slow_seconds=SLOW_SECONDS)
    await replicas.wait_for_judges()
    victim = parts.idle[0]
    service = running(victim)
    await trigger(service, hanging)
    await replicas.wait_for_open(service, hanging)

    killed_at = await replicas.now()
    await parts.kill(victim)
    held = await replicas.owned_by(service)
    left = [task for task in hanging if task.webhook_id in held]
    ended_at = await replicas.wait_for_ends(left)
    late_ms = await replicas.worst_lateness_ms(killed_at, besides=held)

    assert ended_at - killed_at < timedelta(seconds=TAKEOVER_SECONDS)
    assert late_ms < LATE_MS
    counts = requests_of(replicas, left)
    assert counts["AT_LEAST_ONCE"] <= {1, 2}
    assert counts["AT_MOST_ONCE"] <= {1}
    await parts.start(victim)
    await replicas.settle()


async def test_copy_that_stood_still_sends_nothing_that_it_no_longer_owns(
    replicas: Replicas,
) -> None:
    parts = replicas.parts
    await replicas.create(6, ["*/5 * * * * *"])
    is_open = await replicas.create(8, slow_seconds=SLOW_SECONDS)
    unsent = await replicas.create(8)
    await replicas.wait_for_judges()
    stopped, *others = parts.idle
    service = running(stopped)
    await replicas.wait_between_ticks()

    with ExitStack() as stack:
        with standing_still(*others):
            await trigger(service, is_open)
            await wait_until(lambda: replicas.have_come(is_open), what="open requests")
            async with replicas.claims_held_up() as is_held_up:
                await trigger(service, unsent)
                await wait_until(is_held_up, what="claim that waits")
                parts.stopped_long.add(instance_id(service))
                stack.enter_context(standing_still(stopped))
            owned = await replicas.wait_for_claims(service, unsent)
        await replicas.wait_for_ends([*is_open, *unsent])
        assert await replicas.owned_by(service) == set()
    await wait_until(lambda: "claims_lost" in service.text, what="late results")

    assert requests_of(replicas, is_open) == {"AT_LEAST_ONCE": {2}, "AT_MOST_ONCE": {1}}
    assert requests_of(replicas, owned) == {"AT_LEAST_ONCE": {1}, "AT_MOST_ONCE": {0}}
    await replicas.settle()


async def test_rolling_restart_leaves_no_gap(replicas: Replicas) -> None:
    parts = replicas.parts
    first, second, third = parts.idle
    before, meanwhile = replicas.add(), replicas.add()
    began_at = await replicas.now()
    await replicas.create(30, LOAD)

    await parts.start(before)
    await parts.terminate(first)
    await parts.terminate(second)
    await parts.start(second)
    await asyncio.gather(parts.terminate(third), parts.start(meanwhile))

    await replicas.settle()
    missed = "scheduled_for > $1 and (trigger = 'CATCH_UP' or skipped_from is not null)"
    assert await replicas.count(missed, began_at) == 0


async def test_copy_that_was_cut_off_from_the_database_comes_back(replicas: Replicas) -> None:
    parts = replicas.parts
    async with DatabaseProxy(parts.url) as proxy:
        copy = replicas.add(DATABASE_URL=proxy.url)
        await parts.start(copy)
        service = running(copy)
        await replicas.create(18, LOAD)
        hanging = await replicas.create(12, slow_seconds=SLOW_SECONDS)
        await replicas.wait_for_judges()
        await trigger(service, hanging)
        await replicas.wait_for_open(service, hanging)

        replicas.cut_off.add(instance_id(service))
        proxy.cut()
        cut_at = await replicas.now()
        held = await replicas.owned_by(service)
        left = [task for task in hanging if task.webhook_id in held]
        await replicas.wait_for_ends(left)
        assert (await service.health())[0] == 503
        assert await replicas.worst_lateness_ms(cut_at, besides=held) < LATE_MS
        proxy.mend()
        mended_at = await replicas.now()

        async def works_again() -> bool:
            sent = "claimed_by = $1 and started_at > $2 and status = 'SUCCESS'"
            return await replicas.count(sent, instance_id(service), mended_at) > 0

        await wait_until(works_again, what="delivery by the copy that was cut off")
        assert (await service.health())[0] == 200
        while_cut = "claimed_by = $1 and started_at between $2 and $3"
        assert await replicas.count(while_cut, instance_id(service), cut_at, mended_at) == 0
        counts = requests_of(replicas, left)
        assert counts["AT_LEAST_ONCE"] <= {1, 2}
        assert counts["AT_MOST_ONCE"] <= {1}
        await parts.terminate(copy)
    await replicas.settle()

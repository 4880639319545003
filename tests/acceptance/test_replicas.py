"""Copies of the real program on one database: killed, stopped, replaced and cut off."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import pytest
import pytest_asyncio

from engine.claims import _CLAIM
from engine.instance import LEASE_SECONDS
from models.orm import credentials
from tests.acceptance.running import Service
from tests.chaos.cluster import (
    LATENCY_SECONDS,
    LONG_STOP_SECONDS,
    Cluster,
    Copy,
    cluster,
    instance_id,
)
from tests.chaos.invariants import check_outputs, check_rows, count_requests, count_ticks
from tests.chaos.mutations import CREATE, TOGGLE, TRIGGER
from tests.chaos.observer import observe
from tests.chaos.proxy import DatabaseProxy
from tests.fake_discord_behaviours import answer, held
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
    pytest.mark.xdist_group("replicas"),  # they share one set of copies
    pytest.mark.no_cover,
]

# On a machine of its own it is 250 ms and 10 s; the rest is for the other tests beside it. What
# waits for a copy's lease to end is late by at least LEASE_SECONDS less BEAT_SECONDS, 4 s.
LATE_MS = 3000.0
TAKEOVER_SECONDS = 15.0
# After this, whether an answer is slow has been decided, and ten more requests may leave at once.
OPEN_SECONDS = 2 * LATENCY_SECONDS
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
        self._release = asyncio.Event()

    async def now(self) -> datetime:
        """Return the database's time."""
        at: datetime = await self.database.fetchval("select clock_timestamp()")
        return at

    async def create(
        self, count: int, schedules: Sequence[str] = ("@yearly",), *, is_held: bool = False
    ) -> list[Made]:
        """Make so many tasks; each one's first request may be held until `release`."""
        service = running(self.parts.idle[0])
        return await asyncio.gather(
            *(
                self._create(service, number, schedules[number % len(schedules)], is_held)
                for number in range(count)
            )
        )

    async def _create(self, service: Service, number: int, schedule: str, is_held: bool) -> Made:
        url = self.parts.fake.url()
        webhook_id = url.split("/")[-2]
        if is_held:
            channel_id = self.parts.fake.channel_of(webhook_id)
            then = answer(200, {"id": "1", "channel_id": channel_id})
            self.parts.fake.script(webhook_id, held(self._release, then))
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

    def release(self) -> None:
        """Answer the requests that are held."""
        self._release.set()
        self._release = asyncio.Event()

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

        await wait_until(are_old, what="copies that may judge", timeout_seconds=20)

    async def wait_between_ticks(self) -> None:
        """Wait until the last tick of tasks that fire every five seconds is over."""

        async def is_between() -> bool:
            return 1 <= (await self.now()).second % 5 < 3

        await wait_until(is_between, what="moment without ticks")

    def have_come(self, tasks: Sequence[Made]) -> bool:
        """Return whether each of these tasks sent a request, long enough ago to be answered."""
        since = time.monotonic() - OPEN_SECONDS
        requests = self.parts.fake.requests
        came = {request.webhook_id for request in requests if request.at < since}
        return {task.webhook_id for task in tasks} <= came

    async def open_requests(
        self, service: Service, tasks: Sequence[Made], others: Sequence[Copy]
    ) -> None:
        """Let this copy send a request for each of these tasks, while all others stand still."""
        with self.standing_still(*others):
            await trigger(service, tasks)
            await wait_until(lambda: self.have_come(tasks), what="open requests")

    @contextmanager
    def standing_still(self, *copies: Copy) -> Iterator[None]:
        """Stop these copies with SIGSTOP, and let them go on."""
        services = [running(copy) for copy in copies]
        began = time.monotonic()
        for service in services:
            service.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            if time.monotonic() - began > LONG_STOP_SECONDS:
                self.parts.stopped_long |= {instance_id(service) for service in services}
            for service in services:
                service.process.send_signal(signal.SIGCONT)

    async def wait_for_heartbeat(self, service: Service, since: datetime) -> None:
        """Wait until the copy has been seen later than that."""

        async def is_seen() -> bool:
            seen_at = await self.database.fetchval(
                "select seen_at from engine_instances where id = $1", instance_id(service)
            )
            return bool(seen_at > since)

        await wait_until(is_seen, what="heartbeat")

    async def stop_between_claim_and_send(self, copy: Copy, tasks: Sequence[Made]) -> list[Made]:
        """Stop a copy with SIGSTOP when the database has claims of it that it doesn't know of yet.

        Returns the tasks that are claimed. A claim that waits here may have begun before there was
        anything to claim; then the next tasks are tried.
        """
        service = running(copy)
        for first in range(0, len(tasks), 2):
            async with self.database.transaction():
                await self.database.execute("select from origins for update")
                await trigger(service, tasks[first : first + 2])
                await wait_until(self._is_claim_waiting, what="claim that waits")
                service.process.send_signal(signal.SIGSTOP)
            await wait_until(self._is_claim_over, what="end of the claim")
            owned = await self.owned_by(service)
            if claimed := [task for task in tasks if task.webhook_id in owned]:
                return claimed
            service.process.send_signal(signal.SIGCONT)
        raise AssertionError("no claim was held up")

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

    async def _is_claim_waiting(self) -> bool:
        return bool(
            await self.database.fetchval("""
            select count(*) from pg_locks where locktype = 'transactionid' and not granted
        """)
        )

    async def _is_claim_over(self) -> bool:
        running = """
            select count(*) from pg_stat_activity
            where state = 'active' and query <> '' and starts_with($1, query)
        """
        return not await self.database.fetchval(running, _CLAIM)

    async def settle(self) -> None:
        """Turn all tasks off, wait until nothing is queued, and check every invariant.

        A user's change stores the ticks before it, which a statement of our own would cut off.
        """
        service = running(self.parts.idle[0])
        active = await self.database.fetch("select id from tasks where status = 'ACTIVE'")
        await asyncio.gather(*(service.data(TOGGLE, {"id": str(row["id"])}) for row in active))

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
    hanging = await replicas.create(12, is_held=True)
    await replicas.wait_for_judges()
    victim, *others = parts.idle
    service = running(victim)
    await replicas.open_requests(service, hanging, others)

    killed_at = await replicas.now()
    await parts.kill(victim)
    replicas.release()
    owned = await replicas.owned_by(service)
    ended_at = await replicas.wait_for_ends(hanging)
    late_ms = await replicas.worst_lateness_ms(killed_at, besides=owned)

    assert ended_at - killed_at < timedelta(seconds=TAKEOVER_SECONDS)
    assert late_ms < LATE_MS
    assert requests_of(replicas, hanging) == {"AT_LEAST_ONCE": {2}, "AT_MOST_ONCE": {1}}
    await parts.start(victim)
    await replicas.settle()


async def test_copy_that_stood_still_sends_nothing_that_it_no_longer_owns(
    replicas: Replicas,
) -> None:
    parts = replicas.parts
    await replicas.create(6, ["*/5 * * * * *"])
    is_open = await replicas.create(8, is_held=True)
    unsent = await replicas.create(8)
    await replicas.wait_for_judges()
    stopped, *others = parts.idle
    service = running(stopped)
    await replicas.wait_between_ticks()

    with ExitStack() as stack:
        stack.callback(service.process.send_signal, signal.SIGCONT)
        with replicas.standing_still(*others):
            await replicas.open_requests(service, is_open, ())
            parts.stopped_long.add(instance_id(service))
            claimed = await replicas.stop_between_claim_and_send(stopped, unsent)
            replicas.release()
        await replicas.wait_for_ends([*is_open, *unsent])
        assert await replicas.owned_by(service) == set()
    await wait_until(lambda: "claims_lost" in service.text, what="late results")

    assert requests_of(replicas, is_open) == {"AT_LEAST_ONCE": {2}, "AT_MOST_ONCE": {1}}
    counts = requests_of(replicas, claimed)
    assert counts["AT_LEAST_ONCE"] <= {1}
    assert counts["AT_MOST_ONCE"] <= {0}
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
        others = parts.idle
        copy = replicas.add(DATABASE_URL=proxy.url)
        await parts.start(copy)
        service = running(copy)
        await replicas.create(18, LOAD)
        hanging = await replicas.create(12, is_held=True)
        again = await replicas.create(4)
        await replicas.wait_for_judges()
        await replicas.open_requests(service, hanging, others)

        replicas.cut_off.add(instance_id(service))
        proxy.cut()
        replicas.release()
        cut_at = await replicas.now()
        owned = await replicas.owned_by(service)
        await replicas.wait_for_ends(hanging)
        assert (await service.health())[0] == 503
        assert await replicas.worst_lateness_ms(cut_at, besides=owned) < LATE_MS
        proxy.mend()
        mended_at = await replicas.now()
        await replicas.wait_for_heartbeat(service, mended_at)
        await replicas.open_requests(service, again, others)

        assert (await service.health())[0] == 200
        while_cut = "claimed_by = $1 and started_at between $2 and $3"
        assert await replicas.count(while_cut, instance_id(service), cut_at, mended_at) == 0
        assert requests_of(replicas, hanging) == {"AT_LEAST_ONCE": {2}, "AT_MOST_ONCE": {1}}
        await parts.terminate(copy)
    await replicas.settle()

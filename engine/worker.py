"""Claim what is due, send it, and record how it ended."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

import asyncpg
import structlog

from engine.catch_up import Accounting
from engine.claim_connection import ClaimConnection
from engine.claims import Claim, claim, seconds_to_next
from engine.clock import sleepless
from engine.delivery import Delivery
from engine.ending import Finished
from engine.expiry import Expiry
from engine.instance import FENCE_SECONDS, LEASE_SECONDS, Instance
from engine.lanes import LaneEnd, lock_lanes, settle_lanes
from engine.limits import Budget
from engine.metrics import DELIVERIES, IN_FLIGHT
from engine.recorder import Recorder
from engine.releases import release_all_but
from engine.stored_urls import StoredUrls
from engine.takeover import take_over
from models.database import Connection, Database
from models.enums import LogStatus
from models.errors import DatabaseUnavailable

POLL_SECONDS = 2.0
# Claims follow one another no faster, unless there was something to claim.
COALESCE_SECONDS = 0.02
STARTS_PER_TURN = 10
RETRY_SECONDS = 0.5
# A copy that can't read every webhook URL lets those that can be quicker by this much.
YIELD_SECONDS = 0.5
# Results that wait for the database; more, and nothing is claimed.
MAX_UNRECORDED = 1000
RECORD_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Worker:
    """Up to `concurrency` attempts at once, at most one per webhook over all copies."""

    def __init__(
        self,
        database: Database,
        instance: Instance,
        delivery: Delivery,
        *,
        urls: StoredUrls,
        concurrency: int,
        budget: Budget,
        accounting: Accounting,
        elapsed: Callable[[], float] = sleepless,
    ) -> None:
        self._database = database
        self._instance = instance
        self._delivery = delivery
        self._urls = urls
        self._concurrency = concurrency
        self._budget = budget
        self._elapsed = elapsed
        self._recorder = Recorder(
            database,
            instance_id=instance.id,
            budget=budget,
            accounting=accounting,
            on_recorded=self._recorded,
        )
        self._expiry = Expiry(instance_id=instance.id)
        self._claiming = ClaimConnection(database)
        self._wake = asyncio.Event()
        self._open: dict[asyncio.Task[None], UUID] = {}
        self._is_draining = False
        self._has_backlog = False
        self._is_in_doubt = False
        self._claims_ended = asyncio.Event()
        self._claims_ended.set()

    @property
    def in_flight(self) -> int:
        """How many attempts this copy has claimed and not yet recorded."""
        return len(self._open) + self._recorder.waiting

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    async def claim_loop(self) -> None:
        """Claim and start attempts until drained or cancelled."""
        self._claims_ended.clear()
        try:
            while not self._is_draining:
                timeout_seconds = await self._claim_safely()
                with suppress(TimeoutError):
                    async with asyncio.timeout(timeout_seconds):
                        await self._wake.wait()
        finally:
            self._claims_ended.set()
            await self._claiming.close()

    async def record_loop(self) -> None:
        """Record how attempts ended, in batches, until cancelled."""
        await self._recorder.run()

    async def takeover_loop(self) -> None:
        """Take over the work of dead copies, and end what waited in vain, until cancelled."""
        me = self._instance
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(DatabaseUnavailable, asyncpg.PostgresError):
                await self._urls.look_again(self._database)
            if not (me.may_judge() and me.is_fresh()):
                continue
            judge = partial(take_over, instance_id=me.id, seen_at=me.seen_at)
            with suppress(DatabaseUnavailable, asyncpg.PostgresError):
                taken = await self._database.transact(judge)
                if taken.resent or taken.unknown:
                    log.warning("taken_over", resent=taken.resent, unknown=taken.unknown)
                    self._wake.set()
                DELIVERIES.labels(LogStatus.UNKNOWN).inc(taken.unknown)
                # A claim whose connection broke may be committed after all of this.
                await self._database.transact(partial(self._release_unknown, LEASE_SECONDS))
                expired = await self._expiry.end_overdue(self._database)
                DELIVERIES.labels(LogStatus.FAILED).inc(expired)

    async def drain(self, timeout_seconds: float) -> None:
        """Claim no more; finish what is open, and cut off what is still open after the timeout.

        `record_loop` must be running, and records the last results.
        """
        self._is_draining = True
        self._wake.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._claims_ended.wait()
                while self._open:
                    await asyncio.wait(self._open)
        for delivery in self._open:
            delivery.cancel()
        if self._open:
            await asyncio.wait(self._open)
        if self._is_in_doubt:
            with suppress(DatabaseUnavailable, asyncpg.PostgresError):
                await self._database.transact(partial(self._release_unknown, 0.0))
        with suppress(TimeoutError):
            async with asyncio.timeout(RECORD_SECONDS):
                await self._recorder.wait_until_empty()

    async def _claim_safely(self) -> float:
        try:
            return await self._claim_once()
        except (DatabaseUnavailable, asyncpg.PostgresError) as error:
            log.warning("claim_failed", reason=type(error).__name__)
            self._wake.clear()
            return RETRY_SECONDS

    async def _claim_once(self) -> float:
        """Claim what there is room for; return after how many seconds to look again."""
        if self._urls.unreadable is not None:
            await asyncio.sleep(YIELD_SECONDS)
        self._wake.clear()
        room = min(self._concurrency - len(self._open), MAX_UNRECORDED - self._recorder.waiting)
        self._has_backlog = False
        if room <= 0 or not self._instance.is_fresh():
            return POLL_SECONDS
        if self._is_in_doubt:
            await self._database.transact(partial(self._release_unknown, 0.0))
            self._is_in_doubt = False
        async with self._claiming.opened() as connection:
            claimed_at, self._is_in_doubt = self._elapsed(), True
            claimed = await claim(
                connection,
                instance_id=self._instance.id,
                limit=room,
                budget=self._budget,
                claimed_at=claimed_at,
            )
            self._start(claimed.claims)
            self._is_in_doubt = False
            self._has_backlog = len(claimed.claims) == room
            # With a backlog the room is what is waited for.
            seconds = None if self._has_backlog else await seconds_to_next(connection, self._budget)
        if claimed.idle_lanes:
            await self._settle(claimed.idle_lanes)
        if self._has_backlog:
            return POLL_SECONDS
        await asyncio.sleep(COALESCE_SECONDS)
        return POLL_SECONDS if seconds is None else min(max(seconds, 0.0), POLL_SECONDS)

    async def _release_unknown(self, age_seconds: float, connection: Connection) -> None:
        """Give back what the database has held as ours for so long, and we know nothing of.

        A committed claim's answer is lost when the connection breaks; none of it was sent.
        """
        known = {*self._open.values(), *self._recorder.log_ids}
        await release_all_but(
            connection,
            instance_id=self._instance.id,
            log_ids=list(known),
            age_seconds=age_seconds,
        )

    async def _settle(self, webhook_keys: Sequence[bytes]) -> None:
        async def work(connection: Connection) -> None:
            await lock_lanes(connection, webhook_keys)
            await settle_lanes(
                connection,
                [LaneEnd(webhook_key=key) for key in webhook_keys],
                instance_id=self._instance.id,
            )

        await self._database.transact(work)

    def _start(self, claims: Sequence[Claim]) -> None:
        for number, one in enumerate(claims):
            delivery = asyncio.create_task(self._deliver(one, number // STARTS_PER_TURN))
            self._open[delivery] = one.log_id
            delivery.add_done_callback(self._open.pop)
        IN_FLIGHT.set(self.in_flight)

    async def _deliver(self, one: Claim, turns: int) -> None:
        """Deliver one claim; whatever happens, it ends among the results or is given back.

        It begins after so many turns of the loop: only at the end of each do requests leave.
        """
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
            end = self._delivery.settle_unsent(one)
            if end is None:
                end = await self._send(one)
        except asyncio.CancelledError:
            end = self._delivery.interrupted(one, "the service stopped before the answer came")
        except Exception:
            log.exception("delivery_failed", task_id=str(one.task_id), log_id=str(one.log_id))
            end = self._delivery.interrupted(one, "an unexpected error; the log has details")
        if end is None:
            self._recorder.give_back(one)
        else:
            self._recorder.put(end)
        if self._has_backlog and len(self._open) <= 3 * self._concurrency // 4:
            self._wake.set()

    async def _send(self, one: Claim) -> Finished | None:
        address = self._delivery.address(one)
        if isinstance(address, Finished):
            return address
        age_seconds = self._elapsed() - one.claimed_at
        if self._is_draining or age_seconds > FENCE_SECONDS or not self._instance.is_fresh():
            return None
        return await self._delivery.send(one, address)

    def _recorded(self) -> None:
        IN_FLIGHT.set(self.in_flight)
        self._wake.set()

"""Record how attempts of this copy ended, in batches, and give back those that were not sent."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from uuid import UUID

import asyncpg
import structlog

from engine.catch_up import Accounting
from engine.claims import Claim, release
from engine.ending import Finished
from engine.finish import record
from engine.limits import Budget
from engine.metrics import DELIVERIES
from models.database import Connection, Database
from models.enums import LogStatus
from models.errors import DatabaseUnavailable

BATCH = 500
RETRY_SECONDS = 0.5

log = structlog.get_logger(__name__)


class Recorder:
    """Keeps what ended until the database has it; `on_recorded` is told after each try."""

    def __init__(
        self,
        database: Database,
        *,
        instance_id: UUID,
        budget: Budget,
        accounting: Accounting,
        on_recorded: Callable[[], None],
    ) -> None:
        self._database = database
        self._instance_id = instance_id
        self._budget = budget
        self._accounting = accounting
        self._on_recorded = on_recorded
        self._results: dict[UUID, Finished] = {}
        self._unsent: dict[UUID, Claim] = {}
        self._ended = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def waiting(self) -> int:
        """How many attempts wait for the database."""
        return len(self._results) + len(self._unsent)

    @property
    def log_ids(self) -> list[UUID]:
        """Return the ids of these attempts."""
        return [*self._results, *self._unsent]

    def put(self, end: Finished) -> None:
        """Take how an attempt ended."""
        self._results[end.claim.log_id] = end
        self._note()

    def give_back(self, claim: Claim) -> None:
        """Take a claim that was not sent."""
        self._unsent[claim.log_id] = claim
        self._note()

    async def run(self) -> None:
        """Record what comes, until cancelled."""
        if self.waiting:  # it was started again
            self._ended.set()
        while True:
            await self._ended.wait()
            self._ended.clear()
            try:
                await self._record_all()
            except (DatabaseUnavailable, asyncpg.PostgresError) as error:
                log.warning("record_failed", reason=type(error).__name__)
                self._ended.set()
                await asyncio.sleep(RETRY_SECONDS)
            self._on_recorded()

    async def wait_until_empty(self) -> None:
        """Return when nothing waits any more; `run` must be running."""
        await self._empty.wait()

    def _note(self) -> None:
        self._empty.clear()
        self._ended.set()

    async def _record_all(self) -> None:
        while self.waiting:
            batch = list(islice(self._results.values(), BATCH))
            unsent = list(islice(self._unsent.values(), BATCH))
            try:
                recorded = await self._database.transact(partial(self._record, batch, unsent))
            except asyncpg.DiskFullError:
                raise  # none of them would fare better alone
            except asyncpg.PostgresError:
                if len(batch) + len(unsent) == 1:
                    raise
                await self._record_singly(batch, unsent)
            else:
                self._forget(batch, unsent)
                _count(recorded)

    async def _record_singly(self, batch: Sequence[Finished], unsent: Sequence[Claim]) -> None:
        """Record each for itself, so that one the database refuses harms no other.

        What is refused goes to the end of the queue, to be tried again.
        """
        refused = []
        for end in batch:
            try:
                recorded = await self._database.transact(partial(self._record, [end], []))
            except asyncpg.PostgresError:
                refused.append(end.claim.log_id)
            else:
                self._forget([end], [])
                _count(recorded)
        for one in unsent:
            await self._database.transact(partial(self._record, [], [one]))
            self._forget([], [one])
        for log_id in refused:
            self._results[log_id] = self._results.pop(log_id)
        if refused:
            raise asyncpg.DataError(f"{len(refused)} results were refused")

    def _forget(self, batch: Sequence[Finished], unsent: Sequence[Claim]) -> None:
        """Drop what is recorded; an attempt given back may have been claimed and ended anew."""
        for end in batch:
            if self._results[end.claim.log_id] is end:
                del self._results[end.claim.log_id]
        for one in unsent:
            if self._unsent[one.log_id] is one:
                del self._unsent[one.log_id]
        if not self.waiting:
            self._empty.set()

    async def _record(
        self, batch: Sequence[Finished], unsent: Sequence[Claim], connection: Connection
    ) -> Sequence[Finished]:
        if unsent:
            await release(connection, instance_id=self._instance_id, claims=unsent)
        if not batch:
            return ()
        recorded = await record(
            connection,
            batch,
            instance_id=self._instance_id,
            budgeted=self._budget.origins,
            accounting=self._accounting,
        )
        if len(recorded) < len(batch):
            log.warning("claims_lost", count=len(batch) - len(recorded))
        return recorded


def _count(recorded: Sequence[Finished]) -> None:
    for end in recorded:
        if end.status is not LogStatus.QUEUED:
            DELIVERIES.labels(end.status).inc()

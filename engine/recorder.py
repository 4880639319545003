"""Record how attempts of this copy ended, in batches, and give back those that were not sent."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from typing import TypeVar
from uuid import UUID

import asyncpg
import structlog

from engine.catch_up import Accounting
from engine.claims import Claim
from engine.ending import Finished
from engine.finish import Recorded, record
from engine.invalid_requests import invalid_among
from engine.limits import Budget
from engine.metrics import DELIVERIES, INVALID
from engine.releases import release
from engine.ticks import count_ticks
from models.database import Database
from models.enums import LogStatus
from models.errors import DatabaseUnavailable

BATCH = 500
RETRY_SECONDS = 0.5
COALESCE_SECONDS = 0.03

T = TypeVar("T", Finished, Claim)

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
        """Record what comes, until cancelled; whatever goes wrong is tried again."""
        if self.waiting:  # it was started again
            self._ended.set()
        while True:
            await self._ended.wait()
            self._ended.clear()
            try:
                is_done = await self._record_all()
            except (DatabaseUnavailable, asyncpg.PostgresError) as error:
                log.warning("record_failed", reason=type(error).__name__)
                is_done = False
            if not is_done:
                self._ended.set()
                await asyncio.sleep(RETRY_SECONDS)
            self._on_recorded()

    async def wait_until_empty(self) -> None:
        """Return when nothing waits any more; `run` must be running."""
        await self._empty.wait()

    def _note(self) -> None:
        self._empty.clear()
        self._ended.set()

    async def _record_all(self) -> bool:
        """Record until nothing waits; False, and no further, once something was refused.

        Claims are given back apart: that locks webhooks, and results lock cursors before those.
        """
        while self.waiting:
            # What ends in the meantime shares a transaction.
            await asyncio.sleep(COALESCE_SECONDS)
            refused = await self._each(self._release, list(islice(self._unsent.values(), BATCH)))
            refused += await self._each(self._record, list(islice(self._results.values(), BATCH)))
            if refused:
                return False
        return True

    async def _each(self, store: Callable[[Sequence[T]], Awaitable[None]], batch: list[T]) -> int:
        """Store a batch, else each for itself, so that one that is refused harms no other.

        Returns how many were refused; they went to the end of their queue, to be tried again.
        """
        if not batch:
            return 0
        try:
            await store(batch)
        except (DatabaseUnavailable, asyncpg.DiskFullError):
            raise  # none of them would fare better alone
        except asyncpg.PostgresError as error:
            log.warning("record_refused", count=len(batch), reason=type(error).__name__)
        except Exception:
            log.exception("record_refused", count=len(batch))
        else:
            return 0
        if len(batch) > 1:
            return sum([await self._each(store, [one]) for one in batch])
        self._postpone(batch[0])
        return 1

    async def _release(self, unsent: Sequence[Claim]) -> None:
        await self._database.transact(
            partial(release, instance_id=self._instance_id, claims=unsent)
        )
        for one in unsent:
            if self._unsent.get(one.log_id) is one:
                del self._unsent[one.log_id]
        self._note_empty()

    async def _record(self, batch: Sequence[Finished]) -> None:
        recorded = await self._database.transact(
            partial(
                record,
                finished=batch,
                instance_id=self._instance_id,
                budgeted=self._budget.origins,
                accounting=self._accounting,
            )
        )
        # An attempt given back may have been claimed and ended anew.
        for end in batch:
            if self._results.get(end.claim.log_id) is end:
                del self._results[end.claim.log_id]
        self._note_empty()
        if len(recorded.ends) < len(batch):
            log.warning("claims_lost", count=len(batch) - len(recorded.ends))
        self._count(recorded)

    def _postpone(self, one: Finished | Claim) -> None:
        """Put it behind the others, unless the same attempt has come again."""
        if isinstance(one, Claim):
            if self._unsent.get(one.log_id) is one:
                self._unsent[one.log_id] = self._unsent.pop(one.log_id)
        elif self._results.get(one.claim.log_id) is one:
            self._results[one.claim.log_id] = self._results.pop(one.claim.log_id)

    def _note_empty(self) -> None:
        if not self.waiting:
            self._empty.set()

    def _count(self, recorded: Recorded) -> None:
        for end in recorded.ends:
            if end.status is not LogStatus.QUEUED:
                DELIVERIES.labels(end.status).inc()
        INVALID.inc(invalid_among(recorded.ends, self._budget.origins))
        count_ticks(recorded.stored)

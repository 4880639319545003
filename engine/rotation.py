"""Rotate keys: encrypt what is stored anew with the first of ENCRYPTION_KEYS, while all runs on."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from engine.cipher import WebhookCipher, WrongEncryptionKeys
from models.database import Database, PooledConnection

BATCH: Final = 500
_FIRST: Final = UUID(int=0)

# Deleted tasks too: their rows stay until retention comes to them.
_PAGE: Final = "select id, webhook_url from tasks where id > $1 order by id limit $2"
# What was changed since it was read is left alone; its change has encrypted it anew.
_WRITE: Final = """
with unchanged as (
    select t.id, f.fresh from tasks t
    join unnest($1::uuid[], $2::text[], $3::text[]) as f (id, stored, fresh)
        on f.id = t.id and f.stored = t.webhook_url
    order by t.id for update of t
)
update tasks t set webhook_url = u.fresh from unchanged u where t.id = u.id
returning t.id
"""
_WRITE_CANARY: Final = "update engine_state set canary = $2 where id = 1 and canary = $1"

Progress = Callable[[int, int], None]
"""Hears how many of how many webhook URLs are done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """How many webhook URLs are stored, and how many of them were encrypted anew."""

    total: int
    rotated: int


class KeyRotation:
    """Encrypts all webhook URLs and the canary with the first of the cipher's keys.

    It may run beside any number of copies, be broken off, and run again: what is done stays done,
    and a change of a task that comes in between wins.
    """

    def __init__(self, database: Database, cipher: WebhookCipher, *, batch: int = BATCH) -> None:
        self._database = database
        self._cipher = cipher
        self._batch = batch

    async def run(self, progress: Progress) -> Rotated:
        """Rotate until nothing is left; nothing at all if something stored can't be read.

        Raises:
            WrongEncryptionKeys: none of the keys can read some of what is stored.
            DatabaseUnavailable: the server can't be reached; what is done stays done.
        """
        total, stale_before = await self._survey()
        done, is_complete = 0, False
        while not is_complete:
            is_complete = True
            async for rows in self._pages():
                stale = {task_id: url for task_id, url in rows.items() if self._is_stale(url)}
                written = await self._rotate(stale)
                is_complete &= written == len(stale)
                done += written
                if written:
                    progress(done, max(done, stale_before))
        await self._rotate_canary()
        return Rotated(total=total, rotated=done)

    async def _survey(self) -> tuple[int, int]:
        """Return how many URLs are stored, and how many of them the first key did not encrypt."""
        total = stale = unreadable = 0
        async for rows in self._pages():
            total += len(rows)
            for url in filter(self._is_stale, rows.values()):
                stale += 1
                unreadable += not self._cipher.can_decrypt(url)
        if unreadable:
            raise WrongEncryptionKeys(
                f"ENCRYPTION_KEYS: none of them can read {unreadable} of {total} stored webhook "
                "URLs; put back the key that these were stored with"
            )
        return total, stale

    async def _pages(self) -> AsyncIterator[dict[UUID, str]]:
        """Yield the stored URLs by their tasks, in batches, each read when it is asked for."""
        last = _FIRST
        while True:
            async with self._database.connection() as connection:
                rows = await connection.fetch(_PAGE, last, self._batch)
            if not rows:
                return
            yield {row["id"]: row["webhook_url"] for row in rows}
            last = rows[-1]["id"]

    async def _rotate(self, stale: dict[UUID, str]) -> int:
        """Write these anew, unless they were changed meanwhile; return how many were written."""
        if not stale:
            return 0
        fresh = [self._cipher.rotate(url) for url in stale.values()]

        async def work(connection: PooledConnection) -> int:
            return len(await connection.fetch(_WRITE, list(stale), list(stale.values()), fresh))

        return await self._database.transact(work)

    async def _rotate_canary(self) -> None:
        """Last of all: until then, a copy with the new key alone must not start."""
        async with self._database.connection() as connection:
            canary = await connection.fetchval("select canary from engine_state where id = 1")
            if canary is not None and self._is_stale(canary):
                await connection.execute(_WRITE_CANARY, canary, self._cipher.rotate(canary))

    def _is_stale(self, token: str) -> bool:
        return not self._cipher.is_current(token)

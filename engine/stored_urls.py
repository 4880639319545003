"""The webhook URLs as all copies store them, and whether this copy's keys can read them."""

from collections.abc import Callable
from uuid import UUID

import structlog

from engine.cipher import WebhookCipher, WrongEncryptionKeys
from engine.claims import Claim
from engine.clock import sleepless
from models.database import Database

LOG_SECONDS = 60.0

_STORED = "select webhook_url from tasks where id = $1 and deleted_at is null"

log = structlog.get_logger(__name__)


class StoredUrls:
    """Decrypts URLs; `unreadable` is a task whose URL none of our keys can read, if there is one.

    A copy with other ENCRYPTION_KEYS stored it, so its runs are left to the others.
    """

    def __init__(self, cipher: WebhookCipher, *, elapsed: Callable[[], float] = sleepless) -> None:
        self.unreadable: UUID | None = None
        self._cipher = cipher
        self._elapsed = elapsed
        self._logged_at = float("-inf")

    def read(self, claim: Claim) -> str | None:
        """Return the URL of the claim's webhook; None, which is noted, if it can't be read."""
        try:
            return self._cipher.decrypt(claim.encrypted_url)
        except WrongEncryptionKeys as error:
            self.unreadable = claim.task_id
            self._tell(str(error))
            return None

    async def look_again(self, database: Database) -> None:
        """Forget what was unreadable if it was stored anew, or its task deleted.

        Raises:
            DatabaseUnavailable: the server can't be reached.
        """
        task_id = self.unreadable
        if task_id is None:
            return
        async with database.connection() as connection:
            stored = await connection.fetchval(_STORED, task_id)
        if task_id == self.unreadable and (stored is None or self._cipher.can_decrypt(stored)):
            self.unreadable = None

    def _tell(self, reason: str) -> None:
        if self._elapsed() - self._logged_at >= LOG_SECONDS:
            self._logged_at = self._elapsed()
            log.error("webhook_url_unreadable", task_id=str(self.unreadable), reason=reason)

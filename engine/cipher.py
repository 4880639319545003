"""Webhook URLs at rest: encrypted, because whoever has the URL can post."""

from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from engine.errors import EngineError
from models.database import Database

CANARY = "discord-task-scheduler"


class WrongEncryptionKeys(EngineError):
    """The database was written with other ENCRYPTION_KEYS; these can read no webhook URL."""


class WebhookCipher:
    """Encrypts with the first of the keys, decrypts with any of them.

    Raises:
        WrongEncryptionKeys: one of the keys has not the form of a key.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            fernets = [Fernet(key) for key in keys]
        except ValueError:
            raise WrongEncryptionKeys("ENCRYPTION_KEYS: one of them is no Fernet key") from None
        self._fernet = MultiFernet(fernets)
        self._first = fernets[0]

    def encrypt(self, text: str) -> str:
        """Return the text encrypted, fit for a text column."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, token: str) -> str:
        """Return what `encrypt` was given.

        Raises:
            WrongEncryptionKeys: none of the keys made this token.
        """
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken:
            raise WrongEncryptionKeys(
                "ENCRYPTION_KEYS: none of them can read what is stored"
            ) from None

    def rotate(self, token: str) -> str:
        """Return the token's text encrypted anew, with the first of the keys.

        Raises:
            WrongEncryptionKeys: as for `decrypt`.
        """
        return self.encrypt(self.decrypt(token))

    def is_current(self, token: str) -> bool:
        """Return whether the first of the keys made this token."""
        return _reads(self._first, token)

    def can_decrypt(self, token: str) -> bool:
        """Return whether any of the keys made this token."""
        return _reads(self._fernet, token)


def _reads(fernet: Fernet | MultiFernet, token: str) -> bool:
    try:
        fernet.decrypt(token.encode())
    except InvalidToken:
        return False
    return True


async def check_canary(database: Database, cipher: WebhookCipher) -> None:
    """Prove that the keys fit the database, or leave the proof in a new one.

    Raises:
        WrongEncryptionKeys: the database was written with other keys.
        DatabaseUnavailable: the server can't be reached.
    """
    async with database.transaction() as connection:
        canary = await connection.fetchval(
            "select canary from engine_state where id = 1 for update"
        )
        if canary is not None:
            cipher.decrypt(canary)
            return
        await connection.execute(
            "update engine_state set canary = $1 where id = 1", cipher.encrypt(CANARY)
        )

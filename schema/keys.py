"""API keys: who holds which, found without telling by time how near a guess was."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from setting_types import ApiKey, KeyRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: the name of the API key, and what it permits."""

    name: str
    role: KeyRole


class KeyRing:
    """The API keys, of which only digests are kept."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._principals = tuple(
            (_digest(key.key.get_secret_value()), Principal(name=key.name, role=key.role))
            for key in keys
        )

    def find(self, given: str) -> Principal | None:
        """Return whose key it is; every key is compared, whichever it is."""
        digest, found = _digest(given), None
        for known, principal in self._principals:
            if hmac.compare_digest(known, digest):
                found = principal
        return found


def presented_key(headers: Mapping[str, str]) -> str | None:
    """Return the key that a request carries: X-API-Key, else Authorization: Bearer.

    The names of the headers are looked up as they are written here.
    """
    given = headers.get("X-API-Key", "").strip()
    if given:
        return given
    scheme, _, token = headers.get("Authorization", "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()

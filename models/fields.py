"""Column types that the ORM does not have, and the ids of rows."""

import os
import time
import uuid
from typing import Any

import orjson
from tortoise import fields
from tortoise.fields.base import Field


def uuid7() -> uuid.UUID:
    """Return a new UUID of version 7: it sorts by its time, so new rows go to the end of an index.

    Source: RFC 9562, section 5.7.
    """
    ms = time.time_ns() // 1_000_000
    # 74 random bits, read at once: one call to the system costs more than all the rest.
    random = int.from_bytes(os.urandom(10)) >> 6
    head = (ms & (1 << 48) - 1) << 80 | 7 << 76 | (random >> 62) << 64
    return uuid.UUID(int=head | 0b10 << 62 | random & (1 << 62) - 1)


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()


class JSONTextField(fields.JSONField[Any]):
    """JSON kept as it was given (`json`, not `jsonb`), so that a payload is sent like that."""

    class _db_postgres:  # noqa: N801 - the ORM looks for this name
        SQL_TYPE = "JSON"

    def __init__(self, **kwargs: Any) -> None:  # noqa: ANN401 - any option of the ORM
        super().__init__(encoder=_dumps, decoder=orjson.loads, **kwargs)


class DigestField(Field[bytes]):
    """A SHA-256 digest of 32 bytes, which may be a key."""

    SQL_TYPE = "BYTEA"
    field_type = bytes

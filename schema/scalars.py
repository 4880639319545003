"""The scalars of the API: instants have an offset, and JSON can be written as JSON."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NewType
from uuid import UUID

import orjson
import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

JSON = NewType("JSON", object)

# Source: RFC 3339, section 5.6.
_DATE_TIME: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})", re.ASCII | re.IGNORECASE
)
# Source: RFC 9562, section 4. Python also takes braces, urn:uuid: and hyphens anywhere.
_UUID: Final = re.compile(
    r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}", re.ASCII | re.IGNORECASE
)
# What orjson can write: the signed and the unsigned integers of 64 bits.
_INTEGERS: Final = range(-(2**63), 2**64)


def parse_date_time(value: object) -> datetime:
    """Return an RFC 3339 instant in UTC; one without an offset is refused."""
    try:
        if isinstance(value, str) and _DATE_TIME.fullmatch(value):
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise GraphQLError(
        "A DateTime is RFC 3339 text with an offset, such as 2026-01-31T09:00:00Z "
        "or 2026-01-31T10:00:00+01:00."
    )


def format_date_time(value: datetime) -> str:
    """Return the instant in UTC, ending with Z."""
    # The driver's are UTC already.
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return utc.isoformat().removesuffix("+00:00") + "Z"


def format_date_times(values: Sequence[datetime]) -> list[str]:
    """Return the instants in UTC, as `format_date_time` does: those in UTC are written in C."""
    if all(value.tzinfo is UTC for value in values):
        written: list[str] = orjson.loads(orjson.dumps(values, option=orjson.OPT_UTC_Z))
        return written
    return [format_date_time(value) for value in values]


def parse_uuid(value: object) -> UUID:
    """Return the UUID of a text in hexadecimal digits, with hyphens at their places or without."""
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    raise GraphQLError("A UUID is text such as 01890a5d-ac96-774b-bcce-b302099a8057.")


def parse_json(value: object) -> object:
    """Return the value if it can be written as JSON: no infinite and no giant numbers."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as fields:
                waiting.extend(fields.values())
            case list() as items:
                waiting.extend(items)
            case float() as number if not math.isfinite(number):
                raise GraphQLError("A number in JSON must be finite.")
            case int() as number if number not in _INTEGERS:
                raise GraphQLError("An integer in JSON must fit into 64 bits.")
    return value


def _as_it_is(value: object) -> object:
    return value


SCALARS: Final[dict[object, ScalarDefinition]] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description=(
            "An instant as RFC 3339 text. An offset is required on the way in, and the way out is "
            "always UTC. Example: `2026-01-31T09:00:00Z`."
        ),
        serialize=format_date_time,
        parse_value=parse_date_time,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description='Any JSON value. Example: `{"content": "Good morning!"}`.',
        serialize=_as_it_is,
        parse_value=parse_json,
    ),
    UUID: strawberry.scalar(
        name="UUID",
        description="A UUID. Example: `01890a5d-ac96-774b-bcce-b302099a8057`.",
        serialize=str,
        parse_value=parse_uuid,
    ),
}

COLUMNS: Final[Mapping[str, Callable[[Sequence[Any]], list[Any]]]] = {
    "DateTime": format_date_times,
}
"""What writes many values of a scalar at once, for less than its `serialize` takes for each."""

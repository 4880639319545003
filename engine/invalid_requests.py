"""The budget of invalid requests: Discord bans an address that makes too many of them."""

from collections.abc import Collection, Sequence

import structlog

from engine.ending import Finished
from engine.limits import INVALID_REQUESTS, INVALID_WINDOW_MINUTES
from models.database import Connection

log = structlog.get_logger(__name__)

_COUNT = """
insert into invalid_requests (minute, count) values (date_trunc('minute', clock_timestamp()), $1)
on conflict (minute) do update set count = invalid_requests.count + excluded.count
"""

# The minute at whose end, plus the window, fewer than the budget are left in the window.
_HOLD = """
with running as (
    select minute, sum(count) over (order by minute desc) as total from invalid_requests
    where minute > clock_timestamp() - ($3::int + 1) * interval '1 minute'
), full_at as (
    select max(minute) + ($3::int + 1) * interval '1 minute' as ends_at
    from running where total >= $2
)
update origins o set held_until = greatest(o.held_until, f.ends_at)
from full_at f
where o.origin = any($1::text[]) and f.ends_at > coalesce(o.held_until, clock_timestamp())
returning o.origin, o.held_until
"""


def invalid_among(ends: Sequence[Finished], budgeted: Collection[str]) -> int:
    """Return how many of these requests count towards the ban of the address."""
    return sum(end.counts_as_invalid and end.claim.origin in budgeted for end in ends)


async def count_invalid(
    connection: Connection, ends: Sequence[Finished], budgeted: Collection[str]
) -> None:
    """Count the invalid requests among these, and hold the budgeted origins at half of the ban."""
    invalid = invalid_among(ends, budgeted)
    if not invalid:
        return
    await connection.execute(_COUNT, invalid)
    rows = await connection.fetch(_HOLD, list(budgeted), INVALID_REQUESTS, INVALID_WINDOW_MINUTES)
    for row in rows:
        log.error(
            "invalid_requests_exhausted",
            origin=row["origin"],
            held_until=row["held_until"].isoformat(),
        )

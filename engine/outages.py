"""The breaker: while an origin is down, attempts wait for it uncounted, and one probe tries it."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import timedelta

import structlog

from engine.ending import Finished
from engine.limits import OUTAGE_WEBHOOKS, OUTAGE_WINDOW_SECONDS, PROBE_SECONDS
from models.database import Connection
from models.enums import LogStatus

log = structlog.get_logger(__name__)

_UP = """
update origins o set down_since = null, next_probe_at = null
from (select origin, down_since from origins where origin = any($1::text[])) was
where o.origin = was.origin and o.down_since is not null
returning o.origin, extract(epoch from clock_timestamp() - was.down_since)::float8 as seconds
"""

_MARK = (
    "update webhook_lanes set outage_at = clock_timestamp() where webhook_key = any($1::bytea[])"
)

# With fewer webhooks than that, all that were tried lately must have failed.
# $1 origin, $2 webhooks, $3 window, $4 pause between probes, $5 another webhook has an answer
_DOWN = """
update origins o set down_since = clock_timestamp(), next_probe_at = clock_timestamp() + $4
where origin = $1 and down_since is null and (
    (select count(*) from (
        select from webhook_lanes
        where origin = $1 and outage_at > clock_timestamp() - $3::interval limit $2::int) f
    ) = $2::int
    or not $5 and not exists (
        select from webhook_lanes
        where origin = $1 and outage_at is null
            and recent_sends[cardinality(recent_sends)] > clock_timestamp() - $3::interval)
)
returning origin
"""

_ARE_DOWN = "select origin from origins where down_since is not null and origin = any($1::text[])"


async def wait_for_origins(
    connection: Connection, ends: Sequence[Finished], troubled: Collection[str | None]
) -> list[Finished]:
    """Note which origins are up and which are down; what failed by an outage is given back.

    `troubled` are those that may have been down before.
    So it waits for its origin until its run's deadline, and counts neither as an attempt nor as a
    failure of its task. The lanes of these attempts are locked by the caller.
    """
    answered = {end.claim.origin for end in ends if end.has_answer}
    if back := answered.intersection(troubled):
        for row in await connection.fetch(_UP, sorted(back)):
            log.warning("origin_up", origin=row["origin"], down_seconds=round(row["seconds"], 1))
    away = [end for end in ends if end.is_outage]
    if not away:
        return list(ends)
    await connection.execute(_MARK, [end.claim.webhook_key for end in away])
    down = await _down(connection, {end.claim.origin for end in away}, answered)
    return [_waiting(end) if end.is_outage and end.claim.origin in down else end for end in ends]


async def _down(
    connection: Connection, origins: Collection[str], answered: Collection[str]
) -> set[str]:
    for origin in sorted(origins):
        found = await connection.fetchval(
            _DOWN,
            origin,
            OUTAGE_WEBHOOKS,
            timedelta(seconds=OUTAGE_WINDOW_SECONDS),
            timedelta(seconds=PROBE_SECONDS),
            origin in answered,
        )
        if found:
            log.error("origin_down", origin=origin)
    return {row["origin"] for row in await connection.fetch(_ARE_DOWN, list(origins))}


def _waiting(end: Finished) -> Finished:
    """Give the attempt back, unless its task wants no second request where one may have posted.

    Its webhook rests longer than others, so that the probes go round.
    """
    if end.status not in (LogStatus.RETRYING, LogStatus.FAILED):
        return end
    return replace(
        end,
        status=LogStatus.QUEUED,
        message=f"{end.message}; waits until {end.claim.origin} is back",
        lane_pause_seconds=max(end.lane_pause_seconds, PROBE_SECONDS),
    )

"""The webhooks' lanes: when each may send next, after a request or after a change of its queue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from engine.limits import (
    CHANNEL_MARGIN_SECONDS,
    CHANNEL_SENDS,
    CHANNEL_WINDOW_SECONDS,
    SENDS_PER_WINDOW,
    WINDOW_SECONDS,
)
from engine.verdict import WAIT_MARGIN_SECONDS
from models.database import Connection

# $1 keys, $2 log ids that ended (null: given back), $3 pauses, $4 bucket known,
# $5 when counted (null: not sent), $6 channel ids, $7 instance, $8 and $9 the channel's limit,
# $10 and $11 the webhook's, $12 Discord answered
_SETTLE = """
with ended as (
    select e.*, l.open_at as open_before, l.channel_id as known_channel_id,
        case when e.counted_at is null then l.recent_sends else
            (l.recent_sends || e.counted_at)[greatest(cardinality(l.recent_sends) + 2 - $8, 1):]
        end as sends
    from unnest($1::bytea[], $2::uuid[], $3::interval[], $4::bool[], $5::timestamptz[],
            $6::text[], $12::bool[])
        as e (webhook_key, log_id, pause, knows_bucket, counted_at, channel_id, has_answer)
    join webhook_lanes l using (webhook_key)
), opened as (
    select e.*, greatest(
        e.open_before,
        clock_timestamp() + e.pause,
        e.sends[cardinality(e.sends) + 1 - $8::int] + $9::interval,
        case when not e.knows_bucket
            then e.sends[cardinality(e.sends) + 1 - $10::int] + $11::interval end
    ) as open_at, coalesce(
        (select execution_time from task_logs q
         where q.webhook_key = e.webhook_key and q.status = 'QUEUED'
            and q.id is distinct from e.log_id and q.execution_time <= clock_timestamp()
         order by q.scheduled_for limit 1),
        (select min(execution_time) from task_logs q
         where q.webhook_key = e.webhook_key and q.status = 'QUEUED'
            and q.id is distinct from e.log_id)
    ) as due_at
    from ended e
)
update webhook_lanes l set
    owner = case when l.owner = $7 then null else l.owner end,
    recent_sends = o.sends,
    open_at = o.open_at,
    channel_id = coalesce(o.channel_id, l.channel_id),
    outage_at = case when not o.has_answer then l.outage_at end,
    fresh_at = null,
    next_at = case when o.due_at is not null then greatest(o.open_at, o.due_at) end
from opened o where l.webhook_key = o.webhook_key
returning case when o.channel_id <> coalesce(o.known_channel_id, '') then o.channel_id end
    as new_channel_id, l.webhook_key,
    (select is_shared from webhook_channels c where c.channel_id = l.channel_id) as shares_channel
"""

_LOCK = """
select webhook_key from webhook_lanes where webhook_key = any($1::bytea[])
order by webhook_key for update
"""

_WAKE = """
insert into webhook_lanes (webhook_key, origin, next_at)
select distinct on (q.webhook_key) q.webhook_key, t.origin, q.execution_time
from task_logs q join tasks t on t.id = q.task_id
where q.id = any($1::uuid[]) order by q.webhook_key, q.execution_time
on conflict (webhook_key) do update set
    origin = excluded.origin,
    next_at = greatest(least(webhook_lanes.next_at, excluded.next_at), webhook_lanes.open_at)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneEnd:
    """What an ended request says about its webhook; the defaults say that nothing was sent.

    `ended_log_id` is None for an attempt that was given back and still waits; `counted_at` is when
    Discord counted the request at the latest.
    """

    webhook_key: bytes
    ended_log_id: UUID | None = None
    pause_seconds: float = 0.0
    knows_bucket: bool = True
    counted_at: datetime | None = None
    channel_id: str | None = None
    has_answer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What came out about channels.

    Those that webhooks were not known to post to, by webhook_key, and whether any of the webhooks
    posts to one that it shares.
    """

    learned: Mapping[bytes, str]
    share_channels: bool


async def lock_lanes(connection: Connection, webhook_keys: Sequence[bytes]) -> None:
    """Lock these lanes, in key order."""
    await connection.execute(_LOCK, webhook_keys)


async def settle_lanes(
    connection: Connection, ends: Sequence[LaneEnd], *, instance_id: UUID
) -> Settled:
    """Let go of these lanes, and work out when each opens and is due next.

    The caller locked them by an earlier statement: only then does this one see every attempt that
    was queued before.
    """
    rows = await connection.fetch(
        _SETTLE,
        [end.webhook_key for end in ends],
        [end.ended_log_id for end in ends],
        [timedelta(seconds=end.pause_seconds) for end in ends],
        [end.knows_bucket for end in ends],
        [end.counted_at for end in ends],
        [end.channel_id for end in ends],
        instance_id,
        CHANNEL_SENDS,
        timedelta(seconds=CHANNEL_WINDOW_SECONDS + CHANNEL_MARGIN_SECONDS),
        SENDS_PER_WINDOW,
        timedelta(seconds=WINDOW_SECONDS + WAIT_MARGIN_SECONDS),
        [end.has_answer for end in ends],
    )
    return Settled(
        learned={
            row["webhook_key"]: row["new_channel_id"]
            for row in rows
            if row["new_channel_id"] is not None
        },
        share_channels=any(row["shares_channel"] for row in rows),
    )


async def wake_lanes(connection: Connection, log_ids: Sequence[UUID]) -> None:
    """Make the lanes of these queued attempts due when the attempts are."""
    await connection.execute(_WAKE, log_ids)

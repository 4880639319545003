"""Claim work: of each due webhook its oldest due attempt, at most one open request per webhook."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from engine.limits import (
    CHANNEL_MARGIN_SECONDS,
    CHANNEL_RESERVE_SECONDS,
    CHANNEL_SENDS,
    CHANNEL_WINDOW_SECONDS,
    PROBE_SECONDS,
    Budget,
)
from models.database import Connection
from models.enums import DeliveryGuarantee, RunTrigger, TaskStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An attempt that this copy may send, with its task as it is in the database right now.

    `channel_id` is where its webhook posts, once that is known; with `reserved_at` the request
    already counts there, as sent then. For `rested_seconds` its webhook's limits and order kept it
    waiting.
    """

    log_id: UUID
    run_id: UUID
    task_id: UUID
    webhook_key: bytes
    origin: str
    channel_id: str | None
    reserved_at: datetime | None
    trigger: RunTrigger
    scheduled_for: datetime
    retry_count: int
    is_expired: bool
    rested_seconds: float
    started_at: datetime
    claimed_at: float
    dead_reason: str | None
    task_status: TaskStatus
    is_deleted: bool
    has_moved: bool
    failures_in_row: int
    webhook_id: str
    encrypted_url: str = field(repr=False)
    payload: str = field(repr=False)
    max_retry: int
    failure_threshold: int
    delivery_guarantee: DeliveryGuarantee


# What a claim costs must not grow with what waits, however wrong the statistics are after a burst:
# so lanes are read in the order of their index, which a bitmap would lose, and tables are looked up
# by arrays and laterals with limits, which can't become walks over the whole. "Is true" hides a
# condition from the index of the other order, after which all that waits would be sorted.
# An attempt whose task's row was removed by hand counts as one of a deleted task.
# The budget is reckoned from when its row was locked: whoever waited for it sends later.
# Half of the room is for what came last, see docs/decisions/0026.
# A down origin gets one request, the probe. A channel's row is read under its lock, as it is then,
# and a lane whose channel another copy has locked waits for the next claim.
# $1 instance, $2 limit, $3 budgeted origins, $4 burst, $5 slot, $6 and $7 the channel's limit,
# $8 how long an open request counts there, $9 pause between probes
_CLAIM = """
with watched as (
    select origin, origin = any($3::text[]) as is_budgeted, down_since is not null as is_down,
        next_slot_at
    from origins
    where (origin = any($3::text[]) or down_since is not null)
        and (held_until is null or held_until <= statement_timestamp())
        and (down_since is null or next_probe_at <= statement_timestamp())
    order by origin for update
), timed as materialized (
    select *, clock_timestamp() as locked_at from watched
), gates as (
    select origin, least(case when is_budgeted then floor($4::float8
        - extract(epoch from greatest(next_slot_at - locked_at, interval '0'))
        / extract(epoch from $5::interval))::int end, case when is_down then 1 else $2 end) as room
    from timed
    union all
    select origin, $2 from origins
    where origin <> all($3::text[]) and down_since is null
        and (held_until is null or held_until <= statement_timestamp())
), fresh as materialized (
    select l.*
    from gates g cross join lateral (
        select webhook_key, origin, dead_reason, channel_id, next_at from webhook_lanes w
        where origin = g.origin and fresh_at is not null
            and (next_at <= statement_timestamp()) is true and owner is null
            and not exists (select from webhook_channels c
                where c.channel_id = w.channel_id and c.opens_at > statement_timestamp())
        order by fresh_at desc limit least(greatest(g.room, 0), $2) / 2
        for update of w skip locked
    ) l
    limit $2 / 2
), others as materialized (
    select l.*
    from gates g cross join lateral (
        select webhook_key, origin, dead_reason, channel_id, next_at from webhook_lanes w
        where origin = g.origin and next_at <= statement_timestamp() and owner is null
            and webhook_key not in (select webhook_key from fresh)
            and not exists (select from webhook_channels c
                where c.channel_id = w.channel_id and c.opens_at > statement_timestamp())
        order by next_at limit least(greatest(g.room, 0), $2)
            - (select count(*) from fresh f where f.origin = g.origin)
        for update of w skip locked
    ) l
    limit $2 - (select count(*) from fresh)
), due as (
    select * from fresh union all select * from others
), placed as materialized (
    select d.webhook_key, d.origin, d.dead_reason, d.channel_id, d.next_at,
        coalesce(c.is_shared, false) as is_shared,
        row_number() over (partition by d.channel_id order by d.next_at) as place
    from due d left join lateral (
        select is_shared from webhook_channels where channel_id = d.channel_id limit 1
    ) c on true
), shared as materialized (
    select s.* from (
        select distinct channel_id from placed where is_shared order by channel_id
    ) p cross join lateral (
        select channel_id, recent_sends from webhook_channels
        where channel_id = p.channel_id and is_shared limit 1 for update skip locked
    ) s
), picked as materialized (
    select p.*, q.id as log_id, case when p.is_shared then
        statement_timestamp() + $8::interval + p.place * interval '1 microsecond' end as reserved_at
    from placed p left join shared s on s.channel_id = p.channel_id left join lateral (
        select id from task_logs
        where webhook_key = p.webhook_key and status = 'QUEUED'
            and execution_time <= statement_timestamp()
        order by scheduled_for limit 1
        for update skip locked
    ) q on true
    where not p.is_shared or s.channel_id is not null and p.place <= $6::int - (
        select count(*) from unnest(s.recent_sends) r
        where r + $7::interval > statement_timestamp())
), reserved as (
    update webhook_channels c set recent_sends = n.sends,
        opens_at = greatest(c.held_until, n.sends[$6::int] + $7::interval)
    from shared s, lateral (
        select array(
            select unnest(s.recent_sends)
            union select p.reserved_at from picked p
                where p.channel_id = s.channel_id and p.log_id is not null
            order by 1 desc limit $6::int
        ) as sends
    ) n
    where c.channel_id = s.channel_id
), owned as (
    update webhook_lanes set owner = $1
    where webhook_key = any(array(select webhook_key from picked where log_id is not null))
), spent as (
    update origins o set
        next_slot_at = case when w.is_budgeted
            then greatest(o.next_slot_at, w.locked_at) + p.used * $5::interval end,
        next_probe_at = case when w.is_down then statement_timestamp() + $9::interval end
    from timed w join (
        select origin, count(*) as used from picked where log_id is not null group by origin
    ) p using (origin)
    where o.origin = w.origin
), claimed as (
    update task_logs set claimed_by = $1, started_at = clock_timestamp()
    where id = any(array(select log_id from picked))
    returning id, run_id, task_id, trigger, scheduled_for,
        execution_time, deadline_at, retry_count, started_at
)
select p.webhook_key, p.origin, p.dead_reason, p.channel_id, p.reserved_at,
    c.*, c.deadline_at < c.started_at as is_expired,
    greatest(extract(epoch from p.next_at - c.execution_time), 0)::float8 as rested_seconds,
    coalesce(t.status, 'INACTIVE') as task_status,
    t.id is null or t.deleted_at is not null as is_deleted,
    coalesce(t.webhook_key <> p.webhook_key, false) as has_moved,
    coalesce(u.failures_in_row, 0) as failures_in_row, coalesce(t.webhook_id, '') as webhook_id,
    coalesce(t.webhook_url, '') as webhook_url, coalesce(t.payload, '{}') as payload,
    coalesce(t.max_retry, 0) as max_retry, coalesce(t.failure_threshold, 1) as failure_threshold,
    coalesce(t.delivery_guarantee, 'AT_MOST_ONCE') as delivery_guarantee
from picked p
left join claimed c on c.id = p.log_id
left join lateral (select * from tasks where id = c.task_id limit 1) t on true
left join lateral (
    select failures_in_row from task_cursors where task_id = c.task_id limit 1
) u on true
order by c.scheduled_for
"""

# When the next lane or channel opens; null when nothing waits.
_NEXT = """
select extract(epoch from least((
    select min(greatest(l.next_at, o.held_until,
        case when o.down_since is not null then o.next_probe_at end,
        case when o.origin = any($1::text[])
            then o.next_slot_at - ($2::float8 - 1) * $3::interval end))
    from origins o cross join lateral (
        select next_at from webhook_lanes w
        where origin = o.origin and owner is null and next_at is not null
            and not exists (select from webhook_channels c
                where c.channel_id = w.channel_id and c.opens_at > statement_timestamp())
        order by next_at limit 1
    ) l
), (
    select min(opens_at) from webhook_channels where opens_at > statement_timestamp()
)) - clock_timestamp())::float8
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """What a claim brought: attempts to send, and due lanes that had none, which need settling."""

    claims: list[Claim]
    idle_lanes: list[bytes]


async def claim(
    connection: Connection, *, instance_id: UUID, limit: int, budget: Budget, claimed_at: float
) -> Claimed:
    """Claim up to `limit` due attempts for this copy, in one statement of its own transaction.

    The connection is that of a ClaimConnection: with others a plan may read all that waits.
    `claimed_at` is when, by the copy's own clock, the call began: an old claim is not sent.
    """
    # No transaction around it: a copy that stands still in between would keep its locks.
    rows = await connection.fetch(
        _CLAIM,
        instance_id,
        limit,
        *_arguments(budget),
        CHANNEL_SENDS,
        timedelta(seconds=CHANNEL_WINDOW_SECONDS + CHANNEL_MARGIN_SECONDS),
        timedelta(seconds=CHANNEL_RESERVE_SECONDS),
        timedelta(seconds=PROBE_SECONDS),
    )
    return Claimed(
        claims=[_claim(row, claimed_at) for row in rows if row["id"] is not None],
        idle_lanes=[row["webhook_key"] for row in rows if row["id"] is None],
    )


def _claim(row: asyncpg.Record, claimed_at: float) -> Claim:
    return Claim(
        log_id=row["id"],
        run_id=row["run_id"],
        task_id=row["task_id"],
        webhook_key=row["webhook_key"],
        origin=row["origin"],
        channel_id=row["channel_id"],
        reserved_at=row["reserved_at"],
        trigger=RunTrigger(row["trigger"]),
        scheduled_for=row["scheduled_for"],
        retry_count=row["retry_count"],
        is_expired=row["is_expired"],
        rested_seconds=row["rested_seconds"],
        started_at=row["started_at"],
        claimed_at=claimed_at,
        dead_reason=row["dead_reason"],
        task_status=TaskStatus(row["task_status"]),
        is_deleted=row["is_deleted"],
        has_moved=row["has_moved"],
        failures_in_row=row["failures_in_row"],
        webhook_id=row["webhook_id"],
        encrypted_url=row["webhook_url"],
        payload=row["payload"],
        max_retry=row["max_retry"],
        failure_threshold=row["failure_threshold"],
        delivery_guarantee=DeliveryGuarantee(row["delivery_guarantee"]),
    )


async def seconds_to_next(connection: Connection, budget: Budget) -> float | None:
    """Return in how many seconds the next lane can be claimed; None when nothing waits."""
    seconds: float | None = await connection.fetchval(_NEXT, *_arguments(budget))
    return seconds


def _arguments(budget: Budget) -> Iterable[object]:
    return list(budget.origins), budget.burst, budget.slot

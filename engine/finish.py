"""Record how attempts ended, what follows from it, and when their webhooks may send again."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from engine.catch_up import Accounting
from engine.channels import count_sends
from engine.ending import Finished
from engine.failing import count_failures, lock_affected
from engine.feed import assign_feed_ids
from engine.instance import WORK_CHANNEL
from engine.invalid_requests import count_invalid
from engine.lanes import LaneEnd, settle_lanes, wake_lanes
from engine.limits import FIRST_HOLD_SECONDS, MAX_HOLD_SECONDS
from engine.outages import wait_for_origins
from engine.ticks import Stored
from models.database import Connection
from models.enums import LogStatus
from models.fields import uuid7

NO_TIME = "the run's deadline passed, or the task was deleted"


# The lanes are locked here, so that the later statement which works out `next_at` sees every tick
# that was stored before it: in one statement it would not.
_OURS = """
select l.id,
    case when o.down_since is not null or o.hold_seconds is not null then o.origin end as troubled
from unnest($1::uuid[], $2::bytea[], $4::timestamptz[]) as f (id, webhook_key, started_at)
join webhook_lanes w on w.webhook_key = f.webhook_key
join task_logs l on l.id = f.id and l.claimed_by = $3 and l.started_at = f.started_at
    and l.status = 'QUEUED'
left join origins o on o.origin = w.origin
order by w.webhook_key for update of w, l
"""

_RETRIES = """
insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for,
    execution_time, deadline_at, status, retry_count)
select r.id, l.run_id, l.task_id, t.webhook_key, l.trigger, l.scheduled_for,
    clock_timestamp() + r.pause, l.deadline_at, 'QUEUED', l.retry_count + 1
from unnest($1::uuid[], $2::uuid[], $3::interval[]) as r (id, of, pause)
join task_logs l on l.id = r.of
join tasks t on t.id = l.task_id and t.deleted_at is null
where clock_timestamp() + r.pause < l.deadline_at
order by r.id
returning id, webhook_key
"""

# It waits in the lane of the webhook that its task has now.
_GIVE_BACK = """
update task_logs l set
    claimed_by = null, started_at = null, message = g.message, webhook_key = t.webhook_key
from unnest($1::uuid[], $2::text[]) as g (id, message), tasks t
where l.id = g.id and t.id = l.task_id
returning l.id, l.webhook_key
"""

_HOLD = """
update origins o set
    hold_seconds = h.seconds,
    held_until = greatest(o.held_until, clock_timestamp() + h.seconds * interval '1 second')
from unnest($1::text[], $2::float8[]) as n (origin, named),
    lateral (
        select coalesce(n.named, case when h.held_until > clock_timestamp() then h.hold_seconds
            else least(greatest(2 * h.hold_seconds, $3::float8), $4::float8) end, $3::float8)
            as seconds
        from origins h where h.origin = n.origin
    ) h
where o.origin = n.origin
"""

# An answer that came after the hold's end: the next hold begins short again.
_UNHOLD = """
update origins set hold_seconds = null
where hold_seconds is not null and held_until < clock_timestamp() and origin = any($1::text[])
"""

# As in engine/feed.py.
_END = """
with given as (
    update feed_counter set n = n + cardinality($1::uuid[]) where id = 1
    returning n, pg_notify('task_scheduler_feed', '')
)
update task_logs l set
    status = e.status, finished_at = clock_timestamp(), message = e.message,
    http_status = e.http_status, duration_ms = e.duration_ms, lateness_ms = e.lateness_ms,
    discord_message_id = e.message_id, feed_id = given.n - cardinality($1::uuid[]) + e.place
from given, unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::float8[], $6::float8[],
                   $7::text[])
    with ordinality
    as e (id, status, message, http_status, duration_ms, lateness_ms, message_id, place)
where l.id = e.id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Which ends were recorded, and what became of the ticks of tasks that turned FAILED."""

    ends: list[Finished] = field(default_factory=list)
    stored: Stored = field(default_factory=Stored)


async def record(
    connection: Connection,
    finished: Sequence[Finished],
    *,
    instance_id: UUID,
    budgeted: Collection[str],
    accounting: Accounting,
) -> Recorded:
    """Record, inside the caller's transaction, those attempts that are still ours.

    An attempt that another copy took over in the meantime is left as it is. The `budgeted`
    origins share one budget of invalid requests; `accounting` stores what a task that turns FAILED
    had to fire before. Rows are locked in the order of docs/decisions/0025: this is the whole of
    the transaction.
    """
    await lock_affected(connection, finished)
    rows = await connection.fetch(
        _OURS,
        [end.claim.log_id for end in finished],
        [end.claim.webhook_key for end in finished],
        instance_id,
        [end.claim.started_at for end in finished],
    )
    ours = {row["id"] for row in rows}
    ends = [end for end in finished if end.claim.log_id in ours]
    if not ends:
        return Recorded()
    troubled = {row["troubled"] for row in rows}
    ends = await wait_for_origins(connection, ends, troubled)
    ends = await _insert_retries(connection, ends)
    await _give_back(connection, [end for end in ends if end.status is LogStatus.QUEUED])
    await _hold_origins(connection, ends, troubled)
    stored = await count_failures(connection, ends, accounting)
    lane_ends = [_lane_end(end) for end in ends]
    settled = await settle_lanes(connection, lane_ends, instance_id=instance_id)
    await count_sends(connection, ends, settled)
    await count_invalid(connection, ends, budgeted)
    await _end(connection, [end for end in ends if end.status is not LogStatus.QUEUED])
    await assign_feed_ids(connection, stored.skipped)
    return Recorded(ends=ends, stored=stored)


async def _insert_retries(connection: Connection, ends: list[Finished]) -> list[Finished]:
    """Insert the next attempts; one that may not follow makes its run FAILED."""
    retries = {uuid7(): end for end in ends if end.status is LogStatus.RETRYING}
    if not retries:
        return ends
    rows = await connection.fetch(
        _RETRIES,
        list(retries),
        [end.claim.log_id for end in retries.values()],
        [timedelta(seconds=end.retry_in_seconds or 0.0) for end in retries.values()],
    )
    inserted = {row["id"]: row["webhook_key"] for row in rows}
    followed = {retries[log_id].claim.log_id for log_id in inserted}
    moved = [new for new, key in inserted.items() if key != retries[new].claim.webhook_key]
    if moved:
        await wake_lanes(connection, moved)
    return [
        end
        if end.status is not LogStatus.RETRYING or end.claim.log_id in followed
        else replace(end, status=LogStatus.FAILED, message=f"{end.message}; not retried: {NO_TIME}")
        for end in ends
    ]


async def _give_back(connection: Connection, ends: list[Finished]) -> None:
    if not ends:
        return
    rows = await connection.fetch(
        _GIVE_BACK, [end.claim.log_id for end in ends], [end.message for end in ends]
    )
    came_from = {end.claim.log_id: end.claim.webhook_key for end in ends}
    moved = [row["id"] for row in rows if row["webhook_key"] != came_from[row["id"]]]
    if moved:
        await wake_lanes(connection, moved)
    # Another copy may be the one that can send it; its timer knows nothing of it.
    await connection.execute(f"notify {WORK_CHANNEL}")


async def _hold_origins(
    connection: Connection, ends: list[Finished], troubled: Collection[str | None]
) -> None:
    holds: dict[str, float | None] = {}
    for end in ends:
        if end.holds_origin:
            known = holds.get(end.claim.origin)
            holds[end.claim.origin] = max(filter(None, (known, end.hold_seconds)), default=None)
    if holds:
        await connection.execute(
            _HOLD, list(holds), list(holds.values()), FIRST_HOLD_SECONDS, MAX_HOLD_SECONDS
        )
    answered = {end.claim.origin for end in ends if end.status is LogStatus.SUCCESS}
    if relieved := answered.intersection(troubled).difference(holds):
        await connection.execute(_UNHOLD, sorted(relieved))


def _lane_end(end: Finished) -> LaneEnd:
    return LaneEnd(
        webhook_key=end.claim.webhook_key,
        ended_log_id=None if end.status is LogStatus.QUEUED else end.claim.log_id,
        pause_seconds=end.lane_pause_seconds,
        knows_bucket=end.knows_bucket,
        counted_at=end.counted_at,
        channel_id=end.channel_id,
        has_answer=end.has_answer,
    )


async def _end(connection: Connection, ends: list[Finished]) -> None:
    if not ends:
        return
    await connection.execute(
        _END,
        [end.claim.log_id for end in ends],
        [end.status for end in ends],
        [end.message for end in ends],
        [end.http_status for end in ends],
        [end.duration_ms for end in ends],
        [end.lateness_ms for end in ends],
        [end.message_id for end in ends],
    )

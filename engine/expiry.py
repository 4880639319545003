"""End runs whose deadline passed while their origin was away; others end when claimed."""

from uuid import UUID

from engine.feed import assign_feed_ids
from engine.lanes import LaneEnd, settle_lanes
from models.database import Connection

EXPIRED = "Given up: the run's deadline passed while Discord was away or held this address off."

_LANES = """
select l.webhook_key
from origins o join webhook_lanes l on l.origin = o.origin cross join lateral (
    select deadline_at from task_logs q
    where q.webhook_key = l.webhook_key and q.status = 'QUEUED' order by q.scheduled_for limit 1
) q
where (o.down_since is not null or o.held_until > clock_timestamp())
    and l.owner is null and l.next_at is not null and q.deadline_at < clock_timestamp()
order by l.webhook_key limit $1 for update of l skip locked
"""

_END = """
update task_logs set status = 'FAILED', finished_at = clock_timestamp(), message = $2
where id in (
    select id from task_logs
    where webhook_key = any($1::bytea[]) and status = 'QUEUED' and claimed_by is null
        and deadline_at < clock_timestamp()
    order by id limit $3 for update skip locked
)
returning id
"""


async def expire_waiting(connection: Connection, *, instance_id: UUID, limit: int = 500) -> int:
    """End up to `limit` such runs FAILED, inside the caller's transaction; return how many.

    It is no fault of their tasks, so it does not count towards failureThreshold.
    """
    rows = await connection.fetch(_LANES, limit)
    if not rows:
        return 0
    keys = [row["webhook_key"] for row in rows]
    ended = [row["id"] for row in await connection.fetch(_END, keys, EXPIRED, limit)]
    await settle_lanes(
        connection, [LaneEnd(webhook_key=key) for key in keys], instance_id=instance_id
    )
    await assign_feed_ids(connection, ended)
    return len(ended)

"""Take over what a dead copy left open."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from engine.feed import assign_feed_ids
from engine.instance import LEASE_SECONDS, SHORT_GAP_SECONDS, WORK_CHANNEL
from engine.lanes import LaneEnd, settle_lanes
from models.database import Connection

TAKEN_OVER = "sent again: the copy that held it stopped before it reported"
UNKNOWN = "The outcome is unknown: the copy that sent it stopped before it reported."

# A copy that has work open has its row, so without an old row there is nothing to search for.
_ANY_DEAD = """
select exists (
    select from engine_instances
    where id <> $2 and seen_at not between clock_timestamp() - $1::interval
        and clock_timestamp() + $1::interval
)
"""

# When the database's clock has stepped, every row looks old, or seen at an instant to come, until
# the next heartbeats. Our own last one, $4, then does too, and nobody is judged.
_DEAD_LANES = """
select l.webhook_key, l.owner from webhook_lanes l
where l.owner <> $3 and not exists (
    select from engine_instances i
    where i.id = l.owner and i.seen_at between clock_timestamp() - $1::interval
        and clock_timestamp() + $1::interval)
    and $4 between clock_timestamp() - $5::interval and clock_timestamp()
order by l.webhook_key limit $2 for update of l skip locked
"""

_OPEN = """
select l.id, l.webhook_key, t.delivery_guarantee = 'AT_MOST_ONCE' as is_unknown
from unnest($1::bytea[], $2::uuid[]) as d (webhook_key, owner)
join task_logs l on l.webhook_key = d.webhook_key and l.claimed_by = d.owner
    and l.status = 'QUEUED'
join tasks t on t.id = l.task_id
order by l.id for update of l
"""

_FREE = "update webhook_lanes set owner = null where webhook_key = any($1::bytea[])"

_RESEND = """
update task_logs set claimed_by = null, started_at = null, message = $2
where id = any($1::uuid[])
"""

_GIVE_UP = """
update task_logs set status = 'UNKNOWN', finished_at = clock_timestamp(), message = $2
where id = any($1::uuid[])
"""

_FORGET = """
delete from engine_instances i where i.seen_at < clock_timestamp() - 10 * $1::interval
    and not exists (select from webhook_lanes l where l.owner = i.id)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenOver:
    """How many attempts of dead copies are sent again, and how many ended UNKNOWN."""

    resent: int
    unknown: int


async def take_over(
    connection: Connection, *, instance_id: UUID, seen_at: datetime, limit: int = 500
) -> TakenOver:
    """Free the lanes of dead copies, inside the caller's transaction.

    Whether their open attempts were posted is unknown: AT_LEAST_ONCE sends them again, AT_MOST_ONCE
    ends them UNKNOWN. To be called only by a copy that may judge (`Instance.may_judge`); `seen_at`
    was its last heartbeat at that moment, by the database's clock.
    """
    lease = timedelta(seconds=LEASE_SECONDS)
    if not await connection.fetchval(_ANY_DEAD, lease, instance_id):
        return TakenOver(resent=0, unknown=0)
    newest = timedelta(seconds=SHORT_GAP_SECONDS)
    dead = await connection.fetch(_DEAD_LANES, lease, limit, instance_id, seen_at, newest)
    if not dead:
        await connection.execute(_FORGET, lease)
        return TakenOver(resent=0, unknown=0)
    keys = [row["webhook_key"] for row in dead]
    rows = await connection.fetch(_OPEN, keys, [row["owner"] for row in dead])
    again = [row["id"] for row in rows if not row["is_unknown"]]
    unknown = [row["id"] for row in rows if row["is_unknown"]]
    await connection.execute(_RESEND, again, TAKEN_OVER)
    await connection.execute(_GIVE_UP, unknown, UNKNOWN)
    await connection.execute(_FREE, keys)
    await settle_lanes(
        connection, [LaneEnd(webhook_key=key) for key in keys], instance_id=instance_id
    )
    await connection.execute(f"notify {WORK_CHANNEL}")
    await assign_feed_ids(connection, unknown)
    return TakenOver(resent=len(again), unknown=len(unknown))

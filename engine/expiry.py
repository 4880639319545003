"""End runs whose deadline passed while their origin was away; others end when claimed."""

from functools import partial
from uuid import UUID

from engine.feed import assign_feed_ids
from engine.lanes import LaneEnd, settle_lanes
from models.database import Connection, Database

EXPIRED = "Given up: the run's deadline passed while Discord was away or held this address off."

PAGE = 5_000
LIMIT = 500

_AWAY = """
select origin from origins where down_since is not null or held_until > clock_timestamp()
"""

# Of the webhooks after $1, in the order of keys, up to $2: those whose oldest attempt is overdue,
# and the last of a full page.
# $3 origins
_LOOK = """
with page as materialized (
    select webhook_key, origin, owner, next_at from webhook_lanes
    where webhook_key > $1 order by webhook_key limit $2
)
select array(
    select p.webhook_key from page p cross join lateral (
        select deadline_at from task_logs
        where webhook_key = p.webhook_key and status = 'QUEUED' order by scheduled_for limit 1
    ) q
    where p.origin = any($3::text[]) and p.owner is null and p.next_at is not null
        and q.deadline_at < clock_timestamp()
) as overdue, (select webhook_key from page order by webhook_key offset $2 - 1) as last
"""

_LOCK = """
select webhook_key from webhook_lanes
where webhook_key = any($1::bytea[]) and owner is null and next_at is not null
order by webhook_key for update skip locked
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


class Expiry:
    """Walks over the webhooks while an origin is away, a page at a time, and begins again.

    So what a pass costs does not grow with the number of webhooks that wait. That runs end in vain
    is no fault of their tasks, so it does not count towards failureThreshold.
    """

    def __init__(self, *, instance_id: UUID, page: int = PAGE, limit: int = LIMIT) -> None:
        self._instance_id = instance_id
        self._page = page
        self._limit = limit
        self._after = b""

    async def end_overdue(self, database: Database) -> int:
        """End such runs of the next page FAILED, up to the limit; return how many.

        Raises:
            DatabaseUnavailable: the server can't be reached.
        """
        async with database.connection() as connection:
            away = [row["origin"] for row in await connection.fetch(_AWAY)]
            if not away:
                self._after = b""
                return 0
            found = await connection.fetchrow(_LOOK, self._after, self._page, away)
        keys, last = (found["overdue"], found["last"]) if found else ([], None)
        ended = await database.transact(partial(self._end, keys)) if keys else 0
        if ended < self._limit:  # else more of this page may be overdue
            self._after = last or b""
        return ended

    async def _end(self, overdue: list[bytes], connection: Connection) -> int:
        keys = [row["webhook_key"] for row in await connection.fetch(_LOCK, overdue)]
        ended = [row["id"] for row in await connection.fetch(_END, keys, EXPIRED, self._limit)]
        await settle_lanes(
            connection, [LaneEnd(webhook_key=key) for key in keys], instance_id=self._instance_id
        )
        await assign_feed_ids(connection, ended)
        return len(ended)

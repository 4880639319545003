"""Walk over webhooks and channels, a page at a time, and remove those that nothing needs."""

from dataclasses import dataclass, field
from datetime import timedelta

from models.database import Connection

# Long after the limits have forgotten the last request.
REST = timedelta(minutes=5)


@dataclass(slots=True, kw_only=True)
class Sweep:
    """Looks at one table in the order of its keys, and begins again at its end.

    So what a pass costs does not grow with the table. `look` says which rows of a page seem unused;
    `lock` locks them, as an earlier statement than `remove`: only then does that one see whatever
    came to need them before. Rows that somebody else has locked are left for the next time.
    """

    look: str
    lock: str
    remove: str
    begin: str | bytes
    _after: str | bytes = field(init=False)

    def __post_init__(self) -> None:
        self._after = self.begin

    async def page(self, connection: Connection, limit: int) -> int:
        """Look at the next rows, inside the caller's transaction; return how many went."""
        rows = await connection.fetch(self.look, self._after, limit)
        self._after = rows[-1]["key"] if len(rows) == limit else self.begin
        unused = [row["key"] for row in rows if row["is_unused"]]
        if not unused:
            return 0
        keys = [row["key"] for row in await connection.fetch(self.lock, unused)]
        return int((await connection.execute(self.remove, keys, REST)).split()[-1])


def unused_lanes() -> Sweep:
    """Return a sweep over the webhooks: what no task has goes, unless its limits still count.

    A task that was deleted still has its webhook, until its row goes.
    """
    return Sweep(look=_LANES, lock=_LOCK_LANES, remove=_REMOVE_LANES, begin=b"")


def unused_channels() -> Sweep:
    """Return a sweep over the channels: one in which no webhook posts goes."""
    return Sweep(look=_CHANNELS, lock=_LOCK_CHANNELS, remove=_REMOVE_CHANNELS, begin="")


# The limits keep these subqueries from becoming one walk over the whole of the other table.
_LANES = """
select w.webhook_key as key, t.found is null as is_unused
from webhook_lanes w left join lateral (
    select true as found from tasks
    where webhook_key = w.webhook_key and deleted_at is null limit 1
) t on true
where w.webhook_key > $1 order by w.webhook_key limit $2
"""

_LOCK_LANES = """
select webhook_key as key from webhook_lanes where webhook_key = any($1::bytea[])
order by webhook_key for update skip locked
"""

# Two questions about tasks, each for an index of its own.
_REMOVE_LANES = """
delete from webhook_lanes w
where webhook_key = any($1::bytea[]) and owner is null and next_at is null
    and coalesce(greatest(open_at, outage_at + $2::interval,
        recent_sends[cardinality(recent_sends)] + $2::interval) < statement_timestamp(), true)
    and not exists (select from task_logs q
        where q.webhook_key = w.webhook_key and q.status = 'QUEUED')
    and not exists (select from tasks t
        where t.webhook_key = w.webhook_key and t.deleted_at is null)
    and not exists (select from tasks t
        where t.webhook_key = w.webhook_key and t.deleted_at is not null)
"""

_CHANNELS = """
select c.channel_id as key, w.found is null as is_unused
from webhook_channels c left join lateral (
    select true as found from webhook_lanes
    where webhook_key = c.webhook_key and channel_id = c.channel_id limit 1
) w on true
where c.channel_id > $1 order by c.channel_id limit $2
"""

_LOCK_CHANNELS = """
select channel_id as key from webhook_channels where channel_id = any($1::text[])
order by channel_id for update skip locked
"""

# One in which other webhooks post gets the key of one of these, by which it is seen to be used.
_REMOVE_CHANNELS = """
with used as (
    update webhook_channels c set webhook_key = w.webhook_key
    from webhook_lanes w where w.channel_id = c.channel_id and c.channel_id = any($1::text[])
    returning c.channel_id
)
delete from webhook_channels
where channel_id = any($1::text[]) and channel_id not in (select channel_id from used)
    and coalesce(greatest(opens_at, held_until, recent_sends[1] + $2::interval)
        < statement_timestamp(), true)
"""

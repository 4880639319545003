"""Discord's limit by channel: the webhooks of one channel share it, whichever copies send."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from engine.ending import Finished
from engine.lanes import Settled
from engine.limits import CHANNEL_MARGIN_SECONDS, CHANNEL_SENDS, CHANNEL_WINDOW_SECONDS
from models.database import Connection

# The update changes nothing: it locks the row, so that it is not removed as unused meanwhile.
# Of a new channel the first one named is its webhook.
_LEARN = """
insert into webhook_channels (channel_id, webhook_key)
select distinct on (channel_id) channel_id, webhook_key
from unnest($1::text[], $2::bytea[]) with ordinality as n (channel_id, webhook_key, place)
order by channel_id, place
on conflict (channel_id) do update set webhook_key = webhook_channels.webhook_key
returning channel_id, webhook_key
"""

# What the channel's webhooks have sent before it was known that they share it counts, too.
_SHARE = """
with news as (
    select * from unnest($1::text[], $2::bytea[]) as n (channel_id, webhook_key)
), locked as (
    select * from webhook_channels c where channel_id = any($1::text[])
    order by channel_id for update
)
update webhook_channels c set is_shared = true, recent_sends = array(
    select unnest(k.recent_sends)
    union select unnest(w.recent_sends) from webhook_lanes w
        where w.webhook_key = k.webhook_key
            or w.webhook_key in (select webhook_key from news n where n.channel_id = k.channel_id)
    order by 1 desc limit $3::int
)
from locked k where c.channel_id = k.channel_id
"""

# $1 channels, $2 when counted (null: not sent), $3 pauses of held channels, $4 and $5 channels and
# instants that were reserved, $6 and $7 the limit
_COUNT = """
with ended as (
    select * from unnest($1::text[], $2::timestamptz[], $3::interval[])
        as e (channel_id, counted_at, pause)
), given_back as (
    select * from unnest($4::text[], $5::timestamptz[]) as g (channel_id, reserved_at)
), locked as (
    select * from webhook_channels
    where is_shared and channel_id = any($1::text[] || $4::text[])
    order by channel_id for update
), counted as (
    select k.channel_id, array(
        (select unnest(k.recent_sends) except
            select reserved_at from given_back g where g.channel_id = k.channel_id)
        union select counted_at from ended e
            where e.channel_id = k.channel_id and counted_at is not null
        order by 1 desc limit $6::int
    ) as sends, greatest(k.held_until, clock_timestamp() + (
        select max(pause) from ended e where e.channel_id = k.channel_id)) as held_until
    from locked k
)
update webhook_channels c set
    recent_sends = n.sends,
    held_until = n.held_until,
    opens_at = greatest(n.held_until, n.sends[$6::int] + $7::interval)
from counted n where c.channel_id = n.channel_id
"""


async def count_sends(connection: Connection, ends: Sequence[Finished], settled: Settled) -> None:
    """Count these requests in the channels that webhooks share, in place of what was reserved.

    `settled` is what came of settling their lanes, which is done already.
    """
    channels = [end.channel_id or end.claim.channel_id for end in ends]
    reserved = [end.claim for end in ends if end.claim.reserved_at is not None]
    is_needed = settled.share_channels or bool(reserved)
    if settled.learned:
        named = [(channel_id, key) for key, channel_id in settled.learned.items()]
        # All that are locked below, so that they are locked in one order.
        named += [(c, end.claim.webhook_key) for c, end in zip(channels, ends, strict=True) if c]
        named += [(claim.channel_id, claim.webhook_key) for claim in reserved if claim.channel_id]
        is_needed |= await _learn(connection, settled.learned, named)
    if not is_needed:
        return
    await connection.execute(
        _COUNT,
        channels,
        [end.counted_at for end in ends],
        [timedelta(seconds=end.lane_pause_seconds) if end.holds_channel else None for end in ends],
        [claim.channel_id for claim in reserved],
        [claim.reserved_at for claim in reserved],
        CHANNEL_SENDS,
        timedelta(seconds=CHANNEL_WINDOW_SECONDS + CHANNEL_MARGIN_SECONDS),
    )


async def _learn(
    connection: Connection, learned: Mapping[bytes, str], named: Sequence[tuple[str, bytes]]
) -> bool:
    """Note who posts where; return whether some channel turned out to be shared."""
    rows = await connection.fetch(_LEARN, *(list(column) for column in zip(*named, strict=True)))
    first = {row["channel_id"]: row["webhook_key"] for row in rows}
    others = {key: channel_id for key, channel_id in learned.items() if first[channel_id] != key}
    if others:
        await connection.execute(_SHARE, list(others.values()), list(others), CHANNEL_SENDS)
    return bool(others)

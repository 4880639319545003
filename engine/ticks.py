"""Store ticks: each becomes one QUEUED attempt or part of a SKIPPED one, and its cursor moves."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from engine.feed import assign_feed_ids
from engine.instance import WORK_CHANNEL
from engine.metrics import TICKS
from models.database import Connection
from models.enums import RunTrigger
from models.fields import uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One tick to be stored; with `skipped_from`, a range of missed ticks that ends at `at`.

    No other tick of the task lies between `since` and `at`, so that a hole is noticed. With
    `expected_cursor` it is stored only if the cursor stands exactly there; the cursor then moves
    to `at`, or to `moves_to` if that is later.
    """

    task_id: UUID
    version: int
    at: datetime
    since: datetime
    trigger: RunTrigger = RunTrigger.SCHEDULE
    skipped_from: datetime | None = None
    skipped_count: int | None = None
    expected_cursor: datetime | None = None
    moves_to: datetime | None = None
    ignores_overlap: bool = False
    message: str | None = None
    log_id: UUID = field(default_factory=uuid7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of ticks.

    How many were queued; the attempts that were skipped; the ticks that are not due yet by the
    database's clock; the tasks that have unaccounted ticks between their cursor and their tick.
    """

    queued: int = 0
    skipped: tuple[UUID, ...] = ()
    early: tuple[Tick, ...] = ()
    holes: frozenset[UUID] = frozenset()

    def __add__(self, other: "Stored") -> "Stored":
        return Stored(
            queued=self.queued + other.queued,
            skipped=self.skipped + other.skipped,
            early=self.early + other.early,
            holes=self.holes | other.holes,
        )


# Every change of a task locks its cursor first, so what the next statement reads stays true.
_LOCK = """
select task_id from task_cursors where task_id = any($1::uuid[]) order by task_id for update
"""

_STORE = """
with batch as (
    select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[],
            $5::timestamptz[], $6::text[], $7::timestamptz[], $8::int[], $9::timestamptz[],
            $10::timestamptz[], $11::bool[], $12::text[])
        as b (log_id, task_id, version, tick, since, trigger, skipped_from, skipped_count,
              expected_cursor, moves_to, ignores_overlap, message)
), due as (
    select b.*, t.webhook_key, t.origin, t.overlap_policy,
        b.since <= c.cursor or coalesce(b.since <= lag(b.tick) over in_order, false) as linked
    from batch b
    join tasks t on t.id = b.task_id and t.version = b.version
        and t.status = 'ACTIVE' and t.deleted_at is null
    join task_cursors c on c.task_id = b.task_id
    where b.tick > c.cursor and b.tick <= statement_timestamp()
        and (b.expected_cursor is null or b.expected_cursor = c.cursor)
    window in_order as (partition by b.task_id order by b.tick)
), chained as (
    select d.*, bool_and(linked) over (partition by d.task_id order by d.tick) as is_live,
        row_number() over (
            partition by d.task_id, d.skipped_from is null order by d.tick, d.log_id) as nth
    from due d
), live as (
    select l.*, case
        when l.skipped_from is not null then 'SKIPPED'
        when l.ignores_overlap or l.overlap_policy = 'ALLOW' then 'QUEUED'
        when l.nth > 1 or exists (
            select from task_logs q
            -- Which is QUEUED, too, but then a plan might go over all that is.
            where q.task_id = l.task_id and q.finished_at is null
        ) then 'SKIPPED'
        else 'QUEUED' end as status
    from chained l where is_live
), stored as (
    insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for,
        execution_time, deadline_at, status, finished_at, skipped_from, skipped_count, message,
        created_at)
    select log_id, log_id, task_id, webhook_key, trigger, tick,
        case when trigger = 'SCHEDULE' then tick else statement_timestamp() end,
        statement_timestamp() + $13::interval, status,
        case when status = 'SKIPPED' then statement_timestamp() end, skipped_from, skipped_count,
        case when status = 'SKIPPED'
            then coalesce(message, 'Skipped: an earlier run of the task was still unfinished.') end,
        statement_timestamp()
    from live order by log_id
    -- Only after a step back of the database's clock: the cursor was set anew to before it.
    on conflict (task_id, scheduled_for, retry_count) where trigger <> 'MANUAL' do nothing
    returning id, status
), moved as (
    update task_cursors c set cursor = m.cursor
    from (select task_id, max(greatest(tick, moves_to)) as cursor from live group by task_id) m
    where c.task_id = m.task_id
), waiting as (
    -- Due since it last was served, so that it comes before webhooks with more to send.
    insert into webhook_lanes (webhook_key, origin, next_at, fresh_at)
    select webhook_key, min(origin), 'epoch', max(tick) from live
    where status = 'QUEUED' group by webhook_key order by webhook_key
    on conflict (webhook_key) do update set
        origin = excluded.origin,
        next_at = coalesce(webhook_lanes.open_at, excluded.next_at),
        fresh_at = case when webhook_lanes.next_at is null then excluded.fresh_at
            else webhook_lanes.fresh_at end
)
select b.log_id, s.status, b.tick > statement_timestamp() as is_early,
    coalesce(not c.is_live, false) as is_hole
from batch b
left join stored s on s.id = b.log_id
left join chained c on c.log_id = b.log_id
"""


async def lock_cursors(connection: Connection, task_ids: Collection[UUID]) -> None:
    """Lock the cursors of these tasks, in the order that everybody keeps."""
    await connection.execute(_LOCK, list(task_ids))


async def store_ticks(
    connection: Connection, ticks: Sequence[Tick], *, run_deadline_seconds: int
) -> Stored:
    """Store ticks as `store_unnumbered` does, and number what was skipped.

    To be called as the last statements of the transaction, as `assign_feed_ids`.
    """
    stored = await store_unnumbered(connection, ticks, run_deadline_seconds=run_deadline_seconds)
    await assign_feed_ids(connection, stored.skipped)
    return stored


async def store_unnumbered(
    connection: Connection, ticks: Sequence[Tick], *, run_deadline_seconds: int
) -> Stored:
    """Store, inside the caller's transaction, those of `ticks` that are due and not yet stored.

    What was skipped is finished, and still needs its place in the feed: the caller gives it by
    `assign_feed_ids`, after everything else that locks rows.

    Left out are ticks of a task that is not ACTIVE at the tick's version, and those at or before
    the cursor: they are accounted for. Of several ticks of one task, or while an attempt of it is
    queued, OverlapPolicy SKIP lets the first run and skips the others. Workers hear of it at the
    commit.
    """
    if not ticks:
        return Stored()
    ordered = sorted(ticks, key=lambda tick: (tick.task_id, tick.at))
    await lock_cursors(connection, {tick.task_id for tick in ordered})
    deadline = timedelta(seconds=run_deadline_seconds)
    rows = {
        row["log_id"]: row for row in await connection.fetch(_STORE, *_columns(ordered), deadline)
    }
    queued = sum(row["status"] == "QUEUED" for row in rows.values())
    if queued:
        await connection.execute(f"notify {WORK_CHANNEL}")
    return Stored(
        queued=queued,
        skipped=tuple(t.log_id for t in ordered if rows[t.log_id]["status"] == "SKIPPED"),
        early=tuple(tick for tick in ordered if rows[tick.log_id]["is_early"]),
        holes=frozenset(tick.task_id for tick in ordered if rows[tick.log_id]["is_hole"]),
    )


def count_ticks(stored: Stored) -> None:
    """Count in the metrics what became of ticks; to be called after the commit."""
    TICKS.labels("queued").inc(stored.queued)
    TICKS.labels("skipped").inc(len(stored.skipped))


def _columns(ticks: Sequence[Tick]) -> Iterator[list[object]]:
    rows = (
        (
            tick.log_id,
            tick.task_id,
            tick.version,
            tick.at,
            tick.since,
            tick.trigger,
            tick.skipped_from,
            tick.skipped_count,
            tick.expected_cursor,
            tick.moves_to,
            tick.ignores_overlap,
            tick.message,
        )
        for tick in ticks
    )
    return (list(column) for column in zip(*rows, strict=True))

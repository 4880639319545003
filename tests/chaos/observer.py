"""What the suite writes down inside the database, beside what the service itself keeps.

Triggers of the suite's own note each period in which a task was ACTIVE, each attempt that was given
back after it was claimed, and every row that retention removed. They commit with what they note.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from models.orm import credentials

# Triggers fire in the order of their names, so these stand around the service's own, which sets the
# cursor: up to where the period that ends was accounted for, and from where the next one counts.
INSTALL = """
create table chaos_changes (
    n bigint generated always as identity primary key, task_id uuid, webhook_id text,
    at timestamptz, opens bool, schedule text, timezone text, guarantee text, is_active bool,
    cursor timestamptz);
create function chaos_change() returns trigger language plpgsql as $$ begin
    insert into chaos_changes
        (task_id, webhook_id, at, opens, schedule, timezone, guarantee, is_active, cursor)
    select new.id, new.webhook_id, clock_timestamp(), tg_argv[0]::bool, new.schedule, new.timezone,
        new.delivery_guarantee, new.status = 'ACTIVE' and new.deleted_at is null,
        (select cursor from task_cursors where task_id = new.id);
    return null;
end $$;
create trigger tasks_a_chaos after update on tasks
    for each row execute function chaos_change('false');
create trigger tasks_z_chaos after insert or update on tasks
    for each row execute function chaos_change('true');

create table chaos_returns (
    log_id uuid, webhook_key bytea, instance_id uuid, started_at timestamptz, at timestamptz,
    message text);
create function chaos_return() returns trigger language plpgsql as $$ begin
    insert into chaos_returns values
        (old.id, old.webhook_key, old.claimed_by, old.started_at, clock_timestamp(), new.message);
    return null;
end $$;
create trigger chaos_return after update on task_logs for each row
    when (old.claimed_by is not null and new.claimed_by is null and new.status = 'QUEUED')
    execute function chaos_return();

create table chaos_removed (like task_logs);
create function chaos_remove() returns trigger language plpgsql as $$ begin
    insert into chaos_removed select (old).*;
    return null;
end $$;
create trigger chaos_remove after delete on task_logs
    for each row execute function chaos_remove();
"""

# No schedule of the suite has a tick in the fifth second of five, so none is on its way then.
_SETTLED_AT = """
select clock_timestamp()
where mod(floor(extract(epoch from clock_timestamp())), 5) = 4
    and not exists (select from task_logs where status = 'QUEUED')
    and not exists (select from webhook_lanes where owner is not null)
    and not exists (
        select from tasks t join task_cursors c on c.task_id = t.id
        where t.status = 'ACTIVE' and t.deleted_at is null
            and c.cursor < clock_timestamp() - interval '11 seconds')
"""

_CHANGES = """
select c.*, u.cursor as last_cursor from chaos_changes c
left join task_cursors u on u.task_id = c.task_id order by c.task_id, c.n
"""
_ATTEMPTS = """
select id, run_id, task_id, trigger, scheduled_for, status, retry_count, claimed_by, feed_id,
    skipped_from, skipped_count, message, http_status, started_at, finished_at, lateness_ms
from (select * from task_logs union all select * from chaos_removed) l
order by task_id, scheduled_for, retry_count
"""
_RETURNS = """
select r.*, l.task_id from chaos_returns r
join (select id, task_id from task_logs union all select id, task_id from chaos_removed) l
    on l.id = r.log_id
order by r.at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A time in which a task was ACTIVE with one schedule.

    Ticks in (`start`, `accounted`] have to be in the record; the task then stayed ACTIVE until
    `end`, unless that is None: then the schedule went on.
    """

    task_id: UUID
    schedule: str
    timezone: str
    start: datetime
    accounted: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the database says at the end; `feed` is the counter, `owned` the lanes that are held."""

    periods: tuple[Period, ...]
    attempts: list[asyncpg.Record]
    returns: list[asyncpg.Record]
    webhooks: dict[UUID, str]
    guarantees: dict[UUID, set[str]]
    changes: int
    feed: int
    owned: int


async def install(url: str) -> None:
    """Add the triggers to a migrated database."""
    connection = await asyncpg.connect(**credentials(url))
    try:
        await connection.execute(INSTALL)
    finally:
        await connection.close()


async def settled_at(url: str) -> datetime | None:
    """Return the database's time if nothing is queued, held or behind, else None."""
    connection = await asyncpg.connect(**credentials(url))
    try:
        now: datetime | None = await connection.fetchval(_SETTLED_AT)
        return now
    finally:
        await connection.close()


async def observe(url: str, *, until: datetime) -> Observed:
    """Read everything, when no copy runs any more; ticks count up to `until`."""
    connection = await asyncpg.connect(**credentials(url))
    try:
        changes = await connection.fetch(_CHANGES)
        return Observed(
            periods=tuple(_periods(changes, until)),
            attempts=await connection.fetch(_ATTEMPTS),
            returns=await connection.fetch(_RETURNS),
            webhooks={row["task_id"]: row["webhook_id"] for row in changes},
            guarantees=_guarantees(changes),
            changes=len(changes),
            feed=await connection.fetchval("select n from feed_counter"),
            owned=await connection.fetchval(
                "select count(*) from webhook_lanes where owner is not null"
            ),
        )
    finally:
        await connection.close()


def _guarantees(changes: list[asyncpg.Record]) -> dict[UUID, set[str]]:
    found: dict[UUID, set[str]] = {}
    for row in changes:
        found.setdefault(row["task_id"], set()).add(row["guarantee"])
    return found


def _periods(changes: list[asyncpg.Record], until: datetime) -> Iterator[Period]:
    """Cut each task's time at its changes; `changes` is by task and in order."""
    opened: asyncpg.Record | None = None
    closed: asyncpg.Record | None = None
    for row in changes:
        if opened is not None and opened["task_id"] != row["task_id"]:
            yield _period(opened, opened["last_cursor"], until)
            opened = None
        if not row["opens"]:
            closed = row
            continue
        if opened is not None and closed is not None:
            goes_on = row["is_active"] and row["cursor"] == closed["cursor"]
            yield _period(opened, closed["cursor"], None if goes_on else closed["at"])
        opened, closed = (row if row["is_active"] else None), None
    if opened is not None:
        yield _period(opened, opened["last_cursor"], until)


def _period(opened: asyncpg.Record, accounted: datetime, end: datetime | None) -> Period:
    return Period(
        task_id=opened["task_id"],
        schedule=opened["schedule"],
        timezone=opened["timezone"],
        start=opened["cursor"],
        accounted=accounted,
        end=end,
    )

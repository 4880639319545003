"""What the scheduler reads of tasks: versions, by one checksum and in ranges, rows, cursors."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from engine.job import TaskJob
from models.database import Connection, Database
from models.enums import MisfirePolicy

RANGE = 1000

# The jobs keep the same sum, of the hashes in `_ROWS`: only PostgreSQL knows how it hashes.
_CHECKSUM = """
select count(*), coalesce(sum(hashtextextended(id::text, version)), 0)::text
from tasks where status = 'ACTIVE' and deleted_at is null
"""

_VERSIONS = """
select id, version from tasks
where status = 'ACTIVE' and deleted_at is null and id > $1 order by id limit $2
"""

_CURSORS = "select task_id, cursor from task_cursors where task_id = any($1::uuid[])"

_ROWS = """
select t.id, t.version, t.schedule, t.timezone, t.misfire_policy, t.misfire_grace_seconds,
    hashtextextended(t.id::text, t.version) as checksum, c.cursor, clock_timestamp() as read_at
from tasks t join task_cursors c on c.task_id = t.id
where t.id = any($1::uuid[]) and t.status = 'ACTIVE' and t.deleted_at is null
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """How many ACTIVE tasks there are, and the sum of their checksums: equal for equal versions."""

    count: int
    checksum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """An ACTIVE task as the scheduler needs it; `read_at` is the database's time of the reading.

    The `checksum` is of its id and version.
    """

    id: UUID
    version: int
    checksum: int
    schedule: str
    timezone: str
    misfire_policy: MisfirePolicy
    misfire_grace_seconds: int
    cursor: datetime
    read_at: datetime


async def read_checksum(database: Database) -> Versions:
    """Return the count and the checksum of all ACTIVE tasks."""
    async with database.connection() as connection:
        ((count, checksum),) = await connection.fetch(_CHECKSUM)
    return Versions(count=count, checksum=int(checksum))


async def read_versions(database: Database, *, after: UUID) -> list[tuple[UUID, int]]:
    """Return id and version of the next ACTIVE tasks by id: RANGE of them, or fewer at the end."""
    async with database.connection() as connection:
        return [(row[0], row[1]) for row in await connection.fetch(_VERSIONS, after, RANGE)]


async def find_lagging(
    database: Database, jobs: Iterable[TaskJob], *, until: datetime
) -> set[UUID]:
    """Return the tasks whose last tick, reported before `until`, is not accounted for.

    Of the other jobs the tick is forgotten: what is stored is not asked for again.
    """
    ticked = [(job, job.last_tick) for job in jobs if job.last_tick and job.last_tick < until]
    lagging = set()
    for start in range(0, len(ticked), RANGE):
        batch = ticked[start : start + RANGE]
        async with database.connection() as connection:
            rows = await connection.fetch(_CURSORS, [job.task_id for job, _ in batch])
        cursors = {row["task_id"]: row["cursor"] for row in rows}
        for job, tick in batch:
            if cursors.get(job.task_id, tick) < tick:
                lagging.add(job.task_id)
            elif job.last_tick == tick:
                job.last_tick = None
    return lagging


async def read_rows(connection: Connection, ids: Collection[UUID]) -> list[TaskRow]:
    """Return those of the tasks that are ACTIVE."""
    rows = await connection.fetch(_ROWS, list(ids))
    return [
        TaskRow(
            id=row["id"],
            version=row["version"],
            checksum=row["checksum"],
            schedule=row["schedule"],
            timezone=row["timezone"],
            misfire_policy=MisfirePolicy(row["misfire_policy"]),
            misfire_grace_seconds=row["misfire_grace_seconds"],
            cursor=row["cursor"],
            read_at=row["read_at"],
        )
        for row in rows
    ]

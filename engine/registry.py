"""What the scheduler reads of tasks: their versions in ranges, and full rows for differences."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from models.database import Connection, Database
from models.enums import MisfirePolicy

RANGE = 1000

_VERSIONS = """
select t.id, t.version, c.cursor from tasks t join task_cursors c on c.task_id = t.id
where t.status = 'ACTIVE' and t.deleted_at is null and t.id > $1 order by t.id limit $2
"""

_ROWS = """
select t.id, t.version, t.schedule, t.timezone, t.misfire_policy, t.misfire_grace_seconds,
    c.cursor, clock_timestamp() as read_at
from tasks t join task_cursors c on c.task_id = t.id
where t.id = any($1::uuid[]) and t.status = 'ACTIVE' and t.deleted_at is null
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskVersion:
    """An ACTIVE task's version, and up to when its ticks are accounted for."""

    id: UUID
    version: int
    cursor: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """An ACTIVE task as the scheduler needs it; `read_at` is the database's time of the reading."""

    id: UUID
    version: int
    schedule: str
    timezone: str
    misfire_policy: MisfirePolicy
    misfire_grace_seconds: int
    cursor: datetime
    read_at: datetime


async def read_versions(database: Database, *, after: UUID) -> list[TaskVersion]:
    """Return the next ACTIVE tasks in the order of ids: RANGE of them, or fewer at the end."""
    async with database.connection() as connection:
        rows = await connection.fetch(_VERSIONS, after, RANGE)
    return [TaskVersion(id=row["id"], version=row["version"], cursor=row["cursor"]) for row in rows]


async def read_rows(connection: Connection, ids: Collection[UUID]) -> list[TaskRow]:
    """Return those of the tasks that are ACTIVE."""
    rows = await connection.fetch(_ROWS, list(ids))
    return [
        TaskRow(
            id=row["id"],
            version=row["version"],
            schedule=row["schedule"],
            timezone=row["timezone"],
            misfire_policy=MisfirePolicy(row["misfire_policy"]),
            misfire_grace_seconds=row["misfire_grace_seconds"],
            cursor=row["cursor"],
            read_at=row["read_at"],
        )
        for row in rows
    ]

"""What the API reads of tasks and logs, in pages and in batches; deleted tasks are not there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import orjson

from models.database import Database
from models.enums import LogStatus, TaskStatus

Row: TypeAlias = Mapping[str, Any]
"""A stored task or log by the names of the API type's Python fields."""

TASK_FIELDS: Final = (
    "id",
    "name",
    "schedule",
    "timezone",
    "webhook_url",
    "payload",
    "max_retry",
    "status",
    "status_reason",
    "failure_threshold",
    "overlap_policy",
    "misfire_policy",
    "misfire_grace_seconds",
    "delivery_guarantee",
    "created_at",
    "updated_at",
)
LOG_FIELDS: Final = (
    "id",
    "run_id",
    "task_id",
    "trigger",
    "scheduled_for",
    "execution_time",
    "finished_at",
    "status",
    "retry_count",
    "http_status",
    "duration_ms",
    "lateness_ms",
    "discord_message_id",
    "skipped_from",
    "skipped_count",
    "message",
    "created_at",
)

_COLUMNS: Final = {
    "TASK": ", ".join(f"t.{name}" for name in TASK_FIELDS).replace(
        "t.webhook_url", "t.webhook_url_masked as webhook_url"
    ),
    "LOG": ", ".join(f"l.{name}" for name in LOG_FIELDS),
}


def _select(columns: str, rest: str) -> str:
    return f"select {_COLUMNS[columns]} {rest}"


_TASK_FILTER: Final = """
from tasks t
where t.deleted_at is null
    and ($1::text is null or t.status = $1)
    and ($2::text is null or t.name ilike $2)
"""
_TASKS: Final = _select(
    "TASK", _TASK_FILTER + "order by t.created_at desc, t.id desc limit $3 offset $4"
)
_TASK_COUNT: Final = "select count(*) " + _TASK_FILTER
_TASKS_BY_ID: Final = _select(
    "TASK", "from tasks t where t.deleted_at is null and t.id = any($1::uuid[])"
)

_LOG_FILTER: Final = """
from task_logs l join tasks t on t.id = l.task_id and t.deleted_at is null
where ($1::uuid is null or l.task_id = $1)
    and ($2::text is null or l.status = $2)
    and ($3::timestamptz is null or l.execution_time >= $3)
    and ($4::timestamptz is null or l.execution_time <= $4)
"""
_LOGS: Final = _select(
    "LOG", _LOG_FILTER + "order by l.execution_time desc, l.id desc limit $5 offset $6"
)
_LOG_COUNT: Final = "select count(*) " + _LOG_FILTER
_LOGS_OF_TASKS: Final = _select(
    "LOG",
    """
from unnest($1::uuid[]) as asked(id) cross join lateral (
    select * from task_logs where task_id = asked.id and ($2::text is null or status = $2)
    order by execution_time desc, id desc limit $3 offset $4
) l
order by l.task_id, l.execution_time desc, l.id desc
""",
)
_LOG_COUNTS: Final = """
select task_id, count(*) as total from task_logs
where task_id = any($1::uuid[]) and ($2::text is null or status = $2)
group by task_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which rows of an ordered list: at most `limit`, from `offset` on."""

    limit: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks; None is no condition. `search` is a part of the name in any case."""

    status: TaskStatus | None = None
    search: str | None = None

    @property
    def values(self) -> tuple[str | None, str | None]:
        """Return what the statements take."""
        return self.status, _containing(self.search) if self.search else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which logs; None is no condition. Both dates belong to the range of execution times."""

    task_id: UUID | None = None
    status: LogStatus | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None

    @property
    def values(self) -> tuple[UUID | None, str | None, datetime | None, datetime | None]:
        """Return what the statements take."""
        return self.task_id, self.status, self.date_from, self.date_to


class Records:
    """Reads tasks and logs. Every method raises DatabaseUnavailable when the server is gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tasks(self, wanted: TaskFilter, span: Span) -> list[Row]:
        """Return one page of tasks, newest first."""
        return [_task(row) for row in await self._rows(_TASKS, *wanted.values, *_of(span))]

    async def count_tasks(self, wanted: TaskFilter) -> int:
        """Return how many tasks there are."""
        return await self._count(_TASK_COUNT, *wanted.values)

    async def tasks_by_id(self, ids: Sequence[UUID]) -> dict[UUID, Row]:
        """Return those of the tasks that exist."""
        return {row["id"]: _task(row) for row in await self._rows(_TASKS_BY_ID, ids)}

    async def logs(self, wanted: LogFilter, span: Span) -> list[Row]:
        """Return one page of logs, newest execution time first."""
        return await self._rows(_LOGS, *wanted.values, *_of(span))

    async def count_logs(self, wanted: LogFilter) -> int:
        """Return how many logs there are."""
        return await self._count(_LOG_COUNT, *wanted.values)

    async def logs_of_tasks(
        self, task_ids: Sequence[UUID], status: LogStatus | None, span: Span
    ) -> dict[UUID, list[Row]]:
        """Return the same page of logs for each task, newest execution time first."""
        pages: dict[UUID, list[Row]] = {task_id: [] for task_id in task_ids}
        for row in await self._rows(_LOGS_OF_TASKS, list(pages), status, *_of(span)):
            pages[row["task_id"]].append(row)
        return pages

    async def count_logs_of_tasks(
        self, task_ids: Sequence[UUID], status: LogStatus | None
    ) -> dict[UUID, int]:
        """Return how many logs each task has; one without any is left out."""
        return {
            row["task_id"]: row["total"] for row in await self._rows(_LOG_COUNTS, task_ids, status)
        }

    async def _rows(self, statement: str, *values: object) -> list[Row]:
        return [dict(row) for row in await self._database.read(statement, *values)]

    async def _count(self, statement: str, *values: object) -> int:
        (row,) = await self._database.read(statement, *values)
        return int(row[0])


def _task(row: Row) -> Row:
    return {**row, "payload": orjson.loads(row["payload"])}


def _of(span: Span) -> tuple[int, int]:
    return span.limit, span.offset


def _containing(text: str) -> str:
    """Return the LIKE pattern for texts that contain exactly this one."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"

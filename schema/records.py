"""What the API reads of tasks, in pages and in batches; deleted tasks are not there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

import orjson

from models.database import Database
from models.enums import DeliveryGuarantee, MisfirePolicy, OverlapPolicy, TaskStatus
from schema.listed import Columns, Decoders, columns_of, member_of

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
TASK_DECODERS: Final[Decoders] = {
    "payload": orjson.loads,
    "status": member_of(TaskStatus),
    "overlap_policy": member_of(OverlapPolicy),
    "misfire_policy": member_of(MisfirePolicy),
    "delivery_guarantee": member_of(DeliveryGuarantee),
}
_COLUMNS: Final = ", ".join(f"t.{name}" for name in TASK_FIELDS).replace(
    "t.webhook_url", "t.webhook_url_masked as webhook_url"
)


def _select(rest: str) -> str:
    return f"select {_COLUMNS} {rest}"


_TASK_FILTER: Final = """
from tasks t
where t.deleted_at is null
    and ($1::text is null or t.status = $1)
    and ($2::text is null or t.name ilike $2)
"""
_TASKS: Final = _select(_TASK_FILTER + "order by t.created_at desc, t.id desc limit $3 offset $4")
_TASK_COUNT: Final = "select count(*) " + _TASK_FILTER
_TASKS_BY_ID: Final = _select("from tasks t where t.deleted_at is null and t.id = any($1::uuid[])")


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


class Records:
    """Reads tasks. Every method raises DatabaseUnavailable when the server is gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def tasks(self, wanted: TaskFilter, span: Span) -> Columns:
        """Return one page of tasks, newest first, as the database has their values."""
        records = await self._database.read(_TASKS, *wanted.values, *_of(span))
        return columns_of(TASK_FIELDS, records)

    async def count_tasks(self, wanted: TaskFilter) -> int:
        """Return how many tasks there are."""
        return await self._count(_TASK_COUNT, *wanted.values)

    async def tasks_by_id(self, ids: Sequence[UUID]) -> dict[UUID, Row]:
        """Return those of the tasks that exist."""
        return {row["id"]: _task(dict(row)) for row in await self._database.read(_TASKS_BY_ID, ids)}

    async def _count(self, statement: str, *values: object) -> int:
        (row,) = await self._database.read(statement, *values)
        return int(row[0])


def _task(record: Row) -> Row:
    return {**record, **{name: decode(record[name]) for name, decode in TASK_DECODERS.items()}}


def _of(span: Span) -> tuple[int, int]:
    return span.limit, span.offset


def _containing(text: str) -> str:
    """Return the LIKE pattern for texts that contain exactly this one."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"

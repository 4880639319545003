"""What the API reads of tasks, in pages and in batches; deleted tasks are not there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg
import orjson

from models.database import Database
from models.enums import DeliveryGuarantee, MisfirePolicy, OverlapPolicy, TaskStatus

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
# Asking a member's class for it takes longer.
_ENUMS: Final[Mapping[str, Mapping[str, StrEnum]]] = {
    "status": {member.value: member for member in TaskStatus},
    "overlap_policy": {member.value: member for member in OverlapPolicy},
    "misfire_policy": {member.value: member for member in MisfirePolicy},
    "delivery_guarantee": {member.value: member for member in DeliveryGuarantee},
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

    async def tasks(self, wanted: TaskFilter, span: Span) -> list[Row]:
        """Return one page of tasks, newest first."""
        return await self._rows(_TASKS, *wanted.values, *_of(span))

    async def count_tasks(self, wanted: TaskFilter) -> int:
        """Return how many tasks there are."""
        return await self._count(_TASK_COUNT, *wanted.values)

    async def tasks_by_id(self, ids: Sequence[UUID]) -> dict[UUID, Row]:
        """Return those of the tasks that exist."""
        return {row["id"]: row for row in await self._rows(_TASKS_BY_ID, ids)}

    async def _rows(self, statement: str, *values: object) -> list[Row]:
        return _tasks(await self._database.read(statement, *values))

    async def _count(self, statement: str, *values: object) -> int:
        (row,) = await self._database.read(statement, *values)
        return int(row[0])


def _tasks(records: "list[asyncpg.Record]") -> list[Row]:
    """Return the rows; column by column takes less than row by row."""
    if not records:
        return []
    columns: dict[str, Iterable[Any]] = dict(
        zip(TASK_FIELDS, zip(*records, strict=True), strict=True)
    )
    columns["payload"] = map(orjson.loads, columns["payload"])
    for name, members in _ENUMS.items():
        columns[name] = map(members.__getitem__, columns[name])
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _of(span: Span) -> tuple[int, int]:
    return span.limit, span.offset


def _containing(text: str) -> str:
    """Return the LIKE pattern for texts that contain exactly this one."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"

"""What the API reads of the audit log; its rows outlive their tasks."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from models.database import Database
from models.enums import AuditAction
from schema.records import Row, Span

_FILTER: Final = """
from audit_logs
where ($1::uuid is null or task_id = $1)
    and ($2::text is null or action = $2)
    and ($3::text is null or actor = $3)
    and ($4::timestamptz is null or at >= $4)
    and ($5::timestamptz is null or at <= $5)
"""
_ROWS: Final = f"""
select id, at, actor, action, task_id, changes, ip, request_id {_FILTER}
order by at desc, id desc limit $6 offset $7
"""
_COUNT: Final = f"select count(*) {_FILTER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCondition:
    """Which rows; None is no condition. Both dates belong to the range."""

    task_id: UUID | None = None
    action: AuditAction | None = None
    actor: str | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None

    @property
    def values(self) -> tuple[object, ...]:
        """Return what the statements take."""
        return self.task_id, self.action, self.actor, self.date_from, self.date_to


class AuditRecords:
    """Reads the audit log. Every method raises DatabaseUnavailable when the server is gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, wanted: AuditCondition, span: Span) -> list[Row]:
        """Return one page of rows, newest first."""
        rows = await self._database.read(_ROWS, *wanted.values, span.limit, span.offset)
        return [{**row, "changes": orjson.loads(row["changes"])} for row in rows]

    async def count(self, wanted: AuditCondition) -> int:
        """Return how many rows there are."""
        (row,) = await self._database.read(_COUNT, *wanted.values)
        return int(row[0])

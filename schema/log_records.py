"""What the API reads of logs: pages, totals, batches; those of deleted tasks are not there."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg

from models.database import Database
from models.enums import LogStatus, RunTrigger
from schema.listed import Columns, Decoders, columns_of, member_of
from schema.log_statements import (
    LOG_FIELDS,
    NEAR_ROWS,
    LogFilter,
    Query,
    page,
    pages_of_tasks,
    total,
    totals_of_tasks,
)
from schema.records import Row, Span

LOG_DECODERS: Final[Decoders] = {
    "status": member_of(LogStatus),
    "trigger": member_of(RunTrigger),
}


class LogRecords:
    """Reads logs. Every method raises DatabaseUnavailable when the server is gone."""

    def __init__(self, database: Database, *, near_rows: int = NEAR_ROWS) -> None:
        self._database = database
        self._near_rows = near_rows

    async def logs(self, wanted: LogFilter, span: Span) -> Columns:
        """Return one page of logs, newest execution time first, as the database has them."""
        records = await self._read(page(wanted, span, near_rows=self._near_rows))
        return columns_of(LOG_FIELDS, records)

    async def count_logs(self, wanted: LogFilter) -> int:
        """Return how many logs there are."""
        (row,) = await self._read(total(wanted))
        return int(row[0])

    async def logs_of_tasks(
        self, task_ids: Sequence[UUID], status: LogStatus | None, span: Span
    ) -> dict[UUID, list[Row]]:
        """Return the same page of logs for each task, newest execution time first."""
        pages: dict[UUID, list[Row]] = {task_id: [] for task_id in task_ids}
        for row in await self._rows(pages_of_tasks(list(pages), status, span)):
            pages[row["task_id"]].append(row)
        return pages

    async def count_logs_of_tasks(
        self, task_ids: Sequence[UUID], status: LogStatus | None
    ) -> dict[UUID, int]:
        """Return how many logs each task has; one without any is left out."""
        rows = await self._rows(totals_of_tasks(list(task_ids), status))
        return {row["task_id"]: row["total"] for row in rows}

    async def _rows(self, query: Query) -> list[Row]:
        return [dict(row) for row in await self._read(query)]

    async def _read(self, query: Query) -> "list[asyncpg.Record]":
        return await self._database.read(query.text, *query.values)

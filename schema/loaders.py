"""Batching: what many objects of one answer ask for is read in one statement."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

from strawberry.dataloader import DataLoader

from models.database import Database
from models.enums import LogStatus
from schema.log_records import LogRecords
from schema.records import Records, Row, Span


class LogsOf(NamedTuple):
    """A page of a task's logs."""

    task_id: UUID
    status: LogStatus | None
    span: Span


class LogCountOf(NamedTuple):
    """The number of a task's logs."""

    task_id: UUID
    status: LogStatus | None


NEWEST = Span(limit=1, offset=0)


class Loaders:
    """The loaders of one operation.

    They batch, but remember nothing: a mutation's later fields see what its earlier ones did.
    """

    def __init__(self, database: Database) -> None:
        self._records = Records(database)
        self._log_records = LogRecords(database)
        self.task: DataLoader[UUID, Row | None] = DataLoader(self._tasks, cache=False)
        self.last_log: DataLoader[UUID, Row | None] = DataLoader(self._last_logs, cache=False)
        self.logs: DataLoader[LogsOf, list[Row]] = DataLoader(self._logs, cache=False)
        self.log_count: DataLoader[LogCountOf, int] = DataLoader(self._log_counts, cache=False)

    async def _tasks(self, ids: list[UUID]) -> list[Row | None]:
        found = await self._records.tasks_by_id(list(set(ids)))
        return [found.get(task_id) for task_id in ids]

    async def _last_logs(self, task_ids: list[UUID]) -> list[Row | None]:
        pages = await self._log_records.logs_of_tasks(task_ids, None, NEWEST)
        return [next(iter(pages[task_id]), None) for task_id in task_ids]

    async def _logs(self, keys: list[LogsOf]) -> list[list[Row]]:
        groups: defaultdict[tuple[LogStatus | None, Span], list[UUID]] = defaultdict(list)
        for key in keys:
            groups[key.status, key.span].append(key.task_id)
        pages = {
            group: await self._log_records.logs_of_tasks(task_ids, *group)
            for group, task_ids in groups.items()
        }
        return [pages[key.status, key.span][key.task_id] for key in keys]

    async def _log_counts(self, keys: list[LogCountOf]) -> list[int]:
        counts = {
            status: await self._log_records.count_logs_of_tasks(_tasks_with(status, keys), status)
            for status in {key.status for key in keys}
        }
        return [counts[key.status].get(key.task_id, 0) for key in keys]


def _tasks_with(status: LogStatus | None, keys: Iterable[LogCountOf]) -> list[UUID]:
    return list({key.task_id for key in keys if key.status == status})

"""Lists of tasks; the first pages of the ACTIVE ones, which dashboards show, are remembered."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from engine.cache import Cache
from models.database import Database
from models.enums import TaskStatus
from schema.listed import Columns
from schema.records import Records, Span, TaskFilter

KEPT_SECONDS: Final = 30.0
KEPT_TASKS: Final = 100
"""How many tasks the first pages have together."""

_WANTED: Final = TaskFilter(status=TaskStatus.ACTIVE)


class TaskLists:
    """Reads pages of tasks. Every method raises DatabaseUnavailable when the server is gone."""

    def __init__(self, database: Database, cache: Cache) -> None:
        self._records = Records(database)
        self._cache = cache

    async def page(self, wanted: TaskFilter, span: Span) -> Columns:
        """Return one page of tasks, newest first."""
        if wanted != _WANTED or span.offset + span.limit > KEPT_TASKS:
            return await self._records.tasks(wanted, span)
        return await self._cache.read(
            f"tasks:columns:{span.limit}:{span.offset}",
            partial(self._records.tasks, wanted, span),
            restore=_columns,
            seconds=_seconds,
        )

    async def count(self, wanted: TaskFilter) -> int:
        """Return how many tasks there are."""
        if wanted != _WANTED:
            return await self._records.count_tasks(wanted)
        return await self._cache.read(
            "tasks:count",
            partial(self._records.count_tasks, wanted),
            restore=int,
            seconds=_seconds,
        )


def _seconds(_: object) -> float:
    return KEPT_SECONDS


def _columns(stored: dict[str, list[Any]]) -> Columns:
    """Return the columns with the types that JSON has not."""
    types: dict[str, Callable[[str], object]] = {
        "id": UUID,
        "created_at": datetime.fromisoformat,
        "updated_at": datetime.fromisoformat,
    }
    return {
        name: list(map(types[name], values)) if name in types else values
        for name, values in stored.items()
    }

"""The jobs of this process: one per ACTIVE task, and a checksum by which they are compared."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

from engine.job import TaskJob
from engine.registry import TaskRow, Versions
from engine.timetable import Timetable


class Jobs:
    """The running jobs by task; `clock`, `on_ticks` and `on_gap` are those of TaskJob."""

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        on_ticks: Callable[[TaskJob, datetime, Sequence[datetime]], None],
        on_gap: Callable[[TaskJob], None],
    ) -> None:
        self._clock = clock
        self._on_ticks = on_ticks
        self._on_gap = on_gap
        self._by_task: dict[UUID, TaskJob] = {}
        self._checksum = 0

    def __len__(self) -> int:
        return len(self._by_task)

    def __iter__(self) -> Iterator[TaskJob]:
        return iter(self._by_task.values())

    def ids(self) -> set[UUID]:
        """Return the tasks that have a job."""
        return set(self._by_task)

    def get(self, task_id: UUID) -> TaskJob | None:
        """Return the task's job."""
        return self._by_task.get(task_id)

    def versions(self) -> Versions:
        """Return what `read_checksum` gives when the tasks have just these versions."""
        return Versions(count=len(self._by_task), checksum=self._checksum)

    def has(self, task_id: UUID, version: int) -> bool:
        """Return whether the task has a job of this version or a newer one."""
        job = self._by_task.get(task_id)
        return job is not None and job.version >= version

    def start(self, row: TaskRow, timetable: Timetable, *, after: datetime) -> None:
        """Start a job of this version in place of the task's other one, from an instant on."""
        self.stop(row.id)
        job = TaskJob(
            task_id=row.id,
            version=row.version,
            checksum=row.checksum,
            schedule=timetable,
            loop=asyncio.get_running_loop(),
            clock=self._clock,
            on_ticks=self._on_ticks,
            on_gap=self._on_gap,
        )
        job.start(after)
        self._by_task[row.id] = job
        self._checksum += row.checksum

    def stop(self, task_id: UUID) -> None:
        """Stop the task's job, if it has one."""
        job = self._by_task.pop(task_id, None)
        if job is not None:
            job.stop()
            self._checksum -= job.checksum

    def stop_all(self) -> None:
        """Stop every job."""
        for job in self:
            job.stop()
        self._by_task.clear()
        self._checksum = 0

    def reanchor(self) -> None:
        """Set all timers by the clock as it is now."""
        for job in self:
            job.reanchor()

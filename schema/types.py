"""The types of the API for tasks and their logs."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

import strawberry

from models.enums import (
    DeliveryGuarantee,
    LogStatus,
    MisfirePolicy,
    OverlapPolicy,
    RunTrigger,
    TaskStatus,
)
from models.task import Task as StoredTask
from models.task_log import TaskLog as StoredLog
from schema.arguments import (
    CountArgument,
    LimitArgument,
    PageArgument,
    checked_count,
    checked_span,
    total_pages,
)
from schema.context import Info
from schema.documented import object_type, resolver
from schema.errors import not_found
from schema.listed import Columns, Listed
from schema.loaders import LogCountOf, LogsOf
from schema.log_records import LOG_DECODERS
from schema.log_statements import LOG_FIELDS
from schema.records import TASK_DECODERS, TASK_FIELDS, Row, Span
from schema.scalars import JSON
from schema.schedules import describe, next_runs

field = strawberry.field


@object_type
class PageMeta:
    """Which part of a list this is."""

    page: int = field(description="This page, counted from 1.")
    limit: int = field(description="How many items a page holds at most.")
    total: int = field(description="How many items there are on all pages.")
    total_pages: int = field(description="How many pages there are; 0 if there is nothing.")

    @classmethod
    def of(cls, span: Span, total: int) -> Self:
        """Return which part of a list of `total` items the span is."""
        return cls(
            page=span.offset // span.limit + 1,
            limit=span.limit,
            total=total,
            total_pages=total_pages(total, span.limit),
        )


@object_type
class Task:
    """A Discord webhook message and the schedule that it is posted on."""

    id: UUID = field(description="Given when the task is created.")
    name: str = field(description='Unique among tasks, 1 to 100 characters: `"Daily report"`.')
    schedule: str = field(description="The cron expression as it was given: `0 9 * * 1-5`.")
    timezone: str = field(description="The IANA time zone of the schedule: `Europe/Berlin`.")
    webhook_url: str = field(
        description="Where the message is posted. The token is masked and never shown; given back "
        "to updateTask like this, the URL stays as it is."
    )
    payload: JSON = field(description='The message: `{"content": "Good morning!"}`.')
    max_retry: int = field(description="How often a failed attempt is repeated, 0 to 10.")
    status: TaskStatus = field(description="Whether the task ticks.")
    status_reason: str | None = field(description="Why it is FAILED, in one sentence; else null.")
    failure_threshold: int = field(
        description="How many failed runs in a row turn the task FAILED, 1 to 100."
    )
    overlap_policy: OverlapPolicy = field(
        description="What a tick does while the last run is unfinished."
    )
    misfire_policy: MisfirePolicy = field(description="What becomes of missed ticks.")
    misfire_grace_seconds: int = field(
        description="How old a missed tick may be to fire after all, 0 to 86400 seconds."
    )
    delivery_guarantee: DeliveryGuarantee = field(
        description="What to do when nobody can tell whether a message was posted."
    )
    created_at: datetime = field(description="When the task was created.")
    updated_at: datetime = field(description="When the task, or its status, last changed.")

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return the task of a row."""
        return cls(**row)

    @classmethod
    def listed(cls, columns: Columns) -> Sequence[Self]:
        """Return the tasks of many rows."""
        return Listed(cls, columns, TASK_DECODERS)

    @classmethod
    def of_stored(cls, task: StoredTask) -> Self:
        """Return the task of the ORM's object."""
        row = {name: getattr(task, name) for name in TASK_FIELDS}
        return cls.of({**row, "webhook_url": task.webhook_url_masked})

    @resolver
    def schedule_description(self) -> str:
        """The schedule in English: `At 09:00 on Monday through Friday`."""
        return describe(self.schedule, self.timezone)

    @resolver
    def next_run_at(self, info: Info) -> datetime | None:
        """When the task runs next; null unless it is ACTIVE."""
        return next(iter(self._next_runs(info, 1)), None)

    @resolver
    def next_runs(self, info: Info, count: CountArgument = 5) -> list[datetime]:
        """When the task runs next, soonest first; empty unless it is ACTIVE."""
        return self._next_runs(info, checked_count(count))

    @resolver
    async def last_log(self, info: Info) -> "TaskLog | None":
        """The attempt with the newest executionTime; null before the first."""
        row = await info.context.loaders.last_log.load(self.id)
        return None if row is None else TaskLog.of(row)

    @resolver
    async def logs(
        self,
        info: Info,
        page: PageArgument = 1,
        limit: LimitArgument = 20,
        status: Annotated[
            LogStatus | None, strawberry.argument(description="Only those with this status.")
        ] = strawberry.UNSET,
    ) -> "TaskLogPage":
        """The task's attempts, newest executionTime first."""
        span, only = checked_span(page, limit), status or None
        loaders = info.context.loaders
        rows = await loaders.logs.load(LogsOf(self.id, only, span))
        return TaskLogPage(
            data=[TaskLog.of(row) for row in rows],
            span=span,
            count=lambda: loaders.log_count.load(LogCountOf(self.id, only)),
        )

    def _next_runs(self, info: Info, count: int) -> list[datetime]:
        if self.status is not TaskStatus.ACTIVE:
            return []
        now = info.context.services.now()
        return next_runs(self.schedule, self.timezone, after=now, count=count)


@object_type
class TaskLog:
    """One attempt: an HTTP request, or a tick or range of ticks that was deliberately not sent."""

    id: UUID = field(description="Given when the attempt is stored.")
    run_id: UUID = field(description="Shared by all attempts of one run.")
    task_id: UUID = field(description="The task that the attempt belongs to.")
    trigger: RunTrigger = field(description="What made the run.")
    scheduled_for: datetime = field(description="The tick.")
    execution_time: datetime = field(description="When this attempt was, or is to be, sent.")
    finished_at: datetime | None = field(description="When it ended; null while it is QUEUED.")
    status: LogStatus = field(description="What became of the attempt.")
    retry_count: int = field(description="0 for the run's first attempt, 1 for its first retry.")
    http_status: int | None = field(description="The status of Discord's answer: `204`.")
    duration_ms: float | None = field(
        description="From the request sent to the answer read, in milliseconds."
    )
    lateness_ms: float | None = field(
        description="From the tick to the request sent, in milliseconds; first attempts only."
    )
    discord_message_id: str | None = field(description="The id of the message in Discord.")
    skipped_from: datetime | None = field(
        description="If SKIPPED stands for several ticks: the oldest; scheduledFor is the newest."
    )
    skipped_count: int | None = field(
        description="If SKIPPED stands for several ticks: how many. Counting stops at 10000."
    )
    message: str | None = field(description="What happened, readable, without secrets.")
    created_at: datetime = field(description="When the attempt was stored.")

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return the log of a row."""
        enums = {"status": LogStatus(row["status"]), "trigger": RunTrigger(row["trigger"])}
        return cls(**{**row, **enums})

    @classmethod
    def listed(cls, columns: Columns) -> Sequence[Self]:
        """Return the logs of many rows."""
        return Listed(cls, columns, LOG_DECODERS)

    @classmethod
    def of_stored(cls, log: StoredLog) -> Self:
        """Return the log of the ORM's object."""
        return cls.of({name: getattr(log, name) for name in LOG_FIELDS})

    @resolver
    async def task(self, info: Info) -> Task:
        """The task that the attempt belongs to."""
        row = await info.context.loaders.task.load(self.task_id)
        if row is None:
            raise not_found(f"There is no task {self.task_id}.")
        return Task.of(row)


@object_type
class TaskPage:
    """One page of tasks."""

    data: Sequence[Task] = field(description="The tasks; empty past the last page.")
    span: strawberry.Private[Span]
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @resolver
    async def meta(self) -> PageMeta:
        """Which part of the list this is."""
        return PageMeta.of(self.span, await self.count())


@object_type
class TaskLogPage:
    """One page of attempts."""

    data: Sequence[TaskLog] = field(description="The attempts; empty past the last page.")
    span: strawberry.Private[Span]
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @resolver
    async def meta(self) -> PageMeta:
        """Which part of the list this is."""
        return PageMeta.of(self.span, await self.count())

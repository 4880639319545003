"""The queries of the API."""

from typing import Annotated

import strawberry

from engine.cron import UnknownZone, parse_schedule
from engine.errors import FieldError, InvalidSchedule
from engine.feed_reader import FeedReader
from models.enums import TaskStatus
from schema.arguments import (
    MAX_COUNT,
    MAX_LIMIT,
    CountArgument,
    IdArgument,
    LimitArgument,
    PageArgument,
    checked_span,
    checked_text,
    range_errors,
)
from schema.audit import AuditFilter, AuditLog, AuditLogPage
from schema.audit_records import AuditCondition, AuditRecords
from schema.context import Info
from schema.documented import object_type, resolver
from schema.errors import bad_arguments, not_found
from schema.feed import LogFeed, OnlyOfTask, position_of
from schema.figures import DashboardStats, EngineStatus, SchedulePreview
from schema.inputs import LogFilter
from schema.log_records import LogRecords
from schema.log_statements import LogFilter as WantedLogs
from schema.records import TaskFilter
from schema.schedules import next_runs
from schema.task_lists import TaskLists
from schema.types import Task, TaskLog, TaskLogPage, TaskPage

argument = strawberry.argument


@object_type
class Query:
    """What can be read."""

    @resolver
    async def task(self, info: Info, task_id: IdArgument) -> Task:
        """One task; NOT_FOUND when there is none."""
        row = await info.context.loaders.task.load(task_id)
        if row is None:
            raise not_found(f"There is no task {task_id}.")
        return Task.of(row)

    @resolver
    async def tasks(
        self,
        info: Info,
        page: PageArgument = 1,
        limit: LimitArgument = 10,
        status: Annotated[
            TaskStatus | None, argument(description="Only those with this status.")
        ] = strawberry.UNSET,
        search: Annotated[
            str | None,
            argument(description='Only those whose name has this part, in any case: `"report"`.'),
        ] = strawberry.UNSET,
    ) -> TaskPage:
        """Tasks, the newest first."""
        span = checked_span(page, limit)
        wanted = TaskFilter(status=status or None, search=checked_text(search, "search"))
        services = info.context.services
        lists = TaskLists(services.database, services.engine.cache)
        return TaskPage(
            data=Task.listed(await lists.page(wanted, span)),
            span=span,
            count=lambda: lists.count(wanted),
        )

    @resolver
    async def logs(
        self,
        info: Info,
        page: PageArgument = 1,
        limit: LimitArgument = 20,
        conditions: Annotated[
            LogFilter | None, argument(name="filter", description="Which attempts.")
        ] = strawberry.UNSET,
    ) -> TaskLogPage:
        """The attempts of all tasks, newest executionTime first."""
        span = checked_span(page, limit)
        wanted = _wanted(conditions) if conditions else WantedLogs()
        records = LogRecords(info.context.services.database)
        return TaskLogPage(
            data=TaskLog.listed(await records.logs(wanted, span)),
            span=span,
            count=lambda: records.count_logs(wanted),
        )

    @resolver
    async def log_feed(
        self,
        info: Info,
        after: Annotated[
            str | None,
            argument(description="The cursor of the last answer; null starts at the oldest."),
        ] = strawberry.UNSET,
        first: Annotated[int, argument(description="How many entries at most, 1 to 100.")] = 100,
        task_id: OnlyOfTask = strawberry.UNSET,
    ) -> LogFeed:
        """What finished since the last answer, oldest first, each attempt exactly once.

        Ask again with the answer's cursor: at once while hasMore is true, else every few seconds.
        """
        errors = range_errors("first", first, MAX_LIMIT)
        position = position_of(after) if isinstance(after, str) else 0
        if position is None:
            errors.append(FieldError(("after",), "is not a cursor that logFeed gave"))
        if position is None or errors:
            raise bad_arguments(errors)
        reader = FeedReader(info.context.services.database)
        return LogFeed.of(await reader.page(position, first, task_id or None))

    @resolver
    async def dashboard_stats(self, info: Info) -> DashboardStats:
        """All tasks and the runs of the last 24 hours at a glance."""
        return DashboardStats.of(await info.context.services.statistics.dashboard())

    @resolver
    def schedule_preview(
        self,
        info: Info,
        schedule: Annotated[
            str, argument(description="A cron expression or a macro: `0 9 * * 1-5`.")
        ],
        timezone: Annotated[
            str, argument(description="An IANA time zone: `Europe/Berlin`.")
        ] = "UTC",
        count: CountArgument = 5,
    ) -> SchedulePreview:
        """What a schedule means and when it fires next, without saving anything."""
        errors = [*_schedule_errors(schedule, timezone), *range_errors("count", count, MAX_COUNT)]
        if errors:
            raise bad_arguments(errors)
        now = info.context.services.now()
        parsed = parse_schedule(schedule, timezone)
        return SchedulePreview(
            description=parsed.description,
            timezone=parsed.timezone,
            next_runs=next_runs(schedule, timezone, after=now, count=count),
        )

    @resolver
    async def engine_status(self, info: Info) -> EngineStatus:
        """What the engine of the process that answers is doing."""
        return EngineStatus.of(await info.context.services.engine.status())

    @resolver
    async def audit_logs(
        self,
        info: Info,
        page: PageArgument = 1,
        limit: LimitArgument = 20,
        conditions: Annotated[
            AuditFilter | None, argument(name="filter", description="Which entries.")
        ] = strawberry.UNSET,
    ) -> AuditLogPage:
        """Who changed what, newest first; also of tasks that are deleted."""
        span = checked_span(page, limit)
        wanted = _wanted_audit(conditions) if conditions else AuditCondition()
        records = AuditRecords(info.context.services.database)
        return AuditLogPage(
            data=[AuditLog.of(row) for row in await records.rows(wanted, span)],
            span=span,
            count=lambda: records.count(wanted),
        )


def _wanted(given: LogFilter) -> WantedLogs:
    return WantedLogs(
        task_id=given.task_id or None,
        status=given.status or None,
        date_from=given.date_from or None,
        date_to=given.date_to or None,
    )


def _wanted_audit(given: AuditFilter) -> AuditCondition:
    return AuditCondition(
        task_id=given.task_id or None,
        action=given.action or None,
        actor=checked_text(given.actor, "filter", "actor"),
        date_from=given.date_from or None,
        date_to=given.date_to or None,
    )


def _schedule_errors(schedule: str, timezone: str) -> list[FieldError]:
    """Return what is wrong with the schedule, also when the zone is wrong too."""
    try:
        parse_schedule(schedule, timezone)
    except UnknownZone as error:
        return [FieldError(("timezone",), str(error)), *_schedule_errors(schedule, "UTC")]
    except InvalidSchedule as error:
        return [FieldError(("schedule",), str(error))]
    return []

"""The inputs of the API. Their ranges and rules are the engine's."""

import dataclasses
from datetime import datetime
from uuid import UUID

import strawberry

from models.enums import (
    DeliveryGuarantee,
    LogStatus,
    MisfirePolicy,
    OverlapPolicy,
    TaskStatus,
)
from schema.documented import input_type
from schema.scalars import JSON

field = strawberry.field

_NAME = 'Unique among tasks, 1 to 100 characters after trimming: `"Daily report"`.'
_SCHEDULE = (
    "A cron expression of 5 fields, of 6 with seconds first, or a macro: `0 9 * * 1-5`, "
    "`*/30 * * * * *`, `@daily`."
)
_WEBHOOK_URL = (
    "A Discord webhook URL: `https://discord.com/api/webhooks/<id>/<token>`, also with "
    "`?thread_id=`. It is stored encrypted."
)
_PAYLOAD = (
    "The message as Discord's webhooks take it, checked when it is saved: "
    '`{"content": "Good morning!", "embeds": [{"title": "Report"}]}`.'
)
_TIMEZONE = "The IANA time zone that the schedule is read in: `Europe/Berlin`."
_MAX_RETRY = "How often a failed attempt is repeated, 0 to 10; after 1, 2, 4 … seconds."
_STATUS = "ACTIVE or INACTIVE; a task begins to tick when it becomes ACTIVE."
_FAILURE_THRESHOLD = "How many failed runs in a row turn the task FAILED, 1 to 100."
_OVERLAP_POLICY = "What a tick does while the last run is unfinished."
_MISFIRE_POLICY = "What becomes of ticks that were missed while nothing was running."
_MISFIRE_GRACE = "How old a missed tick may be to fire after all, 0 to 86400 seconds."
_GUARANTEE = "What to do when nobody can tell whether a message was posted."


@input_type
class CreateTaskInput:
    """A new task."""

    name: str = field(description=_NAME)
    schedule: str = field(description=_SCHEDULE)
    webhook_url: str = field(description=_WEBHOOK_URL)
    payload: JSON = field(description=_PAYLOAD)
    timezone: str | None = field(default="UTC", description=_TIMEZONE)
    max_retry: int | None = field(default=3, description=_MAX_RETRY)
    status: TaskStatus | None = field(default=TaskStatus.ACTIVE, description=_STATUS)
    failure_threshold: int | None = field(default=1, description=_FAILURE_THRESHOLD)
    overlap_policy: OverlapPolicy | None = field(
        default=OverlapPolicy.SKIP, description=_OVERLAP_POLICY
    )
    misfire_policy: MisfirePolicy | None = field(
        default=MisfirePolicy.FIRE_ONCE, description=_MISFIRE_POLICY
    )
    misfire_grace_seconds: int | None = field(default=300, description=_MISFIRE_GRACE)
    delivery_guarantee: DeliveryGuarantee | None = field(
        default=DeliveryGuarantee.AT_LEAST_ONCE, description=_GUARANTEE
    )


@input_type
class UpdateTaskInput:
    """Changes of a task. A field that is not given stays as it is; none can be null."""

    name: str | None = field(default=strawberry.UNSET, description=_NAME)
    schedule: str | None = field(default=strawberry.UNSET, description=_SCHEDULE)
    webhook_url: str | None = field(
        default=strawberry.UNSET,
        description=_WEBHOOK_URL + " The masked URL that the API showed leaves it as it is.",
    )
    payload: JSON | None = field(default=strawberry.UNSET, description=_PAYLOAD)
    timezone: str | None = field(default=strawberry.UNSET, description=_TIMEZONE)
    max_retry: int | None = field(default=strawberry.UNSET, description=_MAX_RETRY)
    status: TaskStatus | None = field(default=strawberry.UNSET, description=_STATUS)
    failure_threshold: int | None = field(default=strawberry.UNSET, description=_FAILURE_THRESHOLD)
    overlap_policy: OverlapPolicy | None = field(
        default=strawberry.UNSET, description=_OVERLAP_POLICY
    )
    misfire_policy: MisfirePolicy | None = field(
        default=strawberry.UNSET, description=_MISFIRE_POLICY
    )
    misfire_grace_seconds: int | None = field(default=strawberry.UNSET, description=_MISFIRE_GRACE)
    delivery_guarantee: DeliveryGuarantee | None = field(
        default=strawberry.UNSET, description=_GUARANTEE
    )


@input_type
class LogFilter:
    """Which attempts; a field that is not given is no condition."""

    task_id: UUID | None = field(default=strawberry.UNSET, description="Only those of this task.")
    status: LogStatus | None = field(
        default=strawberry.UNSET, description="Only those with this status."
    )
    date_from: datetime | None = field(
        default=strawberry.UNSET,
        description="Only those whose executionTime is this or later: `2026-01-31T00:00:00Z`.",
    )
    date_to: datetime | None = field(
        default=strawberry.UNSET, description="Only those whose executionTime is this or earlier."
    )


def given(new: CreateTaskInput | UpdateTaskInput) -> dict[str, object]:
    """Return the fields that the client gave, or that have defaults, by their Python names."""
    values = {item.name: getattr(new, item.name) for item in dataclasses.fields(new)}
    return {name: value for name, value in values.items() if value is not strawberry.UNSET}

"""The types of the API for the audit log."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Self
from uuid import UUID

import strawberry

from models.enums import AuditAction
from schema.documented import input_type, object_type, resolver
from schema.records import Row, Span
from schema.scalars import JSON
from schema.types import PageMeta

field = strawberry.field


@object_type
class AuditLog:
    """One change: who made it, when, from where, and what it changed. It outlives its task."""

    id: UUID = field(description="Given when the change is stored.")
    at: datetime = field(description="When the change was made.")
    actor: str = field(description="The name of the API key, or `engine`.")
    action: AuditAction = field(description="What was done.")
    task_id: UUID | None = field(description="The task it was done to; null for TASKS_RELOADED.")
    changes: JSON = field(
        description='What changed: `{"maxRetry": {"from": 3, "to": 5}}`. Webhook URLs are masked.'
    )
    ip: str | None = field(description="The client's address; null for the engine.")
    request_id: str | None = field(
        description="The request's id, as its answer's X-Request-ID had it; null for the engine."
    )

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return the entry of a row."""
        return cls(**{**row, "action": AuditAction(row["action"])})


@object_type
class AuditLogPage:
    """One page of the audit log."""

    data: list[AuditLog] = field(description="The entries; empty past the last page.")
    span: strawberry.Private[Span]
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @resolver
    async def meta(self) -> PageMeta:
        """Which part of the list this is."""
        return PageMeta.of(self.span, await self.count())


@input_type
class AuditFilter:
    """Which entries of the audit log; a field that is not given is no condition."""

    task_id: UUID | None = field(
        default=strawberry.UNSET, description="Only those of this task, which may be deleted."
    )
    action: AuditAction | None = field(
        default=strawberry.UNSET, description="Only those of this action."
    )
    actor: str | None = field(
        default=strawberry.UNSET,
        description="Only those of this API key, by its name, or of the `engine`.",
    )
    date_from: datetime | None = field(
        default=strawberry.UNSET, description="Only those at this time or later."
    )
    date_to: datetime | None = field(
        default=strawberry.UNSET, description="Only those at this time or earlier."
    )

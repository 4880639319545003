"""Audit rows: who changed which field from what to what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient

from models.audit_log import AuditLog
from models.enums import AuditAction
from models.task import Task

# Column -> the API's name. The URL is the masked one.
AUDITED = {
    "name": "name",
    "schedule": "schedule",
    "timezone": "timezone",
    "webhook_url_masked": "webhookUrl",
    "payload": "payload",
    "max_retry": "maxRetry",
    "status": "status",
    "status_reason": "statusReason",
    "failure_threshold": "failureThreshold",
    "overlap_policy": "overlapPolicy",
    "misfire_policy": "misfirePolicy",
    "misfire_grace_seconds": "misfireGraceSeconds",
    "delivery_guarantee": "deliveryGuarantee",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks: the name of the API key, the client's address, the request's id."""

    name: str
    ip: str | None = None
    request_id: str | None = None


def snapshot(task: Task) -> dict[str, Any]:
    """Return the audited fields of the task, by their API names."""
    return {shown: getattr(task, column) for column, shown in AUDITED.items()}


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return {field: {"from": …, "to": …}} for the fields that differ; a missing one is null."""
    return {
        field: {"from": before.get(field), "to": after.get(field)}
        for field in AUDITED.values()
        if before.get(field) != after.get(field)
    }


async def write_audit(
    connection: BaseDBAsyncClient,
    actor: Actor,
    action: AuditAction,
    *,
    task_id: UUID | None,
    changes: Mapping[str, Any],
) -> None:
    """Write the audit row, inside the transaction of the change."""
    await AuditLog.create(
        using_db=connection,
        actor=actor.name,
        action=action,
        task_id=task_id,
        changes=dict(changes),
        ip=actor.ip,
        request_id=actor.request_id,
    )

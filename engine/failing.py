"""Failures in a row, and what turns tasks FAILED."""

from collections.abc import Sequence
from typing import assert_never
from uuid import UUID

import asyncpg
import orjson

from engine.catch_up import Accounting
from engine.ending import Finished
from engine.instance import TASKS_CHANNEL
from engine.lanes import lock_lanes
from engine.ticks import Stored, lock_cursors
from engine.verdict import Stops
from models.database import Connection
from models.enums import AuditAction, LogStatus, TaskStatus
from models.fields import uuid7
from setting_types import ENGINE_ACTOR

_COUNT = """
update task_cursors c set failures_in_row = case when f.failed then c.failures_in_row + 1 else 0 end
from unnest($1::uuid[], $2::bool[], $3::bytea[]) as f (task_id, failed, webhook_key)
join tasks t on t.id = f.task_id and t.webhook_key = f.webhook_key
where c.task_id = f.task_id
returning c.task_id, c.failures_in_row
"""

_TASKS_OF = {
    Stops.TASK: """
        select id, webhook_key from tasks
        where id = $1 and webhook_key = $2 and deleted_at is null
    """,
    Stops.WEBHOOK: """
        select id, webhook_key from tasks where webhook_key = $1 and deleted_at is null
    """,
    Stops.WEBHOOK_ID: """
        select id, webhook_key from tasks where webhook_id = $1 and deleted_at is null
    """,
}

_KILL = {
    Stops.WEBHOOK: "update webhook_lanes set dead_reason = $2 where webhook_key = $1",
    Stops.WEBHOOK_ID: """
        update webhook_lanes set dead_reason = $2 where webhook_key in (
            select webhook_key from tasks where webhook_id = $1 and deleted_at is null)
    """,
}

_FAIL = """
with failing as (
    select t.id, f.reason from tasks t
    join unnest($1::uuid[], $2::text[]) as f (id, reason) on f.id = t.id
    where t.status = 'ACTIVE' and t.deleted_at is null order by t.id for update of t
)
update tasks t set status = 'FAILED', status_reason = f.reason
from failing f where t.id = f.id
returning t.id, t.status_reason
"""

_AUDIT = """
insert into audit_logs (id, actor, action, task_id, changes)
select * from unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::json[])
"""


def _changes_count(end: Finished) -> bool:
    if end.status is LogStatus.SUCCESS:
        return end.claim.failures_in_row > 0
    return end.status in (LogStatus.FAILED, LogStatus.RETRYING) and end.counts_as_failure


async def lock_affected(connection: Connection, ends: Sequence[Finished]) -> None:
    """Lock first of all what `count_failures` changes, in everybody's order (docs/decisions/0025).

    Those are cursors, and of the tasks that these ends stop also the webhooks. One that comes to
    such a webhook only now is locked out of order later, and may cost a deadlock, which is retried.
    """
    task_ids = {end.claim.task_id for end in ends if _changes_count(end)}
    stopped = [row for end in ends for row in await _stopped(connection, end)]
    task_ids.update(row["id"] for row in stopped)
    if task_ids:
        await lock_cursors(connection, task_ids)
    if stopped:
        keys = {end.claim.webhook_key for end in ends}
        await lock_lanes(connection, [*keys.union(row["webhook_key"] for row in stopped)])


async def count_failures(
    connection: Connection, ends: Sequence[Finished], accounting: Accounting
) -> Stored:
    """Count failed runs in a row, and turn the tasks FAILED that reached their threshold.

    A refusal that stops a task or a whole webhook does so at once, whatever the threshold. Returns
    what became of the ticks that these tasks still had; the caller numbers those skipped.
    """
    counted = {
        end.claim.task_id: end
        for end in ends
        if _changes_count(end) and end.status is not LogStatus.RETRYING
    }
    reasons: dict[UUID, str] = {}
    if counted:
        failed = [end.status is LogStatus.FAILED for end in counted.values()]
        # What went wrong with a webhook that the task no longer has says nothing of the new one.
        keys = [end.claim.webhook_key for end in counted.values()]
        for row in await connection.fetch(_COUNT, list(counted), failed, keys):
            end = counted[row["task_id"]]
            if 0 < end.claim.failure_threshold <= row["failures_in_row"]:
                reasons[row["task_id"]] = _sentence(end, row["failures_in_row"])
    for end in ends:
        if end.stops in _KILL:
            await connection.execute(_KILL[end.stops], *_whose(end), end.message)
        for row in await _stopped(connection, end):
            reasons[row["id"]] = f"Discord refused the webhook for good: {end.message}"
    if not reasons:
        return Stored()
    closed = await accounting.close(connection, reasons)
    await _fail_tasks(connection, reasons)
    return closed.stored


def _sentence(end: Finished, failures: int) -> str:
    times = "The last run failed" if failures == 1 else f"The last {failures} runs failed"
    return f"{times}: {end.message}"


async def _stopped(connection: Connection, end: Finished) -> Sequence[asyncpg.Record]:
    """Return the tasks, with their webhooks, that this end turns FAILED at once."""
    if end.stops not in _TASKS_OF:
        return ()
    return await connection.fetch(_TASKS_OF[end.stops], *_whose(end))


def _whose(end: Finished) -> tuple[object, ...]:
    claim = end.claim
    match end.stops:
        case Stops.RUN:
            return ()
        case Stops.TASK:
            return (claim.task_id, claim.webhook_key)
        case Stops.WEBHOOK:
            return (claim.webhook_key,)
        case Stops.WEBHOOK_ID:
            return (claim.webhook_id,)
        case _:
            assert_never(end.stops)


async def _fail_tasks(connection: Connection, reasons: dict[UUID, str]) -> None:
    """Turn these tasks FAILED, if ACTIVE, with an audit row each; all copies hear of it."""
    rows = await connection.fetch(_FAIL, list(reasons), list(reasons.values()))
    if not rows:
        return
    await connection.execute(
        _AUDIT,
        [uuid7() for _ in rows],
        [ENGINE_ACTOR] * len(rows),
        [AuditAction.TASK_FAILED] * len(rows),
        [row["id"] for row in rows],
        [_change(row["status_reason"]) for row in rows],
    )
    await connection.execute(
        "select pg_notify($1, id::text) from unnest($2::uuid[]) as f (id)",
        TASKS_CHANNEL,
        [row["id"] for row in rows],
    )


def _change(reason: str) -> str:
    changes = {
        "status": {"from": TaskStatus.ACTIVE, "to": TaskStatus.FAILED},
        "statusReason": {"from": None, "to": reason},
    }
    return orjson.dumps(changes).decode()

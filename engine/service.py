"""What changes tasks: validate, then one transaction with its audit row and its notice."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.exceptions import IntegrityError

from engine.audit import Actor, difference, snapshot, write_audit
from engine.catch_up import Accounting, Closed
from engine.cipher import WebhookCipher
from engine.errors import Conflict, FieldError, NotFound
from engine.feed import assign_feed_ids
from engine.instance import TASKS_CHANNEL, WORK_CHANNEL
from engine.scheduler import RELOAD
from engine.ticks import Stored, count_ticks
from engine.validation import Checked, Current, TaskRules, check_change, check_new
from models.database import orm_transact
from models.enums import AuditAction, LogStatus, RunTrigger, TaskStatus
from models.fields import uuid7
from models.task import Task
from models.task_log import TaskLog

TIMEOUT_SECONDS = 30.0

Connection = BaseDBAsyncClient
Changed: TypeAlias = tuple[Task, Stored]
"""A changed task, and what became of the ticks that it had before the change."""

# A change of one of these may end the ticks that a task had so far.
_ENDS_TICKS = frozenset({"schedule", "timezone", "status"})

# A new schedule begins where the old one was closed, however long the change took.
_GO_ON = "update task_cursors set cursor = $2 where task_id = $1 and cursor > $2"
_LOCK = "select task_id from task_cursors where task_id = $1 for update"
_REVIVE = "update webhook_lanes set dead_reason = null where webhook_key = $1"
_NOTIFY = "select pg_notify($1, $2)"
# What is queued goes to the webhook that the task has now.
_MOVE = """
with moved as (
    update task_logs set webhook_key = $2
    where task_id = $1 and status = 'QUEUED' and webhook_key = $4 and claimed_by is null
    returning execution_time
)
insert into webhook_lanes (webhook_key, origin, next_at)
select $2, $3, min(execution_time) from moved having count(*) > 0
on conflict (webhook_key) do update set
    next_at = greatest(least(webhook_lanes.next_at, excluded.next_at), webhook_lanes.open_at)
"""
# Due since the webhook last was served, as for ticks.
_WAIT = """
insert into webhook_lanes (webhook_key, origin, next_at, fresh_at)
values ($1, $2, 'epoch', statement_timestamp())
on conflict (webhook_key) do update set
    next_at = coalesce(webhook_lanes.open_at, excluded.next_at),
    fresh_at = case when webhook_lanes.next_at is null then excluded.fresh_at
        else webhook_lanes.fresh_at end
"""


class TaskService:
    """Creates, changes and triggers tasks.

    `applied` is awaited with a task's id after the commit, and `reloaded` after a reload, so that
    the engine of this process knows before the answer is given; other copies hear a notice.
    """

    def __init__(
        self,
        cipher: WebhookCipher,
        rules: TaskRules,
        *,
        accounting: Accounting,
        applied: Callable[[UUID], Awaitable[None]],
        reloaded: Callable[[], Awaitable[None]],
        queued: Callable[[], None],
    ) -> None:
        self._cipher = cipher
        self._rules = rules
        self._accounting = accounting
        self._applied = applied
        self._reloaded = reloaded
        self._queued = queued

    async def create(self, actor: Actor, given: Mapping[str, object]) -> Task:
        """Create a task from the API's input (snake_case names).

        Raises:
            InvalidInput: something is wrong; all problems are listed.
            Conflict: the name is taken.
        """
        columns = self._columns(check_new(given, self._rules))

        async def work(connection: Connection) -> Changed:
            task = await Task.create(using_db=connection, **columns)
            await task.refresh_from_db(using_db=connection)
            await write_audit(
                connection,
                actor,
                AuditAction.TASK_CREATED,
                task_id=task.id,
                changes=difference({}, snapshot(task)),
            )
            await self._after_change(connection, task, before=None)
            return task, Stored()

        return await self._change(work)

    async def update(self, actor: Actor, task_id: UUID, given: Mapping[str, object]) -> Task:
        """Change the given fields of a task.

        Raises:
            NotFound: there is no such task.
            InvalidInput, Conflict: as for `create`.
        """

        async def work(connection: Connection) -> Changed:
            task = await self._locked(connection, task_id)
            current = Current(
                schedule=task.schedule,
                timezone=task.timezone,
                payload=task.payload,
                webhook_url_masked=task.webhook_url_masked,
            )
            columns = self._columns(check_change(given, self._rules, current))
            return await self._save(connection, actor, AuditAction.TASK_UPDATED, task, columns)

        return await self._change(work)

    async def toggle(self, actor: Actor, task_id: UUID) -> Task:
        """Turn an ACTIVE task INACTIVE, any other ACTIVE.

        Raises:
            NotFound: there is no such task.
        """

        async def work(connection: Connection) -> Changed:
            task = await self._locked(connection, task_id)
            is_active = task.status is TaskStatus.ACTIVE
            columns = {"status": TaskStatus.INACTIVE if is_active else TaskStatus.ACTIVE}
            return await self._save(connection, actor, AuditAction.TASK_TOGGLED, task, columns)

        return await self._change(work)

    async def delete(self, actor: Actor, task_id: UUID) -> Task:
        """Hide a task at once, for good, and return it as it was.

        Raises:
            NotFound: there is no such task.
        """

        async def work(connection: Connection) -> Changed:
            task = await self._locked(connection, task_id)
            closed = await self._close_ticks(connection, task)
            await connection.execute_query(
                "update tasks set deleted_at = clock_timestamp() where id = $1", [task_id]
            )
            changes = difference(snapshot(task), {})
            await write_audit(
                connection, actor, AuditAction.TASK_DELETED, task_id=task_id, changes=changes
            )
            await connection.execute_query(_NOTIFY, [TASKS_CHANNEL, str(task_id)])
            await _number(connection, closed.stored)
            return task, closed.stored

        return await self._change(work)

    async def trigger(self, actor: Actor, task_id: UUID) -> TaskLog:
        """Queue a run now, whatever the task's status, and return its attempt.

        Raises:
            NotFound: there is no such task.
        """

        async def work(connection: Connection) -> TaskLog:
            task = await self._locked(connection, task_id)
            (row,) = await connection.execute_query_dict("select clock_timestamp() as now")
            run_id = uuid7()
            attempt = await TaskLog.create(
                using_db=connection,
                id=run_id,
                run_id=run_id,
                task_id=task_id,
                webhook_key=task.webhook_key,
                trigger=RunTrigger.MANUAL,
                scheduled_for=row["now"],
                execution_time=row["now"],
                deadline_at=row["now"] + timedelta(seconds=self._accounting.run_deadline_seconds),
                status=LogStatus.QUEUED,
            )
            await connection.execute_query(_WAIT, [task.webhook_key, task.origin])
            await write_audit(
                connection, actor, AuditAction.TASK_TRIGGERED, task_id=task_id, changes={}
            )
            await connection.execute_query(_NOTIFY, [WORK_CHANNEL, ""])
            return attempt

        attempt = await orm_transact(work, timeout_seconds=TIMEOUT_SECONDS)
        self._queued()
        return attempt

    async def reload(self, actor: Actor) -> int:
        """Have every copy compare its jobs with the database; return the number of ACTIVE tasks."""

        async def work(connection: Connection) -> int:
            await write_audit(
                connection, actor, AuditAction.TASKS_RELOADED, task_id=None, changes={}
            )
            await connection.execute_query(_NOTIFY, [TASKS_CHANNEL, RELOAD])
            active = Task.filter(status=TaskStatus.ACTIVE, deleted_at__isnull=True)
            return await active.using_db(connection).count()

        count = await orm_transact(work, timeout_seconds=TIMEOUT_SECONDS)
        await self._reloaded()
        return count

    def _columns(self, checked: Checked) -> dict[str, Any]:
        columns = dict(checked.columns)
        if checked.address is not None:
            columns["webhook_url"] = self._cipher.encrypt(checked.address.url)
        return columns

    async def _locked(self, connection: Connection, task_id: UUID) -> Task:
        """Lock the cursor first, as the storing of ticks does, then the task."""
        await connection.execute_query(_LOCK, [task_id])
        tasks = Task.filter(id=task_id, deleted_at__isnull=True).using_db(connection)
        task = await tasks.select_for_update().first()
        if task is None:
            raise NotFound(f"There is no task {task_id}.")
        return task

    async def _save(
        self,
        connection: Connection,
        actor: Actor,
        action: AuditAction,
        task: Task,
        columns: dict[str, Any],
    ) -> Changed:
        before, key_before = snapshot(task), task.webhook_key
        if columns.get("status"):
            columns["status_reason"] = None
        closed = Closed()
        if not _ENDS_TICKS.isdisjoint(columns):
            closed = await self._close_ticks(connection, task)
        if columns:
            await task.update_from_dict(columns).save(
                using_db=connection, update_fields=list(columns)
            )
            await task.refresh_from_db(using_db=connection)
        if task.id in closed.until:
            await connection.execute_query(_GO_ON, [task.id, closed.until[task.id]])
        changes = difference(before, snapshot(task))
        if key_before != task.webhook_key and "webhookUrl" not in changes:
            shown = task.webhook_url_masked
            changes["webhookUrl"] = {"from": shown, "to": shown}
        if changes:
            await write_audit(connection, actor, action, task_id=task.id, changes=changes)
        await self._after_change(connection, task, before=key_before)
        await _number(connection, closed.stored)
        return task, closed.stored

    async def _close_ticks(self, connection: Connection, task: Task) -> Closed:
        """Store the ticks that an ACTIVE task had up to now."""
        if task.status is not TaskStatus.ACTIVE:
            return Closed()
        async with connection.acquire_connection() as raw:
            return await self._accounting.close(raw, [task.id])

    async def _after_change(
        self, connection: Connection, task: Task, *, before: bytes | None
    ) -> None:
        if before is not None and before != task.webhook_key:
            await connection.execute_query(_MOVE, [task.id, task.webhook_key, task.origin, before])
        if task.status is TaskStatus.ACTIVE:
            await connection.execute_query(_REVIVE, [task.webhook_key])
        await connection.execute_query(_NOTIFY, [TASKS_CHANNEL, str(task.id)])

    async def _change(self, work: Callable[[Connection], Awaitable[Changed]]) -> Task:
        try:
            task, stored = await orm_transact(work, timeout_seconds=TIMEOUT_SECONDS)
        except IntegrityError as error:
            if getattr(error.__cause__, "constraint_name", None) != "tasks_name":
                raise
            problem = FieldError(("name",), "is taken by another task")
            raise Conflict([problem]) from None
        count_ticks(stored)
        await self._applied(task.id)
        return task


async def _number(connection: Connection, stored: Stored) -> None:
    """Give what was skipped its place in the feed; last of all, because that locks everybody."""
    async with connection.acquire_connection() as raw:
        await assign_feed_ids(raw, stored.skipped)

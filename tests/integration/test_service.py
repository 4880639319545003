"""What changes tasks: stored columns, audit rows, notices, versions, and who wins a race."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest
from tortoise.exceptions import ValidationError

from engine.audit import Actor
from engine.cipher import WebhookCipher
from engine.errors import Conflict, FieldError, InvalidInput, NotFound
from engine.instance import TASKS_CHANNEL, WORK_CHANNEL
from engine.service import TaskService
from models.audit_log import AuditLog
from models.database import Database
from models.enums import AuditAction, LogStatus, RunTrigger, TaskStatus
from models.orm import credentials
from models.task import Task, TaskCursor
from models.task_log import TaskLog
from tests.conftest import RUN_DEADLINE_SECONDS, make_service
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, make_task, move_cursor
from tests.waiting import wait_until

PERSON = Actor(name="ops", ip="192.0.2.7", request_id="req-1")
NAME_TAKEN = (FieldError(("name",), "is taken by another task"),)


async def value_of(database: Database, statement: str, *arguments: object) -> object:
    async with database.connection() as connection:
        return await connection.fetchval(statement, *arguments)


async def only_audit(action: AuditAction) -> AuditLog:
    return await AuditLog.get(action=action)


def masked(url: str) -> str:
    return url.rsplit("/", 1)[0] + "/****"


@pytest.fixture
async def task(service: TaskService, fake_discord: FakeDiscord) -> Task:
    return await make_task(service, fake_discord, name="report")


@pytest.fixture
async def notices(database_url: str) -> AsyncIterator[list[tuple[str, str]]]:
    """The notices heard, as (channel, payload)."""
    heard: list[tuple[str, str]] = []
    connection = await asyncpg.connect(**credentials(database_url))

    def hear(_connection: object, _pid: int, channel: str, payload: object) -> None:
        heard.append((channel, str(payload)))

    for channel in (TASKS_CHANNEL, WORK_CHANNEL):
        await connection.add_listener(channel, hear)
    yield heard
    await connection.close()


async def test_created_task_is_stored_with_every_column(
    service: TaskService, fake_discord: FakeDiscord, cipher: WebhookCipher
) -> None:
    url = fake_discord.url()
    payload = {"content": "hello", "embeds": [{"title": "t"}]}

    created = await service.create(
        PERSON,
        {
            "name": " report ",
            "schedule": "0 9 * * 1-5",
            "timezone": "Europe/Berlin",
            "webhook_url": f"{url}?wait=true",
            "payload": payload,
            "max_retry": 7,
            "status": "INACTIVE",
            "failure_threshold": 3,
            "overlap_policy": "ALLOW",
            "misfire_policy": "FIRE_ALL",
            "misfire_grace_seconds": 60,
            "delivery_guarantee": "AT_MOST_ONCE",
        },
    )

    stored = await Task.get(id=created.id)
    assert (stored.name, stored.schedule, stored.timezone) == (
        "report",
        "0 9 * * 1-5",
        "Europe/Berlin",
    )
    assert stored.payload == payload
    assert (stored.max_retry, stored.failure_threshold) == (7, 3)
    assert stored.status is TaskStatus.INACTIVE
    assert (stored.overlap_policy, stored.misfire_policy) == ("ALLOW", "FIRE_ALL")
    assert (stored.misfire_grace_seconds, stored.delivery_guarantee) == (60, "AT_MOST_ONCE")
    assert stored.webhook_url_masked == masked(url)
    assert stored.webhook_id == url.split("/")[-2]
    assert stored.origin == fake_discord.origin
    assert cipher.decrypt(stored.webhook_url) == url
    unset: list[object] = [stored.status_reason, stored.deleted_at]
    assert (unset, stored.version) == ([None, None], 1)
    assert created.created_at == stored.created_at
    assert created.created_at.utcoffset() == timedelta(0)


async def test_created_tasks_cursor_stands_at_its_creation(task: Task, database: Database) -> None:
    cursor = (await TaskCursor.get(task_id=task.id)).cursor
    now = await value_of(database, "select clock_timestamp()")

    assert isinstance(now, datetime)
    assert now - timedelta(seconds=5) < cursor <= now


async def test_creation_is_audited_with_every_field_and_a_masked_url(
    service: TaskService, fake_discord: FakeDiscord
) -> None:
    url = fake_discord.url()
    task = await make_task(service, fake_discord, name="report", webhook_url=url)
    audit = await only_audit(AuditAction.TASK_CREATED)

    assert (audit.task_id, audit.actor) == (task.id, ACTOR.name)
    assert audit.changes == {
        name: {"from": None, "to": value}
        for name, value in {
            "name": "report",
            "schedule": task.schedule,
            "timezone": "UTC",
            "webhookUrl": masked(url),
            "payload": {"content": "hello"},
            "maxRetry": 3,
            "status": "ACTIVE",
            "failureThreshold": 1,
            "overlapPolicy": "SKIP",
            "misfirePolicy": "FIRE_ONCE",
            "misfireGraceSeconds": 300,
            "deliveryGuarantee": "AT_LEAST_ONCE",
        }.items()
    }


async def test_invalid_input_stores_nothing(
    service: TaskService, fake_discord: FakeDiscord, task: Task
) -> None:
    with pytest.raises(InvalidInput):
        await make_task(service, fake_discord, name="other", max_retry=11)
    with pytest.raises(InvalidInput):
        await service.update(ACTOR, task.id, {"name": "other", "max_retry": 11})

    (stored,) = await Task.all()
    assert stored.name == "report"
    assert await AuditLog.all().count() == 1


async def test_update_is_audited_with_who_and_just_what_changed(
    service: TaskService, task: Task
) -> None:
    updated = await service.update(
        PERSON, task.id, {"name": "other", "max_retry": 3, "payload": {"content": "bye"}}
    )

    audit = await only_audit(AuditAction.TASK_UPDATED)
    assert (audit.actor, audit.ip, audit.request_id) == ("ops", "192.0.2.7", "req-1")
    assert (audit.task_id, audit.at >= task.created_at) == (task.id, True)
    assert audit.changes == {
        "name": {"from": "report", "to": "other"},
        "payload": {"from": {"content": "hello"}, "to": {"content": "bye"}},
    }
    assert (updated.version, updated.name) == (2, "other")
    assert updated.updated_at > task.updated_at


async def test_update_without_fields_changes_nothing(service: TaskService, task: Task) -> None:
    updated = await service.update(ACTOR, task.id, {})

    assert (updated.version, updated.updated_at) == (task.version, task.updated_at)
    assert await AuditLog.filter(action=AuditAction.TASK_UPDATED).count() == 0


async def test_update_to_the_same_values_changes_nothing(
    service: TaskService, task: Task, cipher: WebhookCipher, database: Database
) -> None:
    """Not the version, so no copy replaces its job, and not the cursor, so no tick is forgotten."""
    cursor = await move_cursor(database, task, back=timedelta(hours=1))
    same = {
        "name": task.name,
        "schedule": task.schedule,
        "timezone": task.timezone,
        "status": task.status,
        "webhook_url": cipher.decrypt(task.webhook_url),
    }

    updated = await service.update(ACTOR, task.id, same)

    assert (updated.version, updated.updated_at) == (task.version, task.updated_at)
    assert (await TaskCursor.get(task_id=task.id)).cursor == cursor
    assert await AuditLog.filter(action=AuditAction.TASK_UPDATED).count() == 0


async def test_masked_url_given_back_keeps_the_stored_one(service: TaskService, task: Task) -> None:
    updated = await service.update(ACTOR, task.id, {"webhook_url": task.webhook_url_masked})

    assert (updated.webhook_url, updated.version) == (task.webhook_url, task.version)


async def test_new_url_is_audited_masked(
    service: TaskService, task: Task, fake_discord: FakeDiscord, cipher: WebhookCipher
) -> None:
    url = fake_discord.url()

    updated = await service.update(ACTOR, task.id, {"webhook_url": url})

    assert (await only_audit(AuditAction.TASK_UPDATED)).changes == {
        "webhookUrl": {"from": task.webhook_url_masked, "to": masked(url)}
    }
    assert cipher.decrypt(updated.webhook_url) == url


async def test_new_token_alone_shows_in_the_audit(
    service: TaskService, task: Task, fake_discord: FakeDiscord
) -> None:
    url = fake_discord.url(task.webhook_id, "n" * 68)

    updated = await service.update(ACTOR, task.id, {"webhook_url": url})

    shown = task.webhook_url_masked
    assert (await only_audit(AuditAction.TASK_UPDATED)).changes == {
        "webhookUrl": {"from": shown, "to": shown}
    }
    assert updated.webhook_key != task.webhook_key
    assert updated.version == task.version + 1


@pytest.mark.parametrize(
    ("fields", "forgets"),
    [
        ({"schedule": "0 1 1 1 *"}, True),
        ({"timezone": "Europe/Berlin"}, True),
        ({"name": "other", "payload": {"content": "x"}, "misfire_policy": "SKIP"}, False),
    ],
)
async def test_only_a_new_schedule_forgets_missed_ticks(
    service: TaskService, task: Task, database: Database, fields: dict[str, object], forgets: bool
) -> None:
    cursor = await move_cursor(database, task, back=timedelta(hours=1))

    await service.update(ACTOR, task.id, fields)

    assert ((await TaskCursor.get(task_id=task.id)).cursor > cursor) is forgets


async def test_activating_forgets_missed_ticks_failures_and_the_reason(
    service: TaskService, task: Task, database: Database
) -> None:
    cursor = await move_cursor(database, task, back=timedelta(hours=1))
    await value_of(
        database, "update tasks set status = 'FAILED', status_reason = 'x' where id = $1", task.id
    )
    await value_of(database, "update task_cursors set failures_in_row = 5")

    toggled = await service.toggle(PERSON, task.id)

    assert toggled.status is TaskStatus.ACTIVE
    row = await TaskCursor.get(task_id=task.id)
    assert (row.cursor > cursor, row.failures_in_row) == (True, 0)
    assert (await only_audit(AuditAction.TASK_TOGGLED)).changes == {
        "status": {"from": "FAILED", "to": "ACTIVE"},
        "statusReason": {"from": "x", "to": None},
    }


async def test_toggle_goes_back_and_forth(service: TaskService, task: Task) -> None:
    statuses = [(await service.toggle(ACTOR, task.id)).status for _ in range(3)]

    assert statuses == [TaskStatus.INACTIVE, TaskStatus.ACTIVE, TaskStatus.INACTIVE]


async def test_deleted_task_is_hidden_at_once_and_audited_as_it_was(
    service: TaskService, task: Task, fake_discord: FakeDiscord
) -> None:
    deleted = await service.delete(PERSON, task.id)

    assert (deleted.id, deleted.name, deleted.status) == (task.id, "report", TaskStatus.ACTIVE)
    assert (await Task.get(id=task.id)).deleted_at is not None
    changes = (await only_audit(AuditAction.TASK_DELETED)).changes
    assert changes["name"] == {"from": "report", "to": None}
    assert changes["webhookUrl"] == {"from": task.webhook_url_masked, "to": None}
    again = await make_task(service, fake_discord, name="report")
    assert again.id != task.id


async def test_trigger_queues_a_manual_run_that_is_due_now(
    service: TaskService, task: Task
) -> None:
    attempt = await service.trigger(PERSON, task.id)

    row = await TaskLog.get(id=attempt.id)
    assert (row.task_id, row.run_id, row.retry_count) == (task.id, row.id, 0)
    assert (row.status, row.trigger) == (LogStatus.QUEUED, RunTrigger.MANUAL)
    assert row.scheduled_for == row.execution_time
    assert row.deadline_at - row.execution_time == timedelta(seconds=RUN_DEADLINE_SECONDS)
    assert row.created_at == attempt.created_at
    audit = await only_audit(AuditAction.TASK_TRIGGERED)
    assert (audit.actor, audit.task_id, audit.changes) == ("ops", task.id, {})


async def test_reload_is_audited_without_a_task_and_counts_active_ones(
    service: TaskService, task: Task, fake_discord: FakeDiscord
) -> None:
    await make_task(service, fake_discord, name="off", status="INACTIVE")
    await service.delete(ACTOR, (await make_task(service, fake_discord, name="gone")).id)

    assert await service.reload(PERSON) == 1

    audit = await only_audit(AuditAction.TASKS_RELOADED)
    assert (audit.actor, audit.task_id, audit.changes) == ("ops", None, {})


async def test_every_change_sends_its_notice(
    service: TaskService,
    task: Task,
    fake_discord: FakeDiscord,
    notices: list[tuple[str, str]],
) -> None:
    other = await make_task(service, fake_discord, name="other")
    await service.update(ACTOR, task.id, {"name": "new"})
    await service.toggle(ACTOR, task.id)
    await service.trigger(ACTOR, task.id)
    await service.delete(ACTOR, task.id)
    await service.reload(ACTOR)

    await wait_until(lambda: len(notices) >= 6, what="sixth notice")
    assert notices == [
        (TASKS_CHANNEL, str(other.id)),
        (TASKS_CHANNEL, str(task.id)),
        (TASKS_CHANNEL, str(task.id)),
        (WORK_CHANNEL, ""),
        (TASKS_CHANNEL, str(task.id)),
        (TASKS_CHANNEL, "*"),
    ]


async def test_taken_name_is_a_conflict_with_its_path(
    service: TaskService, task: Task, fake_discord: FakeDiscord
) -> None:
    other = await make_task(service, fake_discord, name="other")

    with pytest.raises(Conflict) as created:
        await make_task(service, fake_discord, name="  report ")
    with pytest.raises(Conflict) as updated:
        await service.update(ACTOR, other.id, {"name": "report", "max_retry": 5})

    assert created.value.errors == updated.value.errors == NAME_TAKEN
    assert (await Task.get(id=other.id)).max_retry == 3


async def test_of_tasks_created_at_once_under_one_name_one_is_made(
    service: TaskService, fake_discord: FakeDiscord
) -> None:
    results = await asyncio.gather(
        *(make_task(service, fake_discord, name="report") for _ in range(5)),
        return_exceptions=True,
    )

    assert sum(isinstance(result, Task) for result in results) == 1
    conflicts = [result for result in results if isinstance(result, Conflict)]
    assert [conflict.errors for conflict in conflicts] == [NAME_TAKEN] * 4
    assert await AuditLog.all().count() == 1


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_unknown_or_deleted_task_is_not_found(
    service: TaskService, task: Task, is_deleted: bool
) -> None:
    await service.delete(ACTOR, task.id)
    task_id = task.id if is_deleted else uuid4()

    for change in (
        service.update(ACTOR, task_id, {"name": "x"}),
        service.toggle(ACTOR, task_id),
        service.delete(ACTOR, task_id),
        service.trigger(ACTOR, task_id),
    ):
        with pytest.raises(NotFound, match=str(task_id)):
            await change

    assert await AuditLog.all().count() == 2


async def test_no_token_is_anywhere_in_the_database(
    service: TaskService, fake_discord: FakeDiscord, database: Database
) -> None:
    """Neither as text nor as bytes, through the whole life of a task."""
    tokens = [character * 68 for character in "abc"]
    urls = [fake_discord.url(token=token) for token in tokens]
    task = await make_task(service, fake_discord, webhook_url=urls[0])
    await service.update(ACTOR, task.id, {"webhook_url": urls[1]})
    await service.trigger(ACTOR, task.id)
    with pytest.raises(InvalidInput):
        await service.update(ACTOR, task.id, {"webhook_url": f"{urls[2]}/slack"})
    await service.delete(ACTOR, task.id)

    async with database.connection() as connection:
        tables = await connection.fetch(
            "select tablename from pg_tables where schemaname = 'public'"
        )
        everything = [
            line[0]
            for table in tables
            for line in await connection.fetch(f'select t::text from "{table[0]}" t')
        ]
    assert len(tables) >= 9
    assert sum("****" in line for line in everything) >= 4
    for token in tokens:
        for needle in (token, token.encode().hex()):
            assert not any(needle in line for line in everything)


async def test_encrypting_twice_gives_different_texts(
    service: TaskService, fake_discord: FakeDiscord, cipher: WebhookCipher
) -> None:
    url = fake_discord.url()
    one = await make_task(service, fake_discord, name="one", webhook_url=url)
    other = await make_task(service, fake_discord, name="other", webhook_url=url)

    assert one.webhook_url != other.webhook_url
    assert cipher.decrypt(one.webhook_url) == cipher.decrypt(other.webhook_url) == url
    assert one.webhook_key == other.webhook_key


async def test_updates_of_one_task_at_once_lose_none(service: TaskService, task: Task) -> None:
    fields: list[dict[str, object]] = [
        {"name": "new"},
        {"schedule": "0 1 1 1 *"},
        {"timezone": "Europe/Berlin"},
        {"payload": {"content": "new"}},
        {"max_retry": 9},
        {"failure_threshold": 9},
        {"overlap_policy": "ALLOW"},
        {"misfire_policy": "SKIP"},
        {"misfire_grace_seconds": 9},
        {"delivery_guarantee": "AT_MOST_ONCE"},
    ]

    await asyncio.gather(*(service.update(ACTOR, task.id, field) for field in fields))

    stored = await Task.get(id=task.id)
    for field in fields:
        for name, value in field.items():
            assert getattr(stored, name) == value
    assert stored.version == 1 + len(fields)
    rows = await AuditLog.filter(action=AuditAction.TASK_UPDATED)
    assert sorted(len(row.changes) for row in rows) == [1] * len(fields)


async def test_toggles_at_once_each_count(service: TaskService, task: Task) -> None:
    await asyncio.gather(*(service.toggle(ACTOR, task.id) for _ in range(10)))

    assert (await Task.get(id=task.id)).status is TaskStatus.ACTIVE
    assert await AuditLog.filter(action=AuditAction.TASK_TOGGLED).count() == 10


async def test_change_that_fails_after_its_statements_leaves_no_trace(
    task: Task, cipher: WebhookCipher, fake_discord: FakeDiscord, database: Database
) -> None:
    """The change, its audit row and its notice are one transaction."""
    service = make_service(cipher, fake_discord.origin)
    too_long = Actor(name="x" * 101)

    with pytest.raises(ValidationError, match="101 > 100"):
        await service.update(too_long, task.id, {"name": "other"})

    assert (await Task.get(id=task.id)).name == "report"
    assert await AuditLog.filter(action=AuditAction.TASK_UPDATED).count() == 0

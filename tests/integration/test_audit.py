"""The audit log through the API: every change is there with who made it, nothing else is."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from engine.cipher import WebhookCipher
from engine.engine import Engine
from models.audit_log import AuditLog
from models.database import Database
from models.enums import AuditAction
from tests.fake_discord import FakeDiscord
from tests.serving import Api, as_reader, make_app, serving
from tests.waiting import wait_until

CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
UPDATE = """
mutation ($id: UUID!, $input: UpdateTaskInput!) { updateTask(id: $id, input: $input) { id } }
"""
OF_TASK = "mutation ($id: UUID!) {{ {}(id: $id) {{ id }} }}"
AUDIT = """
query ($page: Int! = 1, $limit: Int! = 20, $filter: AuditFilter) {
  auditLogs(page: $page, limit: $limit, filter: $filter) {
    data { id at actor action taskId changes ip requestId }
    meta { page limit total totalPages }
  }
}
"""
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
async def api(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> AsyncIterator[Api]:
    app = make_app(database, cipher, origin=fake_discord.origin, engine=engine)
    async with serving(app) as api:
        yield api


@pytest.fixture
def given(fake_discord: FakeDiscord) -> dict[str, Any]:
    """What a task needs at least."""
    return {
        "name": "Report",
        "schedule": "0 9 1 1 *",
        "webhookUrl": fake_discord.url(),
        "payload": {"content": "hello"},
    }


async def create(api: Api, given: dict[str, Any], **more: object) -> str:
    return str((await api.run(CREATE, input={**given, **more}))["createTask"]["id"])


async def audit(api: Api, **chosen: object) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await api.run(AUDIT, **chosen))["auditLogs"]["data"]
    return rows


async def test_a_creation_tells_every_field_and_masks_the_url(
    api: Api, given: dict[str, Any]
) -> None:
    task_id = await create(api, given)

    (row,) = await audit(api)
    assert datetime.now(UTC) - datetime.fromisoformat(row.pop("at")) < timedelta(minutes=1)
    assert row.pop("id")
    assert row.pop("requestId")
    masked = given["webhookUrl"].rpartition("/")[0] + "/****"
    assert row == {
        "actor": "default",
        "action": "TASK_CREATED",
        "taskId": task_id,
        "ip": "127.0.0.1",
        "changes": {
            name: {"from": None, "to": value}
            for name, value in {
                **given,
                "webhookUrl": masked,
                "timezone": "UTC",
                "maxRetry": 3,
                "status": "ACTIVE",
                "failureThreshold": 1,
                "overlapPolicy": "SKIP",
                "misfirePolicy": "FIRE_ONCE",
                "misfireGraceSeconds": 300,
                "deliveryGuarantee": "AT_LEAST_ONCE",
            }.items()
        },
    }


@pytest.mark.parametrize(
    ("mutation", "action", "changes"),
    [
        (
            UPDATE,
            "TASK_UPDATED",
            {"name": {"from": "Report", "to": "New"}, "maxRetry": {"from": 3, "to": 0}},
        ),
        (
            OF_TASK.format("toggleTask"),
            "TASK_TOGGLED",
            {"status": {"from": "ACTIVE", "to": "INACTIVE"}},
        ),
        (OF_TASK.format("triggerTask"), "TASK_TRIGGERED", {}),
    ],
)
async def test_a_change_tells_who_made_it_and_what_differs(
    api: Api, given: dict[str, Any], mutation: str, action: str, changes: dict[str, Any]
) -> None:
    task_id = await create(api, given)
    variables = {"id": task_id, "input": {"name": "New", "maxRetry": 0, "timezone": "UTC"}}

    answer = await api.post(mutation, variables, headers={"X-Request-ID": "request-7"})

    assert "errors" not in answer.json
    row = (await audit(api))[0]
    assert (row["action"], row["taskId"], row["changes"]) == (action, task_id, changes)
    assert (row["actor"], row["ip"], row["requestId"]) == ("default", "127.0.0.1", "request-7")


async def test_a_deleted_task_leaves_its_rows_and_all_that_it_was(
    api: Api, given: dict[str, Any]
) -> None:
    task_id = await create(api, given)

    await api.run(OF_TASK.format("deleteTask"), id=task_id)

    deleted, created = await audit(api, filter={"taskId": task_id})
    assert (deleted["action"], created["action"]) == ("TASK_DELETED", "TASK_CREATED")
    assert deleted["changes"] == {
        name: {"from": change["to"], "to": None} for name, change in created["changes"].items()
    }


async def test_a_reload_belongs_to_no_task(api: Api) -> None:
    await api.run("mutation { reloadTasks }")

    (row,) = await audit(api)
    assert (row["action"], row["actor"]) == ("TASKS_RELOADED", "default")
    assert (row["taskId"], row["changes"]) == (None, {})


async def test_the_engine_itself_is_the_actor_of_a_failure(
    api: Api, given: dict[str, Any], fake_discord: FakeDiscord
) -> None:
    fake_discord.script(None, (404, {"message": "Unknown Webhook", "code": 10015}))
    task_id = await create(api, given)
    await api.run(OF_TASK.format("triggerTask"), id=task_id)

    async def has_failed() -> bool:
        return bool(await audit(api, filter={"action": "TASK_FAILED"}))

    await wait_until(has_failed, what="TASK_FAILED")
    (row,) = await audit(api, filter={"actor": "engine"})
    assert (row["taskId"], row["ip"], row["requestId"]) == (task_id, None, None)
    assert row["changes"]["status"] == {"from": "ACTIVE", "to": "FAILED"}
    assert "Unknown Webhook" in row["changes"]["statusReason"]["to"]


@pytest.mark.parametrize(
    ("mutation", "variables"),
    [
        (CREATE, {"input": {"maxRetry": 11}}),
        (CREATE, {"input": {}}),
        (UPDATE, {"input": {"name": " "}}),
        (UPDATE, {"input": {"name": "Other"}}),
        (UPDATE, {"input": {}}),
        (UPDATE, {"input": {"name": "Report", "webhookUrl": "shown", "schedule": "0 9 1 1 *"}}),
        (OF_TASK.format("deleteTask"), {"id": str(uuid4())}),
        (OF_TASK.format("toggleTask"), {"id": str(uuid4())}),
        (OF_TASK.format("triggerTask"), {"id": str(uuid4())}),
    ],
)
async def test_what_changes_nothing_leaves_no_row(
    api: Api, given: dict[str, Any], mutation: str, variables: dict[str, Any]
) -> None:
    task_id = await create(api, given)
    await create(api, given, name="Other")
    if variables.get("input", {}).get("webhookUrl"):
        shown = await api.run("query ($id: UUID!) { task(id: $id) { webhookUrl } }", id=task_id)
        variables = {"input": {**variables["input"], **shown["task"]}}
    if mutation == CREATE:
        variables = {"input": {**given, **variables["input"]}}
    before = await audit(api)

    await api.post(mutation, {"id": task_id, **variables})

    assert await audit(api) == before


@pytest.mark.parametrize(
    "mutation", [CREATE, UPDATE, *map(OF_TASK.format, ("deleteTask", "toggleTask", "triggerTask"))]
)
async def test_a_change_that_cannot_be_audited_is_not_made(
    api: Api, given: dict[str, Any], database: Database, mutation: str
) -> None:
    """Both are one transaction."""
    task_id = await create(api, given)
    state = """{ tasks { data { id name status updatedAt lastLog { id } } } }"""
    before = await api.run(state)
    async with database.connection() as connection:
        await connection.execute(
            "alter table audit_logs add constraint shut check (at is null) not valid"
        )

    changed = {**given, "name": "New"}
    answer = await api.post(mutation, {"id": task_id, "input": changed})

    assert answer.codes == ["INTERNAL_SERVER_ERROR"]
    assert await api.run(state) == before


async def test_a_key_that_may_only_read_sees_the_audit_log_and_leaves_no_row(
    api: Api, given: dict[str, Any]
) -> None:
    await create(api, given)

    forbidden = await api.post("mutation { reloadTasks }", headers=as_reader())
    read = await api.post(AUDIT, headers=as_reader())

    assert forbidden.codes == ["FORBIDDEN"]
    assert [row["action"] for row in read.json["data"]["auditLogs"]["data"]] == ["TASK_CREATED"]


async def add_row(minutes: int, action: AuditAction, actor: str, task_id: UUID | None) -> None:
    """Store a row of so many minutes after NOON, whose request id is that number."""
    await AuditLog.create(
        at=NOON + timedelta(minutes=minutes),
        actor=actor,
        action=action,
        task_id=task_id,
        changes={},
        request_id=str(minutes),
    )


@pytest.mark.parametrize(
    ("chosen", "minutes"),
    [
        ({}, ["4", "3", "2", "1"]),
        ({"taskId": None, "action": None, "actor": None, "dateFrom": None}, ["4", "3", "2", "1"]),
        ({"taskId": str(UUID(int=1))}, ["3", "1"]),
        ({"taskId": str(UUID(int=9))}, []),
        ({"action": "TASK_TOGGLED"}, ["4", "3"]),
        ({"actor": "ops"}, ["2", "1"]),
        ({"actor": " ops "}, ["2", "1"]),
        ({"actor": "op"}, []),
        ({"dateFrom": "2026-01-31T12:03:00Z"}, ["4", "3"]),
        ({"dateTo": "2026-01-31T13:02:00+01:00"}, ["2", "1"]),
        ({"dateFrom": "0001-01-01T00:00:00Z", "dateTo": "9999-12-31T23:59:59Z"}, list("4321")),
        ({"action": "TASK_UPDATED", "actor": "ops", "taskId": str(UUID(int=1))}, ["1"]),
    ],
)
async def test_rows_can_be_chosen_and_come_newest_first(
    api: Api, chosen: dict[str, object], minutes: list[str]
) -> None:
    await add_row(2, AuditAction.TASK_UPDATED, "ops", UUID(int=2))
    await add_row(4, AuditAction.TASK_TOGGLED, "default", None)
    await add_row(1, AuditAction.TASK_UPDATED, "ops", UUID(int=1))
    await add_row(3, AuditAction.TASK_TOGGLED, "default", UUID(int=1))

    found = (await api.run(AUDIT, filter=chosen))["auditLogs"]

    assert [row["requestId"] for row in found["data"]] == minutes
    assert found["meta"]["total"] == len(minutes)


@pytest.mark.parametrize(
    ("page", "minutes"), [(1, ["5", "4"]), (3, ["1"]), (4, []), (1_000_000, [])]
)
async def test_rows_come_in_pages(api: Api, page: int, minutes: list[str]) -> None:
    for minute in range(1, 6):
        await add_row(minute, AuditAction.TASKS_RELOADED, "ops", None)

    found = (await api.run(AUDIT, page=page, limit=2))["auditLogs"]

    assert [row["requestId"] for row in found["data"]] == minutes
    assert found["meta"] == {"page": page, "limit": 2, "total": 5, "totalPages": 3}


@pytest.mark.parametrize(
    ("variables", "paths"),
    [
        ({"page": 0, "limit": 101}, [["page"], ["limit"]]),
        ({"filter": {"actor": "a\0"}}, [["filter", "actor"]]),
    ],
)
async def test_wrong_arguments_are_told(
    api: Api, variables: dict[str, object], paths: list[list[str]]
) -> None:
    error = await api.fail(AUDIT, **variables)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [field["path"] for field in error["extensions"]["fieldErrors"]] == paths

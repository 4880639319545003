"""What the mutations do, seen through the API."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from engine.cipher import WebhookCipher
from models.audit_log import AuditLog
from models.database import Database
from tests.fake_discord import FakeDiscord
from tests.serving import Api, make_app, serving

CREATE = """
mutation Create($input: CreateTaskInput!) {
  createTask(input: $input) { ...all }
}
fragment all on Task {
  id name schedule timezone webhookUrl payload maxRetry status statusReason failureThreshold
  overlapPolicy misfirePolicy misfireGraceSeconds deliveryGuarantee createdAt updatedAt
  scheduleDescription nextRunAt nextRuns(count: 2) lastLog { id } logs { meta { total } }
}
"""
UPDATE = """
mutation ($id: UUID!, $input: UpdateTaskInput!) {
  updateTask(id: $id, input: $input) { name schedule webhookUrl maxRetry status payload }
}
"""


@pytest.fixture
async def api(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> AsyncIterator[Api]:
    async with serving(make_app(database, cipher, origin=fake_discord.origin)) as api:
        yield api


@pytest.fixture
def given(fake_discord: FakeDiscord) -> dict[str, Any]:
    """What a task needs at least."""
    return {
        "name": "Report",
        "schedule": "0 9 1 1 *",
        "webhookUrl": fake_discord.url(),
        "payload": {"content": "hello", "embeds": [{"title": "ünï", "color": 255}]},
    }


async def create(api: Api, given: dict[str, Any], **more: object) -> str:
    created = await api.run(CREATE, input={**given, **more})
    return str(created["createTask"]["id"])


async def test_new_task_has_the_promised_defaults(api: Api, given: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    task = (await api.run(CREATE, input=given))["createTask"]

    year = now.year + (now >= datetime(now.year, 1, 1, 9, tzinfo=UTC))
    token = given["webhookUrl"].rsplit("/", 1)[1]
    assert task.pop("webhookUrl") == given["webhookUrl"].replace(token, "****")
    assert task.pop("createdAt") == task.pop("updatedAt")
    assert task.pop("id")
    assert task == {
        "name": "Report",
        "schedule": "0 9 1 1 *",
        "timezone": "UTC",
        "payload": given["payload"],
        "maxRetry": 3,
        "status": "ACTIVE",
        "statusReason": None,
        "failureThreshold": 1,
        "overlapPolicy": "SKIP",
        "misfirePolicy": "FIRE_ONCE",
        "misfireGraceSeconds": 300,
        "deliveryGuarantee": "AT_LEAST_ONCE",
        "scheduleDescription": "At 09:00 on January 1",
        "nextRunAt": f"{year}-01-01T09:00:00Z",
        "nextRuns": [f"{year}-01-01T09:00:00Z", f"{year + 1}-01-01T09:00:00Z"],
        "lastLog": None,
        "logs": {"meta": {"total": 0}},
    }


async def test_every_field_of_a_new_task_can_be_given(api: Api, given: dict[str, Any]) -> None:
    more = {
        "timezone": "Asia/Tokyo",
        "maxRetry": 0,
        "status": "INACTIVE",
        "failureThreshold": 100,
        "overlapPolicy": "ALLOW",
        "misfirePolicy": "FIRE_ALL",
        "misfireGraceSeconds": 86400,
        "deliveryGuarantee": "AT_MOST_ONCE",
    }

    task = (await api.run(CREATE, input={**given, **more}))["createTask"]

    assert {name: task[name] for name in more} == more
    assert (task["nextRunAt"], task["nextRuns"]) == (None, [])


async def test_input_may_be_written_in_the_document(api: Api, given: dict[str, Any]) -> None:
    created = await api.run(
        """mutation ($url: String!, $text: String!) { createTask(input: {
            name: "Inline", schedule: "@daily", webhookUrl: $url, status: INACTIVE,
            payload: {content: $text, embeds: [{title: "t", color: 3}]}
        }) { payload status } }""",
        url=given["webhookUrl"],
        text="from a variable",
    )

    assert created["createTask"] == {
        "payload": {"content": "from a variable", "embeds": [{"title": "t", "color": 3}]},
        "status": "INACTIVE",
    }


async def test_all_problems_of_an_input_are_told_at_once(api: Api, given: dict[str, Any]) -> None:
    wrong = {
        **given,
        "name": " ",
        "schedule": "61 * * * *",
        "timezone": None,
        "maxRetry": 11,
        "payload": {"embeds": [{"title": "x" * 257}]},
    }

    error = await api.fail(CREATE, input=wrong)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["path"] == ["createTask"]
    paths = [field["path"] for field in error["extensions"]["fieldErrors"]]
    assert sorted(paths, key=str) == [
        ["input", "maxRetry"],
        ["input", "name"],
        ["input", "payload", "embeds", 0, "title"],
        ["input", "schedule"],
        ["input", "timezone"],
    ]


async def test_taken_name_is_a_conflict(api: Api, given: dict[str, Any]) -> None:
    await create(api, given)

    error = await api.fail(CREATE, input=given)

    assert error["extensions"]["code"] == "CONFLICT"
    assert error["extensions"]["fieldErrors"][0]["path"] == ["input", "name"]


async def test_update_changes_only_what_is_given(api: Api, given: dict[str, Any]) -> None:
    task_id = await create(api, given, maxRetry=7)

    changed = await api.run(UPDATE, id=task_id, input={"name": "Renamed", "status": "INACTIVE"})

    token = given["webhookUrl"].rsplit("/", 1)[1]
    assert changed["updateTask"] == {
        "name": "Renamed",
        "schedule": "0 9 1 1 *",
        "webhookUrl": given["webhookUrl"].replace(token, "****"),
        "maxRetry": 7,
        "status": "INACTIVE",
        "payload": given["payload"],
    }


async def test_update_takes_back_what_it_showed(api: Api, given: dict[str, Any]) -> None:
    task_id = await create(api, given)
    shown = await api.run("query ($id: UUID!) { task(id: $id) { name webhookUrl } }", id=task_id)

    changed = await api.run(UPDATE, id=task_id, input=shown["task"])

    assert changed["updateTask"]["webhookUrl"] == shown["task"]["webhookUrl"]


@pytest.mark.parametrize(
    "field",
    [
        "name",
        "schedule",
        "webhookUrl",
        "payload",
        "timezone",
        "maxRetry",
        "status",
        "overlapPolicy",
    ],
)
async def test_null_is_refused_for_every_field(api: Api, given: dict[str, Any], field: str) -> None:
    task_id = await create(api, given)

    error = await api.fail(UPDATE, id=task_id, input={field: None})

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [each["path"] for each in error["extensions"]["fieldErrors"]] == [["input", field]]


async def test_deleted_task_appears_nowhere(api: Api, given: dict[str, Any]) -> None:
    task_id = await create(api, given)
    await api.run("mutation ($id: UUID!) { triggerTask(id: $id) { id } }", id=task_id)

    deleted = await api.run(
        "mutation ($id: UUID!) { deleteTask(id: $id) { name status } }", id=task_id
    )

    assert deleted["deleteTask"] == {"name": "Report", "status": "ACTIVE"}
    assert await api.run(
        """{ tasks { data { id } meta { total } }  logs { data { id } meta { total } }
             dashboardStats { total queued nextRunAt } }"""
    ) == {
        "tasks": {"data": [], "meta": {"total": 0}},
        "logs": {"data": [], "meta": {"total": 0}},
        "dashboardStats": {"total": 0, "queued": 0, "nextRunAt": None},
    }
    error = await api.fail("query ($id: UUID!) { task(id: $id) { id } }", id=task_id)
    assert error["extensions"]["code"] == "NOT_FOUND"


async def test_toggle_turns_off_and_on(api: Api, given: dict[str, Any]) -> None:
    toggle = "mutation ($id: UUID!) { toggleTask(id: $id) { status nextRunAt } }"
    task_id = await create(api, given)

    off = (await api.run(toggle, id=task_id))["toggleTask"]
    on = (await api.run(toggle, id=task_id))["toggleTask"]

    assert off == {"status": "INACTIVE", "nextRunAt": None}
    assert on["status"] == "ACTIVE"
    assert on["nextRunAt"]


async def test_trigger_returns_the_queued_attempt(api: Api, given: dict[str, Any]) -> None:
    task_id = await create(api, given, status="INACTIVE")

    log = await api.run(
        """mutation ($id: UUID!) { triggerTask(id: $id) {
            id runId taskId status trigger retryCount httpStatus finishedAt message
            task { name lastLog { status } logs(status: QUEUED) { meta { total } } }
        } }""",
        id=task_id,
    )

    attempt = log["triggerTask"]
    assert attempt.pop("id")
    assert attempt.pop("runId")
    assert attempt == {
        "taskId": task_id,
        "status": "QUEUED",
        "trigger": "MANUAL",
        "retryCount": 0,
        "httpStatus": None,
        "finishedAt": None,
        "message": None,
        "task": {
            "name": "Report",
            "lastLog": {"status": "QUEUED"},
            "logs": {"meta": {"total": 1}},
        },
    }


async def test_reload_returns_the_number_of_active_tasks(api: Api, given: dict[str, Any]) -> None:
    await create(api, given)
    await create(api, given, name="Off", status="INACTIVE")

    assert await api.run("mutation { reloadTasks }") == {"reloadTasks": 1}


@pytest.mark.parametrize(
    "mutation",
    [
        "mutation ($id: UUID!) { updateTask(id: $id, input: {}) { id } }",
        "mutation ($id: UUID!) { deleteTask(id: $id) { id } }",
        "mutation ($id: UUID!) { toggleTask(id: $id) { id } }",
        "mutation ($id: UUID!) { triggerTask(id: $id) { id } }",
    ],
)
async def test_unknown_task_is_not_found(api: Api, mutation: str) -> None:
    error = await api.fail(mutation, id=str(uuid4()))

    assert error["extensions"]["code"] == "NOT_FOUND"


async def test_later_fields_of_a_mutation_see_what_earlier_ones_did(
    api: Api, given: dict[str, Any]
) -> None:
    task_id = await create(api, given)

    done = await api.run(
        """mutation ($id: UUID!) {
            before: updateTask(id: $id, input: {}) { lastLog { status } }
            triggerTask(id: $id) { status }
            after: updateTask(id: $id, input: {}) { lastLog { status } }
        }""",
        id=task_id,
    )

    assert (done["before"]["lastLog"], done["after"]["lastLog"]) == (None, {"status": "QUEUED"})


async def test_audit_row_says_who_from_where_and_by_which_request(
    api: Api, given: dict[str, Any]
) -> None:
    answer = await api.post(CREATE, {"input": given}, headers={"X-Request-ID": "request-7"})

    row = await AuditLog.get()
    assert str(row.task_id) == answer.json["data"]["createTask"]["id"]
    assert (row.actor, row.ip, row.request_id) == ("default", "127.0.0.1", "request-7")

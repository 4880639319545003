"""The main job through the real program: a task made by GraphQL is posted on time, and logged."""

import asyncio
import signal
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.acceptance.running import API_KEY, Service, running
from tests.fake_discord import FakeDiscord
from tests.waiting import wait_until

CREATE = """
mutation ($input: CreateTaskInput!) {
  createTask(input: $input) { id name status webhookUrl nextRunAt scheduleDescription }
}
"""
UPDATE = """
mutation ($id: UUID!, $input: UpdateTaskInput!) {
  updateTask(id: $id, input: $input) { schedule nextRunAt status webhookUrl }
}
"""
TOGGLE = "mutation ($id: UUID!) { toggleTask(id: $id) { status nextRunAt } }"
DELETE = "mutation ($id: UUID!) { deleteTask(id: $id) { id name } }"
TRIGGER = "mutation ($id: UUID!) { triggerTask(id: $id) { id status trigger } }"
LOGS = """
query ($id: UUID!) {
  logs(limit: 100, filter: {taskId: $id}) {
    data { status httpStatus durationMs latenessMs discordMessageId retryCount scheduledFor runId }
  }
}
"""
TASK = "query ($id: UUID!) { task(id: $id) { status statusReason } }"


def task_input(fake: FakeDiscord, **fields: object) -> dict[str, dict[str, object]]:
    return {
        "input": {
            "name": "reminder",
            "schedule": "*/2 * * * * *",
            "webhookUrl": fake.url(),
            "payload": {"content": "Time to play!"},
        }
        | fields
    }


async def wait_for_statuses(
    service: Service, task_id: str, statuses: list[str]
) -> list[dict[str, Any]]:
    """Wait until the task's attempts, oldest first, are these."""
    rows: list[dict[str, Any]] = []

    async def reached() -> bool:
        nonlocal rows
        rows = (await service.data(LOGS, {"id": task_id}))["logs"]["data"][::-1]
        return [row["status"] for row in rows] == statuses

    await wait_until(reached, what=f"attempts {statuses}", timeout_seconds=15)
    return rows


async def test_created_task_is_delivered_on_time_and_logged(
    real_service: Service, fake_discord: FakeDiscord
) -> None:
    created = (await real_service.data(CREATE, task_input(fake_discord)))["createTask"]
    await fake_discord.wait_for(3, timeout_seconds=20)

    async def are_logged() -> bool:
        logs = await real_service.data(LOGS, {"id": created["id"]})
        return len([row for row in logs["logs"]["data"] if row["status"] == "SUCCESS"]) >= 3

    await wait_until(are_logged, what="three SUCCESS rows")
    rows = (await real_service.data(LOGS, {"id": created["id"]}))["logs"]["data"]
    sent = [row for row in rows if row["status"] == "SUCCESS"]
    assert created["webhookUrl"].endswith("/****")
    assert all(row["httpStatus"] == 200 and row["discordMessageId"] for row in sent)
    assert all(row["durationMs"] > 0 for row in sent)
    assert min(row["latenessMs"] for row in sent) < 1000
    ticks = sorted(_seconds(row["scheduledFor"]) for row in rows)
    assert {after - before for before, after in pairwise(ticks)} == {2.0}


async def test_updated_toggled_and_deleted_task_is_rescheduled_and_unscheduled(
    real_service: Service, fake_discord: FakeDiscord
) -> None:
    created = await real_service.data(CREATE, task_input(fake_discord, schedule="@yearly"))
    task_id = created["createTask"]["id"]

    changed = {"id": task_id, "input": {"schedule": "* * * * * *"}}
    await real_service.data(UPDATE, changed)
    await fake_discord.wait_for(1)

    toggled = (await real_service.data(TOGGLE, {"id": task_id}))["toggleTask"]
    assert toggled == {"status": "INACTIVE", "nextRunAt": None}
    assert (await real_service.data("{ engineStatus { scheduledJobs } }")) == {
        "engineStatus": {"scheduledJobs": 0}
    }

    await real_service.data(TOGGLE, {"id": task_id})
    await real_service.data(DELETE, {"id": task_id})
    assert (await real_service.data("{ engineStatus { scheduledJobs } }")) == {
        "engineStatus": {"scheduledJobs": 0}
    }
    _, body = await real_service.post(TASK, {"id": task_id})
    assert body["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_without_the_right_key_nothing_is_answered(real_service: Service) -> None:
    for key in (None, "somebody-guessed-this"):
        status, body = await real_service.post("{ __schema { types { name } } }", key=key)
        assert status == 401
        assert body["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert not body.get("data")
    assert "somebody-guessed-this" not in real_service.text
    assert API_KEY not in real_service.text


async def test_wrong_input_is_refused_with_every_problem(
    real_service: Service, fake_discord: FakeDiscord
) -> None:
    wrong = task_input(
        fake_discord,
        name=" ",
        schedule="61 * * * *",
        webhookUrl="https://example.org/hook",
        payload={"content": "x" * 2001, "embeds": [{"title": "x" * 257}]},
        maxRetry=11,
    )

    status, body = await real_service.post(CREATE, wrong)

    (error,) = body["errors"]
    assert status == 200
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert {tuple(problem["path"]) for problem in error["extensions"]["fieldErrors"]} == {
        ("input", "name"),
        ("input", "schedule"),
        ("input", "webhookUrl"),
        ("input", "payload", "content"),
        ("input", "payload", "embeds", 0, "title"),
        ("input", "maxRetry"),
    }


async def test_token_is_not_repeated_by_the_error_of_a_malformed_input(
    real_service: Service, fake_discord: FakeDiscord
) -> None:
    wanted = task_input(fake_discord)["input"]
    url = str(wanted["webhookUrl"])
    token = url.rsplit("/", 1)[1]

    for given in ({"unknownField": 1}, {"name": None}, {"status": "PAUSED"}, {"webhookUrl": [url]}):
        status, body = await real_service.post(CREATE, {"input": wanted | given})

        (error,) = body["errors"]
        assert status == 200, given
        assert error["extensions"]["code"] == "BAD_USER_INPUT", given
        assert error["extensions"]["fieldErrors"][0]["path"][0] == "input", given
        assert token not in str(body), given
        assert token not in real_service.text, given


async def test_failing_task_retries_and_turns_failed(
    real_service: Service, fake_discord: FakeDiscord
) -> None:
    wanted = task_input(fake_discord, schedule="@yearly", maxRetry=1)
    created = (await real_service.data(CREATE, wanted))["createTask"]
    fake_discord.script(None, (500, "no"), (500, "no"))

    await real_service.data(TRIGGER, {"id": created["id"]})

    await wait_for_statuses(real_service, created["id"], ["RETRYING", "FAILED"])
    task = (await real_service.data(TASK, {"id": created["id"]}))["task"]
    assert task["status"] == "FAILED"
    assert "500" in task["statusReason"]


async def test_rate_limited_attempt_is_sent_again_uncounted(
    real_service: Service, fake_discord: FakeDiscord
) -> None:
    created = await real_service.data(CREATE, task_input(fake_discord, schedule="@yearly"))
    task_id = created["createTask"]["id"]
    limited = {"message": "limited", "retry_after": 0.3, "global": False}
    fake_discord.script(None, (429, limited, {"Via": "1.1 google"}))

    await real_service.data(TRIGGER, {"id": task_id})

    (row,) = await wait_for_statuses(real_service, task_id, ["SUCCESS"])
    assert row["retryCount"] == 0
    assert len(fake_discord.requests) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_drains_and_exits_cleanly(
    real_service: Service, fake_discord: FakeDiscord, number: signal.Signals
) -> None:
    created = await real_service.data(CREATE, task_input(fake_discord, schedule="@yearly"))
    fake_discord.latency_seconds = 1.0
    await real_service.data(TRIGGER, {"id": created["createTask"]["id"]})
    await fake_discord.wait_for(1)

    real_service.process.send_signal(number)
    real_service.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(real_service.process.wait(), 15) == 0

    assert [request.status for request in fake_discord.requests] == [200]
    assert "Traceback" not in real_service.text


async def test_queued_and_retrying_work_survives_a_kill(
    settings: dict[str, str], fake_discord: FakeDiscord
) -> None:
    async with running(settings) as service:
        retrying = await service.data(
            CREATE, task_input(fake_discord, name="retrying", schedule="@yearly")
        )
        ticking = await service.data(
            CREATE, task_input(fake_discord, name="ticking", overlapPolicy="ALLOW")
        )
        fake_discord.script(None, (500, "no"), (500, "no"))
        await service.data(TRIGGER, {"id": retrying["createTask"]["id"]})
        await fake_discord.wait_for(2)
        service.process.kill()
        await service.process.wait()

    async with running(settings) as service:
        task_id = retrying["createTask"]["id"]

        async def is_finished() -> bool:
            logs = await service.data(LOGS, {"id": task_id})
            return bool(logs["logs"]["data"][0]["status"] == "SUCCESS")

        await wait_until(is_finished, what="end of the retried run", timeout_seconds=25)
        task_id = ticking["createTask"]["id"]
        await service.data(TOGGLE, {"id": task_id})

        async def is_quiet() -> bool:
            status = await service.data("{ engineStatus { queued } }")
            return bool(status["engineStatus"]["queued"] == 0)

        await wait_until(is_quiet, what="empty queue", timeout_seconds=15)
        query = """query ($id: UUID!) { task(id: $id) { logs(limit: 100) { data {
            status scheduledFor retryCount skippedFrom skippedCount } } } }"""
        rows = (await service.data(query, {"id": task_id}))["task"]["logs"]["data"]
        firsts = [row for row in rows if row["retryCount"] == 0]
        accounted = sum(row["skippedCount"] or 1 for row in firsts)
        instants = [row["scheduledFor"] for row in firsts]
        earliest = min(row["skippedFrom"] or row["scheduledFor"] for row in firsts)
        span = _seconds(max(instants)) - _seconds(earliest)
        assert len(set(instants)) == len(instants)
        assert accounted == span / 2 + 1


def _seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()

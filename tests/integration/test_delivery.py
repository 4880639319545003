"""A stored attempt becomes one request at Discord and one row that says what came of it."""

import pytest

from engine.cipher import WebhookCipher
from engine.engine import Engine
from engine.service import TaskService
from models.audit_log import AuditLog
from models.database import Database
from models.enums import AuditAction, LogStatus, RunTrigger, TaskStatus
from models.task import Task
from models.task_log import TaskLog
from tests.conftest import StartEngine, make_service
from tests.fake_discord import FakeDiscord, Scripted
from tests.tasks import ACTOR, make_task, wait_for_logs
from tests.waiting import wait_until

SUCCESS, FAILED, RETRYING, QUEUED = (
    LogStatus.SUCCESS,
    LogStatus.FAILED,
    LogStatus.RETRYING,
    LogStatus.QUEUED,
)
INVALID_FORM: Scripted = (400, {"code": 50035, "message": "Invalid Form Body"})
UNKNOWN_WEBHOOK: Scripted = (404, {"code": 10015, "message": "Unknown Webhook"})
UNKNOWN_CHANNEL: Scripted = (404, {"code": 10003, "message": "Unknown Channel"})
INVALID_TOKEN: Scripted = (401, {"code": 50027, "message": "Invalid Webhook Token"})
BROKEN: Scripted = (500, "internal error")


@pytest.fixture
def tasks(cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine) -> TaskService:
    """The service beside one running engine."""
    return make_service(cipher, fake_discord.origin, engine)


async def test_due_tick_is_posted_and_logged(tasks: TaskService, fake_discord: FakeDiscord) -> None:
    task = await make_task(tasks, fake_discord, schedule="* * * * * *")

    await fake_discord.wait_for(2)

    async def is_logged() -> bool:
        return await TaskLog.filter(task_id=task.id, status=SUCCESS).count() >= 2

    await wait_until(is_logged, what="second SUCCESS row")
    row = await TaskLog.filter(task_id=task.id).order_by("scheduled_for").first()
    assert row is not None
    assert row.trigger is RunTrigger.SCHEDULE
    assert row.scheduled_for == row.execution_time
    assert row.http_status == 200
    assert row.discord_message_id is not None
    assert row.duration_ms is not None
    assert row.duration_ms > 0
    assert row.lateness_ms is not None
    assert row.lateness_ms > 0
    assert fake_discord.requests[0].payload == {"content": "hello"}


async def test_trigger_sends_at_once_whatever_the_status(
    tasks: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(tasks, fake_discord, status=TaskStatus.INACTIVE)

    attempt = await tasks.trigger(ACTOR, task.id)

    (row,) = await wait_for_logs(task, SUCCESS)
    assert attempt.status is QUEUED
    assert (row.id, row.run_id, row.trigger) == (attempt.id, attempt.run_id, RunTrigger.MANUAL)


async def test_failing_run_retries_then_turns_the_task_failed(
    tasks: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(tasks, fake_discord, max_retry=1)
    fake_discord.script(task.webhook_id, BROKEN, BROKEN)

    await tasks.trigger(ACTOR, task.id)

    first, second = await wait_for_logs(task, RETRYING, FAILED)
    assert (first.retry_count, second.retry_count) == (0, 1)
    assert first.run_id == second.run_id
    assert first.finished_at is not None
    assert 0 < (second.execution_time - first.finished_at).total_seconds() < 4
    failed = await Task.get(id=task.id)
    assert failed.status is TaskStatus.FAILED
    assert failed.status_reason is not None
    assert "500" in failed.status_reason
    audit = await AuditLog.get(task_id=task.id, action=AuditAction.TASK_FAILED)
    assert audit.actor == "engine"
    assert audit.changes["status"] == {"from": "ACTIVE", "to": "FAILED"}


async def test_failures_in_a_row_are_counted_up_to_the_threshold(
    tasks: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(tasks, fake_discord, max_retry=0, failure_threshold=2)
    body: dict[str, object] = {"id": "1"}
    delivered: Scripted = (200, body)
    fake_discord.script(task.webhook_id, INVALID_FORM, delivered, INVALID_FORM)

    for number in range(1, 4):
        await tasks.trigger(ACTOR, task.id)
        await wait_for_logs(task, *[FAILED, SUCCESS, FAILED][:number])

    assert (await Task.get(id=task.id)).status is TaskStatus.ACTIVE
    fake_discord.script(task.webhook_id, INVALID_FORM)
    await tasks.trigger(ACTOR, task.id)
    await wait_for_logs(task, FAILED, SUCCESS, FAILED, FAILED)
    assert (await Task.get(id=task.id)).status is TaskStatus.FAILED


async def test_limited_attempt_is_sent_again_as_the_same_attempt(
    tasks: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(tasks, fake_discord, max_retry=0)
    body: dict[str, object] = {
        "message": "You are being rate limited.",
        "retry_after": 0.5,
        "global": False,
    }
    headers = {"Via": "1.1 google", "X-RateLimit-Scope": "user", "Retry-After": "1"}
    fake_discord.script(task.webhook_id, (429, body, headers))

    await tasks.trigger(ACTOR, task.id)

    (row,) = await wait_for_logs(task, SUCCESS)
    first, second = fake_discord.requests
    assert row.retry_count == 0
    assert second.at - first.at >= 0.5


async def test_refusal_of_the_payload_is_not_retried_and_says_why(
    tasks: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(tasks, fake_discord, max_retry=3, failure_threshold=5)
    errors = {"embeds": {"0": {"title": {"_errors": [{"code": "X", "message": "Too long."}]}}}}
    body: dict[str, object] = {"code": 50035, "message": "Invalid Form Body", "errors": errors}
    fake_discord.script(task.webhook_id, (400, body))

    await tasks.trigger(ACTOR, task.id)

    (row,) = await wait_for_logs(task, FAILED)
    assert row.http_status == 400
    assert "embeds.0.title: Too long." in (row.message or "")
    assert (await Task.get(id=task.id)).status is TaskStatus.ACTIVE


@pytest.mark.parametrize(
    ("refusal", "stopped"),
    [
        (INVALID_TOKEN, {"same webhook"}),
        (UNKNOWN_WEBHOOK, {"same webhook", "same id, other token"}),
        (UNKNOWN_CHANNEL, set()),
    ],
)
async def test_refusal_for_good_stops_just_those_it_concerns(
    tasks: TaskService, fake_discord: FakeDiscord, refusal: Scripted, stopped: set[str]
) -> None:
    url = fake_discord.url()
    webhook_id = url.split("/")[-2]
    task = await make_task(tasks, fake_discord, webhook_url=url, failure_threshold=9)
    others = {
        "same webhook": url,
        "same id, other token": fake_discord.url(webhook_id, "x" * 68),
        "other webhook": fake_discord.url(),
    }
    for name, other in others.items():
        await make_task(tasks, fake_discord, name=name, webhook_url=other)
    fake_discord.script(webhook_id, refusal)

    await tasks.trigger(ACTOR, task.id)

    await wait_for_logs(task, FAILED)
    failed = {task.name for task in await Task.filter(status=TaskStatus.FAILED)}
    assert failed == stopped | {task.name}


async def test_dead_webhook_is_not_used_again_until_a_person_acts(
    tasks: TaskService, fake_discord: FakeDiscord
) -> None:
    task = await make_task(tasks, fake_discord)
    fake_discord.script(task.webhook_id, UNKNOWN_WEBHOOK)
    await tasks.trigger(ACTOR, task.id)
    await wait_for_logs(task, FAILED)

    await tasks.trigger(ACTOR, task.id)
    await wait_for_logs(task, FAILED, FAILED)
    assert len(fake_discord.requests) == 1

    await tasks.toggle(ACTOR, task.id)
    await tasks.trigger(ACTOR, task.id)
    await wait_for_logs(task, FAILED, FAILED, SUCCESS)


async def test_blocked_address_holds_the_origin_and_harms_no_task(
    tasks: TaskService, fake_discord: FakeDiscord, database: Database
) -> None:
    task = await make_task(tasks, fake_discord)
    headers = {"Content-Type": "text/html", "Retry-After": "1"}
    fake_discord.script(task.webhook_id, (403, "<html>blocked</html>", headers))

    await tasks.trigger(ACTOR, task.id)

    await wait_for_logs(task, SUCCESS)
    assert (await Task.get(id=task.id)).status is TaskStatus.ACTIVE
    async with database.connection() as connection:
        assert await connection.fetchval("select held_until from origins") is not None


async def test_webhooks_own_limit_is_respected_before_it_is_hit(
    start_engine: StartEngine, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> None:
    async with FakeDiscord() as limited:
        fake_discord.port, own = limited.port, fake_discord.port
        service = make_service(cipher, limited.origin, await start_engine())
        fake_discord.port = own
        task = await make_task(service, limited)

        for _ in range(7):
            await service.trigger(ACTOR, task.id)

        await wait_for_logs(task, *[SUCCESS] * 7)
        assert limited.limited == 0


async def test_error_in_one_delivery_stops_no_other(
    tasks: TaskService, fake_discord: FakeDiscord, database: Database, cipher: WebhookCipher
) -> None:
    broken = await make_task(tasks, fake_discord, max_retry=0)
    healthy = await make_task(tasks, fake_discord)
    async with database.connection() as connection:
        await connection.execute(
            "update tasks set webhook_url = $2 where id = $1",
            broken.id,
            cipher.encrypt("https://example.com/no/webhook"),
        )

    await tasks.trigger(ACTOR, broken.id)
    await tasks.trigger(ACTOR, healthy.id)

    await wait_for_logs(healthy, SUCCESS)
    (row,) = await wait_for_logs(broken, FAILED)
    assert "must begin with" in (row.message or "")


async def test_feed_numbers_every_finished_attempt_without_gaps(
    tasks: TaskService, fake_discord: FakeDiscord
) -> None:
    several = [await make_task(tasks, fake_discord, name=f"task {n}") for n in range(10)]

    for task in several:
        await tasks.trigger(ACTOR, task.id)
    for task in several:
        await wait_for_logs(task, SUCCESS)

    numbers = [row.feed_id for row in await TaskLog.all().order_by("feed_id")]
    assert numbers == list(range(1, 11))

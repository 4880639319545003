"""The dashboard, previews of schedules, and the engine's status."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import RFC_4122, UUID

import pytest

from engine.cipher import WebhookCipher
from engine.service import TaskService
from engine.statistics import Statistics
from models.database import Database
from models.enums import LogStatus, RunTrigger, TaskStatus
from models.fields import uuid7
from models.task import Task
from models.task_log import TaskLog
from tests.conftest import StartEngine
from tests.fake_discord import FakeDiscord
from tests.serving import Api, make_app, serving
from tests.tasks import ACTOR, make_task

PREVIEW = """
query ($schedule: String!, $timezone: String! = "UTC", $count: Int! = 5) {
  schedulePreview(schedule: $schedule, timezone: $timezone, count: $count) {
    description timezone nextRuns
  }
}
"""


@pytest.fixture
async def api(database: Database, cipher: WebhookCipher) -> AsyncIterator[Api]:
    async with serving(make_app(database, cipher)) as api:
        yield api


async def add_attempt(
    task: Task,
    status: LogStatus,
    *,
    retry_count: int = 0,
    hours_ago: float = 1,
    lateness_ms: float | None = None,
    run_id: UUID | None = None,
) -> UUID:
    """Store one attempt and return its run's id."""
    due = datetime.now(UTC) - timedelta(hours=hours_ago)
    log = await TaskLog.create(
        run_id=run_id or uuid7(),
        task_id=task.id,
        webhook_key=task.webhook_key,
        trigger=RunTrigger.MANUAL,
        scheduled_for=due,
        execution_time=due,
        deadline_at=due,
        status=status,
        retry_count=retry_count,
        lateness_ms=lateness_ms,
        finished_at=None if status is LogStatus.QUEUED else due,
    )
    return log.run_id


@pytest.fixture
async def task(service: TaskService, fake_discord: FakeDiscord) -> Task:
    return await make_task(service, fake_discord)


async def test_empty_dashboard_has_no_rates(database: Database) -> None:
    dashboard = await Statistics(database).dashboard()

    assert (dashboard.total, dashboard.queued, dashboard.next_run_at) == (0, 0, None)
    assert dashboard.last_24h.success_rate is None
    assert dashboard.last_24h.lateness_ms_p50 is None
    assert dashboard.last_24h.lateness_ms_p99 is None


async def test_tasks_are_counted_by_status(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    states = [TaskStatus.ACTIVE, TaskStatus.INACTIVE, TaskStatus.FAILED, TaskStatus.FAILED]
    for n, status in enumerate(states):
        task = await make_task(service, fake_discord, name=f"task {n}")
        await Task.filter(id=task.id).update(status=status)
    await service.delete(ACTOR, task.id)

    dashboard = await Statistics(database).dashboard()

    counts = (dashboard.total, dashboard.active, dashboard.inactive, dashboard.failed)
    assert counts == (3, 1, 1, 1)


async def test_runs_are_counted_not_attempts(database: Database, task: Task) -> None:
    await add_attempt(task, LogStatus.SUCCESS)
    saved = await add_attempt(task, LogStatus.RETRYING)
    await add_attempt(task, LogStatus.RETRYING, retry_count=1, run_id=saved)
    await add_attempt(task, LogStatus.SUCCESS, retry_count=2, run_id=saved)
    lost = await add_attempt(task, LogStatus.RETRYING)
    await add_attempt(task, LogStatus.FAILED, retry_count=1, run_id=lost)
    await add_attempt(task, LogStatus.SKIPPED)
    await add_attempt(task, LogStatus.UNKNOWN)
    await add_attempt(task, LogStatus.QUEUED)

    dashboard = await Statistics(database).dashboard()

    runs = dashboard.last_24h
    assert (runs.succeeded, runs.failed, runs.retried, runs.skipped) == (2, 1, 2, 1)
    assert runs.success_rate == pytest.approx(2 / 3)
    assert dashboard.queued == 1


async def test_runs_older_than_a_day_do_not_count(database: Database, task: Task) -> None:
    await add_attempt(task, LogStatus.FAILED, hours_ago=25, lateness_ms=9000)
    await add_attempt(task, LogStatus.SUCCESS, hours_ago=23, lateness_ms=10)

    runs = (await Statistics(database).dashboard()).last_24h

    assert (runs.succeeded, runs.failed, runs.success_rate) == (1, 0, 1.0)
    assert (runs.lateness_ms_p50, runs.lateness_ms_p99) == (10, 10)


async def test_lateness_is_that_of_first_attempts(database: Database, task: Task) -> None:
    for lateness in range(101):
        await add_attempt(task, LogStatus.SUCCESS, lateness_ms=lateness)
    await add_attempt(task, LogStatus.SUCCESS, retry_count=1, lateness_ms=100_000)

    runs = (await Statistics(database).dashboard()).last_24h

    assert runs.lateness_ms_p50 == pytest.approx(50, rel=0.05)
    assert runs.lateness_ms_p99 == pytest.approx(99, rel=0.05)


async def test_next_run_is_the_earliest_of_all_active_tasks(
    database: Database, service: TaskService, fake_discord: FakeDiscord
) -> None:
    await make_task(service, fake_discord, name="a", schedule="0 0 1 1 *")
    await make_task(service, fake_discord, name="b", schedule="0 * * * *")
    await make_task(service, fake_discord, name="c", schedule="* * * * *", status="INACTIVE")

    now = datetime.now(UTC)
    at = (await Statistics(database).dashboard()).next_run_at

    assert at is not None
    assert (at.minute, at.second) == (0, 0)
    assert timedelta(0) < at - now <= timedelta(hours=1, minutes=1)


async def test_schedule_that_cannot_be_read_any_more_spoils_nothing(
    api: Api, service: TaskService, fake_discord: FakeDiscord
) -> None:
    """Rows may be written by hand, and zones may vanish from the database of zones."""
    broken = await make_task(service, fake_discord, name="broken")
    await make_task(service, fake_discord, name="right", schedule="0 * * * *")
    await Task.filter(id=broken.id).update(timezone="Mars/Olympus")

    found = await api.run(
        """{ dashboardStats { total nextRunAt }
             tasks { data { name scheduleDescription nextRunAt nextRuns } } }"""
    )

    assert found["dashboardStats"]["total"] == 2
    assert found["dashboardStats"]["nextRunAt"]
    shown = {task["name"]: task for task in found["tasks"]["data"]}
    assert (shown["broken"]["nextRunAt"], shown["broken"]["nextRuns"]) == (None, [])
    assert "Mars/Olympus" in shown["broken"]["scheduleDescription"]
    assert len(shown["right"]["nextRuns"]) == 5


async def test_dashboard_is_shown_by_the_api(api: Api, task: Task) -> None:
    await add_attempt(task, LogStatus.SUCCESS, lateness_ms=12.5)

    found = await api.run(
        """{ dashboardStats { total active inactive failed queued nextRunAt
            last24h { succeeded failed retried skipped successRate latenessMsP50 latenessMsP99 }
        } }"""
    )

    stats = found["dashboardStats"]
    assert stats.pop("nextRunAt").endswith("-01-01T00:00:00Z")
    assert stats == {
        "total": 1,
        "active": 1,
        "inactive": 0,
        "failed": 0,
        "queued": 0,
        "last24h": {
            "succeeded": 1,
            "failed": 0,
            "retried": 0,
            "skipped": 0,
            "successRate": 1.0,
            "latenessMsP50": 12.5,
            "latenessMsP99": 12.5,
        },
    }


async def test_preview_tells_what_a_schedule_means(api: Api) -> None:
    found = await api.run(PREVIEW, schedule="0 9 1 1 *", timezone="Asia/Tokyo", count=2)

    years = [datetime.now(UTC).year + n for n in (1, 2)]
    assert found["schedulePreview"] == {
        "description": "At 09:00 on January 1",
        "timezone": "Asia/Tokyo",
        "nextRuns": [f"{year}-01-01T00:00:00Z" for year in years],
    }


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ({"schedule": "nonsense"}, [["schedule"]]),
        ({"schedule": "0 0 30 2 *"}, [["schedule"]]),
        ({"schedule": "@daily", "timezone": "Mars"}, [["timezone"]]),
        ({"schedule": "@daily", "count": 0}, [["count"]]),
        ({"schedule": "@daily", "count": 51}, [["count"]]),
        (
            {"schedule": "99 * * * *", "timezone": "Mars", "count": 0},
            [["timezone"], ["schedule"], ["count"]],
        ),
    ],
)
async def test_wrong_preview_tells_every_argument(
    api: Api, given: dict[str, Any], paths: list[list[str]]
) -> None:
    error = await api.fail(PREVIEW, **given)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [field["path"] for field in error["extensions"]["fieldErrors"]] == paths


async def test_engine_status_is_that_of_the_answering_process(
    database: Database, cipher: WebhookCipher, start_engine: StartEngine, task: Task
) -> None:
    await add_attempt(task, LogStatus.QUEUED)
    engine = await start_engine(roles=frozenset({"scheduler"}))

    async with serving(make_app(database, cipher, engine=engine)) as api:
        found = await api.run(
            "{ engineStatus { instanceId scheduledJobs queued inFlight lastTickAt startedAt } }"
        )

    status = found["engineStatus"]
    assert UUID(status.pop("instanceId")).variant == RFC_4122
    assert status.pop("startedAt").endswith("Z")
    assert status == {"scheduledJobs": 1, "queued": 1, "inFlight": 0, "lastTickAt": None}

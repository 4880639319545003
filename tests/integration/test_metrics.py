"""What /metrics and the log tell about a running service."""

import math
import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from engine.cipher import WebhookCipher
from engine.engine import Engine
from engine.service import TaskService
from models.database import Database
from models.enums import LogStatus
from models.task_log import TaskLog
from tests.conftest import StartEngine
from tests.fake_discord import FakeDiscord
from tests.serving import Api, absent_database, as_reader, make_app, serving
from tests.tasks import ACTOR, make_task, wait_for_logs
from tests.waiting import wait_until

SUCCESS = LogStatus.SUCCESS
_LINE = re.compile(r"([a-z_]+)(\{[^}]*\})? (\S+)")


@pytest.fixture
async def engine(start_engine: StartEngine) -> Engine:
    return await start_engine()


@pytest.fixture
async def api(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord, engine: Engine
) -> AsyncIterator[Api]:
    app = make_app(database, cipher, origin=fake_discord.origin, engine=engine)
    async with serving(app) as api:
        yield api


async def scrape(api: Api) -> Mapping[str, float]:
    """Return the values of all instruments by name and labels, as Prometheus reads them."""
    answer = await api.send("GET", "/metrics", headers=as_reader())
    assert answer.status == 200
    lines = (_LINE.fullmatch(line) for line in answer.text.splitlines())
    return {f"{match[1]}{match[2] or ''}": float(match[3]) for match in lines if match}


class Growth:
    """How much each instrument grew since: other tests count on the same ones."""

    def __init__(self, api: Api, before: Mapping[str, float]) -> None:
        self._api = api
        self._before = before

    @classmethod
    async def since_now(cls, api: Api) -> "Growth":
        return cls(api, await scrape(api))

    async def of(self, *names: str) -> list[float]:
        now = await scrape(self._api)
        return [now.get(name, 0.0) - self._before.get(name, 0.0) for name in names]


def operation(name: str, outcome: str) -> str:
    labels = f'operation="{name}",outcome="{outcome}"'
    return f"scheduler_graphql_operations_total{{{labels}}}"


async def test_delivery_is_counted_and_timed(
    api: Api, service: TaskService, fake_discord: FakeDiscord
) -> None:
    growth = await Growth.since_now(api)
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    await wait_for_logs(task, SUCCESS)

    names = (
        'scheduler_attempts_total{status="SUCCESS"}',
        "scheduler_request_duration_seconds_count",
        "scheduler_bucket_wait_seconds_count",
    )

    async def is_counted() -> bool:
        return await growth.of(*names) == [1, 1, 1]

    await wait_until(is_counted, what="counted delivery")


async def test_wait_for_the_webhooks_limit_is_measured(
    api: Api, service: TaskService, fake_discord: FakeDiscord
) -> None:
    growth = await Growth.since_now(api)
    task = await make_task(service, fake_discord)
    bucket = {
        "X-RateLimit-Limit": "1",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset-After": "0.6",
        "X-RateLimit-Bucket": "b",
    }
    fake_discord.script(None, (200, {"id": "1", "channel_id": "2"}, bucket))
    for _ in range(2):
        await service.trigger(ACTOR, task.id)

    await wait_for_logs(task, SUCCESS, SUCCESS)

    (waited,) = await growth.of("scheduler_bucket_wait_seconds_sum")
    assert 0.5 < waited < 5


async def test_429_is_counted_by_what_it_held(
    api: Api, service: TaskService, fake_discord: FakeDiscord
) -> None:
    growth = await Growth.since_now(api)
    task = await make_task(service, fake_discord)
    limited = {"message": "slow down", "retry_after": 0.1, "global": False}
    fake_discord.script(None, (429, limited, {"X-RateLimit-Scope": "user", "Retry-After": "1"}))
    await service.trigger(ACTOR, task.id)
    await wait_until(lambda: len(fake_discord.requests) > 0, what="request")
    before = 'scheduler_rate_limited_total{waits="'

    async def is_counted() -> bool:
        now = await scrape(api)
        kinds = [name for name in now if name.startswith(before)]
        return sum(await growth.of(*kinds)) == 1

    await wait_until(is_counted, what="counted 429")


async def test_queue_shows_its_depth_and_the_age_of_its_oldest_due_attempt(
    database: Database,
    cipher: WebhookCipher,
    service: TaskService,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
) -> None:
    """Nobody works here, so that what is queued stays."""
    engine = await start_engine(roles=frozenset({"api"}))
    task = await make_task(service, fake_discord)
    for minutes in (-60, 3, 2):
        log = await service.trigger(ACTOR, task.id)
        due = log.execution_time - timedelta(minutes=minutes)
        await TaskLog.filter(id=log.id).update(execution_time=due, scheduled_for=due)

    async with serving(make_app(database, cipher, engine=engine)) as api:
        shown = await scrape(api)

    assert shown["scheduler_queue_depth"] == 3
    assert 180 <= shown["scheduler_queue_age_seconds"] < 200


async def test_empty_queue_has_no_age(api: Api) -> None:
    shown = await scrape(api)

    assert (shown["scheduler_queue_depth"], shown["scheduler_queue_age_seconds"]) == (0, 0)


async def test_metrics_come_without_the_database_too(cipher: WebhookCipher) -> None:
    async with absent_database() as absent, serving(make_app(absent, cipher)) as api:
        shown = await scrape(api)

    assert math.isnan(shown["scheduler_queue_depth"])
    assert math.isnan(shown["scheduler_queue_age_seconds"])
    assert shown['scheduler_part_health{part="database"}'] == 0


async def test_pool_parts_and_process_are_shown(api: Api, database: Database) -> None:
    async with database.connection():
        shown = await scrape(api)

    assert shown['scheduler_pool_connections{state="in_use"}'] >= 1
    assert shown["scheduler_pool_limit_connections"] == 10
    for part in ("database", "scheduler", "worker", "redis", "clock"):
        assert shown[f'scheduler_part_health{{part="{part}"}}'] == 1
    assert shown["process_resident_memory_bytes"] > 0


async def test_requests_are_timed_by_status(api: Api) -> None:
    growth = await Growth.since_now(api)

    await api.send("GET", "/nowhere")

    missing = 'scheduler_http_request_duration_seconds_count{status="404"}'
    assert await growth.of(missing) == [1]


async def test_operations_are_counted_by_name_and_outcome(api: Api) -> None:
    growth = await Growth.since_now(api)

    await api.post("query Mine { __typename }")
    await api.post("{ __typename }")
    await api.post("query Mine { nothing }")
    await api.post("query New { nothing }")
    await api.post("{ oops")
    await api.post("query Mine { __typename }", operation="Yours")
    await api.post("mutation Mine { reloadTasks }", headers=as_reader())

    grown = await growth.of(
        operation("Mine", "ok"),
        operation("anonymous", "ok"),
        operation("Mine", "BAD_USER_INPUT"),
        operation("other", "BAD_USER_INPUT"),
        operation("anonymous", "BAD_USER_INPUT"),
        operation("Mine", "FORBIDDEN"),
        operation("New", "BAD_USER_INPUT"),
        operation("Yours", "BAD_USER_INPUT"),
    )
    assert grown == [1, 1, 1, 2, 1, 1, 0, 0]


async def test_after_a_hundred_names_the_rest_are_one(api: Api) -> None:
    growth = await Growth.since_now(api)

    for number in range(105):
        await api.post(f"query Many{number} {{ __typename }}")

    shown = await scrape(api)
    assert await growth.of(operation("other", "ok")) == [5]
    assert sum('_total{operation="Many' in name for name in shown) == 100


async def test_line_of_a_request_tells_key_operation_and_outcome(
    api: Api, capfd: pytest.CaptureFixture[str]
) -> None:
    await api.post("query Names { __typename }")
    await api.post("mutation { deleteTask(id: 7) { id } }")
    await api.post("mutation Reload { reloadTasks }", headers=as_reader())
    await api.post("{ __typename }", operation="https://discord.com/api/webhooks/1/token")

    lines = [line for line in capfd.readouterr().out.splitlines() if " request " in line]
    told = [tuple(re.findall(r"(?:api_key|operation|outcome)=(\S+)", line)) for line in lines]
    assert told == [
        ("default", "Names", "ok"),
        ("default", "anonymous", "BAD_USER_INPUT"),
        ("reader", "Reload", "FORBIDDEN"),
        ("default", "other", "BAD_USER_INPUT"),
    ]


async def test_every_attempt_is_one_line(
    service: TaskService, fake_discord: FakeDiscord, engine: Engine
) -> None:
    sent = await make_task(service, fake_discord)
    unsent = await make_task(service, fake_discord)
    fake_discord.delete(unsent.webhook_id)
    with capture_logs() as logs:
        await service.trigger(ACTOR, sent.id)
        await wait_for_logs(sent, SUCCESS)
        for _ in range(2):
            await service.trigger(ACTOR, unsent.id)
        await wait_for_logs(unsent, LogStatus.FAILED, LogStatus.FAILED)

    found = [
        (entry["event"], entry["webhook_id"], str(entry["status"]))
        for entry in logs
        if entry["event"].startswith("attempt_")
    ]
    assert found == [
        ("attempt_sent", sent.webhook_id, "SUCCESS"),
        ("attempt_sent", unsent.webhook_id, "FAILED"),
        ("attempt_not_sent", unsent.webhook_id, "FAILED"),
    ]

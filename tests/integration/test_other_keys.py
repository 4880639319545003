"""A copy with other ENCRYPTION_KEYS harms no run: what it can't read, it leaves to the others."""

import pytest
from cryptography.fernet import Fernet

from engine.cipher import WebhookCipher
from engine.engine import Engine
from engine.rotation import KeyRotation
from engine.service import TaskService
from models.database import Database
from models.enums import LogStatus, TaskStatus
from models.task import Task, TaskCursor
from models.task_log import TaskLog
from tests.conftest import StartEngine, make_service
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, logs_of, make_task, wait_for_logs
from tests.waiting import wait_until

WORKER = frozenset({"worker"})
TASKS = 12


@pytest.fixture
def key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def cipher(key: str) -> WebhookCipher:
    """The keys of all copies but one."""
    return WebhookCipher([key])


@pytest.fixture
def other_key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def other_keys(other_key: str) -> WebhookCipher:
    return WebhookCipher([other_key])


async def is_degraded(engine: Engine) -> bool:
    return (await engine.health())["worker"].state == "degraded"


async def given_back() -> int:
    return await TaskLog.filter(
        status=LogStatus.QUEUED, claimed_by__isnull=True, message__contains="ENCRYPTION_KEYS"
    ).count()


async def test_each_run_is_delivered_once_by_the_copy_that_can(
    service: TaskService,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
    other_keys: WebhookCipher,
) -> None:
    tasks = [await make_task(service, fake_discord, name=f"task {n}") for n in range(TASKS)]
    for task in tasks:
        await service.trigger(ACTOR, task.id)
    wrong = await start_engine(roles=WORKER, keys=other_keys)

    async def are_given_back() -> bool:
        return await given_back() == TASKS

    await wait_until(are_given_back, what="giving back of all")
    await start_engine(roles=WORKER)
    for task in tasks:
        await wait_for_logs(task, LogStatus.SUCCESS)
    for task in tasks:
        await service.trigger(ACTOR, task.id)
    for task in tasks:
        await wait_for_logs(task, LogStatus.SUCCESS, LogStatus.SUCCESS)

    assert await is_degraded(wrong)
    assert len(fake_discord.requests) == 2 * TASKS
    assert {row.retry_count for task in tasks for row in await logs_of(task)} == {0}
    assert {one.failures_in_row for one in await TaskCursor.all()} == {0}
    assert {task.status for task in await Task.all()} == {TaskStatus.ACTIVE}


async def test_copy_is_well_again_once_it_can_read_the_url(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
    key: str,
    other_key: str,
    other_keys: WebhookCipher,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    engine = await start_engine(roles=WORKER, keys=other_keys)

    async def is_known() -> bool:
        return await is_degraded(engine)

    await wait_until(is_known, what="worker that is down")
    detail = (await engine.health())["worker"].detail
    assert "ENCRYPTION_KEYS" in detail
    assert str(task.id) in detail

    await KeyRotation(database, WebhookCipher([other_key, key])).run(lambda _, __: None)
    await wait_for_logs(task, LogStatus.SUCCESS)

    async def is_well() -> bool:
        return not await is_degraded(engine)

    await wait_until(is_well, what="worker that is well")
    assert capsys.readouterr().out.count("webhook_url_unreadable") == 1


async def test_what_it_can_read_it_sends(
    service: TaskService,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
    other_keys: WebhookCipher,
) -> None:
    unreadable = await make_task(service, fake_discord, name="unreadable")
    await service.trigger(ACTOR, unreadable.id)
    engine = await start_engine(roles=WORKER, keys=other_keys)

    async def is_known() -> bool:
        return await is_degraded(engine)

    await wait_until(is_known, what="worker that is down")
    others = make_service(other_keys, fake_discord.origin)
    readable = await make_task(others, fake_discord, name="readable")
    await others.trigger(ACTOR, readable.id)

    await wait_for_logs(readable, LogStatus.SUCCESS)
    await wait_for_logs(unreadable, LogStatus.QUEUED)


async def test_run_that_nobody_can_read_ends_at_its_deadline_and_does_not_count(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    start_engine: StartEngine,
    other_keys: WebhookCipher,
) -> None:
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    await start_engine(roles=WORKER, keys=other_keys)

    async def is_given_back() -> bool:
        return await given_back() == 1

    await wait_until(is_given_back, what="giving back")
    async with database.connection() as connection:
        await connection.execute("update task_logs set deadline_at = clock_timestamp()")

    await wait_for_logs(task, LogStatus.FAILED)
    assert (await Task.get(id=task.id)).status is TaskStatus.ACTIVE

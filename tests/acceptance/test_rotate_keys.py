"""Rotating keys with the real program, as the documentation says, while tasks tick."""

import asyncio

from cryptography.fernet import Fernet

from engine.cipher import WebhookCipher
from models.database import Database
from models.task import Task
from tests.acceptance.running import Service, program, running
from tests.conftest import make_service
from tests.fake_discord import FakeDiscord
from tests.tasks import make_task

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
TASKS = 4
CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
DELETE = "mutation ($id: UUID!) { deleteTask(id: $id) { id } }"
STATUSES = "{ tasks { data { status statusReason } } logs(limit: 100) { data { status message } } }"


async def create(service: Service, fake: FakeDiscord, name: str) -> str:
    given = {
        "name": name,
        "schedule": "* * * * * *",
        "webhookUrl": fake.url(),
        "payload": {"content": "hello"},
        "overlapPolicy": "ALLOW",
    }
    return str((await service.data(CREATE, {"input": given}))["createTask"]["id"])


async def wait_for_all(fake: FakeDiscord) -> None:
    """Wait until each webhook of a living task got one more message than it has now."""
    before = len(fake.requests)
    while len({row.webhook_id for row in fake.requests[before:]}) < TASKS:
        await fake.wait_for(len(fake.requests) + 1, timeout_seconds=10)


async def test_keys_rotate_while_tasks_tick_and_the_old_one_can_go(
    settings: dict[str, str], fake_discord: FakeDiscord, database: Database
) -> None:
    async with running(settings | {"ENCRYPTION_KEYS": OLD}) as service:
        for number in range(TASKS):
            await create(service, fake_discord, f"task {number}")
        deleted = await create(service, fake_discord, "deleted")
        await service.data(DELETE, {"id": deleted})
        assert await service.stop() == 0

    both = settings | {"ENCRYPTION_KEYS": f"{NEW},{OLD}"}
    async with running(both) as service:
        rotating = asyncio.create_task(program("rotate-keys", settings=both))
        await wait_for_all(fake_discord)
        status, output = await rotating
        await wait_for_all(fake_discord)
        assert await service.stop() == 0
    assert status == 0
    assert f"{TASKS + 1} of {TASKS + 1} encrypted anew" in output
    assert f"all {TASKS + 1} webhook URLs" in output

    fake_discord.requests.clear()
    only_new = settings | {"ENCRYPTION_KEYS": NEW}
    async with running(only_new) as service:
        await wait_for_all(fake_discord)
        shown = await service.data(STATUSES)
        assert await service.stop() == 0
    assert {task["status"] for task in shown["tasks"]["data"]} == {"ACTIVE"}
    assert {log["status"] for log in shown["logs"]["data"]} <= {"SUCCESS", "QUEUED", "SKIPPED"}
    for task in await Task.all():
        assert WebhookCipher([NEW]).can_decrypt(task.webhook_url)
    assert (await program("rotate-keys", settings=only_new))[0] == 0


async def test_what_no_key_can_read_is_refused_with_one_message(
    settings: dict[str, str], fake_discord: FakeDiscord, database: Database
) -> None:
    task = await make_task(make_service(WebhookCipher([OLD]), fake_discord.origin), fake_discord)
    await Task.filter(id=task.id).update(webhook_url="garbled")

    status, output = await program(
        "rotate-keys", settings=settings | {"ENCRYPTION_KEYS": f"{NEW},{OLD}"}
    )

    assert status == 1
    assert "ENCRYPTION_KEYS: none of them can read 1 of 1 stored webhook URLs" in output
    for secret in (OLD, NEW, "garbled", "Traceback"):
        assert secret not in output


async def test_a_database_that_is_not_migrated_is_told(
    settings: dict[str, str], server_url: str
) -> None:
    status, output = await program(
        "rotate-keys", settings=settings | {"DATABASE_URL": server_url, "ENCRYPTION_KEYS": NEW}
    )

    assert status == 1
    assert "run `migrate`" in output
    assert "Traceback" not in output

"""Rotating keys: what is encrypted with which key, beside changes that come in between."""

import asyncio
from dataclasses import dataclass, field

import pytest
from cryptography.fernet import Fernet

from engine.cipher import CANARY, WebhookCipher, WrongEncryptionKeys, check_canary
from engine.rotation import KeyRotation, Rotated
from models.database import Database
from models.runtime import EngineState
from models.task import Task
from tests.conftest import make_service
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, make_task
from tests.waiting import wait_until

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
BOTH = WebhookCipher([NEW, OLD])
ONLY_NEW = WebhookCipher([NEW])


@dataclass(slots=True)
class Told:
    """What was told of the progress."""

    steps: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, done: int, of: int) -> None:
        self.steps.append((done, of))


@pytest.fixture
def cipher() -> WebhookCipher:
    """The cipher of a service that knows the old key only."""
    return WebhookCipher([OLD])


@pytest.fixture
async def tasks(database: Database, cipher: WebhookCipher) -> list[Task]:
    """Five tasks of a service with the old key; one of them is deleted."""
    await check_canary(database, cipher)
    fake = FakeDiscord()
    service = make_service(cipher, fake.origin)
    tasks = [await make_task(service, fake, name=f"task {n}") for n in range(5)]
    await service.delete(ACTOR, tasks[2].id)
    return tasks


async def stored() -> list[Task]:
    return await Task.all().order_by("id")


async def test_everything_is_readable_with_the_new_key_alone(
    tasks: list[Task], database: Database, cipher: WebhookCipher
) -> None:
    told = Told()

    done = await KeyRotation(database, BOTH, batch=2).run(told)

    assert done == Rotated(total=5, rotated=5)
    assert told.steps == [(2, 5), (4, 5), (5, 5)]
    urls = [ONLY_NEW.decrypt(task.webhook_url) for task in await stored()]
    assert urls == [cipher.decrypt(task.webhook_url) for task in tasks]
    assert ONLY_NEW.decrypt((await EngineState.get()).canary or "") == CANARY
    await check_canary(database, ONLY_NEW)


async def test_rotating_is_no_change_of_a_task(tasks: list[Task], database: Database) -> None:
    before = [(row.version, row.updated_at, row.webhook_key) for row in await stored()]

    await KeyRotation(database, BOTH).run(Told())

    assert [(row.version, row.updated_at, row.webhook_key) for row in await stored()] == before
    assert len(before) == len(tasks)


@pytest.mark.usefixtures("tasks")
async def test_a_second_rotation_finds_nothing_to_do(database: Database) -> None:
    await KeyRotation(database, BOTH).run(Told())
    before = [row.webhook_url for row in await stored()]
    told = Told()

    assert await KeyRotation(database, BOTH).run(told) == Rotated(total=5, rotated=0)
    assert told.steps == []
    assert [row.webhook_url for row in await stored()] == before


class BrokenOffError(Exception):
    """Somebody pressed Ctrl-C."""


@pytest.mark.usefixtures("tasks")
async def test_a_rotation_that_was_broken_off_goes_on_where_it_was(database: Database) -> None:
    def break_off(done: int, of: int) -> None:
        raise BrokenOffError(f"{done} of {of}")

    with pytest.raises(BrokenOffError, match="2 of 5"):
        await KeyRotation(database, BOTH, batch=2).run(break_off)
    # A copy with the new key alone must not start before all is done.
    with pytest.raises(WrongEncryptionKeys):
        await check_canary(database, ONLY_NEW)

    assert await KeyRotation(database, BOTH).run(Told()) == Rotated(total=5, rotated=3)
    await check_canary(database, ONLY_NEW)


@pytest.mark.parametrize("unreadable", [1, 2])
async def test_what_no_key_can_read_is_counted_and_nothing_is_changed(
    tasks: list[Task], database: Database, unreadable: int
) -> None:
    secret = WebhookCipher([Fernet.generate_key().decode()]).encrypt("https://secret")
    for task in tasks[1 : unreadable + 1]:
        await Task.filter(id=task.id).update(webhook_url=secret)
    before = [row.webhook_url for row in await stored()]

    with pytest.raises(WrongEncryptionKeys) as refused:
        await KeyRotation(database, BOTH).run(Told())

    assert "ENCRYPTION_KEYS" in str(refused.value)
    assert f"{unreadable} of 5" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert [row.webhook_url for row in await stored()] == before
    assert not ONLY_NEW.can_decrypt((await EngineState.get()).canary or "")


WAITING = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
"""


async def wait_for_waiting(database: Database, sessions: int) -> None:
    """Wait until so many sessions wait for a lock."""

    async def are_waiting() -> bool:
        async with database.connection() as connection:
            return int(await connection.fetchval(WAITING)) == sessions

    await wait_until(are_waiting, what=f"{sessions} sessions that wait")


async def test_a_change_that_comes_in_between_wins(
    tasks: list[Task], database: Database, cipher: WebhookCipher
) -> None:
    """It was made by a copy that had not been restarted yet, so it comes round again."""
    fake = FakeDiscord()
    service = make_service(cipher, fake.origin)
    url = fake.url()
    rotation = KeyRotation(database, BOTH)

    async with database.transaction() as connection:
        await connection.fetch("select 1 from tasks where id = $1 for update", tasks[1].id)
        change = asyncio.create_task(service.update(ACTOR, tasks[1].id, {"webhook_url": url}))
        await wait_for_waiting(database, 1)
        rotating = asyncio.create_task(rotation.run(Told()))
        await wait_for_waiting(database, 2)
    await change
    done = await rotating

    assert done.total == 5
    rows = {row.id: ONLY_NEW.decrypt(row.webhook_url) for row in await stored()}
    assert rows[tasks[1].id] == url


async def test_an_empty_database_has_nothing_to_rotate(database: Database) -> None:
    assert await KeyRotation(database, BOTH).run(Told()) == Rotated(total=0, rotated=0)

"""seed.sh against the real program."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.acceptance.running import API_KEY, Service, running
from tests.fake_discord import FakeDiscord
from tests.scripts import script

TASKS = "{ tasks(limit: 100) { data { id name status webhookUrl } } }"


@pytest.fixture
async def service(
    database_url: str, fake_discord: FakeDiscord, tmp_path: Path
) -> AsyncIterator[Service]:
    settings = {
        "API_KEY": API_KEY,
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path),
        "DISCORD_ORIGINS": f"{fake_discord.origin},https://discord.com",
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    async with running(settings) as service:
        yield service


async def seed(service: Service, **settings: str) -> tuple[int, str]:
    given = {"API_URL": f"{service.url}/graphql", "API_KEY": API_KEY}
    return await script("seed", settings=given | settings)


async def listed(service: Service) -> list[Any]:
    return list((await service.data(TASKS))["tasks"]["data"])


async def test_samples_are_made_once_and_send_nothing_without_a_webhook(service: Service) -> None:
    status, output = await seed(service)
    assert (status, output.count("Created")) == (0, 3), output
    first = await listed(service)

    status, output = await seed(service)

    assert (status, output.count("left as it is")) == (0, 3), output
    assert await listed(service) == first
    assert {task["status"] for task in first} == {"INACTIVE"}


async def test_samples_with_a_webhook_are_active(
    service: Service, fake_discord: FakeDiscord
) -> None:
    status, output = await seed(service, WEBHOOK_URL=fake_discord.url())

    assert status == 0, output
    assert {task["status"] for task in await listed(service)} == {"ACTIVE"}
    assert fake_discord.url() not in output


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"API_KEY": ""}, 2),
        ({"API_KEY": "not-the-key"}, 1),
        ({"WEBHOOK_URL": 'https://discord.com/"'}, 2),
        ({"WEBHOOK_URL": "https://example.org/api/webhooks/1/2"}, 1),
    ],
)
async def test_what_is_wrong_ends_it(service: Service, wrong: dict[str, str], status: int) -> None:
    ended, output = await seed(service, **wrong)

    assert ended == status, output
    assert await listed(service) == []

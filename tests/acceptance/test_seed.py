"""seed.sh against the real program."""

from typing import Any

import pytest

from tests.acceptance.running import API_KEY, Service
from tests.fake_discord import FakeDiscord
from tests.scripts import script

TASKS = "{ tasks(limit: 100) { data { id name status webhookUrl } } }"


@pytest.fixture
def settings(settings: dict[str, str]) -> dict[str, str]:
    """Also Discord itself, for which nothing is sent."""
    return settings | {"DISCORD_ORIGINS": f"{settings['DISCORD_ORIGINS']},https://discord.com"}


async def seed(service: Service, **settings: str) -> tuple[int, str]:
    given = {"API_URL": f"{service.url}/graphql", "API_KEY": API_KEY}
    return await script("seed", settings=given | settings)


async def listed(service: Service) -> list[Any]:
    return list((await service.data(TASKS))["tasks"]["data"])


async def test_samples_are_made_once_and_send_nothing_without_a_webhook(
    real_service: Service,
) -> None:
    status, output = await seed(real_service)
    assert (status, output.count("Created")) == (0, 3), output
    first = await listed(real_service)

    status, output = await seed(real_service)

    assert (status, output.count("left as it is")) == (0, 3), output
    assert await listed(real_service) == first
    assert {task["status"] for task in first} == {"INACTIVE"}


async def test_samples_with_a_webhook_are_active(
    real_service: Service, fake_discord: FakeDiscord
) -> None:
    status, output = await seed(real_service, WEBHOOK_URL=fake_discord.url())

    assert status == 0, output
    assert {task["status"] for task in await listed(real_service)} == {"ACTIVE"}
    assert fake_discord.url() not in output


async def test_what_is_wrong_ends_it(real_service: Service) -> None:
    for name, wrong, status in (
        ("API_KEY", "", 2),
        ("API_KEY", "not-the-key", 1),
        ("WEBHOOK_URL", 'https://discord.com/"', 2),
        ("WEBHOOK_URL", "https://example.org/api/webhooks/1/2", 1),
    ):
        ended, output = await seed(real_service, **{name: wrong})

        assert ended == status, (name, wrong, output)
        assert await listed(real_service) == [], (name, wrong)

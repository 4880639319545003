"""Behind a real nginx that strips a prefix, ends TLS, and names the client."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp
import pytest
from cryptography.fernet import Fernet
from websockets.exceptions import InvalidStatus

from tests.acceptance.running import API_KEY, running
from tests.e2e.nginx import CONF, PREFIX, nginx, trust
from tests.fake_discord import FakeDiscord
from tests.sockets import open_socket

CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
AUDIT = "{ auditLogs(limit: 1) { data { action ip } } }"
WATCH = "subscription { taskLogs { status } }"
KEY = {"X-API-Key": API_KEY}
# Linux has all of 127.0.0.0/8: this is another client than nginx itself.
CLIENT = "127.0.0.2"
NOT_SAID = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "http"}


@pytest.fixture
async def url(database_url: str, fake_discord: FakeDiscord, tmp_path: Path) -> AsyncIterator[str]:
    settings = {
        "API_KEY": API_KEY,
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path / "data"),
        "DISCORD_ORIGINS": fake_discord.origin,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "ROOT_PATH": PREFIX,
        "TRUSTED_PROXIES": "127.0.0.1",
    }
    async with running(settings) as service, nginx(tmp_path, service.url) as url:
        yield url


@pytest.fixture
async def http(url: str, tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=trust(tmp_path), local_addr=(CLIENT, 0))
    async with aiohttp.ClientSession(connector=connector) as http:
        yield http


def a_task(fake: FakeDiscord) -> dict[str, object]:
    return {
        "name": "every second",
        "schedule": "* * * * * *",
        "webhookUrl": fake.url(),
        "payload": {"content": "hello"},
    }


async def test_client_is_who_asks_nginx_whatever_it_says_itself(
    url: str, http: aiohttp.ClientSession, fake_discord: FakeDiscord
) -> None:
    body = {"query": CREATE, "variables": {"input": a_task(fake_discord)}}
    async with http.post(f"{url}/graphql", json=body, headers=KEY | NOT_SAID) as answer:
        assert (answer.status, "errors" in await answer.json()) == (200, False)
        assert "Strict-Transport-Security" in answer.headers  # only where the scheme is https

    async with http.post(f"{url}/graphql", json={"query": AUDIT}, headers=KEY) as answer:
        (row,) = (await answer.json())["data"]["auditLogs"]["data"]

    assert row == {"action": "TASK_CREATED", "ip": CLIENT}


async def test_page_and_all_that_it_loads_are_below_the_prefix(
    url: str, http: aiohttp.ClientSession
) -> None:
    page = f"{url}/graphql"
    async with http.get(page, headers={"Accept": "text/html"}) as answer:
        text = await answer.text()
    assets = re.findall(r'(?:src|href)="(graphql/[^"]+)"', text)

    assert len(assets) == 6
    for asset in assets:
        place = urljoin(page, asset)
        assert urlsplit(place).path.startswith(f"{PREFIX}/")
        async with http.get(place) as answer:
            assert (answer.status, len(await answer.read()) > 0) == (200, True)


async def test_attempts_are_followed_by_websocket(
    url: str, http: aiohttp.ClientSession, fake_discord: FakeDiscord, tmp_path: Path
) -> None:
    origin = "://".join(urlsplit(url)[:2])
    async with open_socket(url, ssl=trust(tmp_path), headers={"Origin": origin}) as socket:
        assert (await socket.init(KEY))["type"] == "connection_ack"
        await socket.subscribe(WATCH)
        body = {"query": CREATE, "variables": {"input": a_task(fake_discord)}}
        async with http.post(f"{url}/graphql", json=body, headers=KEY) as answer:
            assert answer.status == 200

        message = await socket.receive()

    assert message["payload"]["data"] == {"taskLogs": {"status": "SUCCESS"}}


async def test_page_of_another_host_gets_no_websocket(url: str, tmp_path: Path) -> None:
    origin = "https://example.org"

    with pytest.raises(InvalidStatus) as refused:
        async with open_socket(url, ssl=trust(tmp_path), headers={"Origin": origin}):
            pass

    assert refused.value.response.status_code == 403


async def test_nothing_is_beside_the_prefix(url: str, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{url.removesuffix(PREFIX)}/graphql") as answer:
        assert answer.status == 404
    async with http.get(f"{url}/health/live") as answer:
        assert await answer.json() == {"status": "ok"}


async def test_nginx_bounds_the_connections_of_one_client(
    url: str, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (bound,) = re.findall(r"limit_conn task_scheduler (\d+);", CONF.read_text())
    async with AsyncExitStack() as stack:
        for _ in range(int(bound)):
            socket = await stack.enter_async_context(open_socket(url, ssl=trust(tmp_path)))
            assert (await socket.init(KEY))["type"] == "connection_ack"

        with pytest.raises(InvalidStatus) as refused:
            async with open_socket(url, ssl=trust(tmp_path)):
                pass
        async with http.get(f"{url}/health/live") as answer:
            of_another = answer.status

    assert (refused.value.response.status_code, of_another) == (429, 200)

"""Real clients in JavaScript, each against the real program and a fake Discord.

`make e2e` installs what they need; by hand: `npm install` in tests/e2e/clients.
"""

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.acceptance.running import API_KEY, Service
from tests.fake_discord import FakeDiscord

CLIENTS = Path(__file__).with_name("clients")
SECONDS = 45.0


async def play(name: str, service: Service, fake: FakeDiscord) -> Any:
    """Run a client's part; return what it saw."""
    process = await asyncio.create_subprocess_exec(
        "node",
        f"{name}.mjs",
        cwd=CLIENTS,
        env={
            "PATH": os.environ["PATH"],
            "SERVICE_URL": f"{service.url}/graphql",
            "API_KEY": API_KEY,
            "WRONG_KEY": "wrong",
            "WEBHOOK_URL": fake.url(),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, output.decode()
    return orjson.loads(output)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("apollo", "UNAUTHENTICATED"),
        ("urql", "401 UNAUTHENTICATED"),
        ("graphql-ws", "4403 Forbidden"),
    ],
)
async def test_client_creates_lists_fails_polls_and_subscribes(
    real_service: Service, fake_discord: FakeDiscord, name: str, refused: str
) -> None:
    seen = await play(name, real_service, fake_discord)

    task = seen["created"]
    assert (task["name"], task["status"]) == (name, "ACTIVE")
    assert [listed["id"] for listed in seen["listed"]["data"]] == [task["id"]]
    assert seen["error"]["code"] == "BAD_USER_INPUT"
    assert seen["error"]["fieldErrors"][0]["path"] == ["input", "schedule"]
    assert seen["refused"] == refused
    assert seen["polled"]["status"] == "SUCCESS"
    assert (seen["followed"]["status"], seen["followed"]["task"]["name"]) == ("SUCCESS", name)
    assert seen["followed"]["id"] != seen["polled"]["id"]

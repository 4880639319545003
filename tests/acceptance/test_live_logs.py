"""Live logs through the real program: over two copies, and to the end of one."""

import time
from pathlib import Path

from cryptography.fernet import Fernet

from tests.acceptance.running import API_KEY, running
from tests.acceptance.test_main_job import CREATE, task_input
from tests.fake_discord import FakeDiscord
from tests.sockets import open_socket

LIVE = "subscription { taskLogs { status task { name } } }"


async def test_subscriber_hears_of_another_copy_and_holds_up_no_end(
    database_url: str, fake_discord: FakeDiscord, tmp_path: Path
) -> None:
    settings = {
        "API_KEY": API_KEY,
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path),
        "DISCORD_ORIGINS": fake_discord.origin,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    async with (
        running(settings | {"ROLES": "api"}) as api,
        running(settings | {"ROLES": "scheduler,worker"}),
        open_socket(api.url) as socket,
    ):
        await socket.init({"X-API-Key": API_KEY})
        await socket.subscribe(LIVE)
        await api.data(CREATE, task_input(fake_discord, schedule="* * * * * *"))
        told = await socket.receive()

        began = time.monotonic()
        status = await api.stop()
        took = time.monotonic() - began
        while await socket.receive() is not None:
            pass

    assert told["payload"]["data"]["taskLogs"] == {
        "status": "SUCCESS",
        "task": {"name": "reminder"},
    }
    assert (status, socket.code) == (0, 1012)
    assert took < 10
    assert '"event":"socket"' in api.text

"""The command line: what starts, what is refused, and what a person reads then."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import asyncpg
import pytest
from cryptography.fernet import Fernet

from models.embedded import EmbeddedPostgres
from models.migrate import LOCK_ID
from tests.acceptance.running import API_KEY, START_SECONDS, ended, program, running, started
from tests.fake_discord import FakeDiscord
from tests.waiting import wait_until

CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
COUNT = "{ dashboardStats { total active } engineStatus { scheduledJobs } }"


@pytest.fixture
def own_database(tmp_path: Path, fake_discord: FakeDiscord) -> dict[str, str]:
    """Settings without a DATABASE_URL: the service starts its own PostgreSQL."""
    return {
        "API_KEY": API_KEY,
        "DATA_DIR": str(tmp_path / "data"),
        "DISCORD_ORIGINS": fake_discord.origin,
    }


def a_task(fake: FakeDiscord, *, schedule: str = "@yearly") -> dict[str, object]:
    return {
        "input": {
            "name": "a task",
            "schedule": schedule,
            "webhookUrl": fake.url(),
            "payload": {"content": "hello"},
        }
    }


async def test_help_explains_the_commands() -> None:
    status, output = await program("--help")

    assert status == 0
    for command in ("serve", "worker", "migrate", "check", "rotate-keys"):
        assert command in output


async def test_wrong_settings_are_listed_at_once_without_secrets() -> None:
    status, output = await program(
        "check", settings={"PORT": "99999", "RUN_DEADLINE_SECONDS": "0", "ENCRYPTION_KEYS": "oops"}
    )

    assert status == 2
    assert "PORT: got '99999'" in output
    assert "RUN_DEADLINE_SECONDS: got '0'" in output
    assert "ENCRYPTION_KEYS" in output
    assert "oops" not in output
    assert "Traceback" not in output


async def test_unreachable_database_gives_one_message() -> None:
    settings = {
        "DATABASE_URL": "postgresql://someone:hunter22@127.0.0.1:1/nowhere",
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }

    status, output = await program("serve", settings=settings | {"PORT": "0"})

    assert status == 1
    assert "database is unavailable" in output
    assert "hunter22" not in output
    assert "Traceback" not in output


async def test_taken_port_gives_one_message(own_database: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, output = await program("serve", settings=own_database | {"PORT": port})

    assert status == 1
    assert f"PORT={port}" in output
    assert "Traceback" not in output


async def test_check_and_migrate_say_how_things_are(
    database_url: str, server_url: str, tmp_path: Path
) -> None:
    settings = {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path),
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }

    assert await program("migrate", settings=settings) == (0, "The database is up to date.\n")
    status, output = await program("check", settings=settings)
    assert (status, output.count("ok ")) == (0, 4)


async def test_other_encryption_keys_are_refused(database_url: str, tmp_path: Path) -> None:
    settings = {"DATABASE_URL": database_url, "DATA_DIR": str(tmp_path)}
    keys = [{"ENCRYPTION_KEYS": Fernet.generate_key().decode()} for _ in range(2)]

    assert (await program("check", settings=settings | keys[0]))[0] == 0
    status, output = await program("serve", settings=settings | keys[1] | {"PORT": "0"})

    assert status == 1
    assert "ENCRYPTION_KEYS" in output
    assert "Traceback" not in output


async def test_first_start_makes_keys_and_the_second_keeps_them(
    own_database: dict[str, str], fake_discord: FakeDiscord
) -> None:
    del own_database["API_KEY"]
    folder = Path(own_database["DATA_DIR"])
    async with running(own_database) as service:
        key = (folder / "api_key").read_text().strip()
        assert key in service.text
        status, _ = await service.post(CREATE, a_task(fake_discord), key=key)
        assert status == 200
        assert await service.stop() == 0

    assert (folder / "api_key").stat().st_mode & 0o777 == 0o600
    assert (folder / "encryption_key").stat().st_mode & 0o777 == 0o600
    async with running(own_database) as service:
        assert key not in service.text
        _, body = await service.post(COUNT, key=key)
        assert body["data"]["dashboardStats"] == {"total": 1, "active": 1}
        assert await service.stop(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("name", "content"), [("encryption_key", ""), ("encryption_key", "cut of"), ("api_key", "")]
)
async def test_damaged_key_file_gives_one_message(
    own_database: dict[str, str], name: str, content: str
) -> None:
    del own_database["API_KEY"]
    folder = Path(own_database["DATA_DIR"])
    folder.mkdir()
    (folder / name).write_text(content)

    status, output = await program("serve", settings=own_database | {"PORT": "0"})

    assert status == 1
    assert name.partition("_")[0].upper() in output.upper()
    assert "Traceback" not in output


async def test_embedded_server_ends_with_the_service_and_is_taken_over_after_a_kill(
    own_database: dict[str, str], fake_discord: FakeDiscord
) -> None:
    folder = Path(own_database["DATA_DIR"])
    pid_file = next(iter(folder.glob("postgresql-*/postmaster.pid")), None)
    assert pid_file is None
    async with running(own_database) as service:
        await service.data(CREATE, a_task(fake_discord))
        (pid_file,) = folder.glob("postgresql-*/postmaster.pid")
        first = pid_file.read_text().splitlines()[0]
        service.process.kill()
        await service.process.wait()

    async with running(own_database) as service:
        assert pid_file.read_text().splitlines()[0] == first
        assert (await service.data(COUNT))["dashboardStats"]["total"] == 1
        assert await service.stop() == 0

    assert not pid_file.exists()


async def test_killed_embedded_server_is_started_again(own_database: dict[str, str]) -> None:
    folder = Path(own_database["DATA_DIR"])
    async with running(own_database) as service:
        (pid_file,) = folder.glob("postgresql-*/postmaster.pid")
        os.kill(int(pid_file.read_text().splitlines()[0]), signal.SIGQUIT)

        async def is_back() -> bool:
            return (
                "embedded_database_restarted" in service.text and (await service.health())[0] == 200
            )

        await wait_until(is_back, what="new embedded server", timeout_seconds=20)
        assert (await service.data(COUNT))["dashboardStats"]["total"] == 0


async def test_lost_database_shows_in_health_and_is_found_again(
    fake_discord: FakeDiscord, tmp_path: Path
) -> None:
    server = EmbeddedPostgres(tmp_path / "elsewhere", durable=False)
    settings = {
        "API_KEY": API_KEY,
        "DATABASE_URL": await asyncio.to_thread(server.start),
        "DATA_DIR": str(tmp_path / "data"),
        "DISCORD_ORIGINS": fake_discord.origin,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    try:
        async with running(settings) as service:
            task = a_task(fake_discord, schedule="* * * * * *")
            await service.data(CREATE, task)
            await fake_discord.wait_for(1)
            await asyncio.to_thread(server.stop)

            async def is_down() -> bool:
                status, body = await service.health()
                return status == 503 and body["parts"]["database"]["state"] == "down"

            await wait_until(is_down, what="word of the lost database")
            _, body = await service.post(COUNT)
            assert body["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
            assert "database" in body["errors"][0]["message"]

            sent = len(fake_discord.requests)
            await asyncio.to_thread(server.start)
            await fake_discord.wait_for(sent + 3, timeout_seconds=15)
            assert (await service.health())[0] == 200
            assert await service.stop() == 0
            assert "Traceback" not in service.text
    finally:
        await asyncio.to_thread(server.stop)


async def test_worker_serves_health_but_no_api(own_database: dict[str, str]) -> None:
    async with running(own_database, command="worker") as service:
        status, body = await service.health()
        assert (status, body["parts"]["scheduler"]["state"]) == (200, "ok")
        status, body = await service.post(COUNT)
        assert status == 404
        assert '"graphiql"' not in service.text


async def test_two_processes_share_one_database_and_send_each_tick_once(
    database_url: str, fake_discord: FakeDiscord, tmp_path: Path
) -> None:
    settings = {
        "API_KEY": API_KEY,
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path),
        "DISCORD_ORIGINS": fake_discord.origin,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    async with running(settings | {"ROLES": "api"}) as api, running(settings, command="worker"):
        task = a_task(fake_discord, schedule="* * * * * *")
        await api.data(CREATE, task)
        await fake_discord.wait_for(3)
        assert (await api.data(COUNT))["engineStatus"]["scheduledJobs"] == 0


@pytest.mark.parametrize(
    ("command", "number"), [("serve", signal.SIGTERM), ("migrate", signal.SIGINT)]
)
async def test_signal_during_the_start_ends_the_embedded_server_too(
    own_database: dict[str, str], command: str, number: signal.Signals
) -> None:
    folder = Path(own_database["DATA_DIR"])
    server = EmbeddedPostgres(folder, durable=False)
    holder = await asyncpg.connect(await asyncio.to_thread(server.start))
    await holder.execute("select pg_advisory_lock($1)", LOCK_ID)
    (pid_file,) = folder.glob("postgresql-*/postmaster.pid")
    process = await started(command, settings=own_database | {"PORT": "0"})

    async def is_waiting() -> bool:
        count: int = await holder.fetchval(
            "select count(*) from pg_stat_activity"
            " where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        return count > 0

    try:
        await wait_until(is_waiting, what="start", timeout_seconds=START_SECONDS)
        await asyncio.to_thread(server.stop)
        process.send_signal(number)
        status, output = await ended(process)

        assert (status, pid_file.exists()) == (128 + number, False)
        assert "Traceback" not in output
    finally:
        holder.terminate()
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(server.stop)


async def test_logs_in_json_are_all_that_is_printed(own_database: dict[str, str]) -> None:
    async with running(own_database) as service:
        assert await service.stop() == 0

    lines = [json.loads(line) for line in service.output]
    told = [line["url"] for line in lines if line["event"] == "graphiql"]
    assert told == [f"{service.url}/graphql"]


async def test_address_of_graphiql_is_told_only_where_it_is(own_database: dict[str, str]) -> None:
    async with running(own_database | {"GRAPHIQL": "off"}) as service:
        assert "/graphql" not in service.text


async def test_address_of_graphiql_is_a_line_for_people(own_database: dict[str, str]) -> None:
    process = await started("serve", settings=own_database | {"PORT": "0"})
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        while not (line := await process.stdout.readline()).startswith(b"GraphiQL: http://"):
            assert line
    process.send_signal(signal.SIGTERM)

    assert (await ended(process))[0] == 0

"""`make sandbox`: the first message within a minute, and nothing touched but its own folder."""

import asyncio
import shutil
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from tests.acceptance.running import ROOT
from tests.acceptance.sandboxes import SAMPLES, command, sandboxed
from tests.waiting import wait_until

TASKS = "{ tasks { data { name status webhookUrl lastLog { status } } } }"


async def ended(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, output.decode()


async def test_the_first_messages_come_at_once_and_the_samples_are_made_once(
    tmp_path: Path,
) -> None:
    async with sandboxed(tmp_path / "data") as sandbox:
        seen = await sandbox.seen(*SAMPLES)
        embeds = {message["name"]: len(message["embeds"]) for message in seen}
        assert embeds == {"Daily report": 1, "Hello": 0}
        first = (sandbox.key, (await sandbox.details())["webhookUrl"].rpartition("/")[2])
        assert await sandbox.stop() == 0

    # The free ports are others now, so the tasks have to follow.
    async with sandboxed(tmp_path / "data") as sandbox:
        await sandbox.seen(*SAMPLES)
        told = (sandbox.key, (await sandbox.details())["webhookUrl"].rpartition("/")[2])
        assert told == first
        tasks = (await sandbox.data(TASKS))["tasks"]["data"]
        assert len(tasks) == 2
        assert {task["status"] for task in tasks} == {"ACTIVE"}
        assert all(task["webhookUrl"].startswith(f"{sandbox.url}/") for task in tasks)
        assert await sandbox.stop(signal.SIGTERM) == 0

    assert not list((tmp_path / "data").glob("postgresql-*/postmaster.pid"))


async def test_the_shown_mutation_and_the_shown_command_make_a_task(tmp_path: Path) -> None:
    async with sandboxed(tmp_path / "data") as sandbox:
        told = await sandbox.details()
        assert (told["apiKey"], told["graphiqlUrl"]) == (
            sandbox.key,
            f"{sandbox.service_url}/graphql",
        )

        await sandbox.data(told["mutation"])
        created = await sandbox.data('{ tasks(search: "My first") { data { id status } } }')
        [task] = created["tasks"]["data"]
        await sandbox.data(f'mutation {{ triggerTask(id: "{task["id"]}") {{ id }} }}')

        await sandbox.seen("Hello from my own task!")
        await sandbox.data(f'mutation {{ deleteTask(id: "{task["id"]}") {{ id }} }}')
        assert shutil.which("curl")
        status, output = await ended("sh", "-c", told["command"])
        assert (status, '"name":"My first task"' in output) == (0, True), output


async def test_settings_for_real_tasks_stay_out(tmp_path: Path) -> None:
    settings = {
        "DATABASE_URL": "postgresql://someone:hunter22@127.0.0.1:1/production",
        "DISCORD_ORIGINS": "https://discord.com",
        "ENVIRONMENT": "production",
        "ROLES": "api",
    }
    lines = [f"{name}={value}\n" for name, value in settings.items()]
    (tmp_path / ".env").write_text("".join(lines))
    data_dir = tmp_path / "data"
    async with sandboxed(data_dir, settings=settings, cwd=tmp_path) as sandbox:
        await sandbox.seen(*SAMPLES)

        assert "embedded in" in (data_dir / "service.log").read_text()
        assert list(data_dir.glob("postgresql-*/postmaster.pid"))


async def test_a_second_one_in_the_folder_names_the_first(tmp_path: Path) -> None:
    async with sandboxed(tmp_path / "data") as sandbox:
        status, output = await ended(*command(tmp_path / "data"))

        assert status == 1
        assert f"another one runs already: {sandbox.url}/" in output
        assert "Traceback" not in output


async def test_taken_ports_are_told_and_others_found(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        settings = {"SANDBOX_PORT": port, "PORT": port}
        async with sandboxed(tmp_path / "data", ports=(), settings=settings) as sandbox:
            assert sandbox.text.count(f"Port {port} is taken, so it is ") == 2
            assert await sandbox.seen(*SAMPLES)


@pytest.mark.parametrize("port", ["70000", "http", "-1"])
async def test_a_wrong_port_gives_one_message(tmp_path: Path, port: str) -> None:
    status, output = await ended(*command(tmp_path / "data", ("--port", port)))

    assert status == 2
    assert "--port" in output
    assert "Traceback" not in output


async def test_a_service_that_ends_takes_the_sandbox_along_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "encryption_key").write_text("no key")

    status, output = await ended(*command(tmp_path / "data"))

    assert status == 1
    assert "ENCRYPTION" in output.upper()
    assert "Traceback" not in output


async def test_ctrl_c_during_the_start_stops_everything(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(*command(tmp_path / "data"), cwd=ROOT)
    log = tmp_path / "data" / "service.log"
    await wait_until(log.exists, what="start of the service", timeout_seconds=30.0)

    process.send_signal(signal.SIGINT)

    assert await asyncio.wait_for(process.wait(), 60) == 0
    assert not list((tmp_path / "data").glob("postgresql-*/postmaster.pid"))


async def test_a_watching_page_does_not_delay_the_end(tmp_path: Path) -> None:
    async with (
        sandboxed(tmp_path / "data") as sandbox,
        aiohttp.ClientSession() as http,
        http.get(f"{sandbox.url}/events") as answer,
    ):
        assert await answer.content.readline() == b": connected\n"
        assert await sandbox.stop() == 0
        rest = await asyncio.wait_for(answer.content.read(), 10)
        assert b"data: " in rest

"""A backup restored is the database that was: by backup.sh and restore.sh, on a real PostgreSQL."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from cryptography.fernet import Fernet

from models.orm import credentials
from tests.acceptance.running import API_KEY, program, running
from tests.containers import ROOT
from tests.databases import of_database
from tests.fake_discord import FakeDiscord
from tests.scripts import postgres_programs, script

pytestmark = pytest.mark.skipif(
    "TEST_DATABASE_URL" in os.environ, reason="the programs have to be as new as the server"
)

CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
NAMES = "{ tasks { data { name } } }"


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(**credentials(url))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def empty_url(server_url: str) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    async with connected(server_url) as admin:
        await admin.execute(f'create database "{name}"')
        yield of_database(server_url, name)
        await admin.execute(f'drop database "{name}" with (force)')


@pytest.fixture
def settings(database_url: str, fake_discord: FakeDiscord, tmp_path: Path) -> dict[str, str]:
    return {
        "API_KEY": API_KEY,
        "DATABASE_URL": database_url,
        "DATA_DIR": str(tmp_path / "data"),
        "DISCORD_ORIGINS": fake_discord.origin,
        "ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }


async def contents(url: str) -> dict[str, list[str]]:
    """Return all rows of all tables, and what the tables are made of."""
    found: dict[str, list[str]] = {}
    async with connected(url) as connection:
        tables = await connection.fetch(
            "select tablename as name from pg_tables where schemaname = 'public'"
        )
        for name in [row["name"] for row in tables]:
            rows = await connection.fetch(f'select to_jsonb(t)::text as row from "{name}" t')
            found[name] = sorted(row["row"] for row in rows)
        # Their names: PostgreSQL writes the same condition in another way once it was read again.
        for what, names in {
            "constraints": "select conname from pg_constraint"
            " where connamespace = 'public'::regnamespace",
            "indexes": "select indexname from pg_indexes where schemaname = 'public'",
            "triggers": "select tgname from pg_trigger where not tgisinternal",
        }.items():
            found[what] = sorted(row[0] for row in await connection.fetch(names))
    return found


async def backup(url: str, folder: Path) -> Path:
    status, output = await script(
        "backup", str(folder), settings={"DATABASE_URL": url}, path=(postgres_programs(),)
    )
    assert status == 0, output
    return Path(output.strip())


async def restore(url: str, *arguments: str) -> tuple[int, str]:
    return await script(
        "restore", *arguments, settings={"DATABASE_URL": url}, path=(postgres_programs(),)
    )


async def test_backup_restored_elsewhere_is_the_same_and_runs(
    settings: dict[str, str], empty_url: str, fake_discord: FakeDiscord, tmp_path: Path
) -> None:
    async with running(settings) as service:
        task = {
            "name": "a task",
            "schedule": "* * * * * *",
            "webhookUrl": fake_discord.url(),
            "payload": {"content": "hello"},
        }
        await service.data(CREATE, {"input": task})
        await fake_discord.wait_for(2)
        live = await backup(settings["DATABASE_URL"], tmp_path / "live")
        assert await service.stop() == 0
    assert live.stat().st_mode & 0o777 == 0o600

    file = await backup(settings["DATABASE_URL"], tmp_path / "stopped")
    status, output = await restore(empty_url, str(file))

    assert status == 0, output
    assert await contents(empty_url) == await contents(settings["DATABASE_URL"])
    restored = settings | {"DATABASE_URL": empty_url}
    assert (await program("migrate", settings=restored))[1] == "The database is up to date.\n"
    async with running(restored) as service:
        (found,) = (await service.data(NAMES))["tasks"]["data"]
        assert found["name"] == "a task"
        await fake_discord.wait_for(len(fake_discord.requests) + 1)
        assert await service.stop() == 0


async def test_database_of_the_compose_project_is_what_is_meant_without_a_url(
    server_url: str, template: str, tmp_path: Path
) -> None:
    name = "task_scheduler"
    url = of_database(server_url, name)
    (tmp_path / "docker").write_text(
        '#!/bin/bash\n[ "${*:1:4}" = "compose exec -T postgres" ] && exec "${@:5}"\n'
    )
    (tmp_path / "docker").chmod(0o755)

    async def run(name: str, *arguments: str) -> str:
        settings = {"PGHOST": credentials(url)["host"]}
        path = (tmp_path, postgres_programs())
        status, output = await script(name, *arguments, settings=settings, path=path)
        assert status == 0, output
        return output.strip()

    async with connected(server_url) as admin:
        await admin.execute(f"drop database if exists {name}")  # the server's own, unused here
        await admin.execute(f"create role {name} superuser login")
        await admin.execute(f'create database {name} template "{template}" owner {name}')
        try:
            before = await contents(url)
            file = await run("backup", str(tmp_path))
            async with connected(url) as connection:
                await connection.execute("drop table audit_logs")
            await run("restore", "--replace", file)
            assert await contents(url) == before
        finally:
            await admin.execute(f"drop database {name} with (force)")
            await admin.execute(f"drop role {name}")


async def test_database_with_tables_is_overwritten_only_on_demand(
    database_url: str, tmp_path: Path
) -> None:
    file = await backup(database_url, tmp_path)
    before = await contents(database_url)
    async with connected(database_url) as connection:
        await connection.execute("create table later (id int)")
    after = await contents(database_url)

    status, output = await restore(database_url, str(file))
    assert (status, "--replace" in output) == (1, True)
    assert await contents(database_url) == after

    status, output = await restore(database_url, "--replace", str(file))
    assert status == 0, output
    assert await contents(database_url) == before


async def test_damaged_backup_changes_nothing(database_url: str, tmp_path: Path) -> None:
    file = await backup(database_url, tmp_path)
    before = await contents(database_url)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])

    status, _ = await restore(database_url, "--replace", str(file))

    assert status != 0
    assert await contents(database_url) == before


async def test_database_in_use_is_left_alone(database_url: str, tmp_path: Path) -> None:
    file = await backup(database_url, tmp_path)

    async with connected(database_url):
        status, output = await restore(database_url, "--replace", str(file))

    assert status == 1
    assert "stop the service first" in output


async def test_failed_backup_leaves_no_file(tmp_path: Path) -> None:
    status, output = await script(
        "backup",
        str(tmp_path / "new"),
        settings={"DATABASE_URL": "postgresql://a:hunter22@127.0.0.1:1/b"},
        path=(postgres_programs(),),
    )

    assert status != 0
    assert "hunter22" not in output
    assert list((tmp_path / "new").iterdir()) == []


@pytest.mark.parametrize(
    ("given", "url", "password"),
    [
        (
            "postgresql://a:p%40ss%5Cn%25@h:5/b?sslmode=require",
            "a@h:5/b?sslmode=require",
            r"p@ss\n%",
        ),
        ("postgresql://a:back\\nslash@h/b", "a@h/b", r"back\nslash"),
        ("postgresql://a@h/b", "a@h/b", ""),
        ("postgresql:///b?host=/tmp/a:b@c", "/b?host=/tmp/a:b@c", ""),
    ],
)
async def test_password_is_no_argument(given: str, url: str, password: str, tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/show.sh").write_text(
        f'set -eu; . "{ROOT}/scripts/postgres.sh"\n'
        'printf "%s\\n" "${connection[*]}" "${PGPASSWORD:-}" "${DATABASE_URL:-gone}"\n'
    )

    _, output = await script("show", settings={"DATABASE_URL": given}, folder=tmp_path)

    assert output.splitlines() == [f"--dbname postgresql://{url}", password, "gone"]

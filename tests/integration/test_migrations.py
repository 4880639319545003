"""An empty database, migrated to head, is what the models say."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest
from aerich import Command
from tortoise.context import TortoiseContext

from models.migrate import MIGRATIONS, migrate, pending_migrations
from models.orm import credentials, tortoise_config
from tests.databases import of_database

COLUMNS = """
select table_name, column_name, data_type, is_nullable, character_maximum_length, column_default
from information_schema.columns where table_schema = 'public' order by table_name, column_name
"""
INDEXES = "select indexdef from pg_indexes where schemaname = 'public' order by indexname"


@pytest.fixture
async def empty_url(server_url: str) -> AsyncIterator[str]:
    """A database without any table."""
    name = f"empty_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(**credentials(server_url))
    await admin.execute(f'create database "{name}"')
    yield of_database(server_url, name)
    await admin.execute(f'drop database "{name}" with (force)')
    await admin.close()


async def columns(url: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(**credentials(url))
    try:
        return [tuple(row.values()) for row in await connection.fetch(COLUMNS)]
    finally:
        await connection.close()


async def indexes(url: str) -> list[str]:
    connection = await asyncpg.connect(**credentials(url))
    try:
        return [row["indexdef"] for row in await connection.fetch(INDEXES)]
    finally:
        await connection.close()


async def test_migrated_tables_equal_the_models(database_url: str, empty_url: str) -> None:
    async with TortoiseContext() as context:
        await context.init(config=tortoise_config(empty_url))
        await context.generate_schemas()

    assert await columns(database_url) == await columns(empty_url)


async def test_copies_that_start_at_once_migrate_once(empty_url: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_url) for _ in range(3)))

    assert sorted(map(len, applied)) == [0, 0, len(list((MIGRATIONS / "models").glob("[0-9]*.py")))]
    assert await pending_migrations(empty_url) == []


async def test_pending_migrations_of_an_empty_database_are_all(empty_url: str) -> None:
    assert (await pending_migrations(empty_url))[0].endswith("_init.py")


async def test_last_migration_can_be_undone_and_applied_again(empty_url: str) -> None:
    await migrate(empty_url)
    before = await columns(empty_url), await indexes(empty_url)
    async with (
        TortoiseContext(),
        Command(tortoise_config(empty_url), app="models", location=str(MIGRATIONS)) as command,
    ):
        undone = await command.downgrade(version=-1, delete=False)

    assert len(undone) == 1
    assert await migrate(empty_url) == undone
    assert (await columns(empty_url), await indexes(empty_url)) == before


async def test_models_have_no_change_without_a_migration(database_url: str) -> None:
    async with (
        TortoiseContext(),
        Command(tortoise_config(database_url), app="models", location=str(MIGRATIONS)) as command,
    ):
        assert await command.migrate("drift", no_input=True) == ""

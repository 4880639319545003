"""The SQL on the pages, on a database of this version that has stand-ins for Citus' functions."""

import asyncpg
import pytest

from models.orm import credentials
from tests.docs.blocks import Block, blocks, pages

BLOCKS = [block for page in pages() for block in blocks(page) if block.language == "sql"]

# As Citus does, the first refuses a table with a unique key that lacks the distribution column.
CITUS = """
create function create_distributed_table(
    name regclass, distribution text, colocate_with text default 'default'
) returns void language plpgsql as $$
declare
    place smallint;
begin
    select attnum into strict place from pg_attribute
    where attrelid = name and attname = distribution;
    if exists (select from pg_index
        where indrelid = name and indisunique and place <> all (indkey::smallint[])) then
        raise 'cannot create constraint on "%"', name;
    end if;
    if colocate_with not in ('default', 'none') then
        perform colocate_with::regclass;
    end if;
end $$;
create function create_reference_table(name regclass) returns void language sql as '';
"""


@pytest.mark.parametrize("block", BLOCKS, ids=str)
async def test_statements_are_run(block: Block, database_url: str) -> None:
    connection = await asyncpg.connect(**credentials(database_url))
    try:
        await connection.execute(CITUS)
        await connection.execute(block.text)
    finally:
        await connection.close()


async def test_table_with_a_key_of_another_column_is_told(database_url: str) -> None:
    connection = await asyncpg.connect(**credentials(database_url))
    try:
        await connection.execute(CITUS)
        with pytest.raises(asyncpg.RaiseError, match="constraint"):
            await connection.execute("select create_distributed_table('tasks', 'webhook_key')")
    finally:
        await connection.close()


def test_there_are_statements() -> None:
    assert BLOCKS

"""Databases for tests: cloned from a migrated template, and lent again once they are as it was."""

from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from models.migrate import migrate
from models.orm import credentials

# What has grown beyond this is not emptied: its pages would be the next test's as well.
MAX_BYTES = 1_048_576

# All that a test may have changed but rows, and the statistics that a planner goes by.
_SHAPE = """
select md5(concat_ws('/',
    (select string_agg(concat_ws(' ', relnamespace::regnamespace, relname, relkind, reloptions,
            attname, atttypid::regtype, atttypmod, attnotnull, pg_get_expr(adbin, adrelid)), ','
        order by relnamespace::regnamespace::text, relname, attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid
    left join pg_attrdef d on (adrelid, adnum) = (attrelid, attnum)
    where c.oid >= 16384 and relnamespace <> 'pg_toast'::regnamespace and not attisdropped),
    (select string_agg(concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid)), ','
        order by conrelid::regclass::text, conname) from pg_constraint where oid >= 16384),
    (select string_agg(concat_ws(' ', pg_get_triggerdef(oid), tgenabled), ','
        order by tgrelid::regclass::text, tgname) from pg_trigger where not tgisinternal),
    (select string_agg(concat_ws(' ', oid::regprocedure, prosrc), ','
        order by oid::regprocedure::text) from pg_proc where oid >= 16384),
    (select string_agg(pg_get_indexdef(indexrelid), ',' order by indexrelid::regclass::text)
    from pg_index where indexrelid >= 16384),
    (select string_agg(nspname, ',' order by nspname) from pg_namespace where oid >= 16384),
    (select string_agg(setconfig::text, ',' order by setrole) from pg_db_role_setting
    where setdatabase = (select oid from pg_database where datname = current_database())),
    (select count(*) from pg_statistic where starelid >= 16384),
    (select count(*) from aerich)))
"""
_TABLES = """
select relname from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r' and relname <> 'aerich'
"""
_BYTES = "select sum(pg_table_size(oid)) from pg_class where oid >= 16384 and relkind = 'r'"
_END_OTHERS = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""


class Databases:
    """Lends one server's databases; each is as one that was cloned a moment ago.

    Cloning and dropping one makes and removes hundreds of files, which takes longer than most
    tests. So what a test has filled is emptied, unless it changed more than rows: then it goes.
    """

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self.template = f"template_{uuid4().hex}"
        self._spare: list[str] = []
        self._shape = ""
        self._empty = ""

    async def open(self) -> None:
        """Make the template."""
        await self._on_server(f'create database "{self.template}"')
        url = of_database(self._server_url, self.template)
        await migrate(url)
        connection = await asyncpg.connect(**credentials(url))
        try:
            self._shape = await connection.fetchval(_SHAPE)
            self._empty = await _emptying(connection)
        finally:
            await connection.close()

    async def close(self) -> None:
        """Drop the template and what is not lent."""
        for name in (self.template, *self._spare):
            await self._on_server(f'drop database "{name}" with (force)')

    async def take(self) -> str:
        """Return the address of a clean database."""
        if self._spare:
            return of_database(self._server_url, self._spare.pop())
        name = f"test_{uuid4().hex}"
        await self._on_server(f'create database "{name}" template "{self.template}"')
        return of_database(self._server_url, name)

    async def give_back(self, url: str) -> None:
        """Empty a database for the next who takes one, or drop it."""
        name = urlsplit(url).path[1:]
        if await self._is_emptied(url):
            self._spare.append(name)
        else:
            await self._on_server(f'drop database "{name}" with (force)')

    async def _is_emptied(self, url: str) -> bool:
        connection = await asyncpg.connect(**credentials(url))
        try:
            await connection.execute(_END_OTHERS)
            # A setting of the database may have other names stand before the catalog's.
            await connection.execute("set search_path to default; set search_path = public")
            try:
                shape = await connection.fetchval(_SHAPE)
            except asyncpg.UndefinedTableError:  # it has no migrations, not even their table
                return False
            if shape != self._shape:
                return False
            if await connection.fetchval(_BYTES) > MAX_BYTES:
                return False
            await connection.execute(self._empty)
        finally:
            await connection.close()
        return True

    async def _on_server(self, statement: str) -> None:
        connection = await asyncpg.connect(**credentials(self._server_url))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def of_database(url: str, name: str) -> str:
    """Return the same server's URL for another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def _emptying(connection: "asyncpg.Connection[asyncpg.Record]") -> str:
    """Return the statements that leave the rows that are there now, and no other."""
    # Triggers would count, and delete, what is deleted here anyway.
    statements = ["set session_replication_role = replica"]
    for (table,) in await connection.fetch(_TABLES):
        statements.append(f'delete from "{table}"')
        rows = await connection.fetchval(f'select quote_literal(json_agg(t)) from "{table}" t')
        if rows:
            record = f'json_populate_recordset(null::"{table}", {rows})'
            statements.append(f'insert into "{table}" select * from {record}')
    return ";\n".join(statements)

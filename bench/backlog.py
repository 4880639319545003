"""Attempts that are due, for all tasks of a database."""

from datetime import timedelta

from engine.instance import WORK_CHANNEL
from models.database import Database
from tests.backlog import queue_attempts

# Between the attempts of a task: all of them are due.
STEP = timedelta(milliseconds=1)


async def queue(database: Database, each: int) -> None:
    """Queue so many attempts of each task, and wake the workers."""
    async with database.connection() as connection:
        ids = [row["id"] for row in await connection.fetch("select id from tasks")]
    await queue_attempts(database, ids, each, step=STEP)
    async with database.connection() as connection:
        await connection.execute("select pg_notify($1, '')", WORK_CHANNEL)

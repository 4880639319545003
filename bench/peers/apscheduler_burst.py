"""APScheduler 3, aiohttp and asyncpg: `apscheduler_burst.py ORIGIN TASKS TICK LOOP`.

One cron job per task in memory, each minute and all due at the tick; each posts, and inserts its
row. The database is that of the PG* variables. It says "ready" once all jobs are there. LOOP is
asyncio or uvloop.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime

import aiohttp
import asyncpg
import uvloop
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

CONNECTIONS = 100
POOL = 10
_FIRST_WEBHOOK = 10**17
_TOKEN = "x" * 68
_INSERT = """
insert into runs (task_id, scheduled_for, started_at, finished_at, status, http_status,
    duration_ms, message_id) values ($1, $2, $3, $4, $5, $6, $7, $8)
"""


class Sender:
    """Posts one task's message, and logs it."""

    def __init__(
        self,
        origin: str,
        tick: datetime,
        http: aiohttp.ClientSession,
        pool: "asyncpg.Pool[asyncpg.Record]",
    ) -> None:
        self._origin = origin
        self._tick = tick
        self._http = http
        self._pool = pool

    async def send(self, number: int) -> None:
        """Post and insert."""
        url = f"{self._origin}/api/v10/webhooks/{_FIRST_WEBHOOK + number}/{_TOKEN}?wait=true"
        started_at, began = datetime.now(UTC), time.monotonic()
        async with self._http.post(url, json={"content": "hello"}) as response:
            status, answer = response.status, await response.json()
        duration_ms = (time.monotonic() - began) * 1000
        values = (started_at, datetime.now(UTC), "SUCCESS", status, duration_ms, answer["id"])
        await self._pool.execute(_INSERT, number, self._tick, *values)


async def run(origin: str, tasks: int, tick: datetime) -> None:
    """Register the jobs, and run until it is ended."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    pool = await asyncpg.create_pool(min_size=POOL, max_size=POOL)
    async with pool, aiohttp.ClientSession(connector=connector) as http:
        sender = Sender(origin, tick, http, pool)
        scheduler = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None})
        trigger = CronTrigger(second=tick.second, timezone=UTC)
        for number in range(tasks):
            scheduler.add_job(sender.send, trigger, args=(number,), id=f"task {number}")
        scheduler.start()
        print("ready", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    at = datetime.fromtimestamp(float(sys.argv[3]), UTC)
    main = run(sys.argv[1], int(sys.argv[2]), at)
    uvloop.run(main) if sys.argv[4] == "uvloop" else asyncio.run(main)

"""Discord goes away for a while, with tasks that allow no failure: what comes of it."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import asyncpg
import uvloop

from models.orm import credentials
from tests.acceptance.running import Service
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.mutations import CREATE
from tests.fake_discord import Down
from tests.waiting import wait_until

COPIES = 3
AT_ONCE = 20


async def run_outage(
    folder: Path, *, tasks: int, every_seconds: int, down_seconds: float
) -> dict[str, int]:
    """Let Discord refuse connections for half of the time, then answer 503; return the figures.

    `folder` is empty and takes the database. Each task has a webhook of its own.
    """
    async with cluster(folder, copies=COPIES) as parts:
        await _create(parts, tasks, every_seconds)
        await parts.fake.wait_for(tasks, timeout_seconds=every_seconds + tasks / 20 + 10)
        before = len(parts.fake.requests)
        await parts.fake.set_down(Down.REFUSE)
        await asyncio.sleep(down_seconds / 2)
        await parts.fake.set_down(Down.UNAVAILABLE)
        await asyncio.sleep(down_seconds / 2)
        probes = len(parts.fake.requests) - before
        await parts.fake.set_down(None)
        began = time.monotonic()
        await _settle(parts, tasks)
        seconds = round(time.monotonic() - began)
        return await _figures(parts) | {"requests while 503": probes, "caught up, s": seconds}


async def _create(parts: Cluster, tasks: int, every_seconds: int) -> None:
    service = parts.copies[0].service
    assert service is not None
    for first in range(0, tasks, AT_ONCE):
        names = range(first, min(first + AT_ONCE, tasks))
        await asyncio.gather(*(_create_one(parts, service, name, every_seconds) for name in names))


async def _create_one(parts: Cluster, service: Service, number: int, every_seconds: int) -> None:
    given = {
        "name": f"task {number}",
        "schedule": f"*/{every_seconds} * * * * *",
        "webhookUrl": parts.fake.url(),
        "payload": {"content": "hello"},
        "maxRetry": 3,
        "failureThreshold": 1,
    }
    await service.data(CREATE, {"input": given})


async def _settle(parts: Cluster, tasks: int) -> None:
    """Wait until what is queued is no more than one round of ticks, all of it young."""
    connection = await asyncpg.connect(**credentials(parts.url))
    try:

        async def has_caught_up() -> bool:
            oldest = await connection.fetchval("""
                select coalesce(extract(epoch from
                    clock_timestamp() - min(execution_time)), 0)::float8
                from task_logs where status = 'QUEUED'
            """)
            return bool(oldest < tasks / 20 + 2)

        await wait_until(has_caught_up, what="empty queue", timeout_seconds=120.0)
        await connection.execute("update tasks set status = 'INACTIVE' where status = 'ACTIVE'")

        async def is_empty() -> bool:
            return not await connection.fetchval(
                "select count(*) from task_logs where status = 'QUEUED'"
            )

        await wait_until(is_empty, what="end of all attempts", timeout_seconds=60.0)
    finally:
        await connection.close()


async def _figures(parts: Cluster) -> dict[str, int]:
    connection = await asyncpg.connect(**credentials(parts.url))
    try:
        attempts = await connection.fetch("""
            select status, count(*), count(*) filter (where retry_count > 0) as retries
            from task_logs group by status order by status
        """)
        failed = await connection.fetchval("select count(*) from tasks where status = 'FAILED'")
    finally:
        await connection.close()
    statuses = Counter(request.status for request in parts.fake.requests)
    return {
        **{f"attempts {row['status']}": row["count"] for row in attempts},
        "retries": sum(row["retries"] for row in attempts),
        "tasks FAILED": failed,
        "requests answered 200": statuses[200],
        "answers 429": parts.fake.limited,
    }


def main() -> int:
    """Run it at full length, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.outage", description=__doc__)
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--every-seconds", type=int, default=10)
    parser.add_argument("--down-seconds", type=float, default=120.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outage-") as folder:
        figures = uvloop.run(run_outage(Path(folder), **vars(given)))
    for name, value in figures.items():
        sys.stdout.write(f"  {name:<34} {value}\n")
    return 1 if figures["tasks FAILED"] or figures["answers 429"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""Many ticks at one instant on few webhooks: what comes of it, with the global limit and without.

The ticks are missed ones that FIRE_ALL asks for: they are stored together, and have an order.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import uvloop

from models.orm import credentials
from tests.acceptance.running import Service
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.mutations import CREATE
from tests.fake_discord import FakeDiscord
from tests.waiting import wait_until

COPIES = 3
LATENCY_SECONDS = 0.05

_MISS = "update task_cursors set cursor = $1"
# A new version, and who compares finds that its ticks were missed.
_CHANGE = "update tasks set max_retry = max_retry + 1"
_FIGURES = """
with sent as (
    select l.*, started_at < lag(started_at) over (
        partition by task_id order by scheduled_for) as is_before
    from task_logs l join tasks t on t.id = l.task_id where t.origin = $1
)
select count(*) filter (where status = 'SUCCESS') as delivered,
    count(*) filter (where is_before) as out_of_order,
    count(distinct task_id) as webhooks,
    extract(epoch from max(finished_at) - min(created_at))::float8 as seconds
from sent
"""


async def run_burst(
    folder: Path, *, webhooks: int, ticks: int, global_limit: bool | None = None
) -> dict[str, float]:
    """Let each webhook have so many ticks at once; return the figures of each fake Discord.

    One enforces 50 requests a second in all, and its budget is kept; the other knows no such limit.
    Left out, `global_limit` takes both at the same time. `folder` is empty and takes the database.
    """
    async with (
        FakeDiscord(latency_seconds=LATENCY_SECONDS) as free,
        cluster(folder, copies=COPIES, unbudgeted=[free.origin]) as parts,
    ):
        parts.fake.latency_seconds = LATENCY_SECONDS
        forms = {True: parts.fake, False: free}
        fakes = [fake for form, fake in forms.items() if global_limit in (form, None)]
        database = await asyncpg.connect(**credentials(parts.url))
        try:
            await _fire(parts, database, fakes, webhooks, ticks)
            await _wait_for_end(database, len(fakes) * webhooks * ticks)
            figures: dict[str, float] = {}
            for form, fake in forms.items():
                if fake in fakes:
                    figures |= await _figures(database, fake, "with" if form else "without")
            return figures
        finally:
            await database.close()


async def _fire(
    parts: Cluster,
    database: "asyncpg.Connection[asyncpg.Record]",
    fakes: Sequence[FakeDiscord],
    webhooks: int,
    ticks: int,
) -> None:
    now: datetime = await database.fetchval("select date_trunc('minute', clock_timestamp())")
    missed = now - timedelta(minutes=1)
    schedule = f"0-{ticks - 1} {missed.minute} {missed.hour} {missed.day} {missed.month} *"
    service = parts.copies[0].service
    assert service is not None
    urls = [fake.url() for fake in fakes for _ in range(webhooks)]
    await asyncio.gather(*(_create(service, url, schedule) for url in urls))
    await database.execute(_MISS, missed - timedelta(seconds=1))
    await database.execute(_CHANGE)
    await service.data("mutation { reloadTasks }")


async def _create(service: Service, url: str, schedule: str) -> None:
    given = {
        "name": f"task {url.split('/')[-2]}",
        "schedule": schedule,
        "webhookUrl": url,
        "payload": {"content": "hello"},
        "misfirePolicy": "FIRE_ALL",
        "misfireGraceSeconds": 3600,
    }
    await service.data(CREATE, {"input": given})


async def _wait_for_end(database: "asyncpg.Connection[asyncpg.Record]", ticks: int) -> None:
    async def have_ended() -> bool:
        statement = "select count(*) from task_logs where status <> 'QUEUED'"
        return bool(await database.fetchval(statement) >= ticks)

    await wait_until(have_ended, what=f"end of {ticks} runs", timeout_seconds=150.0)


async def _figures(
    database: "asyncpg.Connection[asyncpg.Record]", fake: FakeDiscord, form: str
) -> dict[str, float]:
    row = await database.fetchrow(_FIGURES, fake.origin)
    assert row is not None
    return {
        f"{form}: webhooks": row["webhooks"],
        f"{form}: delivered": row["delivered"],
        f"{form}: requests": len(fake.requests),
        f"{form}: out of order": row["out_of_order"],
        f"{form}: answers 429": fake.limited,
        f"{form}: seconds": round(row["seconds"], 1),
    }


def main() -> int:
    """Run it at full length, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.burst", description=__doc__)
    parser.add_argument("--webhooks", type=int, default=20)
    parser.add_argument("--ticks", type=int, default=50, help="of each webhook, 60 at most")
    parser.add_argument("--global-limit", action=argparse.BooleanOptionalAction)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="burst-") as folder:
        figures = uvloop.run(run_burst(Path(folder), **vars(given)))
    for name, value in figures.items():
        sys.stdout.write(f"  {name:<34} {value}\n")
    return 1 if any(value for name, value in figures.items() if name.endswith("429")) else 0


if __name__ == "__main__":
    sys.exit(main())

"""A burst: many tasks due in the same second, each on a webhook of its own.

Measured are the time from the tick to the last request, and the CPU time (user and system) of this
process, in which the engine runs, for each delivery. The sink is a process of its own; PostgreSQL
is the embedded one, durable, on the same machine.
"""

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta

from cryptography.fernet import Fernet

from bench.figures import Burst, cpu_seconds, received
from engine.catch_up import Accounting
from engine.cipher import WebhookCipher
from engine.collector import calm_collector
from engine.discord import parse_webhook_url
from engine.engine import Engine, EngineOptions
from engine.limits import Budget, Rate
from models.database import Database
from models.fields import uuid7

DEADLINE_SECONDS = 60
LEAD_SECONDS = 3
_FINISHED = "select n from feed_counter"


def bench_options(origin: str) -> EngineOptions:
    """Return the engine's options: the service's defaults, and an origin without a global rate."""
    return EngineOptions(
        roles=frozenset({"scheduler", "worker"}),
        origins=(origin,),
        budget=Budget(origins=(), rate=Rate(count=50, seconds=1)),
        worker_concurrency=100,
        accounting=Accounting(fire_all_limit=100, run_deadline_seconds=3600),
        log_retention_days=30,
        shutdown_seconds=5.0,
    )


async def run_burst(database: Database, origin: str, tasks: int) -> Burst:
    """Make the tasks, let them all tick once in the same second, and wait for the last row."""
    cipher = WebhookCipher([Fernet.generate_key().decode()])
    engine = Engine(database, cipher, bench_options(origin), on_ready=calm_collector)
    tick = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LEAD_SECONDS + tasks / 5000)
    tick = tick.replace(microsecond=0)
    await insert_tasks(database, cipher, origin, tasks, schedule=f"{tick:%S %M %H %d %m} *")
    await engine.start()
    await engine.reloaded()
    await asyncio.sleep(tick.timestamp() - time.time() - 0.2)
    before = cpu_seconds()
    try:
        await _wait_for_rows(database, tasks)
        spent = cpu_seconds() - before
        arrived = await received(origin)
    finally:
        await engine.stop()
    async with database.connection() as connection:
        rows = await connection.fetchval("select count(*) from task_logs where status = 'SUCCESS'")
    last = max(arrived) - tick.timestamp()
    return Burst(
        last_request_ms=last * 1000,
        cpu_ms_per_delivery=spent / tasks * 1000,
        requests=len(arrived),
        rows=rows,
    )


async def insert_tasks(
    database: Database,
    cipher: WebhookCipher,
    origin: str,
    count: int,
    *,
    schedule: str,
    zone: str = "UTC",
) -> None:
    """Insert ACTIVE tasks on webhooks of their own."""
    rows = []
    for number in range(count):
        url = f"{origin}/api/webhooks/{10**17 + number}/{secrets.token_urlsafe(51)}"
        address = parse_webhook_url(url, origins=[origin])
        rows.append(
            (uuid7(), f"burst {uuid7()}", schedule, zone, cipher.encrypt(address.url),
             address.masked, address.webhook_id, address.key, origin, '{"content":"hello"}',
             3, "ACTIVE", 1, "SKIP", "FIRE_ONCE", 300, "AT_LEAST_ONCE")
        )  # fmt: skip
    names = [
        "id", "name", "schedule", "timezone", "webhook_url", "webhook_url_masked", "webhook_id",
        "webhook_key", "origin", "payload", "max_retry", "status", "failure_threshold",
        "overlap_policy", "misfire_policy", "misfire_grace_seconds", "delivery_guarantee",
    ]  # fmt: skip
    async with database.connection() as connection:
        await connection.copy_records_to_table("tasks", records=rows, columns=names)
        await connection.execute("analyze tasks")
        await connection.execute("analyze task_cursors")


async def _wait_for_rows(database: Database, tasks: int) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS), database.connection() as connection:
        # Another connection moves the counter, so there is no event to wait for.
        while await connection.fetchval(_FINISHED) < tasks:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.05)

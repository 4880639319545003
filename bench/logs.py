"""Reading ten million log rows: pages, totals, the feed, and the dashboard."""

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
from cryptography.fernet import Fernet

from bench.log_rows import DAYS, make_rows
from bench.scenario import Bench, quantile, table, tell
from bench.tasks import NEVER_SOON, Plan, insert_tasks
from engine.cipher import WebhookCipher
from engine.feed_reader import FeedReader
from engine.statistics import Statistics
from models.database import Database
from models.enums import LogStatus
from models.errors import DatabaseUnavailable
from schema.records import LogFilter, Records, Span

TASKS = 2_000
TIMES = 100
# What is slow is repeated less often.
MOST_SECONDS = 15.0
ORIGIN = "https://discord.com"
PAGE = Span(limit=50, offset=0)
FAR = 1_000_000
FEED_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """How often something was read, how often the database gave it up, and the ms it took."""

    times: int
    given_up: int
    p50_ms: float
    p95_ms: float
    most_ms: float


Read = Callable[[], Awaitable[object]]


async def logs(bench: Bench) -> None:
    """Fill the table, then read it as the API's resolvers do."""
    rows, tasks = bench.size(bench.rows, 20_000), bench.size(TASKS, 100)
    until = datetime.now(UTC)
    async with bench.server.migrated("logs") as (_, database):
        plans = [Plan(schedule=NEVER_SOON)] * tasks
        cipher = WebhookCipher([Fernet.generate_key().decode()])
        await insert_tasks(database, cipher, ORIGIN, plans)
        began = time.monotonic()
        ids = await make_rows(database, rows, until)
        tell(f"logs: filled in {time.monotonic() - began:.0f} s")
        figures = {}
        for what, read in _reads(database, ids, rows, until).items():
            figures[what] = await _measure(read, bench.size(TIMES, 5))
            tell(f"logs: {what}: {figures[what]}")
    bench.write("logs", {"rows": rows, "reads": figures}, section(rows, tasks, figures))


def _reads(
    database: Database, ids: Sequence[UUID], rows: int, until: datetime
) -> Mapping[str, Read]:
    """Return what is read; each reading asks for something else, by chance."""
    records, feed, chance = Records(database), FeedReader(database), random.Random(1)

    def day(status: LogStatus | None = None) -> LogFilter:
        since = until - timedelta(days=chance.uniform(1, DAYS - 1))
        return LogFilter(status=status, date_from=since, date_to=since + timedelta(days=1))

    def task() -> UUID:
        return chance.choice(ids)

    far = Span(limit=PAGE.limit, offset=min(FAR, rows // 2))
    failed = LogStatus.FAILED
    return {
        "first page": lambda: records.logs(LogFilter(), PAGE),
        "first page of a task": lambda: records.logs(LogFilter(task_id=task()), PAGE),
        "first page of a status": lambda: records.logs(LogFilter(status=failed), PAGE),
        "first page of a day": lambda: records.logs(day(), PAGE),
        "feed poll, new entries": lambda: feed.page(rows - chance.randrange(FEED_PAGE), FEED_PAGE),
        "feed poll, a backlog": lambda: feed.page(chance.randrange(rows), FEED_PAGE),
        "feed poll of a task": lambda: feed.page(rows - 5_000, FEED_PAGE, task()),
        "total": lambda: records.count_logs(LogFilter()),
        "total of a task": lambda: records.count_logs(LogFilter(task_id=task())),
        "total of a status": lambda: records.count_logs(LogFilter(status=failed)),
        "total of SUCCESS": lambda: records.count_logs(LogFilter(status=LogStatus.SUCCESS)),
        "totals of 50 tasks": lambda: records.count_logs_of_tasks(chance.sample(ids, 50), None),
        "total of a day": lambda: records.count_logs(day()),
        "total of a task and a status": lambda: records.count_logs(
            LogFilter(task_id=task(), status=failed)
        ),
        "total of a status in a day": lambda: records.count_logs(day(LogStatus.SUCCESS)),
        f"page at row {far.offset:,}": lambda: records.logs(LogFilter(), far),
        "far page of a status": lambda: records.logs(
            LogFilter(status=failed), Span(limit=50, offset=rows // 200)
        ),
        "dashboardStats, nothing kept": lambda: Statistics(database).dashboard(),
    }


async def _measure(read: Read, times: int) -> Reads:
    taken: list[float] = []
    given_up = 0
    began = time.monotonic()
    while len(taken) < times and (len(taken) < 3 or time.monotonic() < began + MOST_SECONDS):
        at = time.monotonic()
        try:
            await read()
        except (DatabaseUnavailable, asyncpg.PostgresError):
            given_up += 1
        taken.append((time.monotonic() - at) * 1000)
    return Reads(
        times=len(taken),
        given_up=given_up,
        p50_ms=quantile(taken, 0.5),
        p95_ms=quantile(taken, 0.95),
        most_ms=max(taken),
    )


def section(rows: int, tasks: int, figures: Mapping[str, Reads]) -> str:
    """Return the section for the page."""
    lines = [
        [
            what,
            one.times,
            one.given_up or "",
            f"{one.p50_ms:.1f}",
            f"{one.p95_ms:.1f}",
            f"{one.most_ms:.1f}",
        ]
        for what, one in figures.items()
    ]
    return f"""## Logs: {rows:,} rows of {tasks:,} tasks over {DAYS} days

Read as the API's resolvers read, one after another, without HTTP; each reading asks for another
task, day or place. 1 % each is FAILED, RETRYING and SKIPPED. What is slow is repeated for
{MOST_SECONDS:.0f} s; given up is what took longer than a statement may. Pages are of {PAGE.limit}
rows, those of the feed of {FEED_PAGE}.

{table(["read", "times", "given up", "p50, ms", "p95, ms", "slowest, ms"], lines)}
"""

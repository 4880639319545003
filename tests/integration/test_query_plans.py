"""No statement that runs often, and no list, walks over the whole of a large table."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from engine import (
    claims,
    expiry,
    feed_reader,
    finish,
    gauges,
    lanes,
    releases,
    retention,
    run_stats,
    statistics,
    sweep,
    takeover,
    ticks,
)
from engine.ticks import Tick
from models.enums import LogStatus
from models.orm import credentials, tortoise_config
from schema import audit_records, records
from schema.log_statements import (
    LogFilter,
    Query,
    page,
    pages_of_tasks,
    total,
    totals_of_tasks,
)
from schema.records import Span
from tests.conftest import NO_BUDGET
from tests.databases import of_database
from tests.plans import scanned_whole, scans_of

pytestmark = pytest.mark.xdist_group("plans")  # that one process alone makes the many rows

TASKS = 1_000
LOGS = 100_000
A_MINUTE = timedelta(minutes=1)

# Half of the tasks are off. Of each hundred logs one is FAILED; every tenth task has one queued,
# every twentieth of those claimed by a copy that is dead. Some actors and actions are rare.
SEED = f"""
insert into tasks (id, name, schedule, timezone, webhook_url, webhook_url_masked, webhook_id,
    webhook_key, origin, payload, max_retry, status, failure_threshold, overlap_policy,
    misfire_policy, misfire_grace_seconds, delivery_guarantee, created_at)
select gen_random_uuid(), 'task ' || n, '* * * * *', 'UTC', 'encrypted', 'masked', '1',
    sha256(n::text::bytea), 'https://discord.com', '{{"content": "hello"}}', 3,
    case when n % 20 = 0 then 'FAILED' when n % 2 = 0 then 'INACTIVE' else 'ACTIVE' end, 1,
    'SKIP', 'FIRE_ONCE', 300, 'AT_LEAST_ONCE', now() - n * interval '1 minute'
from generate_series(1, {TASKS}) as n;

insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for, execution_time,
    deadline_at, status, finished_at, feed_id)
select gen_random_uuid(), gen_random_uuid(), t.id, t.webhook_key, 'SCHEDULE', at, at,
    at + interval '1 hour', case when n % 100 = 0 then 'FAILED' else 'SUCCESS' end, at,
    row_number() over (order by at, t.id)
from tasks t, generate_series(1, {LOGS // TASKS}) as n,
    lateral (select now() - n * interval '7 hours' as at) a;

insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for, execution_time,
    deadline_at, status, claimed_by)
select gen_random_uuid(), gen_random_uuid(), t.id, t.webhook_key, 'SCHEDULE', now(), now(),
    now() + interval '1 hour', 'QUEUED', w.owner
from (select *, row_number() over (order by id) as n from tasks) t,
    lateral (select case when t.n % 200 = 0 then gen_random_uuid() end as owner) w
where t.n % 10 = 0;

insert into webhook_lanes (webhook_key, origin, next_at, owner)
select t.webhook_key, t.origin, q.execution_time, q.claimed_by
from tasks t left join task_logs q on q.task_id = t.id and q.status = 'QUEUED';

insert into webhook_channels (channel_id, webhook_key)
select row_number() over (order by webhook_key), webhook_key from webhook_lanes;
insert into audit_logs (id, at, actor, action, task_id, changes)
select gen_random_uuid(), now() - n * interval '1 minute',
    case when n % 1000 = 0 then 'seldom' when n % 3 = 0 then 'engine' else 'default' end,
    case when n % 1000 = 1 then 'TASKS_RELOADED' when n % 3 = 0 then 'TASK_FAILED'
        else 'TASK_UPDATED' end,
    t.id, '{{}}'
from generate_series(1, {LOGS}) as n
left join (select id, row_number() over (order by id) as number from tasks) t
    on t.number = n % {TASKS};
"""


@pytest.fixture(scope="module")
def seeded_url(server_url: str, template: str) -> Iterator[str]:
    """A database with many logs, which no test changes."""
    name = f"plans_{uuid4().hex}"

    async def on_server(*statements: str) -> None:
        connection = await asyncpg.connect(**credentials(server_url))
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    async def seed() -> None:
        await on_server(f'create database "{name}" template "{template}"')
        connection = await asyncpg.connect(**credentials(of_database(server_url, name)))
        await connection.execute(SEED)
        await connection.execute("select rebuild_log_counts()")
        await connection.execute("vacuum analyze")
        await connection.close()

    asyncio.run(seed())
    yield of_database(server_url, name)
    asyncio.run(on_server(f'drop database "{name}" with (force)'))


@pytest.fixture
async def seeded(seeded_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection with the settings of the service's own."""
    pool = tortoise_config(seeded_url)["connections"]["default"]["credentials"]
    connection = await asyncpg.connect(
        **credentials(seeded_url), server_settings=pool["server_settings"]
    )
    yield connection
    await connection.close()


async def some_tasks(
    connection: "asyncpg.Connection[asyncpg.Record]", count: int, *, status: str = "ACTIVE"
) -> list[asyncpg.Record]:
    return list(
        await connection.fetch(
            "select * from tasks where status = $1 order by id limit $2", status, count
        )
    )


def ids_of(rows: list[asyncpg.Record]) -> list[UUID]:
    return [row["id"] for row in rows]


async def queued_logs(connection: "asyncpg.Connection[asyncpg.Record]") -> list[asyncpg.Record]:
    return list(
        await connection.fetch("select * from task_logs where status = 'QUEUED' order by id")
    )


def test_there_are_as_many_rows_as_the_names_say(seeded_url: str) -> None:
    async def count() -> tuple[int, int, int]:
        connection = await asyncpg.connect(**credentials(seeded_url))
        logs = await connection.fetchval("select count(*) from task_logs")
        tasks = await connection.fetchval("select count(*) from tasks")
        audit = await connection.fetchval("select count(*) from audit_logs")
        await connection.close()
        return logs, tasks, audit

    assert asyncio.run(count()) == (LOGS + TASKS // 10, TASKS, LOGS)


async def test_claim(seeded: "asyncpg.Connection[asyncpg.Record]") -> None:
    whole = await scanned_whole(
        seeded,
        claims._CLAIM,
        uuid4(),
        100,
        *claims._arguments(NO_BUDGET),
        30,
        A_MINUTE,
        A_MINUTE,
        A_MINUTE,
    )

    assert "task_logs" not in whole


async def test_time_of_the_next_claim(seeded: "asyncpg.Connection[asyncpg.Record]") -> None:
    whole = await scanned_whole(seeded, claims._NEXT, *claims._arguments(NO_BUDGET))

    assert whole <= {"origins"}


async def test_release(seeded: "asyncpg.Connection[asyncpg.Record]") -> None:
    rows = (await queued_logs(seeded))[:10]
    started = [datetime.now(UTC)] * len(rows)
    whole = await scanned_whole(seeded, releases._RELEASE, uuid4(), ids_of(rows), started)

    assert whole <= {"webhook_lanes"}


@pytest.mark.parametrize("batch", [1, 100, 500])
async def test_storing_ticks(seeded: "asyncpg.Connection[asyncpg.Record]", batch: int) -> None:
    """With it the check for an overlap."""
    tasks = await some_tasks(seeded, batch)
    now = await seeded.fetchval("select now()")
    entries = [Tick(task_id=row["id"], version=1, at=now + A_MINUTE, since=now) for row in tasks]

    whole = await scanned_whole(seeded, ticks._STORE, *ticks._columns(entries), timedelta(hours=1))

    assert whole <= {"tasks", "task_cursors"}


@pytest.mark.parametrize("batch", [1, 100])
async def test_settling_lanes(seeded: "asyncpg.Connection[asyncpg.Record]", batch: int) -> None:
    rows = (await queued_logs(seeded))[:batch]
    whole = await scanned_whole(
        seeded,
        lanes._SETTLE,
        [row["webhook_key"] for row in rows],
        ids_of(rows),
        [timedelta(0)] * batch,
        [True] * batch,
        [datetime.now(UTC)] * batch,
        ["1"] * batch,
        uuid4(),
        30,
        A_MINUTE,
        5,
        A_MINUTE,
        [True] * batch,
    )

    assert whole <= {"webhook_lanes"}


@pytest.mark.parametrize("batch", [1, 100])
async def test_recording_ends(seeded: "asyncpg.Connection[asyncpg.Record]", batch: int) -> None:
    rows = (await queued_logs(seeded))[:batch]
    ids, keys = ids_of(rows), [row["webhook_key"] for row in rows]
    nothing: list[None] = [None] * batch
    statements: list[tuple[str, list[object]]] = [
        (finish._OURS, [ids, keys, uuid4(), [datetime.now(UTC)] * batch]),
        (finish._RETRIES, [[uuid4() for _ in ids], ids, [A_MINUTE] * batch]),
        (finish._GIVE_BACK, [ids, nothing]),
        (finish._END, [ids, ["SUCCESS"] * batch, *[nothing] * 5]),
        (lanes._WAKE, [ids]),
    ]

    for statement, arguments in statements:
        whole = await scanned_whole(seeded, statement, *arguments)

        assert whole <= {"webhook_lanes", "tasks", "feed_counter", "origins"}, statement


async def test_taking_over(seeded: "asyncpg.Connection[asyncpg.Record]") -> None:
    dead = [row for row in await queued_logs(seeded) if row["claimed_by"] is not None]
    assert len(dead) == TASKS // 200
    whole = await scanned_whole(
        seeded,
        takeover._OPEN,
        [row["webhook_key"] for row in dead],
        [row["claimed_by"] for row in dead],
    )

    assert whole == set()


async def test_looking_for_overdue_runs(seeded: "asyncpg.Connection[asyncpg.Record]") -> None:
    whole = await scanned_whole(seeded, expiry._LOOK, b"", 100, ["https://discord.com"])

    assert whole == set()


async def test_looking_for_dead_copies(seeded: "asyncpg.Connection[asyncpg.Record]") -> None:
    """It runs every two seconds in every copy."""
    now = datetime.now(UTC)
    whole = await scanned_whole(seeded, takeover._DEAD_LANES, A_MINUTE, 500, uuid4(), now, A_MINUTE)

    assert whole <= {"engine_instances", "webhook_lanes"}


async def test_depth_and_age_of_the_queue(seeded: "asyncpg.Connection[asyncpg.Record]") -> None:
    whole = await scanned_whole(seeded, gauges._QUEUE, gauges.MAX_COUNTED, gauges.HEADS)

    assert whole <= {"webhook_lanes"}


async def test_removing_deleted_tasks(seeded: "asyncpg.Connection[asyncpg.Record]") -> None:
    """A walk over all tasks or logs in the order of an index is no better than one without it."""
    logs = await scans_of(seeded, retention._LOGS_OF_DELETED, 1000)
    tasks = await scans_of(seeded, retention._DELETED, 1000)

    assert {scan.get("Index Name") for scan in logs} <= {"tasks_deleted", "task_logs_task", None}
    assert [scan for scan in logs if scan["Node Type"] == "Seq Scan"] == []
    assert [scan for scan in tasks if not scan.keys() & {"Index Cond", "Recheck Cond"}] == []


@pytest.mark.parametrize(
    ("look", "begin"), [(sweep._LANES, b""), (sweep._CHANNELS, "")], ids=["lanes", "channels"]
)
async def test_looking_for_what_nothing_uses(
    seeded: "asyncpg.Connection[asyncpg.Record]", look: str, begin: str | bytes
) -> None:
    """Each page of a table asks the other one by its index, row for row."""
    outer, inner = await scans_of(seeded, look, begin, 100)

    assert outer["Node Type"] != "Seq Scan"
    assert inner.keys() & {"Index Cond", "Recheck Cond"}


async def test_removing_old_logs(seeded: "asyncpg.Connection[asyncpg.Record]") -> None:
    """It runs every minute and mostly finds none, so the index must find the end of the old ones.

    A volatile function, as clock_timestamp() is, can't be a condition of an index.
    """
    found = await scans_of(seeded, retention._OLD_LOGS, timedelta(days=30), 1000)

    assert len(found) == 2
    assert [scan for scan in found if not scan.keys() & {"Index Cond", "Recheck Cond"}] == []


async def test_figures_of_the_last_day(seeded: "asyncpg.Connection[asyncpg.Record]") -> None:
    for statement in (run_stats.RUNS, statistics._QUEUED):
        whole = await scanned_whole(seeded, statement)

        assert "task_logs" not in whole, statement


async def list_arguments(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> dict[str, tuple[str, list[object]]]:
    """Return each list of the API with the arguments of a usual call."""
    tasks = ids_of(await some_tasks(connection, 50))
    some_day = await connection.fetchval("select now() - interval '10 days'")
    day = some_day, some_day + timedelta(days=1)
    nothing = [None] * 3
    lists: dict[str, tuple[str, list[object]]] = {
        "tasks, first page": (records._TASKS, [None, None, 10, 0]),
        "tasks that are ACTIVE": (records._TASKS, ["ACTIVE", None, 10, 0]),
        "tasks that FAILED": (records._TASKS, ["FAILED", None, 10, 0]),
        "tasks by search": (records._TASKS, [None, "%task 7%", 10, 0]),
        "50 tasks by id": (records._TASKS_BY_ID, [tasks]),
        "audit, first page": (audit_records._ROWS, [*[None] * 5, 20, 0]),
        "audit, page 100": (audit_records._ROWS, [*[None] * 5, 20, 1980]),
        "audit of a task": (audit_records._ROWS, [tasks[0], *[None] * 4, 20, 0]),
        "audit of an action": (audit_records._ROWS, [None, "TASK_FAILED", *[None] * 3, 20, 0]),
        "audit of a rare action": (audit_records._ROWS, [None, "TASKS_RELOADED", *nothing, 20, 0]),
        "audit of an actor": (audit_records._ROWS, [None, None, "default", None, None, 20, 0]),
        "audit of a rare actor": (audit_records._ROWS, [None, None, "seldom", None, None, 20, 0]),
        "audit of a day": (audit_records._ROWS, [None, None, None, *day, 20, 0]),
        "count of a task's audit": (audit_records._COUNT, [tasks[0], *[None] * 4]),
        "count of a rare action": (audit_records._COUNT, [None, "TASKS_RELOADED", *nothing]),
        "count of a rare actor": (audit_records._COUNT, [None, None, "seldom", None, None]),
        "count of a day's audit": (audit_records._COUNT, [None, None, None, *day]),
    }
    for name, query in log_lists(tasks, *day).items():
        lists[name] = query.text, list(query.values)
    return lists


def log_lists(tasks: list[UUID], since: datetime, until: datetime) -> dict[str, Query]:
    """Return each list and total of logs."""
    first, far, one = (Span(limit=20, offset=offset) for offset in (0, LOGS // 2, 80))
    a_task, of_day = LogFilter(task_id=tasks[0]), LogFilter(date_from=since, date_to=until)
    failed = LogFilter(status=LogStatus.FAILED)
    succeeded = LogFilter(status=LogStatus.SUCCESS)
    newest = Span(limit=1, offset=0)
    return {
        "logs, first page": page(LogFilter(), first),
        "logs, page 100": page(LogFilter(), Span(limit=20, offset=1980)),
        "logs, far page": page(LogFilter(), far),
        "logs of a task": page(a_task, first),
        "logs of a task, far page": page(a_task, one),
        "logs that FAILED": page(failed, first),
        "logs that are SUCCESS": page(succeeded, first),
        "logs that are SUCCESS, far page": page(succeeded, far),
        "logs that are QUEUED": page(LogFilter(status=LogStatus.QUEUED), first),
        "logs that are UNKNOWN": page(LogFilter(status=LogStatus.UNKNOWN), first),
        "logs of a day": page(of_day, first),
        "logs of a day, far page": page(of_day, Span(limit=20, offset=1980)),
        "failed logs of a task": page(replace(a_task, status=LogStatus.FAILED), first),
        "count of all logs": total(LogFilter()),
        "count of a task's logs": total(a_task),
        "count of FAILED": total(failed),
        "count of SUCCESS": total(succeeded),
        "count of a day": total(of_day),
        "count since a day": total(LogFilter(date_from=since)),
        "count of a task's day": total(replace(of_day, task_id=tasks[0])),
        "last log of 50 tasks": pages_of_tasks(tasks, None, newest),
        "logs page of 50 tasks": pages_of_tasks(tasks, LogStatus.FAILED, first),
        "counts of 50 tasks": totals_of_tasks(tasks, None),
    }


LISTS = [
    *log_lists([uuid4()], datetime.now(UTC), datetime.now(UTC)),
    "tasks, first page",
    "tasks that are ACTIVE",
    "tasks that FAILED",
    "tasks by search",
    "50 tasks by id",
    "audit, first page",
    "audit, page 100",
    "audit of a task",
    "audit of an action",
    "audit of a rare action",
    "audit of an actor",
    "audit of a rare actor",
    "audit of a day",
    "count of a task's audit",
    "count of a rare action",
    "count of a rare actor",
    "count of a day's audit",
]


LARGE = {"task_logs", "audit_logs"}
ORDERED_TASKS = ["tasks, first page", "tasks that are ACTIVE", "tasks that FAILED"]


@pytest.mark.parametrize("name", LISTS)
async def test_list(seeded: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
    statement, arguments = (await list_arguments(seeded))[name]

    whole = await scanned_whole(seeded, statement, *arguments)

    assert not whole & LARGE
    if name in ORDERED_TASKS:
        assert "tasks" not in whole


@pytest.mark.parametrize("name", LISTS)
async def test_list_once_its_statement_is_prepared(
    seeded: "asyncpg.Connection[asyncpg.Record]", name: str
) -> None:
    """After some calls PostgreSQL may settle on one plan for all arguments; asyncpg keeps it."""
    statement, arguments = (await list_arguments(seeded))[name]
    prepared = await seeded.prepare(statement)
    for _ in range(10):
        await prepared.fetch(*arguments)
    before = await sequential_scans(seeded)

    await prepared.fetch(*arguments)

    assert await sequential_scans(seeded) == before


async def sequential_scans(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    """Return how often this session's statements began to walk over a large table's whole."""
    await connection.execute("select pg_stat_force_next_flush()")
    count: int = await connection.fetchval(
        "select sum(seq_scan)::int from pg_stat_user_tables where relname = any($1::text[])",
        sorted(LARGE),
    )
    return count


@pytest.mark.parametrize("after", [0, LOGS // 2, LOGS])
@pytest.mark.parametrize("of_task", [False, True])
async def test_page_of_the_feed_reads_its_part_only(
    seeded: "asyncpg.Connection[asyncpg.Record]", after: int, *, of_task: bool
) -> None:
    (task,) = await some_tasks(seeded, 1)
    task_id = task["id"] if of_task else None

    whole = await scanned_whole(seeded, feed_reader._PAGE, after, task_id, 101, feed_reader.SPAN)

    assert whole == set()


@pytest.mark.parametrize("of_task", [False, True])
async def test_idle_poll_of_the_feed_reads_few_pages(
    seeded: "asyncpg.Connection[asyncpg.Record]", *, of_task: bool
) -> None:
    (task,) = await some_tasks(seeded, 1)
    task_id = task["id"] if of_task else None
    explain = f"explain (analyze, buffers, format json) {feed_reader._PAGE}"

    found = orjson.loads(await seeded.fetchval(explain, LOGS, task_id, 101, feed_reader.SPAN))

    plan = found[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 20, plan

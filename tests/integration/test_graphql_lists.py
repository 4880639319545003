"""Pages, filters and orders, and what they cost the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from asyncpg.connection import LoggedQuery

from engine.cipher import WebhookCipher
from engine.service import TaskService
from models.database import Database, PooledConnection
from models.enums import LogStatus, RunTrigger, TaskStatus
from models.fields import uuid7
from models.task import Task
from models.task_log import TaskLog
from tests.conftest import make_service
from tests.fake_discord import FakeDiscord
from tests.serving import Api, make_app, serving
from tests.tasks import ACTOR, make_task

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
NAMES = "query ($search: String) { tasks(search: $search) { data { name } meta { total } } }"


class CountingDatabase(Database):
    """A database that notes the statements of its raw connections."""

    statements: list[str]

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[PooledConnection]:
        async with super().connection() as connection:
            connection.add_query_logger(self._note)
            try:
                yield connection
            finally:
                connection.remove_query_logger(self._note)

    def _note(self, query: LoggedQuery) -> None:
        # On a new connection the driver itself asks what an array of UUIDs is.
        if "task" in query.query:
            self.statements.append(query.query)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[CountingDatabase]:
    database = await CountingDatabase.connect(database_url)
    database.statements = []
    yield database
    await database.close()


@pytest.fixture
def service(
    database: CountingDatabase, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> TaskService:
    return make_service(cipher, fake_discord.origin)


@pytest.fixture
async def api(database: CountingDatabase, cipher: WebhookCipher) -> AsyncIterator[Api]:
    async with serving(make_app(database, cipher)) as api:
        yield api


async def add_log(task: Task, minutes: int, status: LogStatus = LogStatus.SUCCESS) -> UUID:
    """Store an attempt that was due so many minutes after NOON."""
    due = NOON + timedelta(minutes=minutes)
    log = await TaskLog.create(
        run_id=uuid7(),
        task_id=task.id,
        webhook_key=task.webhook_key,
        trigger=RunTrigger.SCHEDULE,
        scheduled_for=due,
        execution_time=due,
        deadline_at=due,
        status=status,
        finished_at=None if status is LogStatus.QUEUED else due,
    )
    return log.id


def ids_of(page: Any) -> list[UUID]:
    return [UUID(log["id"]) for log in page["data"]]


@pytest.fixture
async def tasks(service: TaskService, fake_discord: FakeDiscord) -> list[Task]:
    """Seven tasks, the oldest first."""
    return [await make_task(service, fake_discord, name=f"task {n}") for n in range(7)]


@pytest.mark.parametrize(
    ("page", "limit", "names"),
    [
        (1, 3, ["task 6", "task 5", "task 4"]),
        (3, 3, ["task 0"]),
        (4, 3, []),
        (1_000_000, 100, []),
    ],
)
@pytest.mark.usefixtures("tasks")
async def test_tasks_come_in_pages_newest_first(
    api: Api, page: int, limit: int, names: list[str]
) -> None:
    found = await api.run(
        """query ($page: Int!, $limit: Int!) { tasks(page: $page, limit: $limit) {
            data { name } meta { page limit total totalPages }
        } }""",
        page=page,
        limit=limit,
    )

    assert [task["name"] for task in found["tasks"]["data"]] == names
    assert found["tasks"]["meta"] == {
        "page": page,
        "limit": limit,
        "total": 7,
        "totalPages": -(-7 // limit),
    }


async def test_tasks_of_the_same_moment_are_ordered_by_their_ids(
    api: Api, tasks: list[Task]
) -> None:
    await Task.all().update(created_at=NOON)

    found = await api.run("{ tasks { data { id } } }")

    shown = [UUID(task["id"]) for task in found["tasks"]["data"]]
    assert shown == sorted((task.id for task in tasks), reverse=True)


@pytest.mark.parametrize("status", list(TaskStatus))
async def test_tasks_can_be_chosen_by_status(
    api: Api, tasks: list[Task], status: TaskStatus
) -> None:
    for task, given in zip(tasks, [*TaskStatus, *TaskStatus], strict=False):
        await Task.filter(id=task.id).update(status=given)

    found = await api.run(
        "query ($s: TaskStatus) { tasks(status: $s) { data { status } meta { total } } }", s=status
    )

    statuses = [task["status"] for task in found["tasks"]["data"]]
    assert statuses == [status.value] * found["tasks"]["meta"]["total"]
    assert len(statuses) == (3 if status is TaskStatus.ACTIVE else 2)


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("REPORT", ["weekly Report", "daily report"]),
        ("äpfel", ["ÄPFEL"]),
        ("a\u0308pfel", ["ÄPFEL"]),
        ("  report ", ["weekly Report", "daily report"]),
        ("50%", ["50% off"]),
        ("%", ["50% off"]),
        ("a_b", ["a_b"]),
        ("\\", ["c\\d"]),
        ("nothing", []),
    ],
)
async def test_search_finds_a_part_of_the_name_as_it_is_written(
    api: Api, service: TaskService, fake_discord: FakeDiscord, search: str, names: list[str]
) -> None:
    for name in ("daily report", "weekly Report", "ÄPFEL", "50% off", "a_b", "axb", "c\\d"):
        await make_task(service, fake_discord, name=name)

    found = (await api.run(NAMES, search=search))["tasks"]

    assert [task["name"] for task in found["data"]] == names
    assert found["meta"]["total"] == len(names)


@pytest.mark.parametrize("search", [None, "", "  "])
@pytest.mark.usefixtures("tasks")
async def test_empty_search_is_no_condition(api: Api, search: str | None) -> None:
    assert (await api.run(NAMES, search=search))["tasks"]["meta"]["total"] == 7


@pytest.mark.parametrize(
    ("query", "paths"),
    [
        ("{ tasks(page: 0, limit: 0) { data { id } } }", [["page"], ["limit"]]),
        ("{ tasks(page: 1000001, limit: 101) { data { id } } }", [["page"], ["limit"]]),
        ("{ logs(page: -1, limit: 20) { data { id } } }", [["page"]]),
        ('{ tasks(search: "a\\u0000") { data { id } } }', [["search"]]),
        ('{ tasks(search: "a\\u0085") { data { id } } }', [["search"]]),
        (f'{{ tasks(search: "{"a" * 101}") {{ data {{ id }} }} }}', [["search"]]),
        ("{ tasks { data { nextRuns(count: 51) } } }", [["count"]]),
        ("{ tasks { data { logs(limit: 0) { data { id } } } } }", [["limit"]]),
    ],
)
async def test_arguments_out_of_range_are_told_by_name(
    api: Api, service: TaskService, fake_discord: FakeDiscord, query: str, paths: list[list[str]]
) -> None:
    await make_task(service, fake_discord)

    error = await api.fail(query)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [field["path"] for field in error["extensions"]["fieldErrors"]] == paths


async def test_logs_of_all_tasks_come_newest_execution_first(api: Api, tasks: list[Task]) -> None:
    first = await add_log(tasks[0], 1)
    third = await add_log(tasks[1], 3)
    second = await add_log(tasks[0], 2)

    found = await api.run(
        "{ logs(limit: 2) { data { id } meta { total totalPages } } rest: logs(page: 2, limit: 2)"
        " { data { id } } }"
    )

    assert ids_of(found["logs"]) == [third, second]
    assert ids_of(found["rest"]) == [first]
    assert found["logs"]["meta"] == {"total": 3, "totalPages": 2}


@pytest.mark.parametrize(
    ("chosen", "minutes"),
    [
        ({}, [4, 3, 2, 1]),
        ({"status": None, "taskId": None, "dateFrom": None, "dateTo": None}, [4, 3, 2, 1]),
        ({"status": "FAILED"}, [4, 2]),
        ({"dateFrom": "2026-01-31T12:03:00Z"}, [4, 3]),
        ({"dateTo": "2026-01-31T13:02:00+01:00"}, [2, 1]),
        ({"dateFrom": "2026-01-31T12:02:00Z", "dateTo": "2026-01-31T12:03:00Z"}, [3, 2]),
        ({"dateFrom": "2026-01-31T12:03:00Z", "dateTo": "2026-01-31T12:02:00Z"}, []),
        ({"status": "FAILED", "dateTo": "2026-01-31T12:03:00Z"}, [2]),
    ],
)
async def test_logs_can_be_chosen(
    api: Api, tasks: list[Task], chosen: dict[str, object], minutes: list[int]
) -> None:
    ids = {
        minute: await add_log(tasks[0], minute, status)
        for minute, status in enumerate((LogStatus.SUCCESS, LogStatus.FAILED) * 2, start=1)
    }

    found = await api.run(
        "query ($f: LogFilter) { logs(filter: $f) { data { id } meta { total } } }", f=chosen
    )

    assert ids_of(found["logs"]) == [ids[minute] for minute in minutes]
    assert found["logs"]["meta"]["total"] == len(minutes)


async def test_logs_of_one_task_can_be_asked_for_in_two_ways(api: Api, tasks: list[Task]) -> None:
    mine = [await add_log(tasks[0], n) for n in range(3)]
    await add_log(tasks[1], 9)

    found = await api.run(
        """query ($id: UUID!) {
            logs(filter: {taskId: $id}) { data { id } }
            task(id: $id) { lastLog { id } logs(limit: 2) { data { id } meta { total } } }
        }""",
        id=str(tasks[0].id),
    )

    assert ids_of(found["logs"]) == mine[::-1]
    assert ids_of(found["task"]["logs"]) == mine[:0:-1]
    assert found["task"]["logs"]["meta"]["total"] == 3
    assert UUID(found["task"]["lastLog"]["id"]) == mine[-1]


async def test_each_task_gets_its_own_logs_by_status_and_page(api: Api, tasks: list[Task]) -> None:
    for n, task in enumerate(tasks[:3]):
        for minute in range(n):
            await add_log(task, minute, LogStatus.FAILED)
        await add_log(task, 30)

    found = await api.run(
        """{ tasks { data { name
            failed: logs(status: FAILED, limit: 1) { data { status } meta { total } }
            second: logs(limit: 1, page: 2) { data { status } meta { total } }
        } } }"""
    )

    shown = {task["name"]: task for task in found["tasks"]["data"]}
    assert shown["task 2"]["failed"] == {"data": [{"status": "FAILED"}], "meta": {"total": 2}}
    assert shown["task 2"]["second"] == {"data": [{"status": "FAILED"}], "meta": {"total": 3}}
    assert shown["task 0"]["failed"] == {"data": [], "meta": {"total": 0}}
    assert shown["task 0"]["second"] == {"data": [], "meta": {"total": 1}}


async def test_logs_of_deleted_tasks_are_hidden(
    api: Api, tasks: list[Task], service: TaskService
) -> None:
    kept = await add_log(tasks[0], 1)
    await add_log(tasks[1], 2)
    await service.delete(ACTOR, tasks[1].id)

    found = await api.run("{ logs { data { id task { name } } meta { total } } }")

    assert ids_of(found["logs"]) == [kept]
    assert found["logs"]["meta"]["total"] == 1


@pytest.fixture
async def fifty_tasks(
    service: TaskService, fake_discord: FakeDiscord, database: CountingDatabase
) -> None:
    """Tasks with a log each; making them is not counted."""
    for n in range(50):
        await add_log(await make_task(service, fake_discord, name=f"task {n}"), n)
    database.statements.clear()


@pytest.mark.parametrize(
    ("query", "statements"),
    [
        ("{ tasks(limit: 50) { data { id nextRunAt scheduleDescription } } }", 1),
        ("{ tasks(limit: 50) { data { nextRunAt lastLog { status } } } }", 2),
        ("{ tasks(limit: 50) { data { nextRunAt lastLog { status } } meta { total } } }", 3),
        ("{ tasks(limit: 50) { data { logs(limit: 5) { data { id } meta { total } } } } }", 3),
        ("{ logs(limit: 50) { data { task { name lastLog { id } } } } }", 3),
    ],
)
@pytest.mark.usefixtures("fifty_tasks")
async def test_lists_of_fifty_cost_few_statements(
    api: Api, database: CountingDatabase, query: str, statements: int
) -> None:
    found = await api.run(query)

    assert len(database.statements) == statements
    assert len(next(iter(found.values()))["data"]) == 50

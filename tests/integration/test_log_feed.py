"""logFeed: every finished attempt exactly once, by cursor, and for next to nothing when idle."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from engine.cipher import WebhookCipher
from engine.feed import assign_feed_ids
from engine.feed_reader import FeedReader
from engine.retention import Retention
from engine.service import TaskService
from models.database import Database
from models.task import Task
from tests.fake_discord import FakeDiscord
from tests.serving import Api, as_reader, make_app, serving
from tests.tasks import ACTOR, finish, make_task, store_attempts
from tests.waiting import wait_until

FEED = """
query ($after: String, $first: Int! = 100, $taskId: UUID) {
  logFeed(after: $after, first: $first, taskId: $taskId) {
    entries { id taskId status message task { name } } cursor hasMore
  }
}
"""
WAITING = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock'
"""
LONG_AGO = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
async def api(database: Database, cipher: WebhookCipher) -> AsyncIterator[Api]:
    async with serving(make_app(database, cipher)) as api:
        yield api


@pytest.fixture
async def task(service: TaskService, fake_discord: FakeDiscord) -> Task:
    return await make_task(service, fake_discord)


async def feed(api: Api, after: str | None = None, **variables: object) -> Any:
    return (await api.run(FEED, after=after, **variables))["logFeed"]


def ids_of(page: Any) -> list[str]:
    return [entry["id"] for entry in page["entries"]]


async def test_pages_go_on_where_the_last_one_ended(
    api: Api, database: Database, task: Task
) -> None:
    stored = await finish(database, task, 5)

    first = await feed(api, first=2)
    second = await feed(api, first["cursor"], first=2)
    third = await feed(api, second["cursor"], first=2)

    assert [ids_of(first), ids_of(second), ids_of(third)] == [stored[:2], stored[2:4], stored[4:]]
    assert [page["hasMore"] for page in (first, second, third)] == [True, True, False]
    assert first["entries"][0] == {
        "id": stored[0],
        "taskId": str(task.id),
        "status": "SUCCESS",
        "message": None,
        "task": {"name": task.name},
    }


async def test_page_that_ends_with_the_feed_has_no_more(
    api: Api, database: Database, task: Task
) -> None:
    await finish(database, task, 2)

    assert (await feed(api, first=2))["hasMore"] is False


async def test_idle_poll_gives_the_same_cursor_back(
    api: Api, database: Database, task: Task
) -> None:
    await finish(database, task)
    seen = await feed(api)

    idle = await feed(api, seen["cursor"])
    (new,) = await finish(database, task)
    later = await feed(api, idle["cursor"])

    assert idle == {"entries": [], "cursor": seen["cursor"], "hasMore": False}
    assert ids_of(later) == [new]


async def test_empty_feed_gives_a_cursor_at_the_beginning(
    api: Api, database: Database, task: Task
) -> None:
    empty = await feed(api)
    stored = await finish(database, task, 3)

    assert (empty["entries"], empty["hasMore"]) == ([], False)
    assert ids_of(await feed(api, empty["cursor"])) == stored


async def test_unfinished_attempts_are_not_in_the_feed(
    api: Api, service: TaskService, task: Task
) -> None:
    await service.trigger(ACTOR, task.id)

    assert (await feed(api))["entries"] == []


async def test_feed_of_a_task_passes_the_entries_of_others(
    api: Api, database: Database, service: TaskService, fake_discord: FakeDiscord, task: Task
) -> None:
    other = await make_task(service, fake_discord, name="other")
    (mine,) = await finish(database, task)
    await finish(database, other, 3)

    seen = await feed(api, taskId=str(task.id))
    everything = await feed(api)

    assert ids_of(seen) == [mine]
    assert seen["cursor"] == everything["cursor"]
    assert (await feed(api, seen["cursor"], taskId=str(task.id)))["entries"] == []


async def test_feed_of_a_task_reads_a_bounded_part_of_the_others(
    database: Database, service: TaskService, fake_discord: FakeDiscord, task: Task
) -> None:
    other = await make_task(service, fake_discord, name="other")
    await finish(database, other, 7)
    (mine,) = await finish(database, task)
    reader = FeedReader(database, span=3)

    pages = [await reader.page(0, 10, task.id)]
    while pages[-1].has_more:
        pages.append(await reader.page(pages[-1].position, 10, task.id))

    assert [page.position for page in pages] == [3, 6, 8]
    assert [[str(row["id"]) for row in page.entries] for page in pages] == [[], [], [mine]]


async def test_entries_of_a_deleted_task_are_passed_over(
    api: Api, database: Database, service: TaskService, fake_discord: FakeDiscord, task: Task
) -> None:
    other = await make_task(service, fake_discord, name="other")
    await finish(database, task, 3)
    await service.delete(ACTOR, task.id)
    (left,) = await finish(database, other)

    page = await feed(api, first=1)

    assert (ids_of(page), page["hasMore"]) == ([left], False)


async def test_cursor_before_what_retention_left_starts_at_the_oldest(
    api: Api, database: Database, task: Task
) -> None:
    await finish(database, task, 5, due=LONG_AGO)
    early = await feed(api, first=1)
    recent = await finish(database, task, 2)
    removed = await Retention(database, log_retention_days=1).clean()

    page = await feed(api, early["cursor"])

    assert removed == 5
    assert ids_of(page) == recent


async def test_reading_key_may_read_the_feed(api: Api, database: Database, task: Task) -> None:
    stored = await finish(database, task)

    answer = await api.post(FEED, headers=as_reader())

    assert ids_of(answer.json["data"]["logFeed"]) == stored


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "1:5",
        "é",
        *(
            base64.urlsafe_b64encode(text).decode()
            for text in (
                b"",
                b"5",
                b"2:5",
                b"1:-5",
                b"1:5 ",
                b"1:",
                b"1:1e3",
                b"1:\xff",
                b"1:" + b"9" * 19,
            )
        ),
    ],
)
async def test_malformed_cursor_is_refused_at_its_argument(api: Api, cursor: str) -> None:
    error = await api.fail(FEED, after=cursor)

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [field["path"] for field in error["extensions"]["fieldErrors"]] == [["after"]]


async def test_all_wrong_arguments_are_told_at_once(api: Api) -> None:
    error = await api.fail(FEED, after="nonsense", first=101)

    assert [field["path"] for field in error["extensions"]["fieldErrors"]] == [["first"], ["after"]]


async def test_entry_that_waits_for_its_commit_is_not_overtaken(
    database: Database, service: TaskService, fake_discord: FakeDiscord, task: Task
) -> None:
    other = await make_task(service, fake_discord, name="other")
    reader = FeedReader(database)
    (first,) = await store_attempts(database, task)

    async def somebody_waits() -> bool:
        async with database.connection() as connection:
            return bool(await connection.fetchval(WAITING))

    async with database.transaction() as connection:
        await assign_feed_ids(connection, [UUID(first)])
        finishing = asyncio.create_task(finish(database, other))
        await wait_until(somebody_waits, what="waiting transaction")
        before = await reader.page(0, 10)
    (second,) = await finishing
    after = await reader.page(before.position, 10)

    assert before.entries == ()
    assert [row["id"] for row in after.entries] == [UUID(first), UUID(second)]

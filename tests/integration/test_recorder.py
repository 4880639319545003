"""How attempts ended is kept until the database has it, whatever the database refuses meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

import pytest

from engine.cipher import WebhookCipher
from engine.claims import Claim, claim
from engine.ending import Finished
from engine.recorder import Recorder
from models.database import Database, PooledConnection
from models.enums import LogStatus
from models.task_log import TaskLog
from tests.backlog import add_tasks, queue_attempts
from tests.conftest import NO_BUDGET, accounting
from tests.fake_discord import FakeDiscord
from tests.waiting import wait_until

ME = uuid4()
ATTEMPTS = 20

# What a sequence counts, a transaction that is rolled back does not lose.
REFUSE = """
create sequence refusals;
create function refuse() returns trigger language plpgsql as $$ begin
    perform nextval('refusals');
    raise 'refused' using errcode = tg_argv[0];
end $$;
"""
REFUSE_ALL = """
create trigger refuse before update on task_logs for each row execute function refuse('disk_full')
"""
REFUSE_ONE = """
create trigger refuse before update on task_logs for each row
when (new.message = 'poison') execute function refuse('data_exception')
"""
REFUSE_RELEASE = """
create trigger refuse before update on task_logs for each row
when (new.claimed_by is null and new.id = '{}') execute function refuse('data_exception')
"""


T = TypeVar("T")


class LateDatabase(Database):
    """The database; a test may do something before a transaction's caller hears of the commit."""

    before_the_news: Callable[[], Awaitable[None]] | None = None

    async def transact(self, work: Callable[[PooledConnection], Awaitable[T]]) -> T:
        result = await super().transact(work)
        if self.before_the_news is not None:
            await self.before_the_news()
        return result


class Turns:
    """Counts what the recorder tells."""

    count = 0

    def note(self) -> None:
        self.count += 1


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[LateDatabase]:
    database = await LateDatabase.connect(database_url)
    yield database
    await database.close()


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
async def recorder(database: Database, turns: Turns) -> AsyncIterator[Recorder]:
    """A recorder that runs."""
    recorder = Recorder(
        database,
        instance_id=ME,
        budget=NO_BUDGET,
        accounting=accounting(),
        on_recorded=turns.note,
    )
    running = asyncio.create_task(recorder.run())
    yield recorder
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@pytest.fixture
async def claims(
    database: Database, cipher: WebhookCipher, fake_discord: FakeDiscord
) -> list[Claim]:
    """Attempts that this copy has claimed."""
    task_ids = await add_tasks(database, cipher, fake_discord, ATTEMPTS)
    await queue_attempts(database, task_ids, 1, step=timedelta(0))
    await execute(database, REFUSE)
    return await claim_all(database)


async def claim_all(database: Database) -> list[Claim]:
    async with database.connection() as connection:
        claimed = await claim(
            connection, instance_id=ME, limit=ATTEMPTS, budget=NO_BUDGET, claimed_at=0.0
        )
    return claimed.claims


def delivered(one: Claim, message: str = "Delivered") -> Finished:
    return Finished(claim=one, status=LogStatus.SUCCESS, http_status=200, message=message)


async def execute(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(statement)


async def refusals(database: Database) -> int:
    async with database.connection() as connection:
        count: int = await connection.fetchval("select last_value from refusals")
    return count


async def recorded() -> int:
    return await TaskLog.filter(status=LogStatus.SUCCESS).count()


async def test_result_that_the_database_refuses_harms_no_other_and_is_tried_again(
    database: Database, recorder: Recorder, claims: list[Claim]
) -> None:
    await execute(database, REFUSE_ONE)
    recorder.put(delivered(claims[0], "poison"))
    for one in claims[1:]:
        recorder.put(delivered(one))

    async def are_others_recorded() -> bool:
        return await recorded() == ATTEMPTS - 1

    await wait_until(are_others_recorded, what="record of all others")
    assert recorder.log_ids == [claims[0].log_id]
    await execute(database, "drop trigger refuse on task_logs")
    await asyncio.wait_for(recorder.wait_until_empty(), 5)

    assert await recorded() == ATTEMPTS


async def test_result_that_can_t_even_be_asked_for_harms_no_other(
    recorder: Recorder, claims: list[Claim], turns: Turns
) -> None:
    """An error that nobody expected is no end of the recording."""
    endless = Finished(
        claim=claims[0], status=LogStatus.RETRYING, retry_in_seconds=float("inf"), message="poison"
    )
    recorder.put(endless)
    for one in claims[1:]:
        recorder.put(delivered(one))

    async def are_others_recorded() -> bool:
        return await recorded() == ATTEMPTS - 1

    await wait_until(are_others_recorded, what="record of all others")
    assert recorder.log_ids == [claims[0].log_id]
    told = turns.count
    await wait_until(lambda: turns.count > told, what="another try")


async def test_claim_that_can_t_be_given_back_harms_no_other(
    database: Database, recorder: Recorder, claims: list[Claim]
) -> None:
    await execute(database, REFUSE_RELEASE.format(claims[0].log_id))
    for one in claims[:3]:
        recorder.give_back(one)
    recorder.put(delivered(claims[3]))

    async def are_others_recorded() -> bool:
        return await recorded() == 1 and recorder.waiting == 1

    await wait_until(are_others_recorded, what="record of all others")
    assert recorder.log_ids == [claims[0].log_id]
    await execute(database, "drop trigger refuse on task_logs")
    await asyncio.wait_for(recorder.wait_until_empty(), 5)


async def test_full_disk_is_not_asked_again_for_each_result(
    database: Database, recorder: Recorder, claims: list[Claim], turns: Turns
) -> None:
    await execute(database, REFUSE_ALL)
    for one in claims[1:]:
        recorder.put(delivered(one))
    recorder.give_back(claims[0])

    await wait_until(lambda: turns.count >= 2, what="second try")

    assert await refusals(database) <= turns.count + 1
    await execute(database, "drop trigger refuse on task_logs")
    await asyncio.wait_for(recorder.wait_until_empty(), 5)
    assert await recorded() == ATTEMPTS - 1
    assert await TaskLog.filter(claimed_by__isnull=True).count() == 1


async def test_attempt_that_ends_anew_before_its_giving_back_is_known_to_be_stored_is_recorded(
    database: LateDatabase, recorder: Recorder, claims: list[Claim]
) -> None:
    """The next claim may be quicker than the news of the commit."""

    async def claim_and_end() -> None:
        for again in await claim_all(database):
            recorder.put(delivered(again))

    database.before_the_news = claim_and_end
    recorder.put(Finished(claim=claims[0], status=LogStatus.QUEUED, knows_bucket=True))
    recorder.give_back(claims[1])

    async def are_recorded() -> bool:
        return await recorded() == 2

    await wait_until(are_recorded, what="record of both")
    await asyncio.wait_for(recorder.wait_until_empty(), 5)

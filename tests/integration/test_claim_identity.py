"""What is repeated because its commit's news was lost concerns the claim that it was made for."""

from uuid import UUID, uuid4

import pytest

from engine.claims import Claim, claim
from engine.ending import Finished
from engine.finish import record
from engine.releases import release
from engine.service import TaskService
from models.database import Connection, Database
from models.enums import LogStatus
from tests.conftest import NO_BUDGET, accounting
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, make_task

ME, OTHER = uuid4(), uuid4()


async def claims_of(database: Database, instance_id: UUID) -> list[Claim]:
    async with database.connection() as connection:
        claimed = await claim(
            connection, instance_id=instance_id, limit=10, budget=NO_BUDGET, claimed_at=0.0
        )
    return claimed.claims


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_giving_back_again_frees_no_later_claim(
    database: Database, service: TaskService, fake_discord: FakeDiscord, *, is_recorded: bool
) -> None:
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    (first,) = await claims_of(database, ME)
    end = Finished(claim=first, status=LogStatus.QUEUED, knows_bucket=True)

    async def give_back(connection: Connection) -> None:
        if is_recorded:
            await record(connection, [end], instance_id=ME, budgeted=(), accounting=accounting())
        else:
            await release(connection, instance_id=ME, claims=[first])

    await database.transact(give_back)
    (second,) = await claims_of(database, ME)
    await database.transact(give_back)

    assert second.log_id == first.log_id
    assert await claims_of(database, OTHER) == []

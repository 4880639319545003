"""What the database returns is read the short way: its driver's values are ordinary ones."""

import pytest

from engine.service import TaskService
from models.database import Database
from schema.core import core_schema
from schema.execution import _LEAVES, _read
from schema.log_records import LogRecords
from schema.log_statements import LogFilter
from schema.records import Records, Span, TaskFilter
from schema.schema import build_schema
from schema.types import Task, TaskLog
from tests.fake_discord import FakeDiscord
from tests.tasks import ACTOR, make_task


@pytest.mark.parametrize(
    ("type_name", "count"),
    # Besides the attributes there is __typename; scheduleDescription and nextRunAt are computed.
    [("Task", len(Task.__annotations__) + 3), ("TaskLog", len(TaskLog.__annotations__) + 1)],
)
async def test_every_attribute_of_a_stored_object_is_read_directly(
    database: Database,
    service: TaskService,
    fake_discord: FakeDiscord,
    type_name: str,
    count: int,
) -> None:
    task = await make_task(service, fake_discord)
    await service.trigger(ACTOR, task.id)
    records, span = Records(database), Span(limit=1, offset=0)
    objects = {
        "Task": Task.listed(await records.tasks(TaskFilter(), span)),
        "TaskLog": TaskLog.listed(await LogRecords(database).logs(LogFilter(), span)),
    }[type_name]
    known = core_schema(build_schema()).extensions[_LEAVES]
    leaves = {name: leaf for (type_, name), leaf in known.items() if type_ == type_name}
    read_at_once = {name: leaf for name, leaf in leaves.items() if not leaf.takes_info}

    assert len(leaves) == count
    assert len(objects) == 1
    answers = _read(read_at_once, objects)
    assert answers is not None
    assert answers == _read(read_at_once, list(objects))

import asyncio
import tracemalloc
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from engine.cron import parse_schedule
from engine.job import TaskJob

MIDNIGHT = datetime(2026, 5, 4, tzinfo=UTC)


def on_ticks(job: TaskJob, since: datetime, ticks: Sequence[datetime]) -> None:
    raise AssertionError("no tick is due")


def on_gap(job: TaskJob) -> None:
    raise AssertionError("no gap is due")


async def test_started_job_takes_less_than_three_kilobytes() -> None:
    """All but its task's id and its schedule, which the scheduler may share."""
    how_many = 2_000
    schedules = [parse_schedule(f"{minute} 4 * * *", "Europe/Berlin") for minute in range(60)]
    ids = [UUID(int=number) for number in range(how_many)]
    loop = asyncio.get_running_loop()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        jobs = [
            TaskJob(
                task_id=task_id,
                version=1,
                checksum=7,
                schedule=schedules[number % 60],
                loop=loop,
                clock=MIDNIGHT.timestamp,
                on_ticks=on_ticks,
                on_gap=on_gap,
            )
            for number, task_id in enumerate(ids)
        ]
        for job in jobs:
            job.start()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for job in jobs:
        job.stop()

    assert (after - before) / how_many < 3000

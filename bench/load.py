"""Many ACTIVE tasks with mixed schedules and zones: how soon they are loaded, and what waits."""

import asyncio
import random
import time
from dataclasses import dataclass

from cryptography.fernet import Fernet

from bench.burst import bench_options, insert_tasks
from engine.audit import Actor
from engine.cipher import WebhookCipher
from engine.engine import Engine
from engine.service import TaskService
from models.database import Database
from models.task import Task
from tests.conftest import make_service

ORIGIN = "https://discord.com"
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe")
SCHEDULES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One run: seconds until every task has its job, and mutations' latency meanwhile and after."""

    tasks: int
    ready_seconds: float
    mutation_ms_while_loading: float
    mutation_ms_after: float


async def run_load(database: Database, tasks: int) -> Load:
    """Insert the tasks, start the engine, and change a task while it loads."""
    cipher = WebhookCipher([Fernet.generate_key().decode()])
    chance = random.Random(1)
    for _ in range(SCHEDULES):
        schedule = f"{chance.randrange(60)} {chance.randrange(24)} 1 {chance.randrange(1, 13)} *"
        zone = chance.choice(ZONES)
        await insert_tasks(
            database, cipher, ORIGIN, tasks // SCHEDULES, schedule=schedule, zone=zone
        )
    engine = Engine(database, cipher, bench_options(ORIGIN))
    service = make_service(cipher, ORIGIN, engine)
    task = await Task.first()
    assert task is not None
    started = time.monotonic()
    await engine.start()
    loading = asyncio.create_task(engine.reloaded())
    while_loading = await _mutation_ms(service, task)
    await loading
    ready_seconds = time.monotonic() - started
    after = max([await _mutation_ms(service, task) for _ in range(20)])
    await engine.stop()
    return Load(
        tasks=tasks,
        ready_seconds=ready_seconds,
        mutation_ms_while_loading=while_loading,
        mutation_ms_after=after,
    )


async def _mutation_ms(service: TaskService, task: Task) -> float:
    started = time.monotonic()
    await service.update(Actor(name="bench"), task.id, {"max_retry": 4})
    return (time.monotonic() - started) * 1000

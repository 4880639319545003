"""What happens meanwhile: users change and trigger tasks, and Discord fails now and then."""

import asyncio
import random
from collections import Counter
from typing import Any

import aiohttp

from tests.chaos.cluster import Cluster

PAUSE_SECONDS = (0.2, 0.8)
ANSWER_SECONDS = 10.0
SCHEDULES = (
    *("*/5 * * * * *",) * 3,
    "*/10 * * * * *",
    "1-59/5 * * * * *",
    "2-59/5 * * * * *",
    "3-59/10 * * * * *",
)

_FIELDS = "id status"
CREATE = f"mutation ($input: CreateTaskInput!) {{ createTask(input: $input) {{ {_FIELDS} }} }}"
UPDATE = f"""mutation ($id: UUID!, $input: UpdateTaskInput!) {{
  updateTask(id: $id, input: $input) {{ {_FIELDS} }} }}"""
TOGGLE = f"mutation ($id: UUID!) {{ toggleTask(id: $id) {{ {_FIELDS} }} }}"
DELETE = f"mutation ($id: UUID!) {{ deleteTask(id: $id) {{ {_FIELDS} }} }}"
TRIGGER = "mutation ($id: UUID!) { triggerTask(id: $id) { id } }"


class Users:
    """Change tasks through whichever copy is there, and remember what was answered with success.

    A change whose answer is lost may be stored or not; the database tells.
    """

    def __init__(self, parts: Cluster, chance: random.Random, *, tasks: int) -> None:
        self._parts = parts
        self._chance = chance
        self._tasks = tasks
        self._ids: list[str] = []
        self._off: set[str] = set()
        self._made = 0
        self.created: set[str] = set()
        self.deleted: set[str] = set()
        self.triggered: set[str] = set()
        self.answers: Counter[str] = Counter()

    async def create_all(self) -> None:
        """Create the tasks that the run begins with."""
        for _ in range(self._tasks):
            await self._create()
        assert len(self._ids) == self._tasks, self.answers

    async def go_on(self) -> None:
        """Make one change after another, until cancelled."""
        while True:
            await asyncio.sleep(self._chance.uniform(*PAUSE_SECONDS))
            await self._change()

    async def _change(self) -> None:
        if len(self._ids) < self._tasks:
            await self._create()
            return
        task = self._chance.choice(self._ids)
        match self._chance.choices(range(6), weights=(4, 3, 2, 3, 1, 1))[0]:
            case 0:  # those that are off come back first
                await self._toggle(min(self._off, default=task))
            case 1:
                await self._update(task, payload={"content": f"change {self.answers['ok']}"})
            case 2:
                await self._update(task, schedule=self._chance.choice(SCHEDULES))
            case 3:
                if (data := await self._send(TRIGGER, id=task)) is not None:
                    self.triggered.add(data["triggerTask"]["id"])
            case 4:
                await self._delete(task)
            case _:
                self._parts.fake.script(None, (500,))
                self.answers["Discord's error 500"] += 1

    async def _create(self) -> None:
        chance, self._made = self._chance, self._made + 1
        given = {
            "name": f"task {self._made}",
            "schedule": chance.choice(SCHEDULES),
            "webhookUrl": self._parts.fake.url(),
            "payload": {"content": "hello"},
            "failureThreshold": 100,
            "overlapPolicy": chance.choice(("SKIP", "ALLOW")),
            "deliveryGuarantee": chance.choice(("AT_LEAST_ONCE", "AT_LEAST_ONCE", "AT_MOST_ONCE")),
        }
        if (data := await self._send(CREATE, input=given)) is not None:
            self._ids.append(data["createTask"]["id"])
            self.created.add(data["createTask"]["id"])

    async def _toggle(self, task: str) -> None:
        if (data := await self._send(TOGGLE, id=task)) is not None:
            is_off = data["toggleTask"]["status"] == "INACTIVE"
            self._off = self._off | {task} if is_off else self._off - {task}

    async def _update(self, task: str, **changes: object) -> None:
        await self._send(UPDATE, id=task, input=changes)

    async def _delete(self, task: str) -> None:
        if await self._send(DELETE, id=task) is not None:
            self._ids.remove(task)
            self._off.discard(task)
            self.deleted.add(task)

    async def _send(self, query: str, **variables: object) -> Any:
        """Send it to a copy that runs; return the data, None unless all of it succeeded."""
        services = [copy.service for copy in self._parts.idle if copy.service is not None]
        if not services:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, body = await self._chance.choice(services).post(query, variables)
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.answers["cut off"] += 1
            return None
        errors = body.get("errors") or []
        self.answers[errors[0]["extensions"]["code"] if errors else "ok"] += 1
        if any(error["extensions"]["code"] == "NOT_FOUND" for error in errors):
            # Its deletion was stored though the answer was lost.
            self._ids = [task for task in self._ids if task != variables["id"]]
            self._off.discard(str(variables["id"]))
        return body["data"] if status == 200 and not errors else None

"""Sends what a page shows to a running service, in the order of the page."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from graphql import OperationType

from tests.acceptance.running import API_KEY, Service
from tests.docs.answers import Names
from tests.docs.blocks import Step
from tests.fake_discord import FakeDiscord
from tests.waiting import wait_until

READ_KEY = "the-pages-reading-key"

# What the pages say, and what it is in the tests.
SERVICE = "http://127.0.0.1:3005"
SOCKET = "ws://127.0.0.1:3005"
DISCORD = "https://discord.com/api/webhooks/"
TOKEN = "YOUR-TOKEN"

TRIGGER = "mutation ($id: UUID!) { triggerTask(id: $id) { id } }"
COMMAND_SECONDS = 60.0
FIT_SECONDS = 20.0
"""How long an answer may take to become what is shown: what is sent is logged a moment later."""


@dataclass(slots=True, kw_only=True)
class Player:
    """One page's reader: `service` sends to `fake`, and the names are the page's own."""

    service: Service
    fake: FakeDiscord
    names: Names = field(default_factory=Names)

    async def play(self, step: Step) -> None:
        """Send one request, and compare its answer.

        Reading is tried again until the answer fits; what changes something is sent once.
        """
        if step.kind is OperationType.MUTATION:
            problems = await self._differences(step)
        else:
            problems = await self._read(step)
        assert problems == [], f"{step.first}: {problems}"

    async def _read(self, step: Step) -> list[str]:
        problems: list[str] = []

        async def fits() -> bool:
            nonlocal problems
            problems = await self._differences(step)
            return not problems

        try:
            await wait_until(fits, what="such answer", timeout_seconds=FIT_SECONDS)
        except AssertionError:
            return problems
        return []

    async def _differences(self, step: Step) -> list[str]:
        if step.command is not None:
            answer = await self._run(step.command)
        elif step.kind is OperationType.SUBSCRIPTION:
            answer = await self._follow(step)
        else:
            answer = await self._post(step)
        return [] if step.answer is None else self.names.learn(step.answer, orjson.loads(answer))

    async def _run(self, command: str) -> str:
        environment = client_environment(self.service)
        status, output = await run(
            ["bash", "-euo", "pipefail", "-c", self._local(command)], environment
        )
        assert status == 0, f"{command}\nended with {status}: {output}"
        return self._shown(output)

    async def _post(self, step: Step) -> str:
        body = self._local(orjson.dumps(_body(step)).decode())
        headers = {"X-API-Key": API_KEY, "Content-Type": "application/json"}
        url = f"{self.service.url}/graphql"
        async with self.service.http.post(url, data=body, headers=headers) as response:
            return self._shown(await response.text())

    async def _follow(self, step: Step) -> str:
        """Return a subscription's first message; the task in its variables is run for that."""
        body = orjson.loads(self._local(orjson.dumps(_body(step)).decode()))
        url = self.service.url.replace("http", "ws", 1) + "/graphql"
        headers = {"X-API-Key": API_KEY}
        async with self.service.http.ws_connect(
            url, protocols=["graphql-transport-ws"], headers=headers
        ) as socket:
            await socket.send_json({"type": "connection_init"})
            assert (await socket.receive_json())["type"] == "connection_ack"
            await socket.send_json({"type": "subscribe", "id": "1", "payload": body})
            return self._shown(await self._first(socket, body["variables"]["taskId"]))

    async def _first(self, socket: aiohttp.ClientWebSocketResponse, task_id: str) -> str:
        message: dict[str, Any] = {}

        async def comes() -> bool:
            nonlocal message
            await self.service.data(TRIGGER, {"id": task_id})
            try:
                message = await socket.receive_json(timeout=1.0)
            except TimeoutError:
                return False
            return True

        await wait_until(comes, what="message of the subscription")
        return orjson.dumps(message["payload"]).decode()

    def _local(self, text: str) -> str:
        return local(self.names.in_text(text), self.service, self.fake)

    def _shown(self, text: str) -> str:
        return text.replace(self.fake.origin, DISCORD.partition("/api")[0])


def local(text: str, service: Service, fake: FakeDiscord) -> str:
    """Return a page's text with the service's address, and with the fake Discord's."""
    text = text.replace(SERVICE, service.url).replace(SOCKET, service.url.replace("http", "ws", 1))
    return text.replace(DISCORD, f"{fake.origin}/api/webhooks/").replace(TOKEN, "t" * 68)


def client_environment(service: Service) -> dict[str, str]:
    """Return the variables that the pages' commands and programs read."""
    return {"API_KEY": API_KEY, "READ_KEY": READ_KEY, "SERVICE_URL": service.url}


async def run(
    command: list[str], environment: Mapping[str, str], *, cwd: str | os.PathLike[str] = "."
) -> tuple[int, str]:
    """Run a command to its end; return its exit status and its standard output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        | dict(environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode is not None
    return process.returncode, output.decode() + (errors.decode() if process.returncode else "")


def _body(step: Step) -> dict[str, object]:
    return {"query": step.operation, "variables": step.variables or {}}

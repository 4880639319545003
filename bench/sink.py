"""The server that everybody sends to: the tests' Discord without limits, as a process."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from bench.processes import child
from bench.tasks import FIRST_WEBHOOK


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request: when it came, in epoch seconds, and its webhook's number."""

    at: float
    number: int


@asynccontextmanager
async def sink() -> AsyncIterator[str]:
    """Run it, and yield its origin."""
    command = [sys.executable, "-m", "tests.fake_discord", "--sink", "--port=0"]
    async with child(command, says="http") as (_, origin):
        yield origin


async def received(origin: str) -> list[Arrival]:
    """Return its requests so far, in their order."""
    async with aiohttp.ClientSession() as session, session.get(f"{origin}/requests") as response:
        report = await response.json()
    return [Arrival(at, int(number) - FIRST_WEBHOOK) for at, number, _ in report["requests"]]

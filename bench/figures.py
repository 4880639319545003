"""What every scenario measures."""

import asyncio
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """One run: ms from the tick to the last request, CPU per delivery, requests and log rows."""

    last_request_ms: float
    cpu_ms_per_delivery: float
    requests: int
    rows: int


def cpu_seconds() -> float:
    """Return the CPU time of this process, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


@asynccontextmanager
async def sink() -> AsyncIterator[str]:
    """Run the fake Discord in a process of its own, without limits, and yield its origin."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.fake_discord",
        "--sink",
        "--port=0",
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        words = (await process.stdout.readline()).decode().split()
        yield next(word for word in words if word.startswith("http"))
    finally:
        process.terminate()
        await process.wait()


async def received(origin: str) -> list[float]:
    """Return when the sink got each of its requests, in epoch seconds."""
    async with aiohttp.ClientSession() as session, session.get(f"{origin}/requests") as response:
        report = await response.json()
    return [wall for wall, *_ in report["requests"]]

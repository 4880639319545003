"""The real program, as it runs in production: its log lines are JSON, and go nowhere."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from bench.processes import READY_SECONDS, ROOT, end

API_KEY = "the-admin-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process of the program: its id, its address, and when it was started (monotonic)."""

    pid: int
    url: str
    started_at: float


@asynccontextmanager
async def starting(
    database_url: str, origin: str, key: str, *, roles: str = "scheduler,worker"
) -> AsyncIterator[Service]:
    """Start the program with its default settings, yield it at once, and end it.

    No client reaches the limit of requests, but each request is counted.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = {
        "API_KEY": API_KEY,
        "DATABASE_URL": database_url,
        "DISCORD_ORIGINS": origin,
        "ENCRYPTION_KEYS": key,
        "LOG_FORMAT": "json",
        "PORT": str(port),
        "RATE_LIMIT": "1000000/second",
        "ROLES": roles,
    }
    started_at = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "main.py",
        "serve",
        cwd=ROOT,
        env=settings,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Service(pid=process.pid, url=f"http://127.0.0.1:{port}", started_at=started_at)
    finally:
        await end(process)


async def ready(service: Service, path: str = "/health") -> float:
    """Wait until it can do all its work; return how many seconds after its start that was.

    Raises: RuntimeError, if it can't within READY_SECONDS.
    """
    async with aiohttp.ClientSession() as http:
        while time.monotonic() < service.started_at + READY_SECONDS:
            try:
                async with http.get(f"{service.url}{path}") as response:
                    if response.status == 200:
                        return time.monotonic() - service.started_at
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
    raise RuntimeError(f"the service was not ready in {READY_SECONDS:g} s")


@asynccontextmanager
async def running(database_url: str, origin: str, key: str) -> AsyncIterator[Service]:
    """Start the scheduler and the worker, and yield them ready."""
    async with starting(database_url, origin, key) as service:
        await ready(service)
        yield service

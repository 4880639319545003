"""The real program, started as `make run` starts it, and a client for its API."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bench.processes import end
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
API_KEY = "acceptance-key"
DEFAULTS = {
    "PORT": "0",
    "LOG_FORMAT": "json",
    "RATE_LIMIT": "100000/minute",
    "FAILED_KEY_LIMIT": "100000/minute",
}
START_SECONDS = 30.0
STOP_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class Service:
    """One running process; `output` is what it has printed so far."""

    process: asyncio.subprocess.Process
    http: aiohttp.ClientSession
    output: list[str] = field(default_factory=list)
    url: str = ""

    async def post(
        self,
        query: str,
        variables: Mapping[str, object] | None = None,
        *,
        key: str | None = API_KEY,
    ) -> tuple[int, Any]:
        """Send a GraphQL operation; return the HTTP status and the body."""
        headers = {"X-API-Key": key} if key else {}
        body = {"query": query, "variables": variables or {}}
        async with self.http.post(f"{self.url}/graphql", json=body, headers=headers) as response:
            return response.status, await response.json()

    async def data(self, query: str, variables: Mapping[str, object] | None = None) -> Any:
        """Send an operation that must succeed; return its data."""
        status, body = await self.post(query, variables)
        assert (status, body.get("errors")) == (200, None), body
        return body["data"]

    async def health(self) -> tuple[int, Any]:
        """Return the status and the body of /health."""
        async with self.http.get(f"{self.url}/health") as response:
            return response.status, await response.json()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), STOP_SECONDS)

    @property
    def text(self) -> str:
        """All that was printed."""
        return "".join(self.output)


async def program(*arguments: str, settings: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run a command that ends by itself; return its exit status and what it printed."""
    return await ended(await started(*arguments, settings=settings))


async def started(
    *arguments: str, settings: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start a command, whose output is a pipe."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "main.py",
        *arguments,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | dict(settings or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str]:
    """Wait for the end of a command; return its exit status and what it printed."""
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, output.decode()


@asynccontextmanager
async def running(settings: Mapping[str, str], *, command: str = "serve") -> AsyncIterator[Service]:
    """Start the program with these settings, wait until it is healthy, and end it afterwards."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "main.py",
        command,
        cwd=ROOT,
        env=inherited | DEFAULTS | dict(settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with following(process) as service:
        yield service


@asynccontextmanager
async def following(process: asyncio.subprocess.Process) -> AsyncIterator[Service]:
    """Wait until a program, whose output is a pipe, is healthy, and end it afterwards."""
    # A connection that is kept may be closed, as idle, by a copy that just went on after SIGSTOP.
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as http:
        service = Service(process=process, http=http)
        reading = asyncio.create_task(_read(service))
        try:
            await _wait_until_healthy(service)
            yield service
        finally:
            await end(process)  # it stops its embedded server, if it has time for that
            await reading


async def _read(service: Service) -> None:
    assert service.process.stdout is not None
    while line := await service.process.stdout.readline():
        service.output.append(line.decode())


async def _wait_until_healthy(service: Service) -> None:
    async def is_healthy() -> bool:
        assert service.process.returncode is None, service.text
        for line in service.output:
            if '"event":"started"' in line:
                address = line.split('"address":"')[1].split('"')[0]
                service.url = f"http://{address}"
        if not service.url:
            return False
        try:
            return (await service.health())[0] == 200
        except aiohttp.ClientError:
            return False

    try:
        await wait_until(is_healthy, what="healthy service", timeout_seconds=START_SECONDS)
    except AssertionError as error:
        raise AssertionError(f"{error}; it printed:\n{service.text}") from None

"""The sandbox, started as `make sandbox` starts it."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.acceptance.running import ROOT
from tests.waiting import wait_until

START_SECONDS = 60.0
STOP_SECONDS = 30.0
FREE_PORTS = ("--port", "0", "--service-port", "0")
SAMPLES = ("It works!", "Sample of the sandbox")
_LINES = re.compile(
    r"^Messages: (\S+)/ .*\nGraphiQL: (\S+)/graphql\nAPI key:  (\S+)\n", re.MULTILINE
)


@dataclass(slots=True, kw_only=True)
class Sandbox:
    """One running sandbox; the three addresses are what it has printed."""

    process: asyncio.subprocess.Process
    http: aiohttp.ClientSession
    output: list[str] = field(default_factory=list)
    url: str = ""
    service_url: str = ""
    key: str = ""

    @property
    def text(self) -> str:
        """All that was printed."""
        return "".join(self.output)

    async def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal, wait for the end, and return the exit status."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), STOP_SECONDS)

    async def details(self) -> dict[str, str]:
        """Return what the page tells of how to make a task."""
        async with self.http.get(f"{self.url}/details") as answer:
            told: dict[str, str] = await answer.json()
            return told

    async def data(self, query: str) -> Any:
        """Run an operation of the service's API, and return its data."""
        headers = {"X-API-Key": self.key}
        request = self.http.post(
            f"{self.service_url}/graphql", json={"query": query}, headers=headers
        )
        async with request as answer:
            read = await answer.json()
        assert "errors" not in read, read
        return read["data"]

    async def seen(self, *texts: str) -> list[dict[str, Any]]:
        """Return the messages up to the one with which each text was seen in some of them."""
        found: list[dict[str, Any]] = []
        missing = set(texts)
        async with (
            asyncio.timeout(START_SECONDS),
            self.http.get(f"{self.url}/events") as answer,
        ):
            while missing:
                line = (await answer.content.readline()).decode()
                assert line, self.text
                if line.startswith("data: "):
                    found.append(json.loads(line.removeprefix("data: ")))
                    missing -= {text for text in missing if text in line}
        return found


def command(data_dir: Path, ports: Sequence[str] = FREE_PORTS) -> list[str]:
    """Return the command line."""
    return [sys.executable, "-m", "sandbox", "--data-dir", str(data_dir), *ports]


@asynccontextmanager
async def sandboxed(
    data_dir: Path,
    *,
    ports: Sequence[str] = FREE_PORTS,
    settings: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
) -> AsyncIterator[Sandbox]:
    """Start a sandbox, wait for its three lines, and end it afterwards."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *command(data_dir, ports),
        cwd=cwd,
        env=inherited | {"PYTHONPATH": str(ROOT)} | dict(settings or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with aiohttp.ClientSession() as http:
        sandbox = Sandbox(process=process, http=http)
        reading = asyncio.create_task(_read(sandbox))
        try:
            await wait_until(
                lambda: _is_told(sandbox), what="sandbox", timeout_seconds=START_SECONDS
            )
            yield sandbox
        finally:
            if process.returncode is None:
                await sandbox.stop(signal.SIGTERM)
            await reading


async def _read(sandbox: Sandbox) -> None:
    assert sandbox.process.stdout is not None
    while line := await sandbox.process.stdout.readline():
        sandbox.output.append(line.decode())


def _is_told(sandbox: Sandbox) -> bool:
    assert sandbox.process.returncode is None, sandbox.text
    told = _LINES.search(sandbox.text)
    if told is None:
        return False
    sandbox.url, sandbox.service_url, sandbox.key = told.groups()
    return True

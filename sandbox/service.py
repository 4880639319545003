"""The service as a child process: the real program, on a folder and a database of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from settings import Settings

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 180.0
"""A first start makes a database; a slow disk takes its time."""
DRAIN_SECONDS = 5
"""SHUTDOWN_SECONDS of the service: the stand-in answers at once."""
STOP_SECONDS = 60.0
POLL_SECONDS = 0.1
LOG_CHARS = 2_000


class SandboxError(Exception):
    """The sandbox can't go on; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to start the service; `data_dir` is absolute, `discord` the stand-in's origin."""

    data_dir: Path
    port: int
    discord: str
    api_key: str = field(repr=False)

    @property
    def url(self) -> str:
        """Where the service answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """The file with what the service prints."""
        return self.data_dir / "service.log"


def environment(options: Options, given: Mapping[str, str]) -> dict[str, str]:
    """Return the service's environment: what is given, without any setting of the service.

    So a DATABASE_URL for real tasks stays out. A file .env is not read either: the service runs in
    `data_dir`, where there is none.
    """
    known = {str(setting.alias) for setting in Settings.model_fields.values()}
    kept = {name: value for name, value in given.items() if name not in known}
    return kept | {
        "API_KEY": options.api_key,
        "DATA_DIR": str(options.data_dir),
        "DISCORD_ORIGINS": options.discord,
        "ENVIRONMENT": "development",
        "GLOBAL_RATE_ORIGINS": options.discord,
        "HOST": "127.0.0.1",
        "PORT": str(options.port),
        "SHUTDOWN_SECONDS": str(DRAIN_SECONDS),
    }


@asynccontextmanager
async def running(
    options: Options, http: aiohttp.ClientSession
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start the service, yield it once it is healthy, and stop it. Raises: SandboxError."""
    with options.log.open("wb") as printed:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "main.py"),
            "serve",
            cwd=options.data_dir,
            env=environment(options, os.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            start_new_session=True,  # a Ctrl-C is for us, who stop it once
        )
    try:
        await _wait_until_healthy(process, options, http)
        yield process
    finally:
        await _stop(process)


def ended(options: Options) -> SandboxError:
    """Return the error for a service that ended by itself, with the end of its log."""
    last = options.log.read_text(errors="replace")[-LOG_CHARS:].strip()
    return SandboxError(f"the service ended; its log {options.log} ends with:\n{last}")


async def _wait_until_healthy(
    process: asyncio.subprocess.Process, options: Options, http: aiohttp.ClientSession
) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await _is_healthy(options, http):
                if process.returncode is not None:
                    raise ended(options)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise SandboxError(
            f"the service was not healthy in {START_SECONDS:.0f} s; its log: {options.log}"
        ) from None


async def _is_healthy(options: Options, http: aiohttp.ClientSession) -> bool:
    try:
        async with http.get(f"{options.url}/health") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()

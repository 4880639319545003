"""Processes that are measured from outside: started, waited for, and what they cost."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
READY_SECONDS = 120.0
STOP_SECONDS = 30.0
_BYTES_PER_MIB = 1_048_576


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, of a process, its children, and those that ended."""
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process and its children now, in MiB."""
    total = 0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / _BYTES_PER_MIB


def peak_mib(pid: int) -> float:
    """Return the most resident memory that a process and its children have had, in MiB."""
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess, OSError):
            status = Path(f"/proc/{process.pid}/status").read_text()
            total += int(status.partition("VmHWM:")[2].split()[0]) / 1024
    return total


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


@asynccontextmanager
async def child(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    folder: Path = ROOT,
    says: str = "",
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start a process; yield it with its first line that begins with `says`; end it after.

    Raises: RuntimeError, if it ended or READY_SECONDS passed before such a line.
    """
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **(env or {})}, cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process, await _line(process, says)
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process by SIGTERM, or after STOP_SECONDS by SIGKILL."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _line(process: asyncio.subprocess.Process, says: str) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_SECONDS):
            while line := await process.stdout.readline():
                if line.decode().startswith(says):
                    return line.decode().strip()
    except TimeoutError:
        raise RuntimeError(f"a process did not say {says!r} in {READY_SECONDS:g} s") from None
    raise RuntimeError(f"a process ended before it said {says!r}")

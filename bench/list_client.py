"""Asks for the same list again and again: `python -m bench.list_client URL SECONDS < query`.

It prints how many requests per second were answered, and the last answer's data.
"""

import asyncio
import sys
import time
from typing import Any

import aiohttp
import orjson
import uvloop

CONNECTIONS = 8
KEY = "the-admin-key"


async def load(url: str, seconds: float, query: str) -> dict[str, object]:
    """Send the query over CONNECTIONS connections for so long."""
    began, answered, last = time.perf_counter(), 0, b""

    async def ask(http: aiohttp.ClientSession) -> None:
        nonlocal answered, last
        while time.perf_counter() < began + seconds:
            async with http.post(f"{url}/graphql", json={"query": query}) as response:
                last = await response.read()
                assert response.status == 200, last
            answered += 1

    async with aiohttp.ClientSession(headers={"X-API-Key": KEY}) as http:
        await asyncio.gather(*(ask(http) for _ in range(CONNECTIONS)))
    per_second = answered / (time.perf_counter() - began)
    return {"requests": answered, "per_second": per_second, "answer": orjson.loads(last)}


async def ask(url: str, query: str, seconds: float) -> Any:  # noqa: ANN401 - JSON
    """Run `load` in a process of its own."""
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.list_client",
        url,
        str(seconds),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await client.communicate(query.encode())
    return orjson.loads(printed)


if __name__ == "__main__":
    measured = uvloop.run(load(sys.argv[1], float(sys.argv[2]), sys.stdin.read()))
    sys.stdout.buffer.write(orjson.dumps(measured))

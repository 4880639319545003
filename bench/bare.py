"""The limit of what one process can send: a loop over aiohttp that stores nothing."""

import asyncio
import time

import aiohttp

from bench.figures import Burst, cpu_seconds, received

CONNECTIONS = 64


async def run_bare(origin: str, requests: int) -> Burst:
    """Post so many messages over CONNECTIONS connections, as fast as it goes."""
    numbers = iter(range(requests))

    async def sender(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            url = f"{origin}/api/v10/webhooks/{10**17 + number}/{'x' * 68}?wait=true"
            async with session.post(url, json={"content": "hello"}) as response:
                await response.read()

    started, before = time.time(), cpu_seconds()
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(sender(session) for _ in range(CONNECTIONS)))
    spent = cpu_seconds() - before
    arrived = await received(origin)
    return Burst(
        last_request_ms=(max(arrived) - started) * 1000,
        cpu_ms_per_delivery=spent / requests * 1000,
        requests=len(arrived),
        rows=0,
    )

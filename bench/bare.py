"""The limit of what one process can send: a loop over aiohttp that stores nothing.

`python -m bench.bare ORIGIN REQUESTS WEBHOOKS TICK`: it says "ready", posts so many messages from
the tick on, says "done", and stays until it is ended.
"""

import asyncio
import sys
import time

import aiohttp
import uvloop

from bench.tasks import FIRST_WEBHOOK

CONNECTIONS = 64
_TOKEN = "x" * 68


async def post_all(origin: str, requests: int, webhooks: int, tick: float) -> None:
    """Post so many messages over CONNECTIONS connections, as fast as it goes."""
    numbers = iter(range(requests))

    async def sender(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            webhook = FIRST_WEBHOOK + number % webhooks
            url = f"{origin}/api/v10/webhooks/{webhook}/{_TOKEN}?wait=true"
            async with session.post(url, json={"content": "hello"}) as response:
                await response.read()

    async with aiohttp.ClientSession() as session:
        print("ready", flush=True)
        await asyncio.sleep(tick - time.time())
        await asyncio.gather(*(sender(session) for _ in range(CONNECTIONS)))
    print("done", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    given = sys.argv[1:]
    uvloop.run(post_all(given[0], int(given[1]), int(given[2]), float(given[3])))

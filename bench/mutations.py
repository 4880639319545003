"""Changes of tasks over the API, one after another."""

import time
from collections.abc import AsyncIterator, Mapping
from itertools import count

import aiohttp

from bench.service import API_KEY, Service
from bench.tasks import NEVER_SOON, webhook_url

# Beyond the numbers of all other tasks.
_FIRST = 10**9
_CREATE = "mutation($input: CreateTaskInput!) { createTask(input: $input) { id } }"
_UPDATE = """
mutation($id: UUID!, $input: UpdateTaskInput!) { updateTask(id: $id, input: $input) { id } }
"""


async def mutating(service: Service, origin: str) -> AsyncIterator[float]:
    """Create a task, change it twice, and so on; yield how many ms each took."""
    async with aiohttp.ClientSession(headers={"X-API-Key": API_KEY}) as http:
        for number in count(_FIRST):
            task = {
                "name": f"made {number} {time.time_ns()}",
                "schedule": NEVER_SOON,
                "webhookUrl": webhook_url(origin, number),
                "payload": {"content": "hello"},
            }
            began = time.monotonic()
            made = await _post(http, service, _CREATE, {"input": task})
            yield (time.monotonic() - began) * 1000
            for retries in (1, 2):
                change = {"id": made["createTask"]["id"], "input": {"maxRetry": retries}}
                began = time.monotonic()
                await _post(http, service, _UPDATE, change)
                yield (time.monotonic() - began) * 1000


async def _post(
    http: aiohttp.ClientSession, service: Service, query: str, variables: Mapping[str, object]
) -> dict[str, dict[str, str]]:
    body = {"query": query, "variables": variables}
    async with http.post(f"{service.url}/graphql", json=body) as response:
        answer = await response.json()
    if "errors" in answer:
        raise RuntimeError(f"a mutation failed: {answer['errors']}")
    data: dict[str, dict[str, str]] = answer["data"]
    return data

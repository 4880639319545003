"""The tasks that a sandbox begins with, made through the API like everybody's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sandbox.discord import Webhook
from sandbox.service import SandboxError

PAGE_TASKS = 100
_LIST = """query ($page: Int!, $limit: Int!) {
  tasks(page: $page, limit: $limit) { data { id name status webhookUrl } meta { totalPages } }
}"""
_CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id name status } }"
_UPDATE = """mutation ($id: UUID!, $input: UpdateTaskInput!) {
  updateTask(id: $id, input: $input) { id }
}"""
_TRIGGER = "mutation ($id: UUID!) { triggerTask(id: $id) { id } }"

HELLO = "Sandbox: hello"
REPORT = "Sandbox: report"
_SAMPLES: Mapping[str, Mapping[str, object]] = {
    REPORT: {
        "schedule": "*/5 * * * *",
        "payload": {
            "username": "Daily report",
            "embeds": [
                {
                    "title": "An embed",
                    "description": "Every five minutes: `*/5 * * * *`, with **markdown** inside.",
                    "color": 0x5865F2,
                    "fields": [
                        {"name": "Delivered", "value": "1,024", "inline": True},
                        {"name": "Late", "value": "0", "inline": True},
                        {"name": "Lost", "value": "0", "inline": True},
                    ],
                    "footer": {"text": "Sample of the sandbox"},
                }
            ],
        },
    },
    HELLO: {
        "schedule": "* * * * *",
        "payload": {
            "username": "Hello",
            "content": "**It works!** This message comes every minute: its schedule is "
            "`* * * * *`.\nMake a task of your own: *Make a task* tells how.",
        },
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The service's GraphQL API."""

    http: aiohttp.ClientSession
    url: str
    key: str = field(repr=False)

    async def data(self, query: str, variables: Mapping[str, object]) -> Any:  # noqa: ANN401 - JSON
        """Run an operation and return its data. Raises: SandboxError, aiohttp.ClientError."""
        body = {"query": query, "variables": variables}
        headers = {"X-API-Key": self.key}
        async with self.http.post(f"{self.url}/graphql", json=body, headers=headers) as answer:
            read = await answer.json()
        if "errors" in read:
            raise SandboxError(f"the API answered: {read['errors'][0]['message']}")
        return read["data"]


async def begin(api: Api, webhook: Webhook, origin: str) -> None:
    """Make the sample tasks if there is no task, and run those that are there now.

    Tasks whose URL has another port, from a start on that one, get this one's URL.
    """
    tasks = await _tasks(api)
    await _follow(api, tasks, webhook, origin)
    if not tasks:
        tasks = [
            await _create(api, name, sample, webhook.url(origin))
            for name, sample in _SAMPLES.items()
        ]
    for task in tasks:
        if task["name"] in _SAMPLES and task["status"] != "INACTIVE":
            await api.data(_TRIGGER, {"id": task["id"]})


def own_task(url: str) -> dict[str, object]:
    """Return the input of a task for the page to show; `url` is the webhook's."""
    return {
        "name": "My first task",
        "schedule": "* * * * *",
        "webhookUrl": url,
        "payload": {"content": "Hello from my own task!"},
    }


def as_mutation(url: str) -> str:
    """Return the mutation that makes `own_task`, for GraphiQL."""
    # GraphQL's literals are JSON's, but for the names of fields.
    lines = [f"    {name}: {_literal(value)}" for name, value in own_task(url).items()]
    return "\n".join(["mutation {", "  createTask(input: {", *lines, "  }) { id nextRunAt }", "}"])


def as_command(api_url: str, key: str, url: str) -> str:
    """Return the command for a shell that makes `own_task`; nothing in it holds a quote."""
    body = json.dumps({"query": _CREATE, "variables": {"input": own_task(url)}})
    return (
        f"curl {api_url}/graphql -H 'X-API-Key: {key}' \\\n"
        f"  -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )


def _literal(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name}: {_literal(one)}" for name, one in value.items()) + " }"
    return json.dumps(value)


async def _tasks(api: Api) -> list[dict[str, Any]]:
    tasks: list[dict[str, Any]] = []
    page, pages = 1, 1
    while page <= pages:
        found = (await api.data(_LIST, {"page": page, "limit": PAGE_TASKS}))["tasks"]
        tasks += found["data"]
        page, pages = page + 1, found["meta"]["totalPages"]
    return tasks


async def _create(api: Api, name: str, sample: Mapping[str, object], url: str) -> dict[str, Any]:
    # Missed ticks are of no use here: each start runs the samples anyway.
    task = {"name": name, "webhookUrl": url, "misfirePolicy": "SKIP", **sample}
    created: dict[str, Any] = (await api.data(_CREATE, {"input": task}))["createTask"]
    return created


async def _follow(api: Api, tasks: list[dict[str, Any]], webhook: Webhook, origin: str) -> None:
    path = f"/api/webhooks/{webhook.id}/"
    for task in tasks:
        shown = task["webhookUrl"]
        if path in shown and not shown.startswith(f"{origin}/"):
            # Its ticks of the last seconds may have been refused for the old port.
            status = {"status": "ACTIVE"} if task["status"] == "FAILED" else {}
            change = {"webhookUrl": webhook.url(origin), **status}
            await api.data(_UPDATE, {"id": task["id"], "input": change})

"""`make screenshots`: take the pictures in docs from the real program."""

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.acceptance.running import API_KEY, ROOT, Service, running
from tests.acceptance.sandboxes import sandboxed
from tests.e2e.browser import browsing
from tests.e2e.graphiql import GraphiQL
from tests.fake_discord import FakeDiscord

GRAPHIQL = ROOT / "docs" / "graphiql.png"
SANDBOX = ROOT / "docs" / "sandbox.png"
CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
TASKS = (
    ("Standup", "0 9 * * 1-5", "Europe/Berlin", "Standup in five minutes."),
    ("Raid reminder", "0 20 * * FRI", "America/New_York", "Raid in an hour!"),
    ("Daily report", "@daily", "UTC", "Yesterday's numbers are there."),
)


async def main() -> None:
    """Take the pictures named in the arguments, `graphiql` and `sandbox`; all without any."""
    pictures = {"graphiql": (GRAPHIQL, _graphiql), "sandbox": (SANDBOX, _sandbox)}
    for name in sys.argv[1:] or pictures:
        path, take = pictures[name]
        with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
            picture = await take(Path(folder) / "data")
        await asyncio.to_thread(path.write_bytes, picture)


async def _graphiql(data_dir: Path) -> bytes:
    """Create some tasks, and run the example query in GraphiQL."""
    async with FakeDiscord() as fake:
        settings = {
            "API_KEY": API_KEY,
            "DATA_DIR": str(data_dir),
            "DISCORD_ORIGINS": fake.origin,
        }
        async with running(settings) as service:
            await _create_tasks(service, fake)
            picture = await _picture(service)
            await service.stop()
    return picture


async def _sandbox(data_dir: Path) -> bytes:
    """Wait for the messages of the samples."""
    async with sandboxed(data_dir) as sandbox, browsing() as page:
        await page.resize(1200, 620, is_dark=True)
        await page.open(f"{sandbox.url}/")
        samples = "document.querySelectorAll('article').length >= 2"
        await page.wait_for(samples, what="sample messages")
        await page.wait_for("document.getElementById('apiKey').textContent", what="key")
        return await page.screenshot()


async def _create_tasks(service: Service, fake: FakeDiscord) -> None:
    for name, schedule, zone, content in TASKS:
        task = {
            "name": name,
            "schedule": schedule,
            "timezone": zone,
            "webhookUrl": fake.url(),
            "payload": {"content": content},
        }
        await service.data(CREATE, {"input": task})


async def _picture(service: Service) -> bytes:
    async with browsing() as page:
        graphiql = GraphiQL(page)
        await graphiql.open(f"{service.url}/graphql")
        await graphiql.use_key(API_KEY)
        await graphiql.wait_for_state("key accepted")
        await graphiql.wait_for_docs("Query")
        await graphiql.run("Tasks")
        return await page.screenshot()


if __name__ == "__main__":
    asyncio.run(main())

"""`make screenshots`: take the pictures in docs from the real program."""

import asyncio
import tempfile

from tests.acceptance.running import API_KEY, ROOT, Service, running
from tests.e2e.browser import browsing
from tests.e2e.graphiql import GraphiQL
from tests.fake_discord import FakeDiscord

PICTURE = ROOT / "docs" / "graphiql.png"
CREATE = "mutation ($input: CreateTaskInput!) { createTask(input: $input) { id } }"
TASKS = (
    ("Standup", "0 9 * * 1-5", "Europe/Berlin", "Standup in five minutes."),
    ("Raid reminder", "0 20 * * FRI", "America/New_York", "Raid in an hour!"),
    ("Daily report", "@daily", "UTC", "Yesterday's numbers are there."),
)


async def main() -> None:
    """Create some tasks, run the example query in GraphiQL, and write the picture."""
    with tempfile.TemporaryDirectory(prefix="screenshots-") as folder:
        async with FakeDiscord() as fake:
            settings = {
                "API_KEY": API_KEY,
                "DATA_DIR": f"{folder}/data",
                "DISCORD_ORIGINS": fake.origin,
            }
            async with running(settings) as service:
                await _create_tasks(service, fake)
                picture = await _picture(service)
                await service.stop()
    await asyncio.to_thread(PICTURE.write_bytes, picture)


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

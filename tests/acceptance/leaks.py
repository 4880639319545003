"""Where a secret may show: all that the program says and keeps, searched for pieces of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson
from aiohttp import web

from engine.masking import mask_words
from models.orm import credentials
from sandbox.discord_rules import VIA
from tests.acceptance.running import Service
from tests.fake_discord_behaviours import Behaviour, Body, response

PIECE_CHARS = 16
TABLES = """
select table_name from information_schema.tables
where table_schema = 'public' and table_type = 'BASE TABLE'
"""
READ_ALL = """
{
  tasks(limit: 20) {
    data {
      id name schedule scheduleDescription timezone webhookUrl payload maxRetry status statusReason
      failureThreshold overlapPolicy misfirePolicy misfireGraceSeconds deliveryGuarantee createdAt
      updatedAt nextRunAt nextRuns lastLog { ...log }
      logs(limit: 5) { data { ...log } meta { total } }
    }
    meta { page limit total totalPages }
  }
  logs(limit: 100) { data { ...log task { name webhookUrl } } meta { total } }
  auditLogs(limit: 100) {
    data { id at actor action taskId changes ip requestId } meta { total }
  }
  dashboardStats {
    total active inactive failed queued nextRunAt
    last24h {
      succeeded failed retried skipped successRate latenessMsP50 latenessMsP99
    }
  }
  engineStatus { instanceId scheduledJobs queued inFlight lastTickAt startedAt }
  schedulePreview(schedule: "@daily") { description timezone nextRuns }
  __schema { types { name description fields { name description } } }
}
fragment log on TaskLog {
  id runId taskId trigger scheduledFor executionTime finishedAt status retryCount httpStatus
  durationMs latenessMs discordMessageId skippedFrom skippedCount message createdAt
}
"""


def pieces(secret: str) -> set[str]:
    """Return its beginning, its middle and its end, as text and as bytes are written."""
    middle = len(secret) // 2
    texts = (secret[:PIECE_CHARS], secret[middle : middle + PIECE_CHARS], secret[-PIECE_CHARS:])
    return {piece for text in texts for piece in (text, text.encode().hex())}


@dataclass(slots=True)
class Places:
    """Texts by the place where they were found."""

    texts: list[tuple[str, str]] = field(default_factory=list)

    def add(self, place: str, text: object) -> None:
        """Add what was found at a place."""
        self.texts.append((place, str(text)))

    def leaks(self, secrets: dict[str, str]) -> list[str]:
        """Return which secret shows at which place; never the secret itself."""
        return [
            f"{name} in {place}"
            for name, secret in secrets.items()
            for place, text in self.texts
            if any(piece in text for piece in pieces(secret))
        ]


@dataclass(slots=True)
class Client:
    """Sends to the service, and keeps every answer, its headers too."""

    service: Service
    places: Places
    key: str

    async def send(self, method: str, path: str, **more: Any) -> str:
        """Send a request with the key unless `headers` are given; return the answer's text."""
        headers = more.pop("headers", {"X-API-Key": self.key})
        url = f"{self.service.url}{path}"
        request = self.service.http.request(
            method, url, headers=headers, allow_redirects=False, **more
        )
        async with request as answer:
            text = await answer.text()
            place = f"the answer to {method} {path[:10]}: {answer.status} {mask_words(text)[:150]}"
            self.places.add(place, f"{dict(answer.headers)} {text}")
            return text

    async def post(self, query: str, variables: object = None, **more: object) -> Any:
        """Send an operation, wrong or right; return the answer."""
        body = {"query": query, "variables": variables, **more}
        return orjson.loads(await self.send("POST", "/graphql", json=body))

    async def read_everything(self) -> None:
        """Ask for all that the API and the pages tell."""
        assert "errors" not in await self.post(READ_ALL)
        for path in ("/metrics", "/health", "/health/live"):
            await self.send("GET", path)


async def everything_in(database_url: str, places: Places) -> int:
    """Add all rows of all tables and what the server's sessions last ran; return how many rows."""
    connection = await asyncpg.connect(**credentials(database_url))
    try:
        rows = 0
        for (table,) in await connection.fetch(TABLES):
            for (text,) in await connection.fetch(f'select t::text from "{table}" t'):
                places.add(f"table {table}", text)
                rows += 1
        for (text,) in await connection.fetch("select a::text from pg_stat_activity a"):
            places.add("pg_stat_activity", text)
    finally:
        await connection.close()
    return rows


def echo(status: int, make: Callable[[str, str], Body], **headers: str) -> Behaviour:
    """Answer with what `make` makes of the URL and the token that were asked for.

    In the headers `URL` stands for the URL.
    """

    async def behave(request: web.BaseRequest) -> web.StreamResponse:
        url, token = str(request.url), request.path.rpartition("/")[2]
        told = {name: text.replace("URL", url) for name, text in headers.items()}
        return response(status, make(url, token), VIA | told)

    return behave

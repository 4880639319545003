"""Many ACTIVE tasks, each on a webhook of its own whose id tells its number."""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.cipher import WebhookCipher
from engine.discord import parse_webhook_url
from models.database import Database
from models.fields import uuid7

FIRST_WEBHOOK = 10**17
NEVER_SOON = "0 9 1 1 *"
_TOKEN = "x" * 68
_COLUMNS = [
    "id", "name", "schedule", "timezone", "webhook_url", "webhook_url_masked", "webhook_id",
    "webhook_key", "origin", "payload", "max_retry", "status", "failure_threshold",
    "overlap_policy", "misfire_policy", "misfire_grace_seconds", "delivery_guarantee",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """When a task ticks; with `overlap` ALLOW a late run doesn't skip the next one."""

    schedule: str
    zone: str = "UTC"
    overlap: str = "SKIP"


async def insert_tasks(
    database: Database, cipher: WebhookCipher, origin: str, plans: Iterable[Plan], *, first: int = 0
) -> None:
    """Insert a task for each plan; their webhooks are numbered from `first` on."""
    rows = [_row(cipher, origin, plan, number) for number, plan in enumerate(plans, start=first)]
    async with database.connection() as connection:
        await connection.copy_records_to_table("tasks", records=rows, columns=_COLUMNS, timeout=300)
        await connection.execute("analyze tasks, task_cursors")


def webhook_url(origin: str, number: int) -> str:
    """Return the address of a webhook."""
    return f"{origin}/api/webhooks/{FIRST_WEBHOOK + number}/{_TOKEN}"


def number_of(webhook_id: str) -> int:
    """Return a webhook's number."""
    return int(webhook_id) - FIRST_WEBHOOK


def _row(cipher: WebhookCipher, origin: str, plan: Plan, number: int) -> tuple[object, ...]:
    address = parse_webhook_url(webhook_url(origin, number), origins=[origin])
    return (
        uuid7(), f"task {number}", plan.schedule, plan.zone, cipher.encrypt(address.url),
        address.masked, address.webhook_id, address.key, origin, '{"content":"hello"}', 3, "ACTIVE",
        1, plan.overlap, "FIRE_ONCE", 300, "AT_LEAST_ONCE",
    )  # fmt: skip


def every(seconds: int, offset: int) -> str:
    """Return the schedule of one tick every so many seconds, a divisor of 60 or of an hour."""
    if seconds <= 60:
        return (
            f"{offset % seconds}-59/{seconds} * * * * *"
            if seconds < 60
            else (f"{offset % 60} * * * * *")
        )
    minutes = seconds // 60
    return f"{offset % 60} {offset // 60 % minutes}-59/{minutes} * * * *"

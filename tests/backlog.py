"""Make many tasks and queued attempts, each kind by one statement."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from engine.cipher import WebhookCipher
from engine.discord import parse_webhook_url
from models.database import Database
from models.fields import uuid7
from tests.fake_discord import FakeDiscord
from tests.tasks import NEVER_SOON

_TASKS = f"""
insert into tasks (id, name, schedule, timezone, webhook_url, webhook_url_masked, webhook_id,
    webhook_key, origin, payload, max_retry, status, failure_threshold, overlap_policy,
    misfire_policy, misfire_grace_seconds, delivery_guarantee)
select id, 'backlog ' || id, '{NEVER_SOON}', 'UTC', url, masked, webhook_id, webhook_key, $6,
    '{{"content": "hello"}}', 3, 'ACTIVE', 1, 'ALLOW', 'FIRE_ONCE', 300, 'AT_LEAST_ONCE'
from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[])
    as u (id, url, masked, webhook_id, webhook_key)
"""

# Attempt n of a task is due n steps before now, but the last of them now.
_ATTEMPTS = """
with queued as (
    insert into task_logs (id, run_id, task_id, webhook_key, trigger, scheduled_for,
        execution_time, deadline_at, status)
    select id, id, task_id, webhook_key, 'SCHEDULE', at, at, now() + interval '1 hour', 'QUEUED'
    from (
        select gen_random_uuid() as id, t.id as task_id, t.webhook_key,
            now() - (n - 1) * $3::interval as at
        from tasks t, generate_series(1, $2::int) as n where t.id = any($1::uuid[])
    ) a
)
insert into webhook_lanes (webhook_key, origin, next_at)
select distinct webhook_key, origin, now() - ($2::int - 1) * $3::interval from tasks
where id = any($1::uuid[])
on conflict (webhook_key) do update set next_at = excluded.next_at
"""


async def add_tasks(
    database: Database, cipher: WebhookCipher, fake: FakeDiscord, count: int
) -> list[UUID]:
    """Insert so many ACTIVE tasks that don't tick soon, each on a webhook of its own."""
    ids = [uuid7() for _ in range(count)]
    addresses = [parse_webhook_url(fake.url(), origins=[fake.origin]) for _ in ids]
    async with database.connection() as connection:
        await connection.execute(
            _TASKS,
            ids,
            [cipher.encrypt(address.url) for address in addresses],
            [address.masked for address in addresses],
            [address.webhook_id for address in addresses],
            [address.key for address in addresses],
            fake.origin,
        )
    return ids


async def queue_attempts(
    database: Database,
    task_ids: Sequence[UUID],
    each: int,
    *,
    step: timedelta,
    analyze: bool = True,
) -> None:
    """Queue so many attempts of each of these tasks: the newest due now, the others before it.

    With `analyze` the database's statistics know of them.
    """
    async with database.connection() as connection:
        await connection.execute(_ATTEMPTS, task_ids, each, step)
        if analyze:
            await connection.execute("analyze tasks, task_cursors, task_logs, webhook_lanes")

"""Give back claims that were not sent, so that any copy may claim the attempts again."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from engine.claims import Claim
from models.database import Connection

_RELEASE = """
with released as (
    update task_logs l set claimed_by = null, started_at = null
    from unnest($2::uuid[], $3::timestamptz[]) as r (id, started_at)
    where l.id = r.id and l.started_at = r.started_at and l.claimed_by = $1
        and l.status = 'QUEUED'
    returning l.webhook_key
)
update webhook_lanes l set owner = null
from released r where l.webhook_key = r.webhook_key and l.owner = $1
"""

_RELEASE_ALL_BUT = """
with released as (
    update task_logs set claimed_by = null, started_at = null
    where claimed_by = $1 and status = 'QUEUED' and id <> all($2::uuid[])
        and started_at <= clock_timestamp() - $3::interval
    returning webhook_key
)
update webhook_lanes l set owner = null
from released r where l.webhook_key = r.webhook_key and l.owner = $1
"""


async def release(connection: Connection, *, instance_id: UUID, claims: Sequence[Claim]) -> None:
    """Give back claims that were not sent; their lanes stay due."""
    await connection.execute(
        _RELEASE,
        instance_id,
        [claim.log_id for claim in claims],
        [claim.started_at for claim in claims],
    )


async def release_all_but(
    connection: Connection, *, instance_id: UUID, log_ids: Sequence[UUID], age_seconds: float
) -> None:
    """Give back the claims of this copy that are older than that, except these."""
    await connection.execute(_RELEASE_ALL_BUT, instance_id, log_ids, timedelta(seconds=age_seconds))

"""The feed: each finished attempt gets the next number, in the order of commits, without gaps."""

from collections.abc import Sequence
from uuid import UUID

from models.database import Connection

FEED_CHANNEL = "task_scheduler_feed"

# The others hear of it at the commit.
_ASSIGN = """
with given as (
    update feed_counter set n = n + cardinality($1::uuid[]) where id = 1
    returning n, pg_notify('task_scheduler_feed', '')
)
update task_logs l set feed_id = given.n - cardinality($1::uuid[]) + f.place
from given, unnest($1::uuid[]) with ordinality as f (id, place)
where l.id = f.id
"""


async def assign_feed_ids(connection: Connection, log_ids: Sequence[UUID]) -> None:
    """Number these rows, which this transaction finished.

    To be called as the last statement of the transaction: the counter's row is locked until the
    commit, which makes the order of the numbers the order of the commits.
    """
    if log_ids:
        await connection.execute(_ASSIGN, log_ids)

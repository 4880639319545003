"""Read the feed: what finished after a position, oldest first, in pages of bounded work."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from models.database import Database

# The most numbers that one page walks over, so that a task with few entries costs a bounded time.
SPAN: Final = 5_000

# Whether the task is there is asked row by row: a join might read all tasks. Numbers are visible
# in order, so nothing at or before `last` can appear later.
_PAGE: Final = """
with span as materialized (
    select f.feed_id as first, least(f.feed_id + $4::bigint - 1, n.feed_id) as last,
        n.feed_id as newest
    from (select feed_id from task_logs where feed_id > $1 order by feed_id limit 1) f,
        (select max(feed_id) as feed_id from task_logs) n
)
select s.last, s.newest, e.* from span s left join lateral (
    select l.* from task_logs l
    where l.feed_id between s.first and s.last and ($2::uuid is null or l.task_id = $2)
        and (select t.deleted_at is null from tasks t where t.id = l.task_id)
    order by l.feed_id limit $3
) e on true
order by e.feed_id
"""
_END: Final = "select coalesce(max(feed_id), 0) from task_logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """Rows of task_logs, oldest first; the next page begins after `position`."""

    entries: tuple[Mapping[str, Any], ...]
    position: int
    has_more: bool


class FeedReader:
    """Reads the feed. Every method raises DatabaseUnavailable when the server is gone."""

    def __init__(self, database: Database, *, span: int = SPAN) -> None:
        self._database = database
        self._span = span

    async def page(self, after: int, limit: int, task_id: UUID | None = None) -> FeedPage:
        """Return up to `limit` entries after a position, of one task or of all.

        Those of deleted tasks are passed over. A page may have no entries and yet have more after
        it: a position that moved is progress.
        """
        rows = await self._database.read(_PAGE, after, task_id, limit + 1, self._span)
        if not rows:
            return FeedPage(entries=(), position=after, has_more=False)
        found = tuple(dict(row) for row in rows if row["feed_id"] is not None)
        if len(found) > limit:
            entries = found[:limit]
            return FeedPage(entries=entries, position=entries[-1]["feed_id"], has_more=True)
        last, newest = rows[0]["last"], rows[0]["newest"]
        return FeedPage(entries=found, position=last, has_more=last < newest)

    async def end(self) -> int:
        """Return the position after the newest entry."""
        (row,) = await self._database.read(_END)
        return int(row[0])

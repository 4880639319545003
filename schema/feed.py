"""The feed in the API: pages by cursor, and attempts as they finish."""

import base64
import re
from collections.abc import AsyncIterator
from typing import Annotated, Final, Self
from uuid import UUID

import strawberry
from graphql import GraphQLError

from engine.feed_reader import FeedPage
from engine.live_feed import ListenerTooSlow
from schema.context import Info
from schema.documented import object_type, subscription
from schema.errors import ErrorCode
from schema.log_statements import LOG_FIELDS
from schema.records import Row
from schema.types import TaskLog

field = strawberry.field

# A version, and the position. What a cursor holds may change; clients only give it back.
_CURSOR: Final = re.compile(r"1:([0-9]{1,18})")

OnlyOfTask = Annotated[UUID | None, strawberry.argument(description="Only attempts of this task.")]


@object_type
class LogFeed:
    """Finished attempts in the order in which they were stored, each exactly once."""

    entries: list[TaskLog] = field(
        description="The attempts, oldest first. Those of deleted tasks are left out."
    )
    cursor: str = field(
        description="Give it as `after` to go on after these entries, at any later time."
    )
    has_more: bool = field(
        description="Whether to ask again at once, also if there are no entries: the feed goes on."
    )

    @classmethod
    def of(cls, page: FeedPage) -> Self:
        """Return the page as the API shows it."""
        return cls(
            entries=[_log(row) for row in page.entries],
            cursor=cursor_at(page.position),
            has_more=page.has_more,
        )


@object_type
class Subscription:
    """What can be followed, over a websocket."""

    @subscription
    async def task_logs(
        self, info: Info, task_id: OnlyOfTask = strawberry.UNSET
    ) -> AsyncIterator[TaskLog]:
        """Each attempt as it finishes, from now on.

        Who reads too slowly gets RATE_LIMITED after the last attempt that was kept, with
        `extensions.cursor` to go on from there by `logFeed`.
        """
        async with info.context.services.engine.live_feed.listen(task_id or None) as listener:
            try:
                async for row in listener:
                    yield _log(row)
            except ListenerTooSlow as error:
                raise _too_slow(error) from error


def cursor_at(position: int) -> str:
    """Return the cursor that stands after a position of the feed."""
    return base64.urlsafe_b64encode(f"1:{position}".encode()).decode()


def position_of(cursor: str) -> int | None:
    """Return where a cursor stands; None if it is none."""
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except ValueError:
        return None
    match = _CURSOR.fullmatch(text)
    return int(match[1]) if match else None


def _log(row: Row) -> TaskLog:
    """Return the attempt of a row, which has the engine's own columns too."""
    return TaskLog.of({name: row[name] for name in LOG_FIELDS})


def _too_slow(error: ListenerTooSlow) -> GraphQLError:
    return GraphQLError(
        "Too many attempts finished before they were read. Go on with logFeed, after the cursor "
        "in this error's extensions; then subscribe again.",
        extensions={"code": ErrorCode.RATE_LIMITED.value, "cursor": cursor_at(error.position)},
    )

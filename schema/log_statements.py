"""The statements that read logs: pages and totals, by what is asked for.

A status stands in a statement's text, so that the indexes for it alone can be used. Few rows are
in no roll-up yet, and few are those of deleted tasks: both are counted one by one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from engine.log_counts import HIDDEN, UNCOUNTED
from models.enums import LogStatus
from schema.records import Span

LOG_FIELDS: Final = (
    "id",
    "run_id",
    "task_id",
    "trigger",
    "scheduled_for",
    "execution_time",
    "finished_at",
    "status",
    "retry_count",
    "http_status",
    "duration_ms",
    "lateness_ms",
    "discord_message_id",
    "skipped_from",
    "skipped_count",
    "message",
    "created_at",
)
NEAR_ROWS: Final = 1_000
"""Pages that end within so many rows are found by passing over what is before them."""

_COLUMNS: Final = ", ".join(f"l.{name}" for name in LOG_FIELDS)
_NEWEST: Final = "order by execution_time desc, id desc"
_IS_SHOWN: Final = "l.task_id not in (select id from hidden)"
_IS_LIVE: Final = "exists (select from tasks t where t.id = {task} and t.deleted_at is null)"
_HOUR_OF: Final = "date_bin('1 hour', {at}, 'epoch')"
# The rows follow their keys one by one; a join could read all of a table that looks small.
_ROWS_OF: Final = "lateral (select * from task_logs where id = p.id limit 1) l"

_PAGE: Final = f"""
with {HIDDEN}
select {_COLUMNS} from (
    select l.id, l.execution_time from {{logs}} l where {{where}}
    {_NEWEST} limit {{limit}} offset {{offset}}
) p cross join {_ROWS_OF}
order by p.execution_time desc, p.id desc
"""

# Which hours the page lies in is told by their numbers of rows; only their rows are read. An hour
# without a number may have rows.
_PAGE_BY_HOURS: Final = f"""
with {HIDDEN}, {UNCOUNTED}, changes as (
    select hour, n from log_hours l where {{status}} and {{whole_hours}}
    union all
    select {_HOUR_OF.format(at="l.execution_time")}, 1 from uncounted l
    where {{status}} and {{whole}}
    union all
    select c.hour, -c.n from hidden h cross join lateral (
        select {_HOUR_OF.format(at="l.execution_time")} as hour, count(*) as n from task_logs l
        where l.task_id = h.id and {{status}} and {{whole}} group by 1
    ) c
    union all
    {{edges}}
), hours as (
    select hour, coalesce(sum(n), 0) as n, bool_or(n is null) as is_open
    from changes group by hour having sum(n) > 0 or bool_or(n is null)
), placed as (
    select hour, n, is_open, sum(n) over (order by hour desc) - n as before from hours
), chosen as (
    select hour, greatest({{skipped}} - before, 0)::bigint as skipped from placed
    where (is_open or before + n > {{skipped}}) and before < {{skipped}} + {{read}}
)
select {_COLUMNS} from (
    select p.id, p.execution_time from chosen c cross join lateral (
        select l.id, l.execution_time from task_logs l
        where l.execution_time >= c.hour and l.execution_time < c.hour + interval '1 hour'
            and {{where}}
        {_NEWEST} offset c.skipped limit {{read}}
    ) p
    {_NEWEST} limit {{limit}} offset {{offset}}
) p cross join {_ROWS_OF}
order by p.execution_time desc, p.id desc
"""
# The hours in which a range begins and ends are in no roll-up: counted for far pages alone.
_OPEN_EDGES: Final = """
select hour, null from (values ({first}), ({last})) as e (hour) where isfinite(hour)
"""
_COUNTED_EDGES: Final = f"""
select {{first}}, count(*) from task_logs l where {{first_part}} and {{status}} and {_IS_SHOWN}
union all
select {{last}}, count(*) from task_logs l where {{last_part}} and {{status}} and {_IS_SHOWN}
"""

_PAGES_OF_TASKS: Final = f"""
select {_COLUMNS} from unnest({{tasks}}::uuid[]) as asked(id) cross join lateral (
    select l.id, l.execution_time from task_logs l
    where l.task_id = asked.id and {{status}} {_NEWEST} limit {{limit}} offset {{offset}}
) p cross join {_ROWS_OF}
order by l.task_id, p.execution_time desc, p.id desc
"""

_TOTAL: Final = f"""
with {HIDDEN}, {UNCOUNTED}
select (select coalesce(sum(n), 0) from log_hours l where {{status}})
    + (select count(*) from uncounted l where {{status}} and {_IS_SHOWN})
    - (select coalesce(sum(c.n), 0) from hidden h cross join lateral (
        select sum(n) as n from log_task_counts l where l.task_id = h.id and {{status}}) c)
"""

# Whole hours from the roll-ups, and by an index what of the range is before and after them.
_RANGE_TOTAL: Final = f"""
with {HIDDEN}, {UNCOUNTED}
select (select coalesce(sum(n), 0) from log_hours l where {{status}} and {{whole_hours}})
    + (select count(*) from uncounted l where {{status}} and {{whole}})
    - (select coalesce(sum(c.n), 0) from hidden h cross join lateral (
        select count(*) as n from task_logs l
        where l.task_id = h.id and {{status}} and {{whole}}) c)
    + (select count(*) from task_logs l where {{first_part}} and {{status}} and {_IS_SHOWN})
    + (select count(*) from task_logs l where {{last_part}} and {{status}} and {_IS_SHOWN})
"""

_TOTALS_OF_TASKS: Final = f"""
with {UNCOUNTED}
select task_id, sum(n)::bigint as total from (
    select task_id, n from log_task_counts l where l.task_id = any({{tasks}}::uuid[]) and {{status}}
    union all
    select task_id, 1 from uncounted l where l.task_id = any({{tasks}}::uuid[]) and {{status}}
) c group by task_id having sum(n) > 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogFilter:
    """Which logs; None is no condition. Both dates belong to the range of execution times."""

    task_id: UUID | None = None
    status: LogStatus | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None


class Query(NamedTuple):
    """A statement and its values."""

    text: str
    values: tuple[object, ...]


def page(wanted: LogFilter, span: Span, *, near_rows: int = NEAR_ROWS) -> Query:
    """Return what reads one page, newest execution time first."""
    parts = _Parts(wanted)
    limit, offset = parts.put(span.limit, "int"), parts.put(span.offset, "bigint")
    is_far = span.offset + span.limit > near_rows
    if _is_by_hours(wanted, is_far):
        text = _page_by_hours(parts, limit, offset, is_far)
    else:
        # Few rows are queued, but the planner can't be sure, and might look through all others.
        fenced = f"(select * from task_logs l where {parts.where} offset 0)"
        logs = fenced if wanted.status == LogStatus.QUEUED else "task_logs"
        text = _PAGE.format(logs=logs, where=parts.where, limit=limit, offset=offset)
    return Query(text, tuple(parts.values))


def total(wanted: LogFilter) -> Query:
    """Return what counts the logs in one number."""
    parts = _Parts(wanted)
    has_range = wanted.date_from is not None or wanted.date_to is not None
    if wanted.task_id is not None and has_range:
        text = f"select count(*) from task_logs l where {parts.where}"
    elif wanted.task_id is not None:
        totals = _TOTALS_OF_TASKS.format(tasks=f"array[{parts.task}]", status=parts.status)
        is_live = _IS_LIVE.format(task=parts.task)
        text = f"select coalesce((select total from ({totals}) t where {is_live}), 0)"
    elif has_range:
        text = _RANGE_TOTAL.format(**parts.hours())
    else:
        text = _TOTAL.format(status=parts.status)
    return Query(text, tuple(parts.values))


def pages_of_tasks(task_ids: list[UUID], status: LogStatus | None, span: Span) -> Query:
    """Return what reads the same page of logs for each task, none of which is deleted."""
    text = _PAGES_OF_TASKS.format(
        tasks="$1", status=_Parts(LogFilter(status=status)).status, limit="$2", offset="$3"
    )
    return Query(text, (task_ids, span.limit, span.offset))


def totals_of_tasks(task_ids: list[UUID], status: LogStatus | None) -> Query:
    """Return what counts the logs of each task, none of which is deleted; none is no row."""
    status_text = _Parts(LogFilter(status=status)).status
    return Query(_TOTALS_OF_TASKS.format(tasks="$1", status=status_text), (task_ids,))


def _page_by_hours(parts: "_Parts", limit: str, offset: str, is_far: bool) -> str:
    """Return what passes over hours, or for a near page over rows alone."""
    hours = parts.hours()
    edges = (_COUNTED_EDGES if is_far else _OPEN_EDGES).format(**hours)
    skipped, read = (offset, limit) if is_far else ("0", f"({offset} + {limit})")
    rest = "0" if is_far else offset
    return _PAGE_BY_HOURS.format(
        **hours,
        edges=edges,
        where=parts.where,
        skipped=skipped,
        read=read,
        limit=limit,
        offset=rest,
    )


def _is_by_hours(wanted: LogFilter, is_far: bool) -> bool:
    """Return whether the page is found by the number of rows in each hour.

    Near pages of all logs, of a task or of a rare status are the first in an index. There is none
    by SUCCESS: these are most rows, or are far from each other when nearly everything fails.
    """
    if wanted.task_id is not None or wanted.status == LogStatus.QUEUED:
        return False
    return is_far or wanted.status == LogStatus.SUCCESS


class _Parts:
    """Conditions on `l`, and the values that they name."""

    def __init__(self, wanted: LogFilter) -> None:
        self.values: list[object] = []
        self.status = f"l.status = '{LogStatus(wanted.status).value}'" if wanted.status else "true"
        self.task = wanted.task_id and self.put(wanted.task_id, "uuid")
        self._since = wanted.date_from and self.put(wanted.date_from, "timestamptz")
        self._until = wanted.date_to and self.put(wanted.date_to, "timestamptz")

    def put(self, value: object, kind: str) -> str:
        """Return how a statement names the value."""
        self.values.append(value)
        return f"${len(self.values)}::{kind}"

    @property
    def where(self) -> str:
        """Return all conditions."""
        task = f"l.task_id = {self.task} and {_IS_LIVE.format(task=self.task)}"
        return _all(task if self.task else _IS_SHOWN, self.status, *self._range())

    def hours(self) -> dict[str, str]:
        """Return the range in parts: whole hours, and what lies before the first, after the last.

        A range within one hour has no whole one, and is all in the part before.
        """
        since, until = self._since, self._until
        first = begin = "'-infinity'::timestamptz"
        last = "'infinity'::timestamptz"
        if since:
            first = _HOUR_OF.format(at=since)
            at = f"{since} + interval '1 hour' - interval '1 microsecond'"
            begin = _HOUR_OF.format(at=at)
        if until:
            last = _HOUR_OF.format(at=until)
        first_part = _all(*self._range(), f"l.execution_time < {begin}") if since else "false"
        last_part = f"l.execution_time >= greatest({begin}, {last})" if until else "false"
        return {
            "status": self.status,
            "first": first,
            "last": last,
            "whole_hours": f"l.hour >= {begin} and l.hour < {last}",
            "whole": f"l.execution_time >= {begin} and l.execution_time < {last}",
            "first_part": first_part,
            "last_part": _all(last_part, *self._range()),
        }

    def _range(self) -> list[str]:
        since = f"l.execution_time >= {self._since}" if self._since else ""
        until = f"l.execution_time <= {self._until}" if self._until else ""
        return [part for part in (since, until) if part]


def _all(*conditions: str) -> str:
    return " and ".join(conditions) or "true"

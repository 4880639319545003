"""How the runs of the last 24 hours went, from the roll-ups."""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, floor
from typing import Any, Final

from engine.log_counts import HIDDEN, UNCOUNTED
from models.enums import LogStatus

# What stands in place of a bucket for an attempt that is not the first, or was not sent.
NO_BUCKET: Final = -32768

# Whole hours and minutes from the roll-ups; by indexes what of the day is before them, in no
# roll-up yet, or of a deleted task.
_SINCE: Final = "statement_timestamp() - interval '24 hours'"
_MINUTE: Final = f"(date_bin('1 minute', {_SINCE}, 'epoch') + interval '1 minute')"
_HOUR: Final = f"(date_bin('1 hour', {_SINCE}, 'epoch') + interval '1 hour')"
RUNS: Final = f"""
with {HIDDEN}, {UNCOUNTED}, runs as (
    select status, is_first, bucket, n, lateness_ms from log_lateness r
    where r.span_seconds = 3600 and r.start >= {_HOUR}
    union all
    select status, is_first, bucket, n, lateness_ms from log_lateness r
    where r.span_seconds = 60 and r.start >= {_MINUTE} and r.start < {_HOUR}
    union all
    select l.status, l.retry_count = 0, lateness_bucket(l.retry_count, l.lateness_ms), l.n,
        l.n * greatest(0.1, least(l.lateness_ms, 1e12))
    from (
        select l.status, l.retry_count, l.lateness_ms, 1 as n from task_logs l
        where l.execution_time > {_SINCE} and l.execution_time < {_MINUTE}
            and l.task_id not in (select id from hidden)
        union all
        select l.status, l.retry_count, l.lateness_ms, 1 from uncounted l
        where l.execution_time >= {_MINUTE} and l.task_id not in (select id from hidden)
        union all
        select l.status, l.retry_count, l.lateness_ms, -1
        from hidden h cross join lateral (
            select * from task_logs where task_id = h.id and execution_time >= {_MINUTE} offset 0
        ) l
        where l.feed_id <= (select counted from log_fold)
    ) l
)
select status, is_first, bucket, sum(n)::bigint as n, sum(lateness_ms) as lateness_ms
from runs group by status, is_first, bucket having sum(n) > 0
"""  # noqa: S608 - constants of ours
"""What reads the groups that `run_stats` takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStats:
    """How runs went; the rate is between 0 and 1, or None while none has ended."""

    succeeded: int
    failed: int
    retried: int
    skipped: int
    success_rate: float | None
    lateness_ms_p50: float | None
    lateness_ms_p99: float | None


def run_stats(groups: Iterable[Mapping[str, Any]]) -> RunStats:
    """Return the figures of attempts in groups of one status, `is_first` and `bucket`.

    A run ends with its one SUCCESS, FAILED or SKIPPED row, and is retried after its attempt 0.
    """
    counts: Counter[str] = Counter()
    retried = 0
    lateness: defaultdict[int, list[float]] = defaultdict(lambda: [0, 0.0])
    for group in groups:
        counts[group["status"]] += group["n"]
        if group["is_first"] and group["status"] == LogStatus.RETRYING:
            retried += group["n"]
        if group["bucket"] != NO_BUCKET:
            lateness[group["bucket"]][0] += group["n"]
            lateness[group["bucket"]][1] += group["lateness_ms"]
    ended = counts[LogStatus.SUCCESS] + counts[LogStatus.FAILED]
    buckets = [(int(n), total / n) for _, (n, total) in sorted(lateness.items())]
    return RunStats(
        succeeded=counts[LogStatus.SUCCESS],
        failed=counts[LogStatus.FAILED],
        retried=retried,
        skipped=counts[LogStatus.SKIPPED],
        success_rate=counts[LogStatus.SUCCESS] / ended if ended else None,
        lateness_ms_p50=_percentile(buckets, 0.5),
        lateness_ms_p99=_percentile(buckets, 0.99),
    )


def _percentile(buckets: Sequence[tuple[int, float]], fraction: float) -> float | None:
    """Return the value at a fraction of all, between two if it is, or None without any.

    Each bucket is a number of values and their mean, which stands for each of them.
    """
    total = sum(n for n, _ in buckets)
    if not total:
        return None
    place = fraction * (total - 1)
    below, above = _at(buckets, floor(place)), _at(buckets, ceil(place))
    return round(below + (above - below) * (place % 1), 3)


def _at(buckets: Sequence[tuple[int, float]], place: int) -> float:
    """Return the value of which so many are less."""
    ends = list(accumulate(n for n, _ in buckets))
    return buckets[bisect_right(ends, place)][1]

"""Every instrument of the service; what HTTP shows of them is web's business."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_WAIT_SECONDS: Final = (0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)

TICKS = Counter("scheduler_ticks_total", "Ticks stored, by what became of them.", ["outcome"])
DELIVERIES = Counter("scheduler_attempts_total", "Attempts that ended, by status.", ["status"])
RATE_LIMITED = Counter("scheduler_rate_limited_total", "429 answers, by what they held.", ["waits"])
REQUEST_SECONDS = Histogram(
    "scheduler_request_duration_seconds", "Request sent to answer read.", buckets=_SECONDS
)
LATENESS_SECONDS = Histogram(
    "scheduler_tick_lateness_seconds", "Tick to request sent, first attempts.", buckets=_SECONDS
)
BUCKET_WAIT_SECONDS = Histogram(
    "scheduler_bucket_wait_seconds",
    "How long a due attempt waited for its webhook's limits and order, of attempts sent.",
    buckets=_WAIT_SECONDS,
)
INVALID = Counter("scheduler_invalid_requests_total", "Answers that Discord bans addresses for.")
JOBS = Gauge("scheduler_jobs", "Coroutine jobs registered in this process.")
IN_FLIGHT = Gauge("scheduler_attempts_in_flight", "Attempts claimed by this process.")
QUEUE_DEPTH = Gauge(
    "scheduler_queue_depth",
    "Attempts of all copies that wait or are in flight, counted up to 100,000.",
)
QUEUE_AGE_SECONDS = Gauge(
    "scheduler_queue_age_seconds", "How long the oldest due attempt of all copies has been due."
)
POOL_CONNECTIONS = Gauge(
    "scheduler_pool_connections", "Database connections of this process's pool.", ["state"]
)
POOL_LIMIT = Gauge("scheduler_pool_limit_connections", "The most connections that it may have.")
PART_HEALTH = Gauge(
    "scheduler_part_health", "1: ok, or not in this process; 0.5: degraded; 0: down.", ["part"]
)
CACHE_READS = Counter("scheduler_cache_reads_total", "Readings of the cache.", ["outcome"])
OPERATIONS = Counter(
    "scheduler_graphql_operations_total",
    "GraphQL operations, by name, and by the code of their first error or ok.",
    ["operation", "outcome"],
)
HTTP_SECONDS = Histogram(
    "scheduler_http_request_duration_seconds",
    "Requests to this process, by status.",
    ["status"],
    buckets=_SECONDS,
)

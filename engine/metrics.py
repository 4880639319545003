"""Every instrument of the service; what HTTP shows of them is web's business."""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

TICKS = Counter("scheduler_ticks_total", "Ticks stored, by what became of them.", ["outcome"])
DELIVERIES = Counter("scheduler_attempts_total", "Attempts that ended, by status.", ["status"])
RATE_LIMITED = Counter("scheduler_rate_limited_total", "429 answers, by what they held.", ["waits"])
REQUEST_SECONDS = Histogram(
    "scheduler_request_duration_seconds", "Request sent to answer read.", buckets=_SECONDS
)
LATENESS_SECONDS = Histogram(
    "scheduler_tick_lateness_seconds", "Tick to request sent, first attempts.", buckets=_SECONDS
)
INVALID = Counter("scheduler_invalid_requests_total", "Answers that Discord bans addresses for.")
JOBS = Gauge("scheduler_jobs", "Coroutine jobs registered in this process.")
IN_FLIGHT = Gauge("scheduler_attempts_in_flight", "Attempts claimed by this process.")
CACHE_READS = Counter("scheduler_cache_reads_total", "Readings of the cache.", ["outcome"])

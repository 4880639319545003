"""The states and policies of tasks and runs, stored as text."""

from enum import StrEnum


class TaskStatus(StrEnum):
    """Whether a task ticks."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    FAILED = "FAILED"


class LogStatus(StrEnum):
    """What became of one attempt."""

    QUEUED = "QUEUED"
    SUCCESS = "SUCCESS"
    RETRYING = "RETRYING"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    UNKNOWN = "UNKNOWN"


class RunTrigger(StrEnum):
    """What made a run."""

    SCHEDULE = "SCHEDULE"
    MANUAL = "MANUAL"
    CATCH_UP = "CATCH_UP"


class OverlapPolicy(StrEnum):
    """What a tick does while an earlier run of its task is unfinished."""

    SKIP = "SKIP"
    ALLOW = "ALLOW"


class MisfirePolicy(StrEnum):
    """What becomes of ticks that were missed while nothing was running."""

    SKIP = "SKIP"
    FIRE_ONCE = "FIRE_ONCE"
    FIRE_ALL = "FIRE_ALL"


class DeliveryGuarantee(StrEnum):
    """What to do when nobody can tell whether a request was posted."""

    AT_LEAST_ONCE = "AT_LEAST_ONCE"
    AT_MOST_ONCE = "AT_MOST_ONCE"


class AuditAction(StrEnum):
    """What was done, and is kept in the audit log."""

    TASK_CREATED = "TASK_CREATED"
    TASK_UPDATED = "TASK_UPDATED"
    TASK_DELETED = "TASK_DELETED"
    TASK_TOGGLED = "TASK_TOGGLED"
    TASK_TRIGGERED = "TASK_TRIGGERED"
    TASKS_RELOADED = "TASKS_RELOADED"
    TASK_FAILED = "TASK_FAILED"

"""How many logs there are: roll-ups of the finished rows that have a place in the feed.

They are written by the functions of migration 5 alone. The key of each table is all of its columns
but the numbers; the ORM knows no such keys, and is told of one column.
"""

from tortoise import fields
from tortoise.models import Model

from models.enums import LogStatus


class LogFold(Model):
    """One row: the logs up to this feed_id are in the roll-ups; who changes those locks it."""

    id = fields.SmallIntField(primary_key=True, generated=False, db_default=1)
    counted = fields.BigIntField(db_default=0)

    class Meta:
        table = "log_fold"


class LogTaskCount(Model):
    """How many logs of a status a task has."""

    task_id = fields.UUIDField(primary_key=True)
    status = fields.CharEnumField(LogStatus, max_length=8)
    n = fields.BigIntField()

    class Meta:
        table = "log_task_counts"


class LogHour(Model):
    """How many logs of a status have their execution time in an hour (of UTC)."""

    hour = fields.DatetimeField(primary_key=True)
    status = fields.CharEnumField(LogStatus, max_length=8)
    n = fields.BigIntField()

    class Meta:
        table = "log_hours"


class LogLateness(Model):
    """What the dashboard tells of a minute or an hour; those of longer ago than a day are removed.

    The bucket is the lateness of first attempts, see `lateness_bucket` in migration 5, or -32768.
    """

    span_seconds = fields.SmallIntField(primary_key=True, generated=False, description="60 or 3600")
    start = fields.DatetimeField()
    status = fields.CharEnumField(LogStatus, max_length=8)
    is_first = fields.BooleanField(description="attempt 0 of its run")
    bucket = fields.SmallIntField()
    n = fields.BigIntField()
    lateness_ms = fields.FloatField(description="the sum")

    class Meta:
        table = "log_lateness"


class RemovedTask(Model):
    """A task whose row was removed by hand: its logs are as those of a deleted task."""

    task_id = fields.UUIDField(primary_key=True)

    class Meta:
        table = "removed_tasks"

"""The record of every attempt."""

from tortoise import fields
from tortoise.fields.db_defaults import Now
from tortoise.models import Model

from models.enums import LogStatus, RunTrigger
from models.fields import DigestField, uuid7


class TaskLog(Model):
    """One attempt: one HTTP request, or one or more ticks that were deliberately not sent.

    `task_id` and `webhook_key` are no foreign keys: those would lock the task's row at every tick.
    """

    id = fields.UUIDField(primary_key=True, default=uuid7)
    run_id = fields.UUIDField(description="shared by all attempts of one run")
    task_id = fields.UUIDField()
    webhook_key = DigestField(description="the lane it waits in")
    trigger = fields.CharEnumField(RunTrigger, max_length=8)
    scheduled_for = fields.DatetimeField(description="the tick")
    execution_time = fields.DatetimeField(description="when it is due; never changes")
    deadline_at = fields.DatetimeField(description="after this its run is given up")
    status = fields.CharEnumField(LogStatus, max_length=8)
    retry_count = fields.SmallIntField(db_default=0)
    claimed_by = fields.UUIDField(null=True)
    started_at = fields.DatetimeField(null=True, description="when it was claimed to be sent")
    finished_at = fields.DatetimeField(null=True)
    http_status = fields.SmallIntField(null=True)
    duration_ms = fields.FloatField(null=True)
    lateness_ms = fields.FloatField(null=True)
    discord_message_id = fields.CharField(max_length=20, null=True)
    skipped_from = fields.DatetimeField(null=True)
    skipped_count = fields.IntField(null=True)
    message = fields.TextField(null=True)
    feed_id = fields.BigIntField(null=True, description="its place in the order of commits")
    created_at = fields.DatetimeField(db_default=Now())

    class Meta:
        table = "task_logs"

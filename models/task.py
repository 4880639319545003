"""Tasks, and how far the ticks of each are accounted for."""

from tortoise import fields
from tortoise.fields.db_defaults import Now
from tortoise.models import Model

from models.enums import DeliveryGuarantee, MisfirePolicy, OverlapPolicy, TaskStatus
from models.fields import DigestField, JSONTextField, uuid7


class Task(Model):
    """One webhook message and its schedule.

    The database itself raises `version`, sets `updated_at` and keeps the cursor's row, by triggers,
    so that SQL written by hand is seen by the engine too.
    """

    id = fields.UUIDField(primary_key=True, default=uuid7)
    name = fields.CharField(max_length=100)
    schedule = fields.CharField(max_length=120)
    timezone = fields.CharField(max_length=64)
    webhook_url = fields.TextField(description="encrypted")
    webhook_url_masked = fields.CharField(max_length=400)
    webhook_id = fields.CharField(max_length=20)
    webhook_key = DigestField(description="SHA-256 of id/token")
    origin = fields.CharField(max_length=255, description="whose limits and outages it shares")
    payload = JSONTextField()
    max_retry = fields.SmallIntField()
    status = fields.CharEnumField(TaskStatus, max_length=8)
    status_reason = fields.TextField(null=True)
    failure_threshold = fields.SmallIntField()
    overlap_policy = fields.CharEnumField(OverlapPolicy, max_length=5)
    misfire_policy = fields.CharEnumField(MisfirePolicy, max_length=9)
    misfire_grace_seconds = fields.IntField()
    delivery_guarantee = fields.CharEnumField(DeliveryGuarantee, max_length=13)
    version = fields.BigIntField(db_default=1)
    created_at = fields.DatetimeField(db_default=Now())
    updated_at = fields.DatetimeField(db_default=Now())
    deleted_at = fields.DatetimeField(null=True)

    class Meta:
        table = "tasks"

    def __repr__(self) -> str:
        return f"<Task {self.id} {self.status}>"


class TaskCursor(Model):
    """Every tick of the task up to `cursor` is accounted for in `task_logs`."""

    task_id = fields.UUIDField(primary_key=True)
    cursor = fields.DatetimeField()
    failures_in_row = fields.IntField(db_default=0)

    class Meta:
        table = "task_cursors"

"""Who changed what, kept longer than the task itself."""

from tortoise import fields
from tortoise.fields.db_defaults import Now
from tortoise.models import Model

from models.enums import AuditAction
from models.fields import JSONTextField, uuid7


class AuditLog(Model):
    """One change; `changes` is {field: {"from": …, "to": …}} with secrets masked."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    at = fields.DatetimeField(db_default=Now())
    actor = fields.CharField(max_length=100)
    action = fields.CharEnumField(AuditAction, max_length=14)
    task_id = fields.UUIDField(null=True)
    changes = JSONTextField()
    ip = fields.CharField(max_length=45, null=True)
    request_id = fields.CharField(max_length=64, null=True)

    class Meta:
        table = "audit_logs"

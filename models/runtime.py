"""What the running copies share: lanes, origins, instances, and two single rows."""

from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from models.fields import DigestField


class WebhookLane(Model):
    """One webhook: the unit of work, of order and of rate limiting; one open request at most."""

    webhook_key = DigestField(primary_key=True)
    origin = fields.CharField(max_length=255)
    next_at = fields.DatetimeField(
        null=True, description="when to claim it next; null: nothing waits"
    )
    fresh_at = fields.DatetimeField(
        null=True, description="when something came to wait where nothing did; null once it is sent"
    )
    open_at = fields.DatetimeField(null=True, description="its limits allow no request before this")
    owner = fields.UUIDField(null=True, description="the instance with an open request")
    recent_sends = ArrayField(element_type="timestamptz", db_default=SqlDefault("'{}'"))
    channel_id = fields.CharField(max_length=20, null=True)
    dead_reason = fields.TextField(null=True)
    outage_at = fields.DatetimeField(
        null=True, description="when its last request found Discord away; null after any answer"
    )

    class Meta:
        table = "webhook_lanes"


class WebhookChannel(Model):
    """A channel that an answer named; several webhooks of one channel share its limit."""

    channel_id = fields.CharField(max_length=20, primary_key=True)
    webhook_key = DigestField(description="the first webhook that was seen to post there")
    is_shared = fields.BooleanField(db_default=False)
    recent_sends = ArrayField(
        element_type="timestamptz",
        db_default=SqlDefault("'{}'"),
        description="newest first; one in the future stands for an open request",
    )
    held_until = fields.DatetimeField(null=True)
    opens_at = fields.DatetimeField(null=True, description="its limits allow none before this")

    class Meta:
        table = "webhook_channels"


class InvalidRequests(Model):
    """How many requests Discord refused in a minute in the way that it bans addresses for."""

    minute = fields.DatetimeField(primary_key=True)
    count = fields.IntField()

    class Meta:
        table = "invalid_requests"


class Origin(Model):
    """A server that webhooks live on: its budget, whether it holds us off, whether it is down."""

    origin = fields.CharField(max_length=255, primary_key=True)
    next_slot_at = fields.DatetimeField(null=True, description="when its budget is full again")
    held_until = fields.DatetimeField(null=True)
    hold_seconds = fields.FloatField(null=True, description="the last hold; the next one is longer")
    down_since = fields.DatetimeField(null=True)
    next_probe_at = fields.DatetimeField(null=True, description="one request may try it then")

    class Meta:
        table = "origins"


class EngineInstance(Model):
    """A running copy; one whose heartbeat stopped is dead, and its work is taken over."""

    id = fields.UUIDField(primary_key=True)
    seen_at = fields.DatetimeField()
    started_at = fields.DatetimeField()
    roles = fields.CharField(max_length=64)

    class Meta:
        table = "engine_instances"


class FeedCounter(Model):
    """The last feed_id given; one row, locked as the last statement of each finish."""

    id = fields.SmallIntField(primary_key=True, generated=False, db_default=1)
    n = fields.BigIntField(db_default=0)

    class Meta:
        table = "feed_counter"


class EngineState(Model):
    """One row: a known text, encrypted; a copy that can't read it has the wrong keys."""

    id = fields.SmallIntField(primary_key=True, generated=False, db_default=1)
    canary = fields.TextField(null=True)

    class Meta:
        table = "engine_state"

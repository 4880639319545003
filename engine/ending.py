"""How one claimed attempt ended, as it goes from the delivery to the record."""

from dataclasses import dataclass
from datetime import datetime

from engine.claims import Claim
from engine.verdict import Stops
from models.enums import LogStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How one claimed attempt ended.

    Status QUEUED gives the attempt back, to be sent again. RETRYING needs `retry_in_seconds`.
    `lane_pause_seconds` is what the webhook itself must rest; `knows_bucket` says that its
    headers told its limit. With `holds_origin` the whole origin rests: for `hold_seconds`, or, if
    that is None, for a minute, doubled each time. With `holds_channel` all webhooks of the channel
    rest like this one. `counted_at` is when Discord counted the request at the latest, None if it
    never got there. `is_outage` says that Discord was not there. `counts_as_failure` makes a
    FAILED run count towards the task's failureThreshold.
    """

    claim: Claim
    status: LogStatus
    message: str | None = None
    http_status: int | None = None
    duration_ms: float | None = None
    lateness_ms: float | None = None
    message_id: str | None = None
    channel_id: str | None = None
    counted_at: datetime | None = None
    counts_as_failure: bool = False
    stops: Stops = Stops.RUN
    retry_in_seconds: float | None = None
    lane_pause_seconds: float = 0.0
    knows_bucket: bool = False
    holds_channel: bool = False
    holds_origin: bool = False
    hold_seconds: float | None = None
    is_outage: bool = False
    counts_as_invalid: bool = False

    @property
    def has_answer(self) -> bool:
        """Whether Discord itself answered, whatever it said."""
        return self.http_status is not None and not self.is_outage

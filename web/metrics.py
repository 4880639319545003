"""GET /metrics: every instrument, in Prometheus' text format, for those who have a key."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from engine.gauges import Gauges
from schema.keys import KeyRing
from web.rate_limits import ClientLimits, refused_key
from web.requests import authenticate


class Metrics:
    """The page that Prometheus reads."""

    def __init__(self, keys: KeyRing, limits: ClientLimits, gauges: Gauges) -> None:
        self._keys = keys
        self._limits = limits
        self._gauges = gauges

    async def page(self, request: Request) -> Response:
        """Answer with the values of all instruments."""
        if authenticate(self._keys, request) is None:
            return await refused_key(self._limits, request)
        await self._gauges.refresh()
        return Response(generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})

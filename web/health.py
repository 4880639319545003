"""GET /health/live: the process answers. GET /health: it can do its work."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from engine.engine import Engine
from engine.health import PartHealth
from web.answers import json_answer

TIMEOUT_SECONDS: Final = 5.0
_NOT_KEPT: Final = {"Cache-Control": "no-store"}


class Health:
    """The two pages that orchestrators ask; neither needs a key."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def live(self, request: Request) -> Response:
        """Answer 200, whatever else is broken."""
        return json_answer({"status": "ok"}, headers=_NOT_KEPT)

    async def ready(self, request: Request) -> Response:
        """Answer 503 when a part is down, else 200; a degraded part still works."""
        parts = await self._parts()
        states = {part.state for part in parts.values()}
        status = next((state for state in ("down", "degraded") if state in states), "ok")
        shown = {name: asdict(part) for name, part in parts.items()}
        return json_answer(
            {"status": status, "parts": shown},
            503 if status == "down" else 200,
            headers=_NOT_KEPT,
        )

    async def _parts(self) -> Mapping[str, PartHealth]:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await self._engine.health()
        except TimeoutError:
            detail = f"gave no answer within {TIMEOUT_SECONDS:g} s"
            return {"engine": PartHealth(state="down", detail=detail)}

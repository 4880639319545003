"""GET /.well-known/security.txt: whom to tell about a weakness. Source: RFC 9116."""

from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

# Source: RFC 9116, section 2.5.5.
LONGEST: Final = timedelta(days=365)


class SecurityTxt:
    """The page; it never changes while the process runs."""

    def __init__(self, *, contact: str, expires: datetime | None, started_at: datetime) -> None:
        until = (expires or started_at + LONGEST).astimezone(UTC)
        self._text = (
            f"Contact: {contact}\nExpires: {until:%Y-%m-%dT%H:%M:%SZ}\nPreferred-Languages: en\n"
        )

    async def page(self, request: Request) -> Response:
        """Answer with the text; it needs no key."""
        return PlainTextResponse(self._text)

"""The one HTTP client that posts to Discord."""

import math
import os
import socket
import ssl
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from engine.discord import WebhookAddress
from engine.verdict import Answer, FailureKind, TransportFailure

USER_AGENT = "DiscordBot (https://discord-task-scheduler.invalid, 1.0.0)"
"""The form that Discord asks for; .invalid is nobody's site. Source: Discord docs; RFC 2606."""

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 1_048_576
DNS_CACHE_SECONDS = 60
KEEP_ALIVE_SECONDS = 15.0
"""Shorter than Discord's own, so that a request seldom meets a connection that is being closed."""


class DiscordClient:
    """Posts messages over kept connections; one for the whole process, used by `async with`."""

    def __init__(
        self,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        user_agent: str = USER_AGENT,
        max_connections: int = 0,
    ) -> None:
        """`timeout_seconds` is for one whole request; zero `max_connections` is no bound."""
        # aiohttp rounds timeouts from its threshold on up to whole seconds.
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, ceil_threshold=math.inf)
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Make ready to post from the running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._max_connections,
                ttl_dns_cache=DNS_CACHE_SECONDS,
                keepalive_timeout=KEEP_ALIVE_SECONDS,
            ),
            timeout=self._timeout,
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close every connection; requests still open end as failures."""
        if self._session is not None:
            await self._session.close()

    async def post(
        self, address: WebhookAddress, body: bytes, *, with_components: bool
    ) -> Answer | TransportFailure:
        """Send one request, once, and return what came of it.

        `body` is the JSON message. Trouble of the network is returned, never raised.
        Raises: RuntimeError when the client is not open.
        """
        if self._session is None:
            raise RuntimeError("the client is not open")
        url = URL(address.request_url(with_components=with_components), encoded=True)
        payload = _TrackedBody(body)
        try:
            async with self._session.post(url, data=payload, allow_redirects=False) as response:
                return await _read(response)
        except (aiohttp.ClientError, OSError) as error:
            return _failure(error, sent=payload.left)


class _TrackedBody(aiohttp.payload.BytesPayload):
    """A JSON body that knows whether its request began to leave."""

    def __init__(self, value: bytes) -> None:
        super().__init__(value, content_type="application/json")
        self.left = False

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        # Even the headers leave only with this first write.
        self.left = True
        await super().write_with_length(writer, content_length)


async def _read(response: aiohttp.ClientResponse) -> Answer:
    """Read the body as far as it comes, within the request's timeout."""
    body = bytearray()
    complete = False
    try:
        while len(body) <= MAX_ANSWER_BYTES:
            chunk = await response.content.readany()
            if not chunk:
                complete = True
                break
            body += chunk
    except (aiohttp.ClientError, OSError):
        pass
    if not complete:
        response.close()
    return Answer(
        status=response.status,
        headers=response.headers,
        body=bytes(body[:MAX_ANSWER_BYTES]),
        complete=complete,
    )


def _failure(error: Exception, *, sent: bool) -> TransportFailure:
    """Name what failed, from parts that can't hold the URL."""
    match error:
        case TimeoutError():
            kind, text = FailureKind.TIMEOUT, "no answer in time"
        case aiohttp.ClientConnectorDNSError():
            kind, text = FailureKind.DNS, "the host's name was not found"
        case aiohttp.ClientSSLError():
            kind, text = FailureKind.TLS, "no trusted TLS connection"
        case aiohttp.ClientResponseError():
            kind, text = FailureKind.PROTOCOL, "the answer was no HTTP"
        case _ if not sent:
            kind, text = FailureKind.CONNECT, "could not connect"
        case _:
            kind, text = FailureKind.RESET, "the connection was lost before an answer"
    reason = _reason(error)
    return TransportFailure(kind=kind, sent=sent, message=f"{text} ({reason})" if reason else text)


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    elif isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    match error:
        case ssl.SSLCertVerificationError():
            return str(error.verify_message)
        case ssl.SSLError():
            return str(error.reason)
        case socket.gaierror():
            return str(error.strerror)
        case OSError(errno=int(number)):
            return os.strerror(number)
        case _:
            return ""

"""Connections to clients that take their time: uvicorn alone waits for them without end."""

import asyncio
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

log = structlog.get_logger(__name__)


class _CutsOff(asyncio.Protocol):
    """Cuts off a client that doesn't take what is written to it, also of a connection that closes.

    A transport closes only once its buffer is empty.
    """

    UNREAD_SECONDS = 30.0
    """For the client to take what is written to it."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _unread_timer: asyncio.TimerHandle | None = None
    _is_lost = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        super().connection_lost(exc)
        self._is_lost = True
        self._is_read()

    def pause_writing(self) -> None:
        """Stop writing: the client doesn't keep up."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        if not self.transport.is_closing():
            self._is_read()

    def _await_reading(self) -> None:
        if self._unread_timer is None and not self._is_lost:
            self._unread_timer = self.loop.call_later(self.UNREAD_SECONDS, self.transport.abort)

    def _is_read(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None


class BoundedHttp(_CutsOff, HttpToolsProtocol):
    """uvicorn's protocol, with bounds for what a client may take of time, memory and connections.

    The body of a request has a bound of its own, in BodyLimit, which can answer.
    """

    HEAD_SECONDS = 10.0
    """For the line and the headers of a request, from the connection or from the first byte."""
    MAX_HEAD_BYTES = 65_536
    MAX_CONNECTIONS = 500
    """Files are few, and the database and Discord need some of them."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as the base has it
        super().__init__(*args, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_in_head = self._is_idle = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the base has it
        """Take the connection, unless there are too many that are in use."""
        super().connection_made(transport)
        if len(self.connections) > self.MAX_CONNECTIONS and not self._make_room():
            log.warning("connections_exhausted", most=self.MAX_CONNECTIONS)
            transport.abort()
            return
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget what was waited for."""
        super().connection_lost(exc)
        self._head_is_here()

    def data_received(self, data: bytes) -> None:
        """Parse what came; while no request is open, the next one's head is waited for."""
        self._head_bytes += len(data)
        super().data_received(data)
        if self._is_in_head and self._head_bytes > self.MAX_HEAD_BYTES:
            self.transport.abort()
        elif self._is_idle and self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._is_idle = self._is_in_head = False
        self._head_is_here()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that what comes next is another head."""
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Close a connection that is not kept alive, also if the client takes nothing of it."""
        super().on_response_complete()
        # Another request may have come meanwhile.
        self._is_idle = self.cycle.response_complete
        if self.transport.is_closing():
            self._await_reading()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also if the client takes nothing of it."""
        super().timeout_keep_alive_handler()
        self._await_reading()

    def _make_room(self) -> bool:
        """Cut the connection that has been idle for longest; return whether there was one."""
        idle = {
            each.timeout_keep_alive_task.when(): each.transport
            for each in self.connections
            if isinstance(each, BoundedHttp) and each.timeout_keep_alive_task is not None
            # What was cut for another new one is still among them.
            if not each.transport.is_closing()
        }
        if idle:
            idle[min(idle)].abort()
        return bool(idle)

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.HEAD_SECONDS, self.transport.abort)

    def _head_is_here(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class BoundedSocket(_CutsOff, WebSocketsSansIOProtocol):
    """uvicorn's websocket, with bounds for what a client takes of time and memory.

    The service is the first to send only once it knows the client. Until then whatever comes is
    counted, so that its connections don't take as much memory each as the longest message.
    """

    MAX_FIRST_BYTES = 16_384
    """For the introduction, and whatever else comes before the first answer."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as the base has it
        super().__init__(*args, **options)
        self._first_bytes = 0
        self._is_known = False

    def data_received(self, data: bytes) -> None:
        """Take what came; the first is the request for the upgrade, which BoundedHttp bounded."""
        if self.handshake_initiated and not self._is_known:
            self._first_bytes += len(data)
            if self._first_bytes > self.MAX_FIRST_BYTES:
                self._refuse()
                return
        super().data_received(data)
        self._await_closing()

    async def run_asgi(self) -> None:
        """Serve the socket; then it is closed, perhaps after a while for the client's last word."""
        await super().run_asgi()
        self._await_reading()

    def keepalive_timeout(self) -> None:
        """Close a socket whose client is silent."""
        super().keepalive_timeout()
        self._await_closing()

    async def send(self, message: Any) -> None:  # noqa: ANN401 - as the base has it
        """Send; with the first message the client is known."""
        self._is_known = self._is_known or message["type"] == "websocket.send"
        await super().send(message)

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "Too much before the introduction")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.transport.close()
            self._await_reading()

    def _await_closing(self) -> None:
        if self.transport.is_closing():
            self._await_reading()

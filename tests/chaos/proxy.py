"""A way to PostgreSQL that can be closed: the network of one copy, which fails that copy only."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from models.orm import credentials

CHUNK_BYTES = 65_536


class DatabaseProxy:
    """Passes connections on to the PostgreSQL at `url`, which listens on a unix socket."""

    def __init__(self, url: str) -> None:
        given = credentials(url)
        self._path = f"{given['host']}/.s.PGSQL.{given['port']}"
        self._user, self._database = given["user"], given["database"]
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._is_cut = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop_listening()
        self.cut()
        await asyncio.gather(*self._passing, return_exceptions=True)

    @property
    def url(self) -> str:
        """The address to give to the copy."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return f"postgresql://{self._user}@127.0.0.1:{port}/{self._database}"

    def stop_listening(self) -> None:
        """Refuse each connection that is tried from now on; those that are open stay."""
        assert self._server is not None
        self._server.close()

    def cut(self) -> None:
        """Break every connection, and each that is tried from now on."""
        self._is_cut = True
        for passing in self._passing:
            passing.cancel()

    def mend(self) -> None:
        """Let connections pass again."""
        self._is_cut = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        passing = asyncio.create_task(self._connect(reader, writer))
        self._passing.add(passing)
        passing.add_done_callback(self._passing.discard)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(self._path)
        try:
            await _until_one_ends(_pass(reader, server_writer), _pass(server_reader, writer))
        finally:
            writer.transport.abort()
            server_writer.transport.abort()


async def _until_one_ends(*ways: Coroutine[Any, Any, None]) -> None:
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()

"""`make sandbox`: the service, a stand-in for Discord, and a page with the messages it gets.

Usage: python -m sandbox [--port N] [--service-port N] [--data-dir DIR]. Ctrl-C stops it.
"""

import argparse
import asyncio
import errno
import fcntl
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TextIO

import aiohttp
import uvloop
from starlette.applications import Starlette

from engine.kept_secret import kept_secret
from sandbox.app import create_app
from sandbox.channel import Channel
from sandbox.discord import MAX_BODY_BYTES, StandIn, Webhook
from sandbox.samples import Api, as_command, as_mutation, begin
from sandbox.service import ROOT, Options, SandboxError, ended, running
from web.server import http_server

PORT = "3006"
SERVICE_PORT = "3005"
MAX_PORT = 65_535


def main() -> int:
    """Run until a signal; return 0, or 1 for what is in the way."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("--port", type=_port, default=os.environ.get("SANDBOX_PORT") or PORT)
    parser.add_argument(
        "--service-port", type=_port, default=os.environ.get("PORT") or SERVICE_PORT
    )
    parser.add_argument("--data-dir", type=Path, default=ROOT / "data" / "sandbox")
    try:
        return uvloop.run(_until_signal(parser.parse_args()))
    except (SandboxError, aiohttp.ClientError, OSError) as error:
        print(f"The sandbox stopped: {error}", file=sys.stderr)
        return 1


async def _until_signal(arguments: argparse.Namespace) -> int:
    """Run the sandbox; the first signal ends it, the rest don't disturb the end."""
    sandbox = asyncio.create_task(_sandbox(arguments))

    def stop() -> None:
        if not sandbox.cancelling():
            sandbox.cancel()

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await asyncio.wait({sandbox})
    if not sandbox.cancelled():
        await sandbox
    return 0


async def _sandbox(arguments: argparse.Namespace) -> None:
    data_dir = arguments.data_dir.absolute()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(data_dir / "running") as note, _listener(arguments.port) as listener:
        origin = f"http://127.0.0.1:{_port_of(listener)}"
        note.write(f"{origin}/\n")
        note.flush()
        options = Options(
            data_dir=data_dir,
            port=_free_port(arguments.service_port),
            discord=origin,
            api_key=kept_secret(data_dir / "api_key", partial(secrets.token_urlsafe, 32))[0],
        )
        await _run(options, _webhook(data_dir), listener)


async def _run(options: Options, webhook: Webhook, listener: socket.socket) -> None:
    """The service stops before its Discord does: what is open is finished."""
    channel = Channel()
    stand_in = StandIn(webhook, channel, now=partial(datetime.now, UTC), monotonic=time.monotonic)
    app = create_app(stand_in, channel, _details(options, webhook))
    async with (
        _serving(app, channel, listener),
        aiohttp.ClientSession() as http,
        running(options, http) as process,
    ):
        api = Api(http=http, url=options.url, key=options.api_key)
        await begin(api, webhook, options.discord)
        log, here = options.log, Path.cwd()
        shown = log.relative_to(here) if log.is_relative_to(here) else log
        print(f"Messages: {options.discord}/ (Ctrl-C stops; log: {shown})")
        print(f"GraphiQL: {options.url}/graphql")
        print(f"API key:  {options.api_key}", flush=True)
        await process.wait()
        raise ended(options)


@asynccontextmanager
async def _serving(
    app: Starlette, channel: Channel, listener: socket.socket
) -> AsyncIterator[None]:
    server = http_server(app, max_message_bytes=MAX_BODY_BYTES)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        channel.close()
        server.should_exit = True
        await serving


@contextmanager
def _only_one(path: Path) -> Iterator[TextIO]:
    """Hold the folder, and yield the file for this one's address.

    A second sandbox in the folder would refuse the webhook URLs of the first one's tasks.
    """
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise SandboxError(f"another one runs already: {file.read().strip()}") from None
        file.truncate(0)
        yield file


def _listener(port: int) -> socket.socket:
    """Listen on the port, or on a free one if it is taken."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        listener = socket.create_server(("127.0.0.1", 0))
        print(f"Port {port} is taken, so it is {_port_of(listener)}.", flush=True)
        return listener


def _port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def _free_port(port: int) -> int:
    with _listener(port) as listener:
        return _port_of(listener)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= MAX_PORT:
        raise ValueError
    return port


def _webhook(data_dir: Path) -> Webhook:
    """Return the webhook of this folder, which stays the same: tasks keep its URL."""

    def make() -> str:
        return f"{10**18 + secrets.randbelow(8 * 10**18)}/{secrets.token_urlsafe(51)}"

    webhook_id, _, token = kept_secret(data_dir / "webhook", make)[0].partition("/")
    return Webhook(id=webhook_id, token=token)


def _details(options: Options, webhook: Webhook) -> dict[str, str]:
    url = webhook.url(options.discord)
    return {
        "webhookUrl": url,
        "graphiqlUrl": f"{options.url}/graphql",
        "apiKey": options.api_key,
        "mutation": as_mutation(url),
        "command": as_command(options.url, options.api_key, url),
    }


if __name__ == "__main__":
    sys.exit(main())

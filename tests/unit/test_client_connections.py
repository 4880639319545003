"""How the client keeps, secures and gives up its connections."""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.client import DiscordClient
from engine.discord import WebhookAddress
from engine.verdict import Answer, FailureKind, TransportFailure
from tests import fake_discord_behaviours as behaviours
from tests.fake_discord import FakeDiscord

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

BODY = b'{"content":"hello"}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
async def client() -> AsyncIterator[DiscordClient]:
    async with DiscordClient() as opened:
        yield opened


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """A server's TLS for 127.0.0.1 that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    file.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


class Bare:
    """A server that counts connections and requests, and answers each request with `answers`.

    When they are used up, it closes the connection after reading the request.
    """

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                assert length is not None
                await reader.readexactly(int(length[1]))
                self.requests += 1
                if not self.answers:
                    return
                writer.write(self.answers.pop(0))


@contextlib.asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    """Run a bare server and give its host and port; connections end with `serve`, or with this."""
    serving = set[asyncio.Task[None]]()

    async def tracked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            task = asyncio.ensure_future(serve(reader, writer))
            serving.add(task)
            await task

    server = await asyncio.start_server(tracked, "127.0.0.1", 0)
    try:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.wait(serving)


async def posted(client: DiscordClient, origin: str) -> Answer | TransportFailure:
    address = WebhookAddress(origin=origin, webhook_id="1" * 18, token="t" * 68)
    result = await client.post(address, BODY, with_components=False)
    assert address.token not in repr(result)
    return result


async def failed(client: DiscordClient, origin: str) -> TransportFailure:
    result = await posted(client, origin)
    assert isinstance(result, TransportFailure)
    return result


async def test_one_connection_serves_many_requests(client: DiscordClient) -> None:
    bare = Bare(OK, OK, OK)
    async with listening(bare.serve) as host:
        for _ in range(3):
            assert isinstance(await posted(client, f"http://{host}"), Answer)

    assert (bare.connections, bare.requests) == (1, 3)


async def test_a_request_that_dies_on_a_kept_connection_is_not_sent_again(
    client: DiscordClient,
) -> None:
    """A second try would be hidden from the log, and could post twice."""
    bare = Bare(OK)
    async with listening(bare.serve) as host:
        await posted(client, f"http://{host}")

        failure = await failed(client, f"http://{host}")

    assert (failure.kind, failure.sent) == (FailureKind.RESET, True)
    assert (bare.connections, bare.requests) == (1, 2)


async def test_a_connection_that_was_closed_while_idle_is_replaced(client: DiscordClient) -> None:
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        writer.write(OK)
        writer.close()
        await writer.wait_closed()
        closed.set()

    async with listening(serve) as host:
        for _ in range(2):
            assert isinstance(await posted(client, f"http://{host}"), Answer)
            await closed.wait()
            closed.clear()
            for _ in range(5):  # the loop has yet to look at the client's end
                await asyncio.sleep(0)


async def test_more_requests_than_connections_wait_their_turn() -> None:
    bare = Bare(OK, OK, OK)
    async with listening(bare.serve) as host, DiscordClient(max_connections=1) as client:
        results = await asyncio.gather(*(posted(client, f"http://{host}") for _ in range(3)))

    assert all(isinstance(result, Answer) for result in results)
    assert bare.connections == 1


async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(
    client: DiscordClient, certificate: ssl.SSLContext
) -> None:
    async with FakeDiscord(ssl_context=certificate) as fake:
        failure = await failed(client, fake.origin)

    assert (failure.kind, failure.sent) == (FailureKind.TLS, False)
    assert "certificate" in failure.message
    assert fake.requests == []


async def test_a_server_without_tls_is_a_tls_failure(client: DiscordClient) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(serve) as host:
        failure = await failed(client, f"https://{host}")

    assert (failure.kind, failure.sent) == (FailureKind.TLS, False)


async def test_a_connection_lost_in_the_tls_handshake_was_not_sent(client: DiscordClient) -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with listening(serve) as host:
        failure = await failed(client, f"https://{host}")

    assert failure.kind in (FailureKind.TLS, FailureKind.CONNECT)
    assert not failure.sent


async def test_a_timeout_before_the_connection_is_ready_was_not_sent() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass

    async with listening(serve) as host, DiscordClient(timeout_seconds=0.3) as client:
        failure = await failed(client, f"https://{host}")

    assert (failure.kind, failure.sent) == (FailureKind.TIMEOUT, False)


async def test_cancelling_a_request_passes_through() -> None:
    async with FakeDiscord() as fake, DiscordClient() as client:
        fake.script(None, behaviours.hang())
        task = asyncio.create_task(posted(client, fake.origin))
        await fake.wait_for(1)

        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task


async def test_closing_the_client_ends_an_open_request_as_a_failure() -> None:
    async with FakeDiscord() as fake, DiscordClient() as client:
        fake.script(None, behaviours.hang())
        task = asyncio.create_task(failed(client, fake.origin))
        await fake.wait_for(1)

        await client.close()

        assert (await task).sent

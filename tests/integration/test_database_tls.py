"""A root certificate of DATABASE_URL decides which servers are trusted."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from models.orm import credentials
from schema.context import utc_now

NOT_IT = "certificate verify failed"
LEFT = "connection was closed"


def make_certificate(folder: Path, host: str) -> Path:
    """Return a file with a key and a certificate of its own for a host."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(utc_now() - timedelta(days=1))
        .not_valid_after(utc_now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / f"{host}.pem"
    path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
    return path


@asynccontextmanager
async def server(certificate: Path) -> AsyncIterator[int]:
    """Yield the port of what begins TLS as PostgreSQL does, and then hangs up."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        try:
            await writer.start_tls(context)
            await reader.read(1)
        except OSError:
            pass
        writer.close()

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("mode", "host", "root", "outcome"),
    [
        ("require", "elsewhere", "elsewhere", LEFT),
        ("require", "elsewhere", "another", NOT_IT),
        ("verify-ca", "elsewhere", "elsewhere", LEFT),
        ("verify-full", "localhost", "localhost", LEFT),
        ("verify-full", "elsewhere", "elsewhere", NOT_IT),
    ],
)
async def test_only_a_server_of_the_root_certificate_is_trusted(
    tmp_path: Path, mode: str, host: str, root: str, outcome: str
) -> None:
    made = {name: make_certificate(tmp_path, name) for name in {host, root}}
    async with server(made[host]) as port:
        url = f"postgresql://a@localhost:{port}/b?sslmode={mode}&sslrootcert={made[root]}"

        with pytest.raises((OSError, asyncpg.PostgresError), match=outcome):
            await asyncpg.connect(**credentials(url), timeout=10)

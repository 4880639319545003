"""A real nginx with TLS, by deploy/nginx/task-scheduler.conf."""

import asyncio
import os
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.containers import ROOT
from tests.waiting import wait_until

PREFIX = "/api/task-scheduler"
CONF = ROOT / "deploy/nginx/task-scheduler.conf"
_AROUND = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/task-scheduler.conf;
}}
"""


@asynccontextmanager
async def nginx(folder: Path, service_url: str) -> AsyncIterator[str]:
    """Run nginx before the service; yield the URL with the prefix, by https."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    _make_certificate(folder)
    _write_conf(folder, service_url, port)
    process = await asyncio.create_subprocess_exec(
        "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"
    )
    try:

        async def listens() -> bool:
            assert process.returncode is None
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return True
            return False

        await wait_until(listens, what="nginx")
        yield f"https://127.0.0.1:{port}{PREFIX}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def trust(folder: Path) -> ssl.SSLContext:
    """Return what trusts the server's certificate."""
    return ssl.create_default_context(cafile=folder / "server.pem")


def _make_certificate(folder: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", folder / "server.key", "-out", folder / "server.pem"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )


def _write_conf(folder: Path, service_url: str, port: int) -> None:
    """Write the file with what its head says is to change, and nothing else, changed."""
    text = CONF.read_text()
    for said, ours in {
        "server 127.0.0.1:3005;": f"server {service_url.removeprefix('http://')};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/bots.example.org": f"{folder}/server",
        "bots.example.org": "127.0.0.1",
    }.items():
        assert said in text
        text = text.replace(said, ours)
    (folder / "task-scheduler.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder, user=user))

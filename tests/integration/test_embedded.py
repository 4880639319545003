"""The embedded PostgreSQL is real, shared, survives its users, and ends with the last of them."""

import asyncio
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg
import pytest

from models import postgres_programs
from models.embedded import EmbeddedPostgres, EmbeddedUnavailable
from models.orm import credentials
from models.server import database_server
from tests.waiting import wait_until

USER = """
import sys
from pathlib import Path
from models.embedded import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False)
server.start()
print("started", flush=True)
sys.stdin.readline()
server.stop()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: those of pytest are long, and closed to the account that root uses."""
    with tempfile.TemporaryDirectory(prefix="embedded-") as name:
        yield Path(name)


StartServer = Callable[..., EmbeddedPostgres]


@pytest.fixture
def start(folder: Path) -> Iterator[StartServer]:
    """Start servers which end with the test."""
    servers: list[EmbeddedPostgres] = []

    def start(data_dir: Path = folder, *, durable: bool = False) -> EmbeddedPostgres:
        servers.append(EmbeddedPostgres(data_dir, durable=durable))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def shared() -> Iterator[EmbeddedPostgres]:
    """A server for tests that only look at it."""
    with tempfile.TemporaryDirectory(prefix="embedded-") as name:
        server = EmbeddedPostgres(Path(name) / "new" / "data", durable=False)
        server.start()
        yield server
        server.stop()


@pytest.fixture
def other_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the server until a line is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield process
        process.kill()


async def ask(server: EmbeddedPostgres, question: str, database: str = "task_scheduler") -> object:
    connection = await asyncpg.connect(server.url(database))
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def is_up(server: EmbeddedPostgres) -> bool:
    try:
        return await ask(server, "select 1") == 1
    except OSError:
        return False


def postmaster(folder: Path) -> int:
    return int(next(folder.glob("postgresql-*/postmaster.pid")).read_text().splitlines()[0])


async def test_first_start_makes_a_database_that_takes_connections(
    shared: EmbeddedPostgres,
) -> None:
    assert str(await ask(shared, "show server_version")).startswith("18.")
    assert await ask(shared, "select current_database()") == "task_scheduler"
    assert await ask(shared, "show timezone") == "UTC"
    assert await ask(shared, "show server_encoding") == "UTF8"


async def test_the_orm_s_credentials_reach_it_too(shared: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(**credentials(shared.url()))

    assert await connection.fetchval("select 1") == 1
    await connection.close()


async def test_only_its_own_account_can_reach_it(shared: EmbeddedPostgres) -> None:
    assert await ask(shared, "show listen_addresses") == ""
    assert await ask(shared, "show unix_socket_permissions") == "0700"
    assert await ask(shared, "show data_directory_mode") == "0700"


@pytest.mark.parametrize("durable", [True, False])
async def test_only_a_durable_server_waits_for_the_disk(start: StartServer, durable: bool) -> None:
    server = start(durable=durable)

    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        assert await ask(server, f"show {setting}") == ("on" if durable else "off")


async def test_stop_ends_it_and_a_new_start_finds_the_data(start: StartServer) -> None:
    server = start()
    await ask(server, "create table kept (n int)")
    server.stop()
    server.stop()
    assert not await is_up(server)

    server.start()

    assert await ask(server, "select count(*) from kept") == 0


async def test_start_that_is_cancelled_leaves_no_server(folder: Path) -> None:
    async def use() -> None:
        async with database_server(None, folder):
            pass

    using = asyncio.create_task(use())
    await wait_until((folder / "postgresql.turn").exists, what="start that has begun")
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using

    assert list(folder.glob("postgresql-*/PG_VERSION"))
    assert not list(folder.glob("postgresql-*/postmaster.pid"))


async def test_the_last_of_two_processes_stops_it(
    other_process: subprocess.Popen[str], start: StartServer
) -> None:
    server = start()

    server.stop()
    assert await is_up(server)

    other_process.communicate("\n")
    assert other_process.returncode == 0
    assert not await is_up(server)


async def test_a_killed_user_s_server_is_taken_over_and_stopped(
    folder: Path, other_process: subprocess.Popen[str], start: StartServer
) -> None:
    running = postmaster(folder)
    other_process.kill()
    other_process.wait()

    server = start()

    assert postmaster(folder) == running
    server.stop()
    assert not await is_up(server)


async def test_interrupting_the_process_group_leaves_it_running(
    folder: Path, other_process: subprocess.Popen[str], start: StartServer
) -> None:
    running = postmaster(folder)

    os.killpg(other_process.pid, signal.SIGINT)
    other_process.wait()

    assert await is_up(start())
    assert postmaster(folder) == running


async def test_it_is_started_again_after_its_death(folder: Path, start: StartServer) -> None:
    server = start(durable=True)
    await ask(server, "create table kept (n int)")
    assert server.ensure_running() is False

    os.kill(postmaster(folder), signal.SIGKILL)

    async def restarted() -> bool:
        return server.ensure_running()

    await wait_until(restarted, what="restart of the killed server")
    assert await ask(server, "select count(*) from kept") == 0


async def test_a_pid_left_by_a_crash_of_the_machine_may_be_anybody_s(
    folder: Path, start: StartServer
) -> None:
    server = start()
    [cluster] = folder.glob("postgresql-*/")
    left = (cluster / "postmaster.pid").read_text()
    server.stop()
    anybody = str(os.getpid())
    (cluster / "postmaster.pid").write_text(left.replace(left.splitlines()[0], anybody, 1))
    (cluster / ".s.PGSQL.5432.lock").write_text(f"{anybody}\n")

    server.start()

    assert await is_up(server)


async def test_starts_at_the_same_moment_share_one_server(start: StartServer) -> None:
    with ThreadPoolExecutor() as pool:
        servers = list(pool.map(lambda _: start(), range(3)))

    born = {await ask(server, "select pg_postmaster_start_time()") for server in servers}
    assert len(born) == 1


async def test_a_half_made_folder_is_made_anew(folder: Path, start: StartServer) -> None:
    half = folder / f"postgresql-{postgres_programs.MAJOR}.new"
    (half / "base").mkdir(parents=True)

    server = start()

    assert await is_up(server)
    assert not half.exists()


@pytest.mark.parametrize("name", ['a name\'s "blanks" % # ü', "com,ma", "x" * 100])
async def test_any_path_will_do(folder: Path, start: StartServer, name: str) -> None:
    server = start(folder / name)

    assert await is_up(server)


async def test_a_folder_prepared_by_somebody_else_is_refused(folder: Path) -> None:
    server = EmbeddedPostgres(folder / ("x" * 100), durable=False)
    elsewhere = Path(server.url().split("host=")[1].split("&")[0])
    elsewhere.mkdir()
    elsewhere.chmod(0o777)

    with pytest.raises(EmbeddedUnavailable, match="belongs to somebody else: remove it"):
        server.start()

    elsewhere.rmdir()


async def test_programs_that_the_account_of_root_cannot_reach_are_copied(
    folder: Path, start: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec(postgres_programs.PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    site, closed = Path(spec.origin).parents[1], folder / "closed"
    for part in (f"{postgres_programs.PACKAGE}.libs", postgres_programs.PACKAGE):
        shutil.copytree(site / part, closed / part, ignore=shutil.ignore_patterns("pginstall"))
    monkeypatch.syspath_prepend(closed)

    with tempfile.TemporaryDirectory(prefix="home-") as home:
        monkeypatch.setattr(postgres_programs, "ACCOUNT_HOME", Path(home))
        server = start(folder / "data")

        assert await is_up(server)
        assert len(list(Path(home).glob("programs-*"))) == (1 if os.geteuid() == 0 else 0)
        server.stop()


def test_accounts_are_made_one_after_the_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two that are made at once, the second may take the first's line out of the list."""
    useradd = folder / "useradd"
    useradd.write_text(
        f"#!/bin/sh\necho begin >>{folder}/log\nsleep 0.05\necho end >>{folder}/log\n"
    )
    useradd.chmod(0o755)
    monkeypatch.setattr(os, "defpath", str(folder))
    monkeypatch.setattr(postgres_programs, "ACCOUNT", "an account that is never made")

    with ThreadPoolExecutor() as threads:
        made = [threads.submit(postgres_programs.account) for _ in range(4)]
    for one in made:
        with pytest.raises(postgres_programs.ProgramFailed, match="could not be made by useradd"):
            one.result()

    assert (folder / "log").read_text().split() == ["begin", "end"] * 4


def test_missing_wheel_is_a_readable_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, postgres_programs.PACKAGE, None)

    with pytest.raises(EmbeddedUnavailable, match="isn't installed: set DATABASE_URL"):
        EmbeddedPostgres(folder).start()


def test_impossible_folder_is_a_readable_error(folder: Path) -> None:
    (folder / "file").write_text("")

    with pytest.raises(EmbeddedUnavailable, match=r"can't run in DATA_DIR=.*/file/data"):
        EmbeddedPostgres(folder / "file" / "data").start()


async def test_a_server_that_fails_says_why(folder: Path, start: StartServer) -> None:
    server = start()
    server.stop()
    [settings] = folder.glob("postgresql-*/postgresql.conf")
    settings.write_text("no_such_setting = 1\n")

    with pytest.raises(EmbeddedUnavailable, match="no_such_setting"):
        server.start()

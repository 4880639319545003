"""An embedded PostgreSQL: the real server on a folder of our own, for when none is configured.

Three locked files in the data folder own the server's life, since the kernel frees a lock however
its holder ends: `postgresql.turn` is held while somebody starts or stops the server,
`postgresql.users` is shared by the processes that use it (who can have it alone was the last, and
stops the server), and `postgresql.alive` is inherited by the server's own processes.
"""

import hashlib
import os
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from models.errors import StorageError
from models.postgres_programs import MAJOR, ProgramFailed, account, run

if sys.platform != "win32":
    import fcntl

DATABASE = "task_scheduler"
SUPERUSER = "postgres"
SOCKET_NAME = ".s.PGSQL.5432"
# The lowest limit of a unix socket's path, that of macOS; Linux takes 107.
MAX_SOCKET_PATH_BYTES = 103
# A start may have to replay the log of a crash.
START_SECONDS = 120
STOP_SECONDS = 60
POLL_SECONDS = 0.05
LOG_CHARS = 1_000

SETTINGS = {
    "cluster_name": "discord-task-scheduler",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A statement's error goes to its client; the server's log is about the server.
    "log_min_messages": "log",
    "log_checkpoints": "off",
}
UNSAFE_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class EmbeddedUnavailable(StorageError):
    """The embedded PostgreSQL can't run here; the message says why and what helps."""


class EmbeddedPostgres:
    """A PostgreSQL server in `data_dir`, shared by all processes that start it there.

    It listens on a unix socket only, and outlives a crash of its users: the next start takes it
    over. The methods block (the first start takes about a second) and raise EmbeddedUnavailable.
    Without `durable` a crash of the machine may lose everything: for tests.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        if sys.platform == "win32":
            raise EmbeddedUnavailable("No embedded PostgreSQL on Windows: set DATABASE_URL")
        self._data_dir = data_dir.resolve()
        self._cluster = self._data_dir / f"postgresql-{MAJOR}"
        self._durable = durable
        self._use: int | None = None

    def url(self, database: str = DATABASE) -> str:
        """Return the address of `database` on this server, for asyncpg, the ORM and libpq."""
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._socket_dir))}&port=5432"

    def start(self) -> str:
        """Start the server, or join the running one, and return its `url()`."""
        self.ensure_running()
        return self.url()

    def ensure_running(self) -> bool:
        """Start the server if it is down; return whether it was. For when connections fail."""
        with _readable_errors(self._data_dir):
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._turn() as turn:
                if not self._cluster.exists():
                    self._initialise(turn)
                was_down = self._launch_if_down()
                if self._use is None:
                    self._use = self._lock("users", fcntl.LOCK_SH)
        return was_down

    def stop(self) -> None:
        """Leave the server, and end it if nobody else uses it. A second call does nothing."""
        if self._use is None:
            return
        with _readable_errors(self._data_dir), self._turn():
            os.close(self._use)
            self._use = None
            alone = self._try_lock("users")
            if alone is not None:
                os.close(alone)
                self._shut_down()

    def _lock(self, name: str, operation: int) -> int:
        """Open and lock one of the three files; BlockingIOError if LOCK_NB finds it held."""
        path = self._data_dir / f"postgresql.{name}"
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, operation)
        except BaseException:
            os.close(file)
            raise
        return file

    def _try_lock(self, name: str) -> int | None:
        with suppress(BlockingIOError):
            return self._lock(name, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return None

    @contextmanager
    def _turn(self) -> Iterator[int]:
        file = self._lock("turn", fcntl.LOCK_EX)
        try:
            yield file
        finally:
            os.close(file)

    @property
    def _socket_dir(self) -> Path:
        path = os.fsencode(self._cluster / SOCKET_NAME)
        # Clients take a comma for the start of another host.
        if len(path) <= MAX_SOCKET_PATH_BYTES and b"," not in path:
            return self._cluster
        digest = hashlib.sha256(os.fsencode(self._cluster)).hexdigest()[:16]
        # Not TMPDIR: all users of the server must agree on it, and it may be long itself.
        return Path("/tmp") / f"task-scheduler-{digest}"  # noqa: S108 - _make_private checks it

    def _initialise(self, turn: int) -> None:
        """Make the server's folder under another name, and rename it once it is complete."""
        new = self._cluster.with_name(f"{self._cluster.name}.new")
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(new, *account())
        options = ["--username", SUPERUSER, "--auth=trust", "--no-instructions", "--encoding=UTF8"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        options += [] if self._durable else ["--no-sync"]
        # They hold our turn, so that nobody else begins while they outlive a kill -9 of us.
        run("initdb", *options, folder=new, hold=turn)
        single = ["--single", "-c", "exit_on_error=on", *self._settings(), "postgres"]
        run("postgres", *single, folder=new, hold=turn, given=f"CREATE DATABASE {DATABASE}\n")
        new.rename(self._cluster)
        _sync_folder(self._data_dir)

    def _launch_if_down(self) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            alive = self._try_lock("alive")
            if alive is not None:
                try:
                    self._launch(alive)
                finally:
                    os.close(alive)
                return True
            if self._is_ready():
                return False
            time.sleep(POLL_SECONDS)
        raise EmbeddedUnavailable(f"PostgreSQL runs in {self._cluster}, but takes no connections")

    def _launch(self, alive: int) -> None:
        """Start the server, which inherits the lock `alive`; as that was free, it is down."""
        socket_dir = self._socket_dir
        if socket_dir != self._cluster:
            _make_private(socket_dir, self._cluster.stat())
        # After a crash of the machine the pid in these may be somebody else's by now.
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        (socket_dir / f"{SOCKET_NAME}.lock").unlink(missing_ok=True)
        where = "." if socket_dir == self._cluster else str(socket_dir)
        options = shlex.join([*self._settings(), "-c", f"unix_socket_directories={where}"])
        start = ["start", "-w", "-t", str(START_SECONDS), "-l", "server.log", "-o", options]
        try:
            run("pg_ctl", *start, folder=self._cluster, hold=alive)
        except ProgramFailed as error:
            said = (self._cluster / "server.log").read_text(errors="replace")
            raise EmbeddedUnavailable(f"{error}\n{said[-LOG_CHARS:]}") from error

    def _shut_down(self) -> None:
        alive = self._try_lock("alive")
        if alive is not None:
            os.close(alive)
            return
        run("pg_ctl", "stop", "-w", "-t", str(STOP_SECONDS), "-m", "fast", folder=self._cluster)
        if self._socket_dir != self._cluster:
            self._socket_dir.rmdir()

    def _is_ready(self) -> bool:
        """Whether it says so, and answers: what it said may have outlived it."""
        with suppress(OSError, IndexError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(POLL_SECONDS)
            client.connect(str(self._socket_dir / SOCKET_NAME))
            state = (self._cluster / "postmaster.pid").read_text().splitlines()[-1]
            return state.strip() == "ready"
        return False

    def _settings(self) -> list[str]:
        settings = SETTINGS if self._durable else SETTINGS | UNSAFE_SETTINGS
        return [option for item in settings.items() for option in ("-c", "=".join(item))]


@contextmanager
def _readable_errors(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.TimeoutExpired, ProgramFailed) as error:
        raise EmbeddedUnavailable(
            f"The embedded PostgreSQL can't run in DATA_DIR={data_dir}: {error}"
        ) from error


def _make_private(folder: Path, owner: os.stat_result) -> None:
    """Make `folder`, which only `owner` may enter; refuse one that somebody else prepared."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid in (os.geteuid(), owner.st_uid)
    if not ours or found.st_mode & 0o077:
        raise EmbeddedUnavailable(f"{folder} belongs to somebody else: remove it")
    os.chown(folder, owner.st_uid, owner.st_gid)


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

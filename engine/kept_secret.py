"""Secrets that are made on the first start and kept in a folder."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def kept_secret(path: Path, make: Callable[[], str]) -> tuple[str, bool]:
    """Return the secret kept in the file, and whether it was made just now.

    Raises:
        OSError: the file can't be read or written, or is empty.
    """
    with suppress(FileNotFoundError):
        kept = path.read_text().strip()
        if not kept:
            raise OSError(f"{path} is empty: put back the key that it held")
        return kept, False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    secret = make()
    # Complete before it has its name: without this key, what is stored can't be read again.
    descriptor, new = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{secret}\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(new, path)  # unlike a rename, it never takes the place of another's
    except FileExistsError:
        return kept_secret(path, make)
    finally:
        Path(new).unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return secret, True

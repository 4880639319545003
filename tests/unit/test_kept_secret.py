"""A secret that is made at the first start is the same for all who start."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from engine.kept_secret import kept_secret

STARTS = 20


def test_two_that_start_first_at_once_keep_one_secret(tmp_path: Path) -> None:
    for number in range(STARTS):
        path, gate = tmp_path / str(number) / "key", Barrier(2)

        def start(name: str, path: Path = path, gate: Barrier = gate) -> str:
            gate.wait()
            return kept_secret(path, lambda: name)[0]

        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(start, ["one", "other"])

        assert one == other == path.read_text().strip()
        assert [found.name for found in path.parent.iterdir()] == ["key"]

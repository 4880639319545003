"""Whether a real answer is what a page shows.

The rule: both have the same keys, lists of the same length, and equal values, but for these.

- A UUID, also within a text, and the text under `cursor` or `after`, is a name: the first answer
  says what it stands for, and it stands for that on the rest of the page, in requests too.
- A time (RFC 3339) stands for any other time, and seconds in a sentence (`in 42 s`) for others.
- Under the keys in ANY a value stands for any other of its type.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

ANY = frozenset(
    {
        "discordMessageId",
        "durationMs",
        "instanceId",
        "latenessMs",
        "latenessMsP50",
        "latenessMsP99",
        "requestId",
    }
)
NAMES = (".cursor", ".after")

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SECONDS = re.compile(r"\bin \d+ s\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)")


@dataclass(slots=True)
class Names:
    """What the names on a page stand for in this run."""

    known: dict[str, str] = field(default_factory=dict)

    def in_text(self, text: str) -> str:
        """Return a request of the page with the real values for its names."""
        for shown in sorted(self.known, key=len, reverse=True):
            text = text.replace(shown, self.known[shown])
        return text

    def learn(self, shown: object, real: object) -> list[str]:
        """Return how the answer differs; if it does not, remember what its names stand for."""
        found = dict(self.known)
        problems = list(_differences(shown, real, found, "$"))
        if not problems:
            self.known = found
        return problems


def _differences(shown: object, real: object, names: dict[str, str], at: str) -> Iterator[str]:
    key = at.rpartition(".")[2]
    match shown, real:
        case dict(), dict() if shown.keys() == real.keys():
            for name in shown:
                yield from _differences(shown[name], real[name], names, f"{at}.{name}")
        case list(), list() if len(shown) == len(real):
            for index, (one, other) in enumerate(zip(shown, real, strict=True)):
                yield from _differences(one, other, names, f"{at}[{index}]")
        case _ if key in ANY and type(shown) is type(real):
            pass
        case str(), str():
            yield from _of_texts(shown, real, names, at)
        case _ if type(shown) is not type(real) or shown != real:
            yield _sentence(shown, real, at)


def _of_texts(shown: str, real: str, names: dict[str, str], at: str) -> Iterator[str]:
    shown, real = (_SECONDS.sub("in 0 s", text) for text in (shown, real))
    pairs = [(shown, real)] if at.endswith(NAMES) else _uuids(shown, real)
    for one, other in pairs:
        if names.setdefault(one, other) != other:
            yield f"{at}: {one} stands for {names[one]}, not for {other}"
    are_times = _TIME.fullmatch(shown) and _TIME.fullmatch(real)
    if not pairs and not are_times and shown != real:
        yield _sentence(shown, real, at)


def _uuids(shown: str, real: str) -> list[tuple[str, str]]:
    """Return the UUIDs of both texts, if these differ in nothing else."""
    if _UUID.sub("?", shown) != _UUID.sub("?", real):
        return []
    found = (_UUID.finditer(text) for text in (shown, real))
    return [(one[0], other[0]) for one, other in zip(*found, strict=True)]


def _sentence(shown: object, real: object, at: str) -> str:
    return f"{at}: the page shows {shown!r}, the service answers {real!r}"

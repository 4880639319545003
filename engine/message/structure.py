"""What a payload must be before it can be a message: bounded, and made of values JSON can carry."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.errors import FieldError

DEPTH = 32
"""Most levels of objects and lists, the payload itself counted. Ours: the deepest message has 8."""
VALUES = 2_500
"""Most values in all. Ours: the largest message has about 1,900."""
KEY_CHARS = 100
"""Longest key. Ours: a path must stay readable."""
SIZE_BYTES = 2**20
"""What the body must stay below as UTF-8 JSON. Source: Discord, Message resource, without files."""

# Tab, line feed and carriage return are text.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_HALF_OF_PAIR = re.compile("[\ud800-\udfff]")
_INTEGER_MIN, _INTEGER_END = -(2**63), 2**64

Path = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What was found: `blocking` problems leave no message to look at, `others` do."""

    blocking: list[FieldError] = field(default_factory=list)
    others: list[FieldError] = field(default_factory=list)


def inspect(payload: object) -> Findings:
    """Return what is wrong with a payload as JSON, walking it without recursion."""
    findings = Findings()
    pending: list[tuple[Path, object]] = [((), payload)]
    count = 1
    while pending:
        path, value = pending.pop()
        if not isinstance(value, (dict, list)):
            _inspect_scalar(path, value, findings)
            continue
        count += len(value)
        if count > VALUES:
            message = f"holds more than {VALUES} values; no message needs as many"
            return Findings(blocking=[FieldError((), message)])
        if len(path) == DEPTH:
            message = f"is nested too deep; at most {DEPTH} levels are allowed"
            findings.blocking.append(FieldError(path, message))
        else:
            pending += _members(path, value, findings)
    if not findings.blocking:
        _inspect_size(payload, findings)
    return findings


def _members(
    path: Path, value: dict[str, object] | list[object], findings: Findings
) -> Iterator[tuple[Path, object]]:
    if isinstance(value, list):
        for index, member in enumerate(value):
            yield (*path, index), member
        return
    for key, member in value.items():
        if message := _key_problem(key):
            # Told at the object, for such a key is no part of a readable path.
            findings.blocking.append(FieldError(path, message))
        else:
            yield (*path, key), member


def _key_problem(key: object) -> str | None:
    if not isinstance(key, str):
        return "has a key that is not a string"
    if len(key) > KEY_CHARS:
        return f"has a key of {len(key)} characters; at most {KEY_CHARS} are allowed"
    if match := _HALF_OF_PAIR.search(key):
        return f"has a key with {_told('half of a surrogate pair', match)}"
    if match := _CONTROL.search(key):
        return f"has a key with {_told('a control character', match)}"
    return None


def _inspect_scalar(path: Path, value: object, findings: Findings) -> None:
    match value:
        case str():
            if match := _HALF_OF_PAIR.search(value):
                message = f"has {_told('half of a surrogate pair', match)}"
                findings.blocking.append(FieldError(path, message))
            if match := _CONTROL.search(value):
                message = f"has {_told('a control character', match)}"
                findings.others.append(FieldError(path, message))
        case None | bool():
            pass
        case int():
            if not _INTEGER_MIN <= value < _INTEGER_END:
                findings.blocking.append(FieldError(path, "does not fit into 64 bits"))
        case float():
            if not math.isfinite(value):
                findings.blocking.append(FieldError(path, "is not a finite number"))
        case _:
            findings.blocking.append(FieldError(path, "is not a value of JSON"))


def _told(kind: str, match: re.Match[str]) -> str:
    return f"{kind} (U+{ord(match[0]):04X}) at character {match.start() + 1}, which is not allowed"


def _inspect_size(payload: object, findings: Findings) -> None:
    size = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())
    if size >= SIZE_BYTES:
        message = f"is {size} bytes long as JSON; it must stay below {SIZE_BYTES}"
        findings.others.append(FieldError((), message))

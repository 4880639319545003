"""Odd values and operations for a fuzz: mostly wrong, often nearly right."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from graphql import (
    ArgumentNode,
    DocumentNode,
    IntValueNode,
    NameNode,
    ObjectFieldNode,
    ValueNode,
    Visitor,
    print_ast,
    visit,
)
from hypothesis import strategies as st
from hypothesis_graphql import nodes

KNOWN_IDS = tuple(UUID(int=number) for number in range(1, 31))

TASK = "id name payload webhookUrl status nextRuns lastLog { id } logs { meta { total } }"
OPERATIONS: Mapping[str, Mapping[str, Any]] = {
    f"mutation ($input: CreateTaskInput!) {{ createTask(input: $input) {{ {TASK} }} }}": {
        "input": {
            "name": "made by the fuzz",
            "schedule": "0 9 1 1 *",
            "webhookUrl": "http://127.0.0.1/api/webhooks/123456789012345678/" + "t" * 68,
            "payload": {
                "content": "hello",
                "username": "somebody",
                "embeds": [{"title": "t", "color": 5, "fields": [{"name": "n", "value": "v"}]}],
                "allowed_mentions": {"parse": [], "users": ["123456789012345678"]},
                "components": [{"type": 1, "components": [{"type": 2, "style": 5}]}],
                "flags": 4,
            },
            "timezone": "Europe/Berlin",
            "maxRetry": 3,
            "status": "ACTIVE",
            "misfireGraceSeconds": 60,
        }
    },
    f"""mutation ($id: UUID!, $input: UpdateTaskInput!) {{
        updateTask(id: $id, input: $input) {{ {TASK} }} }}""": {
        "id": str(KNOWN_IDS[0]),
        "input": {"name": "changed", "schedule": "@daily", "payload": {"content": "c"}},
    },
    "mutation ($id: UUID!) { triggerTask(id: $id) { id task { name } } }": {
        "id": str(KNOWN_IDS[0])
    },
    "query ($p: Int!, $l: Int!, $s: String) { tasks(page: $p, limit: $l, search: $s) "
    "{ data { name } meta { total totalPages } } }": {"p": 1, "l": 10, "s": "a%b_\\"},
    "query ($f: LogFilter) { logs(filter: $f) { data { message } meta { total } } }": {
        "f": {
            "taskId": str(KNOWN_IDS[1]),
            "status": "FAILED",
            "dateFrom": "2026-01-31T09:00:00Z",
            "dateTo": "2026-12-31T09:00:00+01:00",
        }
    },
    "query ($f: AuditFilter) { auditLogs(filter: $f) { data { changes } meta { total } } }": {
        "f": {"actor": "default", "action": "TASK_CREATED", "dateTo": "2026-12-31T09:00:00Z"}
    },
    "query ($s: String!, $t: String!, $c: Int!) { schedulePreview(schedule: $s, timezone: $t, "
    "count: $c) { description nextRuns } }": {"s": "*/5 9-17 * * MON#2", "t": "UTC", "c": 5},
}

TEXTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.sampled_from(["", " ", "\0", "a\u0301", "%", "\\", "null", "x" * 5_000, "9" * 5_000, "1e5"]),
    st.sampled_from(["* * * * *", "*/0 * * * *", "0 0 31 2 *", "@daily", "Europe/Berlin", ".."]),
    st.sampled_from(["2026-01-31T09:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]),
    st.sampled_from(
        [str(KNOWN_IDS[0]), "ACTIVE", "FAILED", "https://discord.com/api/webhooks/1/x"]
    ),
)
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, -1, 1, 2**31 - 1, 2**31, 2**53, 2**63, 2**64, 1e308, -0.0]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(TEXTS, st.sampled_from(["content", "embeds", "components", "type", "name"])),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)
# What JSON can't hold, though Python's own module writes it.
NO_JSON = st.sampled_from([float("nan"), float("inf"), "\ud800", {"\udfff": 1}])


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Any]:
    """Return an operation and its variables, with some of these replaced, left out or doubled."""
    query = draw(st.sampled_from(sorted(OPERATIONS)))
    variables: Any = OPERATIONS[query]
    for _ in range(draw(st.integers(0, 3))):
        variables = _changed(draw, variables)
    return query, variables


def _changed(draw: st.DrawFn, value: Any) -> Any:
    """Return the value with one part of it changed."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 4)):
        if isinstance(value, list):
            index = draw(st.integers(0, len(value) - 1))
            return [
                *value[:index],
                _changed(draw, value[index]),
                *value[index + draw(st.integers(0, 1)) :],
            ]
        key = draw(st.sampled_from(sorted(value)))
        changed = {**value, key: _changed(draw, value[key])}
        if not draw(st.integers(0, 9)):
            del changed[key]
        return changed
    return draw(VALUES if draw(st.integers(0, 30)) else NO_JSON)


def literal(value: object) -> ValueNode:
    """Return the value as it is written in a document."""
    match value:
        case None:
            return nodes.Null
        case bool():
            return nodes.Boolean(value)
        case int():
            return nodes.Int(value)
        case float():
            return nodes.Float(value)
        case str():
            return nodes.String(value)
        case list():
            return nodes.List([literal(item) for item in value])
        case dict():
            return nodes.Object(
                [
                    ObjectFieldNode(name=NameNode(value=name), value=literal(item))
                    for name, item in value.items()
                ]
            )
        case _:
            raise TypeError(f"{type(value)} is not of JSON")


NAMES = st.sampled_from(["content", "embeds", "title", "color", "username", "poll", "a", "flags"])
PLAIN = st.text(st.characters(codec="utf-8"), max_size=20)
JSON_LITERALS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        PLAIN,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=8,
).map(literal)
DATE_TIMES = st.one_of(
    st.datetimes(timezones=st.timezones()).map(lambda at: at.isoformat()),
    st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
    st.datetimes().map(lambda at: f"{at.isoformat()}+14:00"),
    PLAIN,
).map(nodes.String)
UUIDS = st.one_of(*[st.sampled_from(KNOWN_IDS)] * 8, st.uuids(), PLAIN).map(nodes.String)
# Ranges that the schema can't tell, a little wider than allowed.
RANGES = {"page": 20, "limit": 110, "count": 55}


class _Narrow(Visitor):
    """Brings most arguments near to their ranges, which few integers of 32 bits are in."""

    def enter_argument(self, node: ArgumentNode, *_: object) -> ArgumentNode | None:
        """Return the argument with a smaller number."""
        if node.name.value in RANGES and isinstance(node.value, IntValueNode):
            number = int(node.value.value)
            if number % 7:
                small = IntValueNode(value=str(number % RANGES[node.name.value]))
                return ArgumentNode(name=node.name, value=small)
        return None


def printed(document: DocumentNode) -> str:
    """Return the text of a document from the schema."""
    return print_ast(visit(document, _Narrow()))


SCALARS = {"JSON": JSON_LITERALS, "DateTime": DATE_TIMES, "UUID": UUIDS}

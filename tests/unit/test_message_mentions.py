"""Who a message may ping."""

import pytest

from engine.message.rules import message_errors

Path = tuple[str | int, ...]

A, B = "123456789012345678", "987654321098765432"


def paths(mentions: object) -> list[Path]:
    """Return the paths of the problems, relative to allowed_mentions."""
    payload = {"content": "x", "allowed_mentions": mentions}
    found = [error.path for error in message_errors(payload)]
    assert all(path[0] == "allowed_mentions" for path in found)
    return [path[1:] for path in found]


def ids(count: int) -> list[str]:
    return [str(10**17 + index) for index in range(count)]


@pytest.mark.parametrize(
    "mentions",
    [
        {},
        {"parse": []},
        {"parse": None, "users": None, "roles": None, "replied_user": None},
        {"parse": ["users", "roles", "everyone"], "replied_user": True},
        {"users": [A, B], "roles": [A]},
        {"parse": ["everyone"], "users": [A], "roles": [B]},
        {"parse": ["roles"], "users": [A]},
        {"parse": ["users"], "roles": [A]},
        {"parse": ["users"], "users": []},
        {"parse": ["roles"], "roles": None},
    ],
)
def test_what_may_be_allowed(mentions: object) -> None:
    assert paths(mentions) == []


@pytest.mark.parametrize(
    ("mentions", "expected"),
    [
        ({"parse": ["users"], "users": [A]}, [("users",)]),
        ({"parse": ["everyone", "roles"], "roles": [A]}, [("roles",)]),
        ({"roles": [A], "users": [A], "parse": ["users", "roles"]}, [("roles",), ("users",)]),
    ],
)
def test_ids_exclude_the_kind_that_allows_all(mentions: object, expected: list[Path]) -> None:
    assert paths(mentions) == expected


@pytest.mark.parametrize("kind", ["users", "roles"])
def test_at_most_100_ids(kind: str) -> None:
    assert paths({kind: ids(100)}) == []
    assert paths({kind: ids(101)}) == [(kind,)]


@pytest.mark.parametrize("kind", ["users", "roles"])
def test_ids_are_unique(kind: str) -> None:
    assert paths({kind: [A, B, A, A]}) == [(kind, 2), (kind, 3)]


def test_kinds_are_unique() -> None:
    assert paths({"parse": ["users", "users"]}) == [("parse", 1)]


@pytest.mark.parametrize("kind", ["user", "Users", "here", "", None, 1, ["users"]])
def test_other_kinds_are_refused(kind: object) -> None:
    assert paths({"parse": ["roles", kind]}) == [("parse", 1)]


@pytest.mark.parametrize("snowflake", ["1", "@everyone", 123456789012345678, None, {}])
def test_other_ids_are_refused(snowflake: object) -> None:
    assert paths({"users": [A, snowflake], "roles": [snowflake]}) == [("users", 1), ("roles", 0)]


@pytest.mark.parametrize(
    ("mentions", "path"),
    [
        ({"parse": "users"}, ("parse",)),
        ({"users": A}, ("users",)),
        ({"roles": {}}, ("roles",)),
        ({"replied_user": 1}, ("replied_user",)),
        ({"everyone": True}, ("everyone",)),
    ],
)
def test_other_shapes_are_refused(mentions: object, path: Path) -> None:
    assert paths(mentions) == [path]


def test_messages_name_what_is_wrong() -> None:
    payload = {
        "content": "x",
        "allowed_mentions": {"parse": ["users", "all"], "users": [5], "role": []},
    }

    assert [error.message for error in message_errors(payload)] == [
        "must be users or roles or everyone",
        'can\'t be given while parse holds "users"',
        "must be a string of digits in quotes; a number this long loses digits",
        "is not a field of allowed_mentions; did you mean roles?",
    ]

from collections.abc import Mapping

import pytest
from pydantic import SecretStr
from starlette.datastructures import Headers

from schema.keys import KeyRing, Principal, presented_key
from setting_types import ApiKey, KeyRole

KEYS = KeyRing(
    [
        ApiKey(name="old", key=SecretStr("first-key"), role=KeyRole.ADMIN),
        ApiKey(name="new", key=SecretStr("second-key"), role=KeyRole.ADMIN),
        ApiKey(name="board", key=SecretStr("third-key"), role=KeyRole.READ),
    ]
)


@pytest.mark.parametrize(
    ("key", "name", "role"),
    [
        ("first-key", "old", KeyRole.ADMIN),
        ("second-key", "new", KeyRole.ADMIN),
        ("third-key", "board", KeyRole.READ),
    ],
)
def test_each_key_is_found_with_its_name_and_role(key: str, name: str, role: KeyRole) -> None:
    assert KEYS.find(key) == Principal(name=name, role=role)


@pytest.mark.parametrize("key", ["", "first", "first-key ", "FIRST-KEY", "fïrst-key", "x" * 10_000])
def test_a_wrong_key_is_nobodys(key: str) -> None:
    assert KEYS.find(key) is None


def test_without_keys_every_key_is_wrong() -> None:
    assert KeyRing([]).find("") is None


def test_the_ring_does_not_show_its_keys() -> None:
    shown = repr(vars(KEYS))

    assert "board" in shown
    assert "third-key" not in shown


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"x-api-key": "k"}, "k"),
        ({"X-API-Key": "  k "}, "k"),
        ({"authorization": "Bearer k"}, "k"),
        ({"authorization": "bearer  k "}, "k"),
        ({"x-api-key": "k", "authorization": "Bearer other"}, "k"),
        ({"x-api-key": " ", "authorization": "Bearer k"}, "k"),
        ({"authorization": "Basic k"}, None),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "k"}, None),
        ({"x-api-key": ""}, None),
        ({}, None),
    ],
)
def test_key_is_read_from_either_header(headers: Mapping[str, str], key: str | None) -> None:
    assert presented_key(Headers(headers)) == key

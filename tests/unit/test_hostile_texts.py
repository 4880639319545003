"""Texts made to keep a regular expression or a normal form busy are answered at once."""

import time
from collections.abc import Iterator

import pytest
from graphql import GraphQLError, Source

from engine.text import normalised
from schema.errors import presented

# Each took seconds to hours; on a machine that is busy, milliseconds may become many.
SECONDS = 2.0


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < SECONDS


def test_variable_is_looked_for_in_a_long_text() -> None:
    text = "#" + "a" * 500_000 + "\nquery($v: Int!) { tasks(limit: $v) { data { id } } }"
    error = GraphQLError("Variable '$v' has invalid value: Int cannot", source=Source(text))

    (shown,) = presented([error], None)

    assert shown.extensions is not None
    assert shown.extensions["fieldErrors"][0]["path"] == ["limit"]


@pytest.mark.parametrize("hostile", [" cannot represent", ", found", "Name '", " value", "\"'"])
def test_sentence_that_repeats_a_long_key_is_cut(hostile: str) -> None:
    (shown,) = presented([GraphQLError(f"Unknown field {hostile * 50_000}: 1")], None)

    assert len(shown.message) <= 1_001


def test_half_a_token_at_the_cut_is_not_shown() -> None:
    message = "x " * 480 + "https://discord.com/api/webhooks/123456789012345678/" + "abcdefghij" * 9

    (shown,) = presented([GraphQLError(message)], None)

    assert "abcdefghij" not in shown.message


def test_many_marks_on_one_letter_are_not_composed() -> None:
    text = "a" + "\u0301\u0327" * 100_000

    assert normalised(text) == text

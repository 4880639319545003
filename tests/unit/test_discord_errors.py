"""Error bodies as one readable line, without secrets."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.discord_errors import MAX_MESSAGE_CHARS, clean_text, describe, error_code, json_object

TOKEN = "aB3-_" * 13 + "xyz"


def described(body: object, *, status: int = 400, note: str = "") -> str:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return describe(status, data, json_object(data), note)


def leaf(*messages: str) -> dict[str, object]:
    return {"_errors": [{"code": "BASE_TYPE", "message": message} for message in messages]}


def form(errors: object) -> dict[str, object]:
    return {"message": "Invalid Form Body", "code": 50035, "errors": errors}


def test_each_error_of_the_form_is_shown_at_its_path() -> None:
    errors = {
        "content": leaf("Too long."),
        "embeds": {"0": {"title": leaf("Too wide.", "Too tall.")}, "1": leaf("Empty.")},
    }

    assert described(form(errors)) == (
        "HTTP 400, code 50035: Invalid Form Body; content: Too long.; embeds.0.title: Too wide.; "
        "embeds.0.title: Too tall.; embeds.1: Empty."
    )


def test_errors_at_the_root_and_on_a_container_are_shown() -> None:
    errors = leaf("Odd.") | {"embeds": leaf("Too many.") | {"0": {"url": leaf("No URL.")}}}

    assert described(form(errors)).endswith("; Odd.; embeds: Too many.; embeds.0.url: No URL.")


@pytest.mark.parametrize(
    ("given_leaf", "shown"),
    [({"code": "ONLY_CODE"}, "ONLY_CODE"), ("text", "text"), ({}, "not valid"), (7, "7")],
)
def test_leaves_of_another_form_are_shown_as_they_are(given_leaf: object, shown: str) -> None:
    assert described(form({"poll": {"_errors": [given_leaf]}})).endswith(f"; poll: {shown}")


@pytest.mark.parametrize("errors", [None, [], "x", 5, {"_errors": "x"}, {"a": []}, {"a": 1}])
def test_errors_of_no_known_form_leave_the_message(errors: object) -> None:
    assert described(form(errors)) == "HTTP 400, code 50035: Invalid Form Body"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"error code: 1015\n", "HTTP 400: error code: 1015"),
        (b'{"embeds": ["0"]}', 'HTTP 400: {"embeds": ["0"]}'),
        (b"", "HTTP 400"),
        (b" \n<html>blocked</html>", "HTTP 400"),
        (b"long " * 100, "HTTP 400"),
    ],
)
def test_without_discords_form_only_a_short_text_is_shown(body: bytes, shown: str) -> None:
    assert described(body) == shown


def test_a_note_comes_last() -> None:
    assert described(b"", status=504, note="it may be posted") == "HTTP 504; it may be posted"


@pytest.mark.parametrize(
    "body",
    [
        f"/api/v10/webhooks/1/{TOKEN} was not found".encode(),
        {"message": f"no {TOKEN}", "code": 0},
        form({TOKEN: leaf("x")}),
        form({"a": leaf(TOKEN)}),
        form({"a" * 49: {"." * 200: {TOKEN: leaf("cut")}}}),
    ],
)
def test_a_token_that_is_echoed_is_not_shown(body: object) -> None:
    shown = described(body)

    assert TOKEN[:20] not in shown
    assert "****" in shown


def test_a_body_nested_deeper_than_python_recurses_is_read() -> None:
    body = b'{"errors":' + b'{"a":' * 1000 + b'{"_errors":["deep"]}' + b"}" * 1001

    assert describe(400, body, json_object(body)).endswith(": deep")


def test_a_thousand_errors_are_cut() -> None:
    shown = described(form({str(n): leaf("Wrong. " * 9) for n in range(1000)}))

    assert len(shown) == MAX_MESSAGE_CHARS
    assert shown.endswith("…")


@given(st.text())
def test_a_clean_text_fits_a_log_row(text: str) -> None:
    shown = clean_text(text * 50)

    assert len(shown) <= MAX_MESSAGE_CHARS
    assert not any(ord(character) < 32 for character in shown)


@pytest.mark.parametrize(
    ("body", "code"),
    [(b'{"code":0}', 0), (b'{"code":"0"}', None), (b'{"code":true}', None), (b"[]", None)],
)
def test_only_a_number_is_a_code(body: bytes, code: int | None) -> None:
    assert error_code(json_object(body)) == code

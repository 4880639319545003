"""The fields of a message itself, what they may be together, and how problems are told."""

import pytest
from pydantic_core import ErrorDetails

from engine.errors import FieldError
from engine.message.rules import message_errors, needs_components
from engine.message.sentences import translated

Path = tuple[str | int, ...]
Json = dict[str, object]

SNOWFLAKE = "123456789012345678"
TEXT = {"type": 10, "content": "text"}
ROW = {"type": 1, "components": [{"type": 2, "style": 5, "label": "x", "url": "https://a.example"}]}
POLL = {"question": {"text": "q"}, "answers": [{"poll_media": {"text": "a"}}]}
ASTRAL = "\U0001f600"


def paths(payload: object, *, has_thread: bool = False) -> list[Path]:
    return [error.path for error in message_errors(payload, has_thread=has_thread)]


def messages(payload: object) -> list[str]:
    return [error.message for error in message_errors(payload)]


FULL: Json = {
    "content": "Hello",
    "username": "Reporter",
    "avatar_url": "https://example.com/a.png",
    "tts": False,
    "embeds": [{"title": "t", "fields": [{"name": "n", "value": "v", "inline": True}]}],
    "allowed_mentions": {"parse": []},
    "components": [ROW],
    "flags": 4 | 4096,
    "poll": POLL,
    "thread_name": "Topic",
    "applied_tags": [SNOWFLAKE],
    "attachments": [],
}


def test_a_message_with_every_field_is_valid() -> None:
    assert message_errors(FULL) == []


@pytest.mark.parametrize("field", sorted(FULL))
def test_every_field_may_be_null(field: str) -> None:
    payload: Json = {"content": "x", "embeds": [{"title": "t"}], field: None}

    assert message_errors(payload) == []


@pytest.mark.parametrize(
    "payload",
    [
        {"content": "x"},
        {"embeds": [{"title": "t"}]},
        {"components": [ROW]},
        {"poll": POLL},
        {"flags": 32768, "components": [TEXT]},
    ],
)
def test_any_one_content_is_enough(payload: Json) -> None:
    assert message_errors(payload) == []


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"content": None},
        {"content": ""},
        {"content": " \n\t\u2003"},
        {"embeds": []},
        {"components": []},
        {"content": "", "embeds": [], "components": [], "poll": None, "username": "x"},
        {"attachments": []},
        {"flags": 32768},
        {"flags": 32768, "components": []},
    ],
)
def test_a_message_without_content_is_refused(payload: Json) -> None:
    assert paths(payload) == [()]


@pytest.mark.parametrize("payload", [None, True, 1, 1.5, "content", [], [{"content": "x"}]])
def test_what_is_no_object_is_refused(payload: object) -> None:
    assert paths(payload) == [()]


@pytest.mark.parametrize(
    ("field", "at_least", "at_most"),
    [("content", 0, 2000), ("username", 1, 80), ("thread_name", 1, 100)],
)
@pytest.mark.parametrize("character", ["x", "é", ASTRAL])
def test_lengths_count_code_points(field: str, at_least: int, at_most: int, character: str) -> None:
    base: Json = {"embeds": [{"title": "t"}]}

    assert paths(base | {field: character}) == []
    assert paths(base | {field: character * at_most}) == []
    assert paths(base | {field: character * (at_most + 1)}) == [(field,)]
    assert paths(base | {field: " \n "}) == ([(field,)] if at_least else [])
    assert paths(base | {field: ""}) == ([(field,)] if at_least else [])


@pytest.mark.parametrize(("field", "at_most"), [("content", 2000), ("username", 80)])
def test_blanks_around_a_text_are_not_counted(field: str, at_most: int) -> None:
    trimmed = " \n" + "x" * at_most + "\u3000\t"

    assert paths({"content": "x", field: trimmed}) == []
    assert paths({"content": "x", field: f" y{trimmed}"}) == [(field,)]


def test_a_length_is_told_as_it_was_counted() -> None:
    assert messages({"content": f"  {ASTRAL * 2010}  "}) == [
        "is 2010 characters long; at most 2000 are allowed"
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", 5),
        ("content", True),
        ("content", ["x"]),
        ("content", {}),
        ("username", 5),
        ("avatar_url", 5),
        ("tts", 1),
        ("tts", "true"),
        ("embeds", {}),
        ("embeds", "x"),
        ("allowed_mentions", []),
        ("components", {}),
        ("flags", "4"),
        ("flags", True),
        ("flags", 4.0),
        ("poll", []),
        ("thread_name", 5),
        ("applied_tags", SNOWFLAKE),
    ],
)
def test_no_value_is_coerced(field: str, value: object) -> None:
    assert paths({"content": "x"} | {field: value}) == [(field,)]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({"content": 5}, "must be a string, not an integer"),
        ({"content": "x", "tts": 1}, "must be true or false, not an integer"),
        ({"content": "x", "tts": "true"}, "must be true or false, not a string"),
        ({"content": "x", "flags": True}, "must be an integer, not a boolean"),
        ({"content": "x", "flags": 4.0}, "must be an integer, not a decimal number"),
        ({"content": "x", "embeds": {}}, "must be a list, not an object"),
        ({"content": "x", "embeds": [None]}, "must be an object, not null"),
        ({"content": "x", "poll": [1]}, "must be an object, not a list"),
        ([], "must be an object, not a list"),
        (None, "must be an object, not null"),
    ],
)
def test_a_wrong_type_is_told_in_the_words_of_json(payload: object, message: str) -> None:
    assert messages(payload) == [message]


@pytest.mark.parametrize(
    "name",
    ["Clyde", "xCLYDEx", "Clydesdale", "my discord", "DiScOrD", "everyone", "HERE", " here "],
)
def test_some_names_are_refused(name: str) -> None:
    assert paths({"content": "x", "username": name}) == [("username",)]


@pytest.mark.parametrize(
    "name", ["everyone!", "is here", "there", "disc", "@x", "a:b", "#1", "```"]
)
def test_names_that_only_resemble_them_are_taken(name: str) -> None:
    assert paths({"content": "x", "username": name}) == []


def test_a_name_tells_every_rule_it_breaks() -> None:
    assert messages({"content": "x", "username": "Clyde of Discord" + "x" * 65}) == [
        'contains "clyde", which Discord refuses in a name',
        'contains "discord", which Discord refuses in a name',
        "is 81 characters long; at most 80 are allowed",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "https://a.example",
        "HTTPS://A.EXAMPLE/x?y=1#z",
        "https://bücher.example/ä",
        "https://a.example:8443/x",
        "https://[2001:db8::1]/x",
        " https://a.example/x ",
        "https://a.example/" + "x" * (2048 - 18),
    ],
)
def test_absolute_urls_are_taken(url: str) -> None:
    assert paths({"content": "x", "avatar_url": url}) == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "a.example",
        "//a.example",
        "/x.png",
        "https:",
        "https://",
        "https:///x",
        "https:a.example",
        "ftp://a.example",
        "discord://a.example",
        "javascript:alert(1)",
        "data:image/png;base64,AA",
        "attachment://x.png",
        "https://a .example",
        "https://a.example/x y",
        "https://a.ex\nample/x",
        "https://a.example:99999",
        "https://a.example:0",
        "https://a.example:x",
        "https://[::1",
        "https://a.example/" + "x" * (2048 - 17),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    assert paths({"content": "x", "avatar_url": url}) == [("avatar_url",)]


def test_an_attachment_is_refused_with_the_reason() -> None:
    (message,) = messages({"content": "x", "avatar_url": "attachment://x.png"})

    assert "files are not supported" in message


@pytest.mark.parametrize("flags", [0, 4, 4096, 4100])
def test_known_flags_are_taken(flags: int) -> None:
    assert paths({"content": "x", "flags": flags}) == []


@pytest.mark.parametrize("flags", [1, 2, 5, 8, 64, 8192, 65536, -1, -4, 2**63 - 1, 2**64 - 1])
def test_other_flags_are_refused(flags: int) -> None:
    payload = {"content": "x", "components": [ROW], "flags": flags}

    assert ("flags",) in paths(payload)
    assert "may only be a sum of 4, 4096 and 32768" in messages(payload)


@pytest.mark.parametrize("flags", [32768, 32768 | 4, 32768 | 4096])
def test_components_version_2_excludes_other_content(flags: int) -> None:
    payload = {
        "content": "",
        "embeds": [{"title": "t"}],
        "poll": POLL,
        "flags": flags,
        "components": [TEXT],
    }

    assert paths(payload) == [("content",), ("embeds",), ("poll",)]


def test_components_version_2_takes_absent_content() -> None:
    payload = {"flags": 32768, "components": [TEXT], "content": None, "embeds": [], "poll": None}

    assert paths(payload) == []


def test_thread_name_and_thread_id_exclude_each_other() -> None:
    payload = {"content": "x", "thread_name": "Topic"}

    assert paths(payload) == []
    assert paths(payload, has_thread=True) == [("thread_name",)]
    assert paths({"content": "x", "thread_name": None}, has_thread=True) == []
    assert paths([], has_thread=True) == [()]


def test_at_most_five_tags() -> None:
    assert paths({"content": "x", "applied_tags": [SNOWFLAKE] * 5}) == []
    assert paths({"content": "x", "applied_tags": [SNOWFLAKE] * 6}) == [("applied_tags",)]


@pytest.mark.parametrize("snowflake", ["1" + "0" * 16, "9" * 19, "18446744073709551615", SNOWFLAKE])
def test_ids_are_strings_of_digits(snowflake: str) -> None:
    assert paths({"content": "x", "applied_tags": [snowflake]}) == []


@pytest.mark.parametrize(
    "snowflake",
    [
        "1" * 16,
        "1" * 21,
        "18446744073709551616",
        "0" + "1" * 17,
        "+12345678901234567",
        " 123456789012345678",
        "123456789012345678\n",
        "12345678901234567x",
        "\u0661" * 18,
        "",
        123456789012345678,
        True,
        1.5,
        None,
    ],
)
def test_other_ids_are_refused(snowflake: object) -> None:
    assert paths({"content": "x", "applied_tags": [SNOWFLAKE, snowflake]}) == [("applied_tags", 1)]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("embed", "is not a field of a webhook message; did you mean embeds?"),
        ("Content", "is not a field of a webhook message; did you mean content?"),
        ("user_name", "is not a field of a webhook message; did you mean username?"),
        ("xyz", "is not a field of a webhook message"),
        ("", "is not a field of a webhook message"),
        ("files", "can't be sent: files are not supported"),
        ("file", "can't be sent: files are not supported"),
        ("payload_json", "can't be sent: files are not supported"),
        ("attachments", "can't be sent: files are not supported"),
        ("thread_id", "belongs to the webhook URL, as ?thread_id=…"),
        *(
            (key, "belongs to Create Message, which needs a bot; a webhook ignores it")
            for key in ("nonce", "enforce_nonce", "message_reference", "sticker_ids")
        ),
        *(
            (key, "belongs to the request's query, which is made when the message is sent")
            for key in ("wait", "with_components")
        ),
    ],
)
def test_other_keys_are_refused_by_name(key: str, message: str) -> None:
    assert message_errors({"content": "x", key: {"id": 1}}) == [FieldError((key,), message)]


def test_an_unknown_key_is_refused_even_when_null() -> None:
    assert paths({"content": "x", "colour": None}) == [("colour",)]


@pytest.mark.parametrize("key", ["attachments", "files", "nonce", "sticker_ids"])
def test_a_key_that_cannot_be_used_passes_when_it_asks_for_nothing(key: str) -> None:
    assert paths({"content": "x", key: None}) == []
    assert paths({"content": "x", key: []}) == []


def test_a_file_alone_is_told_once() -> None:
    assert paths({"attachments": [{"id": 0, "filename": "x"}]}) == [("attachments",)]


def test_all_problems_are_told_at_once_in_document_order() -> None:
    payload = {
        "poll": {"answers": [{"poll_media": {"text": "a", "emoji": {}}}, 5], "duration": 0},
        "unknown": 1,
        "embeds": [
            {"title": "x" * 257, "fields": [{"value": "v"}, {"name": "n", "value": ""}]},
            {"color": -1},
        ],
        "username": "discord",
        "components": [{"type": 99}, {"type": 1, "components": []}],
        "allowed_mentions": {"users": [1], "parse": ["all"]},
        "content": "x" * 2001,
    }

    assert paths(payload) == [
        ("poll", "answers", 0, "poll_media", "emoji"),
        ("poll", "answers", 1),
        ("poll", "duration"),
        ("poll", "question"),
        ("unknown",),
        ("embeds", 0, "title"),
        ("embeds", 0, "fields", 0, "name"),
        ("embeds", 0, "fields", 1, "value"),
        ("embeds", 1, "color"),
        ("embeds", 1, "description"),
        ("username",),
        ("components", 0, "type"),
        ("components", 1, "components"),
        ("allowed_mentions", "users", 0),
        ("allowed_mentions", "parse", 0),
        ("content",),
    ]


def test_the_order_does_not_depend_on_the_run() -> None:
    payload = {f"unknown{index}": 1 for index in range(50)} | {"content": "x"}

    assert paths(payload) == [(f"unknown{index}",) for index in range(50)]


def test_no_message_shows_a_value_or_the_words_of_the_library() -> None:
    secret = "hunter2"
    payload = {
        "content": [secret],
        "username": f"discord {secret}",
        "avatar_url": secret,
        "flags": secret,
        "embeds": [{"color": secret, "timestamp": secret, "image": secret, "fields": [secret]}],
        "components": [{"type": secret}, {"type": 1, "id": secret, "components": secret}],
        "allowed_mentions": {"parse": [secret], "users": [secret]},
        "poll": {"question": secret, "answers": secret, "layout_type": secret},
        "applied_tags": [secret],
    }

    told = " ".join(messages(payload)).lower()

    assert len(paths(payload)) >= 17
    for word in (secret, "pydantic", "input should", "http://errors", "value error", "validat"):
        assert word not in told


def test_an_error_of_the_library_that_is_not_foreseen_shows_nothing_of_it() -> None:
    error = ErrorDetails(type="finite_number", loc=("x",), msg="Input should be …", input="hunter2")

    assert translated(error) == "is not allowed here"


@pytest.mark.parametrize(
    ("payload", "needed"),
    [
        ({"components": [ROW]}, True),
        ({"components": []}, False),
        ({"components": None}, False),
        ({"content": "x"}, False),
        ({"components": "x"}, False),
    ],
)
def test_components_need_a_query_parameter(payload: Json, needed: bool) -> None:
    assert needs_components(payload) is needed

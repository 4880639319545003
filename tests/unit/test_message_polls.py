"""Polls and their emoji."""

import pytest

from engine.message.rules import message_errors

Path = tuple[str | int, ...]
Json = dict[str, object]

ID = "123456789012345678"


def paths(poll: object) -> list[Path]:
    """Return the paths of the problems, relative to the poll."""
    found = [error.path for error in message_errors({"poll": poll})]
    assert all(path[0] == "poll" for path in found)
    return [path[1:] for path in found]


def poll(**changed: object) -> Json:
    return {"question": {"text": "q"}, "answers": [answer("a"), answer("b")]} | changed


def answer(text: object, **more: object) -> Json:
    return {"poll_media": {"text": text, **more}}


def test_a_poll_with_every_field_is_valid() -> None:
    media = answer("a", emoji={"id": ID, "name": "wave", "animated": False})

    assert paths(poll(answers=[media], duration=24, allow_multiselect=True, layout_type=1)) == []


@pytest.mark.parametrize("field", ["duration", "allow_multiselect", "layout_type"])
def test_optional_fields_may_be_null(field: str) -> None:
    assert paths(poll(**{field: None})) == []


def test_a_question_and_answers_are_required() -> None:
    assert paths({}) == [("question",), ("answers",)]
    assert paths(poll(question=None, answers=None)) == [("question",), ("answers",)]
    assert paths(poll(question={}, answers=[{}, {"poll_media": {}}])) == [
        ("question", "text"),
        ("answers", 0, "poll_media"),
        ("answers", 1, "poll_media", "text"),
    ]


@pytest.mark.parametrize("character", ["x", "\U0001f600"])
def test_texts_have_their_limits(character: str) -> None:
    question, media = ("question", "text"), ("answers", 0, "poll_media", "text")

    assert paths(poll(question={"text": f" {character * 300} "})) == []
    assert paths(poll(question={"text": character * 301})) == [question]
    assert paths(poll(question={"text": " "})) == [question]
    assert paths(poll(answers=[answer(f" {character * 55} ")])) == []
    assert paths(poll(answers=[answer(character * 56)])) == [media]
    assert paths(poll(answers=[answer("\n")])) == [media]


@pytest.mark.parametrize(("count", "wrong"), [(0, True), (1, False), (10, False), (11, True)])
def test_one_to_ten_answers(count: int, wrong: bool) -> None:
    assert paths(poll(answers=[answer("a")] * count)) == ([("answers",)] if wrong else [])


@pytest.mark.parametrize("duration", [1, 24, 768])
def test_durations_in_hours(duration: int) -> None:
    assert paths(poll(duration=duration)) == []


@pytest.mark.parametrize("duration", [0, 769, -1, 1.0, "24", True])
def test_other_durations_are_refused(duration: object) -> None:
    assert paths(poll(duration=duration)) == [("duration",)]


@pytest.mark.parametrize("layout", [0, 2, "1", True, 1.0])
def test_only_the_first_layout_exists(layout: object) -> None:
    assert paths(poll(layout_type=layout)) == [("layout_type",)]


@pytest.mark.parametrize(
    "emoji",
    [
        {"id": ID},
        {"name": "\U0001f44b"},
        {"id": None, "name": "x" * 32},
        {"id": ID, "name": None, "animated": True},
        None,
    ],
)
def test_an_emoji_has_an_id_or_a_name(emoji: object) -> None:
    assert paths(poll(answers=[answer("a", emoji=emoji)])) == []


@pytest.mark.parametrize(
    ("emoji", "path"),
    [
        ({}, ()),
        ({"id": None, "name": " "}, ()),
        ({"animated": True}, ()),
        ("\U0001f44b", ()),
        ({"id": "1"}, ("id",)),
        ({"id": 123456789012345678}, ("id",)),
        ({"name": "x" * 33}, ("name",)),
        ({"id": ID, "animated": 1}, ("animated",)),
        ({"id": ID, "roles": []}, ("roles",)),
    ],
)
def test_other_emoji_are_refused(emoji: object, path: Path) -> None:
    expected = [("answers", 0, "poll_media", "emoji", *path)]

    assert paths(poll(answers=[answer("a", emoji=emoji)])) == expected


def test_a_question_has_no_emoji() -> None:
    assert paths(poll(question={"text": "q", "emoji": None})) == []
    assert paths(poll(question={"text": "q", "emoji": {"id": ID}})) == [("question", "emoji")]


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"expiry": 1}, ("expiry",)),
        ({"allow_multiselect": 1}, ("allow_multiselect",)),
        ({"answers": [{"answer_id": 1} | answer("a")]}, ("answers", 0, "answer_id")),
        ({"answers": [answer("a", image="x")]}, ("answers", 0, "poll_media", "image")),
        ({"question": "q"}, ("question",)),
        ({"answers": ["a"]}, ("answers", 0)),
        ({"answers": {}}, ("answers",)),
    ],
)
def test_other_shapes_are_refused(changed: Json, path: Path) -> None:
    assert paths(poll(**changed)) == [path]


def test_messages_name_the_figures() -> None:
    wrong = poll(answers=[answer("x" * 60)] * 11, duration=769, layout_type=2)
    told = [error.message for error in message_errors({"poll": wrong})]

    assert told[0] == "has 11 items; at most 10 are allowed"
    assert told[1] == "is 60 characters long; at most 55 are allowed"
    assert told[-2:] == ["is 769; at most 768 is allowed", "must be 1"]

"""What any payload must be as JSON, and that nothing at all makes the check fail."""

import copy
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import FieldError
from engine.message.rules import message_errors

Path = tuple[str | int, ...]
Json = dict[str, object]


def paths(payload: object) -> list[Path]:
    return [error.path for error in message_errors(payload)]


@pytest.mark.parametrize(
    "character", ["\x00", "\x01", "\x08", "\x0b", "\x0c", "\x1f", "\x7f", "\x80", "\x85", "\x9f"]
)
def test_control_characters_are_refused_wherever_they_are(character: str) -> None:
    dirty = f"a{character}"

    assert paths({"content": dirty}) == [("content",)]
    assert paths({"embeds": [{"title": dirty, "footer": {"text": dirty}}]}) == [
        ("embeds", 0, "title"),
        ("embeds", 0, "footer", "text"),
    ]
    assert message_errors({"content": "x", dirty: 1}) == [
        FieldError(
            (),
            f"has a key with a control character (U+{ord(character):04X}) at character 2, "
            "which is not allowed",
        )
    ]


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\xa0", "\u200b", "\u2028", "\ufffd"])
def test_other_characters_are_taken(character: str) -> None:
    assert paths({"content": f"a{character}b"}) == []


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDFFF])
def test_halves_of_surrogate_pairs_are_refused(code: int) -> None:
    half = f"a{chr(code)}"

    assert paths({"content": half, "embeds": [{"title": half}]}) == [
        ("content",),
        ("embeds", 0, "title"),
    ]
    assert paths({"embeds": [{half: 1}]}) == [("embeds", 0)]


def test_a_text_with_both_tells_both() -> None:
    assert [error.message for error in message_errors({"content": "\x00a\udfff"})] == [
        "has half of a surrogate pair (U+DFFF) at character 3, which is not allowed",
        "has a control character (U+0000) at character 1, which is not allowed",
    ]


def test_a_control_character_does_not_hide_other_problems() -> None:
    assert [error.message for error in message_errors({"content": "\x00" + "x" * 2000})] == [
        "has a control character (U+0000) at character 1, which is not allowed",
        "is 2001 characters long; at most 2000 are allowed",
    ]


@pytest.mark.parametrize(
    "number",
    [float("nan"), float("inf"), float("-inf"), 2**64, -(2**63) - 1, 10**30, 10**5000],
    ids=lambda number: "huge" if number == 10**5000 else str(number),
)
def test_numbers_that_json_cannot_carry_are_refused(number: float) -> None:
    assert paths({"content": "x", "flags": number}) == [("flags",)]
    assert paths({"embeds": [{"title": "t", "color": number}]}) == [("embeds", 0, "color")]


@pytest.mark.parametrize(
    ("number", "fits"),
    [(2**64 - 1, True), (2**64, False), (-(2**63), True), (-(2**63) - 1, False)],
)
def test_integers_have_64_bits(number: int, fits: bool) -> None:
    (error,) = message_errors({"content": "x", "poll": number})

    assert error.path == ("poll",)
    assert (error.message == "does not fit into 64 bits") is not fits


@pytest.mark.parametrize("value", [(), (1,), {1}, b"x", object(), 1j])
def test_what_json_does_not_know_is_refused(value: object) -> None:
    assert paths({"content": "x", "embeds": [value]}) == [("embeds", 0)]


def test_keys_are_strings_of_a_bounded_length() -> None:
    assert paths({"content": "x", 5: 1}) == [()]
    assert paths({"content": "x", "k" * 100: 1}) == [("k" * 100,)]
    assert paths({"content": "x", "k" * 101: 1}) == [()]


def nested(depth: int) -> object:
    payload: object = {}
    for _ in range(depth - 1):
        payload = [payload]
    return payload


def test_depth_is_bounded() -> None:
    shallow, deep, deepest = nested(32), nested(33), nested(100_000)

    assert paths({"content": "x", "x": nested(31)}) == [("x",)]
    assert paths(shallow) == [()]
    assert paths(deep) == [(0,) * 32]
    assert paths(deepest) == [(0,) * 32]


def test_a_payload_that_holds_itself_is_refused() -> None:
    payload: Json = {"content": "x"}
    payload["embeds"] = [payload, payload]

    assert message_errors(payload)


def test_the_number_of_values_is_bounded() -> None:
    # The payload, the content and the list are values as well.
    assert paths({"content": "x", "x": [0] * 2_497}) == [("x",)]
    assert paths({"content": "x", "x": [0] * 2_498}) == [()]


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600", '"'])
def test_the_size_as_json_is_bounded(character: str) -> None:
    width = {"x": 1, "é": 2, "\U0001f600": 4, '"': 2}[character]
    frame = len('{"content":""}')
    count, rest = divmod(1_048_576 - 1 - frame, width)
    largest = character * count + "x" * rest

    assert paths({"content": largest}) == [("content",)]
    assert paths({"content": largest + "x"}) == [(), ("content",)]


def test_the_largest_message_is_within_the_bounds() -> None:
    url = "https://a.example/".ljust(2048, "x")
    field = {"name": "\U0001f600", "value": "\U0001f600" * 5, "inline": False}
    picture = {"url": url, "proxy_url": url, "width": 1, "height": 1}
    embed = {
        "title": "\U0001f600" * 100,
        "type": "rich",
        "description": "\U0001f600" * 200,
        "url": url,
        "timestamp": "2026-01-31T18:30:00Z",
        "color": 1,
        "footer": {"text": "\U0001f600" * 50, "icon_url": url, "proxy_icon_url": url},
        "author": {"name": "\U0001f600" * 50, "url": url, "icon_url": url},
        "image": picture,
        "thumbnail": picture,
        "video": picture,
        "provider": {"name": "p", "url": url},
        "fields": [field] * 25,
    }
    button = {
        "type": 2,
        "style": 5,
        "label": "x" * 80,
        "url": url[:512],
        "emoji": {"id": "123456789012345678", "name": "x" * 32, "animated": True},
        "disabled": True,
    }
    answer = {"poll_media": {"text": "x" * 55, "emoji": {"name": "x" * 32}}}
    payload = {
        "content": "\U0001f600" * 2000,
        "username": "x" * 80,
        "avatar_url": url,
        "embeds": [embed] * 10,
        "components": [{"type": 1, "components": [button] * 5}] * 5,
        "poll": {"question": {"text": "x" * 300}, "answers": [answer] * 10},
        "allowed_mentions": {
            "users": [str(10**17 + index) for index in range(100)],
            "roles": [str(10**17 + index) for index in range(100)],
        },
        "applied_tags": ["123456789012345678"] * 5,
    }

    assert message_errors(payload) == []


VALID: Json = {
    "content": "Hello",
    "username": "Reporter",
    "avatar_url": "https://a.example/a.png",
    "flags": 4,
    "embeds": [
        {
            "title": "t",
            "color": 5,
            "timestamp": "2026-01-31T18:30:00Z",
            "author": {"name": "a", "icon_url": "https://a.example"},
            "footer": {"text": "f"},
            "image": {"url": "https://a.example"},
            "fields": [{"name": "n", "value": "v", "inline": True}],
        }
    ],
    "components": [
        {"type": 1, "components": [{"type": 2, "style": 5, "label": "x", "url": "https://a.b"}]}
    ],
    "poll": {"question": {"text": "q"}, "answers": [{"poll_media": {"text": "a"}}]},
    "allowed_mentions": {"parse": ["users"], "roles": ["123456789012345678"]},
    "applied_tags": ["123456789012345678"],
}
LAYOUT: Json = {
    "flags": 32768,
    "components": [
        {
            "type": 17,
            "accent_color": 5,
            "components": [
                {"type": 10, "content": "x", "id": 3},
                {
                    "type": 9,
                    "components": [{"type": 10, "content": "x"}],
                    "accessory": {"type": 11, "media": {"url": "https://a.b"}},
                },
                {"type": 12, "items": [{"media": {"url": "https://a.b"}, "spoiler": True}]},
                {"type": 14, "spacing": 1},
            ],
        }
    ],
}
WRONG: list[object] = [
    None, True, 0, 1, -1, 10, 2**70, 1.5, float("nan"), "", " ", "x" * 5000, "\x00", "\x00\ud800",
    "https://a.b", "\U0001f600", [], [None], [[]], {}, {"type": 10}, {"x": 1}, [{}] * 50, (), b"",
]  # fmt: skip
KEYS = ["type", "components", "content", "embeds", "url", "id", "fields", "x", "", "\x00", "\udfff"]


def containers(payload: object) -> list[Json | list[object]]:
    """Return every object and list in a payload."""
    if not isinstance(payload, (dict, list)):
        return []
    members = payload.values() if isinstance(payload, dict) else payload
    return [payload, *(found for member in members for found in containers(member))]


def mutate(payload: object, chance: random.Random) -> None:
    """Change one place of a payload: replace, remove, add or repeat."""
    place = chance.choice(containers(payload))
    value = copy.deepcopy(chance.choice(WRONG))
    if isinstance(place, list):
        if place and chance.random() < 0.5:
            place[chance.randrange(len(place))] = value
        else:
            place.extend([*place, value])
    elif place and chance.random() < 0.7:
        place[chance.choice(sorted(place))] = value
    else:
        place[chance.choice(KEYS)] = value


def assert_well_told(payload: object) -> None:
    """Each problem has a sentence, and a path that can be sent and leads into the payload."""
    errors = message_errors(payload)
    assert errors == message_errors(payload)
    for error in errors:
        assert 0 < len(error.message) < 400
        assert "pydantic" not in error.message.lower()
        json.dumps(error.path, ensure_ascii=False).encode()
        place = payload
        for step in error.path[:-1]:
            if isinstance(place, dict):
                place = place[step]
            else:
                assert isinstance(place, list)
                assert isinstance(step, int)
                place = place[step]


@pytest.mark.parametrize("payload", [VALID, LAYOUT])
def test_what_is_mutated_below_is_valid(payload: Json) -> None:
    assert message_errors(payload) == []


@pytest.mark.no_cover
@pytest.mark.parametrize("valid", [VALID, LAYOUT], ids=["embeds", "layout"])
@given(seed=st.integers(0, 2**32), changes=st.integers(1, 6))
@settings(max_examples=300, deadline=None)
def test_no_change_of_a_valid_message_makes_the_check_fail(
    valid: Json, seed: int, changes: int
) -> None:
    payload, chance = copy.deepcopy(valid), random.Random(seed)
    for _ in range(changes):
        mutate(payload, chance)

    assert_well_told(payload)


characters = st.characters() | st.sampled_from("\x00\x7f\ud800\udfff \n{}")
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(characters, max_size=20),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.text(characters, max_size=10) | st.sampled_from([*VALID, *LAYOUT, *KEYS]),
            children,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@pytest.mark.no_cover
@given(payload=json_values)
@settings(max_examples=150, deadline=None)
def test_no_json_makes_the_check_fail(payload: object) -> None:
    assert_well_told(payload)


@pytest.mark.no_cover
@given(
    payload=st.fixed_dictionaries({}, optional=dict.fromkeys([*VALID, "thread_name"], json_values))
)
@settings(max_examples=150, deadline=None)
def test_no_json_in_the_fields_of_a_message_makes_the_check_fail(payload: Json) -> None:
    assert_well_told(payload)

"""Embeds: each limit from both sides, and what all embeds hold together."""

import pytest

from engine.message.embeds import EMBEDS_TOTAL_CHARS
from engine.message.rules import message_errors

Path = tuple[str | int, ...]
Json = dict[str, object]
URL = "https://a.example/x.png"


def paths(*embeds: object) -> list[Path]:
    """Return the paths of the problems, relative to the list of embeds."""
    found = [error.path for error in message_errors({"embeds": list(embeds)})]
    assert all(path[0] == "embeds" for path in found)
    return [path[1:] for path in found]


def messages(*embeds: object) -> list[str]:
    return [error.message for error in message_errors({"embeds": list(embeds)})]


def nested(path: tuple[str, ...], value: object) -> Json:
    """Return an object that holds the value at the path."""
    for key in reversed(path[1:]):
        value = {key: value}
    return {path[0]: value}


FULL: Json = {
    "type": "rich",
    "title": "Title",
    "description": "Text",
    "url": URL,
    "timestamp": "2026-01-31T18:30:00.000Z",
    "color": 16711680,
    "footer": {"text": "Footer", "icon_url": URL, "proxy_icon_url": URL},
    "image": {"url": URL, "proxy_url": URL, "width": 0, "height": 20},
    "thumbnail": {"url": URL},
    "video": {"url": URL, "width": 10, "height": 20},
    "provider": {"name": "Provider", "url": URL},
    "author": {"name": "Author", "url": URL, "icon_url": URL, "proxy_icon_url": URL},
    "fields": [{"name": "n", "value": "v", "inline": True}],
}


def test_an_embed_with_every_field_is_valid() -> None:
    assert paths(FULL) == []


@pytest.mark.parametrize("field", sorted(FULL))
def test_every_field_may_be_null(field: str) -> None:
    assert paths(FULL | {field: None}) == []


@pytest.mark.parametrize(
    "path",
    [
        ("footer", "text"),
        ("footer", "icon_url"),
        ("image", "url"),
        ("author", "name"),
        ("author", "url"),
        ("video", "width"),
        ("provider", "name"),
    ],
)
def test_every_field_of_a_part_may_be_null(path: tuple[str, ...]) -> None:
    assert paths({"title": "t"} | nested(path, None)) == []


@pytest.mark.parametrize(
    ("path", "at_most"),
    [
        (("title",), 256),
        (("description",), 4096),
        (("author", "name"), 256),
        (("footer", "text"), 2048),
        (("provider", "name"), 256),
    ],
)
@pytest.mark.parametrize("character", ["x", "\U0001f600"])
def test_texts_have_their_limits(path: tuple[str, ...], at_most: int, character: str) -> None:
    image = {"image": {"url": URL}}

    assert paths(image | nested(path, f" {character * at_most}\n")) == []
    assert paths(image | nested(path, character * (at_most + 1))) == [(0, *path)]
    assert paths(image | nested(path, " ")) == []


@pytest.mark.parametrize(("key", "at_most"), [("name", 256), ("value", 1024)])
def test_texts_of_fields_have_their_limits(key: str, at_most: int) -> None:
    def field(text: object) -> Json:
        return {"fields": [{"name": "n", "value": "v"} | {key: text}]}

    wrong = [(0, "fields", 0, key)]

    assert paths(field("x" * at_most)) == []
    assert paths(field(f"\t{'x' * at_most} ")) == []
    assert paths(field("\u200b")) == []
    assert paths(field("x" * (at_most + 1))) == wrong
    assert paths(field("")) == wrong
    assert paths(field(" \n ")) == wrong
    assert paths(field(None)) == wrong
    assert paths(field(5)) == wrong


def test_a_field_needs_its_name_and_its_value() -> None:
    assert paths({"fields": [{}]}) == [(0, "fields", 0, "name"), (0, "fields", 0, "value")]
    assert messages({"fields": [{"name": "n"}]}) == ["is required"]


def test_at_most_ten_embeds_and_each_is_still_looked_at() -> None:
    assert paths(*[{"title": "t"}] * 10) == []
    assert paths(*[{"title": "t"}] * 11) == [()]
    assert paths(*[{"title": "t"}] * 10, {"title": 5}) == [(), (10, "title")]
    assert messages(*[{"title": "t"}] * 11) == ["has 11 items; at most 10 are allowed"]


def test_at_most_25_fields_and_each_is_still_looked_at() -> None:
    field = {"name": "n", "value": "v"}

    assert paths({"fields": [field] * 25}) == []
    assert paths({"fields": [field] * 26}) == [(0, "fields")]
    assert paths({"fields": [{"name": "n"}] + [field] * 25}) == [
        (0, "fields"),
        (0, "fields", 0, "value"),
    ]


def embeds_of(total: int) -> list[Json]:
    """Return two embeds that hold so many characters, in every text that counts."""
    first: Json = {
        "title": " " + "x" * 100,
        "description": "x" * 4000 + "\n",
        "footer": {"text": "x" * 500},
        "author": {"name": "x" * 200},
        "fields": [{"name": "x" * 100, "value": "x" * 900}],
        "url": URL,
    }
    return [first, {"description": "\U0001f600" * (total - 5800)}]


def test_all_embeds_share_one_limit() -> None:
    assert paths(*embeds_of(EMBEDS_TOTAL_CHARS)) == []
    assert paths(*embeds_of(EMBEDS_TOTAL_CHARS + 1)) == [()]
    assert messages(*embeds_of(6010)) == ["hold 6010 characters together; at most 6000 are allowed"]


def test_the_shared_limit_is_told_beside_other_problems() -> None:
    assert paths(*embeds_of(6001), {"title": 5}, "x", {"fields": "x", "footer": "x"}) == [
        (),
        (2, "title"),
        (3,),
        (4, "fields"),
        (4, "footer"),
    ]


@pytest.mark.parametrize(
    "embed",
    [
        {"title": "t"},
        {"description": "d"},
        {"fields": [{"name": "n", "value": "v"}]},
        {"image": {"url": URL}},
        {"thumbnail": {"url": URL}},
        {"author": {"name": "a"}},
        {"footer": {"text": "f"}},
    ],
)
def test_one_thing_to_show_is_enough(embed: Json) -> None:
    assert paths(embed) == []


@pytest.mark.parametrize(
    "embed",
    [
        {},
        {"title": " ", "description": "", "fields": []},
        {"title": None, "description": None, "fields": None, "image": None, "author": None},
        {"color": 5, "url": URL, "timestamp": "2026-01-31T18:30:00Z", "type": "rich"},
        {"image": {}, "thumbnail": {"url": None}, "author": {"icon_url": URL}, "footer": {}},
        {"video": {"url": URL}, "provider": {"name": "p"}},
    ],
)
def test_an_embed_with_nothing_to_show_is_refused_at_its_description(embed: Json) -> None:
    assert paths({"title": "t"}, embed) == [(1, "description")]


@pytest.mark.parametrize("color", [0, 1, 16777215])
def test_colours_are_integers_of_24_bits(color: int) -> None:
    assert paths({"title": "t", "color": color}) == []


@pytest.mark.parametrize(
    "color", [-1, 16777216, 2**64 - 1, 1.0, True, "16711680", "#ff0000", "red", [], {}]
)
def test_other_colours_are_refused(color: object) -> None:
    assert paths({"title": "t", "color": color}) == [(0, "color")]


@pytest.mark.parametrize(
    ("color", "message"),
    [
        ("#ff0000", "must be an integer, not a string; for this colour write 16711680"),
        ("0xFF0000", "must be an integer, not a string; for this colour write 16711680"),
        (" #0f0 ", "must be an integer, not a string; for this colour write 65280"),
        ("ff0000", "must be an integer, not a string"),
        (16777216, "is 16777216; at most 16777215 is allowed"),
        (-1, "is -1; at least 0 is needed"),
    ],
)
def test_a_wrong_colour_is_explained(color: object, message: str) -> None:
    assert messages({"title": "t", "color": color}) == [message]


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-01-31T18:30:00Z",
        "2026-01-31T18:30:00.123456789+05:30",
        "2026-01-31T18:30:00-08:00",
        "2026-01-31T18:30:00",
        "2026-01-31T18:30Z",
        "2024-02-29T00:00:00.5Z",
        " 2026-01-31T18:30:00Z\n",
    ],
)
def test_timestamps_are_iso_8601(timestamp: str) -> None:
    assert paths({"title": "t", "timestamp": timestamp}) == []


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        "now",
        "2026-01-31",
        "18:30:00",
        "2026-01-31 18:30:00",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T18:60:00Z",
        "2026-01-31T18:30:00+25:00",
        "2026-01-31T18:30:00z",
        "20260131T183000Z",
        "2026-W05-6T18:30:00Z",
        "\u0662026-01-31T18:30:00Z",
        "0000-01-01T00:00:00Z",
        1769884200,
        True,
    ],
)
def test_other_timestamps_are_refused(timestamp: object) -> None:
    assert paths({"title": "t", "timestamp": timestamp}) == [(0, "timestamp")]


@pytest.mark.parametrize(
    "path",
    [
        ("url",),
        ("author", "url"),
        ("author", "icon_url"),
        ("footer", "icon_url"),
        ("image", "url"),
        ("thumbnail", "url"),
        ("video", "url"),
        ("provider", "url"),
    ],
)
def test_urls_have_a_scheme_and_a_limit(path: tuple[str, ...]) -> None:
    def embed(url: object) -> Json:
        return {"title": "t"} | nested(path, url)

    for right in (URL, "http://a.example", "https://a.example/".ljust(2048, "x")):
        assert paths(embed(right)) == []
    for wrong in ("https://a.example/".ljust(2049, "x"), "a.example", "ftp://a.example", "", 5):
        assert paths(embed(wrong)) == [(0, *path)]
    assert paths(embed("attachment://x.png")) == [(0, *path)]


@pytest.mark.parametrize(
    ("embed", "path"),
    [
        ({"titel": "t"}, ("titel",)),
        ({"colour": 5}, ("colour",)),
        ({"author": {"nme": "a"}}, ("author", "nme")),
        ({"footer": {"name": "a"}}, ("footer", "name")),
        ({"image": {"src": "a"}}, ("image", "src")),
        ({"video": {"src": "a"}}, ("video", "src")),
        ({"provider": {"id": "a"}}, ("provider", "id")),
        ({"fields": [{"name": "n", "value": "v", "in_line": True}]}, ("fields", 0, "in_line")),
        ({"content": None}, ("content",)),
    ],
)
def test_unknown_keys_are_refused_where_they_are(embed: Json, path: Path) -> None:
    assert paths({"title": "t"} | embed) == [(0, *path)]


def test_an_unknown_key_is_told_with_what_it_may_mean() -> None:
    assert messages({"title": "t", "colour": 5}) == [
        "is not a field of an embed; did you mean color?"
    ]


@pytest.mark.parametrize(
    ("embed", "path"),
    [
        ({"title": 5}, ("title",)),
        ({"type": 5}, ("type",)),
        ({"author": "a"}, ("author",)),
        ({"footer": []}, ("footer",)),
        ({"image": URL}, ("image",)),
        ({"image": {"url": URL, "width": "5"}}, ("image", "width")),
        ({"video": {"height": -1}}, ("video", "height")),
        ({"fields": {}}, ("fields",)),
        ({"fields": ["x"]}, ("fields", 0)),
        ({"fields": [{"name": "n", "value": "v", "inline": 1}]}, ("fields", 0, "inline")),
    ],
)
def test_no_value_is_coerced(embed: Json, path: Path) -> None:
    assert paths({"title": "t", "description": "d"} | embed) == [(0, *path)]

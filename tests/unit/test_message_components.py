"""Components of both versions: what may stand where, the limits of each, and of all together."""

from collections.abc import Callable

import pytest

from engine.message.rules import message_errors

Path = tuple[str | int, ...]
Json = dict[str, object]
Make = Callable[..., Json]

URL = "https://a.example/x.png"
LINK_ONLY = "a webhook without an application can only send link buttons"
AT_THE_TOP = (
    "1 (an action row), 9 (a section), 10 (a text display), 12 (a media gallery), "
    "14 (a separator), 17 (a container)"
)


def paths(*components: object, flags: object = 32768) -> list[Path]:
    """Return the paths of the problems, relative to the list of components."""
    payload = {"flags": flags, "components": list(components)}
    found = [error.path for error in message_errors(payload)]
    assert all(path[0] == "components" for path in found)
    return [path[1:] for path in found]


def messages(*components: object, flags: object = 32768) -> list[str]:
    payload = {"flags": flags, "components": list(components)}
    return [error.message for error in message_errors(payload)]


def button(**changed: object) -> Json:
    return {"type": 2, "style": 5, "label": "Open", "url": URL} | changed


def row(*buttons: object, **changed: object) -> Json:
    return {"type": 1, "components": list(buttons)} | changed


def text(content: object = "text", **changed: object) -> Json:
    return {"type": 10, "content": content} | changed


def thumbnail(**changed: object) -> Json:
    return {"type": 11, "media": {"url": URL}} | changed


def section(*texts: object, **changed: object) -> Json:
    return {"type": 9, "components": list(texts), "accessory": thumbnail()} | changed


def gallery(count: int = 1, **changed: object) -> Json:
    return {"type": 12, "items": [{"media": {"url": URL}}] * count} | changed


def container(*children: object, **changed: object) -> Json:
    return {"type": 17, "components": list(children)} | changed


def without(part: Json, key: str) -> Json:
    return {name: value for name, value in part.items() if name != key}


SEPARATOR: Json = {"type": 14}
FILE: Json = {"type": 13, "file": {"url": "attachment://x"}}
FULL: list[Json] = [
    container(
        text("# Heading", id=1),
        section(text(), text(), text(), accessory=button(), id=2),
        gallery(3, id=3),
        {"type": 14, "divider": False, "spacing": 2, "id": 4},
        row(button(disabled=True, emoji={"name": "\U0001f44b"}), id=5),
        accent_color=16777215,
        spoiler=True,
        id=6,
    ),
    section(text(), accessory=thumbnail(description="alt", spoiler=False)),
    text(),
    gallery(10),
    SEPARATOR,
    row(*[button()] * 5),
]


def test_a_layout_with_every_component_is_valid() -> None:
    assert paths(*FULL) == []


def test_rows_of_link_buttons_need_no_flag() -> None:
    assert paths(*[row(*[button()] * 5)] * 5, flags=None) == []
    assert paths(row(button()), flags=4) == []


def test_at_most_five_rows_without_the_flag() -> None:
    assert paths(*[row(button())] * 6, flags=None) == [()]
    assert paths(*[row(button())] * 6) == []


@pytest.mark.parametrize("component", [text(), section(text()), gallery(), SEPARATOR])
def test_newer_components_need_the_flag(component: Json) -> None:
    assert paths(row(button()), component, flags=0) == [(1, "type")]
    assert "flag 32768" in messages(component, flags=None)[0]


def test_a_container_needs_the_flag() -> None:
    assert paths(container(text()), flags=None) == [(0, "type")]


def test_flags_of_a_wrong_type_say_nothing_about_components() -> None:
    payload = {"flags": "32768", "components": [text()], "content": "x"}

    assert [error.path for error in message_errors(payload)] == [("flags",)]


@pytest.mark.parametrize(
    "component",
    [
        button(),
        *({"type": kind, "custom_id": "x"} for kind in (3, 4, 5, 6, 7, 8)),
        thumbnail(),
        FILE,
        *({"type": kind} for kind in (18, 19, 21, 22, 23)),
        *({"type": kind} for kind in (0, -1, 15, 16, 20, 99, 2**64 - 1)),
    ],
)
def test_components_that_cannot_stand_at_the_top(component: Json) -> None:
    assert paths(text(), component) == [(1, "type")]
    assert paths(row(button()), component, flags=None) == [(1, "type")]


@pytest.mark.parametrize("kind", ["1", "button", True, 1.0, None, [], {}])
def test_a_type_is_an_integer(kind: object) -> None:
    assert paths(row(button(), type=kind)) == [(0, "type")]
    assert paths(row(button(type=kind))) == [(0, "components", 0, "type")]


def test_a_type_is_required() -> None:
    assert paths({}) == [(0, "type")]
    assert messages({}) == ["is required"]


@pytest.mark.parametrize("component", [None, 5, "x", [], [text()]])
def test_a_component_is_an_object(component: object) -> None:
    assert paths(text(), component) == [(1,)]


@pytest.mark.parametrize(
    ("component", "message"),
    [
        *(
            ({"type": kind}, f"is {kind}, {name}; {LINK_ONLY}")
            for kind, name in {
                3: "a string select",
                5: "a user select",
                6: "a role select",
                7: "a mentionable select",
                8: "a channel select",
            }.items()
        ),
        *(
            ({"type": kind}, f"is {kind}, {name}, which belongs in modals, not in messages")
            for kind, name in {
                4: "a text input",
                18: "a label",
                19: "a file upload",
                21: "a radio group",
                22: "a checkbox group",
                23: "a checkbox",
            }.items()
        ),
        (FILE, "is 13, a file, which shows an uploaded file; files are not supported"),
        (
            button(),
            f"is 2, a button, which can't stand here; allowed are {AT_THE_TOP}",
        ),
        (
            {"type": 99},
            f"is 99, which is no component type; allowed are {AT_THE_TOP}",
        ),
    ],
)
def test_a_misplaced_component_is_told_by_name(component: Json, message: str) -> None:
    assert messages(component) == [message]


@pytest.mark.parametrize("child", [row(button()), text(), thumbnail(), {"type": 3}, {"type": 99}])
def test_a_row_holds_only_buttons(child: Json) -> None:
    assert paths(row(button(), child)) == [(0, "components", 1, "type")]


@pytest.mark.parametrize("child", [button(), row(button()), thumbnail(), gallery(), SEPARATOR])
def test_a_section_holds_only_texts(child: Json) -> None:
    assert paths(section(text(), child)) == [(0, "components", 1, "type")]


@pytest.mark.parametrize("accessory", [text(), gallery(), row(button()), {"type": 5}])
def test_an_accessory_is_a_button_or_a_thumbnail(accessory: Json) -> None:
    assert paths(section(text(), accessory=accessory)) == [(0, "accessory", "type")]


@pytest.mark.parametrize("child", [container(text()), button(), thumbnail(), FILE, {"type": 18}])
def test_what_a_container_cannot_hold(child: Json) -> None:
    assert paths(container(text(), child)) == [(0, "components", 1, "type")]


@pytest.mark.parametrize(
    ("make", "child", "at_most"),
    [(row, button(), 5), (section, text(), 3), (container, SEPARATOR, 39)],
)
def test_numbers_of_children(make: Make, child: Json, at_most: int) -> None:
    assert paths(make(child)) == []
    assert paths(make(*[child] * at_most)) == []
    assert paths(make()) == [(0, "components")]


@pytest.mark.parametrize(("make", "child", "count"), [(row, button(), 6), (section, text(), 4)])
def test_too_many_children_are_still_looked_at(make: Make, child: Json, count: int) -> None:
    wrong = child | {"id": -1}

    assert paths(make(*[wrong], *[child] * (count - 1))) == [
        (0, "components"),
        (0, "components", 0, "id"),
    ]


def test_a_container_holds_at_most_40() -> None:
    """The container counts as well, so that 40 in it are one too many for the message."""
    assert paths(container(*[SEPARATOR] * 40)) == [()]
    assert paths(container(*[SEPARATOR] * 41)) == [(), (0, "components")]


@pytest.mark.parametrize(
    ("component", "key"),
    [
        (row(button()), "components"),
        (section(text()), "components"),
        (section(text()), "accessory"),
        (container(text()), "components"),
        (text(), "content"),
        (gallery(), "items"),
    ],
)
def test_what_a_component_requires(component: Json, key: str) -> None:
    assert paths(without(component, key)) == [(0, key)]
    assert paths(component | {key: None}) == [(0, key)]
    assert paths(component | {key: 5}) == [(0, key)]


@pytest.mark.parametrize("style", [1, 2, 3, 4, 6, 0, 7, "5", 5.0, True, None])
def test_only_the_style_of_a_link(style: object) -> None:
    assert paths(row(button(style=style))) == [(0, "components", 0, "style")]


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"custom_id": "x"}, "custom_id"),
        ({"sku_id": "123456789012345678"}, "sku_id"),
        ({"url": None}, "url"),
        ({"url": "attachment://x"}, "url"),
        ({"url": "ftp://a.example"}, "url"),
        ({"label": "x" * 81}, "label"),
        ({"label": 5}, "label"),
        ({"disabled": 1}, "disabled"),
        ({"emoji": {}}, "emoji"),
        ({"emoji": "x"}, "emoji"),
        ({"lable": "x"}, "lable"),
    ],
)
def test_what_a_button_cannot_have(changed: Json, key: str) -> None:
    assert paths(row(button(**changed))) == [(0, "components", 0, key)]


@pytest.mark.parametrize("absent", ["style", "url"])
def test_what_a_button_requires(absent: str) -> None:
    assert paths(row(without(button(), absent))) == [(0, "components", 0, absent)]


@pytest.mark.parametrize("label", [None, "", " "])
def test_a_button_shows_a_label_or_an_emoji(label: object) -> None:
    assert paths(row(button(label=label))) == [(0, "components", 0, "label")]
    assert paths(row(button(label=label, emoji={"name": "\U0001f44b"}))) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"label": "\U0001f600" * 80},
        {"label": f" {'x' * 80} "},
        {"custom_id": None, "sku_id": None, "emoji": None, "disabled": None, "id": None},
        {"url": "discord://-/channels/@me"},
        {"url": "discord:///channels/@me"},
        {"url": "http://a.example"},
        {"url": "https://a.example/".ljust(512, "x")},
        {"emoji": {"id": "123456789012345678", "name": "wave", "animated": True}},
    ],
)
def test_what_a_button_may_have(changed: Json) -> None:
    assert paths(row(button(**changed))) == []


def test_the_url_of_a_button_has_a_limit() -> None:
    too_long = button(url="https://a.example/".ljust(513, "x"))

    assert paths(row(too_long)) == [(0, "components", 0, "url")]


def test_a_button_for_an_application_tells_all_that_is_wrong() -> None:
    interactive = {"type": 2, "style": 1, "label": "Go", "custom_id": "go"}

    assert paths(row(interactive), flags=None) == [
        (0, "components", 0, "style"),
        (0, "components", 0, "custom_id"),
        (0, "components", 0, "url"),
    ]


@pytest.mark.parametrize("content", ["", " \n", 5, True])
def test_a_text_is_not_blank(content: object) -> None:
    assert paths(text(content)) == [(0, "content")]


def in_gallery(item: Json) -> Json:
    return gallery(items=[item])


def in_section(item: Json) -> Json:
    return section(text(), accessory=thumbnail(**item))


pictures = pytest.mark.parametrize(
    ("make", "place"), [(in_gallery, (0, "items", 0)), (in_section, (0, "accessory"))]
)


@pictures
@pytest.mark.parametrize(
    "changed",
    [
        {"description": None, "spoiler": None},
        {"description": "x", "spoiler": True},
        {"description": f" {'x' * 1024} "},
        {"media": {"url": "http://a.example"}},
        {"media": {"url": "https://a.example/".ljust(2048, "x")}},
    ],
)
def test_what_a_picture_may_have(make: Make, place: Path, changed: Json) -> None:
    assert paths(make({"media": {"url": URL}} | changed)) == []


@pictures
@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"description": ""}, ("description",)),
        ({"description": " "}, ("description",)),
        ({"description": "x" * 1025}, ("description",)),
        ({"description": 5}, ("description",)),
        ({"spoiler": 1}, ("spoiler",)),
        ({"media": URL}, ("media",)),
        ({"media": None}, ("media",)),
        ({"media": {}}, ("media", "url")),
        ({"media": {"url": None}}, ("media", "url")),
        ({"media": {"url": "attachment://x.png"}}, ("media", "url")),
        ({"media": {"url": "discord://-/x"}}, ("media", "url")),
        ({"media": {"url": "https://a.example/".ljust(2049, "x")}}, ("media", "url")),
        ({"media": {"url": URL, "width": 1}}, ("media", "width")),
    ],
)
def test_what_a_picture_cannot_have(make: Make, place: Path, changed: Json, path: Path) -> None:
    assert paths(make({"media": {"url": URL}} | changed)) == [(*place, *path)]


@pytest.mark.parametrize(("count", "wrong"), [(0, True), (1, False), (10, False), (11, True)])
def test_one_to_ten_pictures_in_a_gallery(count: int, wrong: bool) -> None:
    assert paths(gallery(count)) == ([(0, "items")] if wrong else [])


@pytest.mark.parametrize(
    ("component", "key", "right", "wrong"),
    [
        (SEPARATOR, "spacing", [1, 2, None], [0, 3, "1", True, 1.0]),
        (SEPARATOR, "divider", [True, False, None], [1, "true"]),
        (container(text()), "accent_color", [0, 16777215, None], [-1, 16777216, "#ff0000", True]),
        (container(text()), "spoiler", [True, None], [0, "x"]),
        (text(), "id", [0, 1, 2**31 - 1, None], [-1, 2**31, "1", True, 1.0]),
    ],
)
def test_values_of_a_component(
    component: Json, key: str, right: list[object], wrong: list[object]
) -> None:
    for value in right:
        assert paths(component | {key: value}) == []
    for value in wrong:
        assert paths(component | {key: value}) == [(0, key)]


@pytest.mark.parametrize(
    "component",
    [row(button()), section(text()), text(), gallery(), SEPARATOR, container(text())],
)
def test_unknown_keys_are_refused_by_name(component: Json) -> None:
    assert paths(component | {"custom_id": "x"}) == [(0, "custom_id")]


def test_an_unknown_key_of_a_component_is_explained() -> None:
    assert messages(container(text(), acent_color=5)) == [
        "is not a field of a container; did you mean accent_color?"
    ]


def test_ids_are_unique_but_zero() -> None:
    assert paths(text(id=0), text(id=0), text(id=1), text(id=2)) == []
    assert paths(container(text(id=7), id=8), row(button(id=7)), text(id=8)) == [
        (1, "components", 0, "id"),
        (2, "id"),
    ]


def test_40_components_with_nested_ones_counted() -> None:
    parts = [section(text(), text(), text())] * 7 + [container(row(button()))]

    assert paths(*parts, text(), text()) == []
    assert paths(*parts, text(), text(), text()) == [()]
    assert messages(*[text()] * 41) == [
        "has 41 components, nested ones counted; at most 40 are allowed"
    ]


def test_all_texts_share_4000_characters() -> None:
    nested = container(section(text(f" {'x' * 1000} ")), text("x" * 1000))

    assert paths(nested, text("x" * 2000)) == []
    assert paths(nested, text("x" * 2001)) == [()]
    assert messages(text("x" * 4001)) == [
        "has 4001 characters in text displays; at most 4000 are allowed"
    ]


@pytest.mark.parametrize(
    ("displays", "content_bytes"), [(1, 10158), (2, 10146), (3, 10134), (4, 10122), (8, 10074)]
)
def test_all_texts_share_the_bytes_that_discord_can_digest(
    displays: int, content_bytes: int
) -> None:
    """The pairs are those measured in the report of the fault."""

    def texts(size: int) -> list[Json]:
        first = size - 3 * (displays - 1)
        content = "\u3042" * (first // 3) + "x" * (first % 3)
        return [text(content)] + [text("\u3042")] * (displays - 1)

    assert paths(*texts(content_bytes)) == []
    assert paths(*texts(content_bytes + 1)) == [()]
    assert "10170" in messages(*texts(content_bytes + 1))[0]


def test_at_most_64_pictures() -> None:
    assert paths(*[gallery(10)] * 6, gallery(3), section(text())) == []
    assert paths(*[gallery(10)] * 6, gallery(4), section(text())) == [()]


def test_limits_of_version_2_do_not_count_without_the_flag() -> None:
    many = [row(button())] * 5

    assert paths(*many, flags=None) == []

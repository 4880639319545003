"""Components a webhook without an application may send, and where each may stand.

Source of all limits here: Discord's component reference and the component schemas of its OpenAPI
document.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, PlainValidator

from engine.errors import FieldError
from engine.message.emoji import Emoji
from engine.message.parts import Part, counted, invalid, is_given, line, problem
from engine.message.sentences import MISSING, wrong_type
from engine.message.values import Colour, WebUrl, absolute_url, characters, one_of

NAMES: Mapping[int, str] = {
    1: "an action row",
    2: "a button",
    3: "a string select",
    4: "a text input",
    5: "a user select",
    6: "a role select",
    7: "a mentionable select",
    8: "a channel select",
    9: "a section",
    10: "a text display",
    11: "a thumbnail",
    12: "a media gallery",
    13: "a file",
    14: "a separator",
    17: "a container",
    18: "a label",
    19: "a file upload",
    21: "a radio group",
    22: "a checkbox group",
    23: "a checkbox",
}
"""Every component type of Discord, by its number."""

_SELECTS = frozenset({3, 5, 6, 7, 8})
_FILE = 13
_MODAL_ONLY = frozenset({4, 18, 19, 21, 22, 23})
_LINK_STYLE = 5
_LINK_ONLY = "a webhook without an application can only send link buttons"


class Component(Part):
    """What all components have; `kind` is their number. Of ids, 0 means none."""

    kind: ClassVar[int]

    type: int
    id: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


def placed(*allowed: type[Component]) -> PlainValidator:
    """Return the check of a place for these components, which chooses the model by `type`."""
    models = {model.kind: model for model in allowed}

    def check(raw: object) -> object:
        if not isinstance(raw, dict):
            raise problem(wrong_type("an object", raw))
        kind = raw.get("type")
        # By its exact type: as a key, true and 1.0 are 1.
        if type(kind) is not int:
            wrong = wrong_type("an integer", kind) if "type" in raw else MISSING
            raise invalid([line(("type",), wrong)])
        if kind not in models:
            raise invalid([line(("type",), _misplaced(kind, models))])
        return models[kind].model_validate(raw)

    return PlainValidator(check)


def _misplaced(kind: int, allowed: Mapping[int, object]) -> str:
    name = NAMES.get(kind)
    if kind in _SELECTS:
        return f"is {kind}, {name}; {_LINK_ONLY}"
    if kind == _FILE:
        return f"is {kind}, {name}, which shows an uploaded file; files are not supported"
    if kind in _MODAL_ONLY:
        return f"is {kind}, {name}, which belongs in modals, not in messages"
    choices = ", ".join(f"{each} ({NAMES[each]})" for each in allowed)
    reason = f"{name}, which can't stand here" if name else "which is no component type"
    return f"is {kind}, {reason}; allowed are {choices}"


def _button_style(style: int) -> int:
    if style != _LINK_STYLE:
        raise problem(f"must be {_LINK_STYLE}; {_LINK_ONLY}")
    return style


class Button(Component):
    """A link button, the only one that works without an application."""

    kind: ClassVar[int] = 2
    noun: ClassVar[str] = "a button"
    refused: ClassVar[Mapping[str, str]] = {
        "custom_id": f"can't be used; {_LINK_ONLY}",
        "sku_id": f"can't be used; {_LINK_ONLY}",
    }

    style: Annotated[int, AfterValidator(_button_style)]
    label: Annotated[str, characters(80)] | None = None
    emoji: Emoji | None = None
    url: Annotated[str, characters(512), AfterValidator(absolute_url("http", "https", "discord"))]
    disabled: bool | None = None

    @classmethod
    def problems(cls, raw: Mapping[str, object]) -> Iterator[FieldError]:
        """Yield that nothing is written on the button."""
        if not is_given(raw.get("label")) and not is_given(raw.get("emoji")):
            yield FieldError(("label",), "is required in a button without an emoji")


class TextDisplay(Component):
    """Text with markdown; all of a message share one limit."""

    kind: ClassVar[int] = 10
    noun: ClassVar[str] = "a text display"

    content: Annotated[str, characters(None, 1)]


class Media(Part):
    """A picture or video by its address."""

    noun: ClassVar[str] = "a media item"

    url: WebUrl


class Thumbnail(Component):
    """A small picture beside a section."""

    kind: ClassVar[int] = 11
    noun: ClassVar[str] = "a thumbnail"

    media: Media
    description: Annotated[str, characters(1024, 1)] | None = None
    spoiler: bool | None = None


class GalleryItem(Part):
    """One picture of a gallery."""

    noun: ClassVar[str] = "a gallery item"

    media: Media
    description: Annotated[str, characters(1024, 1)] | None = None
    spoiler: bool | None = None


class MediaGallery(Component):
    """Pictures in a grid."""

    kind: ClassVar[int] = 12
    noun: ClassVar[str] = "a media gallery"

    items: Annotated[list[GalleryItem], counted(10, 1)]


class ActionRow(Component):
    """Buttons side by side."""

    kind: ClassVar[int] = 1
    noun: ClassVar[str] = "an action row"

    components: Annotated[list[Annotated[object, placed(Button)]], counted(5, 1)]


class Section(Component):
    """Texts beside a button or a thumbnail."""

    kind: ClassVar[int] = 9
    noun: ClassVar[str] = "a section"

    components: Annotated[list[Annotated[object, placed(TextDisplay)]], counted(3, 1)]
    accessory: Annotated[object, placed(Button, Thumbnail)]


class Separator(Component):
    """A gap, with or without a line."""

    kind: ClassVar[int] = 14
    noun: ClassVar[str] = "a separator"

    divider: bool | None = None
    spacing: Annotated[int, AfterValidator(one_of(1, 2))] | None = None


_IN_CONTAINER = placed(ActionRow, Section, TextDisplay, MediaGallery, Separator)


class Container(Component):
    """A framed group."""

    kind: ClassVar[int] = 17
    noun: ClassVar[str] = "a container"

    components: Annotated[list[Annotated[object, _IN_CONTAINER]], counted(40, 1)]
    accent_color: Colour | None = None
    spoiler: bool | None = None


AnyComponent = Annotated[
    object, placed(ActionRow, Section, TextDisplay, MediaGallery, Separator, Container)
]
"""What may stand at the top of a message; which of them also depends on its flags."""

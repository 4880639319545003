"""Embeds: the limits of each, and what all of a message hold together."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from engine.errors import FieldError
from engine.message.parts import Part, counted, is_given
from engine.message.values import Colour, Timestamp, WebUrl, characters

EMBEDS_TOTAL_CHARS = 6000
"""Most characters of all embeds together. Source: Discord, Message resource, embed limits."""

_SHOWN = ("title", "description", "fields")
_SHOWN_PARTS = (("image", "url"), ("thumbnail", "url"), ("author", "name"), ("footer", "text"))
_COUNTED = ("title", "description")
_COUNTED_PARTS = (("author", "name"), ("footer", "text"))
_COUNTED_OF_FIELDS = ("name", "value")

Size = Annotated[int, Field(ge=0)]


class EmbedAuthor(Part):
    """Who an embed is by.

    Discord's docs call the name required, its schema does not, and the API takes it missing.
    """

    noun: ClassVar[str] = "an embed author"

    name: Annotated[str, characters(256)] | None = None
    url: WebUrl | None = None
    icon_url: WebUrl | None = None
    proxy_icon_url: str | None = None


class EmbedFooter(Part):
    """The line below an embed; its text may be missing, as an author's name may."""

    noun: ClassVar[str] = "an embed footer"

    text: Annotated[str, characters(2048)] | None = None
    icon_url: WebUrl | None = None
    proxy_icon_url: str | None = None


class EmbedMedia(Part):
    """A picture. Discord takes the sizes and ignores them."""

    noun: ClassVar[str] = "an embed picture"

    url: WebUrl | None = None
    proxy_url: str | None = None
    width: Size | None = None
    height: Size | None = None


class EmbedProvider(Part):
    """Where an embed comes from; Discord takes and ignores it."""

    noun: ClassVar[str] = "an embed provider"

    name: Annotated[str, characters(256)] | None = None
    url: WebUrl | None = None


class EmbedField(Part):
    """A titled paragraph of an embed."""

    noun: ClassVar[str] = "an embed field"

    name: Annotated[str, characters(256, 1)]
    value: Annotated[str, characters(1024, 1)]
    inline: bool | None = None


class Embed(Part):
    """One embed; Discord takes any `type` and makes it rich.

    Source of all limits here: Discord, Message resource, embed limits; OpenAPI schema, RichEmbed.
    """

    noun: ClassVar[str] = "an embed"

    title: Annotated[str, characters(256)] | None = None
    type: str | None = None
    description: Annotated[str, characters(4096)] | None = None
    url: WebUrl | None = None
    timestamp: Timestamp | None = None
    color: Colour | None = None
    footer: EmbedFooter | None = None
    image: EmbedMedia | None = None
    thumbnail: EmbedMedia | None = None
    video: EmbedMedia | None = None
    provider: EmbedProvider | None = None
    author: EmbedAuthor | None = None
    fields: Annotated[list[EmbedField], counted(25)] | None = None

    @classmethod
    def problems(cls, raw: Mapping[str, object]) -> Iterator[FieldError]:
        """Yield that an embed has nothing to show, where Discord tells it too."""
        if not any(is_given(value) for value in _shown(raw)):
            yield FieldError(
                ("description",),
                "is required in an embed without a title, fields, a picture, an author or a footer",
            )


def _shown(embed: Mapping[str, object]) -> Iterator[object]:
    for name in _SHOWN:
        yield embed.get(name)
    for part, name in _SHOWN_PARTS:
        # A part of a wrong type is told by itself, so it counts as shown.
        value = embed.get(part)
        yield value.get(name) if isinstance(value, dict) else value


def embeds_total(embeds: Sequence[object]) -> int:
    """Return how many characters all embeds hold together, as Discord counts them."""
    texts = [text for embed in embeds if isinstance(embed, dict) for text in _counted(embed)]
    return sum(len(text.strip()) for text in texts if isinstance(text, str))


def _counted(embed: Mapping[str, object]) -> Iterator[object]:
    for name in _COUNTED:
        yield embed.get(name)
    for part, name in _COUNTED_PARTS:
        yield _member(embed.get(part), name)
    fields = embed.get("fields")
    for field in fields if isinstance(fields, list) else ():
        for name in _COUNTED_OF_FIELDS:
            yield _member(field, name)


def _member(part: object, name: str) -> object:
    return part.get(name) if isinstance(part, dict) else None

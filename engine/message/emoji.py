"""The emoji of a button and of a poll's answer."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from engine.errors import FieldError
from engine.message.parts import Part, is_given
from engine.message.values import Snowflake, characters


class Emoji(Part):
    """A custom emoji by its id, or a Unicode emoji by its name.

    Source: Discord's OpenAPI schema, PollEmojiCreateRequest and ComponentEmojiForMessageRequest.
    """

    noun: ClassVar[str] = "an emoji"

    id: Snowflake | None = None
    name: Annotated[str, characters(32)] | None = None
    animated: bool | None = None

    @classmethod
    def problems(cls, raw: Mapping[str, object]) -> Iterator[FieldError]:
        """Yield that neither an id nor a name is given."""
        if not is_given(raw.get("id")) and not is_given(raw.get("name")):
            yield FieldError((), "needs the id of a custom emoji, or a Unicode emoji as its name")

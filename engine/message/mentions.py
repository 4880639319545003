"""Who a message may ping."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator

from engine.errors import FieldError
from engine.message.parts import Part, counted, is_given
from engine.message.values import Snowflake, one_of

_LISTS = ("parse", "users", "roles")
_EXCLUSIVE = ("users", "roles")

Kind = Annotated[str, AfterValidator(one_of("users", "roles", "everyone"))]
Ids = Annotated[list[Snowflake], counted(100)]


class AllowedMentions(Part):
    """Source: Discord, Message resource, allowed mentions object."""

    noun: ClassVar[str] = "allowed_mentions"

    parse: list[Kind] | None = None
    users: Ids | None = None
    roles: Ids | None = None
    replied_user: bool | None = None

    @classmethod
    def problems(cls, raw: Mapping[str, object]) -> Iterator[FieldError]:
        """Yield repeated values, and ids beside the kind that already allows all of them."""
        for name in _LISTS:
            yield from _repeated(name, raw.get(name))
        parse = raw.get("parse")
        for kind in _EXCLUSIVE:
            if isinstance(parse, list) and kind in parse and is_given(raw.get(kind)):
                yield FieldError((kind,), f'can\'t be given while parse holds "{kind}"')


def _repeated(name: str, values: object) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, value in enumerate(values if isinstance(values, list) else ()):
        if isinstance(value, str):
            if value in seen:
                yield FieldError((name, index), "is given before in this list")
            seen.add(value)

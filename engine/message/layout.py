"""What all components of a message may be together: their number, texts, pictures and ids."""

from collections.abc import Iterator, Mapping, Sequence

from engine.errors import FieldError
from engine.message.components import (
    NAMES,
    Container,
    MediaGallery,
    Section,
    Separator,
    TextDisplay,
    Thumbnail,
)

ROWS = 5
"""Most action rows without flag 32768. Source: Discord, component reference, legacy behaviour."""
COMPONENTS = 40
"""Most components with flag 32768, nested ones counted. Source: Discord, component reference."""
TEXT_CHARS = 4000
"""Most characters of all text displays together. Source: discord-api-docs issue 8562."""
TEXT_BYTES = 10_170
"""Most UTF-8 bytes of all text displays; more is answered by 500 every time.

Source: discord-api-docs issue 8554.
"""
TEXT_DISPLAY_BYTES = 12
"""What each text display adds to those bytes. Source: the same issue."""
MEDIA = 64
"""Most pictures of galleries and thumbnails; more is answered by 500.

Source: discord-api-docs issue 7528.
"""

_NEW_KINDS = frozenset(
    model.kind for model in (Section, TextDisplay, MediaGallery, Separator, Container)
)

Path = tuple[str | int, ...]
Placed = tuple[Path, Mapping[str, object]]


def layout_problems(components: Sequence[object], is_v2: bool | None) -> Iterator[FieldError]:
    """Yield what is wrong with all components together; paths begin with "components".

    `is_v2` says whether the message has flag 32768; None, that its flags can't be read.
    """
    nested = list(_nested(components, ("components",)))
    yield from _repeated_ids(nested)
    if is_v2 is True:
        for sentence in _v2_limits([component for _, component in nested]):
            yield FieldError(("components",), sentence)
    elif is_v2 is False:
        yield from _v1_problems(components)


def _nested(components: Sequence[object], path: Path) -> Iterator[Placed]:
    for index, component in enumerate(components):
        if isinstance(component, dict):
            yield from _with_children(component, (*path, index))


def _with_children(component: Mapping[str, object], path: Path) -> Iterator[Placed]:
    yield path, component
    children, accessory = component.get("components"), component.get("accessory")
    if isinstance(children, list):
        yield from _nested(children, (*path, "components"))
    if isinstance(accessory, dict):
        yield from _with_children(accessory, (*path, "accessory"))


def _repeated_ids(nested: Sequence[Placed]) -> Iterator[FieldError]:
    seen: set[int] = set()
    for path, component in nested:
        found = component.get("id")
        if type(found) is not int or found == 0:
            continue
        if found in seen:
            yield FieldError((*path, "id"), f"is {found}, as that of a component before")
        seen.add(found)


def _v1_problems(components: Sequence[object]) -> Iterator[FieldError]:
    if len(components) > ROWS:
        sentence = f"has {len(components)} items; at most {ROWS} action rows are allowed"
        yield FieldError(("components",), sentence)
    for index, component in enumerate(components):
        kind = component.get("type") if isinstance(component, dict) else None
        if type(kind) is int and kind in _NEW_KINDS:
            sentence = f"is {kind}, {NAMES[kind]}, which needs flag 32768 (components version 2)"
            yield FieldError(("components", index, "type"), sentence)


def _v2_limits(components: Sequence[Mapping[str, object]]) -> Iterator[str]:
    count = len(components)
    if count > COMPONENTS:
        yield f"has {count} components, nested ones counted; at most {COMPONENTS} are allowed"
    texts = [text for each in components if isinstance(text := _text(each), str)]
    length = sum(len(text.strip()) for text in texts)
    if length > TEXT_CHARS:
        yield f"has {length} characters in text displays; at most {TEXT_CHARS} are allowed"
    size = sum(len(text.encode()) + TEXT_DISPLAY_BYTES for text in texts)
    if size > TEXT_BYTES:
        yield (
            f"has {size} bytes in text displays (UTF-8, and {TEXT_DISPLAY_BYTES} for each); "
            f"at most {TEXT_BYTES} are allowed, since Discord fails on more"
        )
    media = sum(_media(each) for each in components)
    if media > MEDIA:
        yield f"has {media} pictures in galleries and thumbnails; at most {MEDIA} are allowed"


def _text(component: Mapping[str, object]) -> object:
    return component.get("content") if component.get("type") == TextDisplay.kind else None


def _media(component: Mapping[str, object]) -> int:
    if component.get("type") == Thumbnail.kind:
        return 1
    items = component.get("items") if component.get("type") == MediaGallery.kind else None
    return len(items) if isinstance(items, list) else 0

"""Whether Discord would take a message: the entry to its rules."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, ValidationError

from engine.errors import FieldError
from engine.message.components import AnyComponent
from engine.message.embeds import EMBEDS_TOTAL_CHARS, Embed, embeds_total
from engine.message.layout import layout_problems
from engine.message.mentions import AllowedMentions
from engine.message.order import in_document_order
from engine.message.parts import Part, counted, is_given, problem
from engine.message.polls import Poll
from engine.message.sentences import translated
from engine.message.structure import inspect
from engine.message.values import Snowflake, WebUrl, characters

IS_COMPONENTS_V2 = 32768
FLAGS = 4 | 4096 | IS_COMPONENTS_V2
"""SUPPRESS_EMBEDS, SUPPRESS_NOTIFICATIONS, IS_COMPONENTS_V2. Source: Discord, Execute Webhook."""

_CONTENTS = ("content", "embeds", "components", "poll")
_FILES = ("attachments", "files", "file", "payload_json")
_V1_ONLY = ("content", "embeds", "poll")
_NO_FILES = "can't be sent: files are not supported"
_OTHER_ROUTE = "belongs to Create Message, which needs a bot; a webhook ignores it"
_SET_BY_US = "belongs to the request's query, which is made when the message is sent"

# Source: discord-api-docs issue 1229; Discord publishes no list. Case does not matter.
_NAME_PARTS = ("clyde", "discord")
_NAMES = ("everyone", "here")


def _known_flags(flags: int) -> int:
    if flags & ~FLAGS:
        raise problem("may only be a sum of 4, 4096 and 32768")
    return flags


class Message(Part):
    """The body of Execute Webhook.

    Source: Discord's OpenAPI schema, IncomingWebhookRequestPartial.
    """

    noun: ClassVar[str] = "a webhook message"
    refused: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(_FILES, _NO_FILES),
        **dict.fromkeys(
            ("nonce", "enforce_nonce", "message_reference", "sticker_ids"), _OTHER_ROUTE
        ),
        **dict.fromkeys(("wait", "with_components"), _SET_BY_US),
        "thread_id": "belongs to the webhook URL, as ?thread_id=…",
    }

    content: Annotated[str, characters(2000)] | None = None
    username: Annotated[str, characters(80, 1)] | None = None
    avatar_url: WebUrl | None = None
    tts: bool | None = None
    embeds: Annotated[list[Embed], counted(10)] | None = None
    allowed_mentions: AllowedMentions | None = None
    components: list[AnyComponent] | None = None
    flags: Annotated[int, AfterValidator(_known_flags)] | None = None
    poll: Poll | None = None
    thread_name: Annotated[str, characters(100, 1)] | None = None
    applied_tags: Annotated[list[Snowflake], counted(5)] | None = None

    @classmethod
    def problems(cls, raw: Mapping[str, object]) -> Iterator[FieldError]:
        """Yield the rules that span fields, and those of names, which one value may break twice."""
        is_v2 = _is_v2(raw.get("flags"))
        yield from _emptiness(raw, is_v2)
        yield from _name_problems(raw.get("username"))
        embeds, components = raw.get("embeds"), raw.get("components")
        if isinstance(embeds, list) and (total := embeds_total(embeds)) > EMBEDS_TOTAL_CHARS:
            message = f"hold {total} characters together; at most {EMBEDS_TOTAL_CHARS} are allowed"
            yield FieldError(("embeds",), message)
        if isinstance(components, list):
            yield from layout_problems(components, is_v2)


def _is_v2(flags: object) -> bool | None:
    """Return whether the message has flag 32768; None if its flags are of a wrong type."""
    if flags is None:
        return False
    return bool(flags & IS_COMPONENTS_V2) if type(flags) is int else None


def _emptiness(raw: Mapping[str, object], is_v2: bool | None) -> Iterator[FieldError]:
    if is_v2:
        for name in _V1_ONLY:
            if raw.get(name) not in (None, []):
                yield FieldError(
                    (name,), "can't be used with flag 32768, which takes components only"
                )
        if not is_given(raw.get("components")):
            yield FieldError((), "is empty; with flag 32768 it needs components")
    elif not any(is_given(raw.get(name)) for name in (*_CONTENTS, *_FILES)):
        yield FieldError((), "is empty; it needs content, embeds, components or a poll")


def _name_problems(username: object) -> Iterator[FieldError]:
    name = username.strip().casefold() if isinstance(username, str) else ""
    for part in _NAME_PARTS:
        if part in name:
            yield FieldError(("username",), f'contains "{part}", which Discord refuses in a name')
    if name in _NAMES:
        yield FieldError(("username",), f'is "{name}", which Discord refuses as a name')


def message_errors(payload: object, *, has_thread: bool = False) -> list[FieldError]:
    """Return everything that is wrong with a message, in document order; empty if it is right.

    `payload` is parsed JSON, and paths are relative to it. `has_thread` tells that the webhook URL
    carries thread_id. Never raises. What can't be sent as JSON at all is told alone, without a look
    at the message.
    """
    findings = inspect(payload)
    if findings.blocking:
        return in_document_order(payload, [*findings.blocking, *findings.others])
    return in_document_order(
        payload,
        [*findings.others, *_model_errors(payload), *_thread_errors(payload, has_thread)],
    )


def needs_components(payload: Mapping[str, object]) -> bool:
    """Return whether the request must carry with_components=true; without it they are dropped."""
    components = payload.get("components")
    return isinstance(components, list) and bool(components)


def _model_errors(payload: object) -> list[FieldError]:
    try:
        Message.model_validate(payload)
    except ValidationError as error:
        return [
            FieldError(each["loc"], translated(each)) for each in error.errors(include_url=False)
        ]
    return []


def _thread_errors(payload: object, has_thread: bool) -> Iterator[FieldError]:
    if has_thread and isinstance(payload, dict) and payload.get("thread_name") is not None:
        message = "can't be given, since the webhook URL already names a thread (thread_id)"
        yield FieldError(("thread_name",), message)

"""A poll: a question, its answers, and how long it is open."""

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from engine.message.emoji import Emoji
from engine.message.parts import Part, counted
from engine.message.values import characters, one_of


class PollQuestion(Part):
    """The question of a poll, text only."""

    noun: ClassVar[str] = "a poll question"
    refused: ClassVar[Mapping[str, str]] = {"emoji": "can't be used in a question, only in answers"}

    text: Annotated[str, characters(300, 1)]


class PollMedia(Part):
    """What an answer shows."""

    noun: ClassVar[str] = "poll_media"

    text: Annotated[str, characters(55, 1)]
    emoji: Emoji | None = None


class PollAnswer(Part):
    """One answer; its id is made by Discord."""

    noun: ClassVar[str] = "a poll answer"

    poll_media: PollMedia


class Poll(Part):
    """Source: Discord, Poll resource, poll create request."""

    noun: ClassVar[str] = "a poll"

    question: PollQuestion
    answers: Annotated[list[PollAnswer], counted(10, 1)]
    duration: Annotated[int, Field(ge=1, le=768)] | None = None
    allow_multiselect: bool | None = None
    layout_type: Annotated[int, AfterValidator(one_of(1))] | None = None

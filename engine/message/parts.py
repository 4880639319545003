"""What the models of a message share: they are strict and closed, and tell all problems at once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import ClassVar, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from engine.errors import FieldError
from engine.message.sentences import translated, wrong_count

T = TypeVar("T")


class Part(BaseModel):
    """One JSON object of a message: it has no key but its fields, and no value is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True)

    noun: ClassVar[str]
    refused: ClassVar[Mapping[str, str]] = {}
    """Keys that Discord knows and we can't use, and why; they pass where they ask for nothing."""

    @classmethod
    def problems(cls, raw: Mapping[str, object]) -> Iterator[FieldError]:
        """Yield what is wrong between the values of one object; paths are relative to it.

        The values in `raw` are unchecked. One of a wrong type is told by its field, and passed over
        here.
        """
        return iter(())

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, raw: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(raw, dict):
            return all_at_once((), lambda: handler(raw))
        found = list(cls.problems(raw))
        unknown = raw.keys() - cls.__pydantic_fields__.keys()
        if not unknown:
            return all_at_once(found, lambda: handler(raw))
        found += cls._key_problems(raw, unknown)
        known = {key: value for key, value in raw.items() if key not in unknown}
        return all_at_once(found, lambda: handler(known))

    @classmethod
    def _key_problems(cls, raw: Mapping[str, object], keys: Iterable[str]) -> Iterator[FieldError]:
        for key in keys:
            if key not in cls.refused:
                yield FieldError((key,), cls._unknown(key))
            elif is_given(raw[key]):
                yield FieldError((key,), cls.refused[key])

    @classmethod
    def _unknown(cls, key: str) -> str:
        close = get_close_matches(key.lower(), cls.__pydantic_fields__, n=1, cutoff=0.7)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"is not a field of {cls.noun}{hint}"


def is_given(value: object) -> bool:
    """Return whether a value asks for something: null, an empty list and a blank string don't."""
    match value:
        case str():
            return bool(value.strip())
        case list():
            return bool(value)
        case _:
            return value is not None


def problem(sentence: str) -> PydanticCustomError:
    """Return what a validator raises to refuse a value with its own sentence."""
    return PydanticCustomError("problem", "{sentence}", {"sentence": sentence})


def all_at_once(found: Iterable[FieldError], validate: Callable[[], T]) -> T:
    """Return what `validate` returns, or raise its errors together with those found before."""
    lines = [line(error.path, error.message) for error in found]
    try:
        result = validate()
    except ValidationError as error:
        lines += [line(each["loc"], translated(each)) for each in error.errors(include_url=False)]
    else:
        if not lines:
            return result
    raise invalid(lines)


def line(path: tuple[str | int, ...], sentence: str) -> InitErrorDetails:
    """Return one error in pydantic's form, so that the models around it extend its path."""
    return InitErrorDetails(type=problem(sentence), loc=path, input=None)


def invalid(lines: list[InitErrorDetails]) -> ValidationError:
    """Return the error that carries several problems to the model around."""
    return ValidationError.from_exception_data("message", lines)


def counted(at_most: int, at_least: int = 0) -> WrapValidator:
    """Return a bound for a list's length; pydantic's own does not look at the items any more."""

    def check(raw: object, handler: ValidatorFunctionWrapHandler) -> object:
        sentence = wrong_count(len(raw), at_least, at_most) if isinstance(raw, list) else None
        found = [FieldError((), sentence)] if sentence else []
        return all_at_once(found, lambda: handler(raw))

    return WrapValidator(check)

"""The sentences a user reads.

Each goes on from "the value at this path", and shows no value but a short number.
"""

from pydantic_core import ErrorDetails

MISSING = "is required"

# pydantic's names of wrong types, and what they stand for in JSON.
_WANTED = {
    "bool_type": "true or false",
    "int_type": "an integer",
    "list_type": "a list",
    "model_type": "an object",
    "string_type": "a string",
}


def json_type(value: object) -> str:
    """Return what a value is in JSON's words, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def wrong_type(wanted: str, found: object) -> str:
    """Return the sentence for a value of another type than wanted."""
    return f"must be {wanted}, not {json_type(found)}"


def wrong_count(found: int, at_least: int, at_most: int) -> str | None:
    """Return the sentence for a list of a wrong length, or nothing if it is right."""
    if found > at_most:
        return f"has {found} items; at most {at_most} are allowed"
    if found < at_least:
        return f"has {found} items; at least {at_least} is needed"
    return None


def translated(error: ErrorDetails) -> str:
    """Return our sentence for one error of pydantic's."""
    found, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case "problem":
            return str(context["sentence"])
        case "missing":
            return MISSING
        case "string_too_long":
            length = len(found.strip())
            return f"is {length} characters long; at most {context['max_length']} are allowed"
        case "string_too_short":
            return f"is empty; at least {context['min_length']} character is needed"
        case "greater_than_equal":
            return f"is {found}; at least {context['ge']} is needed"
        case "less_than_equal":
            return f"is {found}; at most {context['le']} is allowed"
        case kind if kind in _WANTED:
            return wrong_type(_WANTED[kind], found)
        case _:
            return "is not allowed here"

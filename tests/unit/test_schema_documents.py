import pytest
from graphql import GraphQLError, build_schema, specified_rules

from schema.extensions import MAX_ERRORS, MAX_REMEMBERED_CHARS, Documents

SCHEMA = build_schema("type Query { total: Int }")


def make(*, hide_suggestions: bool = False) -> Documents:
    return Documents(specified_rules, hide_suggestions=hide_suggestions)


def test_same_text_is_parsed_and_validated_once() -> None:
    documents = make()

    assert documents.read(SCHEMA, "{ total }") is documents.read(SCHEMA, "{ total }")


def test_long_text_is_not_remembered() -> None:
    documents = make()
    text = "{ total }" + " " * MAX_REMEMBERED_CHARS

    assert documents.read(SCHEMA, text) is not documents.read(SCHEMA, text)


def test_syntax_error_is_raised() -> None:
    with pytest.raises(GraphQLError, match="Syntax Error"):
        make().read(SCHEMA, "{ total")


def test_operations_are_counted_without_fragments() -> None:
    text = "query A { ...f } mutation B { x } fragment f on Query { total }"

    assert make().read(SCHEMA, text).operations == 2


@pytest.mark.parametrize(("hidden", "suggested"), [(False, True), (True, False)])
def test_suggestions_can_be_hidden(hidden: bool, suggested: bool) -> None:
    (error,) = make(hide_suggestions=hidden).read(SCHEMA, "{ totl }").errors

    assert ("Did you mean" in error.message) is suggested


def test_validation_ends_after_some_errors() -> None:
    text = f"{{ {' '.join(f'...F{n}' for n in range(MAX_ERRORS + 5))} }}"

    *errors, last = make().read(SCHEMA, text).errors

    assert len(errors) == MAX_ERRORS
    assert "aborted" in last.message

import json

import pytest
from graphql import GraphQLError, graphql_sync
from structlog.testing import capture_logs

from engine.errors import Conflict, FieldError, InvalidInput, NotFound
from models.errors import DatabaseUnavailable, ReadTooSlow
from schema.core import core_schema
from schema.errors import MAX_LOGGED_CAUSES, ErrorCode, api_error, bad_arguments, presented
from schema.schema import build_schema

SECRET = "postgresql://user:password@db/name"


def raised(cause: Exception) -> GraphQLError:
    """Return what graphql-core makes of an exception in a resolver."""
    return GraphQLError(str(cause), path=["createTask"], original_error=cause)


def shown(cause: Exception) -> GraphQLError:
    (error,) = presented([raised(cause)], "request-1")
    return error


def code_of(error: GraphQLError) -> object:
    return (error.extensions or {})["code"]


def fields_of(error: GraphQLError) -> object:
    return (error.extensions or {})["fieldErrors"]


def test_invalid_input_tells_every_field_below_the_input() -> None:
    cause = InvalidInput(
        [
            FieldError(("max_retry",), "is 11; 0 to 10 is allowed"),
            FieldError(("payload", "embeds", 0, "footer", "icon_url"), "is required"),
        ]
    )

    error = shown(cause)

    assert code_of(error) == "BAD_USER_INPUT"
    assert fields_of(error) == [
        {"path": ["input", "maxRetry"], "message": "is 11; 0 to 10 is allowed"},
        {"path": ["input", "payload", "embeds", 0, "footer", "icon_url"], "message": "is required"},
    ]
    assert error.path == ["createTask"]
    assert "input.payload.embeds[0].footer.icon_url: is required" in error.message


def test_a_key_that_may_be_a_token_is_not_repeated() -> None:
    token = URL.rpartition("/")[2]

    error = shown(InvalidInput([FieldError(("payload", token, 0), "is not a field")]))

    assert token[:20] not in str(error.formatted)
    assert fields_of(error) == [
        {"path": ["input", "payload", "****", 0], "message": "is not a field"}
    ]


def test_conflict_tells_its_field() -> None:
    error = shown(Conflict([FieldError(("name",), "is taken by another task")]))

    assert code_of(error) == "CONFLICT"
    assert fields_of(error) == [{"path": ["input", "name"], "message": "is taken by another task"}]


def test_at_most_a_hundred_field_errors_are_told() -> None:
    error = shown(InvalidInput([FieldError(("payload", n), "is wrong") for n in range(250)]))

    assert len((error.extensions or {})["fieldErrors"]) == 100
    assert error.message.endswith("; and 247 more")


def test_not_found_keeps_its_message() -> None:
    error = shown(NotFound("There is no task 5."))

    assert code_of(error) == "NOT_FOUND"
    assert error.message == "There is no task 5."


def test_arguments_are_told_by_their_names_in_the_api() -> None:
    error = bad_arguments([FieldError(("date_from",), "is wrong")])

    assert fields_of(error) == [{"path": ["dateFrom"], "message": "is wrong"}]


def test_an_error_that_has_a_code_stays_as_it_is() -> None:
    error = api_error(ErrorCode.FORBIDDEN, "No.")

    assert presented([error], None) == [error]


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (
            "Variable '$input' has invalid value at .payload.embeds[0]: It is wrong.",
            [{"path": ["input", "payload", "embeds", 0], "message": "It is wrong."}],
        ),
        (
            "Variable '$id' has invalid value: A UUID is\ntext.",
            [{"path": ["id"], "message": "A UUID is\ntext."}],
        ),
        ("Syntax Error: Expected Name, found <EOF>.", []),
    ],
)
def test_wrong_variables_are_told_as_fields(message: str, fields: object) -> None:
    (error,) = presented([GraphQLError(message)], None)

    assert code_of(error) == "BAD_USER_INPUT"
    assert fields_of(error) == fields


def refused(query: str, variables: dict[str, object] | None = None) -> str:
    """Return all that is shown of the errors of a wrong operation."""
    result = graphql_sync(SCHEMA, query, variable_values=variables)
    assert result.errors
    return str([error.formatted for error in presented(result.errors, None)])


SCHEMA = core_schema(build_schema())
URL = "https://discord.com/api/webhooks/123456789012345678/" + "aB3-_" * 13 + "xyz"


@pytest.mark.parametrize(
    "operation",
    [
        'query { task(id: "URL") { id } }',
        'query { tasks(page: "URL") { data { id } } }',
        "query { tasks(status: TOKEN) { data { id } } }",
        "query { TOKEN }",
        'query { tasks("URL") }',
        "query { tasks(search: URL) }",
        'query { logs(filter: {status: "URL"}) { data { id } } }',
        'mutation { createTask(input: {name: ["URL"]}) { id } }',
        'mutation { createTask(input: "URL") { id } }',
    ],
)
def test_a_url_in_the_text_of_an_operation_is_not_repeated(operation: str) -> None:
    token = URL.rpartition("/")[2]
    query = operation.replace("URL", URL).replace("TOKEN", token.replace("-", "_"))

    shown = refused(query)

    assert token[:20].replace("-", "_") not in shown.replace("-", "_")


@pytest.mark.parametrize("chars", range(16, 68))
@pytest.mark.parametrize(
    ("before", "told"),
    [
        ("", "Syntax Error: Unexpected Name."),
        ("query ($v: String = $", "Syntax Error: Unexpected variable in constant value."),
    ],
)
def test_the_part_of_a_token_before_its_first_dash_is_not_repeated(
    before: str, told: str, chars: int
) -> None:
    """GraphQL reads it as a name, and stops there."""
    part = "Zx9_" * 17

    shown = refused(f"{before}{part[:chars]}-{part[chars:]}")

    assert told in shown
    assert part[:16] not in shown


@pytest.mark.parametrize("text", ["TOKEN {}", "it's TOKEN, isn't it? {}", "a {} TOKEN"])
def test_a_string_that_is_cut_is_not_repeated(text: str) -> None:
    """The sentence about it has lost the quote at its end."""
    part = "Zx9_" * 12

    shown = refused('{ a "' + text.format("word " * 400).replace("TOKEN", part) + '"')

    assert "Syntax Error: " in shown
    assert part[:16] not in shown
    assert "word" not in shown


@pytest.mark.parametrize("before", range(0, 240, 20))
@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("query ($v: Int!) { tasks(page: $v) { data { id } } }", "{}"),
        ("query ($v: TaskStatus) { tasks(status: $v) { data { id } } }", "{}"),
        ("query ($v: String) { tasks(search: $v) { data { id } } }", "[{}]"),
        ("query ($v: LogFilter) { logs(filter: $v) { data { id } } }", "{}"),
        ("query ($v: LogFilter) { logs(filter: $v) { data { id } } }", '{{"taskI": {}}}'),
        ("query ($v: LogFilter) { logs(filter: $v) { data { id } } }", '{{"status": [{}]}}'),
        ("query ($v: UUID!) { task(id: $v) { id } }", "{}"),
    ],
)
def test_a_url_in_a_variable_is_not_repeated_wherever_it_is_cut(
    query: str, wrong: str, before: int
) -> None:
    """A long value is shown with its middle left out, which may leave a part of the token."""
    value = json.dumps(" " * before + URL + " " * 200)

    shown = refused(query, {"v": json.loads(wrong.format(value))})

    assert "aB3-_aB3-_" not in shown
    assert "has invalid value" in shown


def test_what_nobody_expected_is_masked_and_found_by_the_request_id() -> None:
    with capture_logs() as logs:
        error = shown(RuntimeError(SECRET))

    assert SECRET not in str(error.formatted)
    assert error.extensions == {"code": "INTERNAL_SERVER_ERROR", "requestId": "request-1"}
    (entry,) = logs
    assert entry["event"] == "unexpected_error"
    assert entry["request_id"] == "request-1"
    assert str(entry["exc_info"]) == SECRET


def test_one_cause_of_many_errors_is_logged_once() -> None:
    cause = RuntimeError("a loader failed")

    with capture_logs() as logs:
        errors = presented([raised(cause) for _ in range(50)], "request-1")

    assert len(errors) == 50
    assert len(logs) == 1


def test_of_many_causes_a_few_are_logged_and_the_others_counted() -> None:
    with capture_logs() as logs:
        errors = presented([raised(RuntimeError(str(n))) for n in range(50)], "request-1")

    assert len(errors) == 50
    assert [entry["event"] for entry in logs] == [
        *["unexpected_error"] * MAX_LOGGED_CAUSES,
        "more_errors_not_shown",
    ]
    assert (logs[-1]["count"], logs[-1]["request_id"]) == (50 - MAX_LOGGED_CAUSES, "request-1")


def test_a_read_that_was_stopped_is_told_as_too_complex() -> None:
    with capture_logs() as logs:
        error = shown(ReadTooSlow(SECRET))

    assert code_of(error) == "QUERY_TOO_COMPLEX"
    assert SECRET not in str(error.formatted)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("read_stopped", "warning")]


def test_a_lost_database_is_told_without_its_address() -> None:
    with capture_logs() as logs:
        error = shown(DatabaseUnavailable(SECRET))

    assert (
        error.message
        == "The database can't be reached at the moment; look whether a change was stored."
    )
    assert code_of(error) == "INTERNAL_SERVER_ERROR"
    assert [entry["log_level"] for entry in logs] == ["warning"]

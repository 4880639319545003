import pytest
from graphql import GraphQLError
from structlog.testing import capture_logs

from engine.errors import Conflict, FieldError, InvalidInput, NotFound
from models.errors import DatabaseUnavailable
from schema.errors import ErrorCode, api_error, bad_arguments, presented

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


def test_a_lost_database_is_told_without_its_address() -> None:
    with capture_logs() as logs:
        error = shown(DatabaseUnavailable(SECRET))

    assert (
        error.message
        == "The database can't be reached at the moment; look whether a change was stored."
    )
    assert code_of(error) == "INTERNAL_SERVER_ERROR"
    assert [entry["log_level"] for entry in logs] == ["warning"]

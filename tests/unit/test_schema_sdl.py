import sys
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLObjectType,
    build_schema,
    graphql_sync,
    is_introspection_type,
    is_specified_scalar_type,
)

from schema import export
from schema.comparison import differences
from schema.core import core_schema
from schema.schema import build_schema as build_service_schema

ONE_OF = "{ __schema { types { kind isOneOf } } }"
PROMISE = """
type Query { task(id: ID!, full: Boolean = true): Task! }
type Task { name: String!  status: Status! }
enum Status { ACTIVE FAILED }
input Filter { text: String = "x" }
"""


def test_introspection_tells_of_every_type_whether_it_is_one_of() -> None:
    result = graphql_sync(core_schema(build_service_schema()), ONE_OF)

    assert result.errors is None
    types = (result.data or {})["__schema"]["types"]
    assert {(each["kind"] == "INPUT_OBJECT", each["isOneOf"]) for each in types} == {
        (True, False),
        (False, None),
    }


def test_sdl_file_is_up_to_date() -> None:
    assert export.drift() == "", "run `make sdl`"


def test_drift_shows_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "schema.graphql"
    file.write_text(export.sdl().replace("maxRetry: Int!", "maxRetry: Int"))

    assert "+  maxRetry: Int!\n" in export.drift(file)


def test_missing_file_is_all_drift(tmp_path: Path) -> None:
    assert "+type Query {" in export.drift(tmp_path / "none.graphql")


def test_everything_is_described() -> None:
    undescribed = []
    for type_ in build_schema(export.sdl()).type_map.values():
        if is_introspection_type(type_) or is_specified_scalar_type(type_):
            continue
        parts = {type_.name: type_}
        match type_:
            case GraphQLObjectType() | GraphQLInputObjectType():
                parts |= {f"{type_.name}.{name}": field for name, field in type_.fields.items()}
            case GraphQLEnumType():
                parts |= {f"{type_.name}.{name}": value for name, value in type_.values.items()}
        if isinstance(type_, GraphQLObjectType):
            for name, field in type_.fields.items():
                parts |= {f"{type_.name}.{name}({a})": value for a, value in field.args.items()}
        undescribed += [name for name, part in parts.items() if not part.description]

    assert undescribed == []


def test_no_description_leads_outside() -> None:
    assert "://" not in export.sdl().replace("https://discord.com/api/webhooks/", "")
    assert "specifiedBy" not in export.sdl()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("}", "}"),
        ("full: Boolean = true", "full: Boolean = true, more: Int"),
        ("full: Boolean = true", "full: Boolean = true, more: Int! = 5"),
        ("name: String!", "name: String!  more: Int!"),
        ("input Filter {", "enum More { X } input Filter { more: More"),
    ],
)
def test_more_than_promised_is_no_difference(old: str, new: str) -> None:
    assert differences(build_schema(PROMISE), build_schema(PROMISE.replace(old, new))) == []


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("name: String!", "", "Task.name: nothing instead of field String!"),
        ("name: String!", "name: String", "Task.name: field String instead of field String!"),
        ("FAILED", "", "Status.FAILED: nothing instead of value"),
        ("FAILED", "FAILED GONE", "Status.GONE: value, which was not promised"),
        (
            "id: ID!, ",
            "",
            "Query.task(id): nothing instead of argument ID!",
        ),
        (
            "id: ID!",
            "id: ID!, more: Int!",
            "Query.task(more): argument Int!, which was not promised",
        ),
        (
            "= true",
            "",
            "Query.task(full): argument Boolean instead of argument Boolean = true",
        ),
        ('= "x"', "", 'Filter.text: input String instead of input String = "x"'),
        ("input Filter {", "input Filter { more: Int!", "Filter.more: input Int!, which was not"),
        ("enum Status { ACTIVE FAILED }", "scalar Status", "Status: GraphQLScalarType instead of"),
    ],
)
def test_each_difference_is_told_by_name(old: str, new: str, difference: str) -> None:
    found = differences(build_schema(PROMISE), build_schema(PROMISE.replace(old, new)))

    assert any(line.startswith(difference) for line in found), found


def test_command_compares_with_a_promise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promise = tmp_path / "api.graphql"
    promise.write_text("type Query { # a comment\n  dashboardStats: Int!\n  reports: Int!\n}")
    monkeypatch.setattr(sys, "argv", ["export", "--compare", str(promise)])

    assert export.main() == 1
    assert "Query.reports: nothing instead of field Int!" in capsys.readouterr().err


def test_command_checks_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["export", "--check"])

    assert export.main() == 0

"""How deep and wide an operation may be."""

import time

import pytest
from graphql import get_introspection_query, parse

from schema.complexity import (
    MAX_ALIASES,
    MAX_DEPTH,
    MAX_NAME_CHARS,
    MAX_ROOT_FIELDS,
    MAX_SAME_NAME,
    MAX_TOKENS,
    problems,
)


def nested(levels: int) -> str:
    return "{ a" * levels + " }" * levels


def found(text: str) -> list[str]:
    return list(problems(parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        nested(MAX_DEPTH),
        "{ " + " ".join(f"a{i}: x" for i in range(MAX_ROOT_FIELDS)) + " }",
        "{ a { " + " ".join(f"a{i}: x" for i in range(MAX_ALIASES)) + " } }",
        "{ a { " + "x " * MAX_SAME_NAME + "} }",
        "{ " + "n" * MAX_NAME_CHARS + " }",
        f'{{ a(text: "{"n" * 1000}") }}',
        "{ __schema { types { name } } " + "t: __type(name: 1) { name } " * 5 + "}",
        get_introspection_query(
            descriptions=True,
            specified_by_url=True,
            directive_is_repeatable=True,
            schema_description=True,
            input_value_deprecation=True,
            experimental_directive_deprecation=True,
            one_of=True,
        ),
    ],
)
def test_operation_may_be_as_complex_as_allowed(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (nested(16), "The operation has 16 levels of fields; at most 15 are allowed."),
        (
            "{ ...A } fragment A on Q { a { ... on R { ...B } } } fragment B on R " + nested(15),
            "The operation has 16 levels of fields; at most 15 are allowed.",
        ),
        (
            "{ a { " + " ".join(f"a{i}: x" for i in range(51)) + " } }",
            "The operation has 51 aliases; at most 50 are allowed.",
        ),
        (
            "{ __schema { a: types { ...F } } } fragment F on __Type { n: name }",
            "The operation has 2 aliases within introspection; at most 0 are allowed.",
        ),
        (
            "{ a: __schema { types { name } } ...F } fragment F on Query { __schema { types } }",
            "The operation has 2 fields __schema; at most 1 are allowed.",
        ),
        (
            "{ " + "__type(name: 1) { name } " * 6 + "}",
            "The operation has 6 fields __type; at most 5 are allowed.",
        ),
        (
            "query A { x ...F } query B { x x ...F } fragment F on Q { b { " + "x " * 49 + "} }",
            "The operation has 51 fields of one name; at most 50 are allowed.",
        ),
        (
            "{ a(" + "n" * 101 + ": 1) }",
            "A name has 101 characters; at most 100 are allowed.",
        ),
        (
            "{ a { b: c { ...F } d: c { ...F } } } fragment F on C { "
            + " ".join(f"a{i}: x" for i in range(25))
            + " }",
            "The operation has 52 aliases; at most 50 are allowed.",
        ),
        (
            "{ ...F ... { ...F ...F } } fragment F on Query { " + "a " * 7 + "}",
            "The operation has 21 fields at its root; at most 20 are allowed.",
        ),
        (
            "query Short { a } mutation Long { " + "a " * 21 + "}",
            "The operation has 21 fields at its root; at most 20 are allowed.",
        ),
    ],
)
def test_each_bound_is_told_with_its_figure(text: str, problem: str) -> None:
    assert found(text) == [problem]


def test_every_problem_is_told_at_once() -> None:
    text = "{ " + " ".join(f"a{i}: {nested(16)[2:-2]}" for i in range(51)) + " }"

    assert [problem.split(";")[0] for problem in found(text)] == [
        "The operation has 16 levels of fields",
        "The operation has 51 aliases",
        "The operation has 51 fields at its root",
        "The operation has 765 fields of one name",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { a { ...B } } fragment B on A { a { ...A } }",
        "{ ...Nowhere }",
        "fragment A on Query { a }",
        "type A { b: Int }",
    ],
)
def test_what_validation_refuses_is_left_to_it(text: str) -> None:
    assert found(text) == []


def test_doubling_fragments_are_measured_at_once() -> None:
    """Each of a hundred fragments spreads the next one twice: 2 to the power of 100 leaves."""
    chain = " ".join(f"fragment F{i} on Q {{ ...F{i + 1} ...F{i + 1} }}" for i in range(100))
    document = parse(f"{{ ...F0 }} {chain} fragment F100 on Q {{ b: a }}", max_tokens=1500)
    began = time.process_time()

    aliases, fields, *_ = problems(document)

    assert time.process_time() - began < 0.5
    assert aliases.startswith(f"The operation has {2**100} aliases")
    assert fields.startswith(f"The operation has {2**100} fields")


def test_deepest_document_that_can_be_parsed_is_measured() -> None:
    parts = MAX_TOKENS // 200
    chain = " ".join(
        f"fragment F{i} on Q {'{ a' * 90} {{ ...F{i + 1} }} {'}' * 90}" for i in range(parts)
    )
    document = parse(f"{{ ...F0 }} {chain} fragment F{parts} on Q {{ a }}", max_tokens=3 * 1000)

    problem, *_ = problems(document)

    assert problem.startswith(f"The operation has {parts * 90 + 1} levels")

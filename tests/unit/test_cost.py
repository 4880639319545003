"""What an operation costs."""

import time

import pytest
from graphql import build_schema, get_introspection_query, parse, validate

from schema.core import core_schema
from schema.cost import MAX_COST, ROLLED_UP_COST, STATEMENT_COST, cost_problem, costs
from schema.schema import build_schema as build_service_schema

SCHEMA = core_schema(build_service_schema())
TASK = "id name schedule timezone webhookUrl payload maxRetry status createdAt updatedAt"
ALL = (
    f"{TASK} scheduleDescription statusReason failureThreshold overlapPolicy misfirePolicy "
    "misfireGraceSeconds deliveryGuarantee nextRunAt nextRuns(count: 3) lastLog { status message }"
)
LOG = "id runId taskId trigger scheduledFor executionTime finishedAt status retryCount message"
NAME = "fragment F on Task { name }"
PAGE = "fragment P on TaskPage { data { id } }"
COUNT, OF_LOGS = STATEMENT_COST, ROLLED_UP_COST


def cost_of(text: str, operation: str | None = None, /, **variables: object) -> int:
    document = parse(text)
    assert validate(SCHEMA, document) == []
    return costs(SCHEMA, document)[operation].of(variables)


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{ __typename }", 1),
        ("{ dashboardStats { total active last24h { succeeded } } }", 5 + OF_LOGS),
        ("{ tasks(limit: 50) { data { id name } meta { total } } }", 2 + 50 * 3 + 2 + COUNT),
        ("{ tasks { data { id name } } }", 2 + 10 * 3),
        ("{ tasks(limit: 7) { data { logs { data { id } } } } }", 2 + 7 * (1 + 2 + 20 * 2)),
        ("{ tasks(limit: 5) { data { nextRuns(count: 3) } } }", 2 + 5 * (1 + 1 + 3 * 4)),
        ("{ tasks(limit: 5) { data { nextRuns } } }", 2 + 5 * (1 + 1 + 5 * 4)),
        ("{ tasks(limit: 5) { data { lastLog { task { id } } } } }", 2 + 5 * (1 + 3)),
        (
            f"{{ tasks(limit: 2) {{ ... {{ data {{ ... on Task {{ id ...F }} }} }} }} }} {NAME}",
            2 + 2 * 3,
        ),
        (
            f"{{ tasks(limit: 3) {{ ...P }} logs(limit: 4) {{ data {{ id }} }} }} {PAGE}",
            2 + 3 * 2 + 2 + 4 * 2,
        ),
        (
            f"{{ a: tasks(limit: 3) {{ ...P }} b: tasks(limit: 4) {{ ...P }} }} {PAGE}",
            2 + 3 * 2 + 2 + 4 * 2,
        ),
        ("{ tasks(limit: 50) { __typename } }", 1 + 50 + 1),
        ("{ tasks(limit: 3) { data { payload statusReason nextRunAt } } }", 2 + 3 * (1 + 29)),
        ("{ auditLogs(limit: 3) { data { changes } } }", 2 + 3 * (1 + 20)),
        ("{ logFeed(first: 3) { entries { message } } }", 2 + 3 * (1 + 5)),
        ('{ schedulePreview(schedule: "@daily", count: 3) { nextRuns } }', 1 + 3 + 1 + 3 * 4),
        ("{ engineStatus { queued } }", 2 + COUNT),
        ("{ logs(page: 10, limit: 3) { data { id } } }", 2 + 3 * 2),
        ("{ logs(page: 11, limit: 3) { data { id } } }", 2 + 3 * 2 + OF_LOGS),
        ("{ tasks(limit: 7) { data { logs(limit: 2) { meta { total } } } } }", 2 + 7 * 6 + OF_LOGS),
        ("{ tasks(limit: 7) { data { logs(page: 99, limit: 2) { __typename } } } }", 37 + OF_LOGS),
        ("mutation { reloadTasks }", 1),
    ],
)
def test_cost_is_of_rows_fields_and_statements(text: str, cost: int) -> None:
    assert cost_of(text) == cost


PAGES = "query ($p: Int! = 11) { logs(page: $p, limit: 3) { data { id } } }"


@pytest.mark.parametrize(
    ("variables", "is_far"),
    [({}, True), ({"p": 10}, False), ({"p": 11}, True), ({"p": 10**400}, True), ({"p": -1}, False)],
)
def test_variable_says_whether_a_page_is_far(variables: dict[str, object], is_far: bool) -> None:
    assert cost_of(PAGES, **variables) == 2 + 3 * 2 + is_far * OF_LOGS


LISTS = """query ($tasks: Int = 30, $logs: Int) {
  tasks(limit: $tasks) { data { id logs(limit: $logs) { data { id } } } meta { total } }
}"""


@pytest.mark.parametrize(
    ("variables", "tasks", "logs"),
    [
        ({}, 30, 20),
        ({"tasks": 2}, 2, 20),
        ({"tasks": 2, "logs": 3}, 2, 3),
        ({"tasks": 2.0, "logs": 3}, 2, 3),
        ({"tasks": 10**400, "logs": -5}, 100, 1),
        ({"tasks": 1e308, "logs": 0}, 100, 1),
        ({"tasks": "2", "logs": None}, 30, 20),
    ],
)
def test_variables_say_how_long_a_list_gets(
    variables: dict[str, object], tasks: int, logs: int
) -> None:
    assert cost_of(LISTS, **variables) == 4 + COUNT + tasks * (4 + 2 * logs)


def test_product_of_variables_is_put_in_wherever_it_occurs() -> None:
    text = """query ($a: Int!, $b: Int!) {
      x: tasks(limit: $a) { data { logs(limit: $b) { ...L } } }
      y: tasks(limit: $b) { data { logs(limit: $a) { ...L } } }
      z: logs(limit: $a) { ...L }
    } fragment L on TaskLogPage { data { id } }"""

    cost = cost_of(text, a=3, b=5)

    assert cost == (2 + 3 * (3 + 2 * 5)) + (2 + 5 * (3 + 2 * 3)) + (2 + 3 * 2)


def test_each_operation_has_its_own_cost_and_defaults() -> None:
    text = """query A ($n: Int = 2) { ...F } query B ($n: Int = 9) { ...F id: __typename }
      fragment F on Query { tasks(limit: $n) { data { id } } }"""

    assert cost_of(text, "A") == 2 + 2 * 2
    assert cost_of(text, "B") == 2 + 9 * 2 + 1


@pytest.mark.parametrize(
    "text",
    [
        f"{{ tasks(limit: 100) {{ data {{ {TASK} lastLog {{ {LOG} }} }} }} }}",
        f"{{ tasks(limit: 50) {{ data {{ {TASK} logs(limit: 10) {{ data {{ {LOG} }} }} }} }} }}",
        f"{{ tasks(limit: 100) {{ data {{ {ALL} }} meta {{ total }} }} }}",
        f"{{ tasks(limit: 100) {{ data {{ {TASK} logs(limit: 1) {{ meta {{ total }} }} }} }} }}",
        get_introspection_query(),
    ],
)
def test_what_a_page_of_a_frontend_asks_for_is_allowed(text: str) -> None:
    document = parse(text)

    (cost,) = costs(SCHEMA, document).values()

    assert cost_problem(cost.of({})) is None


def test_lists_within_lists_are_refused_with_the_figure_and_the_bound() -> None:
    logs = "logs(limit: 100) { data { %s } }"
    inner = logs % f"task {{ {logs % 'id'} }}"

    cost = cost_of(f"{{ tasks(limit: 100) {{ data {{ {inner} }} }} }}")

    problem = cost_problem(cost)
    assert cost > 1_000_000
    assert problem is not None
    assert f"costs {cost};" in problem
    assert str(MAX_COST) in problem


@pytest.mark.parametrize(
    "each",
    [
        "tasks(limit: 1) { meta { total } }",
        "auditLogs(limit: 1, page: 1000) { data { id } }",
        "engineStatus { queued }",
    ],
)
def test_counts_and_far_pages_by_the_dozen_are_refused(each: str) -> None:
    text = f"{{ {' '.join(f'a{n}: {each}' for n in range(20))} }}"

    assert cost_problem(cost_of(text)) is not None


@pytest.mark.parametrize("digits", [11, 5000])
def test_number_of_any_length_is_read(digits: int) -> None:
    document = parse("query ($n: Int = %s) { a(first: %s) b(first: $n) }" % (("9" * digits,) * 2))
    schema = build_schema("type Query { a(first: Int!): [Int!] b(first: Int!): [Int!] }")

    assert costs(schema, document)[None].of({}) == 2 + 2 * 100


def test_argument_without_a_default_counts_as_the_longest_list() -> None:
    schema = build_schema("type Query { a(first: Int): [Int!] }")

    assert costs(schema, parse("{ a }"))[None].of({}) == 1 + 100


def test_doubling_fragments_are_counted_at_once() -> None:
    """Each of a hundred fragments spreads the next one twice: 2 to the power of 100 leaves."""
    chain = " ".join(f"fragment F{i} on Query {{ ...F{i + 1} ...F{i + 1} }}" for i in range(100))
    last = "fragment F100 on Query { tasks(limit: $n) { data { id } } }"
    document = parse(f"query ($n: Int!) {{ ...F0 }} {chain} {last}")
    began = time.process_time()

    cost = costs(SCHEMA, document)[None].of({"n": 3})

    assert time.process_time() - began < 0.5
    assert cost == 2**100 * (2 + 3 * 2)

"""What asks for too much is refused before anything of it runs."""

from collections.abc import AsyncIterator

import pytest
from graphql import get_introspection_query

from engine.cipher import WebhookCipher
from tests.serving import Api, absent_database, make_app, serving

OLD, NEW = "application/json", "application/graphql-response+json"
LISTS = "query ($n: Int!) { tasks(limit: $n) { data { logs(limit: $n) { data { id } } } } }"


@pytest.fixture
async def api(cipher: WebhookCipher) -> AsyncIterator[Api]:
    async with absent_database() as database, serving(make_app(database, cipher)) as api:
        yield api


@pytest.mark.parametrize("accept", [OLD, NEW])
@pytest.mark.parametrize(
    ("query", "figure", "bound"),
    [
        ("{ task" * 16 + " }" * 16, "16", "15"),
        ("{ tasks { data { " + " ".join(f"a{i}: id" for i in range(51)) + " } } }", "51", "50"),
        ("{ __schema { a: types { name } b: types { name } } }", "2", "0"),
        ("{ a: __schema { types { name } } b: __schema { types { name } } }", "2", "1"),
        ("{ tasks { data { " + "id " * 51 + "} } }", "51", "50"),
        ("{ " + "__typename " * 21 + "}", "21", "20"),
        ("{ " + "__typename " * 1000 + "}", "more than", "1000"),
        ("{ __typename " + "#\n" * 1000 + "}", "more than", "1000"),
        ("mutation { reloadTasks " + "reloadTasks " * 20 + "}", "21", "20"),
        (LISTS.replace("$n: Int!", "$n: Int! = 100"), "20302", "10000"),
    ],
)
async def test_operation_beyond_a_bound_is_400_with_figure_and_bound(
    api: Api, accept: str, query: str, figure: str, bound: str
) -> None:
    answer = await api.post(query, headers={"Accept": accept})

    assert (answer.status, answer.codes) == (400, ["QUERY_TOO_COMPLEX"])
    assert list(answer.json) == ["errors"]
    message = answer.json["errors"][0]["message"]
    assert figure in message
    assert bound in message


async def test_variables_decide_for_each_request_anew(api: Api) -> None:
    long = await api.post(LISTS, {"n": 100})
    short = await api.post(LISTS, {"n": 10})
    again = await api.post(LISTS, {"n": 99.0})

    assert long.codes == again.codes == ["QUERY_TOO_COMPLEX"]
    assert short.codes == ["INTERNAL_SERVER_ERROR"]  # It ran, and found no database.


async def test_only_the_chosen_operation_has_to_be_cheap(api: Api) -> None:
    dear = "query Dear { tasks(limit: 100) { data { logs(limit: 100) { data { id } } } } }"
    text = f"{dear} query Cheap {{ __typename }}"

    refused = await api.post(text, operation="Dear")
    answered = await api.post(text, operation="Cheap")
    unnamed = await api.post(text)

    assert refused.codes == ["QUERY_TOO_COMPLEX"]
    assert answered.json == {"data": {"__typename": "Query"}}
    assert unnamed.codes == ["BAD_USER_INPUT"]


EVERYTHING = {
    "specified_by_url": True,
    "directive_is_repeatable": True,
    "schema_description": True,
    "input_value_deprecation": True,
    "one_of": True,
    "experimental_directive_deprecation": True,
}


@pytest.mark.parametrize(
    "options", [{}, {"input_value_deprecation": True, "descriptions": False}, EVERYTHING]
)
async def test_clients_may_ask_for_the_whole_schema(api: Api, options: dict[str, bool]) -> None:
    data = await api.run(get_introspection_query(**options))

    assert len(data["__schema"]["types"]) > 20


async def test_introspection_within_introspection_is_refused(api: Api) -> None:
    fields = "fields { type { %s } }"

    answer = await api.post(
        f"{{ __schema {{ types {{ {fields % (fields % (fields % 'name'))} }} }} }}"
    )

    assert answer.codes == ["BAD_USER_INPUT"]


async def test_list_of_more_than_a_hundred_is_told_by_its_own_rule(api: Api) -> None:
    error = await api.fail("{ tasks(limit: 1000000) { data { id } } }")

    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert error["message"] == "limit: is 1000000; 1 to 100 is allowed"


async def test_nested_beyond_what_can_be_read_is_no_fault_of_ours(api: Api) -> None:
    answers = [
        await api.post("{ a" * 400 + "}" * 400),
        await api.post("{ tasks(search: " + "[" * 400 + "]" * 400 + ") { data { id } } }"),
        await api.post("{ ... { " * 200 + "__typename" + "} }" * 200),
    ]

    assert {code for answer in answers for code in answer.codes} <= {
        "BAD_USER_INPUT",
        "QUERY_TOO_COMPLEX",
    }

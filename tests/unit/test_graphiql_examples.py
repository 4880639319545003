"""GraphiQL's examples are one document, so a wrong one would spoil all of them."""

import re

from graphql import OperationDefinitionNode, parse, validate

from schema.core import core_schema
from schema.schema import build_schema
from web.graphiql import SOURCES


def test_examples_are_valid_and_show_each_kind_of_operation() -> None:
    page = (SOURCES / "app.js").read_text("utf-8")
    match = re.search(r"const EXAMPLES = `([^`]+)`;", page)
    assert match
    examples = parse(match[1])

    assert validate(core_schema(build_schema()), examples) == []
    operations = [
        node for node in examples.definitions if isinstance(node, OperationDefinitionNode)
    ]
    assert {node.operation.value for node in operations} == {"query", "mutation", "subscription"}
    assert all(node.name for node in operations)

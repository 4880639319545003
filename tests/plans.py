"""What a statement's plan reads."""

from collections.abc import Iterator

import orjson

from models.database import Connection


def scans(plan: dict[str, object]) -> Iterator[dict[str, object]]:
    """Yield the node of each scan of a table in a plan."""
    if "Scan" in str(plan["Node Type"]) and "Relation Name" in plan:
        yield plan
    below = plan.get("Plans", [])
    assert isinstance(below, list)
    for child in below:
        yield from scans(child)


async def scans_of(
    connection: Connection, statement: str, *arguments: object
) -> list[dict[str, object]]:
    plan = await connection.fetchval(f"explain (format json) {statement}", *arguments)
    return list(scans(orjson.loads(plan)[0]["Plan"]))


async def scanned_whole(connection: Connection, statement: str, *arguments: object) -> set[str]:
    """Return the tables that the statement walks over from end to end."""
    found = await scans_of(connection, statement, *arguments)
    return {str(scan["Relation Name"]) for scan in found if scan["Node Type"] == "Seq Scan"}

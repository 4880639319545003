"""The dashboard, the alerts and the document name the instruments that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from engine import metrics

DASHBOARD = json.loads(Path("deploy/grafana/dashboard.json").read_text())
ALERTS = Path("deploy/prometheus/alerts.yml").read_text()
DOCUMENT = Path("docs/OBSERVABILITY.md").read_text()

_METRIC = re.compile(r"\b(?:scheduler|process|python)_[a-z0-9_]+\b")
_PART = re.compile(r"_(?:bucket|count|sum)$")


def instruments() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield the name, the meaning and the labels of each instrument of ours."""
    for instrument in vars(metrics).values():
        if isinstance(instrument, MetricWrapperBase):
            (family,) = instrument.describe()
            name = f"{family.name}_total" if family.type == "counter" else family.name
            yield name, family.documentation, instrument._labelnames


OURS = {name for name, _, _ in instruments()}
STANDARD = {
    f"{family.name}_total" if family.type == "counter" else family.name
    for family in REGISTRY.collect()
}


def named(text: str) -> set[str]:
    """Return the instruments that a text names; a histogram by any of its parts."""
    found = {name.group() for name in _METRIC.finditer(text)}
    return {name if name in OURS | STANDARD else _PART.sub("", name) for name in found}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def test_there_are_instruments() -> None:
    assert len(OURS) > 15
    assert all(name.startswith("scheduler_") for name in OURS)


def test_dashboard_names_only_what_there_is() -> None:
    assert set().union(*map(named, expressions())) <= OURS | STANDARD


def test_every_instrument_is_on_a_panel() -> None:
    assert OURS - set().union(*map(named, expressions())) == set()


def test_dashboard_is_one_that_grafana_takes() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]

    assert DASHBOARD["schemaVersion"] == 42
    assert len(set(ids)) == len(ids)
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


def test_dashboard_asks_the_data_source_that_is_chosen() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}

    assert variables["datasource"]["type"] == "datasource"
    assert variables["job"]["datasource"] == chosen
    for panel in panels():
        assert panel["datasource"] == chosen
        assert all(target["datasource"] == chosen for target in panel["targets"])


@pytest.mark.parametrize("expression", expressions())
def test_panels_show_the_chosen_jobs_alone(expression: str) -> None:
    selectors = len(_METRIC.findall(expression))

    assert expression.count('{job=~"$job"}') == selectors


def test_alerts_name_only_what_there_is() -> None:
    assert named(ALERTS) <= OURS | STANDARD
    for name in ("part_health", "queue_age_seconds", "tick_lateness_seconds", "attempts_total"):
        assert f"scheduler_{name}" in named(ALERTS)


def test_document_lists_every_instrument_with_its_labels() -> None:
    for name, meaning, labels in instruments():
        shown = ", ".join(f"`{label}`" for label in labels)
        assert f"| `{name}` | {shown} | {meaning} |" in DOCUMENT
    assert named(DOCUMENT) - {"scheduler_key"} <= OURS | STANDARD

"""Dashboard, alerts and documentation name metrics and labels that there are, and the page names them all."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from imagemill.bootstrap.application import Application
from imagemill.config import Settings

ROOT = Path(__file__).parents[2]
NAME = re.compile(r"\bimagemill_[a-z_]+\b")
SELECTOR = re.compile(r"\b(imagemill_[a-z_]+)\{([^}]*)\}")
SUFFIXES = ("_bucket", "_sum", "_count", "_total")


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every metric of ours by its name without the suffix, with its labels."""
    app = Application(Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("data")))
    try:
        registry = app.observer.metrics.registry
        found: dict[str, Any] = {}
        for collector in list(registry._collector_to_names):
            labels = getattr(collector, "_labelnames", None)
            for family in collector.collect():
                found[family.name] = labels if labels is not None else getattr(family, "_labelnames", ())
        return {name: set(labels) for name, labels in found.items() if name.startswith("imagemill_")}
    finally:
        app.close()


def plain(name: str) -> str:
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def expressions() -> list[str]:
    board = json.loads((ROOT / "deploy/grafana/imagemill.json").read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = (ROOT / "deploy/prometheus/alerts.yaml").read_text()
    blocks = re.findall(r"expr: (?:>-\n)?(.*?)\n        (?:for|labels):", rules, re.DOTALL)
    return [*queries, *blocks]


def test_every_query_asks_for_metrics_that_there_are(families: dict[str, Any]) -> None:
    asked = {plain(name) for text in expressions() for name in NAME.findall(text)}

    assert len(asked) > 12
    assert asked <= families.keys()


def test_every_query_selects_by_labels_that_there_are(families: dict[str, Any]) -> None:
    wrong = [
        (name, label)
        for text in expressions()
        for name, labels in SELECTOR.findall(text)
        for label in re.findall(r"(\w+)(?:=~|!~|!=|=)", labels)
        if label not in families[plain(name)] | {"job", "le"}
    ]
    assert not wrong


def test_every_query_closes_what_it_opens() -> None:
    assert [
        text for text in expressions() if any(text.count(a) != text.count(b) for a, b in ("()", "[]", "{}"))
    ] == []


def test_the_page_names_every_metric_and_no_other(families: dict[str, Any]) -> None:
    page = (ROOT / "docs/observability.md").read_text()

    assert {plain(name) for name in NAME.findall(page)} == set(families)


def test_every_alert_is_explained() -> None:
    alerts = re.findall(r"alert: (\w+)", (ROOT / "deploy/prometheus/alerts.yaml").read_text())
    page = (ROOT / "docs/observability.md").read_text().partition("## Alerts")[2]

    assert len(alerts) >= 4
    assert [alert for alert in alerts if alert not in page] == []


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads((ROOT / "deploy/grafana/imagemill.json").read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells

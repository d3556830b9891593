"""The alert rules and the dashboard's queries in a real Prometheus that scrapes a real server."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.cli.programs import Program, image_job, running
from tests.debian import environment, unpacked
from tests.deploy.by_hand import free_ports
from tests.metrics.test_deploy import NAME, expressions

FOLDER = Path(__file__).parents[2] / "deploy/prometheus"
_CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: imagemill
    static_configs: [{{targets: ["{target}"]}}]
"""
_VARIABLES = {"$__rate_interval": "1m", "$__interval": "10s", "$__range": "5m", "$job": "imagemill"}
"""Of Grafana's, which fills them in."""


class Prometheus:
    def __init__(self, url: str) -> None:
        self._client = httpx2.Client(base_url=url, trust_env=False, timeout=10, verify=False)

    def ask(self, path: str, **given: str) -> Any:
        answer = self._client.get(f"/api/v1/{path}", params=given)
        assert answer.status_code == 200, (given, answer.text)
        return answer.json()["data"]

    def names(self) -> set[str]:
        return set(self.ask("label/__name__/values", **{"match[]": '{job="imagemill"}'}))

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx2.HTTPError:
            return False

    def close(self) -> None:
        self._client.close()


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.1)


def tool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    given = environment(unpacked("prometheus"))
    command = ["promtool", *arguments]
    return subprocess.run(command, env=given, cwd=FOLDER, capture_output=True, text=True, check=False)


def work(server: Program) -> None:
    """What makes every metric known: a success, a repeated attempt, a failure, a loaded model."""
    with server.client() as client:
        hints: list[Any] = [{}, {"fault": "server_error"}, {"fault": "content"}]
        for hint in hints:
            job = client.post(
                "/v1/consumer/jobs", json=image_job(properties={"simulate": hint} if hint else {})
            )
            assert job.status_code == 200, job.text
        until(lambda: all(each["finishedAt"] for each in client.get("/api/v1/jobs").json()["items"]))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("scraped")
    settings = {
        "IMAGEMILL_PORT": "0",
        "IMAGEMILL_SIMULATOR__LOAD_MS": "10",
        "IMAGEMILL_JOB__RETRY_BASE_S": "0.01",
    }
    with ExitStack() as stack:
        server = stack.enter_context(running("serve", cwd=folder, **settings))
        target = server.url.removeprefix("http://")
        config = folder / "prometheus.yaml"
        config.write_text(_CONFIG.format(rules=FOLDER / "alerts.yaml", target=target))
        address = f"127.0.0.1:{free_ports(1)[0]}"
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        command.append(f"--web.listen-address={address}")
        given = environment(unpacked("prometheus"))
        log = stack.enter_context((folder / "prometheus.log").open("wb"))
        process = subprocess.Popen(command, env=given, stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.kill)
        prometheus = Prometheus(f"http://{address}")
        stack.callback(prometheus.close)
        work(server)
        until(prometheus.is_ready)
        until(lambda: "imagemill_jobs_total" in prometheus.names())
        yield prometheus


def test_the_rules_are_rules() -> None:
    checked = tool("check", "rules", "alerts.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    tested = tool("test", "rules", "alerts.test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_each_alert_is_tested() -> None:
    def alerts(file: str, word: str) -> set[str]:
        lines = (FOLDER / file).read_text().splitlines()
        return {line.rpartition(" ")[2] for line in lines if f"{word}: " in line}

    assert alerts("alerts.yaml", "alert") == alerts("alerts.test.yaml", "alertname")


def test_every_metric_that_is_asked_for_was_scraped(prometheus: Prometheus) -> None:
    asked = {name for text in expressions() for name in NAME.findall(text)}
    assert len(asked) > 15
    assert asked - prometheus.names() == set()


def test_every_query_can_be_answered(prometheus: Prometheus) -> None:
    for query in expressions():
        for name, value in _VARIABLES.items():
            query = query.replace(name, value)
        assert "$" not in query
        prometheus.ask("query", query=query)


def test_every_rule_is_evaluated_and_quiet_in_an_hour_of_peace(prometheus: Prometheus) -> None:
    until(lambda: all(rule["health"] == "ok" for rule in prometheus.rules()))
    rules = prometheus.rules()

    assert len(rules) >= 9
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []


def test_a_scrape_takes_every_line(prometheus: Prometheus) -> None:
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")

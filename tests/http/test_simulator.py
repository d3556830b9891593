"""``/api/v1/simulator``: the speed and the faults of the worker, changed while a server runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagemill.backends.simulator.faults import load_scenario
from tests.conftest import SD1, Server
from tests.http.support import problem

PATH = "/api/v1/simulator"


@pytest.fixture(autouse=True)
def clean(server: Server) -> Iterator[None]:
    yield
    assert server.client.put(f"{PATH}/scenario", json={}).status_code == 200
    assert server.client.patch(PATH, json={"speed": None}).status_code == 200


def run(server: Server, prompt: str) -> dict[str, Any]:
    input_ = {"model": SD1, "prompt": prompt, "width": 64, "height": 64, "steps": 2}
    job = server.client.post("/api/v1/jobs", json={"recipe": "textToImage", "input": input_}).json()
    return server.wait(job["id"])


def test_a_fault_strikes_the_jobs_it_names_and_is_counted(server: Server) -> None:
    rule = {"fault": "content", "times": 9, "prompt": "FOX"}
    added = server.client.post(f"{PATH}/worker-faults", json=rule).json()

    assert run(server, "a fox")["error"]["code"] == "content_blocked"
    assert run(server, "a boat")["status"] == "succeeded"

    (found,) = server.client.get(PATH).json()["faults"]
    assert found == added | {"hits": 1}
    assert server.client.delete(f"{PATH}/worker-faults/{found['id']}").status_code == 204
    assert run(server, "a fox")["status"] == "succeeded"
    assert server.client.delete(f"{PATH}/worker-faults/{found['id']}").status_code == 404


def test_a_speed_has_a_name_or_durations_and_goes_back_to_the_settings(server: Server) -> None:
    slow = server.client.patch(PATH, json={"speed": "consumer"}).json()
    assert (slow["speed"], slow["stepMs"], slow["loadMs"], slow["changed"]) == (
        "consumer",
        150.0,
        5000.0,
        True,
    )
    own = server.client.patch(PATH, json={"stepMs": 7}).json()
    assert (own["speed"], own["stepMs"], own["loadMs"]) == (None, 7.0, 5000.0)
    back = server.client.patch(PATH, json={"speed": None}).json()
    assert (back["speed"], back["changed"]) == ("instant", False)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "write speed"),
        ({"speed": "slow", "stepMs": 1}, "write one or the others"),
        ({"speed": "warp"}, "speed"),
        ({"stepMs": -1}, "stepMs"),
    ],
)
def test_a_wrong_speed_is_refused_and_changes_nothing(
    server: Server, body: dict[str, Any], said: str
) -> None:
    assert said in json.dumps(problem(server.client.patch(PATH, json=body), 400))
    assert server.client.get(PATH).json()["changed"] is False


def test_a_scenario_is_recorded_and_loaded_in_its_order(server: Server, tmp_path: Path) -> None:
    scenario = {
        "rule": [
            {"fault": "slow_load", "loadMs": 5.0, "model": "sd1"},
            {"fault": "crash", "probability": 0.5},
        ],
        "http": [{"http": 503, "retryAfter": 1, "path": "/v1/*", "times": None}],
        "speed": {"stepMs": 1.0, "loadMs": 2.0, "jitter": 0.0},
    }

    loaded = server.client.put(f"{PATH}/scenario", json=scenario)

    assert [each["rule"]["fault"] for each in loaded.json()["faults"]] == ["slow_load", "crash"]
    recorded = server.client.get(f"{PATH}/scenario")
    assert recorded.json() == scenario
    file = tmp_path / "scenario.json"
    file.write_bytes(recorded.content)
    read = load_scenario(file)  # as IMAGEMILL_SIMULATOR__SCENARIO does
    assert [rule.fault for rule in read.rules] == ["slow_load", "crash"]
    assert read.rules[0].load_ms == 5
    assert read.http[0].http == 503
    assert read.speed == {"step_ms": 1.0, "load_ms": 2.0, "jitter": 0.0}

"""Any JSON value at any place of a valid request: never a server error, and no job of a refused one."""

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import LORA, SD1, Server, image_job
from tests.http.support import count_jobs
from tests.http.test_v1_jobs import GRAPH

IMAGE = image_job(
    name="a",
    priority=1,
    providers=["Civitai"],
    expireAt="2031-01-01T00:00:00Z",
    properties={"user": 5, "nested": {"a": [1]}},
    callbackUrl="https://example.com/hook",
    timeout="00:10:00",
    retries=2,
    quantity=2,
    batchSize=1,
    baseModel="SD_1_5",
    additionalNetworks={LORA: {"strength": 1, "type": "Lora", "triggerWord": "x"}, "l": {"id": LORA}},
    controlNets=[{"preprocessor": "Canny", "weight": 1, "startStep": 0, "endStep": 1, "imageUrl": "x"}],
    params={"negativePrompt": "fog", "scheduler": "Euler", "cfgScale": 7, "seed": 1, "clipSkip": 1},
)
BODIES: list[tuple[str, Any]] = [
    ("/v1/consumer/jobs", IMAGE),
    ("/v1/consumer/jobs", {"jobs": [IMAGE, image_job(dependencies=["a"])]}),
    ("/v1/consumer/jobs", {"$type": "comfy", "quantity": 1, "params": {"workflow": GRAPH, "seed": 1}}),
    ("/v1/consumer/jobs/query", {"cursor": None, "jobType": "comfy", "properties": {"user": 5}}),
    (
        "/api/v1/jobs",
        {
            "recipe": "textToImage",
            "input": {
                "model": SD1,
                "prompt": "x",
                "width": 64,
                "height": 64,
                "steps": 1,
                "networks": [{"air": LORA, "strength": 1}],
            },
            "priority": 1,
            "properties": {"a": 1},
            "labels": [],
        },
    ),
]

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 2**31, 2**63, 2**64, 10**40, 10**308])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from([SD1, LORA, "@civitai/1", "textToImage", "comfy", "a", "\0", "9" * 30, "1e400", "%00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(body)
    parent = changed
    for part in path[:-1]:
        parent = parent[part]
    parent[path[-1]] = value
    return changed


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, Any]:
    url, body = draw(st.sampled_from(BODIES))
    path = draw(st.sampled_from(list(places(body))))
    return url, replaced(body, path, draw(VALUES))


@settings(
    max_examples=250,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mutated())
def test_any_value_anywhere_is_answered_below_500(accepting: Server, request: tuple[str, Any]) -> None:
    url, body = request
    before = count_jobs(accepting)

    answer = accepting.client.post(url, json=body)

    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert count_jobs(accepting) == before
    else:
        assert "query" in url or count_jobs(accepting) > before

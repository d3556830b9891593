"""Any JSON value at any place of a request that administers nodes and workflows: never a server error."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import LORA, SD1, Server
from tests.graphs import MANIFEST, data_url, graph
from tests.http.test_mutations import VALUES, places, replaced

NODE = {
    "name": "attic",
    "url": "http://attic:8188",
    "labels": ["big"],
    "queues": ["gpu"],
    "slots": 2,
    "memoryMb": 8000,
    "headers": {"X-Key": "secret"},
    "token": "secret",
    "verifyTls": True,
    "caFile": "/etc/ssl/attic.pem",
    "draining": False,
}
RUN = {
    "prompt": "a face",
    "steps": 4,
    "seed": 1,
    "model": SD1,
    "image": data_url(),
    "loras": [{"air": LORA, "strength": 0.5, "strength_clip": 1}, {"file": "a.safetensors"}],
}
REQUESTS: list[tuple[str, str, Any]] = [
    ("POST", "/api/v1/nodes", NODE),
    ("PATCH", "/api/v1/nodes/attic", {key: value for key, value in NODE.items() if key != "name"}),
    ("POST", "/api/v1/workflows", {"name": "fuzzed", "graph": graph(), "manifest": MANIFEST}),
    ("POST", "/api/v1/workflows", {"name": "fuzzed", "graph": graph()}),
    ("PUT", "/api/v1/workflows/portrait", {"graph": graph(), "manifest": MANIFEST}),
    ("POST", "/api/v1/workflows/portrait", RUN),
]


@pytest.fixture(scope="module")
def prepared(accepting: Server) -> Server:
    """With the node and the workflow that requests change and run."""
    body = {"name": "portrait", "graph": graph(), "manifest": MANIFEST}
    assert accepting.client.post("/api/v1/nodes", json=NODE).status_code == 201
    assert accepting.client.post("/api/v1/workflows", json=body).status_code == 201
    return accepting


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str, Any]:
    method, path, body = draw(st.sampled_from(REQUESTS))
    return method, path, replaced(body, draw(st.sampled_from(list(places(body)))), draw(VALUES))


@settings(
    max_examples=100,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(mutated())
def test_any_value_anywhere_is_answered_below_500(prepared: Server, request: tuple[str, str, Any]) -> None:
    method, path, body = request
    answer = prepared.client.request(method, path, json=body)
    listed = [prepared.client.get(f"/api/v1/{kind}") for kind in ("nodes", "workflows")]

    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
    assert [each.status_code for each in listed] == [200, 200]

"""Servers with a model library of small pictures, and what tests ask of them."""

import time
from typing import Any

from imagemill.products.library.grid import PARAMETERS, Cell
from tests.conftest import Server

SMALL = {"width": 96, "height": 128, "steps": 4}
"""Quick to make, and still of a model's shape."""
CELL = {"gender": "female", "ageRange": "20-30", "bodyType": "slim", "pose": "side", "style": "casual"}
TEMPLATE = "female-20-30-slim-side-casual"
GRID = {"gender": "female", "ageRange": "20-30", "bodyType": ["slim", "average"], "style": "casual"}
"""8 cells."""


def named(cell: Cell) -> dict[str, str]:
    return {name: getattr(cell, name) for name in PARAMETERS}


def make(server: Server, **changes: Any) -> dict[str, Any]:
    """One model, once its job has succeeded: its row."""
    answer = server.client.post("/api/v1/library", json={**CELL, **changes})
    assert answer.is_success, answer.text
    return row_of(server, answer.json()["jobId"])


def edit(server: Server, model_id: str, **changes: Any) -> dict[str, Any]:
    answer = server.client.post(f"/api/v1/library/{model_id}/edit", json=changes)
    assert answer.status_code == 201, answer.text
    return row_of(server, answer.json()["jobId"])


def row_of(server: Server, job_id: str) -> dict[str, Any]:
    job = server.wait(job_id)
    assert job["status"] == "succeeded", job["error"]
    rows = server.client.get("/api/v1/library", params={"limit": 500}).json()["items"]
    return next(row for row in rows if row["jobId"] == job_id)


def order(server: Server, **body: Any) -> dict[str, Any]:
    answer = server.client.post("/api/v1/library/batch", json=body)
    assert answer.is_success, answer.text
    return answer.json()


def finish(server: Server, batch: str, seconds: float = 30) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while not (told := server.client.get(f"/api/v1/library/batch/{batch}").json())["finished"]:
        assert time.monotonic() < end, told
        time.sleep(0.05)
    return told


def rows(server: Server, **query: Any) -> list[dict[str, Any]]:
    return server.client.get("/api/v1/library", params={"limit": 500, **query}).json()["items"]

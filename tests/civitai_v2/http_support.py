"""Workflows for the tests of v2."""

from typing import Any

import httpx2

from tests.conftest import Server

WORKFLOWS = "/v2/consumer/workflows"


def picture(prompt: str = "a lighthouse", **changes: Any) -> dict[str, Any]:
    """A small step of textToImage; ``name``, ``metadata`` and the like stand beside its input."""
    step = {
        name: changes.pop(name) for name in ("name", "metadata", "priority", "retries") if name in changes
    }
    return {
        "$type": "textToImage",
        "input": {"prompt": prompt, "width": 64, "height": 64, "steps": 4, **changes},
        **step,
    }


def ref(step: str, path: str) -> dict[str, str]:
    return {"$ref": step, "path": path}


def send(server: Server, *steps: dict[str, Any], wait: int = 0, **template: Any) -> httpx2.Response:
    body = {"steps": list(steps), **template}
    return server.client.post(WORKFLOWS, json=body, params={"wait": str(wait)} if wait else {})


def run(server: Server, *steps: dict[str, Any], **template: Any) -> dict[str, Any]:
    """The workflow once it has ended."""
    answer = send(server, *steps, wait=20, **template)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(server: Server, id_: str, **query: str) -> dict[str, Any]:
    answer = server.client.get(f"{WORKFLOWS}/{id_}", params=query)
    assert answer.status_code in (200, 202), answer.text
    return answer.json()


def errors(answer: httpx2.Response) -> dict[str, list[str]]:
    assert answer.status_code == 400, answer.text
    return answer.json()["errors"]


def found(server: Server, **query: Any) -> list[dict[str, Any]]:
    """The workflows that a query finds."""
    answer = server.client.get(WORKFLOWS, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]

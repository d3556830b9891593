"""What the tests of fal's dialect share."""

import time
from collections.abc import Callable
from typing import Any

import httpx2

from tests.conftest import SDXL, Server

KEY = {"Authorization": "Key anything"}
DEV, SCHNELL, IMAGE, FAST = (
    "fal-ai/flux/dev",
    "fal-ai/flux/schnell",
    "fal-ai/flux/dev/image-to-image",
    "fal-ai/fast-sdxl",
)
SMALL = {"width": 64, "height": 64}
HOSTS = ["fal.test", "queue.fal.test"]


def wanted(**changes: Any) -> dict[str, Any]:
    """A small input."""
    return {"prompt": "a lighthouse", "image_size": SMALL, "num_inference_steps": 4, "seed": 7, **changes}


def queued(server: Server, app: str = DEV, body: Any = None, **options: Any) -> httpx2.Response:
    headers = {**KEY, **options.pop("headers", {})}
    return server.client.post(
        f"/fal/{app}", json=wanted() if body is None else body, headers=headers, **options
    )


def direct(server: Server, app: str = DEV, body: Any = None, **options: Any) -> httpx2.Response:
    headers = {**KEY, **options.pop("headers", {})}
    return server.client.post(
        f"/fal-run/{app}", json=wanted() if body is None else body, headers=headers, **options
    )


def accepted(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return answer.json()


def look(server: Server, told: dict[str, Any], **query: str) -> httpx2.Response:
    return server.client.get(told["status_url"], params=query, headers=KEY)


def finished(server: Server, told: dict[str, Any], seconds: float = 40, **query: str) -> dict[str, Any]:
    """The status once it is completed."""
    end = time.monotonic() + seconds
    while (status := look(server, told, **query)).json()["status"] != "COMPLETED":
        assert time.monotonic() < end, status.text
        time.sleep(0.02)
    return status.json()


def made(server: Server, told: dict[str, Any]) -> dict[str, Any]:
    """What a request made."""
    finished(server, told)
    answer = server.client.get(told["response_url"], headers=KEY)
    assert answer.status_code == 200, answer.text
    return answer.json()


def until(condition: Callable[[], Any], seconds: float = 40) -> Any:
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)
    return result


APPS = {"me/xl": {"model": SDXL, "steps": 6, "guidance_scale": 5, "image_size": "square"}}

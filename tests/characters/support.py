"""What the tests of characters share: servers, sheets, waiting."""

import io
import time
from collections.abc import Callable
from typing import Any

import httpx2
from PIL import Image

from imagemill.bootstrap.application import Roles
from tests.conftest import Server

API = "/api/v1/image-generation"
ADMIN_KEY = "an-administrator-s-key-of-32-or-more-characters"
LIA: dict[str, Any] = {
    "name": "Lia",
    "gender": "mulher",
    "physical": "cabelo longo castanho, olhos verdes",
    "attire": "vestido vermelho",
    "style": "anime",
}
LORA = "urn:air:sdxl:lora:civitai:70@7001"
"""For the default checkpoint; see `add_models`."""
EIGHT = ["happy", "sad", "angry", "surprised", "neutral", "thinking", "shy", "waving"]


def idle(make_server: Callable[..., Server], **settings: Any) -> Server:
    """One that accepts and renders nothing."""
    return make_server(roles=Roles(worker=False), **settings)


def avatar(**more: Any) -> dict[str, Any]:
    return {"characterId": "lia", "character": LIA, **more}


def sticker(emotion: str = "happy", **more: Any) -> dict[str, Any]:
    return {"characterId": "lia", "emotion": emotion, "character": LIA, **more}


def cover(**more: Any) -> dict[str, Any]:
    return {"storyId": "tale", "title": "O farol", "synopsis": "Uma praia ao por do sol.", **more}


def scene(**more: Any) -> dict[str, Any]:
    context = {
        "summary": "Ela caminha na floresta.",
        "characters": [LIA],
        "place": "floresta",
        "mood": "calma",
    }
    return {"context": context, "width": 512, "height": 512, **more}


def ask(client: httpx2.Client, path: str, body: Any, **headers: str) -> httpx2.Response:
    return client.post(f"{API}/{path}", json=body, headers=headers)


def order(client: httpx2.Client, path: str, body: Any) -> dict[str, Any]:
    answer = ask(client, path, body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["success"] is True
    return answer.json()


def status(client: httpx2.Client, job_id: str) -> dict[str, Any]:
    answer = client.get(f"{API}/status/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(client: httpx2.Client, job_id: str, seconds: float = 60) -> dict[str, Any]:
    """The status of the job once it is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        body = status(client, job_id)
        if body["state"] in ("completed", "failed"):
            return body
        time.sleep(0.03)
    raise AssertionError(f"job {job_id} is not over: {body}")


def made(client: httpx2.Client, path: str, body: Any) -> dict[str, Any]:
    """The status of a picture that came to be."""
    found = ended(client, order(client, path, body)["jobId"])
    assert found["state"] == "completed", found
    return found


def picture(client: httpx2.Client, url: str) -> Image.Image:
    """By its URL, without any key."""
    answer = httpx2.get(url)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    return Image.open(io.BytesIO(answer.content))


def lora(strength: float = 1.0, **more: Any) -> dict[str, Any]:
    return {"air": LORA, "strength": strength, **more}


def add_models(client: httpx2.Client, *airs: str) -> None:
    """Register the LoRA of `lora`, and these."""
    for air in (LORA, *airs):
        answer = client.post("/v2/resources", json={"air": air, "modelName": "More Details"})
        assert answer.status_code in (200, 201, 409), answer.text

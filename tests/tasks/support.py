"""Pictures and short cuts of the tests of tasks."""

import base64
import io
from collections.abc import Callable
from typing import Any

from PIL import Image

from tests.conftest import Server

Colour = tuple[int, int, int]


def encoded(picture: Image.Image, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def data_url(data: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def painted(width: int, height: int, colour: Callable[[int, int], Colour]) -> Image.Image:
    picture = Image.new("RGB", (width, height))
    for y in range(height):
        for x in range(width):
            picture.putpixel((x, y), colour(x, y))
    return picture


def halves(width: int = 40, height: int = 20) -> Image.Image:
    """Black on the left, white on the right."""
    return painted(width, height, lambda x, _: (0, 0, 0) if x < width // 2 else (255, 255, 255))


def run(server: Server, recipe: str, **input_: Any) -> dict[str, Any]:
    """The finished job."""
    answer = server.client.post(
        "/api/v1/jobs", json={"recipe": recipe, "input": input_}, params={"wait": "true"}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def refused(server: Server, recipe: str, **input_: Any) -> dict[str, list[str]]:
    """The errors of an input that is refused, by field."""
    answer = server.client.post("/api/v1/jobs", json={"recipe": recipe, "input": input_})
    assert answer.status_code == 400, answer.text
    return answer.json()["errors"]


def download(server: Server, job: dict[str, Any], position: int = 0) -> bytes:
    assert job["status"] == "succeeded", job["error"]
    answer = server.client.get(job["artifacts"][position]["url"], headers={"Authorization": ""})
    assert answer.status_code == 200
    return answer.content


def picture_of(server: Server, job: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(download(server, job)))

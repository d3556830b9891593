"""A server with something to see: pictures, failures and a queue.

Used for the pictures of the documentation (`tests.console.screenshots`) and for stories about full screens.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imagemill.config import Settings
from tests.conftest import Server, running_server

PROMPTS = (
    "a lighthouse on a cliff at dawn, thin fog",
    "a red fox in deep snow, golden hour",
    "an old tram in a narrow street, rain, night",
    "a bowl of lemons on a blue table, soft window light",
    "a mountain lake, mirror calm, first snow",
    "a sailing boat on a calm sea, evening",
    "a greenhouse full of ferns, morning haze",
    "portrait of a lighthouse keeper, oil painting",
    "paper cranes above a desk, shallow focus",
    "a desert road under a sky of stars",
    "a market hall, watercolour, early morning",
    "an owl on a branch, ink drawing",
)
SIZES = ((768, 512), (512, 768), (640, 640), (832, 576))
STYLES = ("", "", ", wide angle", ", close-up")


EMOTIONS = ("happy", "sad", "angry", "surprised", "shy")
SLOW = {"step_ms": 4000}
FAULTS = ("out_of_memory", "out_of_memory", "content", "rejected", "out_of_memory", "missing_node")


@contextmanager
def showcase(folder: Path, *, pictures: int = 24, waiting: int = 24) -> Iterator[Server]:
    """Start the server and fill it; two slow jobs run and the others wait for as long as it is needed."""
    settings = Settings(
        _env_file=None,
        data_dir=folder,
        sweep_s=0.2,
        shutdown_grace_s=1,
        job={"retry_base_s": 0.05, "heartbeat_s": 0.2},
        simulator={"nodes": 2, "slots": 1},
    )
    with running_server(settings) as server:
        for job_id in (*characters(server), *models(server)):
            server.wait(job_id, 60)
        done = [submit(server, number) for number in range(pictures)]
        failed = [
            submit(server, number, {"fault": fault, "times": 99}) for number, fault in enumerate(FAULTS)
        ]
        for job_id in (*done, *failed):
            server.wait(job_id, 60)
        for number in range(waiting):
            submit(server, number, SLOW)
        yield server


def characters(server: Server) -> list[str]:
    """Store a character, and order its avatar and five of its emotions."""
    api = "/api/v1/image-generation"
    sheet = {
        "name": "Lia",
        "gender": "mulher",
        "physical": "cabelo longo castanho, olhos verdes",
        "attire": "vestido vermelho",
    }
    server.client.put(f"{api}/characters/lia", json={"character": sheet}).raise_for_status()
    orders = [("avatar", {}), *(("sticker", {"emotion": each}) for each in EMOTIONS)]
    answers = [
        server.client.post(f"{api}/{kind}", json={"characterId": "lia", **body}).json()
        for kind, body in orders
    ]
    return [job_id for answer in answers for job_id in answer.get("jobIds") or [answer["jobId"]]]


def models(server: Server) -> list[str]:
    """Order a part of the model library."""
    grid = {"gender": "female", "ageRange": "20-30", "bodyType": "slim"}
    made = server.client.post("/api/v1/library/batch", json={"grid": grid, "count": 9}).json()["batch"]
    return server.client.get(f"/api/v1/library/batch/{made}").json()["jobs"]


def submit(server: Server, number: int, simulate: dict[str, Any] | None = None) -> str:
    width, height = SIZES[number % len(SIZES)]
    prompt = PROMPTS[number % len(PROMPTS)] + STYLES[(number // len(PROMPTS)) % len(STYLES)]
    body = {
        "recipe": "textToImage",
        "input": {"prompt": prompt, "width": width, "height": height, "steps": 20, "seed": 1000 + number},
        "properties": {"simulate": simulate} if simulate else {},
    }
    answer = server.client.post("/api/v1/jobs", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]

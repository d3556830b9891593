"""A guarded server as a process of its own, with something of everything on it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

import imagemill
from tests.cli.programs import Program, image_job, running
from tests.documents import whole_document
from tests.graphs import graph

ADMIN_KEY = "the-key-of-whoever-looks-after-the-fuzzed-server"
_SETTINGS = {
    "IMAGEMILL_AUTH__ADMIN_KEY": ADMIN_KEY,
    "IMAGEMILL_AUTH__SIGN_UP": "true",
    "IMAGEMILL_AUTH__PASSWORD_MEMORY_MB": "8",
    "IMAGEMILL_LIMIT__WAIT_S": "0.05",
    "IMAGEMILL_FAL_API__RUN_S": "5",
    "IMAGEMILL_SIMULATOR__STEP_MS": "0",
    # Pictures of characters are large: those that made-up requests ask for must not slow the others down.
    "IMAGEMILL_SIMULATOR__NODES": "1",
    "IMAGEMILL_LIBRARY__WIDTH": "64",
    "IMAGEMILL_LIBRARY__HEIGHT": "64",
}


@dataclass
class Caller:
    name: str
    key: str
    things: dict[str, dict[str, str]] = field(default_factory=dict)
    """Values of the parameters of a path, of things that are there."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@dataclass
class Target:
    program: Program
    url: str
    document: dict[str, Any]
    callers: list[Caller]

    def troubles(self) -> list[str]:
        """What the server itself says of what went wrong in it."""
        found = [line for line in self.program.lines() if line.get("level") in ("error", "critical")]
        return [str(line)[:2000] for line in found]


@contextmanager
def target(folder: Path, database_url: str = "") -> Iterator[Target]:
    settings = {**_SETTINGS, "IMAGEMILL_DATA_DIR": str(folder / "data")}
    if database_url:
        settings["DATABASE_URL"] = database_url
    with running("serve", "--port", "0", cwd=folder, **settings) as program:
        with httpx2.Client(base_url=program.url, timeout=100, trust_env=False, verify=False) as http:
            admin = Caller("admin", ADMIN_KEY)
            user = Caller("user", _key(http, "fuzz"))
            for caller in (admin, user):
                caller.things = _things(http, caller)
            document = whole_document(program.url, admin.headers)
        yield Target(program, program.url, document, [admin, user])
        assert program.process.poll() is None, program.log.read_text()[-3000:]


def _ok(answer: httpx2.Response) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def _key(http: httpx2.Client, owner: str) -> str:
    admin = Caller("admin", ADMIN_KEY)
    _ok(http.post("/api/v1/owners", json={"id": owner}, headers=admin.headers))
    path = f"/api/v1/owners/{owner}/keys"
    return _ok(http.post(path, json={"isService": True}, headers=admin.headers))["key"]


def _character(http: httpx2.Client, headers: dict[str, str]) -> dict[str, dict[str, str]]:
    """An avatar, and what it is called by."""
    root = "/api/v1/image-generation"
    body = {"characterId": "fuzzed", "character": {"physical": "green eyes"}}
    job_id = _ok(http.post(f"{root}/avatar", json=body, headers=headers))["jobId"]
    end = time.monotonic() + 60
    while (status := _ok(http.get(f"{root}/status/{job_id}", headers=headers)))["state"] != "completed":
        assert time.monotonic() < end, status
        time.sleep(0.05)
    image = {"character_id": "fuzzed", "image_id": status["result"]["imageId"]}
    return {
        f"{root}/status/{{job_id}}": {"job_id": job_id},
        f"{root}/cancel/{{job_id}}": {"job_id": job_id},
        f"{root}/stories/{{story_id}}": {**image, "story_id": "fuzzed"},
        f"{root}/chats/{{chat_id}}": {**image, "chat_id": "fuzzed"},
        f"{root}/characters/{{character_id}}": image,
        "/api/v1/stories/{story_id}": {"story_id": "fuzzed"},
    }


def _things(http: httpx2.Client, caller: Caller) -> dict[str, dict[str, str]]:
    """By the beginnings of paths. Nothing of it stops the server, or whoever asks, when it is changed."""
    params, headers = {"wait": "true"}, caller.headers
    job: dict[str, Any] = {}
    for _ in range(200):
        job = _ok(http.post("/v1/consumer/jobs", json=image_job(), params=params, headers=headers))["jobs"][0]
        job = _ok(http.get(f"/api/v1/jobs/{job['jobId']}", headers=headers))
        if job["finishedAt"]:
            break
    assert job["finishedAt"], job
    _ok(http.post("/api/v1/workflows", json={"name": "fuzzed", "graph": graph()}, headers=headers))
    decoy = _ok(http.post("/api/v1/keys", json={"name": "decoy"}, headers=headers))["id"]
    blob = job["artifacts"][0]["url"].partition("?")[0].rpartition("/")[2]
    small = {"prompt": "a lighthouse", "image_size": {"width": 64, "height": 64}, "num_inference_steps": 1}
    for _ in range(20):
        told = http.post("/fal-run/fal-ai/flux/dev", json=small, headers=headers)
        if told.status_code != 504:  # on a busy machine it takes longer than RUN_S
            break
    _ok(told)
    app = {"owner": "fal-ai", "alias": "flux", "path": "dev"}
    things = {
        "/fal/{owner}/{alias}/requests": {**app, "request_id": told.headers["x-fal-request-id"]},
        "/fal": app,
        "/v1/consumer/jobs/{job_id}": {"job_id": job["id"]},
        "/v1/producer/jobs/{job_id}": {"job_id": job["id"]},
        "/api/v1/jobs/{job_id}": {"job_id": job["id"]},
        "/api/v1/artifacts/{artifact_id}": {"artifact_id": job["artifacts"][0]["id"]},
        "/api/v1/workflows/{name}": {"name": "fuzzed"},
        "/api/v1/keys/{key}": {"key": decoy},
        "/api/v1/owners/{owner}": {"owner": "nobody", "key": decoy},
        "/api/v1/limits/{owner}": {"owner": "nobody"},
        "/api/v1/credits/accounts/{owner}": {"owner": "nobody"},
        "/v2/resources/{air}": {"air": "urn:air:sd1:lora:civitai:82098@87153"},
        "/blobs/{name}": {"name": blob},
        **_models(http, headers),
    }
    things |= _character(http, headers) | _book(http, headers)
    webhook = http.post("/api/v1/webhooks", json={"url": "https://example.invalid/"}, headers=headers)
    if webhook.is_success:
        one = f"/api/v1/webhooks/{webhook.json()['id']}"
        message = _ok(http.post(f"{one}/test", headers=headers))["id"]
        things["/api/v1/webhooks/{webhook_id}"] = {
            "webhook_id": webhook.json()["id"],
            "message_id": message,
        }
    return things


def _book(http: httpx2.Client, headers: dict[str, str]) -> dict[str, dict[str, str]]:
    """A book with the photo of the package, which made-up requests may bring further."""
    book = {"slug": "little-star", "name": "front"}
    photo = Path(imagemill.__file__).with_name("products") / "books/sample/photo.jpg"
    consent = '{"who": "fuzz", "when": "2026-01-31T12:00:00Z"}'
    path = f"/api/v1/books/{book['slug']}/personalizations"
    files = {"photo": ("photo.jpg", photo.read_bytes(), "image/jpeg")}
    made = _ok(http.post(path, files=files, data={"consent": consent}, headers=headers))
    return {
        "/api/v1/books/{slug}": book,
        "/api/v1/personalizations/{id}": {"id": made["id"], "page": "1"},
        "/api/v1/shared-books/{token}": {"token": f"{made['id']}.9999999999.{'0' * 44}", "page": "1"},
    }


def _models(http: httpx2.Client, headers: dict[str, str]) -> dict[str, dict[str, str]]:
    """One of the model library, and the batch that made it."""
    grid = {"gender": "male", "ageRange": "20-30", "bodyType": "slim", "pose": "side", "style": "casual"}
    batch = _ok(http.post("/api/v1/library/batch", json={"grid": grid}, headers=headers))["batch"]
    rows: list[dict[str, Any]] = []
    end = time.monotonic() + 30
    while not rows:
        assert time.monotonic() < end, "no model is made"
        time.sleep(0.05)
        rows = _ok(http.get("/api/v1/library", headers=headers))["items"]
    return {
        "/api/v1/library/{model_id}": {"model_id": rows[0]["id"]},
        "/api/v1/library/batch/{batch}": {"batch": batch},
    }

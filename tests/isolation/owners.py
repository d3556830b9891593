"""Owners with things of their own, each marked, so that it is seen wherever it comes out."""

import hashlib
import io
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
from PIL import Image

from imagemill.accounts.store import Owner, RevokeKey, StoredKey
from imagemill.domain.access import Role, Scope, digest, draw
from imagemill.domain.blob_keys import blob_id
from imagemill.domain.clock import SECOND, now_us
from tests.conftest import LORA, Server, image_job
from tests.graphs import graph

CHARACTERS = "/api/v1/image-generation"
BOOKS = "/api/v1/personalizations"
ADMIN_KEY = "an-administrators-key-of-the-settings"
JWT_SECRET = "what signs the sessions of these tests"


def bearer(token: str, user: str | None = None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}"}
    return headers if user is None else {**headers, "X-Imagemill-User": user}


def make_key(
    server: Server,
    account: str,
    scopes: frozenset[Scope] = Role.USER.scopes,
    *,
    is_service: bool = False,
    life_s: float | None = None,
    revoked: bool = False,
) -> str:
    """A key of an account, which is made when it is not there."""
    accounts, now, drawn = server.app.stores.accounts, now_us(), draw()
    accounts.ensure_owner(Owner(account, Role.USER, now))
    end = None if life_s is None else now + round(life_s * SECOND)
    accounts.add_key(StoredKey(drawn.id, account, f"key of {account}", digest(drawn.text), scopes, is_service,
                               now, end))  # fmt: skip
    if revoked:
        accounts.revoke_key(RevokeKey(drawn.id, now))
    server.app.services.access.forget()
    return drawn.text


@dataclass
class Party:
    """Somebody who asks: an account, or an end user of one."""

    server: Server
    http: httpx2.Client
    """Which says nothing of its own of who asks."""
    headers: Mapping[str, str]
    owner: str = ""

    def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {**self.headers, **options.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **options)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    def post(self, path: str, body: Any, **options: Any) -> Any:
        answer = self.ask("POST", path, json=body, **options)
        assert answer.is_success, (path, answer.text)
        return answer.json()


@dataclass
class Belongings:
    """What somebody has, by the names that paths and queries have for it."""

    owner: Party
    mark: str
    """Stands in every text of theirs."""
    paths: dict[str, str] = field(default_factory=dict)
    queries: dict[str, str] = field(default_factory=dict)
    blob_url: str = ""
    blob_key: str = ""
    idempotent: dict[str, Any] = field(default_factory=dict)

    @property
    def secrets(self) -> set[str]:
        """What must come out nowhere else."""
        own = {value for name, value in self.paths.items() if name not in COMMON and "owner" not in name}
        # Shorter ones are parts of addresses, and of words.
        return {each for each in (self.mark, self.blob_key, self.queries["token"], *own) if len(each) > 11}


FAL_APP = {"fal/{owner}": "fal-ai", "fal-run/{owner}": "fal-ai", "{alias}": "flux", "{path}": "dev"}
COMMON = {
    "recipes/{name}",
    "resources/{air}",
    "nodes/{name}",
    "faults/{fault_id}",
    "worker-faults/{fault_id}",
    "pauses/{pause_id}",
    "library/{template}",
    "books/{slug}",
    "previews/{name}",
    "pages/{page}",
    "stories/{story_id}",
    "chats/{chat_id}",
    *FAL_APP,
}
"""Parameters that name what is nobody's own."""


def picture(mark: str) -> bytes:
    """Another one for each mark."""
    colour = tuple(hashlib.sha256(mark.encode()).digest()[:3])
    file = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(file, "PNG")
    return file.getvalue()


def settle(party: Party, paths: set[str]) -> Belongings:
    """Have something of everything; ``paths``: what the server offers."""
    mark = f"mark{secrets.token_hex(6)}"
    has = Belongings(party, mark)
    _add_jobs(has)
    _add_workflow(has)
    node = party.server.app.offers.all()[0].node
    has.paths |= {"nodes/{name}": node, "resources/{air}": LORA, "recipes/{name}": "textToImage"}
    has.paths |= {"faults/{fault_id}": "0", "worker-faults/{fault_id}": "0", "pauses/{pause_id}": "none"}
    owners = ("owners/{owner}", "users/{owner}", "accounts/{owner}", "limits/{owner}")
    has.paths |= dict.fromkeys(owners, party.owner)
    has.paths["keys/{key}"] = _key_id(has)
    has.paths["sessions/{session}"] = _session_id(has)
    has.queries |= {"owner": party.owner, "actor": party.owner, "parent": party.owner.partition(":")[0]}
    has.paths |= FAL_APP
    if "/v2/consumer/workflows" in paths:
        _add_v2_workflow(has)
    if "/fal/{owner}/{alias}" in paths:
        _add_fal_request(has)
    if "/api/v1/webhooks" in paths:
        _add_webhook(has)
    if f"{CHARACTERS}/avatar" in paths:
        _add_character(has)
    if "/api/v1/uploads" in paths:
        _add_upload(has)
    if "/api/v1/library" in paths:
        _add_model(has)
    if BOOKS in paths:
        _add_book(has)
    return has


def _add_jobs(has: Belongings) -> None:
    party, mark = has.owner, has.mark
    key = {"Idempotency-Key": f"key-{mark}"}
    properties = {"album": mark}
    job_request = image_job(name=f"name {mark}", params={"prompt": f"prompt {mark}"}, properties=properties)
    has.idempotent = {"json": job_request, "headers": key}
    accepted = party.post("/v1/consumer/jobs", job_request, params={"wait": "true"}, headers=key)
    job_id = accepted["jobs"][0]["jobId"]
    job = party.get(f"/api/v1/jobs/{job_id}")
    assert job["status"] == "succeeded", job
    artifact = job["artifacts"][0]
    has.blob_url = artifact["url"]
    name = has.blob_url.partition("?")[0].rpartition("/")[2]
    has.blob_key = name.partition(".")[0]
    has.paths |= {"jobs/{job_id}": job_id, "blobs/{name}": name, "artifacts/{artifact_id}": artifact["id"]}
    bulk = {"action": "priority", "priority": 0, "filter": {"id": [job_id]}}
    has.paths["operations/{operation_id}"] = party.post("/api/v1/jobs/bulk", bulk)["id"]
    # A stranger knows the id of a blob and not its signature.
    id_ = blob_id(job_id, 0, "png")
    has.paths |= {"blobs/{id}": id_}
    has.paths |= dict.fromkeys(("content/{token}", "archive/{token}"), f"9999999999.0.{id_}")
    has.queries |= {"token": accepted["token"], "batch": accepted["token"], "cursor": job_id}
    has.queries |= {"id": job_id, "job": job_id}


def _add_workflow(has: Belongings) -> None:
    name = f"wf-{has.mark}"
    raw = graph()
    raw["2"]["inputs"]["text"] = f"prompt {has.mark}"
    has.owner.post("/api/v1/workflows", {"name": name, "graph": raw})
    has.paths["workflows/{name}"] = name


def _add_v2_workflow(has: Belongings) -> None:
    mark = has.mark
    small = {"prompt": f"prompt {mark}", "width": 64, "height": 64, "steps": 1}
    body = {"steps": [{"$type": "textToImage", "name": f"step {mark}", "input": small}], "tags": [mark]}
    told = has.owner.post(
        "/v2/consumer/workflows", {**body, "metadata": {"album": mark}}, params={"wait": "30"}
    )
    assert told["status"] == "succeeded", told
    has.paths |= {
        "workflows/{workflow_id}": told["id"],
        "steps/{step_name}": f"step {mark}",
        "tags/{tag}": mark,
    }
    has.queries |= {"tags": mark, "query": mark}


def _key_id(has: Belongings) -> str:
    """An end user has none: the one it is called by is its account's."""
    is_account = ":" not in has.owner.owner
    return has.owner.headers["Authorization"].split("_")[1] if is_account else "0" * 12


def _session_id(has: Belongings) -> str:
    """An end user has none: a browser signs in as its account."""
    if ":" in has.owner.owner:
        return "0" * 36
    key = has.owner.headers["Authorization"].removeprefix("Bearer ")
    with httpx2.Client(base_url=has.owner.http.base_url, trust_env=False) as browser:
        answer = browser.post("/api/v1/session", json={"key": key})
    assert answer.status_code == 201, answer.text
    return answer.json()["session"]["id"]


def _add_fal_request(has: Belongings) -> None:
    small = {"image_size": {"width": 64, "height": 64}, "num_inference_steps": 1}
    told = has.owner.post("/fal-run/fal-ai/flux/dev", {"prompt": f"prompt {has.mark}", **small})
    assert told["prompt"] == f"prompt {has.mark}"
    queued = has.owner.post("/fal/fal-ai/flux/dev", {"prompt": f"prompt {has.mark}", **small})
    has.paths["requests/{request_id}"] = queued["request_id"]


def _add_webhook(has: Belongings) -> None:
    body = {"url": "https://example.com/hook", "description": f"hook {has.mark}"}
    webhook = has.owner.post("/api/v1/webhooks", body)
    has.paths["webhooks/{webhook_id}"] = webhook["id"]
    message = has.owner.post(f"/api/v1/webhooks/{webhook['id']}/test", None)
    has.paths["messages/{message_id}"] = message["id"]


def _add_character(has: Belongings) -> None:
    """An avatar; the character is called by the mark, as its name is in the keys of its files."""
    party, character = has.owner, f"character-{has.mark}"
    sheet = {"name": f"name {has.mark}", "physical": f"hair {has.mark}"}
    body = {"characterId": character, "character": sheet}
    job_id = party.post(f"{CHARACTERS}/avatar", body)["jobId"]
    end = time.monotonic() + 60
    while (status := party.get(f"{CHARACTERS}/status/{job_id}"))["state"] != "completed":
        assert time.monotonic() < end, status
        assert status["state"] != "failed", status
        time.sleep(0.05)
    result = status["result"]
    place = result["imageUrl"].partition("?")[0].partition("/blobs/characters/")[2].split("/")
    parts = ("characters/{folder}", "{subject}", "{kind}", "{file}")
    has.paths |= dict(zip(parts, place, strict=True))
    has.paths |= {
        "status/{job_id}": job_id,
        "cancel/{job_id}": job_id,
        "characters/{character_id}": character,
        "images/{image_id}": result["imageId"],
        "stories/{story_id}": "a-story",
        "chats/{chat_id}": "a-chat",
    }


def _add_upload(has: Belongings) -> None:
    headers = {**has.owner.headers, "Content-Type": "image/png"}
    answer = has.owner.ask("POST", "/api/v1/uploads", content=picture(has.mark), headers=headers)
    assert answer.status_code == 201, answer.text
    place = answer.json()["url"].partition("?")[0].partition("/blobs/inputs/")[2].split("/")
    has.paths |= dict(zip(("inputs/{mark}", "{digest}", "{name}"), place, strict=True))
    has.queries["upload"] = answer.json()["key"]


def _add_model(has: Belongings) -> None:
    """Of the model library, with a second version whose prompt is marked."""
    party = has.owner
    look = {"gender": "male", "ageRange": "20-30", "bodyType": "slim", "pose": "side", "style": "casual"}
    first = _model_of(has, party.post("/api/v1/library", look))
    second = party.post(f"/api/v1/library/{first['id']}/edit", {"prompt": f"prompt {has.mark}"})
    model = _model_of(has, second)
    has.paths |= {
        "library/{model_id}": model["id"],
        "batch/{batch}": second["batch"],
        "library/{template}": model["templateId"],
    }


def _add_book(has: Belongings) -> None:
    """A book whose photo shows nobody, so that it is quickly over."""
    party, book = has.owner, "little-star"
    consent = json.dumps({"who": f"who {has.mark}", "when": "2026-01-31T12:00:00Z"})
    files = {"photo": ("photo.png", picture(has.mark), "image/png")}
    answer = party.ask(
        "POST", f"/api/v1/books/{book}/personalizations", files=files, data={"consent": consent}
    )
    assert answer.status_code == 201, answer.text
    id_ = answer.json()["id"]
    end = time.monotonic() + 120
    while (body := party.get(f"{BOOKS}/{id_}"))["state"] != "analysis_failed":
        assert time.monotonic() < end, body
        time.sleep(0.1)
    has.paths |= {
        "personalizations/{id}": id_,
        "books/{slug}": book,
        "previews/{name}": "front",
        "pages/{page}": "1",
        "shared-books/{token}": f"{id_}.9999999999.{'0' * 44}",
    }


def _model_of(has: Belongings, ordered: Mapping[str, Any]) -> dict[str, Any]:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for row in has.owner.get("/api/v1/library")["items"]:
            if row["jobId"] == ordered["jobId"]:
                return row
        time.sleep(0.02)
    raise AssertionError(has.owner.get(f"/api/v1/jobs/{ordered['jobId']}"))

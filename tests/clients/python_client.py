"""A program with the published Python client, unmodified: `python_client.py <server> <what>` prints JSON."""

import json
import os
import sys
import time
from typing import Any

os.environ["CIVITAI_API_TOKEN"] = "any"

import civitai
import httpx
from civitai.api_config import HTTPException

MODEL = "urn:air:sd1:checkpoint:civitai:4384@128713"
LORA = "urn:air:sd1:lora:civitai:82098@87153"
INPUT: dict[str, Any] = {
    "model": MODEL,
    "params": {
        "prompt": "a lighthouse",
        "negativePrompt": "fog",
        "scheduler": "EulerA",
        "steps": 4,
        "cfgScale": 7,
        "width": 64,
        "height": 64,
        "clipSkip": 2,
    },
}


def create_and_wait() -> Any:
    started = time.monotonic()
    answer = civitai.image.create({**INPUT, "additionalNetworks": {LORA: {"strength": 0.8}}}, wait=True)
    took_s = time.monotonic() - started
    picture = httpx.get(answer["jobs"][0]["result"]["blobUrl"])
    return {
        "answer": answer,
        "tookS": took_s,
        "status": picture.status_code,
        "type": picture.headers["content-type"],
        "size": len(picture.content),
    }


def create_many() -> Any:
    return civitai.image.create({**INPUT, "quantity": 3}, wait=True)


def read_later() -> Any:
    created = civitai.image.create(INPUT)
    time.sleep(1)
    return {"created": created, "read": civitai.jobs.get(token=created["token"])}


def query() -> Any:
    created = civitai.image.create({**INPUT, "properties": {"userId": 123}}, wait=True)
    other = civitai.image.create({**INPUT, "properties": {"userId": 124}}, wait=True)
    found = civitai.jobs.query({"properties": {"userId": 123}}, detailed=True)
    return {"created": created, "other": other, "found": json.loads(found.model_dump_json())}


def cancel() -> Any:
    created = civitai.image.create({**INPUT, "properties": {"simulate": {"step_ms": 2000}}})
    answer = civitai.jobs.cancel(created["jobs"][0]["jobId"])
    for _ in range(100):
        read = civitai.jobs.get(token=created["token"])
        if not read["jobs"][0]["scheduled"]:
            break
        time.sleep(0.05)
    return {"created": created, "answer": answer, "read": read}


def refused() -> Any:
    try:
        civitai.image.create({**INPUT, "model": "urn:air:sd1:checkpoint:civitai:1@2"})
    except HTTPException as error:
        return {"error": type(error).__name__, "text": str(error)}
    return None


if __name__ == "__main__":
    civitai.civitai.base_path = sys.argv[1]
    steps = {
        "create": create_and_wait,
        "many": create_many,
        "read": read_later,
        "query": query,
        "cancel": cancel,
        "refused": refused,
    }
    print(json.dumps(steps[sys.argv[2]]()))

"""Nodes and servers as processes of their own, to be killed."""

import json
import os
import signal
import socket
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2

from tests.conftest import TOKEN
from tests.databases import sqlite_database
from tests.forking import Process, start

SD1 = "urn:air:sd1:checkpoint:civitai:1@1"
SDXL = "urn:air:sdxl:checkpoint:civitai:2@2"
LORA = "urn:air:sd1:lora:civitai:3@3"
FILES = {SD1: "sd1.safetensors", SDXL: "sdxl.safetensors", LORA: "lora_sd1.safetensors"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """`imagemill serve` on one port and one data folder, for ComfyUI nodes."""

    def __init__(
        self, data_dir: Path, nodes: list[str], database_url: str | None = None, **settings: str
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = data_dir
        sqlite_database(data_dir / "imagemill.db")
        self._log = (data_dir / "server.log").open("ab")
        self._env = {
            **os.environ,
            "IMAGEMILL_DATA_DIR": str(data_dir),
            "IMAGEMILL_COMFYUI__URLS": ",".join(nodes),
            "IMAGEMILL_COMFYUI__HEALTH_S": "0.5",
            "IMAGEMILL_JOB__RETRY_BASE_S": "0.05",
            "IMAGEMILL_LOG_LEVEL": "info",
            **({"IMAGEMILL_DATABASE_URL": database_url} if database_url else {}),
            **{f"IMAGEMILL_{name}": value for name, value in settings.items()},
        }
        self._process: Process | None = None

    def start(self, *, nodes: bool = True) -> None:
        """And wait until it answers, and has all its nodes."""
        self._process = start(
            "serve",
            "--port",
            str(self.port),
            cwd=Path.cwd(),
            environment=self._env,
            stdout=self._log,
            stderr=self._log,
        )
        end = time.monotonic() + 30
        while time.monotonic() < end:
            with suppress(httpx2.HTTPError):
                health = httpx2.get(f"{self.url}/health", timeout=2, verify=False).json()
                ours = [node for node in health["nodes"] if node["backend"] == "comfyui"]
                if not nodes or (ours and all(node["healthy"] for node in ours)):
                    return
            assert self._process.poll() is None, self.log()
            time.sleep(0.02)
        raise AssertionError(f"the server does not answer, or lacks a node: {self.log()}")

    def log(self) -> str:
        return (self.data_dir / "server.log").read_text()[-3000:]

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)
        self._log.close()

    def register(self) -> None:
        for air, file in FILES.items():
            self.post("/v2/resources", {"air": air, "fileName": file})

    def post(self, path: str, body: Any, **query: str) -> Any:
        answer = httpx2.post(
            f"{self.url}{path}", params=query, json=body, headers=TOKEN, timeout=60, verify=False
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    def get(self, path: str) -> Any:
        answer = httpx2.get(f"{self.url}{path}", headers=TOKEN, timeout=60, verify=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def job(self, job_id: str) -> Any:
        return self.get(f"/api/v1/jobs/{job_id}")

    def events(self, job_id: str) -> list[Any]:
        return self.get(f"/api/v1/jobs/{job_id}/events?stream=false")["items"]

    def finished(self, jobs: list[str], seconds: float = 60) -> list[Any]:
        """These jobs, once all of them have ended."""
        end = time.monotonic() + seconds
        while True:
            found = [self.job(job_id) for job_id in jobs]
            if all(job["status"] in ("succeeded", "failed", "canceled", "expired") for job in found):
                return found
            open_ = [
                (job["status"], job.get("waits"), job["error"]) for job in found if not job["finishedAt"]
            ]
            assert time.monotonic() < end, f"not finished: {open_}; {self.log()}"
            time.sleep(0.1)


def image(model: str = SD1, **params: Any) -> dict[str, Any]:
    wanted = {"prompt": "a fox", "width": 64, "height": 64, "steps": 4, **params}
    return {"$type": "textToImage", "model": model, "params": wanted}


def blank(colour: int, *nodes: Any) -> dict[str, Any]:
    """A ``comfy`` job of core nodes without a model."""
    picture = {"width": 64, "height": 64, "batch_size": 1, "color": colour}
    save = {"images": ["1", 0], "filename_prefix": "blank"}
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": picture},
        "2": {"class_type": "SaveImage", "inputs": save},
    }
    return {"$type": "comfy", "params": {"workflow": graph}}


def download(url: str) -> bytes:
    """Without a token, as anybody may."""
    with urllib.request.urlopen(url) as answer:
        return answer.read()


def graph_of(events: list[Any]) -> dict[str, Any]:
    """What the node was sent, as the job's last event tells it."""
    request = events[-1]["data"]["prompt_request"]
    return json.loads(request) if isinstance(request, str) else request

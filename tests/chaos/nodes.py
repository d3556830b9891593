"""ComfyUI nodes as real processes that count what they render, through all their lives."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

from imagemill.backends.comfyui.settings import default_name
from imagemill.domain.clock import now_us
from tests.chaos.ports import free_port
from tests.comfyui import control

_START_S = 90
_WORK_MS, _STEP_MS = "400", "40"
MODELS = '{"checkpoints": ["sd1.safetensors", "sdxl.safetensors"]}'


@dataclass(frozen=True, slots=True)
class Render:
    """A prompt that ran on a node, to its end or not."""

    node: str
    prompt: str
    job_id: str
    ended: str
    """`success`, `error` or `interrupted`; empty: the node was killed meanwhile."""


@dataclass(frozen=True, slots=True)
class Death:
    node: str
    at: int


@dataclass
class NodeProcess:
    """A node that keeps its port; what it knew and had rendered is gone with each life."""

    folder: Path
    port: int = field(default_factory=free_port)
    deaths: list[Death] = field(default_factory=list[Death])
    process: "subprocess.Popen[bytes] | None" = None
    _renders: list[Render] = field(default_factory=list[Render])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def name(self) -> str:
        """As the fleet calls it."""
        return default_name(self.url)

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.comfyui.node", "--port", str(self.port)]
        times = ["--work-ms", _WORK_MS, "--step-ms", _STEP_MS, "--models", MODELS]
        with (self.folder / f"node-{self.port}.log").open("ab") as log:
            self.process = subprocess.Popen([*command, *times], stdout=log, stderr=log)

    def wait(self) -> None:
        """Until it answers."""
        end = time.monotonic() + _START_S
        while True:
            try:
                control.record(self.url)
            except (URLError, OSError):
                assert time.monotonic() < end, f"{self.name} does not answer"
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """What it did until now is kept; a render that begins in this moment is not counted."""
        if self.alive and self.process is not None:
            self.wait()
            self._renders += _read(self)
            self.process.kill()
            self.process.wait()
            self.deaths.append(Death(self.name, now_us()))

    def renders(self) -> list[Render]:
        return [*self._renders, *(_read(self) if self.alive else ())]

    def misbehave(self, draw: random.Random) -> str:
        """One wrong answer, soon; which one."""
        how: dict[str, Mapping[str, Any]] = {
            "answer lost": {"command": "behave", "lose_answers": 1},
            "prompt refused": {"command": "answer", "path": "/prompt", "how": "500", "times": 1},
            "picture refused": {"command": "answer", "path": "/view", "how": "500", "times": 1},
            "picture spoiled": {"command": "answer", "path": "/view", "how": "garbage", "times": 1},
        }
        kind = draw.choice(list(how))
        self.wait()
        control.tell(self.url, **how[kind])
        return kind


def _read(node: NodeProcess) -> Iterator[Render]:
    record = control.record(node.url)
    for prompt in record["executed"]:
        _, job_id, _ = record["saved_as"][prompt].split("/", 2)
        yield Render(node.name, prompt, job_id, record["ended"].get(prompt, ""))

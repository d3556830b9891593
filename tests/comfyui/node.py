"""A fake ComfyUI server on a real port: it behaves as recorded and misbehaves on demand.

In a test: `with TestNode(step_s=0.01) as node: ... node.url`. As a process, to
be killed or measured: `python -m tests.comfyui.node --port 0 --work-ms 50`, which prints its address.
"""

import argparse
import asyncio
import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Self, TypeVar
from uuid import uuid4

import uvloop

from tests.comfyui import control
from tests.comfyui.api import Accepted, Api, Seen, Site, Upload
from tests.comfyui.catalogue import Models
from tests.comfyui.certificate import server_context
from tests.comfyui.execution import Records, Worker
from tests.comfyui.faults import FOREVER, Answer, Faults, How
from tests.comfyui.files import Folders
from tests.comfyui.hub import Hub
from tests.comfyui.machine import Costs, Machine
from tests.comfyui.queue import Queue
from tests.comfyui.wire import Connection, Reply, Request, Server

NEW, OLD = "0.33.0", "0.3.64"
MIB = 2**20
PATIENCE_S = 30.0  # for the node's own thread to do what it is asked
MODELS: Models = {
    "checkpoints": ["sd1.safetensors", "sd1_b.safetensors", "sdxl.safetensors"],
    "diffusion_models": ["flux_dev.safetensors", "flux_schnell.safetensors"],
    "text_encoders": ["clip_l.safetensors", "t5xxl.safetensors"],
    "vae": ["ae.safetensors", "vae_sd_kl.safetensors"],
    "loras": [
        "lora_flux.safetensors",
        "lora_sd1.safetensors",
        "lora_sd1_b.safetensors",
        "lora_sdxl.safetensors",
    ],
    "controlnet": ["control_canny_sd1.safetensors"],
    "upscale_models": ["2x_any.safetensors", "4x_any.safetensors"],
    "embeddings": ["badhands.safetensors"],
}
T = TypeVar("T")


class TestNode:
    """One server; `close` ends it, `kill` cuts it off, `restart` starts it afresh on its port."""

    __test__ = False

    def __init__(
        self,
        version: str = NEW,
        models: Models | None = None,
        *,
        costs: Costs | None = None,
        previews: bool = False,
        token: str | None = None,
        access: tuple[str, str] | None = None,
        tls: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        device: str = "cpu",
        max_upload_mb: float = 100,
        sizes: Mapping[str, int] | None = None,
        headers: Mapping[str, Mapping[str, str]] | None = None,
        **times: Any,
    ) -> None:
        """`times` are fields of `Costs`: work_s, step_s, load_s, vram_mb, ..."""
        new = tuple(int(part) for part in version.split(".")) >= (0, 4)
        largest = int(max_upload_mb * MIB)
        self.version = version
        self.faults = Faults()
        self.files = Folders()
        self._site = Site(
            new,
            version,
            models if models is not None else MODELS,
            device,
            largest,
            token,
            access,
            sizes or {},
            headers or {},
        )
        self._seen = Seen()
        self._records = Records()
        self._machine = Machine(costs or Costs(**times), self.faults)
        self._previews = previews
        self._tls = server_context() if tls else None
        self._host = host
        self.port = port
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="comfyui-test-node", daemon=True)
        self._server: Server | None = None
        self._working: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self._host}:{self.port}"

    @property
    def prompts(self) -> list[Accepted]:
        """Every prompt taken in, in order, over all restarts."""
        return self._seen.prompts

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and path of every request."""
        return self._seen.requests

    @property
    def uploads(self) -> list[Upload]:
        return self._seen.uploads

    @property
    def troubles(self) -> list[str]:
        """The tracebacks behind every 500 that was not asked for."""
        return self._seen.troubles

    @property
    def executed(self) -> list[str]:
        """The prompts for which at least one node really ran, in order; a prompt run twice is here twice."""
        return self._records.rendered

    @property
    def started(self) -> list[str]:
        return self._records.started

    @property
    def ended(self) -> Mapping[str, str]:
        """Prompt to `success`, `error` or `interrupted`."""
        return self._records.ended

    @property
    def partner_keys(self) -> list[str]:
        """The key with which each partner node ran, in order."""
        return self._records.partner_keys

    @property
    def loads(self) -> list[str]:
        """Every model brought into memory, in order."""
        return self._machine.loads

    @property
    def pending(self) -> list[str]:
        return self._ask(
            lambda: [entry[1] for entry in sorted(self._api.queue.pending, key=lambda entry: entry[:2])]
        )

    @property
    def running(self) -> str | None:
        return self._ask(lambda: self._api.queue.running[1] if self._api.queue.running else None)

    @property
    def sockets(self) -> int:
        """How many clients the node would tell something."""
        return self._ask(lambda: len(self._api.hub))

    @property
    def dead(self) -> bool:
        """The worker died, of a tie in the queue."""
        return self._api.worker.dead

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        self._thread.start()
        self._wait(self._serve())

    def close(self) -> None:
        """End the node for good."""
        if self._thread.is_alive():
            self.kill()
            self._wait(_settle())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)
        if not self._loop.is_running():
            self._loop.close()

    def kill(self) -> None:
        """Cut every connection and listen no more, as if the process had died."""
        self._ask(self._cut)

    def restart(self, wipe: bool = False) -> None:
        """The process again on the same port: no queue, history, cache, temporary files or loaded models.

        Uploads and outputs stay on its disk unless `wipe`.
        """
        self.kill()
        self.files.empty(*(("input", "output", "temp") if wipe else ("temp",)))
        self._machine.unload()
        self._wait(self._serve())

    def behave(self, **faults: Any) -> None:
        """Set faults by name, see `Faults`; `frozen=True` also freezes the connections there are."""
        self._ask(lambda: self.misbehave(faults))

    def calm(self) -> None:
        """Take all faults back. Frozen connections stay frozen."""
        self.behave(**self.no_faults())

    def answer(
        self,
        path: str,
        how: How | None,
        *,
        times: int = FOREVER,
        delay_s: float = 0.0,
        method: str | None = None,
    ) -> None:
        """Answer requests whose path begins so wrongly or, with `how` None, only late."""
        self.faults.answers.append(Answer(path, how, delay_s, times, method))

    def drop_sockets(self) -> None:
        """End all sockets without a close frame: clients see 1006."""
        self._ask(lambda: self._api.hub.drop_all())

    def enqueue_foreign(self, graph: dict[str, Any], **more: Any) -> str:
        """Take in a prompt of some other client, and give its id."""
        prompt_id = str(uuid4())
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": uuid4().hex, **more}
        reply: Reply = self._ask(lambda: self._api.submit(body))
        if reply.status != 200:
            raise ValueError(f"the foreign prompt is refused: {reply.body.decode()}")
        return prompt_id

    def listen(self, listener: Callable[[Mapping[str, Any]], None], type_: str) -> None:
        """Call with the data of every event of a type just before it is sent, in the node's own thread."""
        self._ask(lambda: self._api.hub.listeners.append((type_, listener)))

    def renders(self, prompt_id: str) -> int:
        """How often a prompt really ran."""
        return self.executed.count(prompt_id)

    def misbehave(self, faults: Mapping[str, Any]) -> None:
        """`behave` for callers in the node's own thread."""
        known = set(self.no_faults())
        if not known.issuperset(faults):
            unknown = ", ".join(sorted(set(faults) - known))
            raise TypeError(f"no such fault: {unknown}; there are {', '.join(sorted(known))}")
        for name, value in faults.items():
            setattr(self.faults, name, value)
        if self._server:
            self._server.unreachable = self.faults.unreachable
            if faults.get("frozen") or faults.get("unreachable"):
                for connection in self._server.connections:
                    connection.freeze()
        self._api.worker.wake()

    def no_faults(self) -> dict[str, Any]:
        return {one.name: getattr(Faults(), one.name) for one in fields(Faults) if one.name != "lock"}

    async def _answer(self, request: Request, connection: Connection) -> Reply | None:
        if request.path.startswith(control.PREFIX):
            return control.answer(self, request)
        return await self._api.answer(request, connection)

    async def _serve(self) -> None:
        queue, hub = Queue(), Hub(self.faults)
        queue.on_change = lambda: hub.status(queue.remaining)
        worker = Worker(queue, hub, self.files, self._machine, self.faults, self._previews)
        worker.records = self._records
        self._api = Api(self._site, worker, self._seen)
        self._server = Server(self._answer, self._site.max_upload_bytes)
        self.port = await self._server.listen(self._host, self.port, self._tls)
        self._working = asyncio.get_running_loop().create_task(worker.work())

    def _cut(self) -> None:
        if self._working and not self._working.done():
            self._working.cancel()
        if self._server:
            self._server.stop()

    def _ask(self, question: Callable[[], T]) -> T:
        async def answer() -> T:
            return question()

        return self._wait(answer())

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)


async def _settle() -> None:
    """Let what was cancelled end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for other in others:
        other.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.comfyui.node")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--version", default=NEW)
    parser.add_argument("--work-ms", type=float, default=0.0)
    parser.add_argument("--step-ms", type=float, default=0.0)
    parser.add_argument("--load-ms", type=float, default=0.0)
    parser.add_argument("--vram-mb", type=int)
    parser.add_argument("--token")
    parser.add_argument("--models", type=json.loads, help="folder to file names, as JSON")
    parser.add_argument("--previews", action="store_true")
    given = parser.parse_args(arguments)
    costs = Costs(given.work_ms / 1000, given.step_ms / 1000, given.load_ms / 1000, given.vram_mb)
    node = TestNode(
        given.version, given.models, costs=costs, previews=given.previews, token=given.token, port=given.port
    )
    node.start()
    print(node.url, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])

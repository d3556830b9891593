"""The worker of a server: prompt after prompt, node by node, with events in a real one's order."""

import asyncio
import inspect
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.comfyui import rendering_images
from tests.comfyui.faults import Faults
from tests.comfyui.files import Escape, Folders, inside
from tests.comfyui.hub import Hub, timestamps
from tests.comfyui.machine import Machine
from tests.comfyui.ordering import Order, WorkerEnds, is_link, signatures
from tests.comfyui.pictures import Picture
from tests.comfyui.progress import Progress
from tests.comfyui.queue import Entry, Queue
from tests.comfyui.rendering_editing import WORK
from tests.comfyui.validation import trace
from tests.comfyui.values import Images, Interrupted, Latent, NodeFailed

SAVING = frozenset(
    {"SaveImage", "PreviewImage", "SaveImageWebsocket", "SaveAnimatedWEBP", "SaveVideo", "PreviewAny"}
)
ALWAYS_NEW = frozenset({"SaveImageWebsocket"})
SAMPLING = frozenset({"KSampler", "KSamplerAdvanced", "SamplerCustomAdvanced"})
OUT_OF_MEMORY = "Allocation on device 0 would exceed allowed memory. (out of memory)\n"
LOADING = frozenset({"CheckpointLoaderSimple", "UNETLoader"})


@dataclass
class Cached:
    values: tuple[Any, ...]
    shown: dict[str, Any] | None


@dataclass
class Records:
    """What the node did, for tests to look at."""

    started: list[str] = field(
        default_factory=list
    )  # ids in the order they started to run; all-cached ones too
    rendered: list[str] = field(default_factory=list)  # ids for which at least one node ran to the end
    ended: dict[str, str] = field(default_factory=dict)  # id to success, error or interrupted
    partner_keys: list[str] = field(default_factory=list)  # the key of each run of a partner node, in order


class Worker:
    """Runs the queue until it is stopped, or dies of a tie or of a link to nowhere."""

    def __init__(
        self, queue: Queue, hub: Hub, files: Folders, machine: Machine, faults: Faults, previews: bool
    ) -> None:
        self.queue = queue
        self.hub = hub
        self.files = files
        self.machine = machine
        self.faults = faults
        self.previews = previews
        self.cache: dict[str, Cached] = {}
        self._wake = asyncio.Event()
        self._free: Mapping[str, Any] = {}
        self.records = Records()
        self.client: str | None = None
        self.node: str | None = None
        self.interrupted = False
        self.dead = False  # of a tie in the queue or a link to nowhere: nothing will ever run again

    def wake(self) -> None:
        self._wake.set()

    def free(self, wishes: Mapping[str, Any]) -> None:
        """Unload models or drop the cache, before the next prompt."""
        self._free = {**self._free, **{name: True for name, job_request in wishes.items() if job_request}}
        self.faults.oom_until_freed = False
        self.wake()

    async def work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self.queue.pending and not self.faults.wedged:
                self._release()
                try:
                    await self._run(self.queue.take())
                except (TypeError, WorkerEnds):
                    # The entry stays in the list of running ones, and HTTP goes on as if nothing were.
                    self.dead = True
                    return
            self._release()

    def _release(self) -> None:
        wishes, self._free = self._free, {}
        if wishes.get("unload_models"):
            self.machine.unload()
        if wishes.get("free_memory"):
            self.cache.clear()

    async def _run(self, entry: Entry) -> None:
        self.interrupted = False
        self.client = entry[3].get("client_id")
        self.machine.start()
        self.records.started.append(entry[1])
        run = Run(self, entry)
        status = await run.follow()
        if self.faults.history_lag_s:
            await asyncio.sleep(self.faults.history_lag_s)
        await asyncio.sleep(0)  # the success is out before the history has it
        self.cache = run.kept
        self.records.ended[entry[1]] = status
        self.node = None
        self.queue.finish(run.record(status))
        run.progress.executing(None)


class Run:
    """One prompt on its way through the worker; what nodes see as their surroundings."""

    def __init__(self, worker: Worker, entry: Entry) -> None:
        _, self.id, self.graph, self.extra, self.outputs = entry
        self._worker = worker
        self._machine = worker.machine
        self._faults = worker.faults
        self.files = worker.files
        self.progress = Progress(worker.hub, self.id, worker.client, timestamps(worker.faults))
        self.shown: dict[str, Any] = {}
        self.kept: dict[str, Cached] = {}
        self._values: dict[str, tuple[Any, ...]] = {}
        self._signatures = signatures(self.graph, self._what_changed)
        self._node = ""
        self._done: list[str] = []
        method = self.extra.get("preview_method", "auto" if worker.previews else "none")
        self._previewed = method not in ("none", None)
        self._oom = self._faults.count_down("oom_times") or bool(
            self._faults.oom_when and self._faults.oom_when(self.graph)
        )
        self._fails = self._faults.count_down("error_times")

    async def follow(self) -> str:
        """Run every node that must; gives how it ended."""
        self.progress.mark("execution_start")
        cached = self._take_cached()
        self.progress.mark("execution_cached", {"nodes": cached})
        if self._faults.count_down("end_worker_times"):
            raise WorkerEnds("for a reason that is not known")
        request = Order(self.graph, self.outputs, {name: len(self._values[name]) for name in cached})
        self._owed_s = 0.0 if set(self.outputs) <= set(cached) else self._machine.costs.work_s
        try:
            for name in request:
                await self._step_to(name, name in cached)
        except Interrupted:
            self.progress.mark("execution_interrupted", self._where())
            return "interrupted"
        except (NodeFailed, Escape, KeyError, AttributeError, TypeError, ValueError) as fault:
            self.progress.mark("execution_error", self._failure(fault))
            return "error"
        self.progress.mark("execution_success")
        return "success"

    def record(self, status: str) -> dict[str, Any]:
        return {
            "outputs": self.shown,
            "status": {
                "status_str": "success" if status == "success" else "error",
                "completed": status == "success",
                "messages": self.progress.messages,
            },
            "meta": {
                name: {"node_id": name, "display_node": name, "parent_node": None, "real_node_id": name}
                for name in self.shown
            },
        }

    def pay(self) -> None:
        """A partner node's service is called with the prompt's key."""
        held = {**self.extra, **self._worker.queue.secrets.get(self.id, {})}
        key = held.get("api_key_comfy_org")
        if not key:
            raise NodeFailed("Exception", "Unauthorized: Please login first to use this node.")
        self._worker.records.partner_keys.append(key)
        if self._faults.partner_fails:
            raise NodeFailed("Exception", f"The service refused the request with the key {key}.")

    async def load(self, model: str) -> None:
        await self._machine.load(model)

    async def sample(self, steps: int, latent: Latent, result: Picture) -> None:
        if self._oom or self._faults.oom_until_freed or self._machine.overflows(latent.megapixels):
            raise NodeFailed("torch.OutOfMemoryError", OUT_OF_MEMORY)
        await self._work()
        for step in range(1, steps + 1):
            await self._machine.spend(self._machine.costs.step_s)
            self._check_interrupt()
            self.progress.step(self._node, step, steps, result if self._previewed else None)
        self._counted = steps

    def _take_cached(self) -> list[str]:
        """The nodes whose signature the prompt before had, in the graph's order."""
        cached = []
        for name in self.graph:
            held = self._worker.cache.get(self._signatures.get(name, ""))
            if held is not None and self.graph[name]["class_type"] not in ALWAYS_NEW:
                cached.append(name)
                self.kept[self._signatures[name]] = held
                self._values[name] = held.values
        return cached

    async def _work(self) -> None:
        owed_s, self._owed_s = self._owed_s, 0.0
        await self._machine.spend(owed_s)

    async def _step_to(self, name: str, cached: bool) -> None:
        self._check_interrupt()
        if cached:
            self._repeat(name)
            return
        self._node = self._worker.node = name
        self.progress.state(name, 0.0, 1.0, "running")
        self.progress.executing(name)
        node = self.graph[name]
        kind = node["class_type"]
        self._counted: int | None = None
        if not self._samples():
            await self._work()
        self._check_interrupt()
        if self._fails and kind in SAMPLING | LOADING:
            raise NodeFailed("RuntimeError", "the weights in /srv/comfyui/models/checkpoints are damaged\n")
        given = self._given(node)
        values, shown = self._save(kind, given) if kind in SAVING else (await self._do(kind, given), None)
        self._values[name] = values
        self.kept[self._signatures[name]] = Cached(values, shown)
        self._done.append(name)
        if len(self._done) == 1:
            self._worker.records.rendered.append(self.id)
        if shown:
            self.shown[name] = shown
            self.progress.executed(name, shown)
            self._lose(shown)
        most: float = self._counted if self._counted is not None else 1.0
        self.progress.state(name, most, most, "finished")

    def _samples(self) -> bool:
        """A sampler is still to come; the prompt's work is done there."""
        pending = (name for name in self.graph if name not in self._values)
        return any(self.graph[name]["class_type"] in SAMPLING for name in pending)

    def _repeat(self, name: str) -> None:
        """A cached output tells again what it told before: the same file, and no new one."""
        shown = self.kept[self._signatures[name]].shown
        if shown:
            self.shown[name] = shown
            self.progress.executed(name, shown)
        self.progress.state(name, 1, 1, "finished")

    async def _do(self, kind: str, given: dict[str, Any]) -> tuple[Any, ...]:
        made = WORK[kind](self, given)
        return await made if inspect.isawaitable(made) else made

    def _given(self, node: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self._values[value[0]][value[1]] if is_link(value) else value
            for name, value in node["inputs"].items()
            if not is_link(value) or value[1] < len(self._values[value[0]])
        }

    def _save(self, kind: str, given: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any] | None]:
        if kind == "PreviewAny":
            return (given["source"],), {"text": [str(given["source"])]}
        if kind == "SaveVideo":
            frames, fps = given["video"]
            video = rendering_images.mp4(frames, fps)
            entry = self._keep("output", given["filename_prefix"], video, ".mp4", frames[0])
            return (given["video"],), {"images": [entry], "animated": [True]}
        images: Images = given["images"]
        texts = rendering_images.texts(self.graph, self.extra)
        if kind == "SaveImageWebsocket":
            for place, image in enumerate(images):
                self._announce(place, len(images), image.png({}))
            self._counted = len(images)
            return (), None
        if kind == "SaveAnimatedWEBP":
            animated = rendering_images.animation(images, given["fps"])
            entry = self._keep("output", given["filename_prefix"], animated, ".webp", images[0])
            return (images,), {"images": [entry], "animated": [True]}
        letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))
        place = (
            ("output", given["filename_prefix"])
            if kind == "SaveImage"
            else ("temp", f"ComfyUI_temp_{letters}")
        )
        return (images,), {
            "images": [self._keep(*place, image.png(texts), ".png", image) for image in images]
        }

    def _announce(self, place: int, count: int, png: bytes) -> None:
        self.progress.image(self._node, place, count, png)

    def _keep(self, kind: str, prefix: str, data: bytes, ending: str, image: Picture) -> dict[str, str]:
        width, height = image.size
        named = prefix.replace("%width%", str(width)).replace("%height%", str(height))
        folder, _, stem = named.rpartition("/")
        subfolder = inside(folder)
        name = f"{stem}_{self.files.next_number(kind, subfolder, stem):05}_{ending}"
        self.files.write(kind, subfolder, name, data)
        return {"filename": name, "subfolder": subfolder, "type": kind}

    def _lose(self, shown: dict[str, Any]) -> None:
        if self._faults.lose_files:
            for entry in shown.get("images", ()):
                self.files.delete(entry["type"], entry["subfolder"], entry["filename"])

    def _check_interrupt(self) -> None:
        if self._worker.interrupted:
            self._worker.interrupted = False
            raise Interrupted

    def _what_changed(self, name: str, node: Mapping[str, Any]) -> str:
        """A loaded picture counts by its bytes."""
        if node["class_type"] not in ("LoadImage", "LoadImageMask"):
            return ""
        stored = self.files.find(str(node["inputs"].get("image", "")))
        return stored.etag if stored else ""

    def _where(self) -> dict[str, Any]:
        kind = self.graph[self._node]["class_type"] if self._node else None
        return {"node_id": self._node, "node_type": kind, "executed": self._done}

    def _failure(self, fault: Exception) -> dict[str, Any]:
        inputs = self.graph[self._node]["inputs"]
        return {
            **self._where(),
            "exception_message": str(fault) if isinstance(fault, NodeFailed) else f"{fault}\n",
            "exception_type": fault.type if isinstance(fault, NodeFailed) else type(fault).__name__,
            "traceback": trace("execute", "get_output_data", "process_inputs"),
            "current_inputs": {
                name: [str(value)] for name, value in inputs.items() if not isinstance(value, list)
            },
            "current_outputs": list(self.graph),
        }

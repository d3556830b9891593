"""A node as this process knows it: its connection, its state, and the prompts on their way there."""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from imagemill.backends.base import Node
from imagemill.backends.comfyui import events
from imagemill.backends.comfyui.client import NodeClient
from imagemill.backends.comfyui.prompt import PromptRun
from imagemill.backends.comfyui.settings import ComfySettings
from imagemill.backends.comfyui.websocket import NodeSocket
from imagemill.domain import air
from imagemill.domain.clock import now_us
from imagemill.domain.nodes import NodeConfig, NodeReport
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import KIND_WORDS
from imagemill.graphs.json_access import mapping, sequence
from imagemill.graphs.requirements import Requirement
from imagemill.net.breaker import Breaker, Clock

_FORGET = 0.9
"""An old measurement fades by this with each new one, so that one slow render is not believed for ever."""
_MODELS = 256
_SHORTEST_S = 0.001


class RenderTimeEstimator:
    """Seconds for a unit of load (step x megapixel) of each model, the slowest of late."""

    def __init__(self, settings: ComfySettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._units: OrderedDict[str, float] = OrderedDict()

    def learn(self, model: str, load: float, seconds: float) -> None:
        unit = max(_SHORTEST_S, seconds) / load
        with self._lock:
            self._units[model] = max(unit, _FORGET * self._units.get(model, 0.0))
            self._units.move_to_end(model)
            if len(self._units) > _MODELS:
                self._units.popitem(last=False)

    def limit_s(self, model: str, load: float, longest_s: float) -> float:
        """Once it runs. ``longest_s`` where this node has not rendered with the model yet."""
        unit = self._units.get(model)
        if unit is None:
            return longest_s
        expected_s = self._settings.timeout_factor * unit * load
        return min(longest_s, max(self._settings.timeout_floor_s, self._settings.load_s + expected_s))


PathOf = Callable[[str], str | None]
"""The file a checkpoint should have, by its AIR in lower case; None: unknown."""

REMEMBER_S = 30.0
"""How long a change of the registry may go unseen."""
_MOST = 4096
_FILE = "file:"
"""Before a checkpoint that a job names by its file, not by an AIR."""
_KINDS = {
    **dict.fromkeys(("lora", "lycoris", "dora"), "lora"),
    "vae": "vae",
    "embedding": "embedding",
    "hypernet": "hypernet",
    "controlnet": "controlnet",
    "upscaler": "upscaler",
}
"""What an AIR's type is called among needs."""


class NodeInventory:
    """A container of AIRs in lower case, of checkpoint files, and of needs as they stand in a sentence."""

    def __init__(self, catalogue: Catalogue, path_of: PathOf) -> None:
        self.catalogue = catalogue
        self._path_of = path_of
        self._known: dict[str, bool] = {}
        self._needs: dict[Requirement, bool] = {}
        self._until = time.monotonic() + REMEMBER_S

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        now = time.monotonic()
        if now > self._until or len(self._known) > _MOST:
            self._known, self._until = {}, now + REMEMBER_S
        known = self._known.get(key)
        if known is None:
            need = self._need(key)
            known = self._known[key] = need is not None and self.meets(need)
        return known

    def meets(self, need: Requirement) -> bool:
        met = self._needs.get(need)
        if met is None:
            if len(self._needs) > _MOST:
                self._needs = {}
            met = self._needs[need] = need.met_by(self.catalogue)
        return met

    def _need(self, key: str) -> Requirement | None:
        for kind, word in KIND_WORDS.items():
            if key.startswith(f"{word} "):
                return Requirement(kind, key[len(word) + 1 :])
        if key.startswith(_FILE):
            return Requirement("checkpoint", key.removeprefix(_FILE))
        try:
            parsed = air.parse(key)
        except air.InvalidAir:
            return Requirement("checkpoint", self._path_of(key) or key)
        return Requirement(_KINDS.get(parsed.type or "", "checkpoint"), self._path_of(key) or parsed.path)


log = logging.getLogger(__name__)

MOST_UPLOADS = 4096
"""Uploaded inputs that are remembered; a forgotten one is sent again."""
LOADERS = {
    "checkpoint": (("CheckpointLoaderSimple", "ckpt_name"), ("UNETLoader", "unet_name")),
    "lora": (("LoraLoader", "lora_name"),),
    "vae": (("VAELoader", "vae_name"),),
    "controlnet": (("ControlNetLoader", "control_net_name"),),
    "upscaler": (("UpscaleModelLoader", "model_name"),),
}
"""Core loaders by what they load."""
_MB = 2**20


@dataclass(frozen=True, slots=True)
class SystemStats:
    """What /system_stats says."""

    version: str = ""
    device: str = ""
    memory_mb: int | None = None
    memory_free_mb: int | None = None
    fingerprint: tuple[Any, ...] = ()
    """Equal for one server asked twice; equal machines have equal ones, too."""


def read_system_stats(stats: Mapping[str, Any]) -> SystemStats:
    system = mapping(stats.get("system"))
    device = mapping(next(iter(sequence(stats.get("devices"))), None))
    total, free = device.get("vram_total"), device.get("vram_free")
    version = str(system.get("comfyui_version") or "")
    argv = tuple(str(part) for part in sequence(system.get("argv")))
    return SystemStats(
        version=version,
        device=str(device.get("name") or ""),
        memory_mb=int(total) // _MB if isinstance(total, (int, float)) else None,
        memory_free_mb=int(free) // _MB if isinstance(free, (int, float)) else None,
        fingerprint=(version, device.get("name"), total, system.get("ram_total"), argv),
    )


class NodeConnection:
    """Thread-safe. It listens to its socket; `imagemill.backends.comfyui.health` looks after its health."""

    def __init__(self, config: NodeConfig, settings: ComfySettings, path_of: PathOf, clock: Clock) -> None:
        self.config = config
        self.settings = settings
        self.clock = clock
        self.client = NodeClient(config, connect_s=settings.connect_s, read_s=settings.read_s)
        self.socket = NodeSocket(config, self, connect_s=settings.connect_s, ping_s=settings.ping_s)
        self.breaker = Breaker(
            failures=settings.breaker_failures,
            base_s=settings.breaker_base_s,
            cap_s=settings.breaker_cap_s,
            clock=clock,
        )
        self.render_times = RenderTimeEstimator(settings)
        self.vitals = SystemStats()
        self.inventory: NodeInventory | None = None
        self.stock_at = 0.0
        self.reachable, self.wire_trouble = False, "was not reached yet"
        self.stuck = False
        self.duplicate_of: NodeConnection | None = None
        """Another link to the same server."""
        self.maybe_restarted = True
        """It may have been restarted since it was last seen."""
        self.history_probe: str | None = None
        """Our newest prompt in its history: gone, it was restarted."""
        self.seen_at: int | None = None
        self.heard_at = clock()
        """Of the last event, or of the last sign that none was due."""
        self.remaining: int | None = None
        self.flights: dict[str, PromptRun] = {}
        self.abandoned: dict[str, None] = {}
        """Prompts given up while it was away: taken off it when it is back."""
        self.collected: OrderedDict[str, float] = OrderedDict()
        """Prompts whose history entry is no longer needed, and since when."""
        self.retired = False
        """Taken off, and closed."""
        self.lock = threading.Lock()
        self._path_of = path_of
        self._resident: OrderedDict[str, None] = OrderedDict()
        self._uploads: OrderedDict[str, str] = OrderedDict()
        self._reading = threading.Lock()

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def problem(self) -> str:
        """Why it gets no jobs, in a sentence; empty: it is well."""
        if self.duplicate_of:
            return f"{self.name} is the same server as {self.duplicate_of.name}: remove one of the two"
        if not self.reachable:
            return f"{self.name} {self.wire_trouble}"
        if self.stuck:
            return f"{self.name} is wedged: prompts wait there and none runs; restart its ComfyUI"
        if self.breaker.is_open:
            return f"{self.name} rests after failures in a row; the last one: {self.breaker.cause}"
        return "" if self.inventory else f"{self.name} has not told its models yet"

    def view(self, backend: str) -> Node:
        config, trouble = self.config, self.problem
        return Node(
            name=config.name,
            backend=backend,
            queues=config.queues,
            slots=config.slots,
            labels=config.labels,
            memory_mb=config.memory_mb or self.vitals.memory_mb,
            loaded_models=frozenset(self._resident),
            available=self.inventory,
            healthy=not trouble,
            draining=config.draining,
            problem=trouble,
        )

    def report(self) -> NodeReport:
        config, vitals, trouble = self.config, self.vitals, self.problem
        catalogue = self.inventory.catalogue if self.inventory else None
        return NodeReport(
            name=config.name,
            url=config.url,
            healthy=not trouble,
            problem=trouble,
            draining=config.draining,
            version=vitals.version,
            device=vitals.device,
            memory_mb=config.memory_mb or vitals.memory_mb,
            memory_free_mb=vitals.memory_free_mb,
            checkpoints=len(files(catalogue, "checkpoint")),
            loras=len(files(catalogue, "lora")),
            classes=len(catalogue.classes) if catalogue else 0,
            running=len(self.flights),
            queue_remaining=self.remaining,
            loaded_models=tuple(self._resident),
            seen_at=self.seen_at,
            labels=tuple(sorted(config.labels)),
            slots=config.slots,
        )

    # The socket's listener.

    def connected(self) -> None:
        self.heard_at = self.clock()
        self.maybe_restarted, self.stuck = True, False
        self._notify()

    def lost(self) -> None:
        self._notify()

    def _notify(self) -> None:
        for prompt_run in tuple(self.flights.values()):
            prompt_run.notify()

    def frame(self, frame: str | bytes) -> None:
        """Other people's prompts are dropped before anything of them is read."""
        now = self.clock()
        if isinstance(frame, str) and events.is_repetition(frame):
            self.heard_at = now
            return
        prompt = events.prompt_of(frame) if isinstance(frame, str) else None
        if prompt is not None and prompt not in self.flights:
            self.heard_at = now
            return
        event = events.read_text(frame) if isinstance(frame, str) else events.read_binary(frame)
        if isinstance(event, events.Status):
            # No sign that it works: a node whose worker is dead counts what it is sent, too.
            self.remaining = event.remaining
            return
        self.heard_at = now
        if event is None:
            return
        prompt_run = self.flights.get(event.prompt) if event.prompt is not None else self._at_work()
        if prompt_run is not None:
            self._on_frame(prompt_run, event, now)

    def _on_frame(self, prompt_run: PromptRun, event: events.Event, now: float) -> None:
        fresh = prompt_run.started_at is None
        prompt_run.take(event, now)
        if fresh and prompt_run.started_at is not None:
            self.load(prompt_run.models)

    def _at_work(self) -> PromptRun | None:
        """Whose a preview without a name is."""
        flights = tuple(self.flights.values())
        working = [
            prompt_run for prompt_run in flights if prompt_run.node is not None and not prompt_run.ending
        ]
        return working[0] if len(working) == 1 else None

    # Prompts.

    def register(self, prompt_run: PromptRun) -> PromptRun:
        """The flight of this reference: the one that is there already, else this one."""
        with self.lock:
            if not self.flights:
                self.heard_at = self.clock()
            self.abandoned.pop(prompt_run.reference, None)
            self.collected.pop(prompt_run.reference, None)
            return self.flights.setdefault(prompt_run.reference, prompt_run)

    def release(self, prompt_run: PromptRun) -> None:
        """One follower less; the last one takes the flight off."""
        with self.lock:
            prompt_run.followers -= 1
            if prompt_run.followers <= 0 and self.flights.get(prompt_run.reference) is prompt_run:
                del self.flights[prompt_run.reference]

    def collect(self, reference: str, *, marks: bool = False) -> None:
        """Its history entry may go after a while; ``marks``: it stays as the sign of a restart."""
        with self.lock:
            going = self.history_probe if marks else reference
            if marks:
                self.history_probe = reference
            if going is not None and going != self.history_probe:
                self.collected[going] = self.clock()

    def abandon(self, reference: str) -> None:
        with self.lock:
            self.abandoned[reference] = None

    # What it has loaded and been given.

    def load(self, models: frozenset[str]) -> None:
        with self.lock:
            for model in models:
                self._resident[model] = None
                self._resident.move_to_end(model)
            while len(self._resident) > max(self.settings.resident_models, len(models)):
                self._resident.popitem(last=False)

    def unload(self) -> None:
        with self.lock:
            self._resident.clear()

    def uploaded(self, digest: str) -> str | None:
        return self._uploads.get(digest)

    def remember_upload(self, digest: str, name: str) -> None:
        with self.lock:
            self._uploads[digest] = name
            if len(self._uploads) > MOST_UPLOADS:
                self._uploads.popitem(last=False)

    def forget_uploads(self) -> None:
        with self.lock:
            self._uploads.clear()

    def read_inventory(self) -> NodeInventory:
        """Ask the node for its models and classes. Raises `WireError`, `InvalidCatalogue`."""
        asked_at = self.clock()
        with self._reading:
            if self.inventory is not None and self.stock_at >= asked_at:
                return self.inventory  # read by somebody else while we waited
            info, embeddings = self.client.object_info(), self.client.embeddings()
            self.inventory = NodeInventory(Catalogue.read(info, embeddings), self._path_of)
            self.stock_at = self.clock()
            return self.inventory

    # Its health.

    def mark_reachable(self) -> None:
        self.seen_at = now_us()
        self.reachable, self.wire_trouble = True, ""

    def mark_unreachable(self, error: Exception) -> None:
        """It cannot be reached; until the next check that goes well it gets no jobs."""
        self.reachable, self.maybe_restarted, self.wire_trouble = False, True, str(error)

    def reconfigure(self, config: NodeConfig) -> bool:
        """Take over what needs no new connection; False when it does need one."""
        same = (config.url, config.headers, config.verify_tls, config.ca_file)
        mine = self.config
        if same != (mine.url, mine.headers, mine.verify_tls, mine.ca_file):
            return False
        self.config = replace(config)
        return True

    def close(self) -> None:
        self.socket.close()
        self.client.close()


def files(catalogue: Catalogue | None, kind: str) -> tuple[str, ...]:
    """What the core loaders of a kind list."""
    if catalogue is None:
        return ()
    listed = (catalogue.options(class_type, input_) or () for class_type, input_ in LOADERS[kind])
    return tuple(dict.fromkeys(name for names in listed for name in names))

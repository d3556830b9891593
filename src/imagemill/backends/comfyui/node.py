"""The state of one node in this process: its connection, its inventory, its health, and its running
prompts."""

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from imagemill.backends.base import Node
from imagemill.backends.comfyui import events
from imagemill.backends.comfyui.client import NodeClient
from imagemill.backends.comfyui.errors import File
from imagemill.backends.comfyui.file_headers import FileHeaders
from imagemill.backends.comfyui.loop import NodeLoop
from imagemill.backends.comfyui.partner import PartnerNodes
from imagemill.backends.comfyui.prompt import PromptRun
from imagemill.backends.comfyui.settings import ComfySettings
from imagemill.backends.comfyui.websocket import NodeSocket
from imagemill.domain import air
from imagemill.domain.clock import now_us
from imagemill.domain.dataclass import dataclass
from imagemill.domain.nodes import NodeConfig, NodeReport
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.errors import KIND_WORDS
from imagemill.graphs.families.table import Families, built_in
from imagemill.graphs.json_access import mapping, sequence
from imagemill.graphs.node_models import NodeModels, list_files
from imagemill.graphs.requirements import Requirement
from imagemill.net.breaker import Breaker, Clock

PathOf = Callable[[str], str | None]
"""A checkpoint's AIR in lower case -> the file it should have; None means unknown."""

MOST_UPLOADS = 4096
"""Uploaded inputs that are remembered; others are uploaded again."""
REMEMBER_S = 30.0
"""Longest time until a change of the model registry is noticed."""
_MB = 2**20
_DECAY = 0.9
"""Factor by which the known render time falls with each new measurement, so that one slow render is
forgotten."""
_MODELS = 256
_SHORTEST_S = 0.001
_MOST = 4096
"""Most entries of the inventory's caches."""
_FILE = "file:"
"""Prefix of a checkpoint that a job names by its file, not by an AIR."""
_KINDS = {
    **dict.fromkeys(("lora", "lycoris", "dora"), "lora"),
    "vae": "vae",
    "embedding": "embedding",
    "hypernet": "hypernet",
    "controlnet": "controlnet",
    "upscaler": "upscaler",
}
"""An AIR's type -> the kind of its requirement."""


QUICK_S = 0.025
"""Mean seconds of a node's latest prompts below which it gets more of them at once: with two it would wait
for the next one, as their files, checks and transactions take longer than they do."""
QUICK_PROMPTS = 16
"""Prompts of which the mean is taken."""
QUICK_SLOTS = 8
QUICK_AT_ONCE = 4
"""Slots of a quick node that one thread serves: while it stores the pictures of its prompts and commits their
ends, the node has those of the next thread."""
UNHURRIED_S = 1.0
"""Seconds after the last prompt of this process from which events of the node may be read late."""
SLOW_S = 4 * QUICK_S
"""Seconds after which a running prompt ends a series of quick ones."""


class RenderTimeEstimator:
    """Seconds per unit of load (step x megapixel) of each model: the slowest of the latest renders."""

    def __init__(self, settings: ComfySettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._units: OrderedDict[str, float] = OrderedDict()
        self._latest: dict[str, float] = {}

    def learn(self, model: str, load: float, seconds: float) -> None:
        unit = max(_SHORTEST_S, seconds) / load
        with self._lock:
            self._latest[model] = unit
            self._units[model] = max(unit, _DECAY * self._units.get(model, 0.0))
            self._units.move_to_end(model)
            if len(self._units) > _MODELS:
                self._latest.pop(self._units.popitem(last=False)[0], None)

    def expected_s(self, model: str, load: float) -> float | None:
        """Seconds that a render takes if it is as fast as the latest; None if there was none."""
        unit = self._latest.get(model)
        return None if unit is None else unit * load

    def limit_s(self, model: str, load: float, longest_s: float) -> float:
        """Longest time of a running render; ``longest_s`` if this node has not rendered with the model
        yet."""
        unit = self._units.get(model)
        if unit is None:
            return longest_s
        expected_s = self._settings.timeout_factor * unit * load
        return min(longest_s, max(self._settings.timeout_floor_s, self._settings.load_s + expected_s))


class NodeInventory:
    """The models and classes of a node.

    A container of AIRs in lower case, of checkpoint files (``file:...``), and of requirements (`str` of one).
    """

    def __init__(
        self,
        catalogue: Catalogue,
        path_of: PathOf,
        sizes: Mapping[str, int] | None = None,
        families: Families | None = None,
        *,
        hides_keys: bool = False,
    ) -> None:
        """``hides_keys``: the node keeps keys of partner nodes out of its queue and history."""
        self.catalogue = catalogue
        self._families = families or built_in()
        self._hides_keys = hides_keys
        self.sizes = sizes or {}
        """Model file -> bytes, of the files whose size the node tells."""
        self._path_of = path_of
        self._known: dict[str, bool] = {}
        self._met: dict[Requirement, bool] = {}
        self._until = time.monotonic() + REMEMBER_S

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, str):
            return False
        now = time.monotonic()
        if now > self._until or len(self._known) > _MOST:
            self._known, self._until = {}, now + REMEMBER_S
        known = self._known.get(key)
        if known is None:
            requirement = self._requirement_of(key)
            known = self._known[key] = requirement is not None and self.meets(requirement)
        return known

    def meets(self, requirement: Requirement) -> bool:
        met = self._met.get(requirement)
        if met is None:
            if len(self._met) > _MOST:
                self._met = {}
            met = not self._would_show_key(requirement) and requirement.met_by(self.catalogue, self._families)
            self._met[requirement] = met
        return met

    def remedy(self, requirement: Requirement) -> str:
        """The remedy where it is not met, if it is known; else empty."""
        if self._would_show_key(requirement):
            return "a partner node, for which its ComfyUI is too old, as it would show the key: update it"
        return requirement.remedy(self.catalogue, self._families)

    def _would_show_key(self, requirement: Requirement) -> bool:
        is_partner = requirement.kind == "class" and requirement.name in self.catalogue.partner_classes
        return is_partner and not self._hides_keys

    def _requirement_of(self, key: str) -> Requirement | None:
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


@dataclass(frozen=True, slots=True)
class SystemStats:
    """The facts of ``/system_stats``."""

    version: str = ""
    device: str = ""
    memory_mb: int | None = None
    memory_free_mb: int | None = None
    fingerprint: tuple[Any, ...] = ()
    """Equal for every request to one server, but equal machines have equal fingerprints, too."""


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
    """One node: its client, its socket, its state. Thread-safe.

    It receives the frames of its socket; `imagemill.backends.comfyui.health` checks its health.
    """

    def __init__(
        self,
        config: NodeConfig,
        settings: ComfySettings,
        path_of: PathOf,
        clock: Clock,
        loop: NodeLoop,
        families: Families | None = None,
        partner: PartnerNodes | None = None,
    ) -> None:
        self.config = config
        self.families = families or built_in()
        self.settings = settings
        self.partner = partner or PartnerNodes(settings, None)
        self.clock = clock
        self.client = NodeClient(config, connect_s=settings.connect_s, read_s=settings.read_s)
        self.socket = NodeSocket(config, self, loop, connect_s=settings.connect_s, ping_s=settings.ping_s)
        self._loop = loop
        self.breaker = Breaker(
            failures=settings.breaker_failures,
            base_s=settings.breaker_base_s,
            cap_s=settings.breaker_cap_s,
            clock=clock,
        )
        self.render_times = RenderTimeEstimator(settings)
        self._latest_s: deque[float] = deque(maxlen=QUICK_PROMPTS)
        """Seconds that the latest prompts took on the node, without their wait."""
        self.stats = SystemStats()
        self.inventory: NodeInventory | None = None
        self.file_headers = FileHeaders(self.client)
        self.inventory_at = 0.0
        self.inventory_changed = threading.Condition()
        self.inventory_expired = False
        """Whether the inventory is to be read again at once, as it has proved wrong."""
        self._attention: asyncio.Event | None = None
        self.reachable, self.connection_problem = False, "was not reached yet"
        self.stuck = ""
        """Why it executes no prompts, as the end of a sentence; empty if it does, for all that is known."""
        self.duplicate_of: NodeConnection | None = None
        """An earlier node with the same server."""
        self.has_jobs_api: bool | None = None
        """Whether it knows prompts as jobs (``/api/jobs``); None until it was asked."""
        self.maybe_restarted = True
        """Whether it may have been restarted since it was last reached."""
        self.history_probe: str | None = None
        """The newest prompt of this process in its history: if it is missing, the node was restarted."""
        self.seen_at: int | None = None
        self.active_at = clock()
        """When the socket last received an event, or nothing was running that could send one."""
        self.queue_remaining: int | None = None
        self.prompt_runs: dict[str, PromptRun] = {}
        self.abandoned: dict[str, float | None] = {}
        """Prompts that are given up and may still be on it, with the times of their first interruption."""
        self.collected: OrderedDict[str, float] = OrderedDict()
        """Prompts whose history entry is no longer needed, and the time since when."""
        self.leftovers: dict[str, tuple[File, ...]] = {}
        """The uploads of prompts that must leave nothing, by their references."""
        self.keeps_temp_apart = False
        """Whether it has put an upload into its folder of temporary files."""
        self.retired = False
        """Whether it was removed from the configuration and closed."""
        self.lock = threading.Lock()
        self._path_of = path_of
        self._was_connected = False
        self._released_at = -UNHURRIED_S
        """When a prompt was released last."""
        self._loaded_models: OrderedDict[str, None] = OrderedDict()
        self._uploads: OrderedDict[str, str] = OrderedDict()
        self._inventory_lock = threading.Lock()

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def problem(self) -> str:
        """The reason why it gets no jobs, in a sentence; empty if it is healthy."""
        if self.duplicate_of:
            return f"{self.name} is the same server as {self.duplicate_of.name}: remove one of the two"
        if not self.reachable:
            return f"{self.name} {self.connection_problem}"
        if self.stuck:
            return f"{self.name} is stuck: {self.stuck}; if that lasts, restart its ComfyUI"
        if self.breaker.is_open:
            return f"{self.name} is paused after repeated failures; the last one: {self.breaker.cause}"
        return "" if self.inventory else f"the models of {self.name} have not been read yet"

    @property
    def is_quick(self) -> bool:
        """Whether its latest prompts were quick, and none that runs is slow.

        It then gets more prompts at once than configured; see `view`. A node with one slot never is, as its
        operator wants one prompt at a time.
        """
        latest = self._latest_s
        if self.config.slots <= 1 or len(latest) < QUICK_PROMPTS or sum(latest) > QUICK_PROMPTS * QUICK_S:
            return False
        since = self.clock() - SLOW_S
        runs = tuple(self.prompt_runs.values())
        return not any(
            run.started_at is not None and run.started_at < since and not run.ending for run in runs
        )

    def view(self, backend: str) -> Node:
        config, problem, is_quick = self.config, self.problem, self.is_quick
        return Node(
            name=config.name,
            backend=backend,
            queues=config.queues,
            slots=max(config.slots, QUICK_SLOTS) if is_quick else config.slots,
            at_once=QUICK_AT_ONCE if is_quick else 1,
            labels=config.labels,
            memory_mb=config.memory_mb or self.stats.memory_mb,
            loaded_models=frozenset(self._loaded_models),
            available=self.inventory,
            healthy=not problem,
            draining=config.draining,
            problem=problem,
            backlog=max(0, (self.queue_remaining or 0) - len(self.prompt_runs)),
        )

    def report(self) -> NodeReport:
        config, vitals, problem = self.config, self.stats, self.problem
        catalogue = self.inventory.catalogue if self.inventory else None
        return NodeReport(
            name=config.name,
            url=config.url,
            healthy=not problem,
            problem=problem,
            draining=config.draining,
            version=vitals.version,
            device=vitals.device,
            memory_mb=config.memory_mb or vitals.memory_mb,
            memory_free_mb=vitals.memory_free_mb,
            checkpoints=len(list_files(catalogue, "checkpoint")),
            loras=len(list_files(catalogue, "lora")),
            classes=len(catalogue.classes) if catalogue else 0,
            running=len(self.prompt_runs),
            queue_remaining=self.queue_remaining,
            loaded_models=tuple(self._loaded_models),
            seen_at=self.seen_at,
            labels=tuple(sorted(config.labels)),
            slots=config.slots,
        )

    def models(self) -> NodeModels:
        inventory = self.inventory
        if inventory is None:
            return NodeModels(self.name, None)
        return NodeModels(self.name, inventory.catalogue, inventory.sizes, self.file_headers.found)

    # Methods of the socket's listener.

    def connected(self) -> None:
        self.active_at = self.clock()
        self.maybe_restarted = self.maybe_restarted or self._was_connected
        self._was_connected = True
        self._notify()

    def lost(self) -> None:
        self.queue_remaining = None
        self._notify()

    def is_waiting(self) -> bool:
        return bool(self.prompt_runs) or self.clock() - self._released_at < UNHURRIED_S

    def _notify(self) -> None:
        for prompt_run in tuple(self.prompt_runs.values()):
            prompt_run.notify()

    def frame(self, frame: str | bytes) -> None:
        """Handle a frame. Frames of other clients' prompts are dropped before they are parsed."""
        now = self.clock()
        if isinstance(frame, str) and events.is_repetition(frame):
            self.active_at = now
            return
        prompt = events.prompt_of(frame) if isinstance(frame, str) else None
        if prompt is not None and prompt not in self.prompt_runs:
            self.active_at = now
            return
        event = events.read_text(frame) if isinstance(frame, str) else events.read_binary(frame)
        if isinstance(event, events.Status):
            # Not a sign of life: a node whose worker has died still counts the prompts it is sent.
            self.queue_remaining = event.remaining
            return
        self.active_at = now
        if event is None:
            return
        prompt_run = (
            self.prompt_runs.get(event.prompt) if event.prompt is not None else self._running_prompt()
        )
        if prompt_run is not None:
            self._on_frame(prompt_run, event, now)

    def _on_frame(self, prompt_run: PromptRun, event: events.Event, now: float) -> None:
        fresh = prompt_run.started_at is None
        if (wait_s := prompt_run.apply(event, now)) is not None:
            self._loop.call_later(wait_s, lambda: prompt_run.show(self.clock()))
        if isinstance(event, events.PromptEnded):
            if self.queue_remaining:
                self.queue_remaining -= 1  # the node reports it a moment later
            if prompt_run.started_at is not None:
                self._latest_s.append(now - prompt_run.started_at)
        if fresh and prompt_run.started_at is not None:
            self.mark_loaded(prompt_run.models)

    def _running_prompt(self) -> PromptRun | None:
        """The running prompt that an unnamed preview belongs to."""
        flights = tuple(self.prompt_runs.values())
        working = [
            prompt_run for prompt_run in flights if prompt_run.node is not None and not prompt_run.ending
        ]
        return working[0] if len(working) == 1 else None

    # Prompts.

    def register(self, prompt_run: PromptRun) -> PromptRun:
        """Register a prompt; return the run that already exists for its reference, else this one."""
        with self.lock:
            if not self.prompt_runs:
                self.active_at = self.clock()
            self.abandoned.pop(prompt_run.reference, None)
            self.collected.pop(prompt_run.reference, None)
            known = self.prompt_runs.setdefault(prompt_run.reference, prompt_run)
        self.socket.hurry()
        return known

    def release(self, prompt_run: PromptRun) -> None:
        """Remove one follower; the last one removes the prompt's run."""
        with self.lock:
            prompt_run.followers -= 1
            if prompt_run.followers <= 0 and self.prompt_runs.get(prompt_run.reference) is prompt_run:
                del self.prompt_runs[prompt_run.reference]
                self._released_at = self.clock()

    def leave(self, prompt_run: PromptRun) -> None:
        """Remove one follower, whose place another will take: the prompt's run stays."""
        with self.lock:
            prompt_run.followers -= 1

    def mark_collected(self, reference: str, *, marks: bool = False) -> None:
        """Let the prompt's history entry be deleted after a while.

        ``marks``: keep it as the new `history_probe`, and let the previous one be deleted.
        """
        with self.lock:
            going = self.history_probe if marks else reference
            if marks:
                self.history_probe = reference
            if going is not None and going != self.history_probe:
                self.collected[going] = self.clock()

    def abandon(self, reference: str) -> None:
        with self.lock:
            self.abandoned.setdefault(reference, None)

    def mark_interrupted(self, reference: str) -> bool:
        """Note that an abandoned prompt is interrupted; False if it is followed again."""
        with self.lock:
            if reference not in self.abandoned:
                return False
            if self.abandoned[reference] is None:
                self.abandoned[reference] = self.clock()
            return True

    # Loaded models and uploaded inputs.

    def mark_loaded(self, models: frozenset[str]) -> None:
        with self.lock:
            for model in models:
                self._loaded_models[model] = None
                self._loaded_models.move_to_end(model)
            while len(self._loaded_models) > max(self.settings.resident_models, len(models)):
                self._loaded_models.popitem(last=False)

    def mark_unloaded(self) -> None:
        with self.lock:
            self._loaded_models.clear()

    def find_upload(self, digest: str) -> str | None:
        return self._uploads.get(digest)

    def remember_upload(self, digest: str, name: str) -> None:
        with self.lock:
            self._uploads[digest] = name
            if len(self._uploads) > MOST_UPLOADS:
                self._uploads.popitem(last=False)

    def forget_uploads(self) -> None:
        with self.lock:
            self._uploads.clear()
            self.keeps_temp_apart = False

    def read_inventory(self) -> NodeInventory:
        """Read the node's models and classes. Raises `ComfyError`, `InvalidCatalogue`."""
        asked_at = self.clock()
        with self._inventory_lock:
            if self.inventory is not None and self.inventory_at >= asked_at:
                return self.inventory  # another thread read it meanwhile
            if self.has_jobs_api is None:
                self.has_jobs_api = self.client.has_jobs_api()
            info, embeddings = self.client.object_info(), self.client.embeddings()
            found = NodeInventory(
                Catalogue.read(info, embeddings),
                self._path_of,
                self.client.checkpoint_sizes(),
                self.families,
                hides_keys=self.has_jobs_api,
            )
            with self.inventory_changed:
                self.inventory = found
                self.inventory_at, self.inventory_expired = self.clock(), False
                self.inventory_changed.notify_all()
            return self.inventory

    def expire_inventory(self, *, age_s: float = 0.0) -> bool:
        """Have the inventory read again at once if it is older than ``age_s`` seconds and the node answers;
        return whether it will be."""
        old = self.inventory is not None and self.clock() - self.inventory_at > age_s
        if not old or not self.reachable or self.retired:
            return False
        self.inventory_expired = True
        self.check_soon()
        return True

    def wait_for_inventory(self, after: float, seconds: float) -> bool:
        """Wait until the inventory was read after this time of `clock`, or for ``seconds``."""
        with self.inventory_changed:
            return self.inventory_changed.wait_for(lambda: self.inventory_at >= after, seconds)

    # Health and configuration.

    def listen_for_attention(self) -> asyncio.Event:
        """Return the event that `check_soon` sets; call on the loop."""
        self._attention = asyncio.Event()
        return self._attention

    def check_soon(self) -> None:
        """Have the node's health checked now."""
        attention = self._attention
        if attention is not None:
            self._loop.call(attention.set)

    def mark_reachable(self) -> None:
        self.seen_at = now_us()
        self.reachable, self.connection_problem = True, ""

    def mark_unreachable(self, error: Exception) -> None:
        """Give it no jobs until the next successful health check."""
        self.reachable, self.maybe_restarted, self.connection_problem = False, True, str(error)

    def reconfigure(self, config: NodeConfig) -> bool:
        """Apply a configuration; False if that needs a new connection."""
        same = (config.url, config.headers, config.verify_tls, config.ca_file)
        mine = self.config
        if same != (mine.url, mine.headers, mine.verify_tls, mine.ca_file):
            return False
        self.config = replace(config)
        return True

    def close(self) -> None:
        self.socket.close()
        self.client.close()

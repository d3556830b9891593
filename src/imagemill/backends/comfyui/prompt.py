"""The state of a prompt on a node, as its events have reported it so far.

It is a state, not a queue of events: repeated, late or reordered events do no harm, any number of
followers may read it, and a slow follower skips intermediate states.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from imagemill.backends.base import Progress
from imagemill.backends.comfyui import events
from imagemill.backends.comfyui.events import Event
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.graphs.graph import find_value, whole_number
from imagemill.graphs.json_access import mapping, sequence
from imagemill.graphs.size import rendered_pixels
from imagemill.graphs.timed_graph import NodeTimes

SENDER = "SaveImageWebsocket"
"""The node class that delivers its pictures over the socket, without a file."""

WATCHED_PROGRESS_S, PROGRESS_S = 0.04, 0.1
"""Shortest time between two wake-ups of a follower for progress, if a client watched when the prompt was
sent, and if none did; and between the sending and the first."""
_MEGAPIXEL = 1024 * 1024
_ASSUMED_MEGAPIXELS = 0.25
"""Megapixels of a graph that states no size."""


@dataclass(frozen=True, slots=True)
class GraphOutline:
    """The facts of a graph that are needed to follow its prompt."""

    titles: Mapping[str, str]
    """Node id -> title."""
    steps: Mapping[str, float]
    """Sampler node -> its number of steps."""
    senders: frozenset[str]
    """Nodes that deliver over the socket."""
    load: float
    """Steps x megapixels x pictures, to which the render time is proportional; always above 0."""


def outline_of(graph: Mapping[str, Any]) -> GraphOutline:
    """Outline a graph. Malformed nodes are tolerated, as the server validates the graph."""
    nodes = {node_id: mapping(node) for node_id, node in graph.items()}
    steps = dict(_samplers(nodes))
    return GraphOutline(
        titles={node_id: title_of(node) for node_id, node in nodes.items()},
        steps=steps,
        senders=frozenset(node_id for node_id, node in nodes.items() if node.get("class_type") == SENDER),
        load=max(1.0, sum(steps.values())) * (rendered_pixels(nodes) / _MEGAPIXEL or _ASSUMED_MEGAPIXELS),
    )


def title_of(node: Mapping[str, Any]) -> str:
    """The node's title, else its class."""
    return str(mapping(node.get("_meta")).get("title") or node.get("class_type") or "")


def _samplers(nodes: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, float]]:
    """(node id, steps) of each sampler; the steps are its own input, or that of the node that makes its
    sigmas."""
    graph = {node_id: {**node, "inputs": mapping(node.get("inputs"))} for node_id, node in nodes.items()}
    for node_id, node in graph.items():
        if "Sampler" not in str(node.get("class_type")):
            continue
        steps = _steps(graph, node_id)
        sigmas = sequence(node["inputs"].get("sigmas"))
        if steps is None and sigmas:
            steps = _steps(graph, str(sigmas[0]))
        if steps is not None:
            yield node_id, steps


def _steps(graph: Mapping[str, Mapping[str, Any]], node_id: str) -> float | None:
    place = find_value(graph, node_id, "steps") if node_id in graph else None
    steps = whole_number(graph[place[0]]["inputs"][place[1]]) if place is not None else None
    return float(steps) if steps is not None and steps > 0 else None


@dataclass(slots=True)
class PromptRun:
    """A prompt and its state. Times are local monotonic seconds: a node's clock is never compared with
    them."""

    reference: str
    graph: Mapping[str, Any]
    outline: GraphOutline
    models: frozenset[str]
    """Checkpoints it loads (AIRs in lower case)."""
    previews: bool
    sent_at: float
    client_id: str = ""
    """The id of the socket that receives its events; empty if none does."""
    started_at: float | None = None
    last_event_at: float = 0.0
    """When the last event came."""
    most_files: int = 256
    paid_call: str = ""
    """The id of the paid call that it is, if it has partner nodes."""
    maybe_received: bool = False
    """Whether the node may have received it."""
    followers: int = 0
    ends: int = 0
    """Number of signals that its history is written; they may be repeated, so the history is read."""
    ending: bool = False
    """Whether it has ended, so that the signal for its history should come next."""
    output_nodes: frozenset[str] | None = None
    """The output nodes of the graph; None where their events are not to be relied on."""
    succeeded: bool = False
    """Whether an event reported its success."""
    executed: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    """Output node -> its output, as events reported them."""
    resent: frozenset[str] = frozenset()
    """The reasons for which it was sent again."""
    announced_at: float | None = None
    """When the node announced its start."""
    executes: bool = False
    """Whether a node of the graph was seen at work since."""
    fatal: BackendError | None = None
    """The failure of a prompt that will never end, set by the node's health monitor."""
    changed: threading.Condition = field(default_factory=threading.Condition)
    version: int = 0
    watched: bool = False
    """Whether a client followed the job when it was sent."""
    shown_at: float = 0.0
    """When its followers were last woken for progress."""
    shows_later: bool = False
    """Whether they will be woken for it already."""
    node: str | None = None
    """The running node of the graph."""
    frames: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    """Node -> the pictures that ``SaveImageWebsocket`` delivered, in the order of their arrival: servers send
    the step of a picture before or after it."""
    times: NodeTimes = field(default_factory=NodeTimes)
    """When each node of the graph ran."""
    _preview: tuple[bytes, str] | None = None
    _steps: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def apply(self, event: Event, now: float) -> float | None:
        """Take an event into the state, and wake the followers at the end of the prompt and for progress, but
        not for each event of many, as that would wake a thread each time.

        Return the seconds after which the caller has to `show` the progress; None if it has not.
        """
        with self.changed:
            self.last_event_at = now
            self._apply(event, now)
            wait_s = max(self.shown_at, self.sent_at) + self._pause_s - now
            if self.ending or self.ends or wait_s <= 0:
                self._show(now)
                return None
            if self.shows_later:
                return None
            self.shows_later = True
            return wait_s

    @property
    def _pause_s(self) -> float:
        return WATCHED_PROGRESS_S if self.watched else PROGRESS_S

    def show(self, now: float) -> None:
        """Wake the followers for progress."""
        with self.changed:
            self.shows_later = False
            self._show(now)

    def _show(self, now: float) -> None:
        self.shown_at = now
        self.version += 1
        self.changed.notify_all()

    def _apply(self, event: Event, now: float) -> None:
        self.executes = self.executes or not isinstance(event, events.Started | events.Cached)
        match event:
            case events.Executing(node=node) if node is not None:
                self._enter(node, now)
            case events.Executing():
                self.times.enter(None, now)
                self.ends += 1
            case events.PromptEnded(succeeded=succeeded):
                self.times.enter(None, now)
                self.ending = True
                self.succeeded = self.succeeded or succeeded
            case events.Executed(node=node, output=output):
                self.executed[node] = output or {}
            case events.Step(node=node, value=value, maximum=most):
                self._enter(node, now)
                self._steps[node] = (value, most)
            case events.Cached(nodes=nodes):
                self._start(now)
                for node in nodes:
                    self.times.skip(node)
                    if node in self.outline.steps:
                        self._steps[node] = (self.outline.steps[node], self.outline.steps[node])
            case events.Started():
                self.announced_at = now
                self._start(now)
            case events.Frame():
                self._store_frame(event)
            case events.Status():
                pass

    def _enter(self, node: str, now: float) -> None:
        self._start(now)
        self.node = node
        self.times.enter(node, now)

    def _start(self, now: float) -> None:
        if self.started_at is None:
            self.started_at = now

    def _store_frame(self, frame: events.Frame) -> None:
        node = frame.node or self.node
        if node is not None and node in self.outline.senders:
            # One more than may be kept shows that there are too many.
            if sum(map(len, self.frames.values())) <= self.most_files:
                self.frames.setdefault(node, []).append(frame.data)
        elif self.previews:
            self._preview = (frame.data, frame.media_type)

    def outputs(self) -> Mapping[str, Any] | None:
        """The outputs as the history will have them, if events have reported the success and every output
        node; else None. Events may have been lost, and some output nodes send none."""
        with self.changed:
            if (
                not self.succeeded
                or self.output_nodes is None
                or not self.output_nodes <= self.executed.keys()
            ):
                return None
            return {node: output for node, output in self.executed.items() if output}

    def mark_running(self, now: float) -> None:
        """Record that the prompt was seen running."""
        with self.changed:
            self._start(now)

    def may_resend(self, reason: str) -> bool:
        """True once for each reason: only the follower that gets True sends the prompt again.

        Never for a paid prompt: another attempt pays for it, within the limits.
        """
        with self.changed:
            fresh = reason not in self.resent and not self.paid_call
            self.resent |= {reason}
            return fresh

    def restart(self, graph: Mapping[str, Any], now: float) -> None:
        """Reset the state, as the prompt is sent again."""
        with self.changed:
            self.graph, self.sent_at, self.started_at = graph, now, None
            self.node, self.ending, self.announced_at, self.executes = None, False, None, False
            self.succeeded = False
            self.executed.clear()
            self.frames.clear()
            self.times.clear()
            self._steps.clear()

    def notify(self, fatal: BackendError | None = None) -> None:
        """Wake the followers. ``fatal``: the failure of a prompt that will never end."""
        with self.changed:
            self.fatal = fatal or self.fatal
            self.version += 1
            self.changed.notify_all()

    def wait(self, version: int, seconds: float) -> int:
        """Wait until the state is newer than ``version``; return the current version."""
        with self.changed:
            if self.version == version:
                self.changed.wait(seconds)
            return self.version

    def progress(self) -> Progress:
        """The steps of all samplers of the graph; each preview is returned once."""
        with self.changed:
            preview, self._preview = self._preview, None
            total = sum(self._total(node) for node in self._counted_nodes())
            step = sum(
                min(self._steps[node][0], self._total(node))
                for node in self._counted_nodes()
                if node in self._steps
            )
            note = self.outline.titles.get(self.node or "", "")
            data, media_type = preview or (None, "image/jpeg")
            return Progress(int(step), max(1, int(total)), note, data, media_type)

    def _counted_nodes(self) -> list[str]:
        """The samplers, or, if there are none, all nodes that report steps."""
        return list(self.outline.steps) or [node for node in self._steps if node not in self.outline.senders]

    def _total(self, node: str) -> float:
        return self._steps[node][1] if node in self._steps else self.outline.steps.get(node, 1.0)

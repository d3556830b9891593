"""Putting an order on a node: the graph for this node, its inputs uploaded, one POST, and never a second one
while the first may have arrived."""

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from imagemill.backends.base import RenderRequest
from imagemill.backends.comfyui import errors
from imagemill.backends.comfyui.errors import ComfyError, ComfyStatusError, ComfyUnreachable, failure
from imagemill.backends.comfyui.node import NodeConnection, NodeInventory
from imagemill.backends.comfyui.prompt import PromptRun, outline_of
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec, RenderSpec
from imagemill.graphs import builder
from imagemill.graphs import graph as graphs
from imagemill.graphs.errors import InvalidCatalogue, InvalidGraph, MissingFile, Unsupported
from imagemill.graphs.graph import Graph
from imagemill.graphs.json_access import mapping, sequence

log = logging.getLogger(__name__)

SUBFOLDER = "imagemill"
"""Of a node's input and output folders."""
FIRST_SOCKET_S = 2.0
"""How long the first prompt waits for the socket, so that its events are not missed."""
STALE_STOCK_S = 10.0
"""What is missing may have come since: models and classes known for so long are read once more."""
_LOOK_AGAIN_S = 0.25


class PromptState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class PromptLocation:
    state: PromptState
    entry: Mapping[str, Any] | None = None
    """Of the history, when done."""
    graph: Mapping[str, Any] | None = None
    """As the node has it, when not done."""


def locate(link: NodeConnection, reference: str) -> PromptLocation:
    """Where a prompt is. The queue is read twice, as a prompt may pass from it to the history in between."""
    for last in (False, True):
        queue = link.client.queue()
        for place, items in ((PromptState.RUNNING, "queue_running"), (PromptState.WAITING, "queue_pending")):
            for item in map(sequence, sequence(queue[items])):
                if len(item) > 2 and item[1] == reference:
                    return PromptLocation(place, graph=mapping(item[2]))
        if last:
            break
        entry = link.client.history(reference)
        if entry is not None:
            return PromptLocation(PromptState.DONE, entry)
    return PromptLocation(PromptState.NOWHERE)


def send(link: NodeConnection, order: RenderRequest, *, known: bool) -> PromptRun:
    """The flight of the order. ``known``: the reference was sent before, perhaps, and is looked for first.

    Raises `BackendError`.
    """
    link.socket.start()
    try:
        if known and (flight := _attach(link, order)) is not None:
            return flight
        return _send(link, order)
    except ComfyError as error:
        if isinstance(error, ComfyUnreachable):
            link.mark_unreachable(error)
        raise failure(link.name, error) from error
    except MissingFile as error:
        raise BackendError(FailureCode.MISSING_MODEL, f"{link.name}: {error}") from error
    except InvalidGraph as error:
        raise BackendError(FailureCode.INVALID_GRAPH, str(error)) from error
    except Unsupported as error:
        raise BackendError(FailureCode.BACKEND_REJECTED, str(error)) from error
    except InvalidCatalogue as error:
        raise BackendError(FailureCode.BACKEND_UNAVAILABLE, f"{link.name}: {error}") from error


def _attach(link: NodeConnection, order: RenderRequest) -> PromptRun | None:
    """A prompt that is on the node, or was finished there; an interrupted one is cleared away."""
    found = locate(link, order.reference)
    if found.state is PromptState.NOWHERE:
        return None
    graph = found.graph
    if found.entry is not None:
        if errors.result_of(found.entry).status is errors.PromptStatus.INTERRUPTED:
            link.client.delete_history([order.reference])
            return None
        graph = mapping([*sequence(found.entry.get("prompt")), None, None, None][2])
    log.info("%s has the prompt already: attached to it", link.name)
    flight = _prompt_run(link, order, graph or {})
    # Its events go to the socket it was sent by, which is another process's or gone: it is polled.
    flight.client_id = ""
    if found.state is PromptState.RUNNING:
        flight.begin(link.clock())
    elif found.state is PromptState.DONE:
        flight.ends += 1
    return link.register(flight)


def _send(link: NodeConnection, order: RenderRequest) -> PromptRun:
    link.socket.wait_tried(FIRST_SOCKET_S)
    stock = link.inventory or link.read_inventory()
    try:
        graph = prepared(link, order, stock)
    except (MissingFile, BackendError) as error:
        code = error.failure if isinstance(error, BackendError) else FailureCode.MISSING_MODEL
        old = link.clock() - link.stock_at > STALE_STOCK_S
        if not old or code not in (FailureCode.MISSING_MODEL, FailureCode.MISSING_NODE):
            raise
        graph = prepared(link, order, link.read_inventory())
    flight = link.register(_prompt_run(link, order, graph))
    try:
        _post_or_upload_again(link, order, flight)
    except BaseException:
        flight.followers = 0
        link.release(flight)
        raise
    return flight


def _prompt_run(link: NodeConnection, order: RenderRequest, graph: Mapping[str, Any]) -> PromptRun:
    return PromptRun(
        reference=order.reference,
        graph=graph,
        outline=outline_of(graph),
        models=frozenset(model.lower() for model in models_of(order.work)),
        previews=order.previews,
        sent_at=link.clock(),
    )


def models_of(work: RenderSpec) -> tuple[str, ...]:
    return (work.model,) if isinstance(work, ImageSpec) else work.models


def prepared(link: NodeConnection, order: RenderRequest, stock: NodeInventory, suffix: str = "") -> Graph:
    """The order's graph, as this node takes it. ``suffix`` makes it save under another name."""
    images = {name: _upload(link, data) for name, data in order.inputs.items()}
    prefix = f"{SUBFOLDER}/{order.job_id}/{order.attempt}{suffix}"
    work = order.work
    if isinstance(work, GraphSpec):
        graph = _own_graph(work, order, stock, images, prefix)
    else:
        graph = builder.build(work, stock.catalogue, prefix=prefix, images=images)
    faults = [
        fault
        for fault in stock.catalogue.faults(graph)
        if not (fault.kind == "value_not_in_list" and fault.class_type.startswith("LoadImage"))
    ]
    refused = errors.fault_failure(link.name, faults)
    if refused is not None:
        raise refused
    return graph


def _own_graph(
    work: GraphSpec, order: RenderRequest, stock: NodeInventory, images: Mapping[str, str], prefix: str
) -> Graph:
    graph = graphs.resolve_files(graphs.normalise(work.graph), stock.catalogue)
    variables: dict[str, Any] = {"job_id": order.job_id, **images}
    if work.seed is not None:
        variables["seed"] = work.seed
    graph = graphs.with_prefix(graphs.substitute(graph, variables), prefix)
    for node in graph.values():
        if str(node["class_type"]).startswith("LoadImage"):
            inputs = node["inputs"]
            inputs |= {
                name: images[value]
                for name, value in inputs.items()
                if isinstance(value, str) and value in images
            }
    return graph


def _upload(link: NodeConnection, data: bytes) -> str:
    """Once by its content: the name a graph's LoadImage takes."""
    digest = hashlib.sha256(data).hexdigest()
    name = link.uploaded(digest)
    if name is None:
        name = link.client.upload_image(data, f"{digest}.{_extension(data)}", SUBFOLDER)
        link.remember_upload(digest, name)
    return name


def _extension(data: bytes) -> str:
    if data.startswith(b"\xff\xd8"):
        return "jpg"
    return "webp" if data[8:12] == b"WEBP" else "png"


def _post_or_upload_again(link: NodeConnection, order: RenderRequest, flight: PromptRun) -> None:
    try:
        post(link, flight)
    except ComfyStatusError as error:
        uploaded = [name for data in order.inputs.values() if (name := _upload(link, data))]
        if error.status != 400 or not errors.names_lost_upload(error.body, uploaded):
            raise _refused(link, flight, error) from error
        link.forget_uploads()
        for data in order.inputs.values():
            _upload(link, data)
        try:
            post(link, flight)
        except ComfyStatusError as again:
            raise _refused(link, flight, again) from again


def _refused(link: NodeConnection, flight: PromptRun, error: ComfyStatusError) -> Exception:
    return errors.rejection(link.name, error, flight.outline.titles) if error.status == 400 else error


def post(link: NodeConnection, flight: PromptRun) -> None:
    """One POST, and another only when the node is sure not to have got the first."""
    try:
        _post(link, flight)
    except ComfyUnreachable as error:
        if not error.doubtful:
            raise
        if not _arrived(link, flight):
            log.info("%s did not get a prompt whose answer was lost: sent again", link.name)
            _post(link, flight)


def _post(link: NodeConnection, flight: PromptRun) -> None:
    # Never with a `number`: two prompts with one number and one id end the node's worker for good.
    flight.client_id = link.socket.client_id
    flight.sent_at = link.clock()
    answer = link.client.post_prompt(
        {
            "prompt": flight.graph,
            "prompt_id": flight.reference,
            "client_id": flight.client_id,
            "extra_data": {"preview_method": link.settings.previews if flight.previews else "none"},
        }
    )
    refused = errors.node_errors_failure(link.name, mapping(answer.get("node_errors")), flight.outline.titles)
    if refused is not None:
        remove_prompt(link, flight.reference)
        raise refused


def _arrived(link: NodeConnection, flight: PromptRun) -> bool:
    """Look for a prompt whose answer was lost. Raises `Unreachable` when the node stays away."""
    end = link.clock() + link.settings.doubt_s
    looks = 0
    while True:
        try:
            if locate(link, flight.reference).state is not PromptState.NOWHERE:
                return True
            looks += 1
        except ComfyError as error:
            if link.clock() >= end:
                link.abandon(flight.reference)
                raise error
        if looks >= 2:
            return False
        time.sleep(_LOOK_AGAIN_S)


def remove_prompt(link: NodeConnection, reference: str) -> None:
    """Out of the queue, or stopped if it runs; never another prompt."""
    link.client.delete_pending([reference])
    link.client.interrupt(reference)
    link.collect(reference)


def resend(link: NodeConnection, flight: PromptRun, graph: Mapping[str, Any]) -> None:
    """Once more under the same reference, its former end forgotten."""
    link.client.delete_history([flight.reference])
    flight.restart(graph, link.clock())
    try:
        post(link, flight)
    except ComfyStatusError as error:
        raise _refused(link, flight, error) from error

"""Putting an order on a node: the graph for this node, its inputs uploaded, one POST, and never a second one
while the first may have arrived."""

import hashlib
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from imagemill.backends.base import Order
from imagemill.backends.comfyui import errors
from imagemill.backends.comfyui.errors import BadStatus, Unreachable, WireError, failure
from imagemill.backends.comfyui.node import NodeLink, Stock
from imagemill.backends.comfyui.prompt import Flight, layout_of
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec, Work
from imagemill.graphs import builder
from imagemill.graphs import graph as graphs
from imagemill.graphs.errors import BadCatalogue, BadGraph, MissingFile, Unsupported
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


class Place(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    NOWHERE = "nowhere"


@dataclass(frozen=True, slots=True)
class Found:
    place: Place
    entry: Mapping[str, Any] | None = None
    """Of the history, when done."""
    graph: Mapping[str, Any] | None = None
    """As the node has it, when not done."""


def locate(link: NodeLink, reference: str) -> Found:
    """Where a prompt is. The queue is read twice, as a prompt may pass from it to the history in between."""
    for last in (False, True):
        queue = link.client.queue()
        for place, items in ((Place.RUNNING, "queue_running"), (Place.WAITING, "queue_pending")):
            for item in map(sequence, sequence(queue[items])):
                if len(item) > 2 and item[1] == reference:
                    return Found(place, graph=mapping(item[2]))
        if last:
            break
        entry = link.client.history(reference)
        if entry is not None:
            return Found(Place.DONE, entry)
    return Found(Place.NOWHERE)


def send(link: NodeLink, order: Order, *, known: bool) -> Flight:
    """The flight of the order. ``known``: the reference was sent before, perhaps, and is looked for first.

    Raises `BackendError`.
    """
    link.socket.start()
    try:
        if known and (flight := _attach(link, order)) is not None:
            return flight
        return _send(link, order)
    except WireError as error:
        if isinstance(error, Unreachable):
            link.missed(error)
        raise failure(link.name, error) from error
    except MissingFile as error:
        raise BackendError(FailureCode.MISSING_MODEL, f"{link.name}: {error}") from error
    except BadGraph as error:
        raise BackendError(FailureCode.INVALID_GRAPH, str(error)) from error
    except Unsupported as error:
        raise BackendError(FailureCode.BACKEND_REJECTED, str(error)) from error
    except BadCatalogue as error:
        raise BackendError(FailureCode.BACKEND_UNAVAILABLE, f"{link.name}: {error}") from error


def _attach(link: NodeLink, order: Order) -> Flight | None:
    """A prompt that is on the node, or was finished there; an interrupted one is cleared away."""
    found = locate(link, order.reference)
    if found.place is Place.NOWHERE:
        return None
    graph = found.graph
    if found.entry is not None:
        if errors.outcome_of(found.entry).verdict is errors.Verdict.INTERRUPTED:
            link.client.delete_history([order.reference])
            return None
        graph = mapping([*sequence(found.entry.get("prompt")), None, None, None][2])
    log.info("%s has the prompt already: attached to it", link.name)
    flight = _flight(link, order, graph or {})
    # Its events go to the socket it was sent by, which is another process's or gone: it is polled.
    flight.client_id = ""
    if found.place is Place.RUNNING:
        flight.begin(link.clock())
    elif found.place is Place.DONE:
        flight.ends += 1
    return link.board(flight)


def _send(link: NodeLink, order: Order) -> Flight:
    link.socket.wait_tried(FIRST_SOCKET_S)
    stock = link.stock or link.read_stock()
    try:
        graph = prepared(link, order, stock)
    except (MissingFile, BackendError) as error:
        code = error.failure if isinstance(error, BackendError) else FailureCode.MISSING_MODEL
        old = link.clock() - link.stock_at > STALE_STOCK_S
        if not old or code not in (FailureCode.MISSING_MODEL, FailureCode.MISSING_NODE):
            raise
        graph = prepared(link, order, link.read_stock())
    flight = link.board(_flight(link, order, graph))
    try:
        _post_or_upload_again(link, order, flight)
    except BaseException:
        flight.followers = 0
        link.land(flight)
        raise
    return flight


def _flight(link: NodeLink, order: Order, graph: Mapping[str, Any]) -> Flight:
    return Flight(
        reference=order.reference,
        graph=graph,
        layout=layout_of(graph),
        models=frozenset(model.lower() for model in models_of(order.work)),
        previews=order.previews,
        sent_at=link.clock(),
    )


def models_of(work: Work) -> tuple[str, ...]:
    return (work.model,) if isinstance(work, ImageSpec) else work.models


def prepared(link: NodeLink, order: Order, stock: Stock, suffix: str = "") -> Graph:
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


def _own_graph(work: GraphSpec, order: Order, stock: Stock, images: Mapping[str, str], prefix: str) -> Graph:
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


def _upload(link: NodeLink, data: bytes) -> str:
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


def _post_or_upload_again(link: NodeLink, order: Order, flight: Flight) -> None:
    try:
        post(link, flight)
    except BadStatus as error:
        uploaded = [name for data in order.inputs.values() if (name := _upload(link, data))]
        if error.status != 400 or not errors.names_lost_upload(error.body, uploaded):
            raise _refused(link, flight, error) from error
        link.forget_uploads()
        for data in order.inputs.values():
            _upload(link, data)
        try:
            post(link, flight)
        except BadStatus as again:
            raise _refused(link, flight, again) from again


def _refused(link: NodeLink, flight: Flight, error: BadStatus) -> Exception:
    return errors.rejection(link.name, error, flight.layout.titles) if error.status == 400 else error


def post(link: NodeLink, flight: Flight) -> None:
    """One POST, and another only when the node is sure not to have got the first."""
    try:
        _post(link, flight)
    except Unreachable as error:
        if not error.doubtful:
            raise
        if not _arrived(link, flight):
            log.info("%s did not get a prompt whose answer was lost: sent again", link.name)
            _post(link, flight)


def _post(link: NodeLink, flight: Flight) -> None:
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
    refused = errors.node_errors_failure(link.name, mapping(answer.get("node_errors")), flight.layout.titles)
    if refused is not None:
        take_off(link, flight.reference)
        raise refused


def _arrived(link: NodeLink, flight: Flight) -> bool:
    """Look for a prompt whose answer was lost. Raises `Unreachable` when the node stays away."""
    end = link.clock() + link.settings.doubt_s
    looks = 0
    while True:
        try:
            if locate(link, flight.reference).place is not Place.NOWHERE:
                return True
            looks += 1
        except WireError as error:
            if link.clock() >= end:
                link.abandon(flight.reference)
                raise error
        if looks >= 2:
            return False
        time.sleep(_LOOK_AGAIN_S)


def take_off(link: NodeLink, reference: str) -> None:
    """Out of the queue, or stopped if it runs; never another prompt."""
    link.client.delete_pending([reference])
    link.client.interrupt(reference)
    link.collect(reference)


def resend(link: NodeLink, flight: Flight, graph: Mapping[str, Any]) -> None:
    """Once more under the same reference, its former end forgotten."""
    link.client.delete_history([flight.reference])
    flight.restart(graph, link.clock())
    try:
        post(link, flight)
    except BadStatus as error:
        raise _refused(link, flight, error) from error

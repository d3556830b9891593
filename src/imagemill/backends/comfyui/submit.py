"""Send a render to a node: prepare the graph, upload its inputs, and POST the prompt.

A prompt is never sent a second time while the first may have arrived.
"""

import hashlib
import logging
import time
from collections.abc import Mapping
from typing import Any

from imagemill.backends.base import RenderRequest
from imagemill.backends.comfyui import errors, temporary
from imagemill.backends.comfyui.errors import ComfyError, ComfyStatusError, ComfyUnreachable, failure
from imagemill.backends.comfyui.lookup import PromptState, cancel, locate, search
from imagemill.backends.comfyui.node import NodeConnection, NodeInventory
from imagemill.backends.comfyui.partner import partner_nodes_of
from imagemill.backends.comfyui.prompt import GraphOutline, PromptRun, outline_of
from imagemill.backends.paid_calls import REFUSED, UNKNOWN
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.domain.images import GraphSpec, ImageSpec, PageSpec, RenderSpec, TaskSpec, WorkerSpec
from imagemill.graphs import builder
from imagemill.graphs import graph as graphs
from imagemill.graphs.embeddings import resolve_embeddings
from imagemill.graphs.errors import InvalidCatalogue, InvalidGraph, MissingFile, Unsupported
from imagemill.graphs.graph import Graph
from imagemill.graphs.json_access import mapping

log = logging.getLogger(__name__)

SUBFOLDER = "imagemill"
"""The subfolder that is used in a node's input and output folders."""
FIRST_SOCKET_S = 2.0
"""Longest time the first prompt waits for the socket, so that its events are not missed."""
STALE_INVENTORY_S = 5.0
"""Age from which the inventory is read again when something is missing, as it may have been added
meanwhile."""
PREVIEWS_FROM_S = 2.0
"""Expected seconds of a render from which previews are asked for although nobody watches yet."""
_RECHECK_S = 0.25


def send(connection: NodeConnection, request: RenderRequest, *, known: bool) -> PromptRun:
    """Send a render. ``known``: the reference may have been sent before and is searched on the node first.

    Raises `BackendError`.
    """
    connection.socket.start()
    try:
        if known and (prompt_run := _attach(connection, request)) is not None:
            return prompt_run
        return _send(connection, request)
    except ComfyError as error:
        if isinstance(error, ComfyUnreachable):
            connection.mark_unreachable(error)
        raise failure(connection.name, error) from error
    except MissingFile as error:
        raise BackendError(FailureCode.MISSING_MODEL, f"{connection.name}: {error}") from error
    except InvalidGraph as error:
        raise BackendError(FailureCode.INVALID_GRAPH, str(error)) from error
    except Unsupported as error:
        raise BackendError(FailureCode.BACKEND_REJECTED, str(error)) from error
    except InvalidCatalogue as error:
        raise BackendError(FailureCode.BACKEND_UNAVAILABLE, f"{connection.name}: {error}") from error


def _attach(connection: NodeConnection, request: RenderRequest) -> PromptRun | None:
    """The prompt if it is on the node or finished there; None if not, or if it was interrupted."""
    found = search(connection, request.reference)  # with its graph
    if found.state is PromptState.NOWHERE:
        return None
    if found.result is not None and found.result.status is errors.PromptStatus.INTERRUPTED:
        connection.client.delete_history([request.reference])
        return None
    log.info("%s already has the prompt: attached to it", connection.name)
    prompt_run = _prompt_run(connection, request, found.graph or {})
    prompt_run.paid_call = connection.partner.open_call(request)
    connection.leftovers.pop(request.reference, None)
    # Its events go to the socket of the process that sent it, so it is polled.
    prompt_run.client_id = ""
    if found.state is PromptState.RUNNING:
        prompt_run.mark_running(connection.clock())
    elif found.state is PromptState.DONE:
        prompt_run.ends += 1
    return connection.register(prompt_run)


def _send(connection: NodeConnection, request: RenderRequest) -> PromptRun:
    connection.socket.wait_tried(FIRST_SOCKET_S)
    inventory = connection.inventory or connection.read_inventory()
    connection.leftovers.pop(request.reference, None)
    try:
        graph = _prepare_graph(connection, request, inventory)
    except BaseException:
        if request.leaves_nothing:
            temporary.erase(connection, request, SUBFOLDER)
        raise
    prompt_run = connection.register(_prompt_run(connection, request, graph))
    try:
        if partners := partner_nodes_of(graph, [inventory.catalogue]):
            prompt_run.paid_call = connection.partner.reserve(request, partners)
        _post_or_upload_again(connection, request, prompt_run)
    except BaseException:
        prompt_run.followers = 0
        connection.release(prompt_run)
        is_free = not prompt_run.maybe_received
        connection.partner.ended(prompt_run.paid_call, REFUSED if is_free else UNKNOWN, free=is_free)
        if request.leaves_nothing:
            (temporary.erase if is_free else temporary.erase_later)(connection, request, SUBFOLDER)
        raise
    if prompt_run.paid_call:
        connection.partner.sent(prompt_run.paid_call, prompt_run.reference)
    return prompt_run


def _prepare_graph(connection: NodeConnection, request: RenderRequest, inventory: NodeInventory) -> Graph:
    """Prepare the graph, with a fresh inventory where something is missing in an old one."""
    try:
        return prepare_graph(connection, request, inventory)
    except (MissingFile, BackendError) as error:
        code = error.failure if isinstance(error, BackendError) else FailureCode.MISSING_MODEL
        old = connection.clock() - connection.inventory_at > STALE_INVENTORY_S
        if not old or code not in (FailureCode.MISSING_MODEL, FailureCode.MISSING_NODE):
            raise
        return prepare_graph(connection, request, connection.read_inventory())


def _prompt_run(connection: NodeConnection, request: RenderRequest, graph: Mapping[str, Any]) -> PromptRun:
    outline = outline_of(graph)
    return PromptRun(
        reference=request.reference,
        graph=graph,
        outline=outline,
        models=frozenset(model.lower() for model in models_of(request.work)),
        previews=request.previews and _is_worth_previews(connection, request, outline),
        watched=request.watched,
        output_nodes=_output_nodes(connection, graph),
        most_files=request.most_files,
        sent_at=connection.clock(),
    )


def _output_nodes(connection: NodeConnection, graph: Mapping[str, Any]) -> frozenset[str] | None:
    """The nodes of the graph whose outputs are the prompt's; None while the node's classes are not known."""
    inventory = connection.inventory
    if inventory is None:
        return None
    return frozenset(
        node_id
        for node_id, node in graph.items()
        if (declared := inventory.catalogue.node_class(str(mapping(node).get("class_type")))) is not None
        and declared.is_output
    )


def _is_worth_previews(connection: NodeConnection, request: RenderRequest, outline: GraphOutline) -> bool:
    """Whether somebody watches, or may do so before the render ends: previews cost a short one up to 6 %."""
    if request.watched:
        return True
    model = next(iter(models_of(request.work)), "").lower()
    expected_s = connection.render_times.expected_s(model, outline.load)
    return expected_s is None or expected_s >= PREVIEWS_FROM_S


def models_of(work: RenderSpec) -> tuple[str, ...]:
    match work:
        case ImageSpec():
            return (work.model,)
        case GraphSpec():
            return work.models
        case TaskSpec() | PageSpec():
            return ()


def prepare_graph(
    connection: NodeConnection, request: RenderRequest, inventory: NodeInventory, suffix: str = ""
) -> Graph:
    """The graph of the render, for this node. ``suffix`` makes it save under another name."""
    images = _upload_inputs(connection, request)
    prefix = f"{SUBFOLDER}/{request.job_id}/{request.attempt}{suffix}"
    work = request.work
    if isinstance(work, GraphSpec):
        graph = _prepare_client_graph(work, request, inventory, images, prefix)
    elif isinstance(work, WorkerSpec):
        raise BackendError(FailureCode.INVALID_GRAPH, f"{work.title} is for a worker, not for a node")
    else:
        graph = builder.build(
            work, inventory.catalogue, prefix=prefix, images=images, families=connection.families
        )
    if request.leaves_nothing:
        graph = temporary.preview_only(graph, inventory.catalogue, f"{request.reference}{suffix}")
    faults = [
        fault
        for fault in inventory.catalogue.faults(graph)
        if not (fault.kind == "value_not_in_list" and fault.class_type.startswith("LoadImage"))
    ]
    refused = errors.fault_failure(connection.name, faults)
    if refused is not None:
        raise refused
    return graph


def _prepare_client_graph(
    work: GraphSpec, request: RenderRequest, inventory: NodeInventory, images: Mapping[str, str], prefix: str
) -> Graph:
    graph = graphs.resolve_files(graphs.normalise(work.graph), inventory.catalogue)
    graph = resolve_embeddings(graph, inventory.catalogue)
    marks: dict[str, Any] = {"job_id": request.job_id, **images}
    if work.seed is not None:
        marks["seed"] = work.seed
    graph = graphs.with_prefix(graphs.fill_marks(graph, marks), prefix)
    for node in graph.values():
        if str(node["class_type"]).startswith("LoadImage"):
            inputs = node["inputs"]
            inputs |= {
                name: images[value]
                for name, value in inputs.items()
                if isinstance(value, str) and value in images
            }
    return graph


def _upload_inputs(connection: NodeConnection, request: RenderRequest) -> dict[str, str]:
    """Upload the pictures; return the name of each for a graph's LoadImage."""
    if request.leaves_nothing:
        return temporary.upload_inputs(connection, request, SUBFOLDER)
    return {name: _upload(connection, data) for name, data in request.inputs.items()}


def _upload(connection: NodeConnection, data: bytes) -> str:
    """Upload a picture once per content; return the name for a graph's LoadImage."""
    digest = hashlib.sha256(data).hexdigest()
    name = connection.find_upload(digest)
    if name is None:
        name = connection.client.upload_image(data, f"{digest}.{_extension(data)}", SUBFOLDER).path
        connection.remember_upload(digest, name)
    return name


def _extension(data: bytes) -> str:
    if data.startswith(b"\xff\xd8"):
        return "jpg"
    return "webp" if data[8:12] == b"WEBP" else "png"


def _post_or_upload_again(connection: NodeConnection, request: RenderRequest, prompt_run: PromptRun) -> None:
    try:
        post(connection, prompt_run)
    except ComfyStatusError as error:
        uploaded = _upload_inputs(connection, request).values()
        if error.status != 400 or not errors.names_lost_upload(error.body, uploaded):
            raise _rejection(connection, prompt_run, error) from error
        connection.forget_uploads()
        _upload_inputs(connection, request)
        try:
            post(connection, prompt_run)
        except ComfyStatusError as again:
            raise _rejection(connection, prompt_run, again) from again


def _rejection(connection: NodeConnection, prompt_run: PromptRun, error: ComfyStatusError) -> Exception:
    if error.status != 400:
        return error
    rejected = errors.rejection(connection.name, error, prompt_run.outline.titles)
    if rejected.failure in (FailureCode.MISSING_MODEL, FailureCode.MISSING_NODE):
        # Our checks passed, so the inventory is out of date: no further job is to be accepted by it.
        connection.expire_inventory()
    return rejected


def post(connection: NodeConnection, prompt_run: PromptRun) -> None:
    """POST the prompt; repeat that only when the node certainly did not receive the first one."""
    try:
        _post(connection, prompt_run)
    except ComfyUnreachable as error:
        if not error.maybe_received:
            raise
        if not _has_arrived(connection, prompt_run):
            log.info("%s did not receive a prompt whose answer was lost: sent again", connection.name)
            _post(connection, prompt_run)


def _post(connection: NodeConnection, prompt_run: PromptRun) -> None:
    # Never with a `number`: two prompts with the same number and id crash the node's worker permanently.
    prompt_run.client_id = connection.socket.client_id
    prompt_run.sent_at = connection.clock()
    prompt_run.maybe_received = True
    try:
        answer = connection.client.post_prompt(
            {
                "prompt": prompt_run.graph,
                "prompt_id": prompt_run.reference,
                "client_id": prompt_run.client_id,
                "extra_data": {
                    "preview_method": connection.settings.previews if prompt_run.previews else "none",
                    **(connection.partner.secrets() if prompt_run.paid_call else {}),
                },
            }
        )
    except ComfyStatusError:
        prompt_run.maybe_received = False
        raise
    except ComfyUnreachable as error:
        prompt_run.maybe_received = error.maybe_received
        raise
    refused = errors.node_errors_failure(
        connection.name, mapping(answer.get("node_errors")), prompt_run.outline.titles
    )
    if refused is not None:
        remove_prompt(connection, prompt_run.reference)
        raise refused


def _has_arrived(connection: NodeConnection, prompt_run: PromptRun) -> bool:
    """Whether a prompt whose answer was lost is on the node. Raises `ComfyError` if the node stays
    unreachable."""
    end = connection.clock() + connection.settings.doubt_s
    checks = 0
    while True:
        try:
            if locate(connection, prompt_run.reference).state is not PromptState.NOWHERE:
                return True
            checks += 1
        except ComfyError as error:
            if connection.clock() >= end:
                connection.abandon(prompt_run.reference)
                raise error
        if checks >= 2:
            return False
        time.sleep(_RECHECK_S)


def remove_prompt(connection: NodeConnection, reference: str) -> None:
    """Remove a prompt from the queue, or stop it if it runs; never another prompt."""
    cancel(connection, reference)
    connection.mark_collected(reference)


def resend(connection: NodeConnection, prompt_run: PromptRun, graph: Mapping[str, Any]) -> None:
    """Send the prompt again under the same reference, after deleting its history entry."""
    connection.client.delete_history([prompt_run.reference])
    prompt_run.restart(graph, connection.clock())
    try:
        post(connection, prompt_run)
    except ComfyStatusError as error:
        raise _rejection(connection, prompt_run, error) from error

"""Renders that leave nothing on a node: their pictures lie in its folder of temporary files, and are
overwritten there after the render.

ComfyUI has no route that deletes a file, but an upload may replace one. Its history can be deleted.
"""

import base64
import logging
from collections.abc import Mapping

from imagemill.backends.base import RenderRequest
from imagemill.backends.comfyui import errors
from imagemill.backends.comfyui.errors import ComfyError, File
from imagemill.backends.comfyui.lookup import PromptState, search
from imagemill.backends.comfyui.node import NodeConnection
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.graphs.catalogue import Catalogue
from imagemill.graphs.graph import Graph

log = logging.getLogger(__name__)

KIND = "temp"
PREVIEWS = frozenset({"PreviewImage", "MaskPreview", "PreviewAny", "SaveImageWebsocket"})
"""Output nodes that write to the folder of temporary files, or nowhere."""
_BLANK = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNgAAAAAgAB5Sfe/AAAAABJRU5ErkJggg=="
)
"""A black picture of one pixel."""


def preview_only(graph: Graph, catalogue: Catalogue, mark: str) -> Graph:
    """Return the graph with previews in place of saved pictures. Raises `BackendError` for other outputs.

    ``mark`` makes the previews differ from those of any other prompt: a node that has rendered the same
    graph before would answer with files that have been overwritten since.
    """
    changed: Graph = {}
    for id_, node in graph.items():
        class_type, inputs = str(node["class_type"]), dict(node["inputs"])
        if class_type == "SaveImage":
            inputs.pop("filename_prefix", None)
            class_type = "PreviewImage"
        if class_type in PREVIEWS:
            inputs["imagemill"] = mark
        elif (reason := _refusal_reason(class_type, catalogue)) is not None:
            message = f"node {id_} ({class_type}) {reason}, but the job must leave nothing on a node"
            raise BackendError(FailureCode.BACKEND_REJECTED, f"{message}: end the graph with SaveImage")
        changed[id_] = {**node, "class_type": class_type, "inputs": inputs}
    return changed


def _refusal_reason(class_type: str, catalogue: Catalogue) -> str | None:
    if class_type in catalogue.partner_classes:
        return "sends pictures to a paid service"
    declared = catalogue.node_class(class_type)
    return "keeps files on the node" if declared is not None and declared.is_output else None


def upload_inputs(connection: NodeConnection, request: RenderRequest, subfolder: str) -> dict[str, str]:
    """Upload the inputs as temporary files; return the name of each for a graph's LoadImage.

    Raises `ComfyError`, and `BackendError` if the node puts them elsewhere: it is asked with a blank picture
    first.
    """
    placed = _places(request, subfolder)
    for name, file in placed.items():
        if not connection.keeps_temp_apart:
            _put(connection, file, _BLANK)
            connection.keeps_temp_apart = True
        _put(connection, file, request.inputs[name])
    return {name: f"{file.path} [{KIND}]" for name, file in placed.items()}


def _places(request: RenderRequest, subfolder: str) -> Mapping[str, File]:
    """The temporary file of each input. A later attempt finds them, as they follow from the reference."""
    names = enumerate(sorted(request.inputs))
    return {name: File(f"{request.reference}-{place}.png", subfolder, KIND) for place, name in names}


def _put(connection: NodeConnection, file: File, data: bytes) -> None:
    placed = connection.client.upload_image(data, file.name, file.subfolder, KIND)
    if placed == file:
        return
    connection.keeps_temp_apart = False
    connection.client.upload_image(_BLANK, placed.name, placed.subfolder, placed.kind)
    message = (
        f"{connection.name} puts temporary files into its folder {placed.kind}, and the job must leave "
        "nothing on a node: update its ComfyUI, or let the proxy before it pass uploads unchanged, or drain "
        "the node"
    )
    raise BackendError(FailureCode.BACKEND_REJECTED, message)


def erase(connection: NodeConnection, request: RenderRequest, subfolder: str) -> None:
    """Overwrite the temporary files of a prompt that has ended, and delete it from the history.

    The last follower does it. What fails, or is too early, is repeated with the next health check.
    """
    if request.reference in connection.prompt_runs:
        return
    erase_later(connection, request, subfolder)
    try:
        _erase(connection, request.reference)
    except ComfyError as error:
        log.warning(
            "temporary files of a prompt on %s could not be overwritten yet: %s", connection.name, error
        )


def erase_later(connection: NodeConnection, request: RenderRequest, subfolder: str) -> None:
    """Leave it to a later health check: the prompt may be on the node, and another attempt may find it."""
    connection.leftovers[request.reference] = tuple(_places(request, subfolder).values())


def erase_all(connection: NodeConnection) -> None:
    """Erase what is left of all prompts that are neither followed nor still to be removed."""
    for reference in list(connection.leftovers):
        if reference not in connection.prompt_runs and reference not in connection.abandoned:
            _erase(connection, reference)


def _erase(connection: NodeConnection, reference: str) -> None:
    found = search(connection, reference)
    if found.state in (PromptState.WAITING, PromptState.RUNNING):
        return
    outputs = errors.files_of(found.result.outputs, ()) if found.result is not None else ()
    files = {*connection.leftovers.get(reference, ()), *(file for file in outputs if file.kind == KIND)}
    for file in files:
        connection.client.upload_image(_BLANK, file.name, file.subfolder, KIND)
    connection.client.delete_history([reference])
    connection.leftovers.pop(reference, None)

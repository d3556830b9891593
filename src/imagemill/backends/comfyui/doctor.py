"""The examination of a node: everything that a job needs of it, with a remedy for each fault."""

import time
import uuid
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from imagemill.backends.comfyui import errors
from imagemill.backends.comfyui.errors import ComfyError, ComfyStatusError, PromptResult
from imagemill.backends.comfyui.lookup import PromptState, cancel, locate
from imagemill.backends.comfyui.node import NodeConnection, read_system_stats
from imagemill.backends.comfyui.submit import SUBFOLDER
from imagemill.backends.comfyui.websocket import open_socket
from imagemill.domain.nodes import Finding, Level
from imagemill.graphs.errors import InvalidCatalogue
from imagemill.graphs.json_access import mapping, sequence
from imagemill.graphs.node_models import LOADERS, list_files

CORE_CLASSES = frozenset(
    {"CheckpointLoaderSimple", "CLIPTextEncode", "EmptyLatentImage", "KSampler", "LoadImage", "LoraLoader"}
    | {"SaveImage", "VAEDecode", "VAEEncode"}
)
"""The node classes that the built-in workflows need."""
SLOW_S = 1.0
"""Seconds of response time above which the node idles between prompts."""
LOW_FREE_SHARE = 0.2
"""Share of free memory; less on an idle node means that another program uses the device."""
TEST_TIMEOUT_S = 15.0
"""Seconds that the test prompt may take on an idle node."""
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def examine(connection: NodeConnection) -> Iterator[Finding]:
    """Yield findings, from the address upwards; ends early if the later checks cannot work."""
    started = time.perf_counter()
    try:
        stats = connection.client.system_stats()
    except ComfyError as error:
        yield Finding(Level.ERROR, "address", f"{connection.config.url} {error}")
        return
    yield _check_address(connection, time.perf_counter() - started)
    if connection.problem:
        yield Finding(Level.WARNING, "state", connection.problem)
    connection.stats = read_system_stats(stats)
    yield from _check_machine(connection)
    try:
        yield from _check_models(connection)
        yield _check_socket(connection)
        queue = connection.client.queue()
        yield _check_queue(connection, queue)
        yield _check_previews(
            connection, [str(part) for part in sequence(mapping(stats["system"]).get("argv"))]
        )
        busy = len(sequence(queue["queue_running"])) + len(sequence(queue["queue_pending"]))
        if connection.stuck or not busy:
            yield _run_test_prompt(connection)
        else:
            text = (
                f"the test prompt was left out, as {busy} prompts are before it; try again when they are done"
            )
            yield Finding(Level.WARNING, "prompt", text)
    except (ComfyError, InvalidCatalogue) as error:
        yield Finding(Level.ERROR, "address", f"{connection.name} {error}")


def _check_address(connection: NodeConnection, took_s: float) -> Finding:
    parts = urlsplit(connection.config.url)
    text = f"{connection.config.url} answers in {took_s * 1000:.0f} ms"
    if took_s > SLOW_S:
        return Finding(Level.WARNING, "address", f"{text}: check the network, and the load of the node")
    if parts.scheme == "http" and connection.config.headers and parts.hostname not in _LOOPBACK:
        return Finding(Level.WARNING, "address", f"{text}; the token is sent unencrypted: use https")
    if parts.scheme == "https" and not connection.config.verify_tls:
        return Finding(Level.WARNING, "address", f"{text}; its certificate is not verified: set a CA file")
    return Finding(Level.OK, "address", text)


def _check_machine(connection: NodeConnection) -> Iterator[Finding]:
    vitals = connection.stats
    if vitals.version:
        yield Finding(Level.OK, "version", f"ComfyUI {vitals.version}")
    else:
        yield Finding(Level.WARNING, "version", "the node reports no version: update ComfyUI")
    total, free = vitals.memory_mb, vitals.memory_free_mb
    if total is None or free is None:
        yield Finding(
            Level.WARNING,
            "memory",
            "the node reports no device: set its memory yourself (nodes add --memory-mb)",
        )
        return
    text = f"{vitals.device or 'device'}: {free} of {total} MB free"
    if not connection.prompt_runs and free < LOW_FREE_SHARE * total:
        yield Finding(
            Level.WARNING, "memory", f"{text}: another program uses the memory, or models are loaded"
        )
    else:
        yield Finding(Level.OK, "memory", text)


def _check_models(connection: NodeConnection) -> Iterator[Finding]:
    catalogue = connection.read_inventory().catalogue
    counts = {kind: len(list_files(catalogue, kind)) for kind in LOADERS}
    text = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    level = Level.OK if counts["checkpoint"] else Level.WARNING
    remedy = "" if counts["checkpoint"] else ": put a model into models/checkpoints"
    yield Finding(level, "models", text + remedy)
    missing = sorted(CORE_CLASSES - catalogue.classes)
    if missing:
        text = f"node classes are missing: {', '.join(missing)}; is it a ComfyUI server, and up to date?"
        yield Finding(Level.ERROR, "classes", text)
    else:
        yield Finding(Level.OK, "classes", f"{len(catalogue.classes)} node classes")


def _check_socket(link: NodeConnection) -> Finding:
    """Check the WebSocket with a new connection, so that the one in use is not disturbed."""
    from websockets.exceptions import WebSocketException

    try:
        with open_socket(link.config, str(uuid.uuid4()), connect_s=link.settings.connect_s) as connection:
            connection.recv(timeout=link.settings.connect_s)
    except TimeoutError:
        text = "the WebSocket opens but sends nothing: a proxy in front of the node must support WebSockets"
        return Finding(Level.ERROR, "socket", text)
    except (OSError, WebSocketException) as error:
        text = f"the WebSocket does not open ({error}): a proxy in front of the node must support WebSockets"
        return Finding(Level.ERROR, "socket", text)
    return Finding(Level.OK, "socket", "the WebSocket connects and sends messages")


def _check_queue(connection: NodeConnection, queue: Mapping[str, object]) -> Finding:
    references = [
        str(sequence(item)[1])
        for items in ("queue_running", "queue_pending")
        for item in sequence(queue[items])
    ]
    foreign = [reference for reference in references if reference not in connection.prompt_runs]
    text = f"{len(references)} prompts, {len(references) - len(foreign)} of them from Imagemill"
    if foreign:
        return Finding(
            Level.WARNING, "queue", f"{text}: other clients use the node, and our jobs wait behind theirs"
        )
    return Finding(Level.OK, "queue", text)


def _check_previews(connection: NodeConnection, argv: list[str]) -> Finding:
    old = connection.stats.version.startswith("0.3.")
    if old and not any(part.startswith("--preview-method") for part in argv):
        text = "previews are off: start this release of ComfyUI with --preview-method auto"
        return Finding(Level.WARNING, "previews", text)
    text = "set by the node's command line" if old else "requested with each prompt"
    return Finding(Level.OK, "previews", text)


def _run_test_prompt(connection: NodeConnection) -> Finding:
    """Render, save and fetch a picture without a model."""
    reference = str(uuid.uuid4())
    colour = uuid.UUID(reference).int & 0xFFFFFF
    graph = {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": colour},
        },
        "2": {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": f"{SUBFOLDER}/doctor/{reference[:8]}"},
        },
    }
    started = time.perf_counter()
    try:
        connection.client.post_prompt(
            {"prompt": graph, "prompt_id": reference, "client_id": str(uuid.uuid4())}
        )
        while (found := locate(connection, reference)).state in (PromptState.WAITING, PromptState.RUNNING):
            if time.perf_counter() - started > TEST_TIMEOUT_S:
                cancel(connection, reference)
                text = f"the test prompt did not end within {TEST_TIMEOUT_S:g} s: restart its ComfyUI"
                return Finding(Level.ERROR, "prompt", text)
            time.sleep(0.05)
        return _check_result(connection, reference, found.result, time.perf_counter() - started)
    except ComfyStatusError as error:
        reason = errors.rejection(connection.name, error, {}) if error.status == 400 else error
        return Finding(Level.ERROR, "prompt", f"the test prompt was refused: {reason}")
    finally:
        connection.mark_collected(reference)


def _check_result(
    connection: NodeConnection, reference: str, outcome: PromptResult | None, took_s: float
) -> Finding:
    if outcome is None:
        return Finding(Level.ERROR, "prompt", "the test prompt was lost: was the node restarted?")
    if outcome.status is not errors.PromptStatus.SUCCESS:
        reason = errors.execution_failure(connection.name, outcome.error, {})
        return Finding(Level.ERROR, "prompt", f"the test prompt failed: {reason}")
    for file in errors.files_of(outcome.outputs, ("2",)):
        connection.client.view(file.name, file.subfolder, file.kind, most=connection.settings.file_bytes)
        text = f"a test picture was rendered, saved and fetched in {took_s * 1000:.0f} ms"
        return Finding(Level.OK, "prompt", text)
    text = f"the test prompt ({reference}) saved no file: check permissions and space of the output folder"
    return Finding(Level.ERROR, "prompt", text)

"""Parse the frames of a ComfyUI WebSocket into events. Pure: an unknown or broken frame gives None."""

import logging
import re
import struct
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from imagemill.domain.dataclass import dataclass
from imagemill.graphs.json_access import is_object

log = logging.getLogger(__name__)

_PREVIEW, _PREVIEW_WITH_METADATA = 1, 4
"""Numbers of binary events; 3 is a node's text, which is not used."""
_JPEG, _PNG = 1, 2
_PROMPT = re.compile(r'"prompt_id"\s*:\s*"([^"]*)"')
_VERBOSE = '{"type": "progress_state"'
"""The event that repeats all started nodes at each step: its volume grows with the square of the graph's
size."""


@dataclass(frozen=True, slots=True)
class Status:
    """The number of prompts on the node, including the running one."""

    remaining: int


@dataclass(frozen=True, slots=True)
class Started:
    prompt: str


@dataclass(frozen=True, slots=True)
class Cached:
    prompt: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Executing:
    """A node starts. ``node`` None means that the prompt has ended and its history is written."""

    prompt: str
    node: str | None


@dataclass(frozen=True, slots=True)
class Step:
    prompt: str
    node: str
    value: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Executed:
    """An output node has run, or its cached output is used again. ``output`` is what the history will have of
    it; None for nothing."""

    prompt: str
    node: str
    output: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class PromptEnded:
    """The prompt succeeded, failed or was interrupted. The history with the result may not be written yet."""

    prompt: str
    succeeded: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """A preview, or a picture from ``SaveImageWebsocket``. Without ``prompt`` it belongs to the running
    prompt."""

    data: bytes
    media_type: str
    node: str | None = None
    prompt: str | None = None


Event = Status | Started | Cached | Executing | Executed | Step | PromptEnded | Frame


def prompt_of(text: str) -> str | None:
    """The prompt id in a text frame, found without parsing the frame."""
    match = _PROMPT.search(text)
    return match[1] if match else None


def is_repetition(text: str) -> bool:
    """Whether a frame only repeats other events; recognised by its first characters."""
    return text.startswith(_VERBOSE)


def read_text(text: str) -> Event | None:
    try:
        message = from_json(text)
        return _read(message["type"], message["data"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.debug("a text frame could not be parsed: %s", error)
        return None


def _read(kind: str, data: Mapping[str, Any]) -> Event | None:
    match kind:
        case "status":
            return Status(int(data["status"]["exec_info"]["queue_remaining"]))
        case "execution_start":
            return Started(_text(data["prompt_id"]))
        case "execution_cached":
            return Cached(_text(data["prompt_id"]), tuple(str(node) for node in data["nodes"]))
        case "executing" if "prompt_id" in data:
            node = data["node"]
            return Executing(_text(data["prompt_id"]), None if node is None else str(node))
        case "progress":
            return Step(_text(data["prompt_id"]), str(data["node"]), float(data["value"]), float(data["max"]))
        case "executed":
            output = data.get("output")
            return Executed(
                _text(data["prompt_id"]), str(data["node"]), output if is_object(output) else None
            )
        case "execution_success" | "execution_error" | "execution_interrupted":
            return PromptEnded(_text(data["prompt_id"]), kind == "execution_success")
        case _:
            return None


def read_binary(data: bytes) -> Frame | None:
    try:
        (number,) = struct.unpack_from(">I", data)
        if number == _PREVIEW:
            (form,) = struct.unpack_from(">I", data, 4)
            media_type = {_JPEG: "image/jpeg", _PNG: "image/png"}[form]
            return Frame(data[8:], media_type)
        if number == _PREVIEW_WITH_METADATA:
            (length,) = struct.unpack_from(">I", data, 4)
            about = from_json(data[8 : 8 + length])
            return Frame(
                data[8 + length :],
                _text(about["image_type"]),
                str(about["node_id"]),
                _text(about["prompt_id"]),
            )
    except (struct.error, ValueError, KeyError, TypeError) as error:
        log.debug("a binary frame could not be parsed: %s", error)
    return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value

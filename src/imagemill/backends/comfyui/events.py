"""Frames of a ComfyUI socket, read into events. Pure: an unknown or broken frame is None, no exception."""

import logging
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

log = logging.getLogger(__name__)

_PREVIEW, _PREVIEW_WITH_METADATA = 1, 4
"""Binary event numbers; 3 is text of a node, which nobody shows."""
_JPEG, _PNG = 1, 2
_PROMPT = re.compile(r'"prompt_id"\s*:\s*"([^"]*)"')
_VERBOSE = '{"type": "progress_state"'
"""Repeats every started node with each step, so that its volume grows with the square of the graph."""


@dataclass(frozen=True, slots=True)
class Status:
    """Prompts the node has in all, the running one included."""

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
    """``node`` None: the prompt is over and its history is written."""

    prompt: str
    node: str | None


@dataclass(frozen=True, slots=True)
class Step:
    prompt: str
    node: str
    value: float
    most: float


@dataclass(frozen=True, slots=True)
class PromptEnded:
    """Succeeded, failed or was interrupted; the history that tells which may not be written yet."""

    prompt: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A preview, or what ``SaveImageWebsocket`` delivers. Without a name it is the running prompt's."""

    data: bytes
    media_type: str
    node: str | None = None
    prompt: str | None = None


Event = Status | Started | Cached | Executing | Step | PromptEnded | Frame


def prompt_of(text: str) -> str | None:
    """Which prompt a text frame is about, found without reading it whole."""
    match = _PROMPT.search(text)
    return match[1] if match else None


def is_repetition(text: str) -> bool:
    """Tells only what other events tell, at length; recognised by its first characters."""
    return text.startswith(_VERBOSE)


def read_text(text: str) -> Event | None:
    try:
        message = from_json(text)
        return _read(message["type"], message["data"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.debug("a frame was not understood: %s", error)
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
        case "execution_success" | "execution_error" | "execution_interrupted":
            return PromptEnded(_text(data["prompt_id"]))
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
        log.debug("a binary frame was not understood: %s", error)
    return None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value

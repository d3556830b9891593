"""Errors of ComfyUI servers, and their translation into the typed failures of a job.

This is the only place that decides what an HTTP error, a rejected graph or a failed prompt means for a
job. In messages, nodes of the graph have their titles, and paths on the server's disk are cut to the file
name. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from pydantic_core import from_json

from imagemill.backends.base import ServiceError
from imagemill.domain.dataclass import dataclass
from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode
from imagemill.graphs.files import file_kind
from imagemill.graphs.json_access import mapping, sequence
from imagemill.graphs.validate import GraphFault

NODE_FAILURES = frozenset(
    {FailureCode.NODE_LOST, FailureCode.BACKEND_UNAVAILABLE, FailureCode.BAD_OUTPUT, FailureCode.DEVICE_ERROR}
)
"""Failures that are caused by the node rather than the job. A timeout is not: the job may be too large or its
limit too short. A node that hangs is noticed by `imagemill.backends.comfyui.stuck`."""

MOST_FAULTS = 3
"""Faults named in one message; the others are counted."""
LONGEST = 500
"""Most characters of a message; some nodes put whole tensors into theirs."""
_READ = 8 * LONGEST
"""Characters of a message that are looked at."""

_URL = r"(?:https?|wss?|s3|gs|ftp)://\S+"
"""Addresses other than ``file:`` are left as they are."""
_ROOT = (
    r"(?:file:/{1,3}(?:[A-Za-z]:[\\/]+)?"
    r"|(?<!\w)[A-Za-z]:[\\/]+"
    r"|(?<![\w\\])\\\\+"
    r"|(?<![\w:/.~$])(?:~[\w.-]*|\$\w+)?/+(?=[^\s/]))"
)
_PART = r"""[^\s'"<>|:*?,;()\[\]\\/]"""
_SPACED = rf"{_PART}+(?: {_PART}+)*"
"""Parts of a path may contain blanks where a separator follows."""
_PATH = re.compile(rf"({_URL})|{_ROOT}(?:{_SPACED}[\\/]+)*({_PART}*)")
_QUOTED = re.compile(rf"""(['"])({_ROOT}[^'"\n]*)\1""")
"""A quoted path ends with its quotation mark, so that its file name may contain blanks."""
_TRACEBACK = re.compile(r"\n\s*(?:Traceback \(most recent call last\):|File \").*", re.DOTALL)
_OUT_OF_MEMORY = re.compile(
    r"out ?of ?memory|allocation on device|not enough (?:gpu |video )*memory|can(?:not|'t) allocate memory"
    r"|failed to allocate|could not allocate|alloc_failed|hip error: out|memoryerror|invalid buffer size"
    # Pictures too large for the device's kernels, whatever its memory.
    r"|cudnn_status_not_supported|32.?bit index|input tensor is too large|invalid configuration argument",
    re.IGNORECASE,
)
_DEVICE_ERROR = re.compile(r"cuda error|hip error|cudnn|device-side assert|accelerator", re.IGNORECASE)
_BROKEN_FILE = re.compile(
    r"filenotfound|no such file|safetensor|pickl|corrupt|incomplete metadata", re.IGNORECASE
)


# Errors of HTTP requests.


class ComfyError(ServiceError):
    """A node did not answer as a ComfyUI server does. ``code`` is the failure of a job that met it."""


class ComfyUnreachable(ComfyError):
    """The node did not answer. ``maybe_received``: it may have received the request nevertheless."""

    code = FailureCode.NODE_LOST.value

    def __init__(self, message: str, *, maybe_received: bool) -> None:
        super().__init__(message)
        self.maybe_received = maybe_received


class ComfyStatusError(ComfyError):
    """The node answered with an HTTP status that is not a success."""

    def __init__(self, status: int, message: str, body: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        if status == 413:
            self.code, self.retryable = FailureCode.BACKEND_REJECTED.value, False


class NotComfy(ComfyError):
    """The node answered with something that is not ComfyUI's JSON."""


class TruncatedFile(ComfyError):
    """A file is incomplete."""

    code = FailureCode.BAD_OUTPUT.value


class FileTooLarge(TruncatedFile):
    """A file is larger than the limit."""

    code = FailureCode.OUTPUT_LIMIT.value


class FileGone(ComfyError):
    """A file named in the history no longer exists: an earlier identical prompt made it, and it was
    removed."""

    code = FailureCode.BAD_OUTPUT.value


class Interrupted(BackendError):
    """Another client interrupted the prompt on the node, which is neither the node's nor the job's fault."""


def status_message(status: int, path: str) -> str:
    """The message for an HTTP status of a node, with the remedy."""
    if status in (401, 403):
        return f"refuses access to {path} ({status}): check the node's token or headers"
    if status == 413:
        return "refuses the size of the request (413): raise its --max-upload-size"
    if 300 <= status < 400:
        return (
            f"redirects {path} ({status}): set the address it redirects to, or the headers its login expects"
        )
    if status == 404:
        return f"does not know {path} (404): check the address, a path prefix included"
    return f"answers {path} with {status}"


def failure(node: str, error: ComfyError) -> BackendError:
    """The failure of a job that met ``error`` on ``node``."""
    return BackendError(FailureCode(error.code), f"{node} {error}")


# Finished and failed prompts.


class PromptStatus(StrEnum):
    SUCCESS = "success"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PromptResult:
    """The result of a prompt, as the node keeps it."""

    status: PromptStatus
    outputs: Mapping[str, Any]
    error: Mapping[str, Any]
    """The data of the node's `execution_error`."""


def result_of(entry: Mapping[str, Any]) -> PromptResult:
    """Read a history entry. Failed and interrupted prompts have the same status; the last message differs."""
    status = mapping(entry.get("status"))
    outputs = mapping(entry.get("outputs"))
    if status.get("status_str", "success") == "success" and status.get("completed", True):
        return PromptResult(PromptStatus.SUCCESS, outputs, {})
    for message in reversed(sequence(status.get("messages"))):
        kind, data = [*sequence(message), None, None][:2]
        if kind == "execution_interrupted":
            return PromptResult(PromptStatus.INTERRUPTED, outputs, {})
        if kind == "execution_error":
            return PromptResult(PromptStatus.FAILED, outputs, mapping(data))
    return PromptResult(PromptStatus.FAILED, outputs, {})


_JOB_STATUSES = {"completed": PromptStatus.SUCCESS, "cancelled": PromptStatus.INTERRUPTED}


def result_of_job(job: Mapping[str, Any]) -> PromptResult:
    """Read an ended job of ``/api/jobs``, which tells failed and cancelled prompts apart."""
    status = _JOB_STATUSES.get(str(job.get("status")), PromptStatus.FAILED)
    return PromptResult(status, mapping(job.get("outputs")), mapping(job.get("execution_error")))


def clean_message(message: str) -> str:
    """One line, without the server's paths and tracebacks."""
    text = _TRACEBACK.sub("", message[:_READ])
    text = _QUOTED.sub(lambda match: f"{match[1]}{_file_name(match[2])}{match[1]}", text)
    text = " ".join(_PATH.sub(lambda match: match[1] or match[2] or "...", text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _file_name(path: str) -> str:
    return re.split(r"[\\/]", path)[-1] or "..."


def is_out_of_memory(error: Mapping[str, Any]) -> bool:
    kind, message = str(error.get("exception_type") or ""), str(error.get("exception_message") or "")
    return bool(_OUT_OF_MEMORY.search(kind) or _OUT_OF_MEMORY.search(message))


def execution_failure(node: str, error: Mapping[str, Any], titles: Mapping[str, str]) -> BackendError:
    """The failure of a prompt that failed while it ran."""
    kind = str(error.get("exception_type") or "")
    message = (
        clean_message(str(error.get("exception_message") or "")) or kind or "it failed without a message"
    )
    node_id = str(error.get("node_id") or "")
    where = _node_name(node_id, titles.get(node_id) or str(error.get("node_type") or ""))
    text = f"{kind} {message}"
    if is_out_of_memory(error):
        code = FailureCode.OUT_OF_MEMORY
    elif _DEVICE_ERROR.search(text):
        code = FailureCode.DEVICE_ERROR
    elif "Loader" in str(error.get("node_type")) and _BROKEN_FILE.search(text):
        code = FailureCode.MISSING_MODEL
    else:
        code = FailureCode.INVALID_GRAPH
    # The follower has already freed the node's memory and sent the prompt again.
    tried = code is FailureCode.OUT_OF_MEMORY
    return BackendError(code, f"{node}: {where}: {message}", tried=tried)


# Rejected graphs.


def fault_failure(node: str, faults: Iterable[GraphFault]) -> BackendError | None:
    """The failure for faults that the catalogue found, as the node would reject them; None if there are
    none."""
    listed = list(faults)
    if not listed:
        return None
    kinds = {fault.kind for fault in listed}
    if "missing_class" in kinds:
        code, listed = FailureCode.MISSING_NODE, [f for f in listed if f.kind == "missing_class"]
    elif "missing_file" in kinds:
        code, listed = FailureCode.MISSING_MODEL, [f for f in listed if f.kind == "missing_file"]
    else:
        code = FailureCode.INVALID_GRAPH
    return BackendError(code, f"{node}: {_join([fault.message for fault in listed])}")


def rejection(node: str, error: ComfyStatusError, titles: Mapping[str, str]) -> BackendError:
    """The failure for a prompt that the node rejected with status 400."""
    try:
        answer: object = from_json(error.body)
    except ValueError:
        answer = None
    body = mapping(answer)
    head = mapping(body.get("error"))
    kind, message = str(head.get("type") or ""), clean_message(str(head.get("message") or ""))
    about = mapping(head.get("extra_info"))
    if kind == "missing_node_type" or (kind == "invalid_prompt" and "does not exist" in message):
        missing = about.get("class_type")
        text = f"node class {missing} is missing" if missing else message
        return BackendError(FailureCode.MISSING_NODE, f"{node}: {text}")
    reasons = node_errors_failure(node, mapping(body.get("node_errors")), titles)
    if reasons is not None:
        return reasons
    details = clean_message(str(head.get("details") or ""))
    text = f"{message}: {details}" if details and details not in message else message
    return BackendError(FailureCode.INVALID_GRAPH, f"{node}: {text or 'refuses the graph without a reason'}")


def node_errors_failure(
    node: str, node_errors: Mapping[str, Any], titles: Mapping[str, str]
) -> BackendError | None:
    """The failure for the ``node_errors`` of a rejection, or of a 200 that drops outputs; None if empty."""
    missing: list[str] = []
    others: list[str] = []
    for node_id, reason in node_errors.items():
        class_type = str(mapping(reason).get("class_type") or "")
        where = _node_name(node_id, titles.get(node_id) or class_type)
        for error in map(mapping, sequence(mapping(reason).get("errors"))):
            about = mapping(error.get("extra_info"))
            name = str(about.get("input_name") or "")
            if error.get("type") == "value_not_in_list" and file_kind(class_type, name):
                missing.append(f"{where}: {name} {about.get('received_value')} is missing")
            else:
                details = clean_message(str(error.get("details") or ""))
                others.append(f"{where}: {clean_message(str(error.get('message') or 'refused'))}: {details}")
    if missing:
        return BackendError(FailureCode.MISSING_MODEL, f"{node}: {_join(missing)}")
    if others or node_errors:
        return BackendError(FailureCode.INVALID_GRAPH, f"{node}: {_join(others) or 'refuses the graph'}")
    return None


def names_lost_upload(body: bytes, uploaded: Iterable[str]) -> bool:
    """Whether a rejection is about an uploaded input picture that no longer exists."""
    text = body.decode(errors="replace")
    return "Invalid image file" in text and any(name in text for name in uploaded)


# Files of a finished prompt.


def files_of(outputs: Mapping[str, Any], request: Iterable[str]) -> Iterator["File"]:
    """The saved files, in the graph's order; if there are none, the preview files (kind ``temp``)."""
    ranks = {node_id: rank for rank, node_id in enumerate(request)}
    listed = [
        File(str(entry["filename"]), str(entry.get("subfolder") or ""), str(entry.get("type") or "output"))
        for node_id in sorted(outputs, key=lambda node_id: ranks.get(node_id, len(ranks)))
        for entries in mapping(outputs[node_id]).values()
        for entry in map(mapping, sequence(entries))
        if isinstance(entry.get("filename"), str) and entry["filename"]
    ]
    kept = [file for file in listed if file.kind != "temp"] or listed
    yield from dict.fromkeys(kept)


@dataclass(frozen=True, slots=True)
class File:
    """One file on a node, as its history names it."""

    name: str
    subfolder: str
    kind: str
    """``output``, ``temp`` or ``input``."""

    @property
    def path(self) -> str:
        """The path within the folder of its kind."""
        return f"{self.subfolder}/{self.name}" if self.subfolder else self.name


def _node_name(node_id: str, title: str) -> str:
    return f"node {node_id} ({title})" if title and node_id else f"node {node_id or title}"


def _join(lines: list[str]) -> str:
    shown = "; ".join(lines[:MOST_FAULTS])
    return f"{shown}; and {len(lines) - MOST_FAULTS} more" if len(lines) > MOST_FAULTS else shown

"""What can go wrong on the wire, and what it means for a job: the one place where that is decided."""

from imagemill.domain.errors import BackendError
from imagemill.domain.failures import FailureCode


class WireError(Exception):
    """A node did not answer as a ComfyUI server does; the message is a sentence without its name."""


class Unreachable(WireError):
    """No answer. ``doubtful``: the request may have arrived nevertheless."""

    def __init__(self, message: str, *, doubtful: bool) -> None:
        super().__init__(message)
        self.doubtful = doubtful


class BadStatus(WireError):
    """Answered with an HTTP status that is no success."""

    def __init__(self, status: int, message: str, body: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


class NotComfy(WireError):
    """Answered with something that is not ComfyUI's JSON."""


class Damaged(WireError):
    """A file broke off, or is larger than is taken."""


def status_message(status: int, path: str) -> str:
    """What an operator does about an HTTP status of a node."""
    if status in (401, 403):
        return f"refuses access to {path} ({status}): check the node's token or headers"
    if status == 413:
        return "refuses the size of what was sent (413): raise its --max-upload-size"
    if 300 <= status < 400:
        return (
            f"redirects {path} ({status}): give the address it redirects to, or the headers its login wants"
        )
    if status == 404:
        return f"does not know {path} (404): check the address, a path prefix included"
    return f"answers {path} with {status}"


def failure(node: str, error: WireError) -> BackendError:
    """The typed cause for a job that met ``error`` on ``node``."""
    match error:
        case Unreachable():
            code = FailureCode.NODE_LOST
        case Damaged():
            code = FailureCode.BAD_OUTPUT
        case BadStatus(status=413):
            code = FailureCode.BACKEND_REJECTED
        case _:
            code = FailureCode.BACKEND_UNAVAILABLE
    return BackendError(code, f"{node} {error}")


SICK = frozenset(
    {FailureCode.NODE_LOST, FailureCode.BACKEND_UNAVAILABLE, FailureCode.TIMEOUT, FailureCode.BAD_OUTPUT}
)
"""Failures that speak against the node rather than the job."""

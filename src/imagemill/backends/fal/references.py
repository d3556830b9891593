"""A request of fal's as the reference of a job's render: ``fal:{path}:{request id}``."""

_PREFIX = "fal:"


def reference_of(path: str, request_id: str) -> str:
    return f"{_PREFIX}{path}:{request_id}"


def request_of(reference: str) -> tuple[str, str] | None:
    """Path and request id; None for what is none: an id of our own, before anything was sent."""
    if not reference.startswith(_PREFIX):
        return None
    path, separator, request_id = reference.removeprefix(_PREFIX).partition(":")
    return (path, request_id) if separator and path and request_id else None

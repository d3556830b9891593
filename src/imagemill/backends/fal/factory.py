"""The factory of the fal backend, in a module of its own so that httpx2 loads only where a key is set."""

from typing import TYPE_CHECKING

from imagemill.backends.base import BackendContext

if TYPE_CHECKING:
    from imagemill.backends.fal.backend import FalBackend
    from imagemill.config import Settings


def build(settings: "Settings", context: BackendContext) -> "FalBackend | None":
    """The factory of this backend; None without a key."""
    if settings.fal.key is None:
        return None
    from imagemill.backends.fal.backend import FalBackend

    return FalBackend(settings.fal, context.calls)

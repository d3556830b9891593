"""fal.ai as a backend: pictures by its queue, paid for by the picture."""

from typing import TYPE_CHECKING

from imagemill.backends.base import BackendContext

if TYPE_CHECKING:
    from imagemill.backends.fal.backend import FalBackend
    from imagemill.config import Settings


def build(settings: "Settings", surroundings: BackendContext) -> "FalBackend | None":
    if settings.fal.key is None:
        return None
    from imagemill.backends.fal.backend import FalBackend

    return FalBackend(settings.fal, surroundings.calls)

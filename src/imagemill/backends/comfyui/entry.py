"""How the server builds the ComfyUI backend, by the entry point ``imagemill.backends``."""

from typing import TYPE_CHECKING

from imagemill.backends.base import Surroundings
from imagemill.backends.comfyui.backend import ComfyUI

if TYPE_CHECKING:
    from imagemill.config import Settings


def build(settings: "Settings", surroundings: Surroundings) -> ComfyUI:
    """Without nodes as yet: those of the settings and of the table are configured together."""
    return ComfyUI(settings.comfyui.model_copy(update={"urls": ()}), surroundings.path_of)

"""The settings of the model library."""

from pydantic import Field

from imagemill.settings import SettingsGroup

DEFAULT_MODEL = "urn:air:flux1:checkpoint:civitai:618692@691639"
"""FLUX.1 [dev]."""


class LibrarySettings(SettingsGroup):
    model: str = Field(
        default=DEFAULT_MODEL,
        description="Checkpoint of the model library's pictures, by its AIR.",
    )
    width: int = Field(default=768, ge=64, le=4096, description="Width of its pictures.")
    height: int = Field(default=1024, ge=64, le=4096, description="Height of its pictures.")
    steps: int = Field(default=28, ge=1, le=150, description="Sampling steps of its pictures.")
    denoise: float = Field(
        default=0.6, ge=0, le=1, description="How much of a picture an edit of its prompt draws anew."
    )
    owner: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Whose library the tasks of generator_queue fill; none: the owner of this machine.",
    )

"""Settings of the model library."""

from pydantic import Field

from imagemill.settings import Combined, JsonSetting, SettingsGroup

DEFAULT_MODEL = "urn:air:flux1:checkpoint:civitai:618692@691639"
"""FLUX.1 [dev]: the model of stored jobs that name none."""


class PictureSettings(JsonSetting):
    """Size in pixels, sampling steps, and denoising strength of edits."""

    width: int = Field(default=768, ge=64, le=4096)
    height: int = Field(default=1024, ge=64, le=4096)
    steps: int = Field(default=28, ge=1, le=150)
    denoise: float = Field(default=0.6, ge=0, le=1)


class LibrarySettings(SettingsGroup):
    """Model library."""

    model: str | None = Field(
        default=None,
        description="AIR or file name of the checkpoint that renders the model library; none: a FLUX.1 "
        "checkpoint that the nodes have, else another one.",
    )
    picture: Combined[PictureSettings] = Field(
        default=PictureSettings(),
        description="Pictures of the model library, as JSON: width and height in pixels, steps, and "
        'denoise (the strength of image-to-image in edits), such as {"width": 512, "height": '
        "768}.",
    )
    owner: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description="Owner whose library the tasks of generator_queue fill; none: the setting owner.",
    )

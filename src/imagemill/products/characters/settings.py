"""Settings of the pictures of characters, and of the language model that reads character sheets."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from imagemill.domain import air
from imagemill.graphs.node_models import has_model_extension
from imagemill.language.settings import ChatLimits
from imagemill.settings import Combined, JsonSetting, Listed, Mapped, SettingsGroup

SMALLEST_SIDE, LARGEST_SIDE, SIDE_STEP = 512, 1536, 8
"""Sides of a scene in pixels; a latent pixel is eight of them."""


def _checkpoint(text: str) -> str:
    """The AIR of a checkpoint or the name of its file. Raises `ValueError` for anything else."""
    try:
        parsed = air.parse(text)
    except air.InvalidAir:
        if has_model_extension(text):
            return text
        raise
    if parsed.type not in (None, "checkpoint", "model"):
        raise ValueError(f"{text} is a {parsed.type}, not a checkpoint")
    return str(parsed)


Checkpoint = Annotated[str, AfterValidator(_checkpoint)]


class StyleSettings(JsonSetting):
    """Rendering of one style, where it differs from the others."""

    checkpoint: Checkpoint | None = None
    steps: int | None = Field(default=None, ge=1, le=150)
    cfg_scale: float | None = Field(default=None, ge=0, le=30)
    sampler: str | None = Field(default=None, pattern="^[a-z0-9_]{1,40}$")
    scheduler: str | None = Field(default=None, pattern="^[a-z0-9_]{1,40}$")
    scores: bool | None = None


_Name = Annotated[str, Field(pattern="^[a-z0-9_]{1,40}$")]


class SamplingSettings(JsonSetting):
    """How pictures of characters are rendered; the values go with the checkpoint."""

    scores: bool = False
    """Begin prompts with score_9, score_8_up, score_7_up, which Pony's checkpoints expect."""
    steps: int = Field(default=30, ge=1, le=150)
    cfg_scale: float = Field(default=7.0, ge=0, le=30)
    sampler: _Name = "euler_ancestral"
    """ComfyUI's name of the sampler."""
    scheduler: _Name = "karras"
    """ComfyUI's name of the scheduler."""
    reference_denoise: float = Field(default=0.6, gt=0, le=1)
    """Denoising strength of image-to-image from an avatar's reference picture."""
    detail_faces: bool = True
    """Give covers a second pass over their faces where a node has FaceDetailer."""


class CharacterSettings(SettingsGroup):
    """Avatars, stickers, covers and scenes of characters."""

    thumbnail_px: ClassVar[int] = 256
    """Longer side of a thumbnail in pixels."""
    translations_days: ClassVar[float] = 90.0
    """Days that translations of a language model are kept."""

    checkpoint: Checkpoint | None = Field(
        default=None,
        description="AIR or file name of the checkpoint that renders characters; none: an SDXL checkpoint "
        "that the nodes have, else another one.",
    )
    sampling: Combined[SamplingSettings] = Field(
        default=SamplingSettings(),
        description="How characters are rendered, as JSON: steps, cfg_scale, sampler and scheduler "
        "(ComfyUI's names), scores (Pony's quality tags), reference_denoise (strength of "
        'image-to-image) and detail_faces, such as {"steps": 24, "cfg_scale": 5}.',
    )
    styles: Mapped[StyleSettings] = Field(
        default={},
        description="Rendering of single styles, by the style's name in a character sheet, as JSON: "
        '{"anime": {"steps": 24, "checkpoint": "urn:air:..."}}.',
    )
    quality: int = Field(
        default=85,
        ge=50,
        le=100,
        description="Quality of WebP files; transparent pictures are always lossless.",
    )
    size_target_kb: int | None = Field(
        default=None,
        ge=8,
        description="Size in KB that the quality is lowered for, in steps of 5 and to 50 at least; none: the "
        "quality is fixed.",
    )
    metadata: Literal["full", "anonymous", "none"] = Field(
        default="full",
        description="Metadata in pictures: full (with the prompt), anonymous (only that they are "
        "generated) or none.",
    )
    keep_original: bool = Field(
        default=False,
        description="Keep the rendered PNG beside the WebP, with the job; it holds the whole ComfyUI graph.",
    )
    cutout_model: Path | None = Field(
        default=None,
        description="ONNX file such as u2netp.onnx that removes backgrounds where no chroma key works; "
        "none: such backgrounds stay.",
    )
    public_base_url: str | None = Field(
        default=None,
        pattern="^https?://[^?#]+$",
        description="Address of a public bucket, such as https://cdn.example; none: URLs are signed.",
    )
    bulk_priority: int = Field(
        default=50,
        ge=0,
        le=100,
        description="How much lower the priority of sticker sets is than that of single pictures; 0: the "
        "same.",
    )
    reuse: bool = Field(
        default=False,
        description="Let requests ask for the pictures of an earlier equal request, without a charge.",
    )
    blocked_words: Listed[str] = Field(
        default=(),
        description="Words and phrases that the check characters blocks, comma-separated; stem* blocks all "
        "words that begin with stem.",
    )


class LlmSettings(SettingsGroup):
    """Language model for translations."""

    answer_bytes: ClassVar[int] = 64 * 1024
    """Largest response in bytes that is read: many times what 800 tokens take."""
    retry_after_s: ClassVar[float] = 5.0
    """Longest wait in seconds before the one retry after a 429 or 5xx; a person waits for the answer."""
    rest_s: ClassVar[float] = 30.0
    """Seconds without calls after three failures in a row: each may cost the whole `timeout_s`."""

    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="OpenAI-compatible endpoint that translates character sheets, such as "
        "https://llm.example/v1; none: the built-in glossary translates.",
    )
    model: str | None = Field(default=None, min_length=1, description="Name of the language model.")
    api_key: SecretStr | None = Field(
        default=None, description="Key of the language model's endpoint; none: no key is sent."
    )
    timeout_s: float = Field(
        default=20.0,
        gt=0,
        le=300,
        description="Longest time in seconds for a translation with its retry; then the glossary translates.",
    )

    @property
    def limits(self) -> ChatLimits:
        return ChatLimits(self.answer_bytes, self.retry_after_s, self.rest_s, self.timeout_s, self.api_key)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.base_url is not None and self.model is None:
            raise ValueError("base_url needs model")
        return self

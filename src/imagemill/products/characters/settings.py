"""Settings of the pictures of characters, and of the language model that translates character sheets."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from imagemill.domain import air
from imagemill.settings import SettingsGroup

SMALLEST_SIDE, LARGEST_SIDE, SIDE_STEP = 512, 1536, 8
"""Pixels of a scene; latents are of eight."""


def _checkpoint(text: str) -> str:
    """Raises ValueError for what is no AIR of a checkpoint."""
    parsed = air.parse(text)
    if parsed.type not in (None, "checkpoint", "model"):
        raise ValueError(f"{text} is a {parsed.type}, not a checkpoint")
    return str(parsed)


Checkpoint = Annotated[str, AfterValidator(_checkpoint)]


class StyleSettings(SettingsGroup):
    """What a style of characters is rendered with, where it is not as the others."""

    checkpoint: Checkpoint | None = None
    steps: int | None = Field(default=None, ge=1, le=150)
    cfg_scale: float | None = Field(default=None, ge=0, le=30)
    sampler: str | None = Field(default=None, pattern="^[a-z0-9_]{1,40}$")
    scheduler: str | None = Field(default=None, pattern="^[a-z0-9_]{1,40}$")
    scores: bool | None = None


class CharacterSettings(SettingsGroup):
    checkpoint: Checkpoint = Field(
        default="urn:air:sdxl:checkpoint:civitai:101055@128078",
        description="AIR of the checkpoint that characters are made with; it must be registered.",
    )
    scores: bool = Field(
        default=False, description="Prompts begin with score_9, score_8_up, score_7_up, as Pony's want it."
    )
    steps: int = Field(default=30, ge=1, le=150, description="Of a render.")
    cfg_scale: float = Field(default=7.0, ge=0, le=30, description="How closely the prompt is followed.")
    sampler: str = Field(
        default="euler_ancestral", pattern="^[a-z0-9_]{1,40}$", description="ComfyUI's name of it."
    )
    scheduler: str = Field(default="karras", pattern="^[a-z0-9_]{1,40}$", description="ComfyUI's name of it.")
    styles: dict[str, StyleSettings] = Field(
        default={},
        description="By the word of a sheet's style what is rendered otherwise, as JSON: "
        '{"anime": {"steps": 24, "checkpoint": "urn:air:..."}}.',
    )
    reference_denoise: float = Field(
        default=0.6, gt=0, le=1, description="How much of an avatar's reference picture is drawn anew."
    )
    detail_faces: bool = Field(
        default=True, description="Covers get a pass over their faces where a node has FaceDetailer."
    )
    quality: int = Field(default=85, ge=50, le=100, description="Of WebP; what is transparent is lossless.")
    size_target_kb: int | None = Field(
        default=None, ge=8, description="Lower the quality by fives, to no less than 50, until it is met."
    )
    thumbnail_px: int = Field(default=256, ge=16, le=1024, description="Longer side of a thumbnail.")
    metadata: Literal["full", "anonymous", "none"] = Field(
        default="full",
        description="What pictures tell of themselves; anonymous: that they are generated, and nothing else.",
    )
    keep_original: bool = Field(
        default=False,
        description="Keep what was rendered beside the WebP, with the job; its graph tells all.",
    )
    cutout_model: Path | None = Field(
        default=None,
        description="ONNX file such as u2netp.onnx, for backgrounds that no colour key removes.",
    )
    public_base_url: str | None = Field(
        default=None,
        pattern="^https?://[^?#]+$",
        description="Where the bucket is public, such as https://cdn.example; else URLs are signed.",
    )
    bulk_priority: int = Field(
        default=50, ge=0, le=100, description="How far sets of stickers stand back behind single pictures."
    )
    reuse: bool = Field(
        default=False, description="Requests may ask to be answered from an equal one's pictures, unpaid."
    )
    blocked_words: tuple[str, ...] = Field(
        default=(),
        description="Words and phrases check 'characters' blocks, comma-separated; stem*: all that begin so.",
    )
    translations_days: float = Field(
        default=90.0, gt=0, description="How long translations of a language model are kept."
    )


class LlmSettings(SettingsGroup):
    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="OpenAI-compatible endpoint that translates character sheets, such as "
        "https://llm.example/v1; none: the glossary does.",
    )
    model: str | None = Field(default=None, min_length=1, description="Name of its model.")
    api_key: SecretStr | None = Field(default=None, description="Its key, where it wants one.")
    timeout_s: float = Field(
        default=20.0, gt=0, le=300, description="Longest time an answer may take; then the glossary answers."
    )
    answer_bytes: int = Field(default=64 * 1024, ge=1024, description="Largest answer that is read.")
    retry_after_s: float = Field(
        default=5.0, ge=0, description="Longest wait before the one retry after a 429 or 5xx."
    )
    rest_s: float = Field(
        default=30.0, ge=0, description="How long it is left alone after three failures in a row."
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.base_url is not None and self.model is None:
            raise ValueError("base_url needs model")
        return self

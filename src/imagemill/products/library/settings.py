"""Settings of what is made: the model library, and the language model that reads character sheets."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

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

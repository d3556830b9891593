"""Settings of the language model that tasks use, such as captions and chat completions."""

from typing import ClassVar, Self

from pydantic import Field, SecretStr, model_validator

from imagemill.domain.dataclass import dataclass
from imagemill.settings import SettingsGroup


@dataclass(frozen=True, slots=True)
class ChatLimits:
    """The key and the limits of the calls to a language model; see `LanguageModelSettings`."""

    answer_bytes: int
    retry_after_s: float
    rest_s: float
    timeout_s: float
    api_key: SecretStr | None = None


class LanguageModelSettings(SettingsGroup):
    answer_bytes: ClassVar[int] = 256 * 1024
    """Largest response in bytes that is read: four times the output that a task may keep."""
    retry_after_s: ClassVar[float] = 5.0
    """Longest wait in seconds before the one retry within a call; the job is retried later anyway."""
    rest_s: ClassVar[float] = 30.0
    """Seconds without calls after three failures in a row: each may cost the whole `timeout_s`."""
    timeout_s: ClassVar[float] = 120.0
    """Longest time in seconds of a call: a long answer of a model on the operator's own machine."""

    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="OpenAI-compatible endpoint for captions, prompt enhancement and chat completions, such "
        "as https://llm.example/v1; none: these tasks are refused.",
    )
    model: str | None = Field(default=None, min_length=1, description="Name of its model for texts.")
    vision_model: str | None = Field(
        default=None,
        min_length=1,
        description="Name of its model that reads pictures; none: tasks with pictures are refused.",
    )
    api_key: SecretStr | None = Field(default=None, description="Key of the endpoint; none: no key is sent.")

    @property
    def limits(self) -> ChatLimits:
        return ChatLimits(self.answer_bytes, self.retry_after_s, self.rest_s, self.timeout_s, self.api_key)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.base_url is not None and self.model is None and self.vision_model is None:
            raise ValueError("base_url needs model, vision_model or both")
        return self

"""Settings of fal.ai: account, models, prices and budgets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+){1,5}")
MAX_PATH = 80
"""Most characters of a path, so that with the request's id it fits into a job's reference."""


def _path(value: str) -> str:
    if len(value) > MAX_PATH or not _PATH.fullmatch(value):
        raise ValueError(f"should be owner/alias or owner/alias/path, {MAX_PATH} characters at most")
    return value


FalPath = Annotated[str, AfterValidator(_path)]


def is_path(value: str) -> bool:
    return len(value) <= MAX_PATH and _PATH.fullmatch(value) is not None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FalModel(_Part):
    """The fal paths that render a checkpoint or a model family."""

    path: FalPath
    image_path: FalPath | None = None
    """The path for image-to-image; without it image-to-image is unsupported."""
    negative_prompt: bool = False
    """Whether the model takes a negative prompt; else it is left out, as for Flux."""
    extra: Mapping[str, Any] = Field(default={})
    """Further input that is sent unchanged."""


class FalPrice(_Part):
    """Prices in dollars. A picture's megapixels are rounded up to a whole number."""

    per_megapixel: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    per_image: float = Field(default=0.0, ge=0, allow_inf_nan=False)


BUILT_IN_MODELS = {
    "flux1": FalModel(path="fal-ai/flux/dev", image_path="fal-ai/flux/dev/image-to-image"),
}
BUILT_IN_PRICES = {
    "fal-ai/flux/dev": FalPrice(per_megapixel=0.025),
    "fal-ai/flux/dev/image-to-image": FalPrice(per_megapixel=0.03),
}
"""Prices from fal's pages; the bill is authoritative."""


def _model(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class FalSettings(_Part):
    key: SecretStr | None = Field(default=None, description="The key of the account; none: fal is not used.")
    slots: int = Field(default=4, ge=1, le=256, description="Requests in flight, of all workers together.")
    per_minute: int | None = Field(
        default=60, ge=1, description="Requests begun in a minute, of all workers together; none: no limit."
    )
    spill_after_s: float = Field(
        default=30.0,
        ge=0,
        description="How long a job is left to local nodes that could do it; 0: fal takes it as they do.",
    )
    cost_per_job: float | None = Field(
        default=0.25,
        gt=0,
        description="Dollars that all requests of one job may cost together; none: no ceiling.",
    )
    cost_per_day: float | None = Field(
        default=10.0, gt=0, description="Dollars that requests within 24 hours may cost; none: no ceiling."
    )
    prices: Mapping[str, FalPrice] = Field(
        default={},
        description='Dollars by path, as JSON: {"fal-ai/flux/dev": {"per_megapixel": 0.025}}, with per_image '
        "for what is paid by the picture; * stands for all other paths. Those of Flux dev are built in.",
    )
    models: Mapping[str, Annotated[FalModel, BeforeValidator(_model)]] = Field(
        default={},
        description='What makes the pictures of a family or a checkpoint\'s AIR, as JSON: {"sdxl": '
        '{"path": "fal-ai/fast-sdxl", "negative_prompt": true}}. Flux dev, for flux1, is built in.',
    )
    private_owners: tuple[str, ...] = Field(
        default=(), description="Owners whose jobs never leave for fal, comma-separated; *: all."
    )
    safety_checker: bool = Field(default=True, description="Let fal check pictures, and block what it marks.")
    smallest_side: int = Field(default=256, ge=1, description="Least width and height asked of fal; pixels.")
    largest_side: int = Field(default=2048, ge=1, description="Most width and height asked of fal; pixels.")
    side_step: int = Field(
        default=16, ge=1, description="Width and height are multiples of this, else fal would change them."
    )
    images: int = Field(default=4, ge=1, le=64, description="Most pictures of one request.")
    priority: Literal["normal", "low"] = Field(default="normal", description="Place in fal's own queue.")
    poll_s: float = Field(
        default=0.5, gt=0, le=60, description="How often a running request is asked for; seconds."
    )
    request_s: float = Field(
        default=30.0, ge=1, le=120, description="Longest time one call of fal's API may take; seconds."
    )
    away_s: float = Field(
        default=60.0,
        ge=0,
        description="fal may stay away for so long while a request is followed; then another attempt "
        "collects it; seconds.",
    )
    shut_s: float = Field(
        default=60.0, gt=0, description="A refused key keeps all jobs off fal for so long; seconds."
    )
    picture_bytes: int = Field(default=64_000_000, ge=1, description="Largest file that is fetched; bytes.")
    host: str | None = Field(
        default=None,
        description="Host, and port, of the queue where it is not queue.fal.run: a gateway of your own.",
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authority that signed that host's certificate."
    )

    @property
    def known_models(self) -> Mapping[str, FalModel]:
        return BUILT_IN_MODELS | dict(self.models)

    def price_of(self, path: str) -> FalPrice | None:
        """The price of a path; None if it is not known."""
        return self.prices.get(path) or BUILT_IN_PRICES.get(path) or self.prices.get("*")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.smallest_side > self.largest_side:
            raise ValueError("smallest_side is above largest_side")
        return self
